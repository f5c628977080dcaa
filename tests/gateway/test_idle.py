"""What a gateway does where little comes: few commits, few wakings, and still soon enough. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.links.beat import TICK_S, Beat
from gateway.models import LifeInfo
from gateway.store import Store, spool
from gateway.store.group import Snapshot
from gateway.store.spool import SPARSE_ROWS
from tests.fakes.rig import HandClock
from tests.fakes.virtual_time import VirtualLoop, run_virtual, virtual_s
from tools.sim.gateway_runner import LoopWorker

DATA = b"\0" * 21


class Node:
    """Of a session what a store sees: it notes how long each of its records waited for its commit."""

    def __init__(self, row: int) -> None:
        self.row = row
        self.came_s: list[float] = []
        self.waited_s: list[float] = []

    def snapshot(self) -> Snapshot:
        facts, self.came_s = self.came_s, []
        return Snapshot(self.row, b"", facts)

    def committed(self, snapshot: Snapshot) -> None:
        now_s = asyncio.get_running_loop().time()
        self.waited_s += [now_s - at_s for at_s in snapshot.facts]


class Outcome(NamedTuple):
    commits: int
    waited_s: list[float]


async def _even_load(path: Path, per_s: int, seconds: int) -> Outcome:
    """So many records a second, evenly, each from another node."""
    store = Store(path, HandClock())
    await store.open()
    task = asyncio.create_task(store.run())
    nodes = [Node(row) for row in range(1, 51)]
    try:
        for number in range(per_s * seconds):
            node = nodes[number % len(nodes)]
            node.came_s.append(asyncio.get_running_loop().time())
            store.put((node.row, number, 1, 0, 1, 0, 0, 60_000, 0, 0, 0, 100, DATA, None))
            store.touch(node.row, node)
            await virtual_s(1 / per_s)
        assert await store.flushed(5)
        return Outcome(store.commits, [waited for node in nodes for waited in node.waited_s])
    finally:
        task.cancel()
        await asyncio.wait([task])
        await store.close()


@pytest.fixture
def even_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Outcome]:
    monkeypatch.setattr(spool, "Worker", LoopWorker)  # a thread would take no virtual time
    return lambda per_s, seconds: run_virtual(_even_load(tmp_path / "spool.db", per_s, seconds))


def test_ten_records_a_second_make_few_commits(even_load: Any) -> None:
    outcome = even_load(10, 30)
    assert len(outcome.waited_s) == 300
    assert outcome.commits <= 300 / 3 + 2, "three records share a commit"
    assert max(outcome.waited_s) <= 0.2501


def test_a_hundred_a_second_are_acknowledged_as_soon_as_ever(even_load: Any) -> None:
    outcome = even_load(100, 10)
    waited = sorted(outcome.waited_s)
    assert len(waited) == 1000
    assert waited[len(waited) * 97 // 100] <= spool.GROUP_S + 0.0001, "all but those that came before it was known"


class Delivery(NamedTuple):
    """Of a sink that confirms at once, as the MQTT sink goes about it."""

    transactions: int
    commits: int
    delivered: int
    waited_s: list[float]  # between asking for a batch and having confirmed it


async def _delivered(path: Path, per_s: int, seconds: int) -> Delivery:
    store = Store(path, HandClock())
    await store.open()
    await store.add_sink("mqtt")
    transactions = 0
    delivered = 0
    waited_s: list[float] = []

    def count(_: object) -> None:
        nonlocal transactions
        transactions += 1

    async def deliver() -> None:
        nonlocal delivered
        loop = asyncio.get_running_loop()
        while True:
            await store.wait_new("mqtt", 1000)
            await virtual_s(1)
            asked_s = loop.time()
            while (batch := await store.next_batch("mqtt", 200, 1 << 17)) is not None:
                await store.confirm("mqtt", batch.id)
                waited_s.append(loop.time() - asked_s)
                delivered += len(batch.records)
                if store.backlog("mqtt") < SPARSE_ROWS:
                    break
                asked_s = loop.time()

    store.lives[1] = LifeInfo(1, 7, 1, "", "")
    store._worker.after_commit(count)
    tasks = [asyncio.create_task(store.run()), asyncio.create_task(deliver())]
    node = Node(1)
    try:
        for number in range(per_s * seconds):
            store.put((1, number, 1, 0, 1, 0, 60_000 * number, 60_000, 0, 0, 0, 100, DATA, None))
            store.touch(1, node)
            await virtual_s(1 / per_s)
        assert await store.flushed(5)
        assert await store.delivered(5)
        return Delivery(transactions, store.commits, delivered, waited_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await store.close()


@pytest.fixture
def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Delivery]:
    monkeypatch.setattr(spool, "Worker", LoopWorker)
    return lambda per_s, seconds: run_virtual(_delivered(tmp_path / "spool.db", per_s, seconds))


def test_where_few_records_come_a_sink_costs_no_syncs_of_its_own(deliver: Any) -> None:
    found = deliver(10, 30)
    assert found.delivered == 300
    assert len(found.waited_s) >= 12
    assert found.transactions <= found.commits + 4, (
        "each batch is cut, and confirmed, with a group that is written anyway"
    )
    assert max(found.waited_s) <= 2 * 2 * 0.2501


def test_where_many_come_a_sink_waits_for_nobody(deliver: Any) -> None:
    found = deliver(100, 10)
    assert found.delivered == 1000
    assert max(found.waited_s[1:-1]) == 0, "but for the first, before it was known, and the last"


def test_a_lone_record_is_delivered_soon_though_nothing_follows(deliver: Any) -> None:
    found = deliver(1, 1)
    assert found.delivered == 1
    assert max(found.waited_s) <= 2 * 2 * 0.2501


def test_a_crowd_after_silence_is_not_kept_waiting(even_load: Any) -> None:
    """Ten thousand a second after one: the group that waited for company is closed by its number."""
    outcome = even_load(10_000, 1)
    assert len(outcome.waited_s) == 10_000
    assert max(outcome.waited_s) <= spool.GROUP_S + 0.0125


def test_fifty_ports_wake_the_loop_as_often_as_one() -> None:
    timers = 0

    class CountingLoop(VirtualLoop):
        def call_at(self, *args: Any, **more: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return super().call_at(*args, **more)

    async def scenario() -> None:
        nonlocal timers
        beat = Beat()
        for _ in range(50):
            beat.start()
        timers = 0
        await virtual_s(10)
        assert asyncio.get_running_loop().time() - beat.last_s <= TICK_S
        assert timers <= 10 / TICK_S + 2
        for _ in range(49):
            beat.stop()
        await virtual_s(10)
        assert asyncio.get_running_loop().time() - beat.last_s <= TICK_S, "one port is still open"
        beat.stop()
        seen_s = beat.last_s
        await virtual_s(10)
        assert beat.last_s == seen_s

    run_virtual(scenario(), CountingLoop())
