"""`steiger calibrate`: fits a co-location, shows what a calibration's number stands for, hands sets to a gateway."""

from __future__ import annotations

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.commands.gateway_run import DEFAULT_CONFIG
from tools.errors import SteigerError, UsageError
from tools.language import check_lang

if TYPE_CHECKING:
    from tools.colocation import Fit, Quality

app = typer.Typer(
    help="Fit a sensor to a reference, and look up what a calibration stands for.",
    no_args_is_help=True,
    add_completion=False,
)

PROGRESS_AFTER_S = 2.0
GOOD_DAYS = 14  # fewer see too little weather
SUFFIXES = {"min": 60, "h": 3600, "d": 86_400}

_WORDS = {
    "en": {
        "pairs": "{item}: {count} intervals of {interval} on {days} days, {left_out} left out",
        "constants": "slope {slope:g}, offset {offset:g} {unit}, kappa {kappa:g}",
        "before": "before",
        "after": "after",
        "validated": "validated",
        "short": "{days} days see little weather: {good} or more are better",
        "wrote": "wrote {path}",
        "next": "next: steiger node calibrate TARGET --passport {path}",
        "fitting": "fitting …",
        "none": "no calibration yet in {path}",
    },
    "de": {
        "pairs": "{item}: {count} Intervalle von {interval} an {days} Tagen, {left_out} ausgelassen",
        "constants": "Steigung {slope:g}, Versatz {offset:g} {unit}, Kappa {kappa:g}",
        "before": "vorher",
        "after": "nachher",
        "validated": "geprüft",
        "short": "{days} Tage sehen wenig Wetter: {good} oder mehr sind besser",
        "wrote": "geschrieben: {path}",
        "next": "weiter: steiger node calibrate ZIEL --passport {path}",
        "fitting": "wird angepasst …",
        "none": "noch keine Kalibrierung in {path}",
    },
}

Lang = Annotated[str, typer.Option(help="en or de")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]
ConfigOption = Annotated[Path | None, typer.Option(help="gateway.toml: its calibration sets are used")]
FolderOption = Annotated[Path | None, typer.Option(help="Folder of calibration sets, instead of --config's")]


@app.command()
def fit(
    raw: Annotated[Path, typer.Argument(help="CSV of the sensor: an export of the gateway, or time, value, humidity")],
    reference: Annotated[Path, typer.Argument(help="CSV of the reference instrument: time, value")],
    channel: Annotated[str, typer.Option(help="What was compared: pm2_5, temperature:1 …")],
    author: Annotated[str, typer.Option(help="Who did it")],
    instrument: Annotated[str, typer.Option("--reference", help="The reference instrument, with its serial number")],
    expires: Annotated[str, typer.Option(help="Last day of the calibration, as 2027-03-31")],
    output: Annotated[Path, typer.Option(help="The passport to write")] = Path("passport.toml"),
    plot: Annotated[Path | None, typer.Option(help="Picture to write (default: beside the passport, .svg)")] = None,
    humidity: Annotated[bool, typer.Option("--humidity", help="Fit the growth of particles by water, too")] = False,
    interval: Annotated[str, typer.Option(help="Common interval: 10min, 1h, 1d")] = "1h",
    share: Annotated[float, typer.Option(help="Part of an interval that both must have", min=0.1, max=1)] = 0.75,
    min_pairs: Annotated[int, typer.Option(help="Fewer common intervals are refused", min=10)] = 72,
    date: Annotated[str | None, typer.Option(help="Day of the calibration (default: the last one of the data)")] = None,
    raw_column: Annotated[str | None, typer.Option(help="Column of RAW's values")] = None,
    humidity_column: Annotated[str | None, typer.Option(help="Column of RAW's humidity, %")] = None,
    reference_column: Annotated[str | None, typer.Option(help="Column of REFERENCE's values")] = None,
    raw_zone: Annotated[str, typer.Option(help="Of RAW's times without one: UTC, +01:00")] = "UTC",
    reference_zone: Annotated[str, typer.Option(help="Of REFERENCE's times without one: UTC, +01:00")] = "UTC",
    raw_starts: Annotated[bool, typer.Option("--raw-starts", help="RAW's times are beginnings, not ends")] = False,
    reference_starts: Annotated[bool, typer.Option("--reference-starts", help="REFERENCE's are, too")] = False,
    config: ConfigOption = None,
    calibrations: FolderOption = None,
    lang: Lang = "en",
    as_json: JsonOption = False,
) -> int:
    """Fit slope and offset (and humidity) from values measured side by side, and write a passport with a picture."""
    from gateway.calibration import MICROPHONE, find_set
    from tools import colocation, colocation_csv, passports
    from tools.colocation_plot import svg
    from wire import channels

    words = _words(lang)
    if channel.startswith(MICROPHONE):
        raise UsageError(
            "a microphone is calibrated with a sound calibrator, not beside another one",
            next_step="steiger node calibrate TARGET --channel microphone --offset DB",
        )
    probe = passports.wish(
        {
            "author": author, "reference": instrument, "expires": expires, "date": date or "2000-01-01",
            "channels": {channel: {"slope": 1.0}},
        }, "",
    )  # fmt: skip
    (item,) = probe.passport.items
    if humidity and item.partition(":")[0] not in passports.PARTICLES:
        raise UsageError(f"--humidity is for particle masses, not for {item}")
    interval_s = _seconds(interval)
    folder = _folder(config, calibrations)
    said = _Progress("" if as_json else words["fitting"])
    ours = colocation_csv.Columns(raw_column, humidity_column, None, colocation_csv.parse_zone(raw_zone), raw_starts)
    theirs = colocation_csv.Columns(
        reference_column, None, None, colocation_csv.parse_zone(reference_zone), reference_starts
    )
    samples = colocation_csv.read_samples(raw, ours, item, lambda number: find_set(folder, int(number, 16)))
    said()
    pairs, left_out = colocation.intervals(
        samples,
        colocation_csv.read_series(reference, theirs, [item.partition(":")[0], "reference"]),
        interval_s,
        share,
    )
    if len(pairs) < min_pairs:
        raise SteigerError(
            f"{len(pairs)} common intervals of {interval} are too few: {min_pairs} are needed",
            where=f"{raw}, {reference}",
            next_step="Measure longer side by side; or the times do not meet: see --raw-zone and --reference-zone",
        )
    shift = colocation.lag(pairs, interval_s)
    if shift:
        raise SteigerError(
            f"the clocks differ: the reference is late by {abs(shift)} × {interval}"
            if shift > 0
            else f"the clocks differ: the reference is early by {abs(shift)} × {interval}",
            where=str(reference),
            next_step="Check time zones and whether times are beginnings: --reference-zone, --reference-starts",
        )
    base = channels.by_name(item.partition(":")[0])
    found = colocation.fit(pairs, left_out, humidity=humidity, decimals=base.decimals, step=said)
    day = date or datetime.fromtimestamp(found.pairs[-1].end_s - 1, UTC).date().isoformat()
    table = _table(found, base.decimals)
    figures = _figures(found)
    head = {
        "author": author, "date": day, "expires": expires, "reference": instrument,
        "method": f"co-location, {len(pairs)} intervals of {interval} on {found.days} days"
        + (", kappa-Koehler humidity term" if humidity else ""),
    }  # fmt: skip
    passports.wish({**head, "channels": {item: table}, "figures": figures}, str(output))
    picture = plot or output.with_suffix(".svg")
    _write(output, passports.passport_text(head, {item: table}, figures))
    title = f"{item}: {instrument}, {day}, {author}"
    _write(picture, svg(found, item, base.unit, base.decimals, interval_s, title, lang))
    answer = {
        "item": item, "unit": base.unit, "pairs": len(pairs), "left_out": left_out, "days": found.days,
        **table, **figures, "passport": str(output), "plot": str(picture),
    }  # fmt: skip
    if as_json:
        print(json.dumps(answer))
        return 0
    print(words["pairs"].format(item=item, count=len(pairs), interval=interval, days=found.days, left_out=left_out))
    print("  " + words["constants"].format(unit=base.unit, **{"kappa": 0.0, **table}))
    for name, each in (("before", found.before), ("after", found.after), ("validated", found.validated)):
        print(f"  {words[name]:10} R² {each.r2:.3f}  RMSE {each.rmse:.3g}  bias {each.bias:+.3g} {base.unit}")
    if found.days < GOOD_DAYS:
        print(f"  ! {words['short'].format(days=found.days, good=GOOD_DAYS)}")
    print(words["wrote"].format(path=f"{output}, {picture}"))
    print(words["next"].format(path=output))
    return 0


def _table(found: Fit, decimals: int) -> dict[str, float]:
    from gateway.calibration import UNIT_SLOPE

    table = {"slope": found.constants.slope / UNIT_SLOPE, "offset": found.constants.offset / 10**decimals}
    return table | ({"kappa": found.constants.kappa / 1000} if found.constants.kappa else {})


def _figures(found: Fit) -> dict[str, float]:
    def of(name: str, each: Quality) -> dict[str, float]:
        told = {"r2": each.r2, "rmse": each.rmse, "bias": each.bias}
        return {f"{key}_{name}": float(f"{value:.4g}") for key, value in told.items()}

    return {
        "intervals": float(len(found.pairs)), **of("before", found.before), **of("after", found.after),
        **of("validated", found.validated),
    }  # fmt: skip


@app.command()
def show(
    number: Annotated[str | None, typer.Argument(help="Number of a calibration, as in exports (default: all)")] = None,
    config: ConfigOption = None,
    calibrations: FolderOption = None,
    lang: Lang = "en",
    as_json: JsonOption = False,
) -> int:
    """What a calibration stands for: constants, who, when, by what, until when, and the way back to the raw value."""
    from gateway.calibration import find_set, sets_in
    from tools.calibration_words import described, lines

    words = _words(lang)
    folder = _folder(config, calibrations)
    if number is None:
        found = sets_in(folder)
    else:
        if not re.fullmatch("[0-9a-fA-F]{8}", number):
            raise UsageError(f"'{number}' is no number of a calibration", next_step="It has 8 hexadecimal digits")
        one = find_set(folder, int(number, 16))
        if one is None:
            raise SteigerError(
                f"calibration {number} is not known here",
                where=str(folder),
                next_step="steiger calibrate add FILE brings it from where it was made",
            )
        found = [one]
    now_ms = int(time.time() * 1000)
    told = [{"where": str(folder)} | described(one, {}, one.number, now_ms) for one in found]
    if as_json:
        print(json.dumps(told))
    else:
        print("\n".join(line for answer in told for line in lines(answer, lang)) or words["none"].format(path=folder))
    return 0


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="Calibration sets, NUMBER.json")],
    config: Annotated[Path, typer.Option(help="gateway.toml")] = DEFAULT_CONFIG,
    lang: Lang = "en",
    as_json: JsonOption = False,
) -> int:
    """Hand sets that were made without a gateway to it; from then on it knows what their values went through."""
    from gateway.calibration import read_set, write_set

    words = _words(lang)
    folder = _folder(config, None)
    kept = [write_set(folder, one) for one in [read_set(path) for path in files]]
    if as_json:
        print(json.dumps([{"calibration": path.stem, "set": str(path)} for path in kept]))
    else:
        for path in kept:
            print(words["wrote"].format(path=path))
    return 0


def _words(lang: str) -> dict[str, str]:
    check_lang(lang)
    return _WORDS[lang]


def _folder(config: Path | None, calibrations: Path | None) -> Path:
    """Where the sets lie."""
    from gateway.calibration import FOLDER

    if calibrations is not None:
        return calibrations
    if config is None:
        return Path(FOLDER)
    from gateway.config import load

    return Path(load(config).gateway.data_dir) / FOLDER


def _seconds(text: str) -> int:
    for suffix, seconds in SUFFIXES.items():
        count = text.removesuffix(suffix)
        if count != text and count.isascii() and count.isdecimal() and 60 <= int(count) * seconds <= 86_400:
            return int(count) * seconds
    raise UsageError(f"'{text}' is no interval", next_step="Write it as 10min, 1h or 1d")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path)) from None


class _Progress:
    """A word on the terminal when it takes longer."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._began_s = time.monotonic()

    def __call__(self, *_: Any) -> None:
        if self._word and time.monotonic() - self._began_s > PROGRESS_AFTER_S:
            print(self._word, file=sys.stderr, flush=True)
            self._word = ""
