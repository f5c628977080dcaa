"""Counters accepted from a life: a sliding window, so that frames over several links may overtake each other."""

from __future__ import annotations

SIZE = 256  # counters below the highest that may still come; older ones are refused


class ReplayWindow:
    __slots__ = ("highest", "seen")

    def __init__(self, highest: int = -1, seen: int = 0) -> None:
        self.highest = highest  # -1: nothing accepted yet
        self.seen = seen  # bit i: highest - i was accepted

    def fresh(self, counter: int) -> bool:
        """Whether a frame with this counter may still be accepted."""
        back = self.highest - counter
        return back < 0 or (back < SIZE and not self.seen >> back & 1)

    def accept(self, counter: int) -> None:
        """Mark an authenticated counter as used; only after `fresh`."""
        ahead = counter - self.highest
        if ahead > 0:
            self.seen = ((self.seen << ahead) & ((1 << SIZE) - 1)) | 1 if ahead < SIZE else 1
            self.highest = counter
        else:
            self.seen |= 1 << -ahead
