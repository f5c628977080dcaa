"""A store and its sessions inside a hypothesis state machine: rules are plain calls, the rig lives in a loop of its own."""

from __future__ import annotations

import asyncio
import tempfile
from asyncio import _set_running_loop  # for those who drive a loop step by step
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes.cut_verdict import RAM_FOLDER
from tests.fakes.node import FakeNode
from tests.fakes.rig import HandClock, Rig, rig

T = TypeVar("T")


class RigLoop:
    """`rig` is the gateway of the moment; `restart` makes the next one on the same file."""

    def __init__(self, *nodes: FakeNode, sinks: tuple[str, ...] = (), clock: Any = None) -> None:
        self.clock = clock or HandClock()
        self.nodes = list(nodes)
        self.sinks = list(sinks)
        self._folder = tempfile.TemporaryDirectory(dir=RAM_FOLDER, prefix="steiger-machine-")
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.rig: Rig = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, 60))

    def at_once(self, call: Callable[[], T]) -> T:
        """Call what links call: in the loop, which for the rest stands still."""
        _set_running_loop(self._loop)
        try:
            return call()
        finally:
            _set_running_loop(None)

    async def _open(self) -> Rig:
        path = Path(self._folder.name) / "spool.db"
        opened = await self._stack.enter_async_context(rig(path, clock=self.clock, sinks=tuple(self.sinks)))
        for node in self.nodes:
            await opened.add(node)
        await opened.settle()
        return opened

    def settle(self) -> None:
        self.run(self.rig.settle())

    def restart(self, *, crash: bool) -> None:
        """In order, with everything committed; or as a killed process, without what was not."""
        if crash:
            self.rig.store.forget()  # the loop stands still between rules: nothing else is on its way to the disk
        self.run(self._stack.aclose())
        self._stack = AsyncExitStack()
        self.rig = self.run(self._open())

    def close(self) -> None:
        self.run(self._stack.aclose())
        self._loop.close()
        self._folder.cleanup()
