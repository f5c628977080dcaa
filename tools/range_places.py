"""What range tests found: a CSV file with one row for each place, spreading factor and ear; what follows for where to mount."""

from __future__ import annotations

import csv
import math
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.links.rates import REQUIRED_DB
from tools.errors import UsageError, writing

PER_MAX = 0.1  # of a place that is good for anything
MARGIN_DB = 10.0  # as the gateway's lora.margin_db: fading and a wet summer's leaves take no more
MARGIN_MIN_DB = 3.0  # below that, the next rain decides
SNR_FULL_DB = 5.0  # above, chips tell no more of the SNR; the RSSI does
TRACK_S = 120  # a point of a track that is farther away in time says nothing
GOOD, WEAK, NOT_HERE = "good", "weak", "not here"


@dataclass
class Row:
    """One row of the file. Nothing was heard: `rssi_dbm`, `snr_db`, `margin_db` are None; the node was silent: `sf` is 0 and
    `ear` empty."""

    time: str
    place: str
    lat: float | None
    lon: float | None
    node: int
    power_dbm: int | None
    sf: int
    ear: str
    sent: int
    heard: int
    rssi_dbm: float | None
    snr_db: float | None
    margin_db: float | None

    @property
    def per(self) -> float:
        return (self.sent - self.heard) / self.sent if self.sent else 1.0


COLUMNS = [each.name for each in fields(Row)]


@dataclass
class Place:
    """`best`: the row that speaks for it; `sf`: the fastest that its signal is strong enough for, 0: none."""

    name: str
    lat: float | None
    lon: float | None
    rows: list[Row] = field(default_factory=list)
    best: Row | None = None
    verdict: str = NOT_HERE
    sf: int = 0


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of_result(result: dict[str, Any], time: str, place: str, position: tuple[float, float] | None) -> list[Row]:
    """The rows of a gateway's answer to range-test."""
    lat, lon = position or (None, None)
    return [
        Row(
            time, place, lat, lon, result["node"], result["power_dbm"], row["sf"], row["ear"], row["sent"], row["heard"],
            row["rssi_dbm"], row["snr_db"], row["margin_db"],
        )
        for row in result["rows"]
    ]  # fmt: skip


def silent(node: int, time: str, place: str, position: tuple[float, float] | None) -> Row:
    lat, lon = position or (None, None)
    return Row(time, place, lat, lon, node, None, 0, "", 0, 0, None, None, None)


def append(path: Path, rows: Iterable[Row]) -> None:
    """Add rows to the file, and make it with its head if it is not there. On the disk when this returns."""
    with writing(path), open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(["" if getattr(row, name) is None else getattr(row, name) for name in COLUMNS])
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> list[Row]:
    """The rows of a file; UsageError names the line that is wrong."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise UsageError(
            "there is no such file", where=str(path), next_step="steiger range-test place makes it"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"the file cannot be read: {error}", where=str(path), next_step="Check its path and mode"
        ) from None
    if not lines or lines[0] != COLUMNS:
        raise UsageError(
            "this is no file of range tests", where=f"{path}:1", next_step=f"Its head is {','.join(COLUMNS)}"
        )
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        try:
            if cells:
                rows.append(_row(cells))
        except ValueError:
            raise UsageError(
                "this line is no result of a range test", where=f"{path}:{number}", next_step="Correct that line"
            ) from None
    if not rows:
        raise UsageError(
            "there is no result in this file", where=str(path), next_step="steiger range-test place adds one"
        )
    return rows


def _row(cells: Sequence[str]) -> Row:
    if len(cells) != len(COLUMNS):
        raise ValueError
    time, place, lat, lon, node, power, sf, ear, sent, heard, rssi, snr, margin = cells

    def number(text: str) -> float | None:
        found = float(text) if text else None
        if found is not None and not math.isfinite(found):
            raise ValueError
        return found

    row = Row(
        time, place, number(lat), number(lon), int(node), int(power) if power else None, int(sf), ear, int(sent), int(heard),
        number(rssi), number(snr), number(margin),
    )  # fmt: skip
    if (
        row.sf not in (0, *REQUIRED_DB)
        or not 0 <= row.heard <= row.sent
        or (row.lat is None) != (row.lon is None)
        or (row.heard and row.snr_db is None)
    ):
        raise ValueError
    if row.lat is not None and row.lon is not None and not (abs(row.lat) <= 90 and abs(row.lon) <= 180):
        raise ValueError
    return row


def judge(rows: Sequence[Row], per_max: float = PER_MAX, margin_db: float = MARGIN_DB) -> list[Place]:
    """The places, the best one first. Of a place that was tested again, the last test of each node counts.

    SNRs are those of frames that arrived, so that they flatter where many are lost: then they count for nothing.
    """
    places: dict[str, Place] = {}
    for row in rows:
        place = places.setdefault(row.place, Place(row.place, None, None))
        if row.lat is not None:
            place.lat, place.lon = row.lat, row.lon
        place.rows = [old for old in place.rows if old.time >= row.time or old.node != row.node] + [row]
    for place in places.values():
        fit = [row for row in place.rows if row.heard and row.per <= per_max]
        place.best = max(fit, key=_strength, default=None)
        if place.best is None:
            continue
        snr_db = place.best.snr_db
        assert snr_db is not None
        least = min(MARGIN_MIN_DB, margin_db)
        tested = {row.sf for row in place.rows if row.per > per_max} - {row.sf for row in fit}
        strong = [sf for sf, need_db in REQUIRED_DB.items() if snr_db - need_db >= margin_db and sf not in tested]
        weak = [sf for sf, need_db in REQUIRED_DB.items() if snr_db - need_db >= least and sf not in tested]
        place.verdict = GOOD if strong else WEAK if weak else NOT_HERE
        place.sf = min(strong) if strong else max(weak, default=0)
    order = {GOOD: 0, WEAK: 1, NOT_HERE: 2}
    return sorted(places.values(), key=lambda place: (order[place.verdict], [-part for part in _level(place.best)]))


def _strength(row: Row) -> tuple[float, float]:
    snr_db = -99.0 if row.snr_db is None else row.snr_db
    return min(snr_db, SNR_FULL_DB), -999.0 if row.rssi_dbm is None else row.rssi_dbm


def _level(row: Row | None) -> tuple[float, float]:
    """The same for 0 dBm, to compare places that were tested with different powers."""
    if row is None:
        return -999.0, -999.0
    snr_db, rssi_dbm = _strength(row)
    return snr_db - (row.power_dbm or 0), rssi_dbm - (row.power_dbm or 0)


# -- positions -----------------------------------------------------------------------------------------------------------


def position(text: str) -> tuple[float, float]:
    """LAT,LON in degrees."""
    try:
        lat, lon = (float(part) for part in text.split(","))
        if not (abs(lat) <= 90 and abs(lon) <= 180):
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{text} is no position", next_step="Give degrees as LAT,LON, with points: 51.4818,7.2162"
        ) from None
    return lat, lon


@dataclass
class Track:
    """What a phone recorded: named points, and points with a time in unix s."""

    named: dict[str, tuple[float, float]]
    timed: list[tuple[float, float, float]]

    def find(self, name: str, time: str) -> tuple[float, float] | None:
        """The point with this name, else that of this time."""
        if name in self.named:
            return self.named[name]
        try:
            at_s = datetime.fromisoformat(time).timestamp()
        except ValueError:
            return None
        near = min(self.timed, key=lambda point: abs(point[0] - at_s), default=None)
        return near[1:] if near is not None and abs(near[0] - at_s) <= TRACK_S else None


def load_track(path: Path) -> Track:
    """GPX, or CSV with the columns lat, lon and name or time (ISO 8601)."""
    track = Track({}, [])
    try:
        text = path.read_text(encoding="utf-8-sig")
        points = _gpx(text) if text.lstrip().startswith("<") else csv.DictReader(text.splitlines())
        for point in points:
            lat, lon = position(f"{point['lat']},{point['lon']}")
            if point.get("name"):
                track.named[point["name"]] = lat, lon
            if point.get("time"):
                found = datetime.fromisoformat(point["time"])
                track.timed.append(((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp(), lat, lon))
    except (OSError, ValueError, KeyError, ET.ParseError, UsageError, csv.Error) as error:
        raise UsageError(
            f"no track can be read from this file: {error}", where=str(path),
            next_step="It takes GPX, or CSV with the columns lat, lon and name or time",
        ) from None  # fmt: skip
    return track


def _gpx(text: str) -> list[dict[str, str]]:
    if "<!DOCTYPE" in text:
        raise ValueError("it has a DOCTYPE")
    found = []
    for element in ET.fromstring(text).iter():
        if element.tag.rpartition("}")[2] in ("wpt", "trkpt", "rtept"):
            point = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
            found.append({"lat": element.get("lat", ""), "lon": element.get("lon", ""), **point})
    return found
