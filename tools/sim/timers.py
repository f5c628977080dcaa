"""Simulated time: timers in order, and the two sources of time. All else of the simulator is the same for both."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Protocol


class Timer:
    """One call at one instant. `cancel()` may be called at any time."""

    __slots__ = ("call", "due_us")

    def __init__(self, due_us: int, call: Callable[[], None]) -> None:
        self.due_us = due_us
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Time(Protocol):
    """What the simulator's parts know of time: microseconds since the start of the simulation."""

    virtual: bool
    speed: int

    @property
    def now_us(self) -> int: ...

    def call_at(self, due_us: int, call: Callable[[], None]) -> Timer: ...

    def skip(self, duration_us: int) -> bool:
        """Let `duration_us` pass at once if nothing else happens meanwhile; False: wait for it by a timer."""
        ...


class Timers:
    """Calls in order of time; of equal times in the order in which they were asked for."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0

    def call_at(self, due_us: int, call: Callable[[], None]) -> Timer:
        timer = Timer(due_us, call)
        self._count += 1
        heapq.heappush(self._heap, (due_us, self._count, timer))
        return timer

    def next_us(self) -> int | None:
        """When the next call is due."""
        heap = self._heap
        while heap and heap[0][2].call is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self) -> Callable[[], None]:
        """The next call; only after `next_us()` gave a time."""
        call = heapq.heappop(self._heap)[2].call
        assert call is not None
        return call


class RealTime(Timers):
    """Time as it passes on this machine, or `speed` times as fast."""

    virtual = False
    # Shorter waits are not worth a turn of the loop: the machine's own delay is of that size.
    _AT_ONCE_US = 300

    def __init__(self, speed: int = 1) -> None:
        super().__init__()
        self.speed = speed
        self._start_ns = time.monotonic_ns()

    @property
    def now_us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) * self.speed // 1000

    def skip(self, duration_us: int) -> bool:
        return duration_us <= self._AT_ONCE_US * self.speed

    def wait_s(self) -> float | None:
        """How long this machine may sleep until the next call is due; None: as long as it likes."""
        next_us = self.next_us()
        return None if next_us is None else max(0, next_us - self.now_us) / (1_000_000 * self.speed)

    def run_due(self) -> None:
        """Make the calls that are due."""
        while (due_us := self.next_us()) is not None and due_us <= self.now_us:
            self.pop()()


class VirtualTime(Timers):
    """Time that jumps to the next event. `computing` says whether some program computes at this instant."""

    virtual = True
    speed = 1

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 0
        self.computing: Callable[[], bool] = lambda: False
        self.limit_us: int | None = None  # nobody skips beyond: the end of the run

    def skip(self, duration_us: int) -> bool:
        end_us = self.now_us + duration_us
        next_us = self.next_us()
        if (next_us is not None and next_us <= end_us) or (self.limit_us is not None and end_us >= self.limit_us):
            return False
        if self.computing():
            return False
        self.now_us = end_us
        return True
