"""The level meter's machine code on a core with 32 bits: the same bits as the plain reading of its source, in time."""

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from firmware.drivers import i2s_mic
from firmware.dsp import meter as module
from firmware.dsp.meter import BINS, FULL_SCALE, PART, RATE_HZ, Histogram, Meter
from tests.fakes.chip_meter import MERGE, SOURCE, meter_kernel, words
from tests.fakes.rv32 import Kernel, compile_source, kernel, viper_codes, xtensa_instructions
from tests.firmware.run_meter import RESPONSES, kept

MOST_PER_SAMPLE = 416  # 20 million a second: an eighth of an ESP32-C3's 160 MHz at one a cycle
HIGHEST, LOWEST = FULL_SCALE - 1, -FULL_SCALE
BLOCK = i2s_mic._BLOCK
N = 4 * BLOCK


def to_full_scale(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.round(samples), LOWEST, HIGHEST).astype(np.int64)


def square(period: int) -> np.ndarray:
    return np.where(np.arange(N) % period < period // 2, HIGHEST, LOWEST)


def sine(frequency: float, amplitude: float) -> np.ndarray:
    return to_full_scale(amplitude * np.sin(2 * np.pi * frequency * np.arange(N) / RATE_HZ))


def noise(seed: int, deviation: float) -> np.ndarray:
    return to_full_scale(np.random.default_rng(seed).normal(0, deviation, N))


def bursts(seed: int) -> np.ndarray:
    """Runs of one value each, of any length: steps between all levels, stuck parts."""
    source = np.random.default_rng(seed)
    return np.repeat(source.integers(LOWEST, FULL_SCALE, N), source.integers(1, 200, N))[:N]


SIGNALS: dict[str, np.ndarray] = {
    "silence": np.zeros(N, np.int64),
    "highest": np.full(N, HIGHEST),
    "lowest": np.full(N, LOWEST),
    "noise": noise(1, 3e5),
    "quiet noise": noise(2, 30),
    "last bit": np.random.default_rng(3).integers(-1, 1, N),
    "full-scale noise": np.random.default_rng(4).integers(LOWEST, FULL_SCALE, N),
    "clipped noise": noise(5, 3e7),
    "bursts": bursts(6),
    **{f"square of {period}": square(period) for period in (2, 3, 16, 48, 2 * PART, 2400)},
    **{f"sine of {frequency} Hz": sine(frequency, HIGHEST) for frequency in (20, 1000, 3000, 12194, 23999)},
    "sine at 94 dB": sine(1000, 420426),
    "staircase": np.linspace(LOWEST, HIGHEST, N).astype(np.int64),
    "falling": -np.arange(N),  # every sample a new lowest: the longest way through the code
}


def feed(run: Callable[..., Any], meter: Meter, received: np.ndarray, block: int = BLOCK) -> list[list[int]]:
    """What is kept after each block; `meter` counts as its `feed` would."""
    found = []
    for at in range(0, len(received), block):
        part = received[at : at + block].tobytes()
        run(len(part) // 4, 0, 0, memoryview(part), meter.state, meter.histogram.bins)
        meter.samples += len(part) // 4
        found.append(kept(meter))
    return found


def outputs(meter: Meter) -> tuple[object, ...]:
    levels = [meter.level_cdb(name) for name in ("laeq", "lceq", "lzeq", "lafmax", "lafmin", "lasmax", "lcpeak")]
    return (*levels, meter.peak, meter.constant_samples)


@pytest.fixture(scope="module")
def machine() -> Kernel:
    return meter_kernel()


@pytest.mark.parametrize("name", SIGNALS)
def test_the_same_bits(machine: Kernel, name: str) -> None:
    received = words(SIGNALS[name])
    response = list(RESPONSES)[len(name) % len(RESPONSES)]
    chip, plain = Meter(RESPONSES[response]), Meter(RESPONSES[response])
    assert feed(machine, chip, received) == feed(module.run, plain, received)
    assert outputs(chip) == outputs(plain)


def test_the_same_bits_late_in_a_loud_day(machine: Kernel) -> None:
    """All sums about to carry, energies as high as full scale can bring them, counts of a day."""
    received = words(SIGNALS["full-scale noise"])[:BLOCK]
    full, edge = 47 << 24, (1 << 24) - 1
    results = []
    for run in (machine, module.run):
        meter = Meter()
        for at in (26, 28, 30, 32, 34):  # F, S, their extremes
            meter.state[at], meter.state[at + 1] = full, edge
        for at in (15, 18, 21):  # sums of A, C, Z
            meter.state[at], meter.state[at + 1], meter.state[at + 2] = 1 << 30, edge, edge
        meter.state[13] = 86400 * 1022
        meter.state[24], meter.state[25] = 1 << 30, edge
        results.append(feed(run, meter, received))
    assert results[0] == results[1]


def test_a_histogram_joins_another() -> None:
    add = meter_kernel(MERGE)
    part = Histogram(BINS)
    for at in range(BINS):
        part.bins[at] = at * 204
    for run in (add, module.merge):
        bins = array("I", [1 << 29] * BINS + [7])
        for _ in range(3):
            run(part.bins, bins, BINS)
        assert list(bins) == [(1 << 29) + 3 * 204 * at for at in range(BINS)] + [7]


def test_any_division_into_blocks_gives_the_same_bits(machine: Kernel) -> None:
    received = words(SIGNALS["clipped noise"])
    ends = [feed(machine, Meter(), received, block)[-1] for block in (PART, 7 * PART, BLOCK, len(received))]
    assert ends[1:] == ends[:-1]


# --- time ------------------------------------------------------------------------------------------------------------


def test_instructions_per_sample() -> None:
    figures = {}
    counted = meter_kernel(counting=True)
    for name, samples in SIGNALS.items():
        before = counted.instructions
        feed(counted, Meter(), words(samples))
        figures[name] = (counted.instructions - before) / N
    worst = max(figures, key=figures.__getitem__)
    print(
        f"{figures[worst]:.1f} instructions a sample ({worst}), {figures[worst] * RATE_HZ / 1e6:.2f} million a second"
    )
    assert 50 < figures[worst] <= MOST_PER_SAMPLE


def test_an_esp32s_own_code_has_an_instruction_count() -> None:
    """Compiled, not run: the function ends where its last instruction does, and a cut one does not."""
    codes, _ = viper_codes(compile_source(SOURCE, arch="xtensawin"), "xtensawin")
    assert 1000 < xtensa_instructions(codes[0]) < 2000
    with pytest.raises(ValueError, match="within an instruction"):
        xtensa_instructions(codes[0][:-1])


def test_every_instruction_is_counted() -> None:
    counted = meter_kernel(counting=True)
    addresses: list[int] = []
    counted.trace(addresses.append)
    feed(counted, Meter(), words(SIGNALS["noise"])[: 5 * PART])
    assert counted.instructions == len(addresses)


# --- would it be seen? -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "broken"),
    [
        ("((x * 57) >> 7)", "((x * 57 * 64) >> 13)"),
        ("c_mid = h * low + c_mid", "c_mid = (((h * low) << 10) >> 10) + c_mid"),
        ("low = low * low >> 14", "low = low * low * 4 >> 16"),
    ],
    ids=["product too wide", "wide shift", "logarithm too wide"],
)
def test_what_needs_more_than_32_bits_is_seen(written: str, broken: str) -> None:
    """Whole numbers without bounds give the very bits of the right source, so a computer's 64 would hide it."""
    assert written in SOURCE
    source = SOURCE.replace(written, broken)
    received = words(SIGNALS["clipped noise"])[:BLOCK]
    right = feed(module.run, Meter(), received)
    scope: dict[str, Any] = {"__name__": "broken"}
    exec(compile(source, "broken", "exec"), scope)
    assert feed(scope["run"], Meter(), received) == right
    assert feed(meter_kernel(source=source), Meter(), received) != right


# --- the core itself -------------------------------------------------------------------------------------------------

TINY = """
import micropython

@micropython.viper
def square(x: int, out):
    ptr32(out)[0] = x * x

@micropython.viper
def past(out):
    ptr32(out)[1] = 7

@micropython.viper
def ask(out):
    out + out
"""


def test_the_core_has_32_bits() -> None:
    out = array("i", [0])
    for x in (3, -3, 70000, -(1 << 30)):
        kernel(TINY)(x, out)
        assert out[0] == ((x * x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def test_nothing_is_written_past_a_buffer() -> None:
    with pytest.raises(RuntimeError, match="WRITE_UNMAPPED"):
        kernel(TINY, 1)(array("i", [0]))


def test_the_runtime_gives_no_more_than_it_has() -> None:
    with pytest.raises(RuntimeError, match="entry 18"):
        kernel(TINY, 2)(array("i", [0]))


def test_another_core_is_refused() -> None:
    mpy = bytearray(compile_source(TINY))
    mpy[2] = 10 << 2 | mpy[2] & 3
    with pytest.raises(ValueError, match="rv32imc"):
        viper_codes(bytes(mpy))
