"""The MQTT sink in front of a spool in memory, with short waiting times."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.clock import SystemClock
from gateway.config import Mqtt
from gateway.forward.base import STOPPED
from gateway.forward.mqtt import MqttForwarder
from tests.fakes.spool import FakeSpool
from tests.waiting import wait_until_async


def settings(url: str | list[str], **changes: object) -> Mqtt:
    """Short waiting times: below what a configuration file may ask for."""
    values: dict[str, object] = {
        "url": url,
        "batch_records": 10,
        "batch_wait_s": 0.0,
        "connect_timeout_s": 1,
        "confirm_timeout_s": 1,
        "backoff_max_s": 0.1,
    }
    return Mqtt(**(values | changes))  # type: ignore[arg-type]


class Sink:
    def __init__(self, config: Mqtt) -> None:
        self.spool = FakeSpool()
        self.forwarder = MqttForwarder(config, "gw-1", SystemClock(), seed=1)
        self.health = self.forwarder.health
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.forwarder.run(self.spool, self.stop))

    async def until(self, condition: Callable[[], object], what: str, timeout_s: float = 15) -> None:
        def look() -> object:
            assert not self.task.done() or self.stop.is_set(), self.task
            return condition()

        try:
            await wait_until_async(look, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.health}") from None


@asynccontextmanager
async def sink(config: Mqtt) -> AsyncIterator[Sink]:
    made = Sink(config)
    try:
        yield made
    finally:
        made.stop.set()
        await asyncio.wait_for(made.task, 10)
        assert made.health.state == STOPPED


def scenario(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    def run(**arguments: object) -> None:
        asyncio.run(test(**arguments))  # type: ignore[arg-type]

    run.__name__ = test.__name__
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    return run
