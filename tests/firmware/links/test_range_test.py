"""A node in a range test: all frames, numbered, at each spreading factor, within the law; records wait and none is lost."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fakes.board import START_S
from tests.fakes.lora_world import LoraWorld
from tests.fakes.virtual_time import virtual_s
from tests.firmware.links.test_lora_link import play
from tests.firmware.test_node import KEY
from wire import UTC, messages


def arg(count: int, sfs: tuple[int, ...] = (), power_dbm: int | None = None) -> int:
    return count | sum(1 << sf + 1 for sf in sfs) | (0 if power_dbm is None else power_dbm + 10 << 16)


def results(world: LoraWorld) -> list[messages.CommandResult]:
    return [thing for thing in world.gateway.others if isinstance(thing, messages.CommandResult)]


async def told(world: LoraWorld, number: int, what: int) -> None:
    """The command goes with the next answer, as from a gateway."""
    expiry_s = world.unix_ms() // 1000 + 3600
    world.gateway.asks.append(messages.Command(number, messages.RANGE_TEST, what, expiry_s))
    known = len(results(world))
    while len(results(world)) == known:
        await virtual_s(1)


def test_numbered_frames_at_each_sf_by_turns_and_records_go_on_afterwards(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, lora_power_dbm=8)
        world.board.start()
        await virtual_s(5)
        await told(world, 90, arg(5, (7, 9, 10), 2))
        await virtual_s(120)
        answer, *probes = results(world)
        assert answer == messages.CommandResult(90, messages.DONE, 0)
        wanted = [(number, sf) for number in range(5) for sf in (7, 9, 10)]
        assert probes == [messages.CommandResult(90, messages.PROBE, n | sf << 8 | 12 << 16) for n, sf in wanted]
        on_air = [sent for sent in world.air.log if sent.data[0] & 31 == messages.COMMAND_RESULT][1:]
        assert [(sent.sf, sent.power_dbm) for sent in on_air] == [(sf, 2) for _, sf in wanted]
        assert all(b.begin_s - a.end_s > 1 for a, b in pairwise(on_air)), "each has its window"
        assert {len(sent.data) for sent in on_air} == {18}
        await virtual_s(900)
        ends = [record.time for record in world.records()]
        assert ends == [(UTC, START_S + 300 * i) for i in range(1, len(ends) + 1)] and len(ends) >= 3
        later = [sent for sent in world.air.log if sent.begin_s > on_air[-1].end_s]
        assert {(sent.sf, sent.power_dbm) for sent in later} == {(9, 8)}, "its own rate is what it was"
        assert len(results(world)) == 16 and world.gateway.repeats == 0
        assert world.board.node.supervisor.restarts() == 0  # type: ignore[union-attr]
        await world.board.cut()

    play(script, tmp_path)


def test_the_present_rate_and_no_more_power_than_the_law_gives(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(5)
        await told(world, 90, arg(2))
        await virtual_s(30)
        await told(world, 91, arg(2, (), 22))
        await virtual_s(30)
        powers = [
            (got.value >> 8 & 255, (got.value >> 16) - 10) for got in results(world) if got.code == messages.PROBE
        ]
        assert powers == [(9, 12)] * 4  # 14 dBm e.r.p. at 4 dBi
        await world.board.cut()

    play(script, tmp_path)


def test_a_test_that_the_law_has_no_airtime_for_is_refused_and_a_wrong_one_too(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(5)
        for number, what in ((90, arg(100, (12,))), (91, 0), (92, arg(101)), (93, 1 << 22 | 5)):
            await told(world, number, what)
        await virtual_s(20)
        refused, *wrong = results(world)
        assert refused.code == messages.FAILED and 25_000 < refused.value < 36_000, "ms that are left of 36 s"
        assert [(got.code, got.value) for got in wrong] == [(messages.FAILED, 0)] * 3
        assert not any(sent.sf == 12 for sent in world.air.log)
        await world.board.cut()

    play(script, tmp_path)


def test_a_power_cut_ends_the_test_and_nothing_else(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(5)
        await told(world, 90, arg(50))
        await virtual_s(20)
        await world.board.cut()
        sent = len([got for got in results(world) if got.code == messages.PROBE])
        assert 5 < sent < 20
        world.board.start()
        await virtual_s(1000)
        assert len([got for got in results(world) if got.code == messages.PROBE]) == sent
        assert not world.gateway.faults and len(world.records()) >= 2
        await world.board.cut()

    play(script, tmp_path)


def test_a_board_that_sleeps_stays_awake_for_it(tmp_path: Path) -> None:
    async def script(world: LoraWorld) -> None:
        world.board.provision(KEY, provisioned_s=START_S, measure_s=30, warmup_s=10)
        world.board.start()
        await virtual_s(930)
        await told(world, 90, arg(20))
        await virtual_s(120)
        numbers = [got.value & 255 for got in results(world) if got.code == messages.PROBE]
        assert numbers == list(range(20))
        await world.board.cut()

    play(script, tmp_path, "sleep")


def test_a_board_without_lora_says_that_it_cannot(tmp_path: Path) -> None:
    from firmware.tasks.control import Control

    class Node:
        root = str(tmp_path)
        link = object()
        sensors: list[Any] = []

        class clock:
            utc_s = staticmethod(lambda: START_S)

    control = Control(Node())
    answer = control.answer(messages.Command(1, messages.RANGE_TEST, 5, START_S + 9))
    assert Counter(answer) == Counter(messages.CommandResult(1, messages.UNSUPPORTED, 0))
