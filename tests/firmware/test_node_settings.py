"""Settings changed while a board measures: no value is ever reported under a calibration that did not make it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware import settings as settings_module
from firmware.settings import GRIDS_MAX
from tests.fakes.board import START_S, Board, Sensor
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from wire import messages
from wire.settings import by_name

OFFSET = by_name("temperature_offset_cdeg").id
RAW_MDEG = 21000  # what the fake sensor reads
SHIFT_CDEG = 500


class Calibrated(Sensor):
    """The fake sensor, following two settings."""

    SETTINGS = ("temperature_offset_cdeg", "sample_ms")
    reads = 0

    def __init__(self, bus: Any, clock: Any, instance: int = 0) -> None:
        super().__init__(bus, clock, instance)
        self.offset = 0

    def configure(self, name: str, value: int) -> None:
        if name == "sample_ms":
            self.period_ms = self.covered_ms = value
        else:
            self.offset = value

    async def read(self) -> list[tuple[int, int, int, int]]:
        Calibrated.reads += 1
        first, second = await super().read()
        return [(first[0], first[1], first[2] + self.offset * 10, first[3]), second]


@pytest.fixture(autouse=True)
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.board.Sensor", Calibrated)
    monkeypatch.setattr(Calibrated, "reads", 0)


def two_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Board.description

    def description(self: Board) -> dict[str, Any]:
        found = one(self)
        found["profiles"].append({"items": ["temperature"], "window_setting": 1})
        return found

    monkeypatch.setattr(Board, "description", description)


async def ask(world: World, *questions: Any) -> list[Any]:
    """Send, and wait for as many answers."""

    def answers() -> list[Any]:
        return [other for other in world.gateway.others if isinstance(other, messages.SettingValue)]

    before = len(answers())
    world.gateway.asks += questions
    for _ in range(3000):
        if len(answers()) - before >= len(questions):
            break
        await virtual_s(0.1)
    return answers()[before:]


def assert_each_value_fits_its_calibration(world: World) -> int:
    """The raw value is recovered from each record by the calibration that its profile names; how many had one."""
    shifted = 0
    for life, profile, record in world.gateway.with_profiles():
        assert life == LIFE
        offset_mdeg = SHIFT_CDEG * 10 if profile.calibration else 0
        assert record.values[0] * 10 == RAW_MDEG + offset_mdeg, (profile, record)
        shifted += bool(profile.calibration)
    return shifted


def assert_every_window_once(world: World, window_s: int = 60) -> None:
    ends = [record.time for _, profile, record in world.gateway.with_profiles() if profile.window_s == window_s]
    assert len(set(ends)) == len(ends)


@pytest.mark.parametrize("gateway_at_boot", [True, False])
def test_a_cut_between_setting_and_taking_over_mixes_no_calibrations(tmp_path: Path, gateway_at_boot: bool) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(70)
        (answer,) = await ask(world, messages.SetSetting(OFFSET, 0, SHIFT_CDEG))
        assert answer == messages.SettingValue(OFFSET, 0, SHIFT_CDEG, 1)
        assert (world.now_s() - START_S) % 60 < 5, "the window under the old calibration is still open"
        await world.board.cut()
        send = world.gateway.send
        if not gateway_at_boot:
            world.gateway.send = lambda data: None
        world.board.start()
        await virtual_s(300)
        world.gateway.send = send
        await virtual_s(300)
        await world.drained()
        assert assert_each_value_fits_its_calibration(world) >= 3
        assert_every_window_once(world)
        totals = world.totals()
        assert totals.scheduled == totals.sealed + totals.off + totals.not_sampled == (world.now_s() - START_S) // 60
        await world.board.cut()

    play(script, tmp_path)


def test_a_calibration_changes_for_long_and_short_windows_at_one_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_windows(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY, **{"window_s.1": 300})
        world.board.start()
        await virtual_s(400)
        await ask(world, messages.SetSetting(OFFSET, 0, SHIFT_CDEG))
        await virtual_s(1000)
        await world.drained()
        assert assert_each_value_fits_its_calibration(world) >= 10
        assert_every_window_once(world, 60)
        assert_every_window_once(world, 300)
        changed = [r.time[1] - START_S for _, p, r in world.gateway.with_profiles() if p.calibration]
        assert min(changed) == 660
        await world.board.cut()

    play(script, tmp_path)


def test_windows_that_do_not_divide_give_up_what_they_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_windows(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY, **{"window_s.0": 40, "window_s.1": 90})
        world.board.start()
        await virtual_s(110)
        await ask(world, messages.SetSetting(OFFSET, 0, SHIFT_CDEG))
        end = -(-(world.now_s() + 1) // 90) * 90
        await virtual_s(500)
        await world.drained()
        assert_each_value_fits_its_calibration(world)
        assert_every_window_once(world, 40)
        assert end % 40, "the windows were meant to cross"
        (crossing,) = [
            r for _, p, r in world.gateway.with_profiles() if p.window_s == 40 and r.time[1] - 40 < end < r.time[1]
        ]
        assert 0 < crossing.coverage < 100
        await world.board.cut()

    play(script, tmp_path)


def test_flash_that_refuses_a_setting_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(70)
        store = settings_module.Settings.store

        def refuse(self: Any) -> None:
            raise OSError(28, "no space left")

        monkeypatch.setattr(settings_module.Settings, "store", refuse)
        answers = await ask(world, messages.SetSetting(2, 0, 600), messages.SetSetting(OFFSET, 0, SHIFT_CDEG))
        assert answers == [messages.SettingValue(2, 0, 3600, 0), messages.SettingValue(OFFSET, 0, 0, 0)]
        monkeypatch.setattr(settings_module.Settings, "store", store)
        await virtual_s(120)
        await world.drained()
        assert assert_each_value_fits_its_calibration(world) == 0
        await world.board.cut()

    play(script, tmp_path)


def test_many_changes_forget_what_is_delivered_and_never_use_a_short_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(70)
        for change in range(1, 3 * GRIDS_MAX):
            (answer,) = await ask(world, messages.SetSetting(by_name("min_count").id, 0, 3 + change))
            assert answer.ok == 1, change
            await virtual_s(120)
            await world.drained()
        assert world.board.node is not None
        stored = world.board.node.life.stored
        assert len(stored["grids"]) <= GRIDS_MAX
        shorts = [profile.short for profile in world.gateway.learned(LIFE)]
        assert len(shorts) == len(set(shorts)) == 3 * GRIDS_MAX
        assert len(json.dumps(world.board.node.settings.payload)) < 3000
        await world.board.cut()

    play(script, tmp_path)


def test_sensors_are_read_as_often_as_the_setting_says(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, sample_ms=30_000)
        world.board.start()
        await virtual_s(600)
        assert 18 <= Calibrated.reads <= 22
        await world.drained()
        assert [record.coverage for record in world.records()][2:] == [100] * (len(world.records()) - 2)
        await ask(world, messages.SetSetting(by_name("sample_ms").id, 0, 500))
        await virtual_s(60)  # the rest of the long period
        before = Calibrated.reads
        await virtual_s(60)
        assert 118 <= Calibrated.reads - before <= 122
        await world.board.cut()

    play(script, tmp_path)


def test_what_answers_leaves_the_heap_and_no_command_runs_again_for_it(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(30)
        command = messages.Command(5, messages.SEND_HEALTH, 0, world.now_s() + 3600)

        def results() -> list[int]:
            return [one.code for one in world.gateway.others if isinstance(one, messages.CommandResult)]

        for number in (1, 2):
            world.gateway.asks.append(command)
            for _ in range(1000):
                if len(results()) == number:
                    break
                await virtual_s(0.1)
            assert "firmware.tasks.control" in sys.modules
            await virtual_s(25)
            assert world.board.node is not None and world.board.node._control is None
            assert not {"firmware.tasks.control", "firmware.tasks.commands", "firmware.tasks.plan"} & set(sys.modules)
        assert results() == [messages.DONE, messages.REPEATED]
        await world.board.cut()

    play(script, tmp_path)
