"""Boards that save power: the link rests, or the whole board sleeps without RAM; nothing is lost or told twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from firmware.power import state
from tests.fakes.board import START_S, Sensor
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from wire import BOOT, UTC, messages


def save(script: Callable[[World], Coroutine[Any, Any, None]], folder: Path, power: str, **knobs: Any) -> None:
    async def main(world: World) -> None:
        world.board.power = power
        (folder / "board.json").write_text(json.dumps(world.board.description()))
        await script(world)

    play(main, folder, **knobs)


def all_accounted(world: World) -> None:
    """Each window has one fate, each seq is known to the gateway, no window came twice."""
    assert world.board.node is not None
    totals = world.totals()
    assert totals.scheduled == sum(totals[1:5])
    assert len(world.records()) == totals.sealed
    assert totals.off == world.gaps(messages.OFF) and totals.not_sampled == world.gaps(messages.NOT_SAMPLED)
    assert sorted(seq for _, seq in world.gateway.stored) == list(range(world.board.node.life.outbox.state.next_seq))
    ends = [(record.time, len(record.values)) for record in world.records() if record.time[0] == UTC]
    assert len(ends) == len(set(ends))


async def awake(world: World, timeout_s: float = 700) -> None:
    """Until the board is awake and has nothing to say."""
    deadline = world.loop.time() + timeout_s
    while True:
        assert world.loop.time() < deadline, "never awake and drained"
        node = world.board.node
        talks = world.board.alarm is None and node is not None and node.sessions and node.exchange.is_open
        if talks and all(session.idle() for session in node.sessions):
            return
        await virtual_s(0.1)


@pytest.mark.parametrize("rtc_ppm", [0, 20000, -30000])
def test_a_sleeping_board_delivers_each_window_in_one_boot(tmp_path: Path, rtc_ppm: int) -> None:
    async def script(world: World) -> None:
        board = world.board
        board.rtc_ppm = rtc_ppm
        board.provision(KEY, measure_s=30, warmup_s=10)
        board.start()
        await virtual_s(7210)
        await awake(world)
        all_accounted(world)
        records = world.records()
        ends = [record.time for record in records]
        assert ends == [(UTC, START_S + 300 * i) for i in range(1, len(ends) + 1)] and len(ends) >= 24
        assert all(10 <= record.coverage <= 20 for record in records[1:])
        assert world.totals().scheduled == len(records)
        assert board.wakes >= 24 and board.boots == 1
        assert board.awake_s < 0.2 * 7210
        assert len(world.gateway.hellos) == 1  # the gateway knows this boot
        assert world.gateway.repeats == 0
        healths = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)]
        assert 3 <= len(healths) <= 4  # at boot, then hourly
        assert healths[-1].uptime_ms == pytest.approx(world.loop.time() * 1000, abs=3_700_000)
        await board.cut()

    save(script, tmp_path, "sleep", window_s=300)


def test_without_a_gateway_it_sleeps_on_unclocked_and_all_is_placed_later(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.gateway.connected = False
        world.board.provision(KEY, measure_s=20, warmup_s=10)
        world.board.start()
        await virtual_s(3000)
        world.gateway.connected = True
        await virtual_s(1200)
        await awake(world)
        all_accounted(world)
        times = [record.time for record in world.records()]
        unclocked = [time for time in times if time[0] == BOOT]
        assert len(unclocked) >= 9 and {time[1] for time in unclocked} == {1}
        assert [time[2] for time in unclocked] == [300_000 * i for i in range(1, len(unclocked) + 1)]
        assert times[len(unclocked)] == (UTC, START_S + 300 * (len(unclocked) + 1))
        assert world.totals().off == world.totals().not_sampled == 0
        await world.board.cut()

    save(script, tmp_path, "sleep", window_s=300)


@pytest.mark.parametrize("seed", range(3))
def test_garbled_memory_cuts_and_a_bad_cable_lose_nothing(tmp_path: Path, seed: int) -> None:
    async def script(world: World) -> None:
        chance = random.Random(seed)
        board = world.board
        board.rtc_ppm = 3000
        board.provision(KEY, measure_s=20, warmup_s=10, exchange_s=0, retry_max_ms=2000)
        board.start()
        cold = 1
        for turn in range(16):
            await virtual_s(chance.randrange(50, 400))
            fault = chance.randrange(4) if turn else 0
            if fault == 0 and board.alarm is not None and board.rtc.memory:
                memory = bytearray(board.rtc.memory)
                memory[chance.randrange(len(memory))] ^= 1 << chance.randrange(8)
                board.rtc.memory = bytes(memory)
                cold += 1
            elif fault == 1:
                await board.cut()
                await virtual_s(chance.choice([0.3, 30, 700]))
                board.start()
                cold += 1
            elif fault == 2:
                world.gateway.connected = not world.gateway.connected
            elif fault == 3 and board.alarm is not None:
                board.rtc.memory = b""
                cold += 1
        world.gateway.connected = True
        await virtual_s(600)
        await awake(world)
        all_accounted(world)
        assert board.node is not None and board.node.boot >= 2
        assert board.node.boot <= cold
        await board.cut()

    save(script, tmp_path, "sleep", window_s=120)


def test_two_windows_of_different_length_are_both_measured(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        description = world.board.description()
        description["profiles"] = [
            {"items": ["temperature"], "window_setting": 0},
            {"items": ["humidity", "temperature"], "window_setting": 1},
        ]
        (tmp_path / "board.json").write_text(json.dumps(description))
        world.board.provision(KEY, **{"window_s.1": 900, "measure_s": 20, "warmup_s": 5})
        world.board.start()
        await virtual_s(3630)
        await awake(world)
        all_accounted(world)
        assert len([record for record in world.records() if len(record.values) == 1]) >= 12
        assert len([record for record in world.records() if len(record.values) == 2]) == 4
        await world.board.cut()

    save(script, tmp_path, "sleep", window_s=300)


def test_a_lost_sensor_is_told_once_though_each_wake_begins_anew(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, measure_s=30, warmup_s=10)
        world.board.start()
        await virtual_s(310)
        Sensor.failing = 1
        await virtual_s(1500)
        Sensor.failing = 0
        await virtual_s(900)
        await awake(world)
        all_accounted(world)
        codes = [thing.code for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Event)]
        assert codes == [messages.SENSOR_LOST, messages.SENSOR_BACK]
        assert world.totals().not_sampled >= 4
        await world.board.cut()

    save(script, tmp_path, "sleep", window_s=300)


def test_settings_and_commands_reach_a_sleeping_board(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, measure_s=20, warmup_s=5)
        world.board.start()
        await virtual_s(320)
        world.gateway.asks = [
            messages.SetSetting(1, 0, 600),
            messages.Command(5, messages.SEND_HEALTH, 0, world.now_s() + 999),
        ]
        await virtual_s(2400)
        await awake(world)
        all_accounted(world)
        assert messages.SettingValue(1, 0, 600, 1) in world.gateway.others
        assert messages.CommandResult(5, messages.DONE, 0) in world.gateway.others
        ends = [record.time[1] - START_S for record in world.records()]
        assert ends[:2] == [300, 600] and ends[-1] % 600 == 0 and ends[-1] - ends[-2] == 600
        await world.board.cut()

    save(script, tmp_path, "sleep", window_s=300)


def test_a_buffered_board_uses_its_link_now_and_then(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, exchange_s=600)
        world.board.start()
        await virtual_s(30)
        spoke: set[int] = set()
        feed = world.gateway.feed
        assert world.board.console is not None

        def listen(data: bytes) -> None:
            if data[:1] == b"\x7e":
                spoke.add(int(world.loop.time()) // 60)
            feed(data)

        world.board.console._peer = listen
        await virtual_s(3600)
        assert 5 <= len(spoke) <= 7
        world.gateway.connected = False
        await virtual_s(1800)
        world.gateway.connected = True
        await virtual_s(700)
        assert world.board.node is not None
        all_but = world.totals().sealed - len(world.records())
        assert 0 <= all_but <= 11
        await virtual_s(600)
        await world.drained(700)
        assert [record.time[1] - START_S for record in world.records()] == [
            60 * i for i in range(1, len(world.records()) + 1)
        ]
        await world.board.cut()

    save(script, tmp_path, "buffered")


def test_memory_is_believed_only_whole() -> None:
    values = [1, None, -5, 1 << 47, 0]
    data = state.encode(values)
    assert state.decode(data) == values
    for at in range(len(data)):
        assert state.decode(data[:at]) is None
        assert state.decode(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]) is None
