"""Totals of a whole node under CPython in virtual time: what windows lose is in the next difference, and each beginning of
counting has another mark than the one before it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import app, drivers
from firmware import settings as settings_module
from tests.fakes.board import START_S, Board, Sensor
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, World, play
from tests.firmware.test_node_settings import ask
from wire import UTC, channels, messages, totals
from wire.settings import by_name

COUNT, OTHER = "vehicles_approach", "vehicles_depart"
SO_FAR, OTHER_SO_FAR = "vehicles_total_approach", "vehicles_total_depart"
FIRST, LAST = 20, 40  # seconds of a minute in which vehicles come, so that none is at a window's edge


class Counter(Sensor):
    """One that counts a vehicle a second in the middle of each minute, twice as many the other way."""

    CHANNELS = (COUNT, OTHER)
    now_s: Any
    seen: list[tuple[int, int]]  # unix s, vehicles so far

    async def read(self) -> list[tuple[int, int, int, int]]:
        if Sensor.failing:
            raise drivers.SensorError(Sensor.failing)
        at_s = Counter.now_s()
        count = int(FIRST <= at_s % 60 < LAST)
        Counter.seen.append((at_s, Counter.seen[-1][1] + count if Counter.seen else count))
        return [(*item, count * (1 + at), drivers.GOOD) for at, item in enumerate(self.items)]


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    def description(board: Board) -> dict[str, Any]:
        found = one(board)
        found["profiles"] = [
            {"items": [COUNT, SO_FAR], "window_setting": 0},
            {"items": [OTHER_SO_FAR], "window_setting": 1},
        ]
        return found

    one = Board.description
    monkeypatch.setattr(Board, "description", description)
    monkeypatch.setattr("tests.fakes.board.Sensor", Counter)
    Counter.seen = []


def begin(world: World) -> None:
    Counter.now_s = world.now_s
    world.board.provision(KEY, **{"window_s.1": 60})
    world.board.start()


def seen_until(end_s: int) -> int:
    return max((count for at_s, count in Counter.seen if at_s < end_s), default=0)


def told(world: World, item: str) -> list[tuple[int, int, int]]:
    """(window's end in unix s, mark, events) of each value of a total, in order."""
    found = []
    for _, profile, record in world.gateway.with_profiles():
        at = profile.items.index((channels.id_of(item), 0)) if (channels.id_of(item), 0) in profile.items else None
        if at is not None and record.values[at] is not None and record.time[0] == UTC:
            found.append((record.time[1], record.values[at] >> 24, totals.events_of(record.values[at])))
    return sorted(found)


def assert_differences_are_what_passed(values: list[tuple[int, int, int]], factor: int = 1) -> None:
    """Between values of one mark; the world has 20 vehicles a minute at most, so nothing wraps."""
    assert len(values) >= 2
    for (before_s, mark, before), (end_s, same, events) in pairwise(values):
        assert mark == same
        assert events - before == factor * (seen_until(end_s) - seen_until(before_s)), (before_s, end_s)


def test_what_refused_and_silent_windows_counted_is_in_the_next_difference(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        begin(world)
        await virtual_s(150)  # half of the vehicles of this minute were counted, then the sensor fails
        for reason in (drivers.BAD_CRC, drivers.NO_ANSWER):
            Sensor.failing = reason
            await virtual_s(240)
            Sensor.failing = 0
            await virtual_s(270)
        await world.drained()
        assert world.totals().refused and world.totals().not_sampled
        ends = [end_s for end_s, _, _ in told(world, SO_FAR)]
        assert max(after - before for before, after in pairwise(ends)) > 60, "windows without a value"
        assert_differences_are_what_passed(told(world, SO_FAR))
        assert_differences_are_what_passed(told(world, OTHER_SO_FAR), 2)
        await world.board.cut()

    play(script, tmp_path)


def test_what_a_window_had_counted_when_the_clock_cut_it_is_in_its_total(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        begin(world)
        await virtual_s(270)  # in the midst of those that pass
        assert world.board.node is not None
        for grid in world.board.node.grids:
            grid.unclock()  # as when the clock goes back
        await virtual_s(280)
        await world.drained()
        counts = [record.values[0] for _, profile, record in world.gateway.with_profiles() if len(profile.items) == 2]
        cut, *whole = sorted(counts)
        assert 0 < cut < LAST - FIRST, "the window tells of what came after the cut"
        assert whole == [LAST - FIRST] * 8
        values = told(world, SO_FAR)
        assert_differences_are_what_passed(values)
        assert values[-1][2] == 9 * (LAST - FIRST)
        await world.board.cut()

    play(script, tmp_path)


def marks(world: World, item: str) -> list[int]:
    """The marks of an item's values in their order, each run of one mark once."""
    found: list[int] = []
    for _, mark, _ in told(world, item):
        if found[-1:] != [mark]:
            found.append(mark)
    return found


def test_each_boot_counts_from_nothing_under_another_mark(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        begin(world)
        for _ in range(3):
            await virtual_s(310)
            await world.drained()
            await world.board.cut()
            world.board.start()
        await virtual_s(130)
        await world.drained()
        for item in (SO_FAR, OTHER_SO_FAR):
            assert marks(world, item) == [2, 4, 6, 8], "twice the boot's number"
        first_of = {mark: events for _, mark, events in reversed(told(world, SO_FAR))}
        assert all(events <= LAST - FIRST for events in first_of.values()), "nothing of the boot before"
        await world.board.cut()

    play(script, tmp_path)


def test_a_profile_that_takes_over_counts_under_another_mark(tmp_path: Path) -> None:
    """Two profiles at once, again and again: each has another mark than its predecessor, whatever the other one does."""

    async def script(world: World) -> None:
        begin(world)
        await virtual_s(130)
        for change in range(1, 4):
            (answer,) = await ask(world, messages.SetSetting(by_name("min_count").id, 0, 3 + change))
            assert answer.ok == 1
            await virtual_s(180)
        await ask(world, messages.SetSetting(by_name("window_s").id, 0, 120))  # this time one of them alone
        await virtual_s(300)
        await world.drained()
        assert len({profile.short for _, profile, _ in world.gateway.with_profiles()}) == 2 * 4 + 1
        assert marks(world, SO_FAR) == [2, 3, 2, 3, 2]
        assert marks(world, OTHER_SO_FAR) == [2, 3, 2, 3]
        await world.board.cut()

    play(script, tmp_path)


def test_after_a_successor_that_failed_counting_begins_anew_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flash does not take the settings: the profile goes on, in an aggregate that has counted nothing."""

    async def script(world: World) -> None:
        begin(world)
        await virtual_s(130)
        take_over = settings_module.Settings.take_over
        refused = []

        def refuse(_: Any) -> None:
            refused.append(world.now_s())
            raise OSError(28, "no space left")

        monkeypatch.setattr(settings_module.Settings, "take_over", refuse)
        await ask(world, messages.SetSetting(by_name("min_count").id, 0, 5))
        await virtual_s(60)
        assert len(refused) == 1
        monkeypatch.setattr(settings_module.Settings, "take_over", take_over)
        await virtual_s(240)
        await world.drained()
        for item in (SO_FAR, OTHER_SO_FAR):
            assert marks(world, item) == [2, 3, 2], "before, after the failure, and of the successor"
        before, after = [[v for v in told(world, SO_FAR) if (v[0] <= refused[0]) == early] for early in (True, False)]
        assert {mark for _, mark, _ in before} == {2} and after[0][1:] == (3, LAST - FIRST)
        assert_differences_are_what_passed(before)
        await world.board.cut()

    play(script, tmp_path)


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30))
def test_neighbouring_beginnings_of_a_grid_never_look_alike(boot: int, openings: list[tuple[int, bool]]) -> None:
    """Within a boot and from boot to boot, also where the heap has no room for an aggregate at first."""
    profile = SimpleNamespace(items=((channels.id_of(SO_FAR), 0),), window_s=60)
    last: dict[int, int] = {}
    for number in (boot, boot + 1):
        node: Any = SimpleNamespace(
            boot=number, _odd=0, settings=SimpleNamespace(get=lambda name: 3 if name == "min_count" else 0)
        )
        for slot, room in [*[(slot, True) for slot in range(4)], *openings]:
            with pytest.MonkeyPatch.context() as patch:
                if not room:
                    patch.setattr(app, "Window", lambda *_: (_ for _ in ()).throw(MemoryError()))
                    with pytest.raises(MemoryError):
                        app.Node._open_window(node, slot, profile)  # type: ignore[arg-type]
                    continue
                window = app.Node._open_window(node, slot, profile)  # type: ignore[arg-type]
            window.add(channels.id_of(COUNT), 0, 1, 60_000)
            (value,) = window.close().values
            assert value is not None
            assert last.get(slot) != value >> 24, (number, slot)
            last[slot] = value >> 24


assert START_S % 60 == 0
