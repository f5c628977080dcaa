"""What the tool makes of a board's answers; that a board gives them is shown in tests/e2e/test_sound_calibrator.py."""

from typing import Any

import pytest

from tools.errors import SteigerError
from tools.mic_calibrator import _WHY, TRIES, microphone_offset
from wire.names import MIC_REASONS


def offset_with(*answers: tuple[str, int]) -> tuple[Any, list[str], list[float]]:
    """(offset or error, lines told, waits) of a board that gives these results in turn."""
    left = list(answers)
    told: list[str] = []
    waits: list[float] = []

    def ask(verb: str, **fields: Any) -> dict[str, Any]:
        assert verb == "command" and fields["node"] == 7 and fields["arg"] == 2
        assert fields["command"] == ("calibrate_mic" if len(left) == len(answers) else "mic_offset")
        result, value = left.pop(0)
        return {"command": fields["command"], "result": result, "value": value}

    try:
        found: Any = microphone_offset(ask, 7, 2, sleep=waits.append, said=told.append)
    except SteigerError as error:
        found = error
    return found, told, waits


def test_an_offset() -> None:
    found, told, waits = offset_with(("done", 0), ("failed", 1), ("done", -137))
    assert found == -137
    assert told == ["node 7, sensor 2: listening to the calibrator for 5 s"]
    assert waits == [6, 2]


@pytest.mark.parametrize("number", range(2, len(MIC_REASONS) + 1))
def test_every_reason_says_what_to_do(number: int) -> None:
    assert set(_WHY) == set(MIC_REASONS)
    found, _, _ = offset_with(("done", 0), ("failed", number))
    assert isinstance(found, SteigerError)
    assert (found.what, found.next_step) == _WHY[MIC_REASONS[number - 1]]


def test_it_does_not_wait_for_ever() -> None:
    found, _, waits = offset_with(("done", 0), *[("failed", 1)] * TRIES)
    assert "not ready" in str(found)
    assert len(waits) == 1 + TRIES


def test_a_board_without_one() -> None:
    found, _, _ = offset_with(("unsupported", 2))
    assert "did not begin to listen (unsupported)" in str(found)
    assert "unknown" not in str(found)


def test_a_reason_of_a_newer_board() -> None:
    found, _, _ = offset_with(("done", 0), ("failed", 200))
    assert "no calibration (200)" in str(found)
