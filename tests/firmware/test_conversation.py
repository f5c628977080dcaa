"""What the node believes, refuses and repeats: forged and replayed downlinks, commands, hellos, a clock that jumps."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from wire import BOOT, UTC, messages, stream
from wire.records import Record


def test_noise_and_forged_frames_change_nothing(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        chance = random.Random(5)
        world.board.provision(KEY)
        world.board.start()
        for _ in range(300):
            await virtual_s(1)
            noise = bytes(chance.randrange(256) for _ in range(chance.randrange(60)))
            forged = bytes([0x80 | 1 << 5 | chance.choice([16, 17, 18, 22, 23, 24])]) + noise
            world.gateway.send(noise if chance.random() < 0.5 else bytes(stream.encode(forged)))
        await world.drained()
        assert len(world.records()) == 5
        assert world.board.node is not None and world.board.node.supervisor.restarts() == 0
        assert sum(world.board.node.sessions[0].refused.values()) > 50
        await world.board.cut()

    play(script, tmp_path)


def test_a_recorded_downlink_is_refused_now_and_after_a_restart_of_the_gateway(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        recorded: list[bytes] = []
        world.board.provision(KEY)
        world.board.start()
        assert world.board.console is not None
        console = world.board.console
        world.gateway.send = lambda data: (recorded.append(data), console.put(data))[1]
        await virtual_s(70)
        assert world.board.node is not None
        session = world.board.node.sessions[0]
        answered = session.answered
        for data in list(recorded):
            console.put(data)
        await virtual_s(1)
        assert session.answered == answered
        assert session.refused["replay"] == len(recorded)
        world.gateway.restart()
        await virtual_s(60)
        assert session.answered > answered  # a restarted gateway is heard
        answered = session.answered
        for data in list(recorded):
            console.put(data)
        await virtual_s(1)
        assert session.answered == answered
        await world.board.cut()

    play(script, tmp_path)


def test_a_command_runs_once_and_never_after_its_expiry(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(10)
        expiry = world.now_s() + 1000
        ask = messages.Command(77, messages.SEND_HEALTH, 0, expiry)
        late = messages.Command(78, messages.SEND_HEALTH, 0, world.now_s() - 1)
        world.gateway.asks = [ask, ask, late, messages.Command(79, messages.IDENTIFY, 5, expiry)]
        await virtual_s(120)
        results = [(other.command_id, other.code) for other in world.gateway.others if hasattr(other, "command_id")]
        assert results == [
            (77, messages.DONE),
            (77, messages.REPEATED),
            (78, messages.EXPIRED),
            (79, messages.UNSUPPORTED),
        ]
        healths = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)]
        assert len(healths) == 2  # at boot, and the one that was asked for
        await world.board.cut()
        world.board.start()
        world.gateway.asks = [ask]
        await virtual_s(120)
        repeated = messages.CommandResult(77, messages.REPEATED, 0)
        assert world.gateway.others.count(repeated) == 2  # also across a boot
        await world.board.cut()

    play(script, tmp_path)


def test_after_unanswered_frames_comes_a_hello_and_then_the_backlog(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, retry_max_ms=2000)
        world.board.start()
        await virtual_s(100)
        hellos = len(world.gateway.hellos)
        world.gateway.connected = False
        await virtual_s(600)
        world.gateway.connected = True
        await virtual_s(10)
        assert len(world.gateway.hellos) == hellos + 1
        await world.drained()
        assert len(world.records()) == world.totals().sealed
        await world.board.cut()

    play(script, tmp_path)


def test_live_records_go_before_the_backlog_and_batches_carry_it(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, retry_max_ms=2000)
        world.board.start()
        await virtual_s(100)
        world.gateway.connected = False
        await virtual_s(3600)
        order: list[int] = []
        store = world.gateway._store

        def note(number: int, life: Any, seq: int, thing: Any) -> None:
            order.append(seq)
            store(number, life, seq, thing)

        world.gateway._store = note  # type: ignore[method-assign]
        frames = world.gateway.frames
        world.gateway.connected = True
        await virtual_s(30)
        await world.drained()
        assert order[0] == max(order[:20])  # the newest first
        assert order[10:40] == sorted(order[10:40])  # then from the oldest on
        assert world.gateway.frames - frames < 30  # 60 records, not 60 frames
        assert len(world.records()) == world.totals().sealed
        await world.board.cut()

    play(script, tmp_path)


def test_a_gateway_whose_clock_jumps_a_day_does_not_move_the_records(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(300)
        world.at_s += 86400
        await virtual_s(600)
        world.at_s -= 2 * 86400
        await virtual_s(600)
        world.at_s += 86400
        await virtual_s(300)
        await world.drained()
        ends = [record.time for record in world.records()]
        start = ends[0][1]
        assert ends == [(UTC, start + 60 * i) for i in range(len(ends))]
        await world.board.cut()

    play(script, tmp_path)


def test_a_clock_behind_what_is_recorded_is_not_believed_at_boot(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(300)
        await world.board.cut()
        world.at_s -= 86400
        world.board.start()
        await virtual_s(300)
        await world.drained()
        times = [record.time for record in world.records()]
        assert len(times) == len(set(times))
        assert [time[0] for time in times[5:]] == [BOOT] * (len(times) - 5)
        await world.board.cut()

    play(script, tmp_path)


def test_two_profiles_with_windows_of_their_own(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        description = world.board.description()
        description["profiles"] = [
            {"items": ["temperature"], "window_setting": 0},
            {"items": ["humidity", "temperature"], "window_setting": 1},
        ]
        (tmp_path / "board.json").write_text(json.dumps(description))
        world.board.provision(KEY, **{"window_s.1": 300})
        world.board.start()
        await virtual_s(905)
        await world.drained()
        short = [record.time[1] for record in world.records() if len(record.values) == 1]
        long = [record.time[1] for record in world.records() if len(record.values) == 2]
        assert len(short) == 15 and len(long) == 3
        assert world.totals().scheduled == 18
        await world.board.cut()

    play(script, tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_of_power_cable_and_gateway_together(tmp_path: Path, seed: int) -> None:
    """Everything at once; at the end each window has exactly one fate and each seq is known to the gateway."""

    async def script(world: World) -> None:
        chance = random.Random(seed)
        world.gateway.lose_up = lambda: chance.random() < 0.05
        world.gateway.lose_down = lambda: chance.random() < 0.05
        world.board.provision(KEY, retry_max_ms=3000)
        world.board.ppm = 40
        world.board.start()
        for _ in range(12):
            await virtual_s(chance.randrange(20, 400))
            fault = chance.randrange(4)
            if fault == 0:
                await world.board.cut()
                await virtual_s(chance.choice([0.3, 5, 200]))
                world.board.start()
            elif fault == 1:
                world.gateway.connected = not world.gateway.connected
            elif fault == 2:
                world.gateway.restart()
        world.gateway.connected = True
        world.gateway.lose_up = world.gateway.lose_down = lambda: False
        await virtual_s(200)
        await world.drained(900)
        node = world.board.node
        assert node is not None
        totals = world.totals()
        assert totals.scheduled == sum(totals[1:5])
        assert len(world.records()) == totals.sealed
        assert totals.off == world.gaps(messages.OFF)
        grid = node.grids[0]
        assert totals.scheduled == grid.end_s() // 60 - node.life.provisioned_s // 60
        assert sorted(seq for _, seq in world.gateway.stored) == list(range(node.life.outbox.state.next_seq))
        utc = [record.time for record in world.records() if isinstance(record, Record) and record.time[0] == UTC]
        assert len(utc) == len(set(utc))
        await world.board.cut()

    play(script, tmp_path)


def test_supply_slot_and_light_are_told_and_shown(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        (tmp_path / "board.json").write_text(json.dumps(world.board.description() | {"led": 2}))
        (tmp_path / "fell-back").write_text("b")
        world.board.provision(KEY)
        world.board.start()
        port = world.board.port
        assert port is not None
        for supply in (None, 5000, 4900, 3700, 3600, 4400, 4950):
            port.supply = supply
            await virtual_s(30)
        world.gateway.asks = [messages.Command(9, messages.IDENTIFY, 3, world.now_s() + 100)]
        await virtual_s(90)
        await world.drained()
        told = [(thing.code, thing.arg) for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Event)]
        assert told == [(messages.SLOT_FELL_BACK, 0), (messages.SUPPLY_LOST, 3700), (messages.SUPPLY_BACK, 4950)]
        assert messages.CommandResult(9, messages.DONE, 0) in world.gateway.others
        assert port.lit == [(2, 1), (2, 0)] * 15
        assert not (tmp_path / "fell-back").exists()
        await world.board.cut()

    play(script, tmp_path)
