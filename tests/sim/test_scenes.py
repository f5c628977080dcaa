"""The labelled scenes: the same under the same seed, no more than a radar tells, and a truth that holds."""

from itertools import pairwise

import pytest

from tools.sim.chips.ld2451 import report
from tools.sim.scenes import BICYCLE, BUS, SCENES, STEP_MS, Scene

IDLE = report(())

pytestmark = pytest.mark.slow  # they are looked at whole


def seen(name: str, seed: int) -> tuple[Scene, list[tuple[int, bytes]]]:
    scene = Scene(name, seed)
    return scene, list(scene.reports())


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_gives_what_a_radar_gives(name: str) -> None:
    scene, reports = seen(name, 7)
    again, repeated = seen(name, 7)
    assert (reports, scene.passages) == (repeated, again.passages)
    assert reports != seen(name, 8)[1]
    spans = [b - a for (a, _), (b, _) in pairwise(reports)]
    assert {span % STEP_MS for span in spans} == {0}
    missing = sum(span // STEP_MS - 1 for span in spans)
    assert missing == pytest.approx(0.1 * len(reports), rel=0.3)
    sizes = {len(frame) for _, frame in reports}
    assert sizes <= {10, 17, 22, 27}, "at most three targets"
    assert reports[-1][1] == IDLE or name in ("rain clutter", "standing car")
    assert len(scene.passages) > 20
    for passage in scene.passages:
        assert 0 < passage.left_ms <= reports[-1][0] + 10 * STEP_MS
        assert 5 <= passage.speed_kmh < 90


def test_scenes_are_what_they_are_called() -> None:
    _, free_reports = seen("free flow", 3)
    queue, _ = seen("queue", 3)
    mix, _ = seen("bus and bicycle mix", 3)
    parked, parked_reports = seen("standing car", 3)
    _, rainy_reports = seen("rain clutter", 3)
    assert min(p.speed_kmh for p in queue.passages if p.approaching) < 20
    assert sum(p.kind is BICYCLE for p in mix.passages) > 5 < sum(p.kind is BUS for p in mix.passages)
    busy = [sum(len(frame) > 10 for _, frame in reports) for reports in (free_reports, rainy_reports)]
    assert busy[1] > 1.2 * busy[0]
    slow = [
        sum(frame[11] <= 7 for _, frame in reports if len(frame) == 17) for reports in (free_reports, parked_reports)
    ]
    assert slow[1] > 100 > slow[0]
    assert parked.passages
    with pytest.raises(ValueError, match="no scene"):
        Scene("snow", 1)


def test_followers_never_drive_through_each_other() -> None:
    """Who enters first leaves first (the departing are out of sight earlier or later, as they shine)."""
    scene, _ = seen("queue", 5)
    left = [p.left_ms for p in scene.passages if p.approaching and p.kind is not BICYCLE]
    assert all(b >= a for a, b in pairwise(left))
