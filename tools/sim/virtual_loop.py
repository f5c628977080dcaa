"""An asyncio loop whose time moves only when it is told to: nothing of it depends on how fast this machine is."""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Mapping
from typing import Any

Step = Callable[[int | None], int]
"""Called when there is nothing left to do at this instant, with the time (us) of the next timer or None; returns the time
at which the loop goes on. What it puts into the loop meanwhile runs at that time."""


class SteppedSelector(selectors.BaseSelector):
    """Never waits for files; where the loop would wait, it asks `step`."""

    def __init__(self, step: Step, start_us: int) -> None:
        self._real = selectors.DefaultSelector()
        self._step = step
        self.now_us = start_us

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        found = self._real.select(0)
        if found:
            return found
        next_us = None if timeout is None else self.now_us + max(1, math.ceil(timeout * 1e6))
        self.now_us = max(self.now_us, self._step(next_us))
        return self._real.select(0)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jobs for threads run at once, in the loop: a thread's end would come at an instant that nobody can repeat."""

    def __init__(self, step: Step, start_us: int = 0) -> None:
        self.stepped = SteppedSelector(step, start_us)
        super().__init__(self.stepped)

    def time(self) -> float:
        return self.stepped.now_us / 1e6

    @property
    def now_us(self) -> int:
        return self.stepped.now_us

    def run_in_executor(  # type: ignore[override]  # any callable, as the base says with type variables
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return done
