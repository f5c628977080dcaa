"""The payload of a records message: up to 64 records of one profile. The node encodes, wire/records_gateway.py decodes.

Layout, bits from the most significant one of the first byte (`wire.bits` says how numbers are written):

    profile     8   the profile's `short`
    batch       1   0: one record. 1: `count` follows
    [count      6   records less 2; 63 is not allowed]
    odd         1   0: everything below is as usual, none of the following seven fields is there
    [long seq   1   the first seq in 32 bits
     form       2   of the first time: 0 grid, low bits; 1 grid; 2 second; 3 boot
     wide       1   a value lies below its channel's range
     coverage   1   a coverage is not 100
     quality    1   a value is missing, or its flag is not 1
     seqs       1   batch only: seqs are not consecutive
     times      1]  batch only: times do not follow each other window by window
    seq        16   low bits of the first seq (32 if long)
    [gaps           `seqs` only, for each further record: seq less the one before less 1, k = 0]
    time            grid, low bits: 16 low bits of the window's index; grid: 32 bits of the index;
                    second: 32 bits, unix s of the end; boot: 16 bits boot number, 40 bits ms from boot to the end
    [further        `times` only, for each further record: 0 as expected | 1 0 sign, size k = 4: windows (boot: ms)
                    after (sign 0) or before (1) what is expected | 1 1 form (2 bits) and time as above.
                    Expected is one window after the record before]
    [coverages      `coverage` only, for each record: 0 as the one before (first: 100) | 1 and 7 bits]
    [qualities      `quality` only, for each record: 0 as the one before (first: all usual) | 1 and for each item:
                    0 usual | 1 0 missing, flag 9 | 1 1, one bit: value is there, 4 bits: code.
                    Codes 0 to 9, 14 and 15 are the flag. 10, 11, 12, 13 stand for the flags 2, 3, 4, 9 with a reason:
                    4 bits (not 0), and how many items that follow have the same (k = 0): these have no bits of their own]
    values          record by record, item by item, those that are there, by the expectations of `wire.values`.
                    *Usual* is: there, flag 1; but a SAMPLE item whose partner's value is known and below its
                    channel's min_count has one bit before it: 0 missing (flag 9), 1 there (flag 1)
    filling         zeros up to the next byte

A window with index i is [i * window_s, (i + 1) * window_s) in unix s; a record's time is the end of its window.

Low bits. A receiver resolves seq to the one number with these low bits within [next - 49152, next + 16384), `next`
being the highest seq that it knows of the node plus 1, which is at least what the node's last hello said; and a
window's index to the one within [now - 61440, now + 4096) windows. The sender sends low bits only where that cannot
fail: seq within [hello - 32768, hello + 16384), `hello` being the next seq of its last hello (a sender whose own
next seq has passed hello + 16384 says hello again), and index within [now - 57344, now + 2048) windows of its own
clock.
"""

from collections import namedtuple

from wire import BOOT, UPTIME_HIGH_MS, UTC, UTC_HIGH_S, UTC_LOW_S
from wire.bits import BitWriter
from wire.quality import GOOD, MISSING
from wire.values import VALUE_HIGH, VALUE_LOW, Adaption, fold, gated, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wire.profiles import Profile
    from wire.values import Item

    Time = tuple[int, ...]
    Values = list[int | None]

RECORDS_MAX = 64  # bounds what one frame can make a receiver build
SEQ_HIGH = 0xFFFFFFFF

GRID_LOW, GRID, SECOND, SINCE_BOOT = 0, 1, 2, 3
TIME_BITS = (16, 32, 32, 56)
SEQ_AHEAD = 16384
SEQ_BEHIND = 32768  # a receiver may know up to SEQ_AHEAD more than the sender's last hello: 65536 in all
WINDOWS_AHEAD = 4096
WINDOWS_OLD = 57344  # 65536 less what both clocks may differ by

# time: (UTC, end_s) or (BOOT, boot, end_ms). values: one raw int or None for each item of the profile.
# flags: for each item what wire.quality says, or None where every value is good or missing without a reason.
Record = namedtuple("Record", "seq time coverage values flags")


def expected_time(time: "Time", window_s: int) -> "Time":
    """One window later."""
    return time[:-1] + (time[-1] + (window_s if time[0] == UTC else window_s * 1000),)


def _form(time: "Time", window_s: int, now_s: "int | None") -> int:
    if time[0] == BOOT:
        return SINCE_BOOT
    if time[1] % window_s:
        return SECOND
    if now_s is None or not -2048 < now_s // window_s - (time[1] // window_s - 1) <= WINDOWS_OLD:
        return GRID
    return GRID_LOW


def _put_time(bits: BitWriter, form: int, time: "Time", window_s: int) -> None:
    if form == SINCE_BOOT:
        bits.put(time[1], 16)
        bits.put(time[2] >> 20, 20)
        bits.put(time[2] & 0xFFFFF, 20)
    elif form == SECOND:
        bits.put(time[1], 32)
    else:
        bits.put(time[1] // window_s - 1 & (0xFFFF if form == GRID_LOW else 0xFFFFFFFF), TIME_BITS[form])


def _put_further_time(bits: BitWriter, time: "Time", before: "Time", window_s: int, now_s: "int | None") -> None:
    expected = expected_time(before, window_s)
    if time == expected:
        bits.put(0, 1)
        return
    size = time[-1] - expected[-1]
    unit = window_s if time[0] == UTC else 1
    if time[:-1] == expected[:-1] and not size % unit:
        size //= unit
        bits.put(0b101 if size < 0 else 0b100, 3)
        bits.number(abs(size), 4)
        return
    form = _form(time, window_s, now_s)
    bits.put(0b1100 | form, 4)
    _put_time(bits, form, time, window_s)


def _qualities(items: "tuple[Item, ...]", record: Record) -> list[int]:
    """For each item 0 (usual), 1 (missing) or 32 + 16 * there + code + 64 * reason."""
    out = []
    for i in range(len(items)):
        value = record.values[i]
        flag = record.flags[i] if record.flags else GOOD if value is not None else MISSING
        if not 0 <= flag <= 255 or flag > 15 and flag & 15 not in (2, 3, 4, 9):
            raise ValueError("flag")
        if flag > 15:
            out.append((flag >> 4 << 6) + (40 if value is None else 56) + min(flag & 15, 5))
        elif value is not None:
            out.append(0 if flag == GOOD else 48 + flag)
        elif flag != MISSING:
            out.append(32 + flag)
        else:
            out.append(0 if gated(items[i], record.values) else 1)
    return out


def _check(profile: "Profile", records: "list[Record]") -> None:
    if not 1 <= len(records) <= RECORDS_MAX:
        raise ValueError("records")
    before = -1
    for record in records:
        if not before < record.seq <= SEQ_HIGH:
            raise ValueError("seq")
        before = record.seq
        if not 0 <= record.coverage <= 100:
            raise ValueError("coverage")
        count = len(profile.items)
        if len(record.values) != count or record.flags is not None and len(record.flags) != count:
            raise ValueError("values")
        for value in record.values:
            if value is not None and not VALUE_LOW <= value <= VALUE_HIGH:
                raise ValueError("value")
        time = record.time
        if time[0] == UTC:
            if not UTC_LOW_S <= time[1] <= UTC_HIGH_S:
                raise ValueError("time")
        elif time[0] != BOOT or not 0 <= time[1] <= 0xFFFF or not 0 <= time[2] <= UPTIME_HIGH_MS:
            raise ValueError("time")


def encode_records(
    profile: "Profile", records: "list[Record]", now_s: "int | None" = None, hello_seq: "int | None" = None
) -> bytes:
    """The payload that carries `records`, 1 to 64 of them, seqs rising. ValueError if one cannot be carried.

    `now_s` is the sender's clock (None: it has none), `hello_seq` the next seq that its last hello of this boot said
    (None: no gateway answered one, or its next seq has passed that by 16384). Without them a frame is 4 bytes longer.
    """
    _check(profile, records)
    items = plan(profile)
    window_s = profile.window_s
    count = len(records)
    head = records[0]
    long_seq = hello_seq is None or not -SEQ_BEHIND <= head.seq - hello_seq < SEQ_AHEAD
    form = _form(head.time, window_s, now_s)
    wide = coverage = quality = seqs = times = False
    qualities = []
    before = None
    for record in records:
        for i in range(len(items)):
            if record.values[i] is not None and record.values[i] < items[i][1]:
                wide = True
        marks = _qualities(items, record)
        qualities.append(marks)
        quality = quality or any(marks)
        coverage = coverage or record.coverage != 100
        if before:
            seqs = seqs or record.seq != before.seq + 1
            times = times or record.time != expected_time(before.time, window_s)
        before = record
    bits = BitWriter()
    bits.put(profile.short, 8)
    if count > 1:
        bits.put(1, 1)
        bits.put(count - 2, 6)
    else:
        bits.put(0, 1)
    if long_seq or form or wide or coverage or quality or seqs or times:
        bits.put(1, 1)
        bits.put(long_seq, 1)
        bits.put(form, 2)
        bits.put(wide << 2 | coverage << 1 | quality, 3)
        if count > 1:
            bits.put(seqs << 1 | times, 2)
    else:
        bits.put(0, 1)
    if long_seq:
        bits.put(head.seq, 32)
    else:
        bits.put(head.seq & 0xFFFF, 16)
    if seqs:
        for i in range(1, count):
            bits.number(records[i].seq - records[i - 1].seq - 1, 0)
    _put_time(bits, form, head.time, window_s)
    if times:
        for i in range(1, count):
            _put_further_time(bits, records[i].time, records[i - 1].time, window_s, now_s)
    if coverage:
        last = 100
        for record in records:
            bits.put(record.coverage != last, 1)
            if record.coverage != last:
                last = record.coverage
                bits.put(last, 7)
    if quality:
        _put_qualities(bits, qualities, len(items))
    _put_values(bits, items, records, qualities, wide)
    return bits.finish()


def _put_qualities(bits: BitWriter, qualities: list[list[int]], count: int) -> None:
    last = [0] * count
    for marks in qualities:
        if marks == last:
            bits.put(0, 1)
            continue
        last = marks
        bits.put(1, 1)
        at = 0
        while at < count:
            mark = marks[at]
            at += 1
            if mark < 2:
                bits.put(mark << 1, 1 + mark)
                continue
            bits.put(0b1100000 | mark & 31, 7)
            if mark > 63:
                bits.put(mark >> 6, 4)
                first = at
                while at < count and marks[at] == mark:
                    at += 1
                bits.number(at - first, 0)


def _put_values(
    bits: BitWriter, items: "tuple[Item, ...]", records: "list[Record]", qualities: list[list[int]], wide: bool
) -> None:
    adaption = Adaption(items)
    for at in range(len(records)):
        values = records[at].values
        for i in range(len(items)):
            value = values[i]
            if qualities[at][i] == 0 and gated(items[i], values):
                bits.put(value is not None, 1)
            if value is None:
                continue
            floor = VALUE_LOW if wide else items[i][1]
            p, k = adaption.expect(i, values)
            u = fold(value, p, floor)
            bits.number(u, k)
            adaption.learn(i, value, u)
