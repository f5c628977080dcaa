"""What `make soak` has to show, once it has run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.faults.report import FAULT_TIMES

pytestmark = pytest.mark.soak
FIGURES = Path(__file__).resolve().parents[2] / "build" / "soak.json"


def test_the_soak_shows_what_it_has_to_show() -> None:
    figures = json.loads(FIGURES.read_text())
    assert figures["soak.failed_seeds"] == []
    assert (figures["soak.lost"], figures["soak.duplicates"], figures["soak.pending"]) == (0, 0, 0)
    assert figures["soak.redelivered"] <= figures["soak.redelivered_at_most"]
    assert figures["soak.scheduled"] == figures["soak.delivered"] + sum(figures["soak.causes"].values())
    assert figures["soak.runs_that_count"] >= 1000
    assert figures["soak.runs_with_mosquitto"] >= 300
    rare = {name: count for name, count in figures["soak.faults"].items() if count < FAULT_TIMES}
    assert not rare
