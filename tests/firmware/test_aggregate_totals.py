"""Totals: whatever becomes of windows, the difference of two values is what was counted between them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from firmware import drivers, limits, quality
from firmware.aggregate import NOT_SAMPLED, REFUSED, Closed, Window
from firmware.correction import Correction
from firmware.drivers.passages import Passages
from wire import channels, totals
from wire.quality import BAD, BLOCKED, GOOD, LOST, MISSING, SUSPECT

WINDOW_MS = 60_000
MARK = 37
ALL, IN, OUT, ALL_SO_FAR, IN_SO_FAR, OUT_SO_FAR = (
    (channels.id_of(name), 0)
    for name in (
        "vehicles", "vehicles_approach", "vehicles_depart",
        "vehicles_total", "vehicles_total_approach", "vehicles_total_depart",
    )
)  # fmt: skip
PM = (channels.id_of("pm2_5"), 0)
# What a profile may carry beside the total: its count before or behind it, or not at all; others' totals; another instance's.
PROFILES = (
    (IN, IN_SO_FAR),
    (IN_SO_FAR, IN),
    (IN_SO_FAR,),
    (PM, IN_SO_FAR, OUT, OUT_SO_FAR),
    ((IN[0], 1), (IN_SO_FAR[0], 1), IN_SO_FAR),
)
SPANS = st.sampled_from([0, 100, 1000, 20_000])
FLAGS = st.sampled_from([GOOD, GOOD, GOOD, SUSPECT, SUSPECT | LOST << 4, BAD | BLOCKED << 4])
COUNTS = st.one_of(st.integers(0, 3), st.integers(-1, 70_000))
STEPS = st.one_of(
    st.tuples(st.just("add"), COUNTS, SPANS, FLAGS),
    st.tuples(st.just("add"), COUNTS, SPANS, FLAGS),
    st.tuples(st.just("other"), COUNTS, SPANS, FLAGS),
    st.tuples(
        st.just("refuse"), st.sampled_from([drivers.BAD_CRC, drivers.NO_ANSWER, drivers.BLOCKED]), SPANS, st.booleans()
    ),
    st.tuples(st.just("missed"), SPANS, st.booleans()),
    st.tuples(st.just("close")),
    st.tuples(st.just("close"), st.just("and go on")),  # flash took nothing: the window stays open
    st.tuples(st.just("clear")),  # the clock went back: the window is cut
)


class Seen(NamedTuple):
    """A window's value of one item, and what stands beside it."""

    value: int | None
    flag: int
    coverage_pct: int
    cause: str | None


def seen(window: Window, closed: Closed, item: tuple[int, int]) -> Seen:
    at = window.items.index(item)
    value = closed.values[at]
    flag = closed.flags[at] if closed.flags else MISSING if value is None else GOOD
    return Seen(value, flag, closed.coverage_pct, closed.cause)


def step(window: Window, what: tuple, counts: tuple[tuple[int, int], ...]) -> bool:
    """Play one that is none of close and clear; whether a reading of IN was taken."""
    if what[0] == "add":
        return window.add(*IN, *what[1:])
    if what[0] == "other":
        for item in counts:
            window.add(*item, *what[1:])
    elif what[0] == "refuse":
        window.refuse(what[1], what[2], counts if what[3] else None)
    else:
        window.missed(what[1], counts if what[2] else None)
    return False


@given(st.sampled_from(PROFILES), st.booleans(), st.lists(STEPS, min_size=3, max_size=60))
def test_differences_are_what_was_taken(items: tuple, near_the_wrap: bool, steps: list[tuple]) -> None:
    """Over windows that were given and that were not, refused readings, and the wrap at 2**24; and beside each value stands
    what a profile of the count alone says; its quality tests, where the count is carried."""
    window = Window(items, WINDOW_MS, mark=MARK)
    alone = Window((IN,), WINDOW_MS)
    if IN not in items:
        alone._memory[alone._memory[1] + quality.LIMITS] = 0
    counted = 256 * 65_535 if near_the_wrap else 0
    for _ in range(counted // 65_535):
        assert window.add(*IN, 65_535, 1000)
    window.clear()
    last, at_last = totals.total(MARK, counted), counted
    for what in [*steps, ("close",)]:
        if what[0] == "clear":
            window.clear()
            alone.clear()
        elif what[0] == "close":
            told = seen(window, window.close(), IN_SO_FAR)
            count = seen(alone, alone.close(), IN)
            assert (told.value is None) == (count.value is None)
            assert told.flag == count.flag
            if items == (IN_SO_FAR,) or items == (IN, IN_SO_FAR):
                assert told[1:] == count[1:]
            if told.value is not None:
                assert totals.difference(last, told.value) == (counted - at_last, False)
                assert told.value >> 24 == MARK and 0 <= told.value < 1 << 30
                last, at_last = told.value, counted
            if what == ("close",):
                window.clear()
                alone.clear()
        else:
            others = () if what[0] == "other" else (IN,)
            took = step(window, what, (*others, OUT, (IN[0], 1)))
            if what[0] != "other":
                took_alone = step(alone, what, (IN,))
                if what[0] == "add":
                    assert took == took_alone
                    counted += what[1] if took else 0
    if counted >= 1 << 24:
        event("wrapped")
    assert window._slots[IN].before < 1 << 24, "a small integer for ever"


def test_a_count_and_its_total_of_one_window_agree_in_any_order() -> None:
    for items in ((IN, IN_SO_FAR, OUT, OUT_SO_FAR), (OUT_SO_FAR, IN_SO_FAR, OUT, IN)):
        window = Window(items, WINDOW_MS, mark=1)
        before = {IN_SO_FAR: 0, OUT_SO_FAR: 0}
        for entering, leaving in ((3, 0), (0, 0), (5, 2)):
            for second in range(60):
                window.add(*IN, 0 if second % 10 else entering, 1000)
                window.add(*OUT, 0 if second % 10 else leaving, 1000)
            closed = window.close()
            values = dict(zip(items, closed.values, strict=True))
            assert (values[IN], values[OUT]) == (6 * entering, 6 * leaving)
            for count, so_far in ((IN, IN_SO_FAR), (OUT, OUT_SO_FAR)):
                before[so_far] += values[count]
                assert values[so_far] == totals.total(1, before[so_far])
            assert closed.coverage_pct == 100 and closed.flags is None and closed.cause is None
            window.clear()


def test_time_that_was_lost_counts_once_for_a_count_and_its_total() -> None:
    for items in ((IN,), (IN_SO_FAR,), (IN, IN_SO_FAR), (IN_SO_FAR, IN)):
        window = Window(items, WINDOW_MS)
        for _ in range(57):
            window.add(*IN, 0, 1000)
        window.missed(1000)
        window.missed(1000, (IN, OUT))
        assert window.close().coverage_pct == 96, "the last second is the window's edge"
        window.clear()
        assert window.close() == Closed((None,) * len(items), 0, None, NOT_SAMPLED)
        window.refuse(drivers.BAD_CRC, 1000, (IN,))
        assert window.close().cause == REFUSED


def test_what_a_radar_tells_reaches_a_profile_of_totals_alone() -> None:
    """No driver knows of totals; vehicles of both directions are in that of both."""
    passages = Passages(Clock(), 0)
    window = Window((ALL_SO_FAR, IN_SO_FAR, OUT_SO_FAR), WINDOW_MS, mark=2)
    for approaching in (1, 1, 0, 1):
        for channel, instance, value, flag in passages.readings([(approaching, 5000, -1, 0)]):
            window.add(channel, instance, value, 1000, flag)
    assert window.close().values == tuple(totals.total(2, count) for count in (4, 3, 1))


class Clock:
    """For headways, which no profile here carries."""

    def ticks_diff(self, a: int, b: int) -> int:
        return a - b


@pytest.mark.parametrize(
    "channel", [one for one in channels.CHANNELS if one.kind == channels.TOTAL], ids=lambda one: one.name
)
def test_no_quality_test_knows_a_total(channel: channels.Channel) -> None:
    count = channel.partner
    memory = limits.memory(((count, 0), (channel.id, 0)), 60)
    assert memory[memory[1] + quality.LIMITS], "the count has some"
    assert not memory[memory[2] + quality.LIMITS]


def test_a_blocked_counter_is_told_of_its_total_too() -> None:
    """Vehicles that should have come were not counted: nobody shall trust the difference."""
    for items in ((IN, IN_SO_FAR), (IN_SO_FAR, IN)):
        window = Window(items, 3_600_000)
        assert window._memory[window._slots[IN].at + quality.LIMITS], "its readings stay under the count's tests"
        for hour in range(50):
            window.clear()
            window.add(*IN, 100 if hour < 49 else 0, 3_600_000)
            closed = window.close()
            if hour < 49:
                assert closed.flags is None
        assert dict(zip(items, closed.flags, strict=True)) == dict.fromkeys(items, SUSPECT | BLOCKED << 4)
        assert closed.values[items.index(IN_SO_FAR)] == 4900


def test_no_constant_changes_a_total() -> None:
    """Tools refuse such a constant; a gateway that sets one all the same does not reach the mark nor the events."""

    def get(name: str, slot: int) -> int:
        of_slot = {
            0: {"cal_item": IN_SO_FAR[0] << 4, "cal_slope": 20_000, "cal_offset": 7},
            1: {"cal_item": PM[0] << 4},
        }
        return of_slot.get(slot, {}).get(name, 10_000 if name == "cal_slope" else 5 if name == "cal_offset" else 0)

    window = Window((PM, IN_SO_FAR), WINDOW_MS, mark=3)
    window.correction = Correction(window.items, get)
    window.add(*PM, 1000, 60_000)
    window.add(*IN, 9, 60_000)
    assert window.close().values == (105, totals.total(3, 9))
