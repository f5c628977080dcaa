"""Who spoke when, in true time, and the most that any sliding hour holds of a sub-band. Knows nothing of any ledger."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

HOUR_US = 3_600_000_000
# EN 300 220-2, of any 3,600 s: (lowest Hz, highest Hz, permille)
LAW = (
    (863_000_000, 865_000_000, 1),
    (865_000_000, 868_000_000, 10),
    (868_000_000, 868_600_000, 10),
    (868_700_000, 869_200_000, 1),
    (869_400_000, 869_650_000, 100),
    (869_700_000, 870_000_000, 10),
)


def row_of(freq_hz: int) -> tuple[int, int, int]:
    return next(row for row in LAW if row[0] < freq_hz < row[1])


def busiest_hour_us(spans: list[tuple[int, int]]) -> int:
    """The most time on air within any 3,600 s of (begin, end) that do not overlap, exactly: windows that begin or end with
    some transmission are the only ones that can hold most."""
    spans = sorted(spans)
    before = [0, *accumulate(end - begin for begin, end in spans)]

    def until(at_us: int) -> int:
        """Time on air before `at_us`."""
        over = bisect_right(spans, at_us, key=lambda span: span[1])
        partly = max(0, at_us - spans[over][0]) if over < len(spans) else 0
        return before[over] + partly

    edges = [begin for begin, _ in spans] + [end - HOUR_US for _, end in spans]
    return max((until(edge + HOUR_US) - until(edge) for edge in edges), default=0)


class Judge:
    """Of one transmitter."""

    def __init__(self) -> None:
        self.spans: dict[tuple[int, int, int], list[tuple[int, int]]] = {}

    def heard(self, freq_hz: int, begin_us: int, end_us: int) -> None:
        self.spans.setdefault(row_of(freq_hz), []).append((begin_us, end_us))

    def worst(self) -> float:
        """The busiest hour of the sub-band that is nearest to its limit, or furthest beyond it: 1.0 is the limit."""
        return max(
            (busiest_hour_us(spans) / (HOUR_US * row[2] / 1000) for row, spans in self.spans.items()), default=0.0
        )
