"""A gateway's store and sessions in this process, fake nodes wired to them, and a clock that tests move."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway import ledger
from gateway.downlink import Sealer
from gateway.keys import Life
from gateway.store import Budget, Store, schema
from gateway.uplink import Uplinks
from tests.fakes.node import FakeNode
from wire.frame import SERIAL

START_S = 1_790_000_040 // 3600 * 3600  # a full hour


class HandClock:
    def __init__(self, at_ms: int = START_S * 1000) -> None:
        self.at_ms = at_ms

    def wall_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


class MemoryLink:
    """Frames go straight to the node; `delay` collects them instead, for tests that want to look in between."""

    kind = SERIAL
    state = "open"

    def __init__(self, node: FakeNode) -> None:
        self.name = f"memory-{node.address}"
        self.node = node
        self.sent: list[bytes] = []
        self.hold = False

    def send(self, frame: bytes) -> bool:
        self.sent.append(frame)
        if not self.hold:
            self.node.receive(frame)
        return True

    def pass_on(self) -> None:
        frames, self.sent = self.sent, []
        for frame in frames:
            self.node.receive(frame)


class Rig:
    def __init__(
        self, path: Path, clock: HandClock, budget: Budget | None, number: int, group_s: float, opener: schema.Opener
    ) -> None:
        self.clock = clock
        self.store = Store(path, clock, budget, group_s=group_s, opener=opener)
        self.uplinks = Uplinks(self.store, clock, Sealer(number))
        self.nodes: dict[int, FakeNode] = {}
        self.links: dict[int, MemoryLink] = {}
        self.lives: list[Life] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.contents: Any = None

    async def add(
        self, node: FakeNode, *, profiles: bool = True, provisioned_s: int = START_S, until_s: int = 0
    ) -> None:
        """Enter a node into the key file, so to speak, and connect it."""
        life = Life(
            address=node.address,
            key=node.key,
            board="air-v1",
            name=f"node {node.address}",
            provisioned_s=provisioned_s,
            until_s=until_s,
            profiles=(node.profile.encode().hex(),) if profiles else (),
        )
        self.lives = [old for old in self.lives if old.key != node.key] + [life]
        await self.uplinks.load(self.lives, self.contents)
        self.connect(node)

    def connect(self, node: FakeNode) -> MemoryLink:
        link = MemoryLink(node)
        self.nodes[node.life] = node
        self.links[node.life] = link
        node.out = lambda frame: self.uplinks.on_frame(link, frame, self.clock.wall_ms())
        return link

    async def settle(self) -> None:
        """Until everything received is committed and acknowledged, and what was held is worked off."""
        async with asyncio.timeout(20):
            while True:
                assert await self.store.flushed(10)
                if self.uplinks.idle and not self.store.pending_jobs and not self.store.waiting:
                    return
                await asyncio.sleep(0)

    async def deliver(self, sink: str = "mqtt", most: int = 100) -> list[str]:
        """Play the sink: take and confirm everything; returns the ids."""
        got: list[str] = []
        while (batch := await self.store.next_batch(sink, most, 1 << 20)) is not None:
            got += [record.id for record in batch.records]
            await self.store.confirm(sink, batch.id, batch.records)
        return got

    async def report(self, now_ms: int | None = None) -> ledger.Report:
        await self.settle()
        at_ms = self.clock.at_ms if now_ms is None else now_ms
        return await self.store.query(lambda conn: ledger.build(conn, at_ms))

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Behind the code's back."""
        return await self.store._worker.submit(lambda conn: conn.execute(statement, arguments).fetchall())


@asynccontextmanager
async def rig(
    path: Path,
    *,
    clock: HandClock | None = None,
    budget: Budget | None = None,
    sinks: tuple[str, ...] = ("mqtt",),
    number: int = 1,
    group_s: float = 0.0,
    crash: bool = False,
    opener: schema.Opener = sqlite3.connect,
) -> AsyncIterator[Rig]:
    """`crash`: leave without committing what was not committed, as a killed process does."""
    made = Rig(path, clock or HandClock(), budget, number, group_s, opener)
    made.contents = await made.store.open()
    for sink in sinks:
        await made.store.add_sink(sink)
    made.tasks = [asyncio.create_task(made.store.run()), asyncio.create_task(made.uplinks.run())]
    try:
        yield made
    finally:
        for task in made.tasks:
            task.cancel()
        done = await asyncio.gather(*made.tasks, return_exceptions=True)
        if crash:
            made.store.forget()
        await made.store.close()
    for outcome in done:
        if isinstance(outcome, Exception):
            raise outcome
