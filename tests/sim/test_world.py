"""The simulated city: deterministic, plausible, and a counter of windows apart from firmware and gateway."""

import math
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tools.sim import traffic, weather
from tools.sim.world import World

HOUR = 3600
DAY = 86400
MONDAY = int(datetime(2026, 1, 12, 0, tzinfo=UTC).timestamp()) - HOUR  # 00:00 in Bochum


@pytest.fixture
def world() -> World:
    return World(7, MONDAY)


def passes(world: World, begin_s: int, end_s: int, site: int = 0) -> list[traffic.Vehicle]:
    return world.vehicles(begin_s * 1_000_000, end_s * 1_000_000, site)


def test_same_seed_is_the_same_city_in_another_process(world: World) -> None:
    code = f"from tools.sim.world import World; print(World(7, 0).fingerprint({MONDAY + 8 * HOUR}, 3))"
    # A fresh interpreter has another hash seed: nothing may hang on the order of sets or on hash().
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert int(other.stdout) == world.fingerprint(MONDAY + 8 * HOUR, 3)


def test_order_of_questions_does_not_matter() -> None:
    instants = [MONDAY + n * 977 for n in range(40)]
    forward = World(5, MONDAY)
    backward = World(5, MONDAY)
    asked = [forward.fingerprint(t) for t in instants]
    assert asked == [backward.fingerprint(t) for t in reversed(instants)][::-1]


def test_seeds_and_sites_differ(world: World) -> None:
    at = MONDAY + 8 * HOUR
    prints = {world.fingerprint(at, site) for site in range(5)} | {World(8, MONDAY).fingerprint(at)}
    assert len(prints) == 6


def test_rush_hour_night_and_sunday(world: World) -> None:
    rush = len(passes(world, MONDAY + 7 * HOUR, MONDAY + 9 * HOUR))
    night = len(passes(world, MONDAY + 1 * HOUR, MONDAY + 3 * HOUR))
    sunday = len(passes(world, MONDAY + 6 * DAY + 7 * HOUR, MONDAY + 6 * DAY + 9 * HOUR))
    assert rush > 500
    assert night < rush / 10
    assert sunday < rush / 3


def test_mornings_drive_in_evenings_drive_out(world: World) -> None:
    morning = passes(world, MONDAY + 7 * HOUR, MONDAY + 9 * HOUR)
    evening = passes(world, MONDAY + 16 * HOUR, MONDAY + 18 * HOUR)
    share_morning = sum(v.approaching for v in morning) / len(morning)
    share_evening = sum(v.approaching for v in evening) / len(evening)
    assert share_morning > 0.57
    assert share_evening < 0.46


def test_vehicles_of_adjoining_intervals_are_each_vehicle_once(world: World) -> None:
    begin = MONDAY + 8 * HOUR
    whole = passes(world, begin, begin + 600)
    pieces = [v for n in range(120) for v in passes(world, begin + 5 * n, begin + 5 * n + 5)]
    assert whole == pieces
    assert whole == sorted(whole)


def test_vehicles_of_one_lane_keep_their_distance(world: World) -> None:
    found = passes(world, MONDAY + 7 * HOUR, MONDAY + 9 * HOUR)
    for approaching in (True, False):
        lane = [v.pass_us for v in found if v.approaching == approaching]
        assert min(b - a for a, b in pairwise(lane)) >= traffic.HEADWAY_US


def test_speeds_and_kinds_are_those_of_a_street(world: World) -> None:
    found = passes(world, MONDAY, MONDAY + DAY)
    _, limit = traffic.street(7, 0)
    cars = [v.speed_kmh for v in found if v.kind.name == "car"]
    assert 0.7 * limit < sum(cars) / len(cars) < 1.1 * limit
    assert {v.kind.name for v in found} == {kind.name for kind in traffic.KINDS}
    assert all(11 <= v.speed_kmh <= 120 for v in found)
    assert math.isclose(sum(kind.share for kind in traffic.KINDS), 1.0)


def test_particles_are_ordered_and_everything_is_in_range(world: World) -> None:
    for n in range(0, 30 * DAY, 7 * 601):
        air = world.air(MONDAY + n)
        assert 0 < air.pm1_ugm3 <= air.pm2_5_ugm3 <= air.pm4_ugm3 <= air.pm10_ugm3 < 400
        assert 0 < air.nc0_5_cm3 <= air.nc1_cm3 <= air.nc2_5_cm3 <= air.nc4_cm3 <= air.nc10_cm3
        assert 0.3 < air.typical_size_um < 1.5
        assert -20 < air.temperature_degc < 40
        assert 12 <= air.humidity_pct <= 99
        assert 970 < air.pressure_hpa < 1050
        assert 0 <= air.inversion <= 1


def correlation(pairs: list[tuple[float, float]]) -> float:
    mean_a = sum(a for a, _ in pairs) / len(pairs)
    mean_b = sum(b for _, b in pairs) / len(pairs)
    cov = sum((a - mean_a) * (b - mean_b) for a, b in pairs)
    var_a = sum((a - mean_a) ** 2 for a, _ in pairs)
    return cov / math.sqrt(var_a * sum((b - mean_b) ** 2 for _, b in pairs))


def test_humidity_runs_against_temperature_within_a_day(world: World) -> None:
    july = int(datetime(2026, 7, 6, tzinfo=UTC).timestamp())
    for day in range(7):
        airs = [world.air(july + day * DAY + n * 900) for n in range(96)]
        assert correlation([(air.temperature_degc, air.humidity_pct) for air in airs]) < -0.7


def test_particles_rise_under_an_inversion(world: World) -> None:
    """Of all evenings of a winter the stillest, clearest ones have about the double of the others."""
    evenings = [world.air(MONDAY + day * DAY + 20.5 * HOUR) for day in range(-40, 40)]
    evenings.sort(key=lambda air: air.inversion)
    open_sky = sum(air.pm2_5_ugm3 for air in evenings[:20]) / 20
    lid = sum(air.pm2_5_ugm3 for air in evenings[-20:]) / 20
    assert evenings[-1].inversion > 0.4
    assert lid > 1.8 * open_sky


def test_summer_is_warm_winter_is_cold(world: World) -> None:
    july = int(datetime(2026, 7, 6, 12, tzinfo=UTC).timestamp())
    warm = sum(world.air(july + n * DAY).temperature_degc for n in range(10)) / 10
    cold = sum(world.air(MONDAY + n * DAY).temperature_degc for n in range(10)) / 10
    assert warm > cold + 10


@pytest.mark.parametrize(
    ("utc", "hour", "weekday"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), 1 + 59 / 60, 6),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), 3, 6),
        (datetime(2026, 10, 25, 0, 59, tzinfo=UTC), 2 + 59 / 60, 6),
        (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), 2, 6),
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), 0.5, 4),
    ],
)
def test_local_time_follows_summer_time(utc: datetime, hour: float, weekday: int) -> None:
    local = weather.local_time(utc.timestamp())
    assert local.hour == pytest.approx(hour)
    assert local.weekday == weekday


def test_city_clock_can_run_ahead(world: World) -> None:
    ahead = World(7, MONDAY, shift_s=6 * HOUR)
    now = MONDAY + 2 * HOUR
    assert len(passes(ahead, now, now + 600)) == len(passes(world, now + 6 * HOUR, now + 6 * HOUR + 600))
    assert all(now <= v.pass_us / 1e6 < now + 600 for v in passes(ahead, now, now + 600))
    assert ahead.air(now) == world.air(now + 6 * HOUR)
    assert ahead.sound_db(now * 1_000_000) == pytest.approx(world.sound_db((now + 6 * HOUR) * 1_000_000), abs=1e-6)


def test_a_pass_by_is_heard_at_its_level_over_the_background(world: World) -> None:
    """A single vehicle on a still road: distance law and maximum when it is beside the microphone."""
    night = passes(world, MONDAY + 2 * HOUR, MONDAY + 4 * HOUR)
    alone = next(
        b
        for a, b, c in zip(night, night[1:], night[2:], strict=False)
        if b.pass_us - a.pass_us > 30_000_000 and c.pass_us - b.pass_us > 30_000_000 and b.level_db > 60
    )
    curve = [world.sound_db(alone.pass_us + n * 100_000) for n in range(-100, 101)]
    distance_m = math.hypot(alone.offset_m + 4.0, 3.0)
    assert curve[100] == max(curve)
    assert curve[100] == pytest.approx(alone.level_db + 20 * math.log10(7.5 / distance_m), abs=0.5)
    assert curve[0] < curve[100] - 12


def test_sound_of_a_day_is_that_of_a_street(world: World) -> None:
    rush, rush_max = world.sound_truth((MONDAY + 8 * HOUR) * 1_000_000, (MONDAY + 8 * HOUR + 300) * 1_000_000)
    night, _ = world.sound_truth((MONDAY + 3 * HOUR) * 1_000_000, (MONDAY + 3 * HOUR + 300) * 1_000_000)
    assert 55 < rush < 78
    assert 30 < night < rush - 5
    assert rush < rush_max < 100


def test_truth_adds_up(world: World) -> None:
    begin = MONDAY + 8 * HOUR
    truth = world.truth(begin, begin + 120)
    found = passes(world, begin, begin + 120)
    assert truth.vehicles_approach == sum(v.approaching for v in found) > 0
    assert truth.vehicles_depart == sum(not v.approaching for v in found) > 0
    speeds = sorted(v.speed_kmh for v in found if v.approaching)
    assert truth.speed_mean_approach_kmh == pytest.approx(sum(speeds) / len(speeds))
    assert truth.speed_v85_approach_kmh in speeds
    assert sum(v <= truth.speed_v85_approach_kmh for v in speeds) >= 0.85 * len(speeds)
    at_ends = [world.air(begin).temperature_degc, world.air(begin + 120).temperature_degc]
    assert truth.air.temperature_degc == pytest.approx(sum(at_ends) / 2, abs=0.5)


def test_truth_of_an_empty_interval_has_no_speeds(world: World) -> None:
    gaps = passes(world, MONDAY + 2 * HOUR, MONDAY + 3 * HOUR)
    before, _ = next((a, b) for a, b in pairwise(gaps) if b.pass_us - a.pass_us > 20_000_000)
    begin = before.pass_us // 1_000_000 + 2
    truth = world.truth(begin, begin + 10)
    assert (truth.vehicles_approach, truth.vehicles_depart) == (0, 0)
    assert truth.speed_mean_approach_kmh is truth.speed_v85_depart_kmh is None


@pytest.mark.parametrize(
    ("provisioned_s", "until_s", "window_s", "expected"),
    [
        (1000, 1060, 60, 2),  # 960..1020, 1020..1060 cut
        (960, 1020, 60, 1),  # exactly one window
        (960, 1021, 60, 2),
        (1019, 1020, 60, 1),
        (1000, 1000, 60, 0),
        (1000, 900, 60, 0),
        (7, 3607, 5, 721),
    ],
)
def test_windows_scheduled(provisioned_s: int, until_s: int, window_s: int, expected: int) -> None:
    assert World.windows_scheduled(provisioned_s, until_s, window_s) == expected


def test_windows_scheduled_agrees_with_counting_one_by_one() -> None:
    for window_s in (1, 5, 60, 900):
        for provisioned_s in range(1_800_000_000, 1_800_000_000 + 130, 13):
            for lasts_s in (1, 4, 5, 59, 60, 61, 1800):
                until_s = provisioned_s + lasts_s
                met = {second // window_s for second in range(provisioned_s, until_s)}
                assert World.windows_scheduled(provisioned_s, until_s, window_s) == len(met)


def test_windows_ended_of_an_endless_grid() -> None:
    assert [World.windows_ended(1000, now, 60) for now in (990, 1000, 1019, 1020, 1080)] == [0, 0, 0, 1, 2]
