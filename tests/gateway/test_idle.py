"""What a gateway does where little comes: few commits, few wakings, and still soon enough. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.config import Mqtt
from gateway.forward.mqtt import MqttForwarder
from gateway.links.beat import TICK_S, Beat
from gateway.models import EVENT, LifeInfo
from gateway.store import Store, spool
from gateway.store.group import Snapshot
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
            store.put((node.row, number, 1, 0, 1, 0, 0, 60_000, 0, 0, 0, 100, DATA, None, None))
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
    assert outcome.commits <= 300 / 5 + 2, "five records share a commit"
    assert max(outcome.waited_s) <= 0.5001


def test_a_hundred_a_second_are_acknowledged_as_soon_as_ever(even_load: Any) -> None:
    outcome = even_load(100, 10)
    waited = sorted(outcome.waited_s)
    assert len(waited) == 1000
    assert waited[len(waited) * 97 // 100] <= spool.GROUP_S + 0.0001, "all but those that came before it was known"


class Line:
    """A connection whose broker confirms at once."""

    def __init__(self) -> None:
        self.came_s: list[float] = []

    async def publish_confirmed(self, topic: str, payload: bytes, timeout_s: float) -> None:
        self.came_s.append(asyncio.get_running_loop().time())

    async def lost(self) -> None:
        await asyncio.Event().wait()


class Delivery(NamedTuple):
    commits: int
    transactions: int  # with these
    messages: int
    delivered: int  # records
    waited_s: float  # the longest that the platform heard nothing while records came


async def _delivered(path: Path, per_s: int, seconds: int) -> Delivery:
    """The MQTT sink, one second's wait for company, behind an even load."""
    store = Store(path, HandClock())
    await store.open()
    transactions = 0

    def count(_: object) -> None:
        nonlocal transactions
        transactions += 1

    store.lives[1] = LifeInfo(1, 7, 1, "", "")
    node, line, stop = Node(1), Line(), asyncio.Event()
    forwarder = MqttForwarder(Mqtt(url="mqtt://127.0.0.1:1"), "gw-1", HandClock())
    await store.add_sink(forwarder.name)
    store._worker.after_commit(count)
    stopping = asyncio.create_task(stop.wait())
    tasks = [
        asyncio.create_task(store.run()),
        asyncio.create_task(forwarder._deliver(line, store, stop, stopping)),  # type: ignore[arg-type]
    ]
    try:
        began_s = asyncio.get_running_loop().time()
        for number in range(per_s * seconds):
            detail = b'\x03{"code":1}'
            store.put((1, number, 1, EVENT, 0, 0, 60_000 * number, 0, 0, 0, 0, 100, detail, None, None))
            store.touch(1, node)
            await virtual_s(1 / per_s)
        assert await store.flushed(5)
        assert await store.delivered(5)
        moments_s = [began_s, *line.came_s]
        waited_s = max(after - before for before, after in pairwise(moments_s))
        health = forwarder.health
        return Delivery(store.commits, transactions, health.confirmed_batches, health.confirmed_records, waited_s)
    finally:
        stop.set()
        await asyncio.wait(tasks, timeout=1)
        for task in [*tasks, stopping]:
            task.cancel()
        await asyncio.wait([*tasks, stopping])
        await store.close()


@pytest.fixture
def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Delivery]:
    monkeypatch.setattr(spool, "Worker", LoopWorker)
    return lambda per_s, seconds: run_virtual(_delivered(tmp_path / "spool.db", per_s, seconds))


def test_where_few_records_come_a_sink_costs_no_syncs_of_its_own(deliver: Any) -> None:
    found = deliver(10, 30)
    assert found.delivered == 300
    assert found.transactions <= found.commits + 4, (
        "each batch is cut, and confirmed, with a group that is written anyway"
    )
    assert found.messages <= 30, "what comes with the group has the same wait for company"
    assert found.waited_s <= 2.2, "a second, six tenths at most for a group, and half a second since the first record"


def test_where_many_come_a_sink_waits_for_nobody(deliver: Any) -> None:
    found = deliver(100, 30)
    assert found.delivered == 3000
    assert found.messages <= 31
    assert found.waited_s <= 1.2
    assert found.transactions <= found.commits + 2 * found.messages


def test_a_lone_record_is_delivered_soon_though_nothing_follows(deliver: Any) -> None:
    found = deliver(1, 1)
    assert found.delivered == 1
    assert found.waited_s <= 1.8


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
