"""The gateway's side of wire/records.py: which records a payload carries, and the records."""

from collections import namedtuple

from wire import BOOT, UPTIME_HIGH_MS, UTC, UTC_HIGH_S, UTC_LOW_S, WireError
from wire.bits import ZEROS_MAX, BitReader, bit_length
from wire.channels import SAMPLE
from wire.quality import GOOD, MISSING
from wire.records import (
    GRID_LOW,
    RECORDS_MAX,
    SECOND,
    SEQ_AHEAD,
    SEQ_HIGH,
    SINCE_BOOT,
    TIME_BITS,
    WINDOWS_AHEAD,
    Record,
    expected_time,
)
from wire.values import VALUE_HIGH, VALUE_LOW, Adaption, gated, plan, unfold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wire.profiles import Profile
    from wire.records import Time, Values
    from wire.values import Item

_USUAL_BITS = 42  # profile, batch and odd (both 0), seq, time
_REASONED = (2, 3, 4, 9)  # the flags that codes 10 to 13 stand for
_USUAL_BELOW = 64  # the second byte begins with batch and odd

# seqs: one for each record; `exact` or, if not, all of them less the same unknown multiple of 65536.
RecordsHead = namedtuple("RecordsHead", ("profile_short", "seqs", "exact"))


def resolve_seq(low: int, next_seq: int) -> int:
    """The seq with these 16 low bits that a receiver takes it for; may be negative, which is a fault."""
    top = next_seq + SEQ_AHEAD - 1
    return top - (top - low & 0xFFFF)


def _check_time(time: "Time") -> None:
    if time[0] == UTC:
        if not UTC_LOW_S <= time[1] <= UTC_HIGH_S:
            raise WireError("range")
    elif time[2] > UPTIME_HIGH_MS:
        raise WireError("range")


class _Head:
    """What is known of a payload without its profile, and the reader behind it."""

    def __init__(self, payload: bytes) -> None:
        bits = self.bits = BitReader(payload)
        self.short = bits.take(8)
        self.count = count = bits.take(6) + 2 if bits.take(1) else 1
        if count > RECORDS_MAX:
            raise WireError("range")
        self.long_seq = self.form = self.wide = self.coverage = self.quality = self.times = 0
        seqs = 0
        if bits.take(1):
            self.long_seq = bits.take(1)
            self.form = bits.take(2)
            self.wide = bits.take(1)
            self.coverage = bits.take(1)
            self.quality = bits.take(1)
            if count > 1:
                seqs = bits.take(1)
                self.times = bits.take(1)
        seq = bits.take(32 if self.long_seq else 16)
        self.seqs = [seq]
        for _ in range(1, count):
            seq += 1
            if seqs:
                seq += bits.number(0)
            self.seqs.append(seq)
        if seq > SEQ_HIGH:
            raise WireError("range")


def peek_records(payload: bytes, next_seq: "int | None" = None) -> RecordsHead:
    """Which records a payload carries, without its profile; with `next_seq` their seqs are always exact.

    WireError `short` or `range`.
    """
    head = _Head(payload)
    if head.long_seq or next_seq is None:
        return RecordsHead(head.short, tuple(head.seqs), bool(head.long_seq))
    return RecordsHead(head.short, _resolve(head, next_seq), True)


def _resolve(head: _Head, next_seq: int) -> tuple[int, ...]:
    if head.long_seq:
        return tuple(head.seqs)
    above = resolve_seq(head.seqs[0], next_seq) - head.seqs[0]
    if above + head.seqs[0] < 0 or above + head.seqs[-1] > SEQ_HIGH:
        raise WireError("range")
    return tuple([seq + above for seq in head.seqs])


def _take_time(bits: BitReader, form: int, window_s: int, now_s: int) -> "Time":
    if form == SINCE_BOOT:
        return (BOOT, bits.take(16), bits.take(40))
    if form == SECOND:
        return (UTC, bits.take(32))
    index = bits.take(TIME_BITS[form])
    if form == GRID_LOW:
        top = now_s // window_s + WINDOWS_AHEAD - 1
        index = top - (top - index & 0xFFFF)
    return (UTC, (index + 1) * window_s)


def _take_further_time(bits: BitReader, before: "Time", window_s: int, now_s: int) -> "Time":
    time = expected_time(before, window_s)
    if not bits.take(1):
        return time
    if bits.take(1):
        return _take_time(bits, bits.take(2), window_s, now_s)
    sign = bits.take(1)
    size = bits.number(4)
    if time[0] == UTC:
        size *= window_s
    if sign:
        size = -size
    if time[-1] + size < 0:
        raise WireError("range")
    return time[:-1] + (time[-1] + size,)


def _take_times(head: _Head, window_s: int, now_s: int) -> "list[Time]":
    time = _take_time(head.bits, head.form, window_s, now_s)
    _check_time(time)
    out = [time]
    for _ in range(1, head.count):
        time = _take_further_time(head.bits, time, window_s, now_s) if head.times else expected_time(time, window_s)
        _check_time(time)
        out.append(time)
    return out


def _take_qualities(bits: BitReader, count: int, items: int) -> list[list[int]]:
    out = []
    last = [0] * items
    for _ in range(count):
        if bits.take(1):
            last = []
            while len(last) < items:
                mark = bits.take(1)
                same = 1
                if mark and bits.take(1):
                    mark = 32 + bits.take(5)
                    if 10 <= mark & 15 <= 13:
                        reason = bits.take(4)
                        same += bits.number(0)
                        if not reason or len(last) + same > items:
                            raise WireError("range")
                        mark |= reason << 6
                last += [mark] * same
        out.append(last)
    return out


def _take_values(
    bits: BitReader, items: "tuple[Item, ...]", adaption: Adaption, marks: "list[int] | None", wide: int
) -> "tuple[Values, tuple[int, ...] | None]":
    """One record's values and flags."""
    values: Values = []
    flags = []
    usual = True
    for i in range(len(items)):
        item = items[i]
        mark = marks[i] if marks else 0
        there = mark == 0 or mark & 63 >= 48
        if mark == 0 and gated(item, values):
            there = bits.take(1) == 1
        expected = GOOD if there else MISSING
        flag = mark & 15 if mark > 1 else expected
        if mark > 63:
            flag = _REASONED[flag - 10] | mark >> 6 << 4
        flags.append(flag)
        if flag != expected:
            usual = False
        if not there:
            values.append(None)
            continue
        p, k = adaption.expect(i, values)
        u = bits.number(k)
        value = unfold(u, p, VALUE_LOW if wide else item[1])
        if not VALUE_LOW <= value <= VALUE_HIGH:
            raise WireError("range")
        adaption.learn(i, value, u)
        values.append(value)
    return values, None if usual else tuple(flags)


def _take_first(rest: int, left: int, items: "tuple[Item, ...]", wide: int) -> "Values":
    """The values of a frame's only record, all of it usual: what `first`, `gated`, `BitReader.number` and `unfold` do, in
    one loop, because most frames of most nodes are this one. A test holds it against the long way.

    `rest` is the number that the last `left` bits of the payload form.
    """
    values: Values = []
    for mode, floor, p, k, _, partner, lead, min_count in items:
        if partner >= 0:
            beside = values[partner]
            if beside is not None:
                if mode != SAMPLE:
                    p = beside + lead
                    if k:
                        k -= 1
                else:
                    if beside < min_count:
                        left -= 1
                        if left < 0:
                            raise WireError("short")
                        if not rest >> left:
                            values.append(None)
                            continue
                        rest -= 1 << left
                    if beside > 0:
                        k -= bit_length(beside) >> 1
                        if k < 0:
                            k = 0
                    else:
                        p = k = 0
        zeros = left - bit_length(rest)
        if zeros < 4:
            left -= zeros + 1 + k
            base = (zeros << k) - (1 << k)
        else:
            if zeros > ZEROS_MAX:
                raise WireError("range")
            left -= zeros + zeros - 2 + k
            base = ((2 << zeros - 4) + 2 << k) - (1 << zeros - 3 + k)
        if left < 0:
            raise WireError("short")
        u = rest >> left
        rest -= u << left
        u += base
        if wide:
            floor = VALUE_LOW
        if p < floor:
            p = floor
        if u > (p - floor) << 1:
            u += floor
        elif u & 1:
            u = p - (u + 1 >> 1)
        else:
            u = p + (u >> 1)
        if u > VALUE_HIGH or u < VALUE_LOW:
            raise WireError("range")
        values.append(u)
    if left > 7 or rest:
        raise WireError("long")
    return values


def _decode_usual(payload: bytes, profile: "Profile", next_seq: int, now_s: int) -> Record:
    """The record of a frame that says neither *batch* nor *odd*: its head has 42 bits, in fixed places. A test holds it
    against the long way."""
    left = (len(payload) << 3) - _USUAL_BITS
    if left < 0:
        raise WireError("short")
    rest = int.from_bytes(payload, "big")
    head = rest >> left
    rest -= head << left
    if payload[0] != profile.short:
        raise WireError("profile")
    seq = resolve_seq(head >> 16 & 0xFFFF, next_seq)
    if not 0 <= seq <= SEQ_HIGH:
        raise WireError("range")
    window_s = profile.window_s
    top = now_s // window_s + WINDOWS_AHEAD - 1
    end_s = (top - (top - head & 0xFFFF) + 1) * window_s
    if not UTC_LOW_S <= end_s <= UTC_HIGH_S:
        raise WireError("range")
    return Record(seq, (UTC, end_s), 100, tuple(_take_first(rest, left, plan(profile), 0)), None)


def decode_records(payload: bytes, profile: "Profile", next_seq: int, now_s: int) -> list[Record]:
    """The records of a payload.

    `next_seq` is the highest seq known of the node plus 1 (at least what its last hello said), `now_s` unix s when the
    frame was received. WireError `short`, `long`, `range`, or `profile` if the payload names another profile.
    """
    if len(payload) > 1 and payload[1] < _USUAL_BELOW:
        return [_decode_usual(payload, profile, next_seq, now_s)]
    return _decode_any(payload, profile, next_seq, now_s)


def _decode_any(payload: bytes, profile: "Profile", next_seq: int, now_s: int) -> list[Record]:
    """The long way, which every payload may go."""
    head = _Head(payload)
    bits = head.bits
    if head.short != profile.short:
        raise WireError("profile")
    count = head.count
    items = plan(profile)
    seqs = _resolve(head, next_seq)
    times = _take_times(head, profile.window_s, now_s)
    coverages = [100] * count
    if head.coverage:
        last = 100
        for at in range(count):
            if bits.take(1):
                last = bits.take(7)
                if last > 100:
                    raise WireError("range")
            coverages[at] = last
    qualities = _take_qualities(bits, count, len(items)) if head.quality else None
    if count == 1 and qualities is None:
        bits.load(len(payload))
        values = _take_first(bits.rest, bits.left, items, head.wide)
        return [Record(seqs[0], times[0], coverages[0], tuple(values), None)]
    adaption = Adaption(items)
    out = []
    for at in range(count):
        marks = qualities[at] if qualities else None
        values, flags = _take_values(bits, items, adaption, marks, head.wide)
        out.append(Record(seqs[at], times[at], coverages[at], tuple(values), flags))
    bits.finish()
    return out
