"""Feeds noise or a file into the level meter and prints its state, on any interpreter.

run_meter.py SEED:BITS:BLOCKS:RESPONSE… | file:PATH:RESPONSE… | heap
"""

import gc
import sys

from firmware.drivers.i2s_mic import MODELS
from firmware.dsp.meter import FLAT, PART, Meter

RESPONSES = {"flat": FLAT}
for _model in MODELS:
    RESPONSES[_model] = MODELS[_model][3]
SAMPLES = 8 * PART


def noise(seed, bits):
    """SAMPLES of white noise with samples of `bits` bits and sign, as the receiver gives them; and the next seed."""
    block = bytearray(4 * SAMPLES)
    for at in range(SAMPLES):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        sample = ((seed >> 7) & 0xFFFFFF) - 0x800000 >> 24 - bits
        block[4 * at + 1 : 4 * at + 4] = bytes((sample & 255, sample >> 8 & 255, sample >> 16 & 255))
    return block, seed


def kept(meter):
    """Everything that the meter has kept: state, then the bins that are not empty."""
    bins = meter.histogram.bins
    return list(meter.state) + [item for at in range(len(bins)) if bins[at] for item in (at, bins[at])]


def states(seed, bits, blocks, response):
    """[what is kept after each block]"""
    meter = Meter(RESPONSES[response])
    found = []
    for _ in range(blocks):
        block, seed = noise(seed, bits)
        meter.feed(block, SAMPLES)
        found.append(kept(meter))
    return found


def file_state(path, response):
    """What is kept after the samples of a file."""
    meter = Meter(RESPONSES[response])
    with open(path, "rb") as file:
        block = file.read()
    meter.feed(block, len(block) // 4)
    return kept(meter)


def heap_growth():
    """Bytes that a hundred blocks take."""
    meter = Meter()
    block, _ = noise(1, 20)
    feed = meter.feed
    samples = SAMPLES
    feed(block, samples)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(100):
        feed(block, samples)
    return gc.mem_alloc() - before


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        parts = argument.split(":")
        if parts[0] == "heap":
            print(heap_growth())
        elif parts[0] == "file":
            print(" ".join([str(number) for number in file_state(parts[1], parts[2])]))
        else:
            for state in states(int(parts[0]), int(parts[1]), int(parts[2]), parts[3]):
                print(" ".join([str(number) for number in state]))
