"""Seq sets, acknowledgement windows, replay windows and time arithmetic against models."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.life_state import Claim, Memory
from gateway.replay import SIZE, ReplayWindow
from gateway.seqset import SeqSet, ack_windows
from gateway.time_resolution import (
    BootAnchors,
    ClockSpans,
    by_anchor,
    by_neighbours,
    drift_ms,
    hours_of_windows,
)

SEQS = st.integers(0, 300)
STEPS = st.lists(
    st.one_of(SEQS.map(lambda s: (s, s + 1)), st.tuples(SEQS, st.integers(1, 80)).map(lambda t: (t[0], t[0] + t[1])))
)


@given(STEPS, SEQS, st.integers(0, 100))
def test_seq_set_is_a_set(steps: list[tuple[int, int]], at: int, span: int) -> None:
    mine, model = SeqSet(), set()
    for start, end in steps:
        new = set(range(start, end)) - model
        if end == start + 1:
            assert mine.add(start) == bool(new)
        else:
            assert {n for s, e in mine.add_range(start, end) for n in range(s, e)} == new
        model |= new
        assert len(mine) == len(model)
    assert {n for s, e in mine.ranges() for n in range(s, e)} == model
    ranges = mine.ranges()
    assert all(a[1] < b[0] for a, b in pairwise(ranges)), "disjoint and not touching"
    assert (at in mine) == (at in model)
    assert {n for s, e in mine.missing(at, at + span) for n in range(s, e)} == set(range(at, at + span)) - model
    assert mine.count_below(at) == len([n for n in model if n < at])
    first = mine.first_missing(at)
    assert first not in model
    assert all(n in model for n in range(at, first))
    assert mine.bits(at) == sum(1 << i for i in range(64) if at + i in model)
    assert SeqSet.decode(mine.encode()).ranges() == ranges
    mine.remove_range(at, at + span)
    assert {n for s, e in mine.ranges() for n in range(s, e)} == model - set(range(at, at + span))
    assert len(mine) == len(model - set(range(at, at + span)))


@given(STEPS, st.lists(SEQS, max_size=20), SEQS)
def test_acknowledgements_say_nothing_that_is_not_stored(
    steps: list[tuple[int, int]], asked: list[int], floor: int
) -> None:
    mine = SeqSet()
    for start, end in steps:
        mine.add_range(start, end)
    asked = [seq for seq in asked if seq in mine]
    cum = mine.first_missing(floor)
    windows = ack_windows(mine, cum, [seq for seq in asked if seq >= cum], 4)
    said = {base + i for base, bits in windows for i in range(64) if bits >> i & 1}
    assert all(seq in mine for seq in said)
    assert all(base >= cum and 0 < bits < 1 << 64 for base, bits in windows)
    if len(windows) < 4:
        assert all(seq in said or seq < cum for seq in asked)


@given(st.lists(st.integers(0, 2 * SIZE), max_size=200), st.integers(0, 100))
def test_no_counter_is_accepted_twice(counters: list[int], jump: int) -> None:
    window, accepted = ReplayWindow(), set()
    for counter in counters:
        if window.fresh(counter):
            assert counter not in accepted
            window.accept(counter)
            accepted.add(counter)
            again = ReplayWindow(window.highest, window.seen)  # as it is stored
            assert not again.fresh(counter)
        else:
            assert counter in accepted or counter <= max(accepted) - SIZE
    if accepted:
        assert window.fresh(max(accepted) + 1 + jump)
        assert window.highest == max(accepted)


@given(STEPS, st.lists(st.tuples(SEQS, st.integers(0, 50)), max_size=5))
def test_what_the_session_remembers_survives_its_encoding(
    steps: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    memory = Memory(None)
    for start, end in steps:
        memory.received.add_range(start, end)
    for seq, count in others:
        memory.other(seq, count)
    memory.claimed(Claim(150, (100, 90, 5, 5, 0, 0), 7, True))
    assert not memory.claimed(Claim(150, (), 8, True)), "only a newer statement counts"
    memory.replay.accept(70_000)
    again = Memory(memory.encode())
    assert again.encode() == memory.encode()
    assert again.windows_before_claim() == memory.windows_before_claim()
    assert memory.windows_before_claim() == memory.received.count_below(150) - sum(n for s, n in others if s < 150)


@given(st.lists(st.integers(0, 2 * SIZE), min_size=1, max_size=100))
def test_a_counter_below_the_highest_is_refused_after_a_restart_too(counters: list[int]) -> None:
    memory = Memory(None)
    for counter in counters:
        if memory.replay.fresh(counter):
            memory.replay.accept(counter)
    again = Memory(memory.encode())
    assert not any(again.replay.fresh(counter) for counter in counters)
    assert all(again.replay.fresh(n) == memory.replay.fresh(n) for n in range(3 * SIZE))


def test_an_anchor_is_within_two_seconds_and_its_drift() -> None:
    anchors = BootAnchors(1_000, 500_000, 1_000, 500_000).seen(3_601_000, 4_100_100)
    assert by_anchor(anchors, 61_000).at_ms == 560_000
    assert by_anchor(anchors, 61_000).bound_ms == 2_000 + 3
    assert by_anchor(anchors, 3_600_000).at_ms == 4_099_100, "by the nearer one"
    assert drift_ms(86_400_000) == 4_320


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1))
def test_the_middle_of_the_neighbours_is_never_off_by_more_than_its_bound(a: int, b: int, share: float) -> None:
    low, high = min(a, b), max(a, b)
    true = low + int((high - low) * share)
    resolved = by_neighbours(low, high)
    assert abs(resolved.at_ms - true) <= resolved.bound_ms <= (high - low) // 2 + 1


def test_a_clock_ages_from_its_last_setting() -> None:
    spans = ClockSpans()
    for minute in range(0, 60, 5):
        spans.synced(minute * 60_000)
    assert spans.spans == [(0, 55 * 60_000)]
    assert spans.bound_ms(30 * 60_000) == 2_000 + 45
    assert spans.bound_ms(55 * 60_000 + 43_200_000) == 2_000 + 2_160
    spans.synced(20 * 3_600_000)
    assert spans.bound_ms(19 * 3_600_000) == 2_000 + drift_ms(19 * 3_600_000 - 55 * 60_000), (
        "written before it was set again"
    )
    assert spans.bound_ms(-5) > 30_000, "before anything is known"


@given(st.integers(0, 10**8), st.integers(0, 3000), st.sampled_from([1, 5, 7, 60, 600, 3600, 5000, 86400]))
def test_every_window_belongs_to_the_hour_it_starts_in(first: int, count: int, window_s: int) -> None:
    model: dict[int, int] = {}
    for index in range(first, first + count):
        hour = index * window_s // 3600
        model[hour] = model.get(hour, 0) + 1
    assert dict(hours_of_windows(first, count, window_s)) == model
