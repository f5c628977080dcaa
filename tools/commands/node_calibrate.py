"""`steiger node calibrate`: gives a board its calibration, or shows the one that it has. German with `--lang de`."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import NoConnection, UsageError
from tools.language import check_lang

CALIBRATOR_DB = 94
_WORDS = {
    "en": {
        "done": "{where}: calibration {number} ({items}), in force when the open windows end",
        "same": "{where}: has calibration {number} already",
        "expired": "  ! it expired on {expires}: its values are flagged suspect",
        "cable": "the windows end, and it takes over, once the board has the time from its gateway",
        "kept": "kept: {path}",
        "hand": "hand it to the board's gateway: steiger calibrate add {path} --config gateway.toml",
    },
    "de": {
        "done": "{where}: Kalibrierung {number} ({items}), in Kraft, wenn die offenen Intervalle enden",
        "same": "{where}: hat Kalibrierung {number} schon",
        "expired": "  ! sie ist am {expires} abgelaufen: ihre Werte gelten als suspect",
        "cable": "das Intervall endet, und sie gilt, sobald die Platine die Zeit von ihrem Gateway hat",
        "kept": "aufbewahrt: {path}",
        "hand": "dem Gateway der Platine geben: steiger calibrate add {path} --config gateway.toml",
    },
}


def calibrate(
    target: Annotated[str, typer.Argument(help="Serial port of the board, or with --config the address of a node")],
    passport: Annotated[Path | None, typer.Option(help="Passport, as `steiger calibrate fit` writes it")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the calibration that the board has")] = False,
    channel: Annotated[str | None, typer.Option(help="Without a file: pm2_5, temperature:1, microphone …")] = None,
    slope: Annotated[float | None, typer.Option(help="… its slope")] = None,
    offset: Annotated[float | None, typer.Option(help="… its offset, in the channel's unit")] = None,
    kappa: Annotated[float | None, typer.Option(help="… the hygroscopicity of particles")] = None,
    author: Annotated[str | None, typer.Option(help="… who calibrated it")] = None,
    reference: Annotated[str | None, typer.Option(help="… the reference instrument, with its serial number")] = None,
    expires: Annotated[str | None, typer.Option(help="… its last day, as 2027-03-31")] = None,
    date: Annotated[str | None, typer.Option(help="… the day of the calibration (default: today)")] = None,
    method: Annotated[str, typer.Option(help="… how")] = "",
    calibrator: Annotated[
        int | None, typer.Option(help="A sound calibrator of 94 dB and 1 kHz is on the microphone: measure its offset")
    ] = None,
    sensor: Annotated[int, typer.Option(help="… the microphone's place in board.toml", min=0, max=15)] = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Forget the constants of all other channels")] = False,
    config: Annotated[Path | None, typer.Option(help="gateway.toml of the board's gateway")] = None,
    calibrations: Annotated[
        Path | None, typer.Option(help="Folder of calibration sets (default: that of --config, or ./calibrations)")
    ] = None,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait for a node's answer", min=1, max=3600)] = 30,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Set slope, offset, microphone sensitivity or humidity correction of a board, with who, when, by what and until when.

    TARGET is a serial port (the board then stands beside you) or, with --config, the address of a node that its gateway
    hears. Nothing but numbers goes to the board; the rest is kept with the gateway, under the calibration's number.
    """
    from tools import calibrate_node as job
    from tools import listen
    from tools.german import teller

    check_lang(lang)
    given = {"slope": slope, "offset": offset, "kappa": kappa}
    head = {"author": author, "reference": reference, "expires": expires, "date": date, "method": method or None}
    if calibrator is not None:
        if passport or show or any(value is not None for value in given.values()):
            raise UsageError("--calibrator measures the offset: leave out --passport, --show and constants")
        if calibrator != CALIBRATOR_DB:
            raise UsageError(f"a calibrator of {calibrator} dB is not known", next_step="Set it to 94 dB and 1 kHz")
        channel, head["method"] = channel or "microphone", "sound calibrator, 94 dB, 1 kHz"
        given["offset"] = 0.0  # measured later: what else is wrong shall be said before anybody listens
    wanted = None if show else _wish(passport, channel, given, head)
    if show and (
        passport or channel or replace or any(value is not None for value in (*given.values(), *head.values()))
    ):
        raise UsageError("--show changes nothing: leave out --passport and --channel")

    tell = teller(lang, as_json)

    if wanted is not None and calibrator is not None and not wanted.microphones:
        raise UsageError(f"a sound calibrator is for a microphone, not for {channel}")
    by_cable = not (target.isascii() and target.isdecimal())
    settings = _load(config)
    if by_cable and not os.path.exists(target):
        raise NoConnection("there is no such port", where=target, next_step="Plug the board in; see: ls /dev/tty*")
    if by_cable and settings is None:
        settings = listen.config_of_port(target)
    data_dir = Path(settings.gateway.data_dir) if settings is not None else None
    folder = calibrations or (data_dir / "calibrations" if data_dir is not None else Path("calibrations"))
    if by_cable and calibrator is not None:
        raise UsageError(
            "a microphone listens while its board runs: it is calibrated through the gateway",
            where=target,
            next_step="Give the address of its node and --config",
        )
    if by_cable:
        answer = _over_cable(target, data_dir, folder, wanted, replace, tell)
    elif data_dir is None:
        raise UsageError(
            f"{target} is the address of a node, and no gateway is named", next_step="Give its --config, or a port"
        )
    else:
        node = job.ByGateway(data_dir, folder, int(target), wait_s, tell)
        if wanted is not None and calibrator is not None:
            wanted = _listened(wanted, node, sensor)
        answer = _done(node, folder, wanted, replace)
    answer["handed_over"] = data_dir is not None and folder == data_dir / "calibrations"
    if as_json:
        print(json.dumps(answer))
    else:
        _print(answer, _WORDS[lang], lang, by_cable)


def _load(config: Path | None) -> Any:
    if config is None:
        return None
    from gateway.config import load

    return load(config)


def _wish(
    passport: Path | None, channel: str | None, given: dict[str, float | None], head: dict[str, str | None]
) -> Any:
    from tools import passports

    constants = {name: value for name, value in given.items() if value is not None}
    told = {name: value for name, value in head.items() if value is not None}
    if passport is not None:
        if channel or constants or told:
            raise UsageError("a --passport says it all: leave out --channel and what belongs to it")
        return passports.load_passport(passport)
    if channel is None:
        raise UsageError(
            "nothing to do", next_step="Give --passport FILE, or --channel NAME with its constants, or --show"
        )
    told.setdefault("date", datetime.now(UTC).date().isoformat())
    for name in ("author", "reference", "expires"):
        if name not in told:
            raise UsageError(f"--{name} is missing", next_step="A calibration says who, with what, and until when")
    return passports.wish({**told, "channels": {channel: constants}}, "")


def _over_cable(
    port: str, data_dir: Path | None, folder: Path, wanted: Any, replace: bool, tell: Any
) -> dict[str, Any]:
    """A gateway that holds the port lends it meanwhile."""
    from tools import calibrate_node as job
    from tools.commands import node

    lent = node.borrow(data_dir, port, tell)
    try:
        board = job.ByCable(port, tell)
        try:
            return _done(board, folder, wanted, replace)
        finally:
            board.reset()  # its program stands still since it was asked
    finally:
        if lent:
            node.hand_back(data_dir, port)


def _listened(wanted: Any, node: Any, sensor: int) -> Any:
    """With the offset that the board measures under the calibrator."""
    from tools.mic_calibrator import microphone_offset

    offset_cdb = microphone_offset(node.ask, node.address, sensor, sleep=time.sleep, said=node.said)
    return wanted._replace(microphones=dict.fromkeys(wanted.microphones, offset_cdb))


def _done(target: Any, folder: Path, wanted: Any, replace: bool) -> dict[str, Any]:
    from tools import calibrate_node as job
    from tools.calibration_words import described

    if wanted is None:
        found, present, number = job.shown(target, folder)
        return {"node": target.address, "where": target.where} | described(
            found, present, number, int(time.time() * 1000)
        )
    done = job.calibrate(target, folder, wanted, replace=replace)
    return {
        "node": target.address,
        "where": target.where,
        "calibration": done.new.number,
        "before": done.before,
        "changed": done.changed,
        "items": list(wanted.passport.items),
        "expires": wanted.passport.expires,
        "expired": time.time() * 1000 > wanted.passport.expires_ms(),
        "set": str(done.kept),
    }


def _print(answer: dict[str, Any], words: dict[str, str], lang: str, by_cable: bool) -> None:
    from tools.calibration_words import lines

    if "items" not in answer:
        print("\n".join(lines(answer, lang)))
        return
    text = words["done" if answer["changed"] else "same"]
    print(text.format(where=answer["where"], number=answer["calibration"], items=", ".join(answer["items"])))
    if answer["expired"]:
        print(words["expired"].format(expires=answer["expires"]))
    if by_cable and answer["changed"]:
        print(words["cable"])
    print(words["kept" if answer["handed_over"] else "hand"].format(path=answer["set"]))
