"""Feeds the samples of a file into the one-third octave bands and prints what they keep, on any interpreter."""

import asyncio
import sys

from firmware.dsp.meter import PART
from firmware.dsp.octaves import Bands

SAMPLES = 16 * PART


def kept(bands):
    """Everything that the bands have kept."""
    return list(bands.state) + list(bands.halves)


class Clock:
    """For `Bands.feed`: nobody else wants a turn."""

    async def sleep_ms(self, ms):
        return None


async def fed(samples):
    bands = Bands()
    for at in range(0, len(samples) - 4 * SAMPLES + 1, 4 * SAMPLES):
        await bands.feed(samples[at : at + 4 * SAMPLES], SAMPLES, Clock())
    return bands


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        content = file.read()
    print(" ".join([str(number) for number in kept(asyncio.run(fed(content)))]))
