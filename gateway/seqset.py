"""Which seqs of a life are stored, as ranges: gaps are ranges too, and a day's outage costs a few bytes."""

from __future__ import annotations

from bisect import bisect_right

ACK_BITS = 64


class SeqSet:
    """A set of integers ≥ 0, as sorted, disjoint, non-touching ranges [start, end)."""

    __slots__ = ("_ends", "_size", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._starts, seq) - 1
        return at >= 0 and seq < self._ends[at]

    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._starts, self._ends, strict=True))

    def add(self, seq: int) -> bool:
        """True if `seq` was not in the set."""
        ends = self._ends
        if ends and seq == ends[-1]:  # the usual case: the next one
            ends[-1] = seq + 1
            self._size += 1
            return True
        if seq in self:
            return False
        self.add_range(seq, seq + 1)
        return True

    def add_range(self, start: int, end: int) -> list[tuple[int, int]]:
        """Add [start, end); returns the parts of it that were missing."""
        if start >= end:
            return []
        missing = self.missing(start, end)
        if not missing:
            return []
        starts, ends = self._starts, self._ends
        first = bisect_right(ends, start - 1)  # first range that touches or lies behind start
        last = bisect_right(starts, end)  # one past the last range that touches
        if first < last:
            start = min(start, starts[first])
            end = max(end, ends[last - 1])
        starts[first:last] = [start]
        ends[first:last] = [end]
        self._size += sum(e - s for s, e in missing)
        return missing

    def remove_range(self, start: int, end: int) -> None:
        """Take [start, end) out again."""
        kept = []
        for have_start, have_end in self.ranges():
            if have_start < min(start, have_end):
                kept.append((have_start, min(start, have_end)))
            if max(end, have_start) < have_end:
                kept.append((max(end, have_start), have_end))
        self._starts = [s for s, _ in kept]
        self._ends = [e for _, e in kept]
        self._size = sum(e - s for s, e in kept)

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are not in the set."""
        out = []
        at = max(0, bisect_right(self._starts, start) - 1)
        for index in range(at, len(self._starts)):
            have_start, have_end = self._starts[index], self._ends[index]
            if have_start >= end:
                break
            if have_start > start:
                out.append((start, have_start))
            start = max(start, have_end)
            if start >= end:
                return out
        if start < end:
            out.append((start, end))
        return out

    def count_below(self, limit: int) -> int:
        return sum(
            min(end, limit) - start for start, end in zip(self._starts, self._ends, strict=True) if start < limit
        )

    def first_missing(self, start: int) -> int:
        """The lowest number ≥ start that is not in the set: everything from start up to it is."""
        at = bisect_right(self._starts, start) - 1
        return self._ends[at] if at >= 0 and start < self._ends[at] else start

    def bits(self, base: int) -> int:
        """Bit i set: base + i is in the set, i < 64."""
        mask = 0
        at = max(0, bisect_right(self._starts, base) - 1)
        for index in range(at, len(self._starts)):
            low = max(self._starts[index] - base, 0)
            high = min(self._ends[index] - base, ACK_BITS)
            if low >= ACK_BITS:
                break
            if high > low:
                mask |= ((1 << (high - low)) - 1) << low
        return mask

    def encode(self) -> bytes:
        """Differences of the range ends as LEB128."""
        out = bytearray()
        before = 0
        for start, end in zip(self._starts, self._ends, strict=True):
            for value in (start - before, end - start):
                while value > 127:
                    out.append(value & 127 | 128)
                    value >>= 7
                out.append(value)
            before = end
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> SeqSet:
        out = cls()
        numbers = []
        value = shift = 0
        for byte in data:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                numbers.append(value)
                value = shift = 0
        at = 0
        for gap, size in zip(numbers[::2], numbers[1::2], strict=True):
            out._starts.append(at + gap)
            out._ends.append(at + gap + size)
            out._size += size
            at += gap + size
        return out


def ack_windows(received: SeqSet, cum: int, seqs: list[int], most: int) -> list[tuple[int, int]]:
    """Windows (base, bits) that acknowledge the `seqs` above `cum`, lowest first, at most `most` of them."""
    out: list[tuple[int, int]] = []
    covered = cum
    for seq in sorted(seqs):
        if seq < covered:
            continue
        if len(out) == most:
            break
        out.append((seq, received.bits(seq)))
        covered = seq + ACK_BITS
    return out
