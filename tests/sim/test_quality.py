"""Quality flags against labelled faults, on a short set (`make bench ARGS=quality`: all), and on the whole way to a file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality import figures
from boards import board_names, load_board
from boards.model import I2sMic
from firmware import quality as product
from firmware.aggregate import Window
from gateway.export import Selection, export
from gateway.store import Reader
from tests.fakes import quality_due, quality_run, quality_scenes
from tests.fakes.quality_run import microphone
from tests.fakes.quality_score import ABSENT, NOTHING, Fault, Judged, Score, fault_table, value_table
from tests.fakes.street import Street
from tests.firmware.interpreter import run_script
from tools.sim.faulty_air import KINDS
from tools.sim.interpreter import find
from wire import channels
from wire.quality import REASON_NAMES, SUSPECT

SEED = 201  # none that a threshold was set on, none that the bench scores
SHORT = tuple(
    {kind.kind + kind.what: kind for kind in KINDS if kind.kind in ("spike", "step", "plume", "no_supply")}.values()
)


def scored(*scenes: Iterator[Judged]) -> Score:
    result = Score()
    for scene in scenes:
        for judged in scene:
            result.add(judged)
    return result


@pytest.mark.slow
def test_faults_of_the_air_are_found_and_nothing_else() -> None:
    result = scored(quality_run.air(SEED, SHORT))
    assert set(result.reasons()) >= {"spike", "rate_of_change", "warm_up"}
    assert not result.missed
    assert not result.false
    assert result.good > 500
    assert set(result.kinds()) == {"spike temperature", "spike pm", "step temperature", "step pm", "no_supply sps30"}
    assert min(map(result.share_found, result.kinds())) == 1.0


@pytest.mark.slow
def test_wind_blind_counters_and_a_wrong_mount_are_found() -> None:
    result = scored(quality_run.wind(SEED, 12), quality_run.counters(SEED, 5), quality_run.radar(SEED, 5))
    assert set(result.reasons()) == {"wind", "blocked", "contradiction"}
    for reason in result.reasons():
        assert result.precision(reason) >= 0.95, (reason, result.false)
        assert result.recall(reason) >= 0.95, (reason, result.missed)


def test_status_words_and_calibrations_that_do_not_hold_are_found() -> None:
    result = scored(quality_scenes.module(SEED), quality_scenes.calibration(SEED, 12))
    assert set(result.reasons()) == {"sensor_status", "calibration"}
    assert not result.missed
    assert not result.false
    assert min(result.found.values()) > 80


def test_what_is_told_on_an_edge_is_counted_too() -> None:
    told = Judged("spike", NOTHING, frozenset(("spike",))), Judged("", NOTHING, frozenset(("",)))
    result = scored(iter(told))
    assert dict(result.unscored) == {"spike": 1, "": 1}
    assert (result.good, result.reasons()) == (0, [])
    assert "not scored, on an edge: 2 (told spike 1, nothing 1)" in value_table("", result)


def test_a_value_within_a_fault_that_told_nothing_is_not_among_the_good_ones() -> None:
    """Whether its flag was not yet due, or may be there; the fault counts as found by its own reasons alone."""
    stuck = frozenset(("flat_line",))
    faults = [Fault("stuck", number, 1000.0, stuck) for number in range(3)]
    result = scored(
        iter(
            (
                Judged("", NOTHING),
                Judged("", NOTHING, stuck, (faults[0],), 1060.0),
                Judged("", NOTHING, NOTHING, (faults[0],), 1120.0),
                Judged("", stuck, NOTHING, (faults[0],), 1180.0),  # it was due: missed
                Judged("flat_line", stuck, NOTHING, (faults[0],), 1240.0),
                Judged("spike", NOTHING, frozenset(("spike",)), (faults[1],), 1060.0),  # something, but not what it is
                Judged("flat_line", NOTHING, stuck, (faults[2],), 1060.0),  # sooner than due
                Judged(ABSENT, NOTHING),
            )
        )
    )
    assert (result.good, result.quiet["stuck"], result.within["stuck"], result.absent) == (1, 2, 6, 1)
    assert (result.found["flat_line"], result.missed["flat_line"]) == (1, 1)
    assert result.of_kind("stuck") == (3, [60.0, 240.0])
    assert result.due_of_kind("stuck") == (1, 1)
    assert figures(result)["quality.episodes_found"] == 1.0
    assert figures(result)["quality.episodes_found_of_all"] == pytest.approx(2 / 3)
    result.add(Judged("", stuck, NOTHING, (faults[1],), 1120.0))
    assert figures(result)["quality.episodes_found"] == 0.5
    lines = [*value_table("", result), *fault_table(result, {"stuck": "too short", "other": "not here"})]
    assert "within a fault, nothing due, nothing told: 2 (stuck 2 of 7)" in lines
    assert "stuck: too short" in lines and "other: not here" not in lines
    assert "stuck: missed" in fault_table(result, {})


def test_the_labels_are_those_of_the_written_definition() -> None:
    """What is due stands in docs/quality.md in the words of the score, and its limits are read from there."""
    page = quality_due.DOCS.read_text(encoding="utf-8")
    for reason, words in quality_due.DUE.items():
        assert f"| `{reason}` | {words} |" in page, reason
    for kind, words in quality_due.UNTOLD.items():
        assert f"{kind}: {words}" in page
    assert quality_due.limits("temperature") == (-25.0, 45.0, 3.0, 0.0, 600.0)
    assert quality_due.limits("pm10") == (0.0, 1000.0, 100.0, 0.5, 1800.0)
    with pytest.raises(LookupError):
        quality_due.limits("wind_direction")


@pytest.mark.soak  # sample by sample; also in the bench
def test_faults_of_the_microphone_are_found() -> None:
    result = scored(microphone(SEED))
    assert set(result.reasons()) == {"overload", "underrange", "samples_lost"}
    assert not result.missed
    assert not result.false


def test_a_node_that_judges_nothing_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "close", lambda *_: None)
    result = scored(quality_run.wind(SEED, 12), quality_run.counters(SEED, 3))
    assert not result.found
    assert result.missed["wind"]
    assert result.missed["blocked"]
    assert set(result.kinds()) >= {"wind, loud", "blind counter"}
    assert not max(map(result.share_found, result.kinds()))


def test_a_node_that_flags_everything_is_not_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    def flag_all(_m: object, _items: object, _values: object, flags: list[int], _window_s: int) -> None:
        flags[:] = [SUSPECT | REASON_NAMES.index("wind") << 4] * len(flags)

    monkeypatch.setattr(product, "close", flag_all)
    result = scored(quality_run.wind(SEED, 12))
    assert result.recall("wind") == 1.0
    assert result.precision("wind") < 0.5


LEVELS = [channel.name for channel in channels.CHANNELS if channel.unit == "dB"]


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_has_its_range(name: str) -> None:
    """Bands alone may be next to nothing; nothing is louder than a microphone takes."""
    item = (channels.id_of(name), 0)
    low, high = (20, 160) if name == "lcpeak" else (0, 130) if name.startswith("lzeq_") else (15, 130)
    for level_db, wrong in ((low + 1, False), (high - 1, False), (high + 1, True), *([(low - 1, True)] if low else [])):
        window = Window((item,), 60000)
        assert window.add(*item, level_db * 100, 60000)
        flags = window.close().flags
        assert (flags is not None and REASON_NAMES[flags[0] >> 4] == "range") == wrong, (level_db, flags)


MICROPHONES = [name for name in board_names() if any(isinstance(one, I2sMic) for one in load_board(name).sensors)]


@pytest.mark.parametrize("name", MICROPHONES)
def test_a_board_with_a_microphone_tells_wind(name: str) -> None:
    """By what its own profile holds: 80 dB(C) of rumble over a street of 55 dB(A)."""
    (profile,) = [each for each in load_board(name).profiles if "laeq" in each.items]
    window = quality_run.window_of(tuple(profile.items), 60)
    for each in profile.items:
        window.add(channels.id_of(each), 0, 8000 if each == "lceq" else 5500, 60_000)
    reasons = dict(zip(profile.items, quality_run.told(window), strict=True))
    assert reasons["laeq"] == reasons["lafmax"] == "wind"


@pytest.mark.parametrize("gusty", [0, 1])
def test_wind_is_told_of_the_microphone_that_it_blows_on(gusty: int) -> None:
    """Two on one board: the rumble of one speaks neither against the other, nor is it hidden by the other's sound."""
    items = [(name, instance) for instance in (0, 1) for name in ("laeq", "lafmax", "lceq")]
    levels = {"laeq": (5500, 7900), "lafmax": (6500, 8400), "lceq": (8000, 8300)}  # in the wind, out of it
    window = Window(tuple((channels.id_of(name), instance) for name, instance in items), 60000)
    for name, instance in items:
        window.add(channels.id_of(name), instance, levels[name][instance != gusty], 60_000)
    reasons = dict(zip(items, quality_run.told(window), strict=True))
    for (name, instance), reason in reasons.items():
        assert reason == ("wind" if instance == gusty else ""), (name, instance)


def test_a_level_without_its_microphones_other_level_tells_no_wind() -> None:
    window = Window(((channels.id_of("laeq"), 0), (channels.id_of("lceq"), 1)), 60000)
    window.add(channels.id_of("laeq"), 0, 5500, 60_000)
    window.add(channels.id_of("lceq"), 1, 8000, 60_000)
    assert quality_run.told(window) == ["", ""]


def test_the_wind_speed_of_the_place_is_that_of_all_its_microphones() -> None:
    items = (("laeq", 0), ("laeq", 1), ("wind_speed", 0))
    window = Window(tuple((channels.id_of(name), instance) for name, instance in items), 60000)
    for name, instance in items:
        window.add(channels.id_of(name), instance, 60 * 10 if name == "wind_speed" else 5500, 60_000)
    assert quality_run.told(window)[:2] == ["wind", "wind"]


@given(st.lists(st.lists(st.integers(-5000, 60000), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_value_is_never_changed(windows: list[list[int]]) -> None:
    """Whatever is found against it, it is the mean of its readings."""
    item = (channels.id_of("temperature"), 0)
    window = Window((item,), 60000)
    for readings in windows:
        for value in readings:
            assert window.add(*item, value, 1000)
        exact = sum(readings) / len(readings) / 10
        (value,) = window.close().values
        assert abs(value - exact) <= 0.5
        window.clear()


def test_judging_takes_no_heap() -> None:
    reading_bytes, close_bytes, limits_stay = run_script("tests/firmware/run_quality.py")[-1].split()
    assert int(reading_bytes) == 0
    assert int(close_bytes) < 400  # two ranges; on 64 bits
    assert limits_stay == "False"


@pytest.mark.e2e
@pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")
def test_a_fault_of_a_chip_is_told_in_the_exported_file(tmp_path: Path) -> None:
    with Street(tmp_path, "air-v1", window_s=10, sample_ms=1000) as street:
        street.start_gateway()
        (sps30,) = [entry.chip for entry in street.node.board.chips if entry.name == "sps30"]
        street.power_on()
        street.conductor.run(30)
        sps30.switch("slow_fan")
        street.conductor.run(60)
        (database,) = (tmp_path / "data").glob("*.db")
        with Reader(database) as reader:
            export(reader, "csv", tmp_path / "out.csv", "gw", Selection(), lambda _: None)
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    pm = [(row["quality"], row["reason"]) for row in rows if row["quantity"] == "pm2_5"]
    hot = [(row["quality"], row["reason"]) for row in rows if row["quantity"] == "temperature"]
    assert pm[0] == ("not_evaluated", "warm_up")
    assert pm[-1] == ("suspect", "sensor_status")
    assert ("good", "") in pm
    assert set(hot) == {("good", "")}
    assert all(row["value"] for row in rows if row["quality"] == "suspect")
