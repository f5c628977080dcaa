"""Words of an I2S microphone put right by a chip's machine code: the same bits as plain arithmetic, in the time that is left."""

from __future__ import annotations

import random
import struct
from functools import cache
from pathlib import Path

import pytest

from firmware.drivers import i2s_words
from firmware.dsp.meter import FULL_SCALE, RATE_HZ, Meter
from tests.fakes.chip_meter import meter_kernel
from tests.fakes.rv32 import Kernel, kernel

SOURCE = Path(i2s_words.__file__).read_text()
WORDS = 16 * 47  # of a block of the driver; half of them of each slot where the receiver gives both
EDGES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x40000000, 0xBFFFFFFF, 0xC0000000, 0x3FFFFFFF)
MOST_PER_SECOND = 20_000_000

every_wiring = pytest.mark.parametrize("late", [0, 1, -1])
every_slot = pytest.mark.parametrize(("slots", "slot"), [(1, 0), (2, 0), (2, 1)])


def block(seed: int, slots: int) -> list[int]:
    """Words of both slots with every edge in each, so that one slot's are not the other's."""
    chance = random.Random(seed)  # repeatable on purpose
    edges = [word for at in range(len(EDGES)) for word in (EDGES[at], EDGES[-at - 1])[:slots]]
    return edges + [chance.getrandbits(32) for _ in range(WORDS - len(edges))]


def in_step(word: int, late: int) -> int:
    """What was sampled, of a word that came a clock late or early."""
    if late < 0:
        return word // 2 + (word & 1 << 31)
    return word * 2 % (1 << 32) if late else word


def expected(words: list[int], slots: int, slot: int, late: int) -> list[int]:
    """The whole block: samples of a slot at the front, behind them what was there."""
    samples = [in_step(word, late) for word in words[slot::slots]]
    return samples + words[len(samples) :]


def run(machine: Kernel, words: list[int], slots: int, slot: int, late: int) -> tuple[list[int], float]:
    """What lies in the block then, and how many instructions a sample that took."""
    buffer = bytearray(struct.pack(f"<{len(words)}I", *words))
    samples = len(words) // slots
    before = machine.instructions
    machine(slot, samples, buffer, slots, late)
    return list(struct.unpack(f"<{len(words)}I", buffer)), (machine.instructions - before) / samples


@cache
def shared_kernel() -> Kernel:
    return kernel(SOURCE)


@cache
def metered() -> float:
    """Instructions a sample of the meter."""
    counted = meter_kernel(counting=True)
    meter = Meter()
    falling = struct.pack(f"<{WORDS}i", *(-at * FULL_SCALE // WORDS << 8 for at in range(WORDS)))
    counted(WORDS, 0, 0, falling, meter.state, meter.histogram.bins)
    return counted.instructions / WORDS


@every_slot
@every_wiring
def test_the_same_bits_as_plain_arithmetic(slots: int, slot: int, late: int) -> None:
    """In two blocks one after the other: no word has anything of the block before."""
    machine = shared_kernel()
    for seed in (1, 2):
        words = block(seed, slots)
        assert run(machine, words, slots, slot, late)[0] == expected(words, slots, slot, late)


@every_slot
@every_wiring
def test_cpython_and_a_chip_agree_on_a_single_sample(slots: int, slot: int, late: int) -> None:
    """The shortest block, odd: nothing behind its end is read or written, which the emulated core would refuse."""
    for word in EDGES:
        words = [word ^ 0xFFFFFFFF] * slots
        words[slot] = word
        got, _ = run(shared_kernel(), words, slots, slot, late)
        plain = bytearray(struct.pack(f"<{slots}I", *words))
        i2s_words.tidy(slot, 1, plain, slots, late)  # type: ignore[arg-type]
        assert got == list(struct.unpack(f"<{slots}I", plain)) == expected(words, slots, slot, late)[:slots]


@every_slot
@every_wiring
def test_any_wiring_leaves_the_meter_its_time(slots: int, slot: int, late: int) -> None:
    """In the sound that takes longest, a new lowest every sample."""
    _, more = run(kernel(SOURCE, counting=True), block(3, slots), slots, slot, late)
    assert more > 0 and (metered() + more) * RATE_HZ <= MOST_PER_SECOND, more
