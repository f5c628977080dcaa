"""Calibration sets: what is done to a board's values, on whose word, and until when that holds.

A set is one file, `calibrations/NUMBER.json` in the gateway's data directory, written by `steiger node calibrate` and
never changed afterwards. NUMBER is what the board's profiles carry (wire/calibration.py): it names every constant in force
and, by the setting `passport`, the people and instruments behind them. So a file that does not belong to its number is
seen, and names, dates and instruments never travel to a board.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from gateway.durable import sync_folder
from gateway.errors import GatewayError
from wire import channels, settings
from wire.calibration import CALIBRATION, calibration

FOLDER = "calibrations"
SLOTS = 16
MICROPHONE = "microphone"  # all sound levels of one instance, by `mic_offset_cdb`
UNIT_SLOPE = 10_000
HUMID = 950  # firmware/correction.py takes no more
MAX_BYTES = 1 << 20

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$")]
Text = Annotated[str, Meta(min_length=1, max_length=300)]


class CalibrationError(GatewayError):
    """A calibration cannot be read, or is not what it says."""

    exit_code = 2


DAY_MS = 86_400_000


class Passport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Who vouches for the constants of `items`, with what, and how long."""

    author: Text
    date: Day
    expires: Day  # the last day on which it holds, UTC
    reference: Text  # instrument, with its serial number
    items: Annotated[tuple[str, ...], Meta(min_length=1)]  # "pm2_5", "pm2_5:1", "microphone"
    method: str = ""
    note: str = ""
    figures: dict[str, float] = {}  # r2, rmse, bias … of a fit

    def expires_ms(self) -> int:
        """The first instant at which it holds no more, unix ms."""
        day = datetime.combine(date.fromisoformat(self.expires), datetime.min.time(), UTC)
        return int(day.timestamp()) * 1000 + DAY_MS  # there is no day after 9999-12-31


class CalibrationSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that makes up one calibration number. `settings`: of wire.calibration.CALIBRATION, those that are set."""

    version: int = 1
    number: str
    settings: dict[str, int]
    passports: tuple[Passport, ...] = ()


class Constants(NamedTuple):
    """What is done to one item: wire/calibration.py has the formula."""

    slope: int = UNIT_SLOPE
    offset: int = 0
    kappa: int = 0


def digest(passports: tuple[Passport, ...]) -> int:
    """The setting `passport` that names these; 0 for none."""
    if not passports:
        return 0
    text = msgspec.json.encode(passports, order="deterministic")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") or 1


def make_set(values: dict[str, int], passports: tuple[Passport, ...]) -> CalibrationSet:
    """The set of these settings; what has its default, and what is no calibration, is left out."""
    kept = {name: value for name, value in sorted(values.items()) if is_calibration(name) and value != default(name)}
    kept.pop("passport", None)
    if passports:
        kept["passport"] = digest(passports)
    return CalibrationSet(number=f"{calibration(kept):08x}", settings=kept, passports=passports)


def is_calibration(name: str) -> bool:
    return name.partition(".")[0] in CALIBRATION


def default(name: str) -> int:
    return int(settings.by_name(name.partition(".")[0]).default)


def item_name(channel_id: int, instance: int) -> str:
    """`pm2_5`, or `pm2_5:1`, as boards name it."""
    name: str = channels.by_id(channel_id).name
    return f"{name}:{instance}" if instance else name


def slots(values: dict[str, int]) -> dict[str, Constants]:
    """The constants of each item that has some, in the order of the slots."""
    found = {}
    for slot in range(SLOTS):
        packed = values.get(f"cal_item.{slot}", 0)
        if not packed:
            break
        found[item_name(packed >> 4, packed & 15)] = Constants(
            values.get(f"cal_slope.{slot}", UNIT_SLOPE),
            values.get(f"cal_offset.{slot}", 0),
            values.get(f"cal_kappa.{slot}", 0),
        )
    return found


def covering(passports: tuple[Passport, ...], channel_id: int, instance: int) -> Passport | None:
    """The passport that speaks of this item."""
    names = {item_name(channel_id, instance)}
    if channels.by_id(channel_id).unit == "dB":
        names.add(f"{MICROPHONE}:{instance}" if instance else MICROPHONE)
    for passport in passports:
        if names & set(passport.items):
            return passport
    return None


def changed(values: dict[str, int], channel_id: int, instance: int) -> bool:
    """Whether these settings change what the item reports."""
    if item_name(channel_id, instance) in slots(values):
        return True
    channel = channels.by_id(channel_id)
    setting = {"dB": "mic_offset_cdb", "Cel": "temperature_offset_cdeg"}.get(channel.unit)
    return setting is not None and bool(values.get(f"{setting}.{instance}", 0))


def reported(raw: int, constants: Constants, humidity: int | None) -> int:
    """What a board reports for a window whose uncorrected value is `raw`; all in raw units of the channel."""
    above, below = _gain(constants, humidity)
    return (2 * raw * above + below) // (2 * below) + constants.offset


def raw_of(value: int, constants: Constants, humidity: int | None) -> float:
    """The uncorrected value behind a reported one; exact to half a unit of the report, divided by the gain."""
    above, below = _gain(constants, humidity)
    return (value - constants.offset) * below / above


def _gain(constants: Constants, humidity: int | None) -> tuple[int, int]:
    above, below = constants.slope, UNIT_SLOPE
    if constants.kappa and humidity is not None:
        h = min(max(humidity, 0), HUMID)
        dry = 1650 * (1000 - h)
        above, below = above * dry, below * (dry + constants.kappa * h)
    return above, below


def decode_set(data: bytes, where: str) -> CalibrationSet:
    """A set that is what its number says; CalibrationError."""
    try:
        found = msgspec.json.decode(data, type=CalibrationSet)
        for passport in found.passports:
            date.fromisoformat(passport.date)
            passport.expires_ms()
        unknown = [name for name in found.settings if not is_calibration(name)]
        true = digest(found.passports), f"{calibration(found.settings):08x}"
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, KeyError) as error:
        raise CalibrationError(f"is no calibration set: {error}", where=where, next_step="Copy it again") from None
    if found.version != 1:
        raise CalibrationError(f"version {found.version} is not 1", where=where, next_step="Update Steiger")
    if unknown or true != (found.settings.get("passport", 0), found.number):
        raise CalibrationError(
            "was changed: it is not what its number says", where=where, next_step="Copy it again from where it was made"
        )
    return found


def read_set(path: Path) -> CalibrationSet:
    try:
        data = path.read_bytes()[:MAX_BYTES]
    except OSError as error:
        raise CalibrationError(f"cannot be read: {error.strerror}", where=str(path)) from None
    return decode_set(data, str(path))


def find_set(folder: Path, number: int) -> CalibrationSet | None:
    """The set with this number, None if the folder has it not."""
    if not number:
        return CalibrationSet(number="00000000", settings={})
    path = folder / f"{number:08x}.json"
    if not path.is_file():
        return None
    found = read_set(path)
    if found.number != path.stem:
        raise CalibrationError(f"holds the set {found.number}", where=str(path), next_step="Name it by its number")
    return found


def write_set(folder: Path, found: CalibrationSet) -> Path:
    """Put it there, whole or not at all; it belongs to the folder's owner and is no secret."""
    path = folder / f"{found.number}.json"
    content = msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"
    decode_set(content, str(path))  # what could not be read again must reach no board
    part = folder / f".{found.number}.{os.getpid()}.part"
    try:
        new = not folder.exists()
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the gateway makes its data directory
        folder.mkdir(exist_ok=True, mode=0o755)
        owner = folder.parent.stat()
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        if os.geteuid() == 0:  # the gateway's user owns what lies in its directory, whoever put it there
            os.chown(part, owner.st_uid, owner.st_gid)
            if new:
                os.chown(folder, owner.st_uid, owner.st_gid)
        part.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise CalibrationError(
            f"the calibration cannot be kept: {error.strerror}", where=str(folder), next_step="Check its owner and mode"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    return path


def sets_in(folder: Path) -> list[CalibrationSet]:
    """All that are there, by number; CalibrationError names the first one that is wrong."""
    return [read_set(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
