"""The one seam through which the gateway sees time; a virtual-time event loop brings its own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, as the machine believes."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never jump; the same time base as the event loop's `time()`."""
        ...


class SystemClock:
    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
