"""A life has ended, and its board goes on: without a clock it cannot know, and one that was called lost may be alive."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, rig
from wire.messages import NOT_SAMPLED

W0 = START_S // 60
MINUTE_MS = 60_000


@pytest.mark.parametrize("clocked", [True, False])
def test_windows_after_the_end_are_delivered_and_stand_beside_the_sum(tmp_path: Path, clocked: bool) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node, until_s=START_S + 10 * 60)
            for i in range(16):
                if clocked:
                    node.seal(W0 + i)
                else:
                    node.seal_unclocked(MINUTE_MS * (i + 1))
            node.uptime_ms = 16 * MINUTE_MS + 5_000
            r.clock.at_ms += node.uptime_ms
            node.hello()
            node.send_outbox()
            assert (await r.report()).closed, "in the spool"
            assert len(await r.deliver()) == 16, "what was measured is given to the platform all the same"
            report = await r.report()
            assert report.closed
            tally = report.lives[0].sinks["mqtt"]
            assert (tally.scheduled, tally.delivered, tally.missing, tally.after_end) == (10, 10, 0, 6)
            assert tally.pending == tally.causes == {}

    asyncio.run(scenario())


def test_a_gap_over_the_end_counts_up_to_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node, until_s=START_S + 10 * 60)
            for i in range(6):
                node.seal(W0 + i)
            node.gap(NOT_SAMPLED, W0 + 6, 8)
            r.clock.at_ms += 14 * MINUTE_MS + 5_000
            node.hello()
            node.send_outbox()
            report = await r.report()
            assert report.closed
            tally = report.lives[0].sinks["archive"]
            assert (tally.scheduled, tally.delivered, tally.causes) == (10, 6, {"not_sampled": 4})
            assert tally.after_end == 4

    asyncio.run(scenario())


def test_a_window_that_its_bound_moved_over_the_end_is_not_missing_before_it(tmp_path: Path) -> None:
    """The end is no sharper than the time of a node without a clock."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node, until_s=START_S + 10 * 60)
            for i in range(12):
                node.seal_unclocked(MINUTE_MS * (i + 2) + 10)
            node.uptime_ms = 14 * MINUTE_MS
            r.clock.at_ms += node.uptime_ms
            node.hello()
            node.send_outbox()
            await r.settle()
            await r.deliver()
            report = await r.report()
            assert report.closed
            tally = report.lives[0].sinks["mqtt"]
            assert (tally.scheduled, tally.delivered, tally.after_end) == (10, 10, 2)

    asyncio.run(scenario())
