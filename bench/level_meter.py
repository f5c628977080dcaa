"""What the level meter costs on the chip: instructions of its machine code (rv32imc), executed one by one.

Counted on an emulated core, so the figure is the same on every computer. The three calls of the runtime at the start
of a block are left out.
"""

import inspect
import random
import struct
from collections.abc import Callable

from firmware.dsp import meter
from tests.fakes.rv32 import kernel

BLOCK = 32 * meter.PART  # the driver's: 31 ms
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


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    counted = kernel(inspect.getsource(meter), counting=True)
    rows = []
    for name, sample in sounds().items():
        before = counted.instructions
        state = meter.Meter().state
        for block in range(BLOCKS):
            values = [sample(block * BLOCK + at) * 256 for at in range(BLOCK)]
            counted(struct.pack(f"<{BLOCK}i", *values), BLOCK, state)
        rows.append(((counted.instructions - before) / (BLOCK * BLOCKS), name))
    most = max(rows)[0]
    figures = {"slm.instructions_per_sample": most, "slm.instructions_per_second": most * meter.RATE_HZ}
    lines = [f"{name:18} {each:6.1f} instructions a sample" for each, name in rows]
    share = 100 * most * meter.RATE_HZ / CLOCK_HZ
    lines.append(
        f"A-weighted, F, peak, energy at {meter.RATE_HZ} Hz: {most * meter.RATE_HZ / 1e6:.2f} million instructions a"
        f" second at most; {share:.0f} % of {CLOCK_HZ // 1_000_000} MHz at one instruction a cycle."
    )
    return figures, lines
