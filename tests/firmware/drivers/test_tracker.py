"""Vehicles out of a radar's reports, against what passed (bench/traffic.py has the long run)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.fakes.traffic_score import SCORED, own_seeds, score_all
from tests.firmware.drivers.run_tracker import passages
from tests.firmware.interpreter import run_script
from tools.sim.scenes import SCENES, Scene

# Recall and share of false counts that the street's users are promised, in percent.
LIMITS = {name: (97, 2) if name in ("free flow", "bus and bicycle mix") else (90, 5) for name in SCENES}
FEW = 3  # seeds here


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_each_road_user_counts_once(name: str) -> None:
    for seeds in (SCORED[:FEW], own_seeds()):
        if not seeds:
            continue
        pooled = score_all(name, seeds).pooled
        least, most = LIMITS[name]
        assert pooled.passed > 80
        assert 100 * pooled.recall >= least, pooled
        assert 100 * pooled.false_rate <= most, pooled
        if (least, most) == (97, 2):
            assert pooled.v85_error_kmh <= 2.0


@pytest.mark.soak
@pytest.mark.parametrize("name", SCENES)
def test_each_road_user_counts_once_under_all_seeds(name: str) -> None:
    pooled = score_all(name, SCORED).pooled
    assert 100 * pooled.recall >= LIMITS[name][0]
    assert 100 * pooled.false_rate <= LIMITS[name][1]


def test_the_same_vehicles_under_micropython_and_no_heap_that_grows(tmp_path: Path) -> None:
    reports = list(Scene("rain clutter", 101, 200).reports())
    file = tmp_path / "reports"
    file.write_bytes(b"".join(ms.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data for ms, data in reports))
    lines = run_script("tests/firmware/drivers/run_tracker.py", str(file))
    assert lines[:-1] == [" ".join(map(str, found)) for found in passages(reports)]
    assert len(lines) > 8
    assert abs(int(lines[-1].split()[1])) <= 256


def test_a_radar_of_the_other_opinion_counts_the_same() -> None:
    """Which value of the direction byte means approach is in doubt: the way that a vehicle goes tells."""
    reports = list(Scene("free flow", 102).reports())
    here, there = passages(reports), passages(reports, flip=1)
    assert abs(len(here) - len(there)) <= len(here) // 20
    assert sum(found[1] for found in here) == pytest.approx(sum(1 - found[1] for found in there), abs=2)


def test_occupancy_and_headway_of_single_vehicles() -> None:
    """36 km/h are a metre in 100 ms: 600 ms for six metres; the second car follows 3 s behind."""
    from tools.sim.chips.ld2451 import Target, report

    reports = []
    for at in range(0, 15000, 100):
        cars = [90 - (at - began) // 100 for began in (0, 3000) if at >= began]
        reports.append((at, report([Target(2, far, True, 36, 20) for far in sorted(cars) if far > 8])))
    first, second = passages(reports)
    assert first[1:3] == second[1:3]
    assert first[1] == 1
    assert 3600 <= first[2] <= 3690, "from above and at 2 degrees the radar sees a little less than it is"
    assert first[3] == second[3] == 600
    assert second[4] - first[4] == 3000


@pytest.mark.parametrize("offset_m", [0.0, 3.0, 6.4])
def test_speeds_are_those_along_the_road(offset_m: float) -> None:
    """The radar hangs 4 m high beside the road: near by it sees the cosine of a speed, and the angle says so."""
    from tools.sim.chips.ld2451 import Target, report

    reports = []
    for at in range(0, 8000, 100):
        along_m = 95.0 - at / 72  # 50 km/h
        away_m = math.sqrt(along_m**2 + offset_m**2 + 4.0**2)
        angle = round(math.degrees(math.atan2(offset_m, max(along_m, 0.1))))
        seen = (
            [Target(angle, int(away_m), True, round(50 * along_m / away_m), 20)] if along_m > 9 and angle <= 20 else []
        )
        reports.append((at, report(seen)))
    (found,) = passages(reports)
    assert found[2] == pytest.approx(5000, abs=50)
