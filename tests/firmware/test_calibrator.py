"""The counter of a calibrator's periods: the chip's code, the source, and what both are for."""

from array import array
from pathlib import Path

import numpy as np
import pytest

from firmware.dsp import calibrator as module
from firmware.dsp.meter import RATE_HZ
from tests.fakes.chip_meter import AT_94_DB, sine, words
from tests.fakes.rv32 import kernel

SOURCE = Path(module.__file__).read_text()
BLOCK = 752


@pytest.mark.parametrize(("hertz", "offset"), [(1000, 0), (1000, 40000), (980, 0), (31.5, -3000), (7000, 0)])
def test_periods_are_counted(hertz: float, offset: int) -> None:
    """A tone with noise of the microphone and its constant offset, on both, block by block."""
    tone = sine(hertz, AT_94_DB, 0.5) + np.random.default_rng(1).normal(0, 300, len(sine(hertz, AT_94_DB, 0.5)))
    received = words(tone + offset)
    chip, plain = array("i", (0, 0)), array("i", (0, 0))
    on_chip = kernel(SOURCE)
    for at in range(0, len(received), BLOCK):
        block = received[at : at + BLOCK].tobytes()
        on_chip(len(block) // 4, 0, block, chip)
        module.rises(len(block) // 4, 0, block, plain)
    assert chip == plain
    assert plain[0] == pytest.approx(hertz * len(received) / RATE_HZ, abs=1.1)


def test_noise_below_the_threshold_is_no_period() -> None:
    state = array("i", (0, 0))
    module.rises(BLOCK, 0, words(np.random.default_rng(2).normal(0, 10_000, BLOCK)).tobytes(), state)
    assert list(state) == [0, 0]
