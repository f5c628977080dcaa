"""A calibration on the node: taken over whole or not at all, named by its number, and raw values come back."""

from __future__ import annotations

import builtins
import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from firmware import calibrating, settings
from firmware.correction import Correction
from tests.fakes.board import START_S
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from tests.firmware.test_node_settings import ask, assert_every_window_once, two_windows
from wire import channels, messages
from wire.calibration import calibration
from wire.quality import CALIBRATION, SUSPECT
from wire.settings import by_name

UID = b"\x01\x02\x03\x04\x05\x06"
TEMPERATURE = channels.id_of("temperature") * 16
CONSTANTS = {
    "cal_item.0": TEMPERATURE,
    "cal_slope.0": 9000,
    "cal_offset.0": -12,
    "cal_kappa.0": 380,
    "passport": 0xFEDC,
}
NUMBER = calibration(CONSTANTS)
RAW = (2100, 500)  # what the fake sensor measures: 21.00 Cel, 50.0 %
# 0.9 * 21.00 / (1 + 0.380 / 1.65 * 0.5 / 0.5) - 0.12, by hand
REPORTED = (1524, 500)


def given(constants: dict[str, int]) -> tuple[tuple[int, int, int], ...]:
    parts = [(name.partition("."), value) for name, value in constants.items()]
    return tuple((by_name(name).id, int(instance or 0), value) for (name, _, instance), value in parts)


def answer(ok: int, passport: int = 0xFEDC) -> messages.SettingValue:
    return messages.SettingValue(by_name("passport").id, 0, passport, ok)


def assert_each_value_fits_its_number(world: World, number: int = NUMBER, reported: tuple[int, int] = REPORTED) -> int:
    """How many were made under the new calibration."""
    made = 0
    for life, profile, record in world.gateway.with_profiles():
        assert life == LIFE
        assert profile.calibration in (0, number)
        if len(record.values) == 2:
            assert record.values == (reported if profile.calibration else RAW), (profile, record)
            made += bool(profile.calibration)
    return made


@pytest.mark.parametrize("cut", [False, True])
def test_it_takes_over_when_all_windows_end_also_across_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    two_windows(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY, **{"window_s.1": 300})
        world.board.start()
        await virtual_s(330)
        assert await ask(world, messages.Calibrate(NUMBER, given(CONSTANTS))) == [answer(1)]
        # A repeat (the answer was lost) changes nothing.
        assert await ask(world, messages.Calibrate(NUMBER, given(CONSTANTS))) == [answer(1)]
        if cut:
            await world.board.cut()
            world.board.start()
        await virtual_s(900)
        await world.drained()
        assert assert_each_value_fits_its_number(world) >= 5
        assert_every_window_once(world, 60)
        assert_every_window_once(world, 300)
        begun = [r.time[1] - p.window_s - START_S for _, p, r in world.gateway.with_profiles() if p.calibration]
        assert min(begun) == 600, "both windows at the end of the longer one"
        await world.board.cut()

    play(script, tmp_path)


def test_what_does_not_add_up_is_refused_whole(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(30)
        foreign = given(CONSTANTS) + ((by_name("health_s").id, 0, 600),)
        for message in (
            messages.Calibrate(NUMBER ^ 1, given(CONSTANTS)),
            messages.Calibrate(NUMBER, given(CONSTANTS)[1:]),
            messages.Calibrate(NUMBER, foreign),
        ):
            assert await ask(world, message) == [answer(0, 0)]
        await virtual_s(200)
        await world.drained()
        assert assert_each_value_fits_its_number(world) == 0
        assert world.board.node is not None
        assert world.board.node.settings.values(True) == world.board.node.settings.values(False)
        assert world.board.node.settings.get("health_s") == 3600
        await world.board.cut()

    play(script, tmp_path)


def test_a_second_calibration_adds_to_the_first_and_one_constant_by_itself_has_another_number(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.board.provision(KEY, min_count=5)
        world.board.start()
        await virtual_s(30)
        number = calibration({"min_count": 5, **CONSTANTS})
        assert await ask(world, messages.Calibrate(NUMBER, given(CONSTANTS))) == [answer(0, 0)]
        assert await ask(world, messages.Calibrate(number, given(CONSTANTS))) == [answer(1)]
        await virtual_s(120)
        (alone,) = await ask(world, messages.SetSetting(by_name("cal_offset").id, 0, 88))
        assert alone.ok
        await virtual_s(120)
        await world.drained()
        numbers = [profile.calibration for _, profile, _ in world.gateway.with_profiles()]
        changed = calibration({"min_count": 5, **CONSTANTS, "cal_offset.0": 88})
        assert list(dict.fromkeys(numbers)) == [calibration({"min_count": 5}), number, changed]
        assert world.records()[-1].values == (REPORTED[0] + 100, 500)
        await world.board.cut()

    play(script, tmp_path)


def provision(root: Path) -> None:
    new = {"address": 7, "key": KEY.hex(), "provisioned_s": START_S, "values": {"health_s": 600}}
    settings.provision(json.dumps(new), UID, str(root))


class Cut(BaseException):
    """The power goes."""


def cut_after(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """Files opened for writing take `budget` bytes in all, then the power goes."""
    real_open = builtins.open

    def opened(path: str, mode: str = "r", *args: Any, **named: Any) -> Any:
        stream = real_open(path, mode, *args, **named)
        if "w" not in mode:
            return stream
        write = stream.write

        class Torn:
            def write(self, data: bytes) -> int:
                nonlocal budget
                write(data[:budget])
                if budget < len(data):
                    stream.close()
                    raise Cut
                budget -= len(data)
                return len(data)

            def __enter__(self) -> Torn:
                return self

            def __exit__(self, *_: object) -> None:
                stream.close()

        return Torn()

    monkeypatch.setattr(builtins, "open", opened)


def test_a_cut_at_any_byte_leaves_the_old_calibration_or_the_new_one(tmp_path: Path) -> None:
    new = json.dumps({"number": NUMBER, "settings": given(CONSTANTS)})
    (tmp_path / "whole").mkdir()
    provision(tmp_path / "whole")
    assert calibrating.take(new, UID, str(tmp_path / "whole"))
    size = (tmp_path / "whole" / "settings.a").stat().st_size
    outcomes = []
    for budget in [*range(0, 2 * size, 37), size - 1, size, size + 1, 2 * size]:
        root = tmp_path / f"cut{budget}"
        root.mkdir(exist_ok=True)
        provision(root)
        with pytest.MonkeyPatch.context() as patch:
            cut_after(patch, budget)
            try:
                calibrating.take(new, UID, str(root))
            except Cut:
                pass
        told = calibrating.state(UID, str(root))
        outcomes.append((budget, told["pending"]))
        assert told["values"] == {"health_s": 600}
        assert told["pending"] in ({}, CONSTANTS)
        assert calibrating.take(new, UID, str(root)), "and it can be done again"
        assert calibrating.state(UID, str(root))["pending"] == CONSTANTS
    assert {bool(pending) for _, pending in outcomes} == {False, True}
    assert all(bool(pending) == (budget >= size) for budget, pending in outcomes)


def test_over_mpremote_a_wrong_number_changes_nothing(tmp_path: Path) -> None:
    provision(tmp_path)
    before = (tmp_path / "settings.a").read_bytes()
    new = {"number": NUMBER + 1, "settings": given(CONSTANTS)}
    assert not calibrating.take(json.dumps(new), UID, str(tmp_path))
    assert (tmp_path / "settings.a").read_bytes() == before
    told = calibrating.state(UID, str(tmp_path))
    assert (told["address"], told["pending"], told["full"]) == (7, {}, False)


ITEMS = ((channels.id_of("pm2_5"), 0), (channels.id_of("humidity"), 0), (channels.id_of("co2"), 1))


def exact(raw: int, slope: int, offset: int, kappa: int, h: int) -> Fraction:
    """The documented formula, in fractions and with the factor of Crilley et al. 2018 as it is printed there."""
    rh = Fraction(min(h, 950), 1000)
    factor = 1 + Fraction(kappa, 1000) / Fraction(165, 100) / (1 / rh - 1) if rh else Fraction(1)
    return Fraction(slope, 10000) * raw / factor + offset


def test_integers_follow_the_formula_and_raw_comes_back() -> None:
    chance = random.Random(4)
    for _ in range(3000):
        raw, h = chance.choice([0, 1, 65535, chance.randrange(3000)]), chance.randrange(1001)
        slope, offset = chance.choice([100, 8731, 10000, 12500, 1000000]), chance.randrange(-3000, 3000)
        kappa = chance.choice([0, 1, 380, 620, 2000])
        chosen = {"cal_item.0": ITEMS[0][0] << 4, "cal_slope.0": slope, "cal_offset.0": offset, "cal_kappa.0": kappa}
        values: list[int | None] = [raw, h, 400]
        flags = [1, 1, 1]
        Correction(ITEMS, settings_get(chosen)).apply(values, flags)
        wanted = exact(raw, slope, offset, kappa, h)
        assert values[0] == math.floor(wanted + Fraction(1, 2))
        assert (values[1:], flags) == ([h, 400], [1, 1, 1])
        # Back: half a unit of the report is 1 / (2 * gain) of the raw value, gain being slope over growth.
        gain = exact(1, slope, 0, kappa, h)
        back = (values[0] - offset) / gain
        assert abs(back - raw) <= 1 / (2 * gain)
        if gain >= 1:
            assert round(back) == raw or abs(back - raw) == Fraction(1, 2)


def settings_get(values: dict[str, int]) -> Any:
    return lambda name, instance=0: values.get(f"{name}.{instance}", by_name(name).default)


def test_humidity_is_corrected_first_and_where_it_is_missing_the_value_is_suspect() -> None:
    chosen = {
        "cal_item.0": ITEMS[0][0] << 4, "cal_kappa.0": 500,
        "cal_item.1": ITEMS[1][0] << 4, "cal_offset.1": -100,
        "cal_item.3": (ITEMS[2][0] << 4) + 1, "cal_offset.3": 7,  # after an unused slot: not used
    }  # fmt: skip
    correction = Correction(ITEMS, settings_get(chosen))
    values: list[int | None] = [1000, 900, 400]
    flags = [1, 1, 1]
    correction.apply(values, flags)
    assert values == [math.floor(exact(1000, 10000, 0, 500, 800) + Fraction(1, 2)), 800, 400]
    values, flags = [1000, None, None], [1, 9, 9]
    correction.apply(values, flags)
    assert (values, flags) == ([1000, None, None], [SUSPECT | CALIBRATION << 4, 9, 9])
    values, flags = [None, 1000, 1], [9, 1, 1]
    correction.apply(values, flags)
    assert (values, flags) == ([None, 900, 1], [9, 1, 1])
    values = [1000, 2000, 0]
    correction.apply(values, flags)
    assert values[0] == math.floor(exact(1000, 10000, 0, 500, 950) + Fraction(1, 2)), "no growth beyond 95 %"


def test_a_heap_that_is_full_just_then_leaves_the_old_one_and_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_windows(monkeypatch)

    async def script(world: World) -> None:
        world.board.provision(KEY, **{"window_s.1": 120})
        world.board.start()
        await virtual_s(30)
        assert await ask(world, messages.Calibrate(NUMBER, given(CONSTANTS))) == [answer(1)]
        store = settings.Settings.store
        tries = 0

        def full(self: Any) -> None:
            nonlocal tries
            tries += 1
            raise MemoryError(1204)

        monkeypatch.setattr(settings.Settings, "store", full)
        await virtual_s(190 - (world.now_s() - START_S))
        assert tries == 1, "at the end of the longest window, and not again before the next one"
        monkeypatch.setattr(settings.Settings, "store", store)
        await virtual_s(300)
        await world.drained()
        assert assert_each_value_fits_its_number(world) >= 2
        assert_every_window_once(world, 60)
        assert_every_window_once(world, 120)
        begun = [r.time[1] - p.window_s - START_S for _, p, r in world.gateway.with_profiles() if p.calibration]
        assert min(begun) == 240
        assert world.board.node is not None
        grids = world.board.node.life.stored["grids"]
        assert len(grids) == len({entry[0] for entry in grids}) == 4
        totals = world.totals()
        assert totals.scheduled == totals.sealed + totals.off + totals.not_sampled + totals.refused
        await world.board.cut()

    play(script, tmp_path)
