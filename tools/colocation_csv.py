"""Reading the two tables of a co-location: exports of a gateway, or any CSV with a time and a value in each row."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from gateway.calibration import CalibrationSet, raw_of, slots
from tools.colocation import Sample
from tools.errors import SteigerError, UsageError
from wire import channels

TIMES = ("time_to", "time", "timestamp", "datetime", "date_time", "time_from", "date", "zeit", "zeitpunkt")
STARTS = ("time_from",)  # columns that name the beginning by themselves
GONE = ("bad", "missing")
ROWS_MAX = 20_000_000
SECONDS_MAX = 253_402_300_799  # the end of the year 9999
VALUE_MAX = 1e9  # squares of larger ones are beyond what can be added up
BYTES_SEEN = 1 << 16  # enough to tell separator and header
DAYS, CLOCKS = ("date", "datum"), ("time", "zeit", "uhrzeit")  # stations of the German states have both, or one in two
ENCODINGS = ("utf-8-sig", "cp1252")  # the second is what spreadsheets in Germany save
GERMAN_TIMES = ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y")

Sets = Callable[[str], CalibrationSet | None]


class Columns(NamedTuple):
    """How to read a table. `zone`: of times without an offset; `starts`: times are beginnings, not ends."""

    value: str | None = None
    humidity: str | None = None
    time: str | None = None
    zone: timezone = UTC
    starts: bool = False


def parse_zone(text: str) -> timezone:
    """`+01:00`, `UTC`; UsageError."""
    try:
        if text.upper() in ("UTC", "Z"):
            return UTC
        sign = {"+": 1, "-": -1}[text[0]]
        hours, _, minutes = text[1:].partition(":")
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes or 0)))
    except (KeyError, ValueError, IndexError, OverflowError):
        raise UsageError(f"'{text}' is no offset from UTC", next_step="Write it as +01:00") from None


class Table:
    """The rows of a CSV file; separator comma, semicolon or tab, decimal point or comma."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoding = _encoding(path)
        with path.open(encoding=self._encoding, newline="") as stream:
            head = stream.read(BYTES_SEEN).splitlines()
        first = head[0] if head else ""
        self._separator = max(";\t,", key=first.count)
        self.names = [name.strip() for name in next(csv.reader([first], delimiter=self._separator), [])]
        if len(self.names) < 2:
            raise UsageError(
                "the table has no header with a time and a value",
                where=str(path),
                next_step="docs/calibration.md has examples",
            )

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """(line number, row)"""
        with self.path.open(encoding=self._encoding, newline="") as stream:
            reader = csv.reader(stream, delimiter=self._separator)
            next(reader)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, dict(zip(self.names, row, strict=False))
                    if reader.line_num > ROWS_MAX:
                        raise UsageError(f"the table has more than {ROWS_MAX} rows", where=str(self.path))
            except (csv.Error, UnicodeDecodeError) as error:
                raise UsageError(f"the table cannot be read: {error}", where=str(self.path)) from None

    def column(self, wanted: str | None, known: Sequence[str], what: str) -> str:
        lower = {name.lower(): name for name in self.names}
        if wanted is not None:
            if wanted.lower() in lower:
                return lower[wanted.lower()]
        else:
            for name in known:
                if name in lower:
                    return lower[name]
        raise UsageError(
            f"the table has no column for {what}",
            where=str(self.path),
            next_step=f"It has {', '.join(self.names)}: name one of them"
            if what != "the time"
            else f"It has {', '.join(self.names)}: call one of them time",
        )

    def time_column(self, wanted: str | None) -> tuple[str, str | None]:
        """The column of the time, or those of day and time of day."""
        lower = {name.lower(): name for name in self.names}
        if wanted is None:
            day = next((lower[name] for name in DAYS if name in lower), None)
            clock = next((lower[name] for name in CLOCKS if name in lower), None)
            if day is not None and clock is not None:
                return day, clock
            if day is not None and not any(name in lower for name in TIMES):
                return day, None
        return self.column(wanted, TIMES, "the time"), None

    def time_s(self, text: str, columns: Columns, line: int) -> int:
        text = text.strip().strip("'")
        try:
            if text.isdecimal():
                if int(text) > SECONDS_MAX:  # milliseconds, perhaps
                    raise ValueError
                return int(text)
            moment = _moment(text)
        except ValueError:
            raise UsageError(
                f"'{text[:40]}' is no time",
                where=f"{self.path}:{line}",
                next_step="Times are ISO 8601 (2026-11-26 14:00), 26.11.2026 14:00 or unix seconds",
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=columns.zone)
        return int(moment.timestamp())

    def number(self, text: str | None, line: int) -> float | None:
        """None for what is not there."""
        text = (text or "").strip()
        if text.lower() in ("", "nan", "na", "null", "none", "-", "-999", "-9999"):
            return None
        if self._separator != ",":
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"'{text[:40]}' is no number", where=f"{self.path}:{line}") from None
        if not isfinite(value):
            return None
        if abs(value) > VALUE_MAX:
            raise UsageError(f"'{text[:40]}' is no value of an instrument", where=f"{self.path}:{line}")
        return value


def _encoding(path: Path) -> str:
    """The first of `ENCODINGS` that the whole file is written in; UsageError."""
    for encoding in ENCODINGS:
        try:
            with path.open(encoding=encoding, newline="") as stream:
                text = stream.read(BYTES_SEEN)
                if "\0" in text or text.startswith(("\u00ff\u00fe", "\u00fe\u00ff")):  # two bytes a character
                    break
                while stream.read(1 << 20):
                    pass
            return encoding
        except OSError as error:
            raise UsageError(f"the table cannot be read: {error.strerror}", where=str(path)) from None
        except UnicodeDecodeError:
            continue
    raise UsageError("the table is not UTF-8 text", where=str(path), next_step="Save it as UTF-8")


def _moment(text: str) -> datetime:
    """ISO 8601, or as Germans write it; 24:00 is the end of its day. ValueError."""
    end = text.endswith((" 24:00", " 24:00:00"))
    if end:
        text = text.replace(" 24:", " 00:")
    moment = None
    for form in GERMAN_TIMES if text[2:3] == "." else ():
        try:
            moment = datetime.strptime(text, form)
            break
        except ValueError:
            continue
    if moment is None:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment + timedelta(days=1) if end else moment


def read_series(path: Path, columns: Columns, names: Sequence[str]) -> list[tuple[int, float]]:
    """(end, value) in the order of time. `names`: how the value's column may be called if it is not said."""
    table = Table(path)
    time, clock = table.time_column(columns.time)
    value = table.column(columns.value, [*names, "value", "wert"], "the value")
    found = {}
    for line, row in table.rows():
        number = table.number(row.get(value), line)
        if number is not None:
            said = row.get(time, "") + (f" {row.get(clock, '')}" if clock else "")
            found[table.time_s(said, columns, line)] = number
    if not found:
        raise UsageError(
            f"the table has no number in its column '{value}'", where=str(path), next_step="Is it the right column?"
        )
    return _ends(found, columns.starts or time.lower() in STARTS)


def _ends(found: dict[int, float], starts: bool) -> list[tuple[int, float]]:
    times = sorted(found)
    if not starts or len(times) < 2:
        return [(time, found[time]) for time in times]
    steps = sorted(later - time for time, later in pairwise(times))
    step = steps[len(steps) // 2]  # what a row stands for, gaps or not
    return [(time + step, found[time]) for time in times]


def read_samples(path: Path, columns: Columns, item: str, sets: Sets) -> list[Sample]:
    """The sensor's raw values with the humidity measured beside them, in the order of time.

    An export of a gateway is known by its columns; values in it that were calibrated are led back to raw ones by `sets`.
    """
    table = Table(path)
    if {"quantity", "value", "time_to", "record_id"} <= set(table.names):
        return _from_export(table, item, sets)
    base = item.partition(":")[0]
    values = read_series(path, columns, [base, "raw"])
    humidity: dict[int, float] = {}
    has = [name for name in table.names if name.lower() in ("humidity", "rh", "feuchte")]
    if columns.humidity or has:
        named = columns.humidity or has[0]
        humidity = dict(read_series(path, columns._replace(value=named), []))
    return [Sample(time, value, humidity.get(time)) for time, value in values]


def _from_export(table: Table, item: str, sets: Sets) -> list[Sample]:
    base, _, instance = item.partition(":")
    suffix = f":{instance}" if instance else ""
    stations: set[str] = set()
    seen: set[str] = set()
    values: dict[str, tuple[int, float, str]] = {}
    humidity: dict[str, float] = {}
    for line, row in table.rows():
        number = table.number(row.get("value"), line)
        if number is None or row.get("quality") in GONE:
            continue
        sensor = row.get("sensor", "")
        seen.add(row["quantity"] + "".join(sensor.partition(":")[1:]))
        if row["quantity"] == base and sensor.partition(":")[2] == instance:
            stations.add(row.get("station_id", ""))
            end = table.time_s(row["time_to"], Columns(), line)
            values[row["record_id"]] = end, number, row.get("calibration") or ""
        elif row["quantity"] == "humidity" and ":" not in sensor:
            humidity[row["record_id"]] = number
    if not values:
        raise UsageError(
            f"the export has no values of {item}",
            where=str(table.path),
            next_step=f"It has: {', '.join(sorted(seen)[:20]) or '-'}",
        )
    if len(stations) > 1:
        raise UsageError(
            f"the export has {base}{suffix} of several stations: {', '.join(sorted(stations)[:5])}",
            where=str(table.path),
            next_step="Export one: steiger gateway export --node N",
        )
    samples = []
    for record, (end, reported, named) in values.items():
        beside = humidity.get(record)
        samples.append(Sample(end, _raw(reported, named, item, beside, sets, str(table.path)), beside))
    return sorted(samples)


def _raw(value: float, number: str, item: str, humidity: float | None, sets: Sets, where: str) -> float:
    """The value before its calibration."""
    if not number:
        return value
    found = sets(number)
    if found is None:
        raise SteigerError(
            f"the values were made by calibration {number}, which is not known here",
            where=where,
            next_step="Give the --config of their gateway, or its --calibrations folder",
        )
    constants = slots(found.settings).get(item)
    if constants is None:
        return value
    scale = int(10 ** channels.by_name(item.partition(":")[0]).decimals)
    h = None if humidity is None else round(humidity * 10)
    return raw_of(round(value * scale), constants, h) / scale
