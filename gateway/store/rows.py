"""The compact form of a record's values in the database, and the way back.

`data` starts with one byte: 0 = int16 values, none missing; 1 = int16 with -32768 for missing; 2 = int32 with -2**31 for
missing; 3 = JSON object of integers (gap, health, event). 0x10 is added when one byte a value follows the values:
its flag | reason << 4 (wire/quality.py).
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgspec

from gateway.models import RECORD, LifeInfo, ProfileInfo, Record

INT16, INT16_MISSING, INT32_MISSING, DETAIL = 0, 1, 2, 3
WITH_FLAGS = 0x10
MISSING16, MISSING32 = -(1 << 15), -(1 << 31)
MAX_VALUES = 64  # a profile's cap

_SHORT = tuple(struct.Struct(f"<B{n}h") for n in range(MAX_VALUES + 1))
_LONG = tuple(struct.Struct(f"<B{n}i") for n in range(MAX_VALUES + 1))
_detail_encoder = msgspec.json.Encoder()
_detail_decoder = msgspec.json.Decoder(dict[str, int])


class Row(NamedTuple):
    """A row of `records`, in the order of its columns."""

    pos: int
    life: int
    seq: int
    span: int
    kind: int
    profile: int
    hour: int
    end_ms: int
    length_ms: int
    bound_ms: int
    time_code: int
    received_ms: int
    coverage: int
    data: bytes
    receptions: bytes | None = None
    differences: bytes | None = None


COLUMNS = ", ".join(Row._fields)


def pack_values(values: tuple[int | None, ...], flags: tuple[int, ...] | None) -> bytes:
    count = len(values)
    if flags is None:
        try:
            return _SHORT[count].pack(INT16, *values)  # the usual case: one attempt, no look at each value
        except struct.error:
            pass
        extra, tail = 0, b""
    else:
        extra, tail = WITH_FLAGS, bytes(flags)
    present = [value for value in values if value is not None]
    if all(MISSING16 < value < 1 << 15 for value in present):
        if len(present) == count:
            return _SHORT[count].pack(INT16 | extra, *present) + tail
        return _SHORT[count].pack(INT16_MISSING | extra, *(MISSING16 if v is None else v for v in values)) + tail
    return _LONG[count].pack(INT32_MISSING | extra, *(MISSING32 if v is None else v for v in values)) + tail


def unpack_values(data: bytes) -> tuple[tuple[int | None, ...], tuple[int, ...] | None]:
    form = data[0] & 0x0F
    if form == DETAIL:
        return (), None
    width = 4 if form == INT32_MISSING else 2
    table = _LONG if form == INT32_MISSING else _SHORT
    if data[0] & WITH_FLAGS:
        count = (len(data) - 1) // (width + 1)
        flags: tuple[int, ...] | None = tuple(data[1 + width * count :])
    else:
        count = (len(data) - 1) // width
        flags = None
    raw: tuple[int, ...] = table[count].unpack_from(data)[1:]
    if form == INT16:
        return raw, flags
    missing = MISSING16 if form == INT16_MISSING else MISSING32
    return tuple(None if value == missing else value for value in raw), flags


def pack_detail(detail: dict[str, int]) -> bytes:
    return b"\x03" + _detail_encoder.encode(detail)


def unpack_detail(data: bytes) -> dict[str, int]:
    return _detail_decoder.decode(data[1:])


def to_record(row: tuple[Any, ...], lives: dict[int, LifeInfo], profiles: dict[int, ProfileInfo]) -> Record:
    """A row as it comes from SELECT {COLUMNS} → the record that sinks and exports see."""
    pos, life, seq, _, kind, profile, _, end_ms, length_ms, bound_ms, time_code, received_ms, coverage = row[:13]
    blob, receptions, differences = row[13:]
    if kind == RECORD:
        values, flags = unpack_values(blob)
        detail = None
    else:
        values, flags = (), None
        detail = unpack_detail(blob)
    return Record(
        pos,
        lives[life],
        seq,
        kind,
        profiles.get(profile),
        end_ms - length_ms,
        end_ms,
        bound_ms,
        received_ms,
        coverage,
        values,
        flags,
        detail,
        time_code,
        receptions,
        differences,
    )
