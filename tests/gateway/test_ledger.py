"""The loss ledger closes when nothing was lost, and does not close, naming the hop, when somebody takes a record away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import health, ledger
from gateway.store import Budget
from gateway.store.group import ProfileRow
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, Rig, rig
from wire import UTC, messages
from wire.profiles import Profile

W0 = START_S // 60
Sabotage = Callable[[Rig, FakeNode], Awaitable[None]]


async def life(r: Rig, node: FakeNode, sabotage: Sabotage | None, when: str) -> ledger.Report:
    """Thirty minutes of a node, delivered; `sabotage` strikes before sending, after the commit or after the delivery."""
    await r.add(node)
    node.hello()
    for i in range(20):
        node.seal(W0 + i)
    node.gap(messages.NOT_SAMPLED, W0 + 20, 9)
    if when == "node" and sabotage:
        await sabotage(r, node)
    node.send_outbox()
    await r.settle()
    if when == "stored" and sabotage:
        await sabotage(r, node)
    while (batch := await r.store.next_batch("mqtt", 7, 1 << 20)) is not None:
        given = batch.records
        if when == "sink" and sabotage and batch.id == 1:
            given = given[:-1]  # the sink never saw the last one
        await r.store.confirm("mqtt", batch.id, given)
    if when == "delivered" and sabotage:
        await sabotage(r, node)
    node.seal(W0 + 29)
    node.health((UTC, START_S + 1800))
    node.send_outbox()
    await r.settle()
    await r.deliver()
    r.clock.at_ms = (START_S + 1800) * 1000
    return await r.report()


def test_closes_when_nothing_was_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            report = await life(r, FakeNode(7), None, "")
            assert report.closed
            assert report.findings == []
            summary = ledger.summary(report)
            assert summary["scheduled"] == 30
            assert summary["delivered"] == 21
            assert summary["causes"] == {"not_sampled": 9}
            assert summary["pending"] == summary["duplicates"] == summary["redelivered"] == summary["missing"] == 0
            assert summary["nodes"]["7"]["scheduled"] == 30
            archive = report.lives[0].sinks["archive"]
            assert (archive.delivered, archive.missing) == (21, 0)

    asyncio.run(scenario())


async def from_the_flash(r: Rig, node: FakeNode) -> None:
    del node.outbox[5]


async def from_the_spool(r: Rig, node: FakeNode) -> None:
    await r.sql("DELETE FROM records WHERE seq = 5")


async def skip_in_the_cursor(r: Rig, node: FakeNode) -> None:
    await r.sql("UPDATE sinks SET cut = cut + 1")


async def nothing(r: Rig, node: FakeNode) -> None:
    return


@pytest.mark.parametrize(
    ("sabotage", "when", "hop"),
    [
        (from_the_flash, "node", "node flash"),
        (from_the_spool, "stored", "spool"),
        (from_the_spool, "delivered", "spool"),
        (skip_in_the_cursor, "stored", "sink"),
        (nothing, "sink", "sink"),
    ],
)
def test_a_record_taken_away_keeps_it_open_and_names_the_hop(
    tmp_path: Path, sabotage: Sabotage, when: str, hop: str
) -> None:
    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            report = await life(r, FakeNode(7), sabotage, when)
            assert not report.closed
            assert [finding.hop for finding in report.findings] == [hop]
            assert report.findings[0].count == 1
            if not (sabotage is from_the_spool and when == "delivered"):  # the sink had it; the archive lacks it
                assert report.lives[0].sinks["mqtt"].missing == 1
            if hop in ("spool", "node flash"):
                assert report.lives[0].sinks["archive"].missing == 1

    asyncio.run(scenario())


def test_a_record_lost_between_acknowledgement_and_spool(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            put = r.store.put

            def careless(row: tuple[Any, ...]) -> None:
                if row[1] != 5:
                    put(row)

            r.store.put = careless  # type: ignore[method-assign]
            report = await life(r, FakeNode(7), None, "")
            assert not report.closed
            assert [finding.hop for finding in report.findings] == ["after ack"]
            assert report.lives[0].sinks["mqtt"].missing == 1

    asyncio.run(scenario())


def test_pending_states(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            r.clock.at_ms += 10 * 60_000
            report = await r.report()
            assert report.closed, "a node never heard of holds its windows"
            assert report.lives[0].sinks["mqtt"].pending == {"on_node": 10}
            for i in range(6):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox(4)
            await r.settle()
            report = await r.report()
            assert report.closed
            assert report.lives[0].sinks["mqtt"].pending == {"on_node": 6, "in_spool": 4}
            await r.deliver()
            node.boot += 1
            node.seal_unclocked(60_000)
            node.send_outbox()
            report = await r.report()
            assert report.closed
            pending = report.lives[0].sinks["mqtt"].pending
            assert pending["time_unresolved"] == 1
            assert sum(pending.values()) + report.lives[0].sinks["mqtt"].delivered == 10

    asyncio.run(scenario())


def test_lines_name_the_hours(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node, provisioned_s=START_S + 30 * 60)
            for i in range(30, 150):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            await r.deliver()
            r.clock.at_ms += 150 * 60_000
            report = await r.report()
            lines = [line for line in report.lives[0].lines if line.sink == "mqtt"]
            assert [(line.hour_ms // 1000 - START_S, line.scheduled, line.delivered) for line in lines] == [
                (0, 30, 30),
                (3600, 60, 60),
                (7200, 30, 30),
            ]
            assert report.closed

    asyncio.run(scenario())


def test_what_the_budget_drops_is_counted_for_each_sink(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7, batch=64)
        async with rig(tmp_path / "spool.db", sinks=("quick", "dead"), budget=Budget(1 << 30, 3_600_000)) as r:
            await r.add(node)
            node.hello()
            for i in range(200):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            await r.deliver("quick")
            batch = await r.store.next_batch("dead", 10, 1 << 20)
            assert batch is not None
            r.clock.at_ms += 200 * 60_000
            node.seal(W0 + 200)
            node.send_outbox()
            await r.settle()
            await r.store.keep_budget()
            r.clock.at_ms += 60_000
            report = await r.report()
            dead = report.lives[0].sinks["dead"]
            assert dead.causes == {"dropped_by_spool_budget": 190}
            assert dead.pending == {"in_spool": 11}, "the open batch stays as it was cut"
            assert report.lives[0].sinks["quick"].causes == {}
            assert report.lives[0].sinks["archive"].delivered == 201
            assert report.closed, report.findings
            again = await r.store.next_batch("dead", 10, 1 << 20)
            assert again is not None
            assert again.records == batch.records
            await r.deliver("dead")
            await r.deliver("quick")
            report = await r.report()
            assert report.closed
            assert report.lives[0].sinks["dead"].pending == {}

    asyncio.run(scenario())


def test_a_batch_confirmed_twice_is_delivered_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(5):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            batch = await r.store.next_batch("mqtt", 10, 1 << 20)
            assert batch is not None
            for _ in range(3):  # a PUBACK that comes again, a confirmation that crossed the end of a connection
                await r.store.confirm("mqtt", batch.id, batch.records)
            r.clock.at_ms += 5 * 60_000
            report = await r.report()
            assert report.lives[0].sinks["mqtt"].delivered == 5
            assert report.closed, report.findings

    asyncio.run(scenario())


def test_refused_by_the_sink_is_a_cause(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(5):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            batch = await r.store.next_batch("mqtt", 10, 1 << 20)
            assert batch is not None
            await r.store.refuse("mqtt", batch.id, [batch.records[2].id], "413 too large")
            await r.store.confirm("mqtt", batch.id)
            r.clock.at_ms += 5 * 60_000
            report = await r.report()
            assert report.closed
            assert report.lives[0].sinks["mqtt"].causes == {"refused_by_sink": 1}
            assert report.lives[0].sinks["mqtt"].delivered == 4

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("until_s", "now_s", "windows"),
    [
        (0, START_S + 59, 0),
        (0, START_S + 60, 1),
        (0, START_S + 7200, 120),
        (START_S + 90, START_S + 89, 1),
        (START_S + 90, START_S + 90, 2),  # the last one closes partial
        (START_S + 90, START_S + 9000, 2),
        (START_S + 120, START_S + 9000, 2),  # on a boundary: no empty window
    ],
)
def test_scheduled_comes_from_grid_and_clock(until_s: int, now_s: int, windows: int) -> None:
    row = ProfileRow(1, 1, Profile(((2, 0),), 60).encode(), W0, 0)
    assert sum(ledger.scheduled_hours(row, 60, until_s, now_s * 1000).values()) == windows


def test_a_life_that_no_board_took_is_awaited_by_nobody(tmp_path: Path) -> None:
    """Heard of by the gateway while its provisioning was lost, then withdrawn (gateway/keys.py)."""

    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            lost = FakeNode(7, key=bytes([9]) * 16)
            await r.add(lost, provisioned_s=START_S + 7)
            r.clock.at_ms = (START_S + 1800) * 1000
            summary = ledger.summary(await r.report())
            assert (summary["scheduled"], summary["pending"]) == (30, 30)
            await r.add(lost, provisioned_s=START_S + 7, until_s=START_S + 7)
            summary = ledger.summary(await r.report())
            assert (summary["scheduled"], summary["pending"], summary["closed"]) == (0, 0, True)

    asyncio.run(scenario())


def test_a_boot_in_the_dark_over_a_full_hour_closes_every_hour(tmp_path: Path) -> None:
    """The node packs its off windows before the dark boot's, the gateway dates that boot by the middle of the gap: the
    hours differ, the windows do not."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node, provisioned_s=START_S + 1800)
            node.hello()
            for i in range(30, 40):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            node.reboot()
            for i in range(30):
                node.seal_unclocked(60_000 * (i + 1))
            node.reboot()
            node.gap(messages.OFF, W0 + 40, 50)
            for i in range(120, 130):
                node.seal(W0 + i)
            r.clock.at_ms = (START_S + 130 * 60) * 1000
            node.uptime_ms = 600_000
            node.hello()
            node.send_outbox()
            await r.settle()
            await r.deliver()
            report = await r.report()
            assert report.closed, [line for line in report.lives[0].lines if line.missing]
            tally = report.lives[0].sinks["mqtt"]
            assert (tally.scheduled, tally.delivered, tally.causes) == (100, 50, {"node_off": 50})
            await r.sql("DELETE FROM records WHERE seq = 20")  # one of the dark boot
            assert not (await r.report()).closed

    asyncio.run(scenario())


def test_a_node_that_is_lost_leaves_nothing_pending_and_hides_nothing(tmp_path: Path) -> None:
    async def scenario(sabotage: Sabotage | None) -> ledger.Report:
        node = FakeNode(7)
        async with rig(tmp_path / f"{sabotage}.db") as r:
            await r.add(node)
            node.hello()
            for i in range(10):
                node.seal(W0 + i)
            node.send_outbox(6)
            await r.settle()
            await r.deliver()
            if sabotage:
                await sabotage(r, node)
            r.clock.at_ms += 20 * 60_000
            (life,) = r.lives
            r.lives = [msgspec.structs.replace(life, until_s=r.clock.at_ms // 1000, lost=True)]
            await r.uplinks.load(r.lives)
            return await r.report()

    report = asyncio.run(scenario(None))
    assert report.closed
    tally = report.lives[0].sinks["mqtt"]
    assert (tally.scheduled, tally.delivered, tally.missing) == (20, 6, 0)
    assert tally.causes == {"node_off": 14}
    assert sum(tally.pending.values()) == 0
    taken = asyncio.run(scenario(from_the_spool))
    assert not taken.closed, "what vanished at a hop is not excused by a lost node"
    assert {finding.hop for finding in taken.findings} == {"spool"}


def test_a_node_that_measures_nothing_is_a_problem(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:

            def problems() -> list[str]:
                found = health.status(r.clock, r.store, r.uplinks, [], [], {})["problems"]
                return [problem for problem in found if problem.startswith("node ")]

            await r.add(node)
            node.hello()
            node.gap(messages.NOT_SAMPLED, W0, 2)
            node.send_outbox()
            await r.settle()
            assert problems() == []
            node.gap(messages.NOT_SAMPLED, W0 + 2, 1)
            node.send_outbox()
            await r.settle()
            (problem,) = problems()
            assert "node 7 measures nothing: 3 windows without a reading" in problem
            assert "air-v1" in problem
            node.seal(W0 + 3)
            node.send_outbox()
            await r.settle()
            assert problems() == []

    asyncio.run(scenario())
