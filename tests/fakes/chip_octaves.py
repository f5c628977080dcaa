"""The one-third octave bands as a chip runs them: machine code for rv32imc under an emulator."""

from functools import cache
from pathlib import Path

import numpy as np

import firmware.dsp.octaves
from firmware.drivers import i2s_mic
from firmware.dsp.octaves import BANDS, OCTAVES, Bands
from tests.fakes.chip_meter import words
from tests.fakes.rv32 import Kernel, compile_source, viper_codes

SOURCE = Path(firmware.dsp.octaves.__file__).read_text()
BLOCK = i2s_mic._BLOCK
KERNELS = ("prepare", "band", "halve")  # in the order of the source


def octave_kernels(*, counting: bool = False) -> tuple[Kernel, ...]:
    """Its viper functions."""
    codes, fun_table_at = viper_codes(compile_source(SOURCE))
    assert len(codes) == len(KERNELS), "a kernel that is not tested"
    return tuple(Kernel(code, fun_table_at, counting=counting) for code in codes)


@cache
def shared_kernels() -> tuple[Kernel, ...]:
    """They, made once a process."""
    return octave_kernels()


def run_block(bands: Bands, block: bytes, kernels: tuple[Kernel, ...]) -> None:
    """One block as `Bands.feed` does it, by these kernels."""
    prepare, band, halve = kernels
    samples = len(block) // 4
    work = bands._samples
    prepare(samples, 0, block, work)
    for octave in range(OCTAVES):
        if not samples:
            break
        bands._counts[octave] += samples
        for kind in range(3):
            if (at := 9 * (BANDS - 1 - 3 * octave - kind)) >= 0:
                band(samples, 0, work, bands._coefficients, 9 * kind, bands.state, at)
        waiting = bands.halves[7 * octave + 6]
        halve(samples, 0, work, bands.halves, 7 * octave)
        samples = (samples + waiting) >> 1


def feed(bands: Bands, samples: np.ndarray, kernels: tuple[Kernel, ...] | None = None, block: int = BLOCK) -> Bands:
    """A signal in blocks; what is no whole one is left out."""
    received = words(samples)
    for at in range(0, len(received) - block + 1, block):
        run_block(bands, received[at : at + block].tobytes(), kernels or shared_kernels())
    return bands
