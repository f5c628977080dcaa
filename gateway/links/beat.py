"""Whether the event loop turns: one timer for all ports, so that fifty of them do not wake it fifty times."""

from __future__ import annotations

import asyncio

TICK_S = 1.0  # below STALL_S of gateway/links/serial.py


class Beat:
    """`last_s` is the loop time at which the loop was last seen turning; noted while anybody has started it."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self._users = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Once for each port that opens. The first one counts as a turn."""
        self._users += 1
        if self._users == 1:
            self._tick()

    def stop(self) -> None:
        """Once for each port that closes."""
        self._users -= 1
        if not self._users and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self.last_s = loop.time()
        self._timer = loop.call_later(TICK_S, self._tick)
