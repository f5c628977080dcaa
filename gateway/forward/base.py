"""What every sink has in common: its view of the store, its health, and how it comes back after a failure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.models import Batch, Record

# States of a sink. `REFUSED` and `MISCONFIGURED` need a person; the sink tries again by itself all the same, because
# the mistake may be on the other side and be mended there.
STARTING, CONNECTING, CONNECTED, WAITING = "starting", "connecting", "connected", "waiting"
REFUSED, MISCONFIGURED, STOPPED = "refused", "misconfigured", "stopped"


class Spool(Protocol):
    """The part of the store that a sink uses; the store keeps one cursor a sink."""

    async def add_sink(self, name: str) -> None: ...

    async def next_batch(self, sink: str, max_records: int, max_bytes: int, after: int = 0) -> Batch | None:
        """The first unconfirmed batch above `after` with its old boundaries, else a new one, synced before return."""
        ...

    async def confirm(self, sink: str, batch_id: int, records: Sequence[Record] | None = None) -> None:
        """The sink has these records of the batch for certain; without `records` the whole batch."""
        ...

    async def refuse(self, sink: str, batch_id: int, record_ids: Sequence[str], reason: str) -> None:
        """The sink will never take these records."""
        ...

    async def wait_new(self, sink: str, timeout_s: float) -> bool: ...


class SinkHealth(msgspec.Struct):
    """What is known of a sink. Healthy is what was confirmed lately, not what is connected (FAILURES 7)."""

    name: str
    state: str = STARTING
    since_ms: int = 0  # wall clock: when the state began
    detail: str = ""  # of the last failure; "" once a login, or else a confirmed delivery, showed that it is over
    next_step: str = ""
    target: str = ""
    confirmed_ms: int = 0  # wall clock of the last confirmed delivery; 0: none since start
    confirmed_batches: int = 0  # since start, as the following ones
    confirmed_records: int = 0
    redelivered: int = 0  # records sent again because their first confirmation never came
    failures: int = 0
    connects: int = 0


class Forwarder(Protocol):
    """One sink. `run` returns when `stop` is set; it never raises for what the other side does."""

    name: str
    health: SinkHealth

    async def run(self, store: Spool, stop: asyncio.Event) -> None: ...


class Backoff:
    """Waiting times that double up to a cap, with jitter: after a power cut a whole city comes back at once."""

    def __init__(self, cap_s: float, *, first_s: float = 1.0, seed: int | None = None) -> None:
        self._first_s = min(first_s, cap_s)
        self._cap_s = cap_s
        self._random = random.Random(seed)  # spreads load, guards nothing
        self._next_s = self._first_s

    def next_s(self) -> float:
        """The next waiting time: between half of it and all of it."""
        wait_s = self._next_s
        self._next_s = min(self._next_s * 2, self._cap_s)
        return wait_s * (0.5 + self._random.random() / 2)

    def reset(self) -> None:
        self._next_s = self._first_s


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait `seconds`, or until `stop`; True if stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
