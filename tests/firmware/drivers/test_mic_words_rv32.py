"""Words of an I2S microphone put right by a chip's machine code: the same bits as plain arithmetic, in the time that is left."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from firmware.drivers import i2s_words
from firmware.dsp.meter import FULL_SCALE, RATE_HZ, Meter
from tests.fakes.chip_meter import meter_kernel
from tests.fakes.rv32 import Kernel, kernel

SOURCE = Path(i2s_words.__file__).read_text()
SAMPLES = 16 * 47  # of a block of the driver; half of them of both slots
EDGES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x40000000, 0xBFFFFFFF, 0xC0000000, 0x3FFFFFFF)
MOST_PER_SECOND = 20_000_000


def block(seed: int) -> list[int]:
    chance = random.Random(seed)  # repeatable on purpose
    return [*EDGES, *(chance.getrandbits(32) for _ in range(2 * SAMPLES - len(EDGES)))]


def of_slot(words: list[int], slot: int) -> list[int]:
    return words[slot::2]


def in_step(word: int, late: int) -> int:
    """What was sampled, of a word that came a clock late or early."""
    return word * 2 % (1 << 32) if late > 0 else word // 2 + (word & 1 << 31)


def run(machine: Kernel, words: list[int], *arguments: int) -> tuple[list[int], float]:
    """What lies in the block then, and how many instructions a sample that took."""
    buffer = bytearray(struct.pack(f"<{len(words)}I", *words))
    before = machine.instructions
    machine(buffer, *arguments)
    return list(struct.unpack(f"<{len(words)}I", buffer)), (machine.instructions - before) / arguments[0]


@pytest.mark.parametrize("slot", [0, 1])
def test_the_same_bits_of_a_slot(slot: int) -> None:
    got, _ = run(kernel(SOURCE, 0), block(1), SAMPLES, slot)
    assert got[:SAMPLES] == of_slot(block(1), slot)


@pytest.mark.parametrize("late", [1, -1])
def test_the_same_bits_in_step(late: int) -> None:
    got, _ = run(kernel(SOURCE, 1), block(2), 2 * SAMPLES, late)
    assert got == [in_step(word, late) for word in block(2)]


@pytest.mark.parametrize("slot", [0, 1])
def test_the_same_bits_of_a_slot_whose_words_are_late(slot: int) -> None:
    got, _ = run(kernel(SOURCE, 2), block(4), SAMPLES, slot)
    assert got[:SAMPLES] == [in_step(word, 1) for word in of_slot(block(4), slot)]


def test_any_wiring_leaves_the_meter_its_time() -> None:
    """In the sound that takes longest, a new lowest every sample: the right slot, words a clock late or early, late
    ones in the right slot."""
    counted = meter_kernel(counting=True)
    meter = Meter()
    falling = struct.pack(f"<{SAMPLES}i", *(-at * FULL_SCALE // SAMPLES << 8 for at in range(SAMPLES)))
    counted(SAMPLES, 0, 0, falling, meter.state, meter.histogram.bins)
    metered = counted.instructions / SAMPLES
    for number, arguments in ((0, (SAMPLES // 2, 1)), (1, (SAMPLES, 1)), (1, (SAMPLES, -1)), (2, (SAMPLES // 2, 1))):
        _, more = run(kernel(SOURCE, number, counting=True), block(3)[:SAMPLES], *arguments)
        assert more > 0 and (metered + more) * RATE_HZ <= MOST_PER_SECOND, (number, arguments, metered, more)
