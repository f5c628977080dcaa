"""The archive as CSV or Parquet: one observation a row, streamed page by page beside the running gateway.

CSV: UTF-8, RFC 4180, a header line, times in UTC (ISO 8601), the decimal point of the channel's own resolution.
Parquet: the same columns, typed; needs the extra `parquet` (pyarrow), which only this process imports.
A file appears whole or not at all: it is written beside its place, synced and renamed.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from gateway.errors import GatewayError
from gateway.forward.payload import iso
from gateway.models import RECORD, ProfileInfo, Record
from wire.channels import CHANNELS
from wire.quality import GOOD, SUSPECT, flag_name, reason_name

COLUMNS = (
    "station_id",  # gateway id and address of the board
    "sensor",  # the board's type; ":1" and so on for further sensors of one kind
    "quantity",
    "time_from",
    "time_to",
    "value",  # empty: missing
    "unit",  # UCUM
    "quality",
    "reason",  # empty: good, or none known
    "coverage_pct",
    "time_bound_s",
    "time_source",
    "received",
    "record_id",
    "calibration",  # empty: none; docs/calibration.md
    "heard",  # over LoRa: "ear RSSI SNR" of each that received it, in dBm and dB, the best first; empty: over a wire
)
ROW_GROUP = 50_000  # observations: some 10 MB of memory while a Parquet row group is built
DIFFERENCE = "_difference"  # behind a total's name: what was counted from time_from to time_to
RESTARTED = (
    "restarted"  # a difference's reason: counting began anew in between, and what was counted before that is missing
)
PROGRESS_EVERY = 2_000  # records

_CHANNEL_NAMES = {channel.name for channel in CHANNELS}


class ExportError(GatewayError):
    """The export cannot be made."""


class Summary(NamedTuple):
    records: int
    observations: int


class Records(Protocol):
    """What an export reads: gateway.store.Reader."""

    def records(
        self,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        nodes: set[int] | None = None,
        kinds: set[int] | None = None,
        counted: bool = False,
    ) -> Iterator[Record]: ...


class Selection(NamedTuple):
    """What to export: windows that end in [since_ms, until_ms), of these addresses; None: all."""

    since_ms: int | None = None
    until_ms: int | None = None
    nodes: set[int] | None = None


Progress = Callable[[int], None]  # records so far


def export(
    reader: Records, form: str, target: Path | None, gateway: str, selection: Selection, progress: Progress
) -> Summary:
    """Write the selection as `csv` or `parquet` to `target` (None: standard output)."""
    writers = {"csv": _write_csv, "parquet": _write_parquet}
    if form not in writers:
        raise ExportError(f"there is no format '{form}'", next_step="Known are csv and parquet", exit_code=2)
    if form == "parquet":
        _pyarrow()  # before anything is read or written
    with _opened(target, form) as stream:
        return writers[form](_counted(reader, selection, progress), stream, gateway)


class _Counter:
    """Records on their way through, counted."""

    def __init__(self, records: Iterator[Record], progress: Progress) -> None:
        self._records = records
        self._progress = progress
        self.count = 0

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self.count += record.kind_code == RECORD
            if self.count % PROGRESS_EVERY == 0:
                self._progress(self.count)
            yield record


def _counted(reader: Records, selection: Selection, progress: Progress) -> _Counter:
    records = reader.records(
        since_ms=selection.since_ms, until_ms=selection.until_ms, nodes=selection.nodes, kinds={RECORD}, counted=True
    )
    return _Counter(records, progress)


def _write_csv(records: _Counter, stream: IO[bytes], gateway: str) -> Summary:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    observations = 0
    for record in records:
        station = f"{gateway}-{record.node}"
        board = record.life_info.board
        told = record.coverage, record.bound_ms / 1000, record.time_state, iso(record.received_ms), record.id
        tail = (*told, _calibration(record.profile), _heard(record))
        for one in _observed(record):
            value = "" if one.raw is None else f"{one.raw / 10**one.decimals:.{one.decimals}f}"
            edges = iso(one.since_ms), iso(one.until_ms)
            writer.writerow((station, board + one.suffix, one.quantity, *edges, value, one.unit, *one.words, *tail))
            observations += 1
    text.flush()
    text.detach()
    return Summary(records.count, observations)


def _write_parquet(records: _Counter, stream: IO[bytes], gateway: str) -> Summary:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    word = pa.dictionary(pa.int32(), pa.string())
    moment = pa.timestamp("ms", tz="UTC")
    types = (word, word, word, moment, moment, pa.float64(), word, word, word, pa.int8(), pa.float64(), word, moment)
    schema = pa.schema(list(zip(COLUMNS, (*types, pa.string(), word, word), strict=True)))
    observations = 0
    rows: list[tuple[Any, ...]] = []

    def flush() -> None:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        rows.clear()

    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for record in records:
            station, board = f"{gateway}-{record.node}", record.life_info.board
            told = record.coverage, record.bound_ms / 1000, record.time_state, record.received_ms, record.id
            tail = (*told, _calibration(record.profile), _heard(record))
            for one in _observed(record):
                value = None if one.raw is None else one.raw / 10**one.decimals
                edges = one.since_ms, one.until_ms
                rows.append((station, board + one.suffix, one.quantity, *edges, value, one.unit, *one.words, *tail))
                observations += 1
            if len(rows) >= ROW_GROUP:
                flush()
        if rows:
            flush()
    return Summary(records.count, observations)


class _Observed(NamedTuple):
    """One observation: of a record's values, or a difference of totals that became certain with it."""

    quantity: str
    suffix: str
    unit: str
    decimals: int
    since_ms: int
    until_ms: int
    raw: int | None
    words: tuple[str, str]


def _observed(record: Record) -> Iterator[_Observed]:
    """LookupError if the store did not give the record's profile along."""
    if record.kind_code == RECORD:
        if record.profile is None:
            raise LookupError(f"record {record.id} has no profile")
        columns = zip(record.profile.channels, _quantities(record.profile), strict=True)
        for index, (channel, quantity) in enumerate(columns):
            raw = record.values[index]
            quality = record.quality(index)
            words = flag_name(quality), reason_name(quality)
            shown = None if raw is None else channel.shown(raw)
            yield _Observed(*quantity, record.start_ms, record.end_ms, shown, words)
    for one in record.counted:
        base, suffix = _split(one.name)
        words = flag_name(one.quality), reason_name(one.quality)
        if one.restarted and one.quality == GOOD:
            words = flag_name(SUSPECT), RESTARTED
        yield _Observed(base + DIFFERENCE, suffix, "1", 0, one.since_ms, one.until_ms, one.events, words)


def _heard(record: Record) -> str:
    return "; ".join(f"{one.ear} {one.rssi_dbm} {one.snr_db:g}" for one in record.heard)


def _calibration(profile: ProfileInfo | None) -> str:
    return f"{profile.calibration:08x}" if profile is not None and profile.calibration else ""


@lru_cache(maxsize=1024)
def _quantities(profile: ProfileInfo) -> tuple[tuple[str, str, str, int], ...]:
    """(quantity, suffix of the sensor, unit, decimals) of each value."""
    return tuple((*_split(channel.name), channel.unit, channel.decimals) for channel in profile.channels)


def _split(name: str) -> tuple[str, str]:
    """The store names a second sensor's quantity `pm2_5_1`: quantity `pm2_5`, suffix `:1`."""
    base, _, instance = name.rpartition("_")
    if name not in _CHANNEL_NAMES and base in _CHANNEL_NAMES and instance.isdigit():
        return base, f":{instance}"
    return name, ""


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ExportError(
            "Parquet needs the package pyarrow",
            where=sys.executable,
            next_step="Run: pip install 'steiger[parquet]' (or make setup), or use --format csv",
        ) from None
    return pyarrow


@contextmanager
def _opened(target: Path | None, form: str) -> Iterator[IO[bytes]]:
    """A binary stream; `target` takes its place only when everything is on disk."""
    if target is None:
        if form == "parquet" and sys.stdout.isatty():
            raise ExportError(
                "Parquet is no text for a terminal", next_step="Name a file: --output FILE.parquet", exit_code=2
            )
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise ExportError(
            f"cannot be written: {error.strerror}", where=str(target), next_step="Name another --output"
        ) from None
    finally:
        part.unlink(missing_ok=True)
