"""The level meter against IEC 61672-1's formulas, and the proof that 32 bits are enough."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from firmware.dsp import meter as module
from firmware.dsp.meter import FULL_SCALE, PART, RATE_HZ, Meter
from tests.firmware.interpreter import run_script
from tests.firmware.run_meter import states

# Nominal frequency, class 1 limits above and below (fact sheet weighting, 2013); exact ones are 1000 * 10**(n/10).
CLASS_1 = (
    (10, 3.0, math.inf), (12.5, 2.5, math.inf), (16, 2.0, 4.0), (20, 2.0, 2.0), (25, 2.0, 1.5), (31.5, 1.5, 1.5),
    (40, 1.0, 1.0), (50, 1.0, 1.0), (63, 1.0, 1.0), (80, 1.0, 1.0), (100, 1.0, 1.0), (125, 1.0, 1.0), (160, 1.0, 1.0),
    (200, 1.0, 1.0), (250, 1.0, 1.0), (315, 1.0, 1.0), (400, 1.0, 1.0), (500, 1.0, 1.0), (630, 1.0, 1.0),
    (800, 1.0, 1.0), (1000, 0.7, 0.7), (1250, 1.0, 1.0), (1600, 1.0, 1.0), (2000, 1.0, 1.0), (2500, 1.0, 1.0),
    (3150, 1.0, 1.0), (4000, 1.0, 1.0), (5000, 1.5, 1.5), (6300, 1.5, 2.0), (8000, 1.5, 2.5), (10000, 2.0, 3.0),
    (12500, 2.0, 5.0), (16000, 2.5, 16.0), (20000, 3.0, math.inf),
)  # fmt: skip
AT_94_DB = 420426


def a_weighting(frequency: float) -> float:
    f1, f2, f3, f4 = (pole**2 for pole in (20.598997, 107.65265, 737.86223, 12194.217))
    f = frequency**2
    return 20 * math.log10(f4 * f * f / ((f + f1) * math.sqrt((f + f2) * (f + f3)) * (f + f4))) + 2.0


def as_i2s(samples: np.ndarray) -> bytes:
    return (np.round(samples).astype(np.int64) << 8).astype("<i4").tobytes()


def sine(frequency: float, amplitude: float, duration_s: float, start: int = 0) -> np.ndarray:
    n = np.arange(start, start + int(duration_s * RATE_HZ) // PART * PART)
    return amplitude * np.sin(2 * np.pi * frequency * n / RATE_HZ)


def feed(meter: Meter, samples: np.ndarray) -> None:
    meter.feed(as_i2s(samples), len(samples))


def steady(frequency: float, amplitude: float, duration_s: float = 0.4) -> Meter:
    """A meter after the filters have settled and `duration_s` of a tone."""
    meter = Meter()
    settle = sine(frequency, amplitude, 0.3)
    feed(meter, settle)
    meter.clear()
    feed(meter, sine(frequency, amplitude, duration_s, len(settle)))
    return meter


def test_calibrator() -> None:
    meter = steady(1000, AT_94_DB, 1.0)
    assert meter.laeq_cdb() == pytest.approx(9400, abs=3)
    assert meter.lafmax_cdb() == pytest.approx(9400, abs=40)  # 0.3 s after the start it still rises


@pytest.mark.parametrize(("nominal", "above", "below"), CLASS_1)
def test_a_weighting(nominal: float, above: float, below: float) -> None:
    exact = 1000 * 10 ** (round(10 * math.log10(nominal / 1000)) / 10)
    level = steady(exact, 1328000).laeq_cdb()  # 104 dB
    deviation = (level - 9400) / 100 - 20 * math.log10(1328000 / AT_94_DB) - a_weighting(exact)
    assert -below < deviation < above
    assert abs(deviation) < 0.25, "the design's own margin"


@pytest.mark.parametrize("level_db", [30, 40, 50, 60, 70, 80, 90, 100, 110, 119])
def test_linearity(level_db: int) -> None:
    meter = steady(1000, AT_94_DB * 10 ** ((level_db - 94) / 20))
    assert meter.laeq_cdb() == pytest.approx(100 * level_db, abs=10)


@pytest.mark.parametrize(
    ("burst_ms", "reference"),
    [
        (1000, 0.0),
        (500, -0.1),
        (200, -1.0),
        (100, -2.6),
        (50, -4.8),
        (20, -8.3),
        (10, -11.1),
        (5, -14.1),
        (2, -18.0),
        (1, -21.0),
    ],
)
@pytest.mark.parametrize("offset", [0, 23])
def test_tone_bursts(burst_ms: int, reference: float, offset: int) -> None:
    samples = sine(4000, 2 * AT_94_DB, 1.3)
    samples[: 4800 + offset] = 0
    samples[4800 + offset + burst_ms * 48 :] = 0
    meter = Meter()
    feed(meter, samples)
    steady_level = (9400 + 602 + 97) / 100  # twice the amplitude, A(4 kHz)
    assert meter.lafmax_cdb() / 100 - steady_level == pytest.approx(reference, abs=0.25)


def test_decay() -> None:
    """34.7 dB/s after the sound has gone."""
    meter = Meter()
    feed(meter, sine(1000, AT_94_DB, 1.0))
    levels = []
    quiet = np.zeros(102 * PART)  # 0.1 s
    for _ in range(6):
        meter.clear()
        feed(meter, quiet)
        levels.append(meter.lafmax_cdb())
    per_s = (levels[1] - levels[5]) / 100 / (4 * 102 * PART / RATE_HZ)
    assert per_s == pytest.approx(34.7, abs=0.3)


def test_energy_does_not_depend_on_blocks() -> None:
    samples = np.random.default_rng(1).normal(0, 50000, 64 * PART)
    whole, parts = Meter(), Meter()
    feed(whole, samples)
    for at in range(0, len(samples), PART):
        feed(parts, samples[at : at + PART])
    assert list(whole.state) == list(parts.state)


def test_blocks_are_whole_parts() -> None:
    with pytest.raises(ValueError, match="block"):
        Meter().feed(bytes(4 * PART + 4), PART + 1)


def test_nothing_has_no_level() -> None:
    meter = Meter()
    feed(meter, np.zeros(PART))
    assert meter.laeq_cdb() is None
    assert meter.lafmax_cdb() is None
    assert meter.constant_samples == PART


def test_the_same_bits_under_micropython() -> None:
    """The machine code of the emitter and the plain reading of the source agree in every state."""
    wanted = ["1:23:6", "2:12:6", "3:4:6", "4:24:6"]
    lines = run_script("tests/firmware/run_meter.py", *wanted)
    expected = []
    for argument in wanted:
        seed, bits, blocks = map(int, argument.split(":"))
        expected += [" ".join(map(str, state)) for state in states(seed, bits, blocks)]
    assert lines == expected


# --- 32 bits ---------------------------------------------------------------------------------------------------------


class Int32(int):
    """An integer that refuses to leave 32 bits."""


def _checked(name: str) -> Callable[..., object]:
    plain = getattr(int, name)

    def operate(self: int, other: int) -> object:
        value = plain(self, other)
        if value is NotImplemented:
            return value
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError(f"{name}({int(self)}, {int(other)}) = {value}")
        return Int32(value)

    return operate


for _name in ("add", "sub", "mul", "rshift", "lshift", "and", "or", "xor"):
    setattr(Int32, f"__{_name}__", _checked(f"__{_name}__"))
    setattr(Int32, f"__r{_name}__", _checked(f"__r{_name}__"))


class Pointer:
    """What ptr16 and ptr32 give, checked; what is kept must not be negative (a 64-bit viper reads it without sign)."""

    def __init__(self, items: "memoryview") -> None:
        self._items = items

    def __getitem__(self, at: int) -> Int32:
        return Int32(self._items[at])

    def __setitem__(self, at: int, value: int) -> None:
        assert 0 <= value < 1 << 31, f"state {at}: {value}"
        self._items[at] = int(value)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ptr16", lambda buffer: Pointer(memoryview(buffer).cast("B").cast("H")))
    monkeypatch.setattr(module, "ptr32", lambda buffer: Pointer(memoryview(buffer)))


# Independent model of the chain in floats: (kind, a, zero share, bits that the kept state has more).
SECTIONS = (
    ("high", 45177 / 2**24, 0, 6), ("high", 45177 / 2**24, 0, 6), ("high", 58690 / 2**22, 0, 6),
    ("high", 48270 / 2**19, 0, 4), ("low", 27525 / 2**15, 5 / 32, 0), ("low", 27525 / 2**15, 5 / 32, 0),
)  # fmt: skip


def signals() -> Iterator[tuple[str, np.ndarray, int]]:
    """Impulse responses of every signal and state of the chain, with the factor it is kept with."""
    x = np.zeros(60000)
    x[0] = 1.0
    for number, (kind, a, share, bits) in enumerate(SECTIONS):
        state = np.empty_like(x)
        difference = np.empty_like(x)
        low = 0.0
        for at, value in enumerate(x):
            difference[at] = value - low
            low += a * difference[at]
            state[at] = low
        yield f"state {number}", state, 1 << bits
        yield f"difference {number}", difference, 1
        x = difference if kind == "high" else state - share * a * difference
        yield f"output {number}", x, 1


def test_bounds() -> None:
    """L1 norm of each impulse response times full scale: what the signal can reach at most."""
    for name, response, factor in signals():
        norm = float(np.abs(response).sum())
        if name.startswith("state"):
            assert norm * FULL_SCALE * factor < (1 << 30) - (1 << 20), f"{name}: {norm}"
        elif name.startswith("output"):
            assert norm < (1.9 if name == "output 5" else 2.33), (
                f"{name}: {norm}"
            )  # the last one is squared: below 2**24
        else:
            number = int(name.split()[1])
            coefficient = (45177, 45177, 58690, 48270, 27525, 27525)[number]
            assert (norm * FULL_SCALE / 1024 + 2) * coefficient + coefficient < 1 << 31, f"{name}: {norm}"


@pytest.mark.usefixtures("checked")
def test_worst_inputs_do_not_overflow() -> None:
    """For every signal of the chain the input that drives it furthest, both signs, and it really gets there."""
    for _, response, _ in signals():
        worst = np.where(response[: 60 * PART][::-1] >= 0, FULL_SCALE - 1, -FULL_SCALE)
        for sign in (worst, -worst - 1):
            feed(Meter(), sign)


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize("value", [FULL_SCALE - 1, -FULL_SCALE], ids=["highest", "lowest"])
def test_extreme_constants_do_not_overflow(value: int) -> None:
    feed(Meter(), np.full(50 * PART, value))


@pytest.mark.usefixtures("checked")
def test_the_check_sees_an_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter()
    meter.state[6] = (1 << 31) - 1
    meter.state[11] = (1 << 31) - 1
    with pytest.raises((OverflowError, AssertionError)):
        feed(meter, np.full(PART, FULL_SCALE - 1))
