"""Which seqs the gateway holds: everything below `cum`, and ranges above it."""

RANGES_MAX = 32  # what live-before-backlog needs is 1 to 3; beyond the cap the highest are forgotten and sent again


class Acked:
    """`ranges` is sorted, disjoint, never touching: [[first, end), …], all above `cum`."""

    def __init__(self) -> None:
        self.cum = 0
        self.ranges: "list[tuple[int, int]]" = []

    def add(self, first: int, end: int) -> bool:
        """[first, end) is held; True if that was news."""
        if first < self.cum:
            first = self.cum
        if first >= end or self.has(first, end):
            return False
        kept = []
        for low, high in self.ranges:
            if high < first or low > end:
                kept.append((low, high))
            else:
                first = min(first, low)
                end = max(end, high)
        if first == self.cum:
            self.cum = end
        else:
            kept.append((first, end))
            kept.sort()
            if len(kept) > RANGES_MAX:
                kept.pop()
        self.ranges = kept
        return True

    def remove(self, first: int, end: int) -> None:  # seldom
        """[first, end) is not held after all."""
        kept = []
        for low, high in [(0, self.cum)] + self.ranges:
            if low < first:
                kept.append((low, min(high, first)))
            if high > end:
                kept.append((max(low, end), high))
        kept = [r for r in kept if r[0] < r[1]]
        self.cum = 0
        if kept and kept[0][0] == 0:
            self.cum = kept.pop(0)[1]
        self.ranges = kept

    def has(self, first: int, end: int) -> bool:
        """Whether all of [first, end) is held."""
        if end <= self.cum:
            return True
        if first < self.cum:
            first = self.cum
        for low, high in self.ranges:
            if low <= first and end <= high:
                return True
        return first >= end

    def apply(self, cum: int, base: int, bits: int) -> bool:
        """An acknowledgement: all below `cum`, and base + i for each bit i of `bits`; True if anything was news."""
        news = self.add(0, cum)
        first = -1
        at = base
        while bits or first >= 0:
            if bits & 1:
                if first < 0:
                    first = at
            elif first >= 0:
                news = self.add(first, at) or news
                first = -1
            bits >>= 1
            at += 1
        return news
