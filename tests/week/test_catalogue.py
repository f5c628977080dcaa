"""Each fault that a simulated chip of these boards knows has a row, and each row a turn in a week."""

from __future__ import annotations

import pytest

from boards import load_board
from tools.errors import UsageError
from tools.sim.chips import chip_class
from tools.sim.weather import local_time
from tools.week import laboratory, plan
from tools.week.catalogue import BOARDS, board_of, chips_of, fault_of

SEEDS = range(1, 5)


@pytest.mark.parametrize("name", BOARDS)
def test_each_fault_of_each_chip_has_a_row(name: str) -> None:
    titles = [fault.title for fault in board_of(name).faults]
    known = [f"{chip}/{fault}" for chip in chips_of(name) for fault in chip_class(chip).FAULTS]
    assert set(known) <= set(titles)
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", BOARDS)
def test_rows_name_the_channels_of_the_board(name: str) -> None:
    (profile,) = load_board(name).profiles
    items = set(profile.items)
    assert board_of(name).withheld <= items
    for fault in board_of(name).faults:
        assert set(fault.outcome.told) <= items, fault.title
        assert fault.outcome.must <= frozenset().union(*fault.outcome.told.values()), fault.title


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BOARDS)
def test_each_fault_has_its_turn_alone(name: str, seed: int) -> None:
    board = board_of(name)
    made = plan.week(board.faults, seed, laboratory.START_S, 7.0, board.window_s)
    assert sorted(span.fault.title for span in made.spans) == sorted(fault.title for fault in board.faults)
    assert made.length_s == 7 * 86400
    for span, until_s in zip(made.spans, [*(s.begin_s for s in made.spans[1:]), made.length_s], strict=True):
        fault = span.fault
        assert span.until_s == until_s
        assert span.end_s - span.begin_s >= fault.settles_s + plan.LEAST_WINDOWS * board.window_s
        assert until_s - span.end_s >= fault.recovers_s + plan.LEAST_WINDOWS * board.window_s
        assert span.begin_s >= max(plan.FIRST_S, fault.after_h * 3600)
        if fault.by_day:
            assert 6 <= local_time(made.start_s + span.begin_s).hour < 15


def test_the_order_is_of_the_seed() -> None:
    def order(seed: int) -> list[str]:
        spans = plan.week(board_of("air-v1").faults, seed, laboratory.START_S, 7.0, 60).spans
        return [span.fault.title for span in spans]

    assert order(1) == order(1) != order(2)


def test_too_few_days_say_how_many_it_takes() -> None:
    with pytest.raises(UsageError, match="days are too few") as raised:
        list(laboratory.jobs("air-v1", 1, 0.2, "", "both"))
    assert "--days" in raised.value.next_step


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="no table of faults"):
        board_of("air-v9")
    with pytest.raises(UsageError, match="has no fault") as raised:
        fault_of("noise-v1", "ics43434/tired")
    assert "ics43434/stuck" in raised.value.next_step


def test_a_microphone_has_a_week_of_results_and_an_hour_a_fault_sample_by_sample() -> None:
    jobs = list(laboratory.jobs("noise-v1", 3, 7.0, "", "both"))
    faults = [fault.title for fault in board_of("noise-v1").faults]
    assert [job.kind for job in jobs] == ["week", *["sample-exact"] * len(faults)]
    assert [job.fault for job in jobs[1:]] == faults
    for job in jobs[1:]:
        (span,) = laboratory.plan_of(job).spans
        assert span.end_s - span.begin_s == 3600
    assert [job.kind for job in laboratory.jobs("air-v1", 3, 7.0, "", "both")] == ["week"]


def test_the_command_that_repeats_a_span_asks_for_just_it() -> None:
    job = laboratory.Job("noise-v1", "sample-exact", 4, 7.0, "ics43434/stuck")
    assert job.command == "steiger sim week noise-v1 --seed 4 --fault ics43434/stuck --sound exact"
    assert list(laboratory.jobs("noise-v1", 4, 7.0, "ics43434/stuck", "exact")) == [job]
    job = laboratory.Job("air-v1", "alone", 4, 3.0, "air/fog")
    assert job.command == "steiger sim week air-v1 --seed 4 --days 3 --fault air/fog"
    assert list(laboratory.jobs("air-v1", 4, 3.0, "air/fog", "both")) == [job]
    (alone,) = laboratory.plan_of(job).spans
    (whole,) = [
        span for span in laboratory.plan_of(job._replace(kind="week", fault="")).spans if span.fault.title == "air/fog"
    ]
    start_s = laboratory.plan_of(job).start_s
    assert start_s + alone.begin_s == laboratory.START_S + whole.begin_s
    assert alone.end_s - alone.begin_s == whole.end_s - whole.begin_s
