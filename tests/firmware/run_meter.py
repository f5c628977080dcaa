"""Feeds noise into the level meter and prints its state, on any interpreter: run_meter.py SEED:BITS:BLOCKS..."""

import sys

from firmware.dsp.meter import PART, Meter

SAMPLES = 8 * PART


def noise(seed, bits):
    """SAMPLES of white noise with samples of `bits` bits and sign, as the receiver gives them; and the next seed."""
    block = bytearray(4 * SAMPLES)
    for at in range(SAMPLES):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        sample = ((seed >> 7) & 0xFFFFFF) - 0x800000 >> 24 - bits
        block[4 * at + 1 : 4 * at + 4] = bytes((sample & 255, sample >> 8 & 255, sample >> 16 & 255))
    return block, seed


def states(seed, bits, blocks):
    """[state after each block]"""
    meter = Meter()
    found = []
    for _ in range(blocks):
        block, seed = noise(seed, bits)
        meter.feed(block, SAMPLES)
        found.append(list(meter.state))
    return found


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        seed, bits, blocks = [int(part) for part in argument.split(":")]
        for state in states(seed, bits, blocks):
            print(" ".join([str(number) for number in state]))
