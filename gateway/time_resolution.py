"""From a boot's milliseconds to UTC: by what was seen of that boot, else by its neighbours. Every answer has a bound.

An *anchor* ties an uptime to UTC: a hello carries the uptime at its sealing and is received at once (frames that waited
in a driver's buffer while nobody read it are no anchors). ESP32 crystals stay within 50 ppm over temperature and age.
"""

from __future__ import annotations

from typing import NamedTuple

DRIFT_PPM = 50
ANCHOR_MS = 2_000  # sealing to receipt of a hello on a loaded link; a health record's clock and its whole second
CLOCK_MS = 2_000  # a node takes an answer that travelled up to 4 s, and assumes half of it for the way down
UNKNOWN_AGE_MS = 7 * 86_400_000  # the clock was set by somebody else: assume a week ago
SYNC_EVERY_MS = 900_000  # syncs no further apart than this are one span of contact
SPANS_KEPT = 16


class Resolved(NamedTuple):
    at_ms: int  # UTC
    bound_ms: int


class BootAnchors(NamedTuple):
    """First and last sight of a boot: (uptime, UTC) each, in milliseconds."""

    first_up_ms: int
    first_ms: int
    last_up_ms: int
    last_ms: int

    @classmethod
    def of(cls, up_ms: int, at_ms: int) -> BootAnchors:
        return cls(up_ms, at_ms, up_ms, at_ms)

    def agrees(self, up_ms: int, at_ms: int) -> bool:
        """False: our clock was set meanwhile, or this is another boot, 65536 later."""
        age_ms = up_ms - self.last_up_ms
        return abs(self.last_ms + age_ms - at_ms) <= 2 * ANCHOR_MS + drift_ms(age_ms)

    def seen(self, up_ms: int, at_ms: int) -> BootAnchors:
        if up_ms >= self.last_up_ms:
            return self._replace(last_up_ms=up_ms, last_ms=at_ms)
        if up_ms < self.first_up_ms:
            return self._replace(first_up_ms=up_ms, first_ms=at_ms)
        return self


def drift_ms(age_ms: int) -> int:
    """What a node's crystal may be off after this time, rounded up."""
    return -(-abs(age_ms) * DRIFT_PPM // 1_000_000)


def by_anchor(anchors: BootAnchors, up_ms: int) -> Resolved:
    """The UTC of an uptime, from the nearer of the two sights."""
    if abs(up_ms - anchors.first_up_ms) <= abs(anchors.last_up_ms - up_ms):
        age = up_ms - anchors.first_up_ms
        at = anchors.first_ms + age
    else:
        age = up_ms - anchors.last_up_ms
        at = anchors.last_ms + age
    return Resolved(at, ANCHOR_MS + drift_ms(age))


def by_neighbours(earliest_ms: int, latest_ms: int) -> Resolved:
    """A moment that lies somewhere in [earliest, latest]: the middle, and half the gap as bound."""
    if latest_ms < earliest_ms:  # the neighbours' own bounds overlap
        earliest_ms, latest_ms = latest_ms, earliest_ms
    half = -(-(latest_ms - earliest_ms) // 2)
    return Resolved(earliest_ms + half, half)


class ClockSpans:
    """When this node's clock is known to have been set, as spans of contact: gives the bound of a clocked record."""

    def __init__(self, spans: list[tuple[int, int]] | None = None) -> None:
        self.spans = spans or []

    def synced(self, at_ms: int) -> None:
        if self.spans and 0 <= at_ms - self.spans[-1][1] <= SYNC_EVERY_MS:
            self.spans[-1] = (self.spans[-1][0], at_ms)
        else:
            self.spans.append((at_ms, at_ms))
            del self.spans[:-SPANS_KEPT]

    def bound_ms(self, end_ms: int) -> int:
        """The bound of a record whose node had a clock."""
        for first, last in reversed(self.spans):
            if end_ms >= last:
                return CLOCK_MS + drift_ms(end_ms - last)
            if end_ms >= first:
                return CLOCK_MS + drift_ms(SYNC_EVERY_MS)
        return CLOCK_MS + drift_ms(UNKNOWN_AGE_MS)


def window_of(start_ms: int, window_s: int) -> int:
    """Index of the grid window that contains this moment."""
    return start_ms // (window_s * 1_000)


def hours_of_windows(first: int, count: int, window_s: int) -> list[tuple[int, int]]:
    """(hour, windows) of `count` grid windows from index `first`: a window belongs to the hour that it starts in."""
    out = []
    end = first + count
    while first < end:
        hour = first * window_s // 3600
        # first window that starts in a later hour
        next_first = min(end, -(-(hour + 1) * 3600 // window_s))
        out.append((hour, next_first - first))
        first = next_first
    return out
