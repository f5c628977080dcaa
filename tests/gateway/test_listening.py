"""A gateway that only listens (`answer = false`): it stays where it is, and does not blame the node for what another one took."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway import health, ledger
from gateway.config import load
from gateway.life_state import Claim, Memory
from gateway.lora import cell_of
from tests.fakes.lora_air import CellRig, InCell
from tests.fakes.rig import START_S
from wire import UTC

CONFIG = """[gateway]
id = "gw"
number = 2
data_dir = "data"
[[bridge]]
name = "roof"
port = "/dev/none"
channel = 868.1
[lora]
answer = {answer}
"""
HOURS = 3


@pytest.mark.parametrize("answers", [True, False])
def test_an_ear_that_may_tell_nobody_stays_where_it_was_put(in_cell: InCell, tmp_path: Path, answers: bool) -> None:
    """With the configuration's defaults: nodes so near that SF7 would do, and one that is never heard. Who answers moves them
    and holds a rendezvous; who only listens would leave them behind."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(answer=str(answers).lower()))
    (tmp_path / "data").mkdir()

    async def scenario(rig: CellRig) -> None:
        ear = rig.ear("roof")
        rig.cell = cell_of(load(path), rig.air.ears, rig.uplinks, rig, rig._duty)
        rig.air.on_heard = rig.cell.on_heard
        rig.tasks.append(asyncio.create_task(rig.cell.run()))
        near = [await rig.node(number, roof=-3) for number in (1, 2)]
        await rig.node(3, roof=-90)
        for minute in range(60 * HOURS):
            for node in near:
                node.seal(29_900_000 + minute)
                node.ask(4)
                await rig.pass_s(30)
        told = {sf for _, sf in ear.tuned}
        if answers:
            assert told == {7, 9, 10} and ear.sfs == (7,) and ear.sent
            assert (tmp_path / "data" / "lora").exists()
        else:
            assert told == {9} and ear.sfs == (9,) and ear.sent == []
            assert rig.cell.rendezvous.slots == rig.cell.rendezvous.moves == 0
            assert rig.cell.status()["rendezvous"]["missing"] == [{"node": 3, "life": f"{rig.lives[2].life:08x}"}]
            assert rig.cell.uplinks == 2 * 60 * HOURS, "all of them heard"

    in_cell(scenario, sf=9)


@pytest.mark.parametrize(("answers", "hops", "taken"), [(True, ["node flash"], 0), (False, [], 2)])
def test_what_a_node_forgot_is_a_cause_only_where_another_gateway_is_known_to_answer(
    in_cell: InCell, answers: bool, hops: list[str], taken: int
) -> None:
    async def scenario(rig: CellRig) -> None:
        rig.ear("roof")
        rig.begin()
        rig.cell.answers = answers
        node = await rig.node(7, roof=-3)
        node.hello()
        await rig.pass_s(3)
        for window in range(3):
            node.seal(START_S // 60 + window)
        del node.outbox[0], node.outbox[1]  # another gateway has acknowledged them, or they are lost
        node.health((UTC, START_S + 180))
        await rig.pass_s(200)
        node.send_outbox()
        await rig.pass_s(3)
        status = health.status(rig, rig.store, rig.uplinks, [], [], {}, rig.cell)
        assert status["nodes"][0]["taken_by_another_gateway"] == taken
        assert ["does another gateway answer it, too?" in problem for problem in status["problems"]] == [True] * answers
        await rig.store.flushed(10)
        report = await rig.store.query(lambda conn: ledger.build(conn, rig.wall_ms()))
        assert [finding.hop for finding in report.findings] == hops
        assert report.lives[0].sinks["archive"].causes.get("taken_by_another_gateway", 0) == taken
        assert report.lives[0].sinks["archive"].missing == 2 - taken

    in_cell(scenario, sf=9)


def totals(scheduled: int, overwritten: int = 0) -> tuple[int, ...]:
    return scheduled, scheduled - overwritten, 0, 0, 0, overwritten


class TestWhatANodeHoldsNoMore:
    """Memory.held_from: numbers that are gone and were not acknowledged here."""

    def met(self, *received: int) -> Memory:
        memory = Memory(None)
        assert memory.held_from(0, totals(0)) == -1
        memory.claimed(Claim(0, totals(0)))
        for seq in received:
            memory.received.add(seq)
        return memory

    def test_what_was_acknowledged_may_go(self) -> None:
        memory = self.met(0, 1, 2)
        memory.told = 3
        assert memory.held_from(3, totals(3)) == -1
        assert memory.held_from(2, totals(3)) == -1, "an older statement that comes late"

    def test_what_was_not_is_counted_if_it_never_came(self) -> None:
        memory = self.met(0, 1, 4)
        memory.told = 2
        assert memory.held_from(6, totals(6)) == 3  # 2, 3, 5
        assert (memory.floor, memory.told) == (6, 6)
        assert memory.held_from(6, totals(6)) == -1, "each once"

    def test_gone_although_it_came_and_was_not_acknowledged_yet(self) -> None:
        assert self.met(0, 1).held_from(2, totals(2)) == 0

    def test_what_the_node_overwrote_it_says_itself(self) -> None:
        memory = self.met(0)
        assert memory.held_from(5, totals(9, overwritten=4)) == -1
        memory.claimed(Claim(9, totals(9, overwritten=4)))
        assert memory.held_from(7, totals(9, overwritten=4)) == 2

    def test_a_first_meeting_says_nothing(self) -> None:
        memory = Memory(None)
        assert memory.held_from(500, totals(500)) == -1 and memory.first_floor == 500

    def test_a_restart_of_the_gateway_may_have_forgotten_an_acknowledgement(self) -> None:
        memory = self.met(0, 1, 2)
        memory.taken, memory.taken_ms = 7, 9
        again = Memory(memory.encode())
        assert (again.told, again.taken, again.taken_ms) == (3, 7, 9)
        assert again.held_from(3, totals(3)) == -1
