"""The bench of flash wear begins with a log that is full, written by the board's own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.flash import fill
from tests.sim.running import START_S
from tools.sim.interpreter import find

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]


def test_a_log_is_filled_until_its_oldest_records_are_dropped(tmp_path: Path) -> None:
    log = fill(tmp_path, 64)
    assert log.image.exists()
    assert log.ended_s - START_S > 5 * 1000  # a thousand windows and more
