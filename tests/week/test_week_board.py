"""Boards in virtual time: faults are judged as they were written down, and a firmware that was broken on purpose is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards import load_board
from tools.sim.interpreter import find
from tools.week import block_slot, laboratory
from tools.week.catalogue import Board, board_of, fault_of
from tools.week.plan import Plan, Span
from tools.week.run import WeekRun
from tools.week.verdict import Result

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]

WINDOW_S = 60
AIR = "air-v1"


Change = tuple[str, str, str]  # file of the firmware, a text in it, what stands there instead


def life(
    folder: Path, name: str, titles: tuple[str, ...], *changes: Change, clean: int = 6, on: int = 5, tail_s: int = 0,
    exact: bool = False, **settings: int,
) -> Result:  # fmt: skip
    """A short life with these faults; `clean` and `on`: windows; `tail_s`: how long it goes on afterwards."""
    board = board_of(name)
    at_s, spans = clean * WINDOW_S, []
    for title in titles:
        fault = fault_of(name, title)
        begin_s, end_s = at_s + 17, at_s + 17 + fault.settles_s + on * WINDOW_S
        at_s = (end_s + fault.recovers_s) // WINDOW_S * WINDOW_S + clean * WINDOW_S
        spans.append(Span(fault, begin_s, end_s, at_s))
    spans[-1] = spans[-1]._replace(until_s=at_s + tail_s)
    plan = Plan(laboratory.START_S + 9 * 3600, at_s + tail_s, tuple(spans))
    board = Board(board.faults, board.settings | settings, tuple(board.withheld))
    return WeekRun(name, board, plan, 1, folder, exact=exact, files=broken(name, changes)).go()


def broken(name: str, changes: tuple[Change, ...]) -> dict[str, bytes] | None:
    """The files of a flash with a firmware that was changed."""

    def change(sources: dict[str, bytes]) -> dict[str, bytes]:
        found = dict(sources)
        for file, before, after in changes:
            text = found[file].decode()
            assert text.count(before) == 1, (file, before)
            found[file] = text.replace(before, after).encode()
        return found

    return block_slot.files(load_board(name), find(), change) if changes else None


HEALTH = "firmware/tasks/health.py"
LOOP = "    while True:\n        task.beat()\n"


def test_what_is_right_passes_and_what_was_broken_is_noticed(tmp_path: Path) -> None:
    """One life of a firmware that was broken twice: a flag is suppressed, and a task falls. A fault beside it ends in the right
    bucket, and the ledger closes."""
    fall = "        if node.clock.uptime_ms() > 400000 and not task.restarts:\n            raise ValueError\n"
    result = life(
        tmp_path, AIR, ("air/fog", "board/unplugged"), ("firmware/quality.py", "humid = True", "humid = False"),
        (HEALTH, LOOP, LOOP + fall), clean=5, on=4, sample_ms=10_000, health_s=60,
    )  # fmt: skip
    assert result.problems == ["1 tasks were restarted", "the board said 'E task'"]
    fog, unplugged = result.spans
    assert any("pm2_5 is good instead of suspect humidity" in problem for problem in fog.problems)
    assert "only 0 of" in fog.problems[-1]
    assert not unplugged.problems
    assert unplugged.buckets == {"not_sampled": unplugged.settled}
    assert unplugged.settled >= 3
    assert result.windows == result.delivered + result.causes["not_sampled"]
    assert (result.boots, result.pending) == (1, 0)


def test_sound_comes_as_block_results_in_a_slot_that_is_linked_as_any_other(tmp_path: Path) -> None:
    """A clipped microphone, long enough for its one peak to be a flat line if it were not overloaded."""
    result = life(tmp_path, "noise-v1", ("ics43434/clipping",), clean=4, on=10)
    assert (result.problems, result.boots, result.pending) == ([], 1, 0)
    (clipping,) = result.spans
    assert not clipping.problems
    assert clipping.settled >= 8
    assert result.block_results > 1000


@pytest.mark.soak
def test_an_air_station_tells_a_flag_and_books_what_was_not_sampled(tmp_path: Path) -> None:
    result = life(tmp_path, AIR, ("air/fog", "board/unplugged"), clean=5, sample_ms=10_000)
    assert not result.failed, (result.problems, [span.problems for span in result.spans])
    fog, unplugged = result.spans
    assert fog.told == {"suspect humidity": fog.settled}
    assert unplugged.buckets == {"not_sampled": unplugged.settled}


@pytest.mark.soak
def test_a_reset_is_noticed(tmp_path: Path) -> None:
    reset = "        if 400000 < node.clock.uptime_ms() < 406000:\n            node.port.reset()\n"
    result = life(tmp_path, AIR, ("air/fog",), (HEALTH, LOOP, LOOP + reset), health_s=60)
    assert any(problem.startswith("the board booted") for problem in result.problems), result.problems


@pytest.mark.soak
def test_a_leak_of_one_object_a_window_is_noticed(tmp_path: Path) -> None:
    put = "                put_health(node)\n"
    result = life(
        tmp_path, AIR, ("air/fog",), (HEALTH, put, "                node.kept.append(bytes(8))\n" + put),
        (HEALTH, "    due_ms = node.health_due_ms\n", "    due_ms = node.health_due_ms\n    node.kept = []\n"),
        tail_s=8 * 3600, sample_ms=30_000, health_s=60,
    )  # fmt: skip
    assert any("heap" in problem for problem in result.problems), result.heap
