"""The level meter against IEC 61672-1: a sample of what `make bench ARGS=sound_level` sweeps, on the chip's machine code."""

import math
from itertools import product

import numpy as np
import pytest

from firmware.dsp.meter import BINS, FULL_SCALE, PART, RATE_HZ, Meter
from tests.fakes import iec61672
from tests.fakes.chip_meter import AT_94_DB, amplitude_of, feed, sine, steady
from tests.firmware.interpreter import run_script
from tests.firmware.run_meter import RESPONSES, states

LIMITS = {nominal: limits for nominal, *limits in iec61672.CLASS_1}

# Published equalisers at these frequencies, evaluated and set to 0 at 1 kHz [fact sheet: microphones].
GAIN_HZ = (20, 31.5, 63, 125, 250, 1000, 4000, 8000, 12500, 16000)
GAINS_DB = {
    "flat": (0,) * 10,
    "ics43434": (13.0, 8.2, 3.0, 0.9, 0.3, 0.0, -0.4, -1.8, -4.9, -8.5),
    "inmp441": (11.9, 8.4, 3.5, 1.1, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0),
    "sph0645": (7.3, 5.15, 2.1, 0.6, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("response", RESPONSES)
def test_calibrator(response: str) -> None:
    meter = steady(1000, AT_94_DB, settle_s=2, response=response)
    for level in (
        meter.level_cdb("laeq"),
        meter.level_cdb("lceq"),
        meter.level_cdb("lzeq"),
        meter.level_cdb("lafmax"),
        meter.level_cdb("lafmin"),
    ):
        assert level == pytest.approx(9400, abs=3)
    assert meter.level_cdb("lasmax") == pytest.approx(9400 + 1000 * math.log10(1 - math.exp(-3)), abs=4)
    assert meter.level_cdb("lcpeak") == pytest.approx(9701, abs=4)


@pytest.mark.parametrize("nominal", [10, 20, 63, 250, 1000, 4000, 8000, 12500, 20000])
def test_weightings(nominal: float) -> None:
    exact = iec61672.exact_hz(nominal)
    meter = steady(exact, amplitude_of(104), 0.5)
    above, below = LIMITS[nominal]
    for name, level in (("A", meter.level_cdb("laeq")), ("C", meter.level_cdb("lceq")), ("Z", meter.level_cdb("lzeq"))):
        deviation = level / 100 - 104 - iec61672.weighting_db(name, exact)
        assert -below < deviation < above
        assert abs(deviation) < 0.3, "the design's own margin"


@pytest.mark.parametrize("response", RESPONSES)
def test_a_microphone_is_made_flat(response: str) -> None:
    """Its roll-off and its resonance, as far as class 1 lets a whole meter deviate; at 20 Hz half of that."""
    for hertz, gain_db in zip(GAIN_HZ, GAINS_DB[response], strict=True):
        exact = iec61672.exact_hz(hertz)
        meter = steady(exact, amplitude_of(90 - gain_db), 0.25, 0.25, response)
        for name, level in (
            ("A", meter.level_cdb("laeq")),
            ("C", meter.level_cdb("lceq")),
            ("Z", meter.level_cdb("lzeq")),
        ):
            assert abs(level / 100 - 90 - iec61672.weighting_db(name, exact)) < 0.6, (hertz, name)


@pytest.mark.parametrize("level_db", [30, 40, 65, 90, 110, 119])
def test_linearity(level_db: int) -> None:
    meter = steady(1000, amplitude_of(level_db), 0.4, 1)
    assert meter.level_cdb("laeq") == pytest.approx(100 * level_db, abs=10)
    assert meter.level_cdb("lceq") == pytest.approx(100 * level_db, abs=20)
    assert meter.level_cdb("lzeq") == pytest.approx(100 * level_db, abs=20)
    assert meter.level_cdb("lafmax") == pytest.approx(100 * level_db, abs=10)
    counts = list(meter.histogram.bins)
    assert counts.index(max(counts)) == 2 * level_db


@pytest.mark.parametrize(("burst_ms", "offset"), list(product((1000, 50, 2, 0.25), (0, 23))))
def test_tone_bursts(burst_ms: float, offset: int) -> None:
    _, fast, slow, above, below = next(row for row in iec61672.BURSTS if row[0] == burst_ms)
    samples = sine(4000, amplitude_of(100), 0.2 + burst_ms / 1000)
    begin = 2400 + offset
    samples[:begin] = 0
    samples[begin + int(burst_ms * 48) :] = 0
    meter = feed(Meter(), samples)
    steady_db = 100 + iec61672.weighting_db("A", 4000)
    assert -below < meter.level_cdb("lafmax") / 100 - steady_db - fast < above
    assert meter.level_cdb("lafmax") / 100 - steady_db == pytest.approx(iec61672.burst_db("F", burst_ms), abs=0.25)
    if slow is not None:
        assert -below < meter.level_cdb("lasmax") / 100 - steady_db - slow < above
        assert meter.level_cdb("lasmax") / 100 - steady_db == pytest.approx(iec61672.burst_db("S", burst_ms), abs=0.25)


@pytest.mark.parametrize(("hertz", "cycles"), [(31.5, 1), (500, 1), (500, 0.5), (8000, 1)])
def test_peak_of_single_cycles(hertz: float, cycles: float) -> None:
    samples = sine(hertz, amplitude_of(100), 0.3)
    samples[int(cycles * RATE_HZ / hertz) :] = 0
    peak_db = feed(Meter(), samples).level_cdb("lcpeak") / 100 - 100 - iec61672.weighting_db("C", hertz)
    assert peak_db == pytest.approx(iec61672.peak_db(hertz, cycles), abs=0.5 if hertz < 8000 else 1)


def test_s_forgets_what_a_microphone_does_at_its_start() -> None:
    meter = feed(Meter(), np.concatenate([sine(100, 4e6, 0.2), sine(1000, amplitude_of(50), 0.8)]))
    meter.settled()
    meter.clear()
    feed(meter, sine(1000, amplitude_of(50), 0.2))
    assert meter.level_cdb("lasmax") <= meter.level_cdb("lafmax") + 20 < 7000


@pytest.mark.parametrize(("level", "per_s"), [("lafmax", 34.7), ("lasmax", 4.34)])
def test_decay(level: str, per_s: float) -> None:
    meter = feed(Meter(), sine(1000, AT_94_DB, 1.0))
    levels = []
    for _ in range(6):
        meter.clear()
        feed(meter, np.zeros(102 * PART))  # 0.1 s
        levels.append(meter.level_cdb(level))
    assert (levels[1] - levels[5]) / 100 / (4 * 102 * PART / RATE_HZ) == pytest.approx(per_s, rel=0.01)


def test_levels_of_a_changing_sound() -> None:
    """Energy, extremes and percentiles of four steps, against the same in floats."""
    steps_db = (50, 70, 60, 80)
    meter = feed(Meter(), sine(1000, amplitude_of(50), 1.0))
    meter.clear()
    tone = np.concatenate([sine(1000, amplitude_of(db), 0.5) for db in steps_db])
    feed(meter, tone)
    energies = np.repeat([10 ** (db / 10) for db in steps_db], len(tone) // 4 // PART)
    fast = []
    e = 1e5
    for energy in energies:
        e += (energy - e) * (1 - math.exp(-PART / RATE_HZ / 0.125))
        fast.append(10 * math.log10(e))
    assert meter.level_cdb("laeq") == pytest.approx(1000 * math.log10(energies.mean()), abs=5)
    assert meter.level_cdb("lafmin") == pytest.approx(100 * min(fast), abs=5)
    assert meter.level_cdb("lafmax") == pytest.approx(100 * max(fast), abs=5)
    counts = np.array(meter.histogram.bins)
    assert counts.sum() == len(tone) // PART
    for percent in (5, 10, 50, 90):
        at = int(np.searchsorted(counts.cumsum(), counts.sum() * percent / 100))
        assert at / 2 == pytest.approx(np.percentile(fast, percent), abs=0.5)


def test_what_lies_outside_goes_into_the_last_bins() -> None:
    meter = feed(Meter(offset_cdb=6000), sine(1000, FULL_SCALE, 0.5))
    assert meter.histogram.bins[BINS - 1] > 100
    meter = feed(Meter(), np.zeros(100 * PART))
    assert meter.histogram.bins[0] == 100


def test_a_histogram_that_nobody_asks_for_takes_no_room() -> None:
    """One bin, and nothing is written behind it: the emulated core would tell."""
    meter = feed(Meter(bins=1), sine(1000, AT_94_DB, 0.2))
    assert len(meter.histogram.bins) == 1
    assert meter.level_cdb("laeq") == feed(Meter(), sine(1000, AT_94_DB, 0.2)).level_cdb("laeq")


def test_the_offset_moves_every_level() -> None:
    plain, moved = (feed(Meter(offset_cdb=offset), sine(1000, AT_94_DB, 0.2)) for offset in (0, -150))
    for level in ("laeq", "lceq", "lzeq", "lafmax", "lafmin", "lasmax", "lcpeak"):
        assert moved.level_cdb(level) == plain.level_cdb(level) - 150
    assert list(moved.histogram.bins[: BINS - 3]) == list(plain.histogram.bins[3:])


def test_a_constant_offset_is_no_sound() -> None:
    first = sine(1000, AT_94_DB, 1.0)
    meter = feed(Meter(), first + 40000)
    meter.clear()
    feed(meter, sine(1000, AT_94_DB, 1.0, len(first)) + 40000)
    assert meter.level_cdb("lzeq") == pytest.approx(9400, abs=3)
    assert meter.level_cdb("lcpeak") == pytest.approx(9701, abs=4)


def test_blocks_are_whole_parts() -> None:
    with pytest.raises(ValueError, match="block"):
        Meter().feed(bytes(4 * PART + 4), PART + 1)


def test_nothing_has_no_level() -> None:
    meter = Meter()
    assert meter.level_cdb("lafmin") is None
    meter.feed(bytes(4 * PART), PART)
    for level in ("laeq", "lceq", "lzeq", "lafmax", "lafmin", "lasmax", "lcpeak"):
        assert meter.level_cdb(level) is None
    assert meter.constant_samples == PART


def test_the_same_bits_under_micropython() -> None:
    """The machine code of the emitter and the plain reading of the source agree in every state."""
    wanted = ["1:23:6:flat", "2:12:6:ics43434", "3:4:6:inmp441", "4:24:6:sph0645"]
    lines = run_script("tests/firmware/run_meter.py", *wanted)
    expected = []
    for argument in wanted:
        seed, bits, blocks, response = argument.split(":")
        expected += [" ".join(map(str, state)) for state in states(int(seed), int(bits), int(blocks), response)]
    assert lines == expected


def test_a_block_takes_nothing_from_the_heap() -> None:
    assert run_script("tests/firmware/run_meter.py", "heap") == ["0"]
