"""A calibration passport as a person writes it, and what it makes of a board's calibration.

The file is TOML (docs/calibration.md): author, date, expires, reference, then one table `[channels.NAME]` for each quantity
with slope, offset (in the channel's unit), and for particle masses kappa. `microphone` stands for all sound levels.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from gateway.calibration import (
    MICROPHONE,
    SLOTS,
    UNIT_SLOPE,
    CalibrationSet,
    Constants,
    Passport,
    default,
    is_calibration,
    item_name,
    make_set,
    slots,
)
from tools.errors import SteigerError, UsageError
from wire import channels
from wire.calibration import calibration
from wire.settings import by_name

SHOWN = "docs/calibration.md shows a passport"
PARTICLES = ("pm1", "pm2_5", "pm4", "pm10")
HEAD = ("author", "date", "expires", "reference", "method", "note")
FIGURE_MAX = 1e300
TEXT_MAX = 300
MAX_BYTES = 1 << 20
PERSONAL = ("cal_", "passport", "mic_offset_cdb")  # what only a passport explains; the rest is how a board hangs


class Wish(NamedTuple):
    """What a passport asks for."""

    passport: Passport
    constants: dict[str, Constants]  # by item
    microphones: dict[int, int]  # offset in 0.01 dB by instance


def load_passport(path: Path) -> Wish:
    """Read and check a passport; UsageError says what is wrong in it."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise UsageError("this is no passport: it is too long", where=str(path), next_step=SHOWN)
        tree = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"the passport cannot be read: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the passport is no valid TOML: {error}", where=str(path), next_step=SHOWN) from None
    if tree.pop("version", 1) != 1:
        raise UsageError("the passport has a version that is not 1", where=str(path), next_step="Update Steiger")
    return wish(tree, str(path))


def wish(tree: Mapping[str, Any], where: str) -> Wish:
    """The same from its keys."""
    for key in tree:
        if key not in (*HEAD, "channels", "figures"):
            raise UsageError(f"the passport has an unknown key '{key}'", where=where, next_step=SHOWN)
    head = {name: _text(tree, name, where) for name in HEAD}
    days = {name: _day(head[name], name, where) for name in ("date", "expires")}
    if days["expires"] < days["date"]:
        raise UsageError(f"the passport expires on {days['expires']}, before its date {days['date']}", where=where)
    named = tree.get("channels")
    if not isinstance(named, dict) or not named:
        raise UsageError("the passport calibrates no channel", where=where, next_step=SHOWN)
    constants: dict[str, Constants] = {}
    microphones: dict[int, int] = {}
    items = []
    for name, table in named.items():
        channel, instance = _item(name, where)
        given = _numbers(name, table, where)
        if channel is None:
            microphones[instance] = _microphone(name, given, where)
            items.append(f"{MICROPHONE}:{instance}" if instance else MICROPHONE)
            continue
        constants[item_name(channel.id, instance)] = _constants(name, channel, given, where)
        items.append(item_name(channel.id, instance))
    if len(set(items)) < len(items):
        raise UsageError("the passport names a channel twice", where=where)
    figures = tree.get("figures", {})
    if not isinstance(figures, dict) or not all(_is_number(value) for value in figures.values()):
        raise UsageError("figures of a passport are numbers", where=where, next_step=SHOWN)
    passport = Passport(
        author=head["author"],
        date=head["date"],
        expires=head["expires"],
        reference=head["reference"],
        method=head["method"],
        note=head["note"],
        items=tuple(sorted(items)),
        figures={str(name): float(value) for name, value in sorted(figures.items())},
    )
    return Wish(passport, constants, microphones)


def passport_text(
    head: Mapping[str, str], named: Mapping[str, Mapping[str, float]], figures: Mapping[str, float]
) -> str:
    """The file, as `load_passport` reads it."""
    lines = ["# A calibration passport of Steiger (docs/calibration.md)", "version = 1"]
    lines += [f"{name} = {_quoted(head[name])}" for name in HEAD if head.get(name)]
    for item, table in named.items():
        lines += ["", f"[channels.{_quoted(item)}]", *(f"{key} = {value!r}" for key, value in table.items())]
    if figures:
        lines += ["", "[figures]", *(f"{name} = {value!r}" for name, value in figures.items())]
    return "\n".join(lines) + "\n"


def _is_number(value: object) -> bool:
    """That JSON can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < FIGURE_MAX


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON's escapes are among its own."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(tree: Mapping[str, Any], name: str, where: str) -> str:
    value = tree.get(name)
    if isinstance(value, date):
        value = value.isoformat()
    if value is None and name in ("method", "note"):
        return ""
    if value is None:
        raise UsageError(f"the passport has no '{name}'", where=where, next_step=SHOWN)
    if not isinstance(value, str) or len(value) > TEXT_MAX or not (value.strip() or name in ("method", "note")):
        raise UsageError(f"'{name}' of the passport is no text of 1 to {TEXT_MAX} characters", where=where)
    return value.strip()


def _day(text: str, name: str, where: str) -> date:
    try:
        day = date.fromisoformat(text)
        if day.isoformat() != text:  # a day of a week, too, has ten characters
            raise ValueError
        return day
    except ValueError:
        raise UsageError(
            f"'{name}' of the passport is no day: {text}", where=where, next_step="Write it as 2027-03-31"
        ) from None


def _item(name: str, where: str) -> tuple[Any, int]:
    """(channel or None for a microphone, instance)"""
    base, _, text = name.partition(":")
    instance = int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else -1 if _ else 0
    highest = 3 if base == MICROPHONE else 15
    if not 0 <= instance <= highest:
        raise UsageError(f"'{name}' has no instance 0 to {highest}", where=where)
    if base == MICROPHONE:
        return None, instance
    try:
        channel = channels.by_name(base)
    except KeyError:
        raise UsageError(
            f"there is no channel '{base}'", where=where, next_step="docs/wire-protocol.md lists them; or: microphone"
        ) from None
    if channel.unit == "dB":
        raise UsageError(
            f"{base} is a sound level: all levels of a microphone are calibrated together",
            where=where,
            next_step="Name it microphone, or microphone:1 for the second one",
        )
    if channel.kind not in (channels.MEAN, channels.MAX) or channel.min_count:
        raise UsageError(f"{base} rests on counted events: there is nothing to calibrate", where=where)
    return channel, instance


def _numbers(name: str, table: Any, where: str) -> dict[str, float]:
    if not isinstance(table, dict):
        raise UsageError(f"'{name}' is no table", where=where, next_step=SHOWN)
    for key, value in table.items():
        if key not in ("slope", "offset", "kappa"):
            raise UsageError(f"'{name}' has an unknown key '{key}'", where=where, next_step=SHOWN)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
            raise UsageError(f"{key} of {name} is no number", where=where)
    return {key: float(value) for key, value in table.items()}


def _scaled(name: str, key: str, value: float, scale: int, setting: str, where: str) -> int:
    row = by_name(setting)
    number = round(value * scale)
    if not row.low <= number <= row.high:
        raise UsageError(f"{key} of {name} is {value:g}, not {row.low / scale:g} to {row.high / scale:g}", where=where)
    return number


def _microphone(name: str, given: dict[str, float], where: str) -> int:
    if set(given) != {"offset"}:
        raise UsageError(f"{name} has an offset in dB and nothing else", where=where, next_step=SHOWN)
    return _scaled(name, "offset", given["offset"], 100, "mic_offset_cdb", where)


def _constants(name: str, channel: Any, given: dict[str, float], where: str) -> Constants:
    if not given:
        raise UsageError(f"{name} has no slope, offset or kappa", where=where, next_step=SHOWN)
    if "kappa" in given and channel.name not in PARTICLES:
        raise UsageError(f"kappa is for particle masses, not for {name}", where=where)
    return Constants(
        _scaled(name, "slope", given.get("slope", 1.0), UNIT_SLOPE, "cal_slope", where),
        _scaled(name, "offset", given.get("offset", 0.0), 10**channel.decimals, "cal_offset", where),
        _scaled(name, "kappa", given.get("kappa", 0.0), 1000, "cal_kappa", where),
    )


# -- what becomes of a board's calibration ---------------------------------------------------------------------------


def merged(present: Mapping[str, int], known: CalibrationSet | None, wanted: Wish, *, replace: bool) -> CalibrationSet:
    """The set that a board with the settings `present` shall have. `known`: its present set, if somebody keeps it.

    What the passport does not name stays as it is, passports too; with `replace`, how the board hangs alone stays.
    """
    values = {name: value for name, value in present.items() if is_calibration(name) and value != default(name)}
    personal = {name: value for name, value in values.items() if name.startswith(PERSONAL)}
    if personal and known is None and not replace:
        raise SteigerError(
            f"the board's calibration {calibration(values):08x} is not known here: who made it would be lost",
            next_step="Give the --config of its gateway, or the --calibrations folder where it was made, "
            "or --replace to begin anew",
        )
    constants: dict[str, Constants] = {}
    passports: list[Passport] = []
    kept = {name: value for name, value in values.items() if name not in personal}
    if not replace:
        constants = slots(values)
        kept |= {name: value for name, value in personal.items() if name.startswith("mic_")}
        for passport in known.passports if known else ():
            items = tuple(item for item in passport.items if item not in wanted.passport.items)
            if items:
                passports.append(_with_items(passport, items))
    constants |= wanted.constants
    used = [(item, each) for item, each in constants.items() if each != Constants()]
    if len(used) > SLOTS:
        raise UsageError(f"a board holds constants of {SLOTS} channels, these are {len(used)}")
    for slot, (item, each) in enumerate(used):
        base, _, instance = item.partition(":")
        kept[f"cal_item.{slot}"] = channels.id_of(base) << 4 | int(instance or 0)
        kept |= {f"cal_slope.{slot}": each.slope, f"cal_offset.{slot}": each.offset, f"cal_kappa.{slot}": each.kappa}
    kept |= {f"mic_offset_cdb.{instance}": offset for instance, offset in wanted.microphones.items()}
    return make_set(kept, (*passports, wanted.passport))


def _with_items(passport: Passport, items: tuple[str, ...]) -> Passport:
    import msgspec

    return msgspec.structs.replace(passport, items=items)


def changes(present: Mapping[str, int], new: CalibrationSet) -> tuple[tuple[int, int, int], ...]:
    """(id, instance, value) of each setting that leads from `present` to the new set."""
    out = []
    for name in sorted({*(name for name in present if is_calibration(name)), *new.settings}):
        value = new.settings.get(name, default(name))
        if present.get(name, default(name)) != value:
            base, _, instance = name.partition(".")
            out.append((by_name(base).id, int(instance or 0), value))
    return tuple(out)
