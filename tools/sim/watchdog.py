"""The hardware watchdog: bites when it was started and is not fed; nothing the program does stops it."""

from __future__ import annotations

from collections.abc import Callable

from tools.sim.timers import Time, Timer


class Watchdog:
    """`bite` is called when `timeout_ms` (0: not started) have passed since the last feeding."""

    def __init__(self, time: Time, bite: Callable[[], None]) -> None:
        self._time = time
        self._bite = bite
        self._timeout_us = 0
        self._due_us = 0
        self._timer: Timer | None = None

    def start(self, timeout_ms: int) -> None:
        """Start, or go on with another timeout."""
        self.clear()
        self._timeout_us = timeout_ms * 1000
        self.feed()

    def clear(self) -> None:
        """A reset of the chip stops it."""
        self._timeout_us = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def feed(self) -> None:
        self._due_us = self._time.now_us + self._timeout_us
        if self._timer is None and self._timeout_us:
            self._timer = self._time.call_at(self._due_us, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._timeout_us:
            return
        if self._time.now_us < self._due_us:
            self._timer = self._time.call_at(self._due_us, self._look)
        else:
            self._bite()
