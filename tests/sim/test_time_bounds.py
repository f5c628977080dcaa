"""Against the world's clock: no record is off by more than the bound that it states, whatever happens to the clocks."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.fakes import clock_troubles
from tests.fakes.clock_troubles import WINDOW_S
from tools.sim.interpreter import find

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
    pytest.mark.timeout(600),
]


def test_no_record_is_off_by_more_than_its_bound(tmp_path: Path) -> None:
    outcome = clock_troubles.run(tmp_path / "street")
    bounds = [dated.bound_ms for dated in outcome.dated]
    worst = max(dated.excess_ms for dated in outcome.dated)
    print(f"records {len(bounds)}, bounds: median {statistics.median(bounds)} ms, maximum {max(bounds)} ms")
    print(f"worst excess over the bound: {worst} ms")
    assert len(outcome.dated) >= 100
    assert {dated.code for dated in outcome.dated} == {0, 1, 2}, "by the node's clock, by anchors, by neighbours"
    assert worst <= 0, [dated for dated in outcome.dated if dated.excess_ms > 0]
    for code in (0, 1):
        shown = [dated.excess_ms + dated.bound_ms for dated in outcome.dated if dated.code == code]
        assert max(shown) > 1_000, "half of the bound would be too little: the troubles are such that it is needed"
    met = [dated for dated in outcome.dated if dated.code < 2]
    assert all(dated.bound_ms <= 2_000 + 50 * clock_troubles.LASTS_S * 1_000 // 1_000_000 + 1 for dated in met)
    assert max(bounds) <= clock_troubles.LASTS_S * 1_000 // 2 + 2_000, "no gap between neighbours is wider"
    summary = outcome.report["summary"]
    assert summary["missing"] == 0 and outcome.report["findings"] == [], summary
    assert summary["delivered"] + summary["pending"] + sum(summary["causes"].values()) == summary["scheduled"]
    assert summary["scheduled"] <= 2 * (clock_troubles.LASTS_S // WINDOW_S + 1), "nobody counted the days of the leaps"
