"""`make soak`: the demo's stage, disturbed at random by a seed, drained and added up, again and again.

STEIGER_SOAK_RUNS (default 20) runs of STEIGER_SOAK_S (default 120) seconds each; a failing seed is in the test's name and is
run again by STEIGER_SOAK_SEED. build/soak.json sums up: runs, windows, disturbances, lost, duplicates, redelivered.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tools.demo import account, play
from tools.demo.screen import Row
from tools.demo.stage import Stage

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

RUNS = int(os.environ.get("STEIGER_SOAK_RUNS", "20"))
SECONDS = float(os.environ.get("STEIGER_SOAK_S", "120"))
FIRST_SEED = int(os.environ.get("STEIGER_SOAK_SEED", "1"))
DISTURB_EVERY_S = 9.0  # a little less than what comes back needs, so that faults overlap
SUMMARY = Path("build/soak.json")


class RandomKeys:
    """Stands in for the screen: looks at nothing, and presses c, p or g through the play's own way."""

    def __init__(self, course: play.Play, seed: int) -> None:
        self._course = course
        self._random = random.Random(seed)
        self._next = time.monotonic() + DISTURB_EVERY_S
        self.pressed: dict[str, int] = {"c": 0, "p": 0, "g": 0}

    def show(self, data: list[Row], gateway_up: bool, elapsed_s: float, events: list[str], clock: str) -> None:
        now = time.monotonic()
        if now >= self._next:
            key = self._random.choice("cpg")
            before = len(self._course.stage.happened)
            self._course.disturb(key, now)
            self.pressed[key] += len(self._course.stage.happened) - before
            self._next = now + self._random.uniform(0.3, 1.7) * DISTURB_EVERY_S


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_the_ledger_closes_whatever_is_pulled(seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="steiger-soak-") as folder:
        stage = Stage(Path(folder), 3, seed, None)
        course = play.Play(stage, None)
        keys = RandomKeys(course, seed)
        try:
            stage.start(lambda line: None)
            course.run(keys, SECONDS)  # type: ignore[arg-type]
            result = course.drain(lambda line: None)
            problems = account.faults(result, course.ledger)
        finally:
            stage.close()
    note(seed, result, keys.pressed, problems)
    assert not problems, (seed, problems, result)


def note(seed: int, result: dict[str, Any], pressed: dict[str, int], problems: list[str]) -> None:
    """Add this run to build/soak.json."""
    total: dict[str, Any] = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else {}
    total["runs"] = total.get("runs", 0) + 1
    for name in ("scheduled", "delivered", "pending", "duplicates", "redelivered"):
        total[name] = total.get(name, 0) + result[name]
    total["failed_seeds"] = total.get("failed_seeds", []) + ([seed] if problems else [])
    for name, count in pressed.items():
        total.setdefault("disturbances", {}).setdefault(name, 0)
        total["disturbances"][name] += count
    SUMMARY.parent.mkdir(exist_ok=True)
    SUMMARY.write_text(json.dumps(total, indent=1) + "\n")
