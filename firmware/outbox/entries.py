"""The outbox's file format, and its encoding. A reader of flash images needs only this page.

A life's folder `/outbox-<life: 8 hex digits>/` holds segments `NNNNNNNN.seg`, numbered upwards, at most 16 KB each (a
deletion record may exceed it). Segments are appended to and deleted whole, never modified. All numbers are little
endian.

    segment = CHECKPOINT entry*
    entry   = u16 kind << 12 | length   body[length]   u32 crc32(head and body)

kind             body
 1 CHECKPOINT    u8 format (1) | u32 life | u32 number | u32 next_seq | 6 * u32 totals | ACKED body | u8 n | n * GRID body
                 the state before the segment's first entry
 2 RECORD        u32 seq | u8 profile short | time | u8 coverage % | u8 f | f * u8 flag | values to the end of the body
                 f is 0 (all good) or the number of values; value: varint, 0 = missing, else 1 + zigzag(raw)
 3 GAP           u32 first_seq | u32 count | u8 cause | u8 profile short | u8 carried | time
                 the seqs [first_seq, first_seq + count) hold no record, for this cause (wire/messages.py); `time` is
                 that of the first one. carried = 1: said before, in a segment that was deleted: totals stay
 4 HEALTH        u32 seq | time | varint* (1 + zigzag, 0 = missing), the fields of wire.messages.Health after `time`
 5 EVENT         u32 seq | time | code and arg, coded as the fields of HEALTH
 6 ACKED         u32 cum | u8 n | n * (u32 first, u32 end): what the gateway holds; replaces what was said before
 7 GRID          u8 profile short | u32 window_s | u32 next window index | u32 unplaced
                 windows below the index are accounted for; `unplaced` were sealed without a clock since then.
                 window_s 0: the grid has ended
 8 DROP          u32 segment number: it is deleted as soon as this is synced; its gaps precede this in the same write

time = u8 1 | u32 end_s (unix UTC)      u8 2 | u32 boot | u48 end_ms (since that boot)      u8 0 (none)
totals = scheduled sealed off not_sampled refused overwritten (windows of this life)
What one write holds is synced as a whole. Seqs of RECORD, HEALTH, EVENT and of GAPs that are not carried and not
OVERWRITTEN rise without a hole through the segments of a life.
"""

import binascii
import struct

from wire import BOOT, UTC
from wire.messages import OVERWRITTEN as CAUSE_OVERWRITTEN

CHECKPOINT = 1
RECORD = 2
GAP = 3
HEALTH = 4
EVENT = 5
ACKED = 6
GRID = 7
DROP = 8

FORMAT = 1
HEAD = 2  # bytes before an entry's body
TAIL = 4  # bytes after it
BODY_MAX = 900  # a chunk of the reader holds any entry whole

SCHEDULED, SEALED, OFF, NOT_SAMPLED, REFUSED, OVERWRITTEN = range(6)


def frame_entry(kind: int, body: bytes) -> bytes:
    """The bytes of one entry; ValueError if the body is longer than a reader's buffer."""
    if len(body) > BODY_MAX:
        raise ValueError("entry")
    data = struct.pack("<H", kind << 12 | len(body)) + body
    return data + struct.pack("<I", binascii.crc32(data))


def varint(out: bytearray, value: int) -> None:
    """LEB128."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def put_value(out: bytearray, value: "int | None") -> None:
    """0 = missing, else 1 + zigzag."""
    varint(out, 0 if value is None else 1 + (value << 1 if value >= 0 else (-value << 1) - 1))


def get_varint(body: bytes, at: int) -> "tuple[int, int]":
    """(value, where the next begins)."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def get_values(body: bytes, at: int) -> "list[int | None]":
    """All values from `at` to the end."""
    values: "list[int | None]" = []
    while at < len(body):
        raw, at = get_varint(body, at)
        if raw == 0:
            values.append(None)
        else:
            raw -= 1
            values.append(raw >> 1 if not raw & 1 else -((raw + 1) >> 1))
    return values


def pack_time(time: "tuple | None") -> bytes:
    if time is None:
        return b"\0"
    if time[0] == UTC:
        return struct.pack("<BI", UTC, time[1])
    return struct.pack("<BI", BOOT, time[1]) + time[2].to_bytes(6, "little")


def unpack_time(body: bytes, at: int) -> "tuple[tuple | None, int]":
    """(time, where the next field begins)."""
    kind = body[at]
    if kind == UTC:
        return (UTC, struct.unpack_from("<I", body, at + 1)[0]), at + 5
    if kind == BOOT:
        boot = struct.unpack_from("<I", body, at + 1)[0]
        return (BOOT, boot, int.from_bytes(body[at + 5 : at + 11], "little")), at + 11
    return None, at + 1


def record_body(
    seq: int, short: int, time: tuple, coverage: int, values: "tuple[int | None, ...]", flags: "tuple[int, ...] | None"
) -> bytes:
    out = bytearray(struct.pack("<IB", seq, short))
    out += pack_time(time)
    out.append(coverage)
    if flags is None:
        out.append(0)
    else:
        out.append(len(flags))
        for flag in flags:
            out.append(flag)
    for value in values:
        put_value(out, value)
    return bytes(out)


def unpack_record(body: bytes) -> tuple:
    """(seq, short, time, coverage, values, flags)."""
    seq, short = struct.unpack_from("<IB", body, 0)
    time, at = unpack_time(body, 5)
    coverage = body[at]
    count = body[at + 1]
    at += 2
    flags = tuple(body[at : at + count]) if count else None
    return seq, short, time, coverage, tuple(get_values(body, at + count)), flags


def gap_body(first: int, count: int, cause: int, short: int, carried: int, time: "tuple | None") -> bytes:
    return struct.pack("<IIBBB", first, count, cause, short, carried) + pack_time(time)


def unpack_gap(body: bytes) -> tuple:
    """(first, count, cause, short, carried, time)."""
    first, count, cause, short, carried = struct.unpack_from("<IIBBB", body, 0)
    return first, count, cause, short, carried, unpack_time(body, 11)[0]


def overwrites(body: bytes) -> int:
    """How many windows a GAP entry tells as overwritten for the first time."""
    _, count, cause, _, carried, _ = unpack_gap(body)
    return count if cause == CAUSE_OVERWRITTEN and not carried else 0


def list_body(seq: int, time: tuple, values: "list[int | None]") -> bytes:
    """HEALTH and EVENT: seq, time, values."""
    out = bytearray(struct.pack("<I", seq))
    out += pack_time(time)
    for value in values:
        put_value(out, value)
    return bytes(out)


def unpack_list(body: bytes) -> tuple:
    """(seq, time, values)."""
    time, at = unpack_time(body, 4)
    return struct.unpack_from("<I", body, 0)[0], time, get_values(body, at)


def span(kind: int, body: bytes) -> "tuple[int, int]":
    """The seqs [first, end) that an entry stands for; (0, 0) for one that carries state only."""
    if kind == GAP:
        first, count = struct.unpack_from("<II", body, 0)
        return first, first + count
    if RECORD <= kind <= EVENT:
        first = struct.unpack_from("<I", body, 0)[0]
        return first, first + 1
    return 0, 0
