"""An event loop whose time moves only when nothing is left to do: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout:
            self.loop.now_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """`now_s` is its time, from 0."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now_s = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s


async def virtual_s(seconds: float) -> None:
    """Let so much virtual time pass: no second of a real clock does."""
    await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, Any], loop: VirtualLoop | None = None) -> Any:
    """Run `main` to its end in virtual time."""
    loop = loop or VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        for _ in range(10):  # before Python 3.12 a wait_for whose inner future is done swallows a cancellation
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=0.001) if tasks else asyncio.sleep(0))
        loop.close()
