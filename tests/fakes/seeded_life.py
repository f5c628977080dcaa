"""A gateway's life by chance, played on a traced disk as the scripted ones of recorded_life.py."""

from __future__ import annotations

import random
from typing import Any

from gateway.store import Budget
from gateway.store.schema import PAGE_BYTES
from tests.fakes.node import FakeNode
from tests.fakes.recorded_life import AGE_MS, Player
from wire import UTC


class Seeded:
    """A life by chance: one of its gateways after the other, each doing a few of these things in any order."""

    def __init__(self, seed: int, gateways: int = 6, turns: int = 25) -> None:
        self._chance = random.Random(f"life {seed}")
        self._gateways = gateways
        self._turns = turns
        self._open: list[tuple[str, Any]] = []

    async def __call__(self, player: Player) -> None:
        chance = self._chance
        turns = (
            self._minutes,
            self._some_send,
            self._some_send,
            self._give,
            self._give,
            self._settle_batch,
            self._trouble,
        )
        for number in range(self._gateways):
            async with player.gateway(crash=chance.random() < 0.4):
                self._open = []
                if number < 4:
                    await player.add(
                        FakeNode(20 + number, batch=chance.randrange(1, 20)), profiles=chance.random() < 0.6
                    )
                if number in (0, 1, 3):
                    await player.add_sink(f"sink{number}")
                for _ in range(self._turns):
                    await chance.choice(turns)(player)
                if number % 2:
                    await self._trim(player)

    async def _minutes(self, player: Player) -> None:
        if player.minute < 55:  # all of it within one hour: where windows are displaced is the ledger's tests' matter
            player.pass_minutes()

    async def _some_send(self, player: Player) -> None:
        for node in player.nodes:
            if self._chance.random() < 0.3:
                node.hello()
            if self._chance.random() < 0.6:
                node.send_outbox(self._chance.randrange(1, 9))
        await player.story.settle(player.rig)

    async def _give(self, player: Player) -> None:
        name = self._chance.choice(player.story.sinks).what
        after = max((batch.id for sink, batch in self._open if sink == name), default=0)
        batch = await player.give(name, self._chance.randrange(1, 12), after)
        if batch is not None:
            self._open.append((name, batch))

    async def _settle_batch(self, player: Player) -> None:
        if self._open:
            name, batch = self._open.pop(self._chance.randrange(len(self._open)))
            if self._chance.random() < 0.3:
                await player.refuse(name, batch, (self._chance.choice(batch.records).id,))
            await player.confirm(name, batch)

    async def _trouble(self, player: Player) -> None:
        node = self._chance.choice(player.nodes)
        if self._chance.random() < 0.5:
            node.reboot()
            node.uptime_ms = self._chance.randrange(10_000)
            node.hello()
        else:
            node.event(1, self._chance.randrange(100), (UTC, player.clock.at_ms // 1000))
            node.health((UTC, player.clock.at_ms // 1000))
        await player.story.settle(player.rig)

    async def _trim(self, player: Player) -> None:
        used = (await player.rig.sql("PRAGMA page_count"))[0][0] - (await player.rig.sql("PRAGMA freelist_count"))[0][0]
        await player.trim(Budget((used - 2) * PAGE_BYTES, AGE_MS), must=False)
