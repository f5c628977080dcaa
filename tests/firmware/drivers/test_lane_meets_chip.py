"""The Doppler radar and the beam on their simulated chips, and the street's truth beside what they count."""

from itertools import pairwise
from typing import Any

import pytest

from firmware import drivers
from tests.firmware.drivers.test_driver_meets_chip import START_S, Stage, mean, play

SLOW = pytest.mark.slow  # all together: whole minutes of a street


def speeds(seconds: int = 600, start_s: int = START_S + 5400, **chip_params: Any) -> tuple[list[Any], Any, Any, Stage]:
    """(vehicles that passed, values, refused reasons, stage) of a street in the morning's rush."""
    stage = Stage("ops243a", "ops243a", start_s=start_s, **chip_params)
    values, refused = play(stage, lambda s: s.run(seconds))
    return stage.world.vehicles(stage.world.start_s * 1_000_000, stage.now_us() - 1_000_000), values, refused, stage


@pytest.mark.parametrize(
    "params",
    [
        {},
        pytest.param({"faults": ("dropped",)}, marks=SLOW),
        pytest.param({"strings": False, "knows_blank": False, "uid": ""}, marks=SLOW),
        pytest.param({"directions": True}, marks=SLOW),
    ],
    ids=["plain", "dropped", "other firmware", "older firmware"],
)
def test_the_doppler_radar_counts_the_street(params: dict[str, Any]) -> None:
    passed, values, refused, stage = speeds(**params)
    assert refused == []
    assert len(passed) >= 30, "a street with traffic"
    for channel, approaching in (("vehicles_approach", True), ("vehicles_depart", False)):
        assert sum(values[channel]) == pytest.approx(sum(v.approaching == approaching for v in passed), rel=0.1, abs=1)
    assert mean(values["speed_mean"]) / 100 == pytest.approx(mean([v.speed_kmh for v in passed]), abs=2)
    apart = sorted(
        min(6000, (b.pass_us - a.pass_us) // 10_000) for a, b in pairwise([v for v in passed if v.approaching])
    )
    found = sorted(values["headway_median_approach"])
    assert found[len(found) // 2] == pytest.approx(apart[len(apart) // 2], rel=0.2, abs=50)
    assert "OPS243" in stage.driver.identity


@pytest.mark.slow
def test_rain_is_no_traffic_for_a_doppler_radar_either() -> None:
    passed, values, _, _ = speeds(faults=("ghosts",))
    assert sum(values["vehicles"]) <= 1.1 * len(passed) + 1


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("silence", {drivers.NO_ANSWER}),
        ("half_lines", {drivers.SHIFTED, drivers.NO_ANSWER, drivers.STALE}),
        ("stuck", {drivers.STUCK}),
    ],
)
def test_doppler_faults_are_seen_and_go_away(fault: str, reasons: set[int]) -> None:
    stage = Stage("ops243a", "ops243a", start_s=START_S + 5400)

    async def scene(stage: Stage) -> None:
        await stage.run(30)
        stage.chip.switch(fault)
        await stage.run(20)
        values, refused = await stage.run(20)
        assert values == {}
        assert refused
        assert set(refused) <= reasons
        stage.chip.switch(fault, False)
        await stage.run(5)
        values, refused = await stage.run(10)
        assert refused == []
        assert len(values["vehicles"]) >= 9

    play(stage, scene)


@pytest.mark.parametrize("fault", ["garbage", "byte_shift", "late_answer"])
def test_the_doppler_radar_goes_on_through(fault: str) -> None:
    passed, values, refused, stage = speeds(120, faults=(fault,))
    assert refused == []
    assert sum(values["vehicles"]) == pytest.approx(len(passed), rel=0.2, abs=2)
    assert (stage.driver._lines.dropped > 0) == (fault != "late_answer")


def test_a_doppler_radar_that_forgot_its_settings_is_told_again() -> None:
    _, values, refused, stage = speeds(120, faults=("brown_out",))
    assert drivers.CHIP_FAULT in refused
    assert stage.chip.features >= {"J", "M"} or stage.now_us() % 20_000_000 < 8_000_000
    assert len(values["vehicles"]) >= 60


# --- Traffic by a beam -----------------------------------------------------------------------------------------------


def lane(
    seconds: int = 300, params: dict[str, Any] | None = None, **chip_params: Any
) -> tuple[list[Any], Any, Any, Stage]:
    """(vehicles that passed once it had learned, values, refused reasons, stage) of a lane in the morning's rush."""
    stage = Stage("tfluna", "tfluna", start_s=START_S + 5400, params=params, **chip_params)
    values, refused = play(stage, lambda s: s.run(seconds))
    begin_us = (stage.world.start_s + 12) * 1_000_000
    passed = [v for v in stage.world.vehicles(begin_us, stage.now_us() - 1_500_000) if v.approaching]
    return passed, values, refused, stage


@pytest.mark.parametrize(
    "params",
    [
        {},
        pytest.param({"mount": "side"}, marks=SLOW),
        pytest.param({"mount": "side", "wall_m": 0.0}, marks=SLOW),
        pytest.param({"faults": ("lost_bytes",)}, marks=SLOW),
        pytest.param({"faults": ("rain",)}, marks=SLOW),
    ],
    ids=["overhead", "side", "open", "lost bytes", "rain"],
)
def test_the_gate_counts_its_lane(params: dict[str, Any]) -> None:
    mount = {"mount": params.get("mount", "overhead")}
    passed, values, refused, stage = lane(params=mount, **params)
    assert len(passed) >= 20, "a street with traffic"
    assert set(refused) <= {drivers.WARMING_UP}
    assert sum(values["vehicles"]) == pytest.approx(len(passed), abs=1)
    took_ms = sum(v.kind.length_m / v.speed_kmh * 3600 for v in passed)
    assert sum(values["occupancy_approach"]) == pytest.approx(took_ms, rel=0.05)
    apart = sorted(min(6000, (b.pass_us - a.pass_us) // 10_000) for a, b in pairwise(passed))
    found = sorted(values["headway_median_approach"])
    assert found[len(found) // 2] == pytest.approx(apart[len(apart) // 2], rel=0.1, abs=20)
    high = sum(v.kind.name in ("van", "lorry", "bus") for v in passed)
    if mount["mount"] == "overhead":
        assert sum(values["vehicles_high"]) == pytest.approx(high, abs=1)
        assert sum(values["vehicles_low"]) == pytest.approx(len(passed) - high, abs=2)
    else:
        assert "vehicles_high" not in values
    assert stage.driver.state == drivers.READY


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [50, 250])
def test_the_gate_at_other_rates(rate_hz: int) -> None:
    passed, values, _, stage = lane(120, {"rate_hz": rate_hz})
    assert sum(values["vehicles"]) == pytest.approx(len(passed), abs=1)
    assert stage.chip.rate_hz == rate_hz


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("silence", {drivers.NO_ANSWER}),
        ("bad_checksum", {drivers.BAD_CRC}),
        ("byte_shift", {drivers.BAD_CRC}),
        ("glare", {drivers.BLOCKED}),
        ("dirt", {drivers.BLOCKED}),
        ("wet", {drivers.BLOCKED}),
        ("parked", {drivers.BLOCKED}),
        ("stuck", {drivers.STUCK}),
    ],
)
def test_gate_faults_are_seen_and_go_away(fault: str, reasons: set[int]) -> None:
    stage = Stage("tfluna", "tfluna", start_s=START_S + 5400, params={"learn_s": 3, "blocked_s": 20})

    async def scene(stage: Stage) -> None:
        await stage.run(6)
        assert stage.driver.state == drivers.READY
        stage.chip.switch(fault)
        await stage.run(35)
        values, refused = await stage.run(10)
        assert values == {}
        assert set(refused) == reasons
        stage.chip.switch(fault, False)
        await stage.run(5)
        values, refused = await stage.run(10)
        assert refused == []
        assert len(values["vehicles"]) >= 9

    play(stage, scene)


def test_a_gate_without_its_settings_is_set_up_anew() -> None:
    stage = Stage("tfluna", "tfluna", params={"learn_s": 3, "rate_hz": 250}, faults=("brown_out",))
    values, refused = play(stage, lambda s: s.run(60))
    assert refused.count(drivers.CHIP_FAULT) in (2, 3)
    assert len(values["vehicles"]) >= 40
