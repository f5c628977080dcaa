"""The level meter as a chip runs it: its machine code for rv32imc under an emulator, some twenty times faster than sound."""

from functools import cache
from pathlib import Path

import numpy as np

import firmware.dsp.meter
from firmware.dsp.meter import FULL_SCALE, PART, RATE_HZ, Meter
from tests.fakes.rv32 import Kernel, compile_source, viper_codes
from tests.firmware.run_meter import RESPONSES

SOURCE = Path(firmware.dsp.meter.__file__).read_text()
AT_94_DB = 420426  # amplitude of a sine at 94 dB
_BLOCK = 1000 * PART
RUN, MERGE = 0, 1  # its viper functions in the order of the source


def meter_kernel(number: int = RUN, source: str = SOURCE, *, counting: bool = False) -> Kernel:
    """One of the meter's viper functions."""
    codes, fun_table_at = viper_codes(compile_source(source))
    assert len(codes) == 2, "a kernel that is not tested"
    return Kernel(codes[number], fun_table_at, counting=counting)


@cache
def shared_kernel() -> Kernel:
    """The loop, made once a process."""
    return meter_kernel()


def words(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """As the receiver gives them: 24 bits left-justified; what the line carries after them is anybody's guess."""
    whole = np.clip(np.round(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int64)
    return (whole << 8 | np.random.default_rng(seed).integers(0, 256, len(whole))).astype("<i4")


def feed(meter: Meter, samples: np.ndarray, run: Kernel | None = None) -> Meter:
    """The whole parts of a signal, as `Meter.feed` would."""
    received = words(samples[: len(samples) // PART * PART])
    for at in range(0, len(received), _BLOCK):
        part = received[at : at + _BLOCK].tobytes()
        (run or shared_kernel())(len(part) // 4, 0, 0, part, meter.state, meter.histogram.bins)
        meter.samples += len(part) // 4
    return meter


def sine(hertz: float, amplitude: float, duration_s: float, start: int = 0) -> np.ndarray:
    """Whole parts of a sine."""
    n = np.arange(start, start + round(duration_s * RATE_HZ) // PART * PART)
    return np.asarray(amplitude * np.sin(2 * np.pi * hertz * n / RATE_HZ))


def steady(
    hertz: float, amplitude: float, duration_s: float = 1.0, settle_s: float = 0.5, response: str = "flat"
) -> Meter:
    """A meter after `settle_s` and `duration_s` of a tone, which it has measured."""
    meter = Meter(RESPONSES[response])
    settle = sine(hertz, amplitude, settle_s)
    feed(meter, settle)
    meter.clear()
    return feed(meter, sine(hertz, amplitude, duration_s, len(settle)))


def amplitude_of(level_db: float) -> float:
    """Of a sine at 1 kHz."""
    return float(AT_94_DB * 10 ** ((level_db - 94) / 20))
