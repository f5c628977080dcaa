"""Nobody can work out a single vehicle from what a node reports: an attack with differences of windows and of profiles."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.aggregate import Window
from firmware.drivers.passages import Passages
from wire import channels, privacy

LEAST = 3


class Clock:
    """What tells headways."""

    @staticmethod
    def ticks_diff(later_ms: int, earlier_ms: int) -> int:
        return later_ms - earlier_ms


CHANNELS = [channels.by_id(channel_id).name for channel_id, _ in Passages(Clock, 0).items]
BIN = "vehicles_{}_{}kmh_{}"
GATED = [
    *(name for name in CHANNELS if channels.by_name(name).min_count),
    *(BIN.format(low, low + 5, way) for low in (20, 25, 30, 35) for way in ("approach", "depart")),
]
OPEN = [name for name in CHANNELS if not channels.by_name(name).min_count]
WINDOWS_S = (60, 120, 300, 600)
STREET_S = 600

Vehicle = tuple[int, int, int]  # s, direction, 0.01 km/h
Board = list[tuple[int, list[str]]]  # per profile, its window in s and its channels


def told(board: Board, street: list[Vehicle], min_count: int = LEAST) -> list[tuple[str, int, int]]:
    """(channel, begin, end in s) of every value with a minimum count that the board's windows give."""
    found = []
    for window_s, names in board:
        items = tuple((channels.id_of(name), 0) for name in names)
        window = Window(items, window_s * 1000, min_count)
        passages = Passages(Clock, 0)
        for begin_s in range(0, STREET_S, window_s):
            for second in range(begin_s, begin_s + window_s):
                here = [(way, speed, 500, at * 1000) for at, way, speed in street if at == second]
                for channel, instance, value, flag in passages.readings(here):
                    window.add(channel, instance, value, 1000, flag)
            values = window.close().values
            window.clear()
            for name, value in zip(names, values, strict=True):
                if value is not None and channels.by_name(name).min_count:
                    found.append((name, begin_s, begin_s + window_s))
    return found


def rests_on(name: str, begin_s: int, end_s: int, street: list[Vehicle]) -> frozenset[int]:
    """Which vehicles a value rests on."""
    ways = {"approach": (1,), "depart": (0,)}.get(name.split("_")[-1], (0, 1))
    return frozenset(n for n, (at, way, _) in enumerate(street) if begin_s <= at < end_s and way in ways)


def betrayed(board: Board, street: list[Vehicle], min_count: int = LEAST) -> list[frozenset[int]]:
    """What an attacker is left with: sets of fewer than `LEAST` vehicles, alone, or as the difference of one value's
    vehicles and those of any others of its kind within them."""
    sets = {rests_on(*value, street) for value in told(board, street, min_count)}
    found = [each for each in sets if 0 < len(each) < LEAST]
    for whole in sets:
        parts = [each for each in sets if each < whole]
        # All that lie within it and not within each other: the most that can be taken away.
        for take in range(1, min(3, len(parts)) + 1):
            for chosen in combinations(sorted(parts, key=len, reverse=True)[:8], take):
                if sum(len(each) for each in chosen) == len(frozenset().union(*chosen)):
                    rest = whole.difference(*chosen)
                    if 0 < len(rest) < LEAST:
                        found.append(rest)
    return found


def allowed(board: Board) -> bool:
    return privacy.conflict([[(channels.id_of(name), 0) for name in names] for _, names in board]) is None


def random_street(seed: int, vehicles: int) -> list[Vehicle]:
    chance = Random(seed)
    street = [(chance.randrange(STREET_S), chance.randrange(2), chance.randrange(1500, 6000)) for _ in range(vehicles)]
    return sorted(street)


BOARDS = st.lists(
    st.tuples(st.sampled_from(WINDOWS_S), st.lists(st.sampled_from(GATED + OPEN), min_size=1, max_size=6, unique=True)),
    min_size=1,
    max_size=4,
)


@given(BOARDS, st.integers(0, 2**32), st.integers(0, 40), st.sampled_from((0, 1, 3, 5)))
def test_no_difference_of_what_is_told_is_a_single_vehicle(board: Board, seed: int, vehicles: int, least: int) -> None:
    if not allowed(board):
        board = board[:1]
        board = [(board[0][0], [name for name in board[0][1] if name in OPEN or name.endswith("approach")])]
    if allowed(board) and board[0][1]:
        assert betrayed(board, random_street(seed, vehicles), least) == []


@pytest.mark.parametrize(
    ("board", "street"),
    [
        # Four vehicles approach and one departs: the mean of all gives away the one.
        (
            [(60, ["speed_mean", "speed_mean_approach"])],
            [(5, 1, 4000), (9, 1, 4500), (12, 0, 7300), (30, 1, 5000), (40, 1, 5100)],
        ),
        # The same out of two profiles, and from bins.
        (
            [(60, ["speed_v85", "vehicles"]), (60, ["vehicles_35_40kmh_approach"])],
            [(5, 1, 4000), (9, 1, 4500), (12, 0, 7300), (30, 1, 5000), (40, 1, 5100)],
        ),
        # Two minutes less the first one: the second had one vehicle.
        (
            [(60, ["speed_mean_depart"]), (120, ["speed_mean_depart"])],
            [(5, 0, 4000), (9, 0, 4500), (12, 0, 7300), (70, 0, 5000)],
        ),
        (
            [(60, ["headway_median_depart"]), (120, ["vehicles_45_50kmh_depart"])],
            [(1, 0, 4000), (5, 0, 4000), (9, 0, 4500), (12, 0, 7300), (70, 0, 5000)],
        ),
        (
            [(60, ["occupancy_approach"]), (120, ["speed_mean_approach"])],
            [(5, 1, 4000), (9, 1, 4500), (12, 1, 7300), (70, 1, 5000)],
        ),
    ],
)
def test_boards_that_betray_are_refused(board: Board, street: list[Vehicle]) -> None:
    """The attack works on them: without the rule it would succeed."""
    assert betrayed(board, street)
    assert not allowed(board)


def test_what_is_allowed() -> None:
    each = ["vehicles_approach", "speed_mean_approach", "speed_mean_depart", "headway_median_depart"]
    assert allowed([(60, each)])
    assert allowed([(60, each), (300, ["vehicles", "vehicles_approach"])])
    assert allowed([(60, ["speed_mean_approach", "vehicles_25_30kmh_approach"]), (300, ["speed_mean_depart"])])
    assert allowed([(60, ["speed_mean", "headway_median"]), (300, ["vehicles_depart"])])
    conflict = privacy.conflict([[(channels.id_of("speed_mean"), 0)], [(channels.id_of("speed_mean"), 1)]])
    assert conflict is None, "another sensor looks at another place"
    assert privacy.conflict([[(channels.id_of("pm10"), 0)], [(channels.id_of("speed_v85"), 0)] * 2]) is None
    assert privacy.conflict([[(channels.id_of("speed_v85"), 0)], [(channels.id_of("headway"), 0)]]) == (1, "headway")


def test_every_channel_with_a_minimum_is_covered() -> None:
    """A new one must not slip through: its name's end is its direction."""
    for channel in channels.CHANNELS:
        if channel.min_count:
            partner = channels.by_id(channel.partner).name if channel.partner else "vehicles"
            assert partner == {"approach": "vehicles_approach", "depart": "vehicles_depart"}.get(
                channel.name.split("_")[-1], "vehicles"
            )


@given(st.integers(0, 6), st.sampled_from((0, 1, 3, 5)), st.sampled_from(("approach", "depart")))
def test_below_the_minimum_nothing_but_the_count_is_told(vehicles: int, least: int, way: str) -> None:
    names = [name for name in GATED if name.endswith(way)]
    street = [(10 * n + 1, int(way == "approach"), 3300) for n in range(vehicles)]
    given_names = {name for name, begin, _ in told([(600, names)], street, least)}
    needed = max(LEAST, least)
    headways = {name for name in names if name.startswith("headway")}  # one fewer than vehicles
    expected = set(names) - headways if vehicles >= needed else set()
    assert given_names == (expected | headways if vehicles > needed else expected)
