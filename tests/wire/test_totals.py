"""Totals and their differences: over a wrap, over a restart, and where two beginnings look alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wire import channels
from wire.totals import EVENTS_MASK, difference, events_of, total

marks = st.integers(0, 63)


@given(marks, st.integers(0, 1 << 40), st.integers(0, 1 << 22))
def test_what_was_counted_between_two_values_comes_back(mark: int, before: int, counted: int) -> None:
    one, two = total(mark, before), total(mark, before + counted)
    assert difference(one, two) == (counted, False)
    assert events_of(two) == (before + counted) & EVENTS_MASK


@given(marks, marks, st.integers(0, EVENTS_MASK), st.integers(0, EVENTS_MASK))
def test_no_difference_is_taken_across_a_restart(old: int, new: int, before: int, since: int) -> None:
    counted, restarted = difference(total(old, before), total(new, since))
    if old != new:
        assert (counted, restarted) == (since, True)
    elif before < 3 << 22:  # no wrap was near, so a smaller number is a restart that has the same mark by chance
        assert restarted == (since < before)
        assert counted <= since, "too low at worst"


@given(st.integers(-5, 1000), st.integers(0, 1 << 40))
def test_a_value_is_of_its_channel_and_a_small_integer(mark: int, events: int) -> None:
    for name in ("vehicles_total", "vehicles_total_approach", "vehicles_total_depart"):
        channel = channels.by_name(name)
        assert channel.kind == channels.TOTAL
        assert channel.low <= total(mark, events) <= channel.high < 1 << 30
        assert channels.by_id(channel.partner).kind == channels.COUNT
        assert channels.by_id(channel.partner).name == name.replace("_total", "")
