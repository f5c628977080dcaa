"""The one way a test waits: on an observed condition, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

POLL_S = 0.01  # granularity of looking, not a duration that any test relies on


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> object:
    """Return the first truthy value of `condition()`; raise AssertionError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {timeout_s:g} s: {what}")
        time.sleep(POLL_S)


async def wait_until_async(condition: Callable[[], object], timeout_s: float, what: str) -> object:
    """As `wait_until`, without blocking the event loop."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if loop.time() > deadline:
            raise AssertionError(f"not seen within {timeout_s:g} s: {what}")
        await asyncio.sleep(POLL_S)
