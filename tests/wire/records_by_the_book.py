"""A second decoder of records payloads, written from the published description alone (docs/wire-protocol.md).

It shares nothing with wire/ but the channel table, works on a text of zeros and ones, and is slow. If it and the
codec differ, the description is wrong or the codec is.
"""

from collections.abc import Sequence
from typing import Any

Channel = dict[str, Any]


class Bits:
    def __init__(self, payload: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in payload)

    def take(self, width: int) -> int:
        head, self.text = self.text[:width], self.text[width:]
        assert len(head) == width
        return int(head, 2) if width else 0

    def number(self, k: int) -> int:
        zeros = self.text.index("1")
        self.take(zeros + 1)
        if zeros < 4:
            return (zeros << k) + self.take(k)
        begin, length = 4, 2  # in units of 2**k
        for _ in range(zeros - 4):
            begin, length = begin + length, length * 2
        return (begin << k) + self.take(zeros - 3 + k)


def decode(
    payload: bytes,
    items: Sequence[tuple[int, int]],
    window_s: int,
    table: dict[int, Channel],
    next_seq: int,
    now_s: int,
) -> list[list[Any]]:
    """[seq, time, coverage, values, flags] of each record; time is (1, end_s) or (2, boot, end_ms)."""
    bits = Bits(payload)
    bits.take(8)
    count = bits.take(6) + 2 if bits.take(1) else 1
    long_seq = form = wide = coverage = quality = gaps = jumps = 0
    if bits.take(1):
        long_seq, form, wide, coverage, quality = (bits.take(width) for width in (1, 2, 1, 1, 1))
        if count > 1:
            gaps, jumps = bits.take(1), bits.take(1)
    seq = bits.take(32 if long_seq else 16)
    if not long_seq:
        (seq,) = (s for s in range(next_seq - 49152, next_seq + 16384) if s % 65536 == seq)
    seqs = [seq]
    for _ in range(count - 1):
        seqs.append(seqs[-1] + 1 + (bits.number(0) if gaps else 0))

    def absolute(kind: int) -> tuple[int, ...]:
        if kind == 3:
            return (2, bits.take(16), bits.take(40))
        if kind == 2:
            return (1, bits.take(32))
        index = bits.take(32 if kind else 16)
        if kind == 0:
            now = now_s // window_s
            (index,) = (i for i in range(now - 61440, now + 4096) if i % 65536 == index)
        return (1, (index + 1) * window_s)

    times = [absolute(form)]
    for _ in range(count - 1):
        unit = window_s if times[-1][0] == 1 else 1
        expected = times[-1][-1] + (window_s if times[-1][0] == 1 else 1000 * window_s)
        if jumps and bits.take(1):
            if bits.take(1):
                times.append(absolute(bits.take(2)))
                continue
            sign = -1 if bits.take(1) else 1
            expected += sign * bits.number(4) * unit
        times.append((*times[-1][:-1], expected))
    coverages = [100]
    for _ in range(count):
        coverages.append(bits.take(7) if coverage and bits.take(1) else coverages[-1])
    marks: list[list[tuple[int, int] | None]] = [[None] * len(items)]  # (is there, flag), None: usual
    for _ in range(count):
        if quality and bits.take(1):
            marks.append(_marks(bits, len(items)))
        else:
            marks.append(marks[-1])
    memory: list[dict[str, Any]] = [{} for _ in items]
    out = []
    for at in range(count):
        values: list[int | None] = []
        flags = []
        for place, item in enumerate(items):
            value, flag = _value(
                bits, place, item, items, window_s, table, values, memory[place], marks[at + 1][place], wide
            )
            values.append(value)
            flags.append(flag)
        usual = [9 if value is None else 1 for value in values]
        out.append([seqs[at], times[at], coverages[at + 1], tuple(values), None if flags == usual else tuple(flags)])
    assert len(bits.text) < 8
    assert "1" not in bits.text
    return out


def _marks(bits: Bits, count: int) -> list[tuple[int, int] | None]:
    """(is there, flag + 16 * reason) of each item, None: usual."""
    found: list[tuple[int, int] | None] = []
    while len(found) < count:
        if not bits.take(1):
            found.append(None)
        elif not bits.take(1):
            found.append((0, 9))
        else:
            there, code = bits.take(1), bits.take(4)
            flag = {10: 2, 11: 3, 12: 4, 13: 9}.get(code)
            if flag is None:
                found.append((there, code))
            else:
                reason = bits.take(4)
                found += [(there, flag + 16 * reason)] * (1 + bits.number(0))
    return found


def _value(
    bits: Bits,
    place: int,
    item: tuple[int, int],
    items: Sequence[tuple[int, int]],
    window_s: int,
    table: dict[int, Channel],
    values: list[int | None],
    memory: dict[str, Any],
    mark: tuple[int, int] | None,
    wide: int,
) -> tuple[int | None, int]:
    channel = table[item[0]]
    mode = channel["mode"]
    partner = None
    has_partner = (channel["partner"], item[1]) in items[:place]
    if has_partner:
        partner = values[items.index((channel["partner"], item[1]))]
    flag = 1
    if mark is not None:
        if not mark[0]:
            return None, mark[1]
        flag = mark[1]
    elif mode == "sample" and partner is not None and partner < channel["min_count"] and not bits.take(1):
        return None, 9
    width = channel["width"]
    if mode == "events":
        width = max(window_s.bit_length() - 2, 1)
    # unlearned
    n = 1 if partner is None else partner
    p, k = channel["centre"], width
    if mode == "sample":
        if has_partner and partner is not None:
            p, k = (channel["centre"], width - (n.bit_length() >> 1)) if n > 0 else (0, 0)
    elif partner is not None:
        p, k = partner + channel["lead"], width - 1
    k = max(k, 0)
    learns = mode != "sample" or n > 0
    base = 0 if mode == "sample" or partner is None else partner
    if mode != "sample" and memory.get("beside") != (partner is not None):
        memory.clear()
        memory["beside"] = partner is not None
    learned = memory.get("i", 0)
    h = 0
    if learns and learned:
        p = (memory["E"] + 8 >> 4) + base
        if mode == "events":
            h = max(p, 1).bit_length() + 1 >> 1
        elif mode == "sample":
            h = -(n.bit_length() >> 1)
        j = 0
        while 32 * learned * 2**j < 3 * memory["M"]:
            j += 1
        k = min(max(h + j, 0), 24)
    u = bits.number(k)
    low = -(2**31) if wide else channel["low"]
    p = max(p, low)
    if u > 2 * (p - low):
        value = low + u
    else:
        value = p - (u + 1) // 2 if u % 2 else p + u // 2
    if learns:
        x = value - base
        if not learned:
            memory["E"] = 16 * x
            memory["M"] = 8 if mode == "events" else 16 * channel["step"]
        else:
            size = 8 * min(u, 65535)
            memory["M"] += size >> h if h >= 0 else size << -h
            i = learned + 1
            d = 16 * x - memory["E"]
            memory["E"] += {"last": d, "blend": d >> 1}.get(mode, d // i if i < 4 else d >> 2)
        memory["i"] = learned + 1
    return value, flag
