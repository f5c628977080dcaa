"""What the level meter costs on the chip: instructions of its machine code (rv32imc), executed one by one.

Everything from samples to the histogram of LAF is one function: response, Z, C, A, F, S, peak, energies. Before it another
makes samples of the receiver's words, unless they are: picks a microphone in the right slot, moves words of an SPH0645 that
come a clock late or early.
Counted on an emulated core, so the figure is the same on every computer. The calls of the runtime at the start of a block
are left out. An ESP32's own core (xtensawin) is not emulated: of its code there is the size, and the instructions in it.
"""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware.drivers import i2s_mic, i2s_words
from firmware.dsp import meter
from firmware.dsp.octaves import Bands
from tests.fakes import chip_octaves
from tests.fakes.chip_meter import SOURCE, meter_kernel
from tests.fakes.chip_octaves import octave_kernels
from tests.fakes.rv32 import compile_source, kernel, viper_codes, xtensa_instructions

BLOCK = i2s_mic._BLOCK  # 16 ms
BLOCKS = 4
CLOCK_HZ = 160_000_000  # of an ESP32-C3
_HIGHEST, _LOWEST = meter.FULL_SCALE - 1, -meter.FULL_SCALE


def sounds() -> dict[str, Callable[[int], int]]:
    """Name -> sample (24 bits) at a place; they differ in the branches that the kernel takes."""
    source = random.Random(1)
    return {
        "silence": lambda at: 0,
        "noise": lambda at: source.randint(_LOWEST, _HIGHEST),
        "full-scale square": lambda at: _HIGHEST if at % 48 < 24 else _LOWEST,
        "rising": lambda at: at,
        "falling": lambda at: -at,
    }


def static() -> list[tuple[str, int, int]]:
    """(core, instructions, bytes) of the whole function, as it lies in the .mpy."""
    codes, _ = viper_codes(compile_source(SOURCE, arch="xtensawin"), "xtensawin")
    return [("xtensawin", xtensa_instructions(codes[0]), len(codes[0]))]


def octaves() -> float:
    """Instructions a sample of the one-third octave bands, an option: noise, blocks as the driver's."""
    kernels = octave_kernels(counting=True)
    noise = [random.Random(2).randint(_LOWEST, _HIGHEST) for _ in range(16 * chip_octaves.BLOCK)]
    chip_octaves.feed(Bands(), np.array(noise), kernels)
    return sum(kernel.instructions for kernel in kernels) / len(noise)


def wirings() -> dict[str, float]:
    """Instructions a sample before the meter, by where the microphone is and how its words stand."""
    source = Path(i2s_words.__file__).read_text()
    found = {"left, in step": 0.0}  # the receiver's words are samples
    for name, slots, late in (
        ("left, late", 1, 1),
        ("left, early", 1, -1),
        ("right, in step", 2, 0),
        ("right, late", 2, 1),
        ("right, early", 2, -1),
    ):
        counted = kernel(source, counting=True)
        samples = BLOCK // slots
        counted(slots - 1, samples, bytearray(4 * BLOCK), slots, late)
        found[name] = counted.instructions / samples
    return found


TARGETS = {"slm.instructions_per_second": ("<=", 20_000_000)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    counted = meter_kernel(counting=True)
    rows = []
    for name, sample in sounds().items():
        began = counted.instructions
        each = meter.Meter()
        for block in range(BLOCKS):
            values = [sample(block * BLOCK + at) * 256 for at in range(BLOCK)]
            counted(BLOCK, 0, 0, struct.pack(f"<{BLOCK}i", *values), each.state, each.histogram.bins)
        rows.append(((counted.instructions - began) / (BLOCK * BLOCKS), name))
    metered = max(rows)[0]
    before = wirings()
    most = metered + max(before.values())
    figures = {"slm.instructions_per_sample": most, "slm.instructions_per_second": most * meter.RATE_HZ}
    lines = [f"{name:18} {each:6.1f} instructions a sample" for each, name in rows]
    lines += [
        f"{name:18} {each:6.1f} more: {(metered + each) * meter.RATE_HZ / 1e6:.2f} million a second at most"
        for name, each in before.items()
    ]
    share = 100 * most * meter.RATE_HZ / CLOCK_HZ
    lines.append(
        f"Bytes to histogram at {meter.RATE_HZ} Hz: {most * meter.RATE_HZ / 1e6:.2f} million instructions a second at most;"
        f" {share:.0f} % of {CLOCK_HZ // 1_000_000} MHz at one instruction a cycle."
    )
    more = octaves() * meter.RATE_HZ
    figures["slm.octaves_instructions_per_second"] = more
    lines.append(f"One-third octave bands, where a board wants them: {more / 1e6:.2f} million a second more.")
    for arch, instructions, size in static():
        lines.append(f"{arch:9} {instructions} instructions, {size} bytes in the function, counted and not run")
        figures[f"slm.{arch}_instructions"] = instructions
    return figures, lines
