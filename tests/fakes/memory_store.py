"""The store as sessions see it, without a disk: what was committed outlives the gateway, everything else goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.clock import Clock
from gateway.downlink import Sealer
from gateway.keys import Life
from gateway.life_state import Memory
from gateway.models import LifeInfo
from gateway.session import LifeSession
from gateway.store.group import Group
from gateway.store.spool import Contents, LifeRow
from gateway.uplink import Uplinks


class MemoryDisk:
    """What survives: rows and the states of sessions."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []  # in the order of gateway.store.rows.Row, without the place
        self.states: dict[int, bytes] = {}

    def write(self, group: Group) -> None:
        self.rows += [row[1:] for row in group.rows]
        for _, snapshot in group.snapshots:
            self.states[snapshot.life] = snapshot.state

    def memory(self, life: int) -> Memory:
        """What a gateway that starts now would know of this life."""
        return Memory(self.states.get(life))


class MemoryStore:
    """The part of gateway.store.Store that inputs use."""

    accepting = holding = True

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.profiles: dict[int, Any] = {}
        self.duplicates = 0
        self._group = Group()
        self._ids: dict[str, int] = {}

    async def add_lives(self, lives: Sequence[Life]) -> dict[tuple[int, int], LifeInfo]:
        infos = [LifeInfo(number, life.address, life.life, "", "") for number, life in enumerate(lives, 1)]
        return {(info.node, info.life): info for info in infos}

    def next_id(self, table: str) -> int:
        self._ids[table] = self._ids.get(table, 0) + 1
        return self._ids[table]

    def put(self, row: tuple[Any, ...]) -> None:
        self._group.rows.append((0, *row))  # type: ignore[arg-type]

    def count(self, key: Any, n: int = 1) -> None:
        self._group.counts[key] += n

    def touch(self, row: int, session: Any, *, window: bool = False) -> None:
        self._group.touched.setdefault(row, session)

    def add_profile(self, row: Any) -> None:
        self._group.profiles[row.id] = row

    def put_anchor(self, anchor: Any) -> None:
        self._group.anchors[(anchor.life, anchor.boot)] = anchor

    def take_group(self, now_ms: int) -> Group:
        """What is to be committed; what arrives from now on belongs to the next one."""
        group, self._group = self._group, Group()
        group.close(now_ms)
        return group

    def commit(self, group: Group, heard: bool = True) -> None:
        """To the disk; `heard` False: the gateway ends after the sync, before anybody learns of it."""
        self.disk.write(group)
        for session, snapshot in group.snapshots if heard else []:
            session.committed(snapshot)


def start_gateway(disk: MemoryDisk, life: Life, clock: Clock, number: int) -> tuple[MemoryStore, Uplinks, LifeSession]:
    """A gateway that goes on from what is on the disk."""
    store = MemoryStore(disk)
    made = Uplinks(store, clock, Sealer(number))  # type: ignore[arg-type]
    rows = [LifeRow(1, life.address, life.life, disk.states.get(1))]
    asyncio.run(made.load([life], Contents(rows, [], [], {}, {})))
    session = made.session_of(life.address)
    assert session is not None
    return store, made, session
