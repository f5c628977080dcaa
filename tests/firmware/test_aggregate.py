"""Windows against plain float statistics. Single cases, causes and coverage: tests/vectors/drivers/aggregate.json."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import drivers
from firmware.aggregate import NOT_SAMPLED, REFUSED, Window
from firmware.dsp.meter import BINS, Histogram
from wire import channels
from wire.quality import BAD, FLAT_LINE, OVERLOAD, SUSPECT

PM, LAEQ, LAF50, V85, CARS, MEAN_SPEED = (
    channels.by_name(name).id
    for name in ("pm2_5", "laeq", "laf50", "speed_v85_approach", "vehicles_approach", "speed_mean_approach")
)
SPANS = st.integers(1, 5000)


def closed(channel: int, readings: list[tuple[int, int]], min_count: int = 3) -> int:
    window = Window(((channel, 0),), sum(span for _, span in readings) + 5000, min_count)
    for value, span in readings:
        assert window.add(channel, 0, value, span)
    (value,) = window.close().values
    assert value is not None
    return value


@given(st.lists(st.tuples(st.integers(0, 655350), SPANS), min_size=1, max_size=50))
def test_mean(readings: list[tuple[int, int]]) -> None:
    exact = sum(value * span for value, span in readings) / sum(span for _, span in readings) / 10
    assert abs(closed(PM, readings) - exact) <= 0.5 + 1e-6


@given(st.lists(st.tuples(st.integers(0, 16000), SPANS), min_size=1, max_size=50))
def test_energy_mean(readings: list[tuple[int, int]]) -> None:
    energy = sum(10 ** (value / 1000) * span for value, span in readings) / sum(span for _, span in readings)
    assert abs(closed(LAEQ, readings) - 100 * math.log10(energy)) <= 0.62


@given(st.lists(st.integers(0, 16000), min_size=1, max_size=200))
def test_median_is_within_a_bin(values: list[int]) -> None:
    exact = sorted(values)[(len(values) - 1) // 2]
    assert abs(closed(LAF50, [(value, 100) for value in values]) * 10 - exact) <= 55


@given(st.lists(st.integers(0, 30000), min_size=3, max_size=200))
def test_v85_is_within_a_bin(values: list[int]) -> None:
    exact = sorted(values)[math.ceil(0.85 * len(values)) - 1]
    assert abs(closed(V85, [(value, 1000) for value in values]) * 10 - exact) <= 55


@given(st.lists(st.sampled_from(["add", "bad", "refuse", "missed", "silent"]), max_size=80))
def test_coverage_and_cause_are_true(steps: list[str]) -> None:
    """Coverage never exceeds what was measured by more than one reading, and a cause stands if and only if no value does."""
    window = Window(((PM, 0),), 60000)
    for step in steps:
        if step == "add":
            window.add(PM, 0, 100, 1000)
        elif step == "bad":
            window.add(PM, 0, -1, 1000)
        elif step == "refuse":
            window.refuse(drivers.BAD_CRC, 1000)
        elif step == "silent":
            window.refuse(drivers.NO_ANSWER, 1000)
        else:
            window.missed(1000)
    result = window.close()
    measured = min(100, 100 * steps.count("add") // 60)
    assert (result.cause is None) == ("add" in steps) == (result.values[0] is not None)
    if result.cause is None:
        assert measured <= result.coverage_pct <= min(100, measured + 2)
    else:
        assert result.coverage_pct == 0
        assert result.cause == (REFUSED if "bad" in steps or "refuse" in steps else NOT_SAMPLED)


def test_no_single_vehicle_leaves_the_node() -> None:
    """Whatever the settings say: below the table's count there is no speed."""
    items = ((CARS, 0), (MEAN_SPEED, 0), (V85, 0))
    for count in range(6):
        for min_count in (0, 1, 3, 5):
            window = Window(items, 60000, min_count)
            for _ in range(count):
                window.add(CARS, 0, 1, 1000)
                window.add(MEAN_SPEED, 0, 5000, 1000)
                window.add(V85, 0, 5000, 1000)
            given = window.close().values[1] is not None
            assert given == (count >= max(3, min_count))


def test_readings_of_other_profiles_are_ignored() -> None:
    window = Window(((PM, 0),), 60000)
    assert not window.add(PM, 1, 100, 1000)
    assert not window.add(LAEQ, 0, 100, 1000)
    assert not window.add(PM, 0, 100, 0)
    assert window.refused == 0


def test_a_histogram_bin_does_not_run_over() -> None:
    window = Window(((LAF50, 0),), 86_400_000)
    for _ in range(65_600):
        window.add(LAF50, 0, 5000, 1000)
    assert window.close().values == (500,)


READ = [channel for channel in channels.CHANNELS if channel.kind != channels.TOTAL]  # no sensor gives totals


@pytest.mark.parametrize("channel", READ, ids=lambda channel: channel.name)
def test_every_channel_can_be_aggregated_over_its_whole_range(channel: channels.Channel) -> None:
    summed = channel.kind in (channels.COUNT, channels.SUM)
    share = summed and channel.unit == "%"  # in ms of the window
    scale = 15 if share else 1 if summed else 10
    for raw in (channel.low, channel.high):
        if channel.kind == channels.ENERGY and raw < 0:
            continue
        window = Window(((channel.id, 0),), 60000)
        times = 4 if channel.min_count or not summed else 1
        for _ in range(times):
            window.add(channel.id, 0, raw * scale, 15000)
        (value,) = window.close().values
        assert value is not None
        expected = min(times * raw, channel.high) if summed and not share else raw
        assert abs(value - expected) <= (0 if summed else 3)
        assert channel.low <= value <= channel.high
        assert not window.add(channel.id, 0, (channel.high + 1) * (86400 if share else scale), 1000)


def test_a_share_of_the_window_is_made_of_the_time_that_it_took() -> None:
    occupied = channels.by_name("occupancy_approach").id
    for took_ms, window_ms, raw in (
        ((600, 900, 1500), 60_000, 50),
        ((30_000,) * 3, 60_000, 1000),
        ((0, 0, 29), 60_000, 0),
    ):
        window = Window(((occupied, 0),), window_ms)
        for each in took_ms:
            assert window.add(occupied, 0, each, 1000)
        assert window.close().values == (raw,)
    window = Window(((occupied, 0),), 86_400_000)
    for _ in range(3):
        assert window.add(occupied, 0, 28_800_000, 1000)
    assert window.close().values == (1000,)
    window.clear()
    assert not window.add(occupied, 0, -1, 1000)
    window.add(occupied, 0, 1000, 1000)
    window.add(occupied, 0, 1000, 1000)
    assert window.close().values == (None,), "two vehicles: how long they took is how fast they were"


def test_percentiles_of_one_level_share_the_sensors_histogram() -> None:
    """Each second brings a histogram; 40 s at 50 dB and 20 s at 60 dB, once a millisecond, in any number of profiles."""
    names = ("laf10", "laf50", "laf90", "laf95")
    items = tuple((channels.id_of(name), instance) for instance in (0, 1) for name in names)
    window = Window(items, 60_000)
    for wanted in ((500, 600), (400, 700)):  # the second time nothing of the first is left
        for second in range(60):
            part = Histogram(BINS)
            part.bins[wanted[0] // 5 if second % 3 else wanted[1] // 5] = 1021
            for channel, _ in items[:4]:
                assert window.add(channel, 0, part, 1000)
        result = window.close()
        values = dict(zip(items, result.values, strict=True))
        assert [values[item] for item in items[4:]] == [None] * 4
        assert values[items[0]] == pytest.approx(wanted[1], abs=3)
        for item in items[1:4]:
            assert values[item] == pytest.approx(wanted[0], abs=3)
        assert result.coverage_pct == 100
        window.clear()


def test_an_overloaded_sensor_gives_the_same_again_and_again_and_is_not_called_dead() -> None:
    """A clipped microphone has one peak. Without overload the same readings are a flat line; after it they are at once
    no better than before."""
    peak = channels.by_name("lcpeak").id
    window = Window(((peak, 0),), 600_000)
    for _ in range(600):
        window.add(peak, 0, 12600, 1000, SUSPECT | OVERLOAD << 4)
    assert window.close().flags == (SUSPECT | OVERLOAD << 4,)
    window.clear()
    for _ in range(600):
        window.add(peak, 0, 12600, 1000)
    assert window.close().flags == (BAD | FLAT_LINE << 4,)
    window.clear()
    window.add(peak, 0, 9000, 1000)
    for _ in range(600):
        window.add(peak, 0, 12600, 1000)
    assert window.close().flags == (BAD | FLAT_LINE << 4,)
