"""The radio's clock on a board: 30 bits of microseconds, of which MicroPython's own functions take no longer integers."""

from __future__ import annotations

from pathlib import Path

from tests.firmware.interpreter import run_with_31_bits


def test_windows_answers_and_ends_lie_where_they_should_right_before_the_wrap(tmp_path: Path) -> None:
    (tmp_path / "ticks_near_wrap.py").write_text((Path(__file__).parent / "ticks_near_wrap.py").read_text())
    assert run_with_31_bits(tmp_path, "ticks_near_wrap") == ["18"]
