"""The whole node under CPython in virtual time, with a gateway at the other end of the cable."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from firmware import drivers
from tests.fakes.board import START_S, Board, Sensor
from tests.fakes.gateway_end import GatewayEnd
from tests.fakes.virtual_time import VirtualLoop, run_virtual, virtual_s
from wire import BOOT, UTC, crypto, messages
from wire.records import Record

KEY = bytes(range(16))
LIFE = crypto.subkeys(KEY).life


class World:
    """A board, a gateway and the cable between them."""

    def __init__(self, folder: Path, window_s: int = 60, at_s: int = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.at_s = at_s
        self.gateway = GatewayEnd([(7, KEY)], self.unix_ms)
        self.board = Board(folder, self.gateway.feed, window_s)
        self.gateway.send = lambda data: self.board.console.put(data) if self.board.console else None

    def unix_ms(self) -> int:
        return (START_S + self.at_s) * 1000 + round(self.loop.time() * 1000)

    def now_s(self) -> int:
        return self.unix_ms() // 1000

    def totals(self) -> messages.Totals:
        assert self.board.node is not None
        return messages.Totals(*self.board.node.life.outbox.state.totals)

    def records(self) -> list[Record]:
        return [thing for thing in self.gateway.things(LIFE) if isinstance(thing, Record)]

    def gaps(self, cause: int) -> int:
        return sum(gap.count for _, gap in self.gateway.gaps if gap.cause == cause)

    async def drained(self, timeout_s: float = 300) -> None:
        deadline = self.loop.time() + timeout_s
        while not all(session.idle() for session in self.board.node.sessions):  # type: ignore[union-attr]
            assert self.loop.time() < deadline, "not drained"
            await virtual_s(0.05)


def play(script: Callable[[World], Coroutine[Any, Any, None]], folder: Path, **knobs: Any) -> None:
    """Run `script(world)` in virtual time."""

    async def main() -> None:
        world = World(folder, **knobs)
        await script(world)
        assert not world.gateway.faults

    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    run_virtual(main(), loop)


def test_half_an_hour_of_windows_is_delivered_once_and_the_totals_agree(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, provisioned_s=START_S)
        world.board.start()
        await virtual_s(1805)
        await world.drained()
        assert [record.time for record in world.records()] == [(UTC, START_S + 60 * i) for i in range(1, 31)]
        assert all(record.values == (2100, 500) for record in world.records())
        assert world.totals() == (30, 30, 0, 0, 0, 0)
        assert world.gateway.repeats == 0
        await world.board.cut()

    play(script, tmp_path)


def test_first_health_comes_within_three_seconds_of_node_time(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(3)
        assert any(isinstance(thing, messages.Health) for thing in world.gateway.things(LIFE))
        await world.board.cut()

    play(script, tmp_path)


def test_the_first_window_is_partial_and_says_so(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, provisioned_s=world.now_s())
        world.board.start()
        await virtual_s(45)
        await world.drained()
        (record,) = world.records()
        assert record.time == (UTC, START_S + 60)
        assert 60 <= record.coverage <= 70  # 40 s of 60
        await world.board.cut()

    play(script, tmp_path, at_s=20)


def test_a_power_cut_is_told_as_off_and_unused_seqs_as_void(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(305)
        await world.board.cut()
        await virtual_s(595)
        world.board.start()
        await virtual_s(310)
        await world.drained()
        end = (world.now_s() - START_S) // 60
        assert world.totals().scheduled == end
        assert world.totals().sealed == len(world.records())
        assert world.totals().off == world.gaps(messages.OFF) == end - len(world.records())
        things = world.gateway.things(LIFE)
        assert len(things) == world.board.node.life.outbox.state.next_seq  # type: ignore[union-attr]
        await world.board.cut()

    play(script, tmp_path)


def test_without_a_gateway_records_wait_and_keep_their_order_and_times(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.gateway.connected = False
        world.board.start()
        await virtual_s(3600 + 30)
        world.gateway.connected = True
        await virtual_s(120)
        await world.drained()
        times = [record.time for record in world.records()]
        assert times[:3] == [(BOOT, 1, 60000), (BOOT, 1, 120000), (BOOT, 1, 180000)]
        assert len(times) == len(set(times)) == world.totals().scheduled == (world.now_s() - START_S) // 60
        assert world.totals().off == 0
        assert world.gateway.repeats == 0
        await world.board.cut()

    play(script, tmp_path)


def test_boots_without_a_clock_are_subtracted_from_off(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(130)
        await world.board.cut()
        world.gateway.connected = False
        await virtual_s(1000)
        world.board.start()
        await virtual_s(400)  # six whole windows
        await world.board.cut()
        await virtual_s(1000)
        world.gateway.connected = True
        world.board.start()
        await virtual_s(200)
        await world.drained()
        scheduled = (world.now_s() - START_S) // 60
        unclocked = [record for record in world.records() if record.time[0] == BOOT]
        assert len(unclocked) == 6
        assert world.totals().scheduled == scheduled
        assert world.totals().off == scheduled - len(world.records())
        await world.board.cut()

    play(script, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    async def script(world: World) -> None:
        chance = random.Random(seed)
        world.gateway.lose_up = lambda: chance.random() < 0.2
        world.gateway.lose_down = lambda: chance.random() < 0.2
        world.board.provision(KEY, retry_max_ms=5000)
        world.board.start()
        await virtual_s(1800)
        world.gateway.lose_up = world.gateway.lose_down = lambda: False
        await world.drained()
        assert len(world.records()) == world.totals().sealed == 30
        await world.board.cut()

    play(script, tmp_path)


def test_a_silent_sensor_is_not_sampled_and_a_refused_one_refused(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(61)
        Sensor.failing = drivers.NO_ANSWER
        await virtual_s(180)
        Sensor.failing = drivers.BAD_CRC
        await virtual_s(360)
        Sensor.failing = 0
        await virtual_s(300)
        await world.drained()
        assert world.totals().not_sampled == world.gaps(messages.NOT_SAMPLED) > 0
        assert world.totals().refused == world.gaps(messages.REFUSED) > 0
        codes = [thing.code for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Event)]
        assert codes == [messages.SENSOR_LOST, messages.SENSOR_BACK]
        assert world.totals().scheduled == sum(world.totals()[1:5])
        await world.board.cut()

    play(script, tmp_path)


def test_a_sensor_that_rests_after_refused_readings_is_refused_in_every_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chip that starts well and is refused is tried once in a minute and its start: now and then a window sees no try."""

    async def start(_: Sensor) -> None:
        await virtual_s(0.7)

    async def read(_: Sensor) -> None:
        raise drivers.SensorError(Sensor.failing, False)

    async def script(world: World) -> None:
        monkeypatch.setattr(Sensor, "start", start)
        monkeypatch.setattr(Sensor, "read", read)
        world.board.provision(KEY)
        Sensor.failing = drivers.BAD_CRC
        world.board.start()
        await virtual_s(7210)
        Sensor.failing = drivers.NO_ANSWER  # what is silent was not measured, whatever it was before
        await virtual_s(3600)
        await world.drained()
        assert world.totals().scheduled == 180
        assert world.gaps(messages.REFUSED) in (120, 121)
        assert world.gaps(messages.NOT_SAMPLED) == 180 - world.gaps(messages.REFUSED)
        await world.board.cut()

    play(script, tmp_path)


def test_settings_windows_and_the_end_of_the_grid(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(70)
        world.gateway.asks = [messages.SetSetting(1, 0, 300), messages.GetSetting(2, 0)]
        await virtual_s(1200)
        await world.drained()
        assert messages.SettingValue(1, 0, 300, 1) in world.gateway.others
        assert messages.SettingValue(2, 0, 3600, 1) in world.gateway.others
        ends = [record.time[1] - START_S for record in world.records()]
        assert ends == [60, 120, 180, 300, 600, 900, 1200]
        world.gateway.asks = [messages.SetSetting(7, 0, START_S + 1700)]
        await virtual_s(1200)
        await world.drained()
        ends = [record.time[1] - START_S for record in world.records()]
        assert ends == [60, 120, 180, 300, 600, 900, 1200, 1500, 1700]
        assert world.totals().scheduled == 9
        await world.board.cut()

    play(script, tmp_path)


def test_provisioning_anew_loses_nothing_of_the_life_before(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        other = bytes(range(16, 32))
        world.gateway.lives.update(GatewayEnd([(7, other)], world.unix_ms).lives)
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(300)
        world.gateway.connected = False
        await virtual_s(300)
        await world.board.cut()
        await virtual_s(200)
        at_s = world.now_s()
        world.board.provision(other, provisioned_s=at_s)
        world.board.start()
        world.gateway.connected = True
        await virtual_s(300)
        await world.drained()
        assert world.board.node is not None
        assert len(world.board.node.sessions) == 1  # the life before is delivered and gone
        old = world.gateway.things(LIFE)
        windows = sum(1 for thing in old if isinstance(thing, Record))
        off = sum(gap.count for life, gap in world.gateway.gaps if life == LIFE and gap.cause == messages.OFF)
        assert windows + off == (at_s - 1 - START_S) // 60 + 1
        assert not [name for name in os.listdir(world.board.root) if f"{LIFE:08x}" in name]
        await world.board.cut()

    play(script, tmp_path)


def test_an_unprovisioned_board_transmits_nothing_and_says_so(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.start()
        await virtual_s(15)
        assert world.gateway.frames == 0
        assert "needs provisioning" in world.gateway.texts[0]
        await world.board.cut()
        world.board.provision(KEY)
        world.board.uid = b"another chip"
        world.board.start()
        await virtual_s(15)
        assert world.gateway.frames == 0
        assert "another chip" in world.gateway.texts[-1]
        await world.board.cut()

    play(script, tmp_path)


def test_a_window_whose_end_is_over_at_the_first_sync_says_when_it_was_measured(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, provisioned_s=START_S + 50, retry_max_ms=1000)
        world.gateway.connected = False
        world.board.start()
        await virtual_s(15)
        world.gateway.connected = True  # it is second 65 now: the window that began at 50 is over
        await virtual_s(60)
        await world.drained()
        first, second = world.records()
        assert first.time[0] == BOOT and 15_000 <= first.time[2] < 20_000, "when it was closed, not second 60"
        assert second.time == (UTC, START_S + 120)
        assert world.totals() == (2, 2, 0, 0, 0, 0), "it stands for the window that it began in"
        told = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Health)]
        assert any(thing.time[0] == UTC for thing in told), "uptime and UTC together: whoever gets it can date that"
        await world.board.cut()

    play(script, tmp_path, at_s=50)


def test_a_board_that_would_tell_of_single_vehicles_transmits_nothing(tmp_path: Path) -> None:
    """No tool makes such a board.json, but a hand can."""

    async def script(world: World) -> None:
        description = world.board.description()
        description["profiles"] = [
            {"items": ["vehicles", "speed_mean"], "window_setting": 0},
            {"items": ["speed_mean_approach"], "window_setting": 1},
        ]
        (Path(world.board.root) / "board.json").write_text(json.dumps(description))
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(15)
        assert world.gateway.frames == 0
        assert "speed_mean_approach in profile 1 would tell of single vehicles" in world.gateway.texts[0]
        await world.board.cut()

    play(script, tmp_path)
