"""What an I2S microphone's driver seldom needs: words of both slots or out of step, a look into the other slot, the self
test. It is loaded when it is wanted."""

from firmware.drivers import GOOD, READY, WARMING_UP, SensorError, const
from firmware.drivers.i2s_mic import CLIPPED, DEAD_PEAK
from firmware.drivers.i2s_words import look, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

try:
    import micropython
except ImportError:  # CPython: the same source, slowly

    class micropython:  # type: ignore[no-redef]
        """What of the module is used here."""

        @staticmethod
        def viper(function: "Any") -> "Any":
            """Leave it as it is."""
            return function

    def ptr16(buffer: "Any") -> "Any":
        """Unsigned 16-bit items."""
        return memoryview(buffer).cast("B").cast("H")


_BLOCKS = const(20)  # 0.3 s: a microphone wakes up within 85 ms of its clock


@micropython.viper
def pick(words, frames: int, slot: int):  # type: ignore[no-untyped-def]
    """Of frames of two words keep the one of `slot` (0 left, 1 right), at the front of the buffer."""
    p = ptr16(words)
    at = 0
    end = 2 * frames
    other = 2 * slot
    while at < end:
        p[at] = p[other]
        p[at + 1] = p[other + 1]
        at += 2
        other += 4


@micropython.viper
def move(words, count: int, late: int):  # type: ignore[no-untyped-def]
    """Put each word where its first bit should have come: `late` by one clock (1), or one clock early (-1).

    Of a late word the first bit is none of its own. Of an early one the sign is lost: the bit below it stands for it,
    which is right for whatever stays below half of full scale.
    """
    p = ptr16(words)
    at = 0
    end = 2 * count
    while at < end:
        low = p[at]
        high = p[at + 1]
        if late > 0:
            p[at] = (low << 1) & 65535
            p[at + 1] = ((high << 1) | (low >> 15)) & 65535
        else:
            p[at] = (low >> 1) | ((high & 1) << 15)
            p[at + 1] = (high >> 1) | (high & 32768)
        at += 2


def tidy(block: "Any", samples: int, slot: "int | None", late: int) -> None:
    """Make words of one slot and in step of what the receiver gave, in place. `slot` None: there is but one."""
    if slot is not None:
        pick(block, samples, slot)
    if late:
        move(block, samples, late)


async def elsewhere(mic: "Any") -> str:
    """What the slot has that is not the microphone's own. SensorError NO_ANSWER."""
    other = 1 - mic._slot
    mic._open(2)
    for _ in range(_BLOCKS):
        samples = await mic._fill(other)
    high, low, odd = look(mic._block, samples)
    mic._open(1 + mic._slot)
    if width(high, low) and odd * 2 < samples:
        return "the %s slot has it, see the L/R pin" % ("right" if other else "left")
    return "only zeros"


async def self_test(mic: "Any") -> "list[TestRow]":
    """From the start: which slot has sound, its bits, whether they come late; level, peak, lost samples."""
    rows: "list[TestRow]" = []
    try:
        await mic.start()
        while mic.state != READY:
            try:
                await mic._settle()
            except SensorError as error:
                if error.reason != WARMING_UP:
                    raise
        rows.append((mic.identity, True, mic._slot))
        rows.append(("bits", mic._width == mic._bits, mic._width))
        if mic._bits < 24:
            rows.append(("clocks late", True, mic._late))
        readings = await mic.read()
        rows.append(("laeq 0.01 dB", readings[0][3] == GOOD, readings[0][2]))
    except SensorError as error:
        rows.append((str(error), False, error.detail))
    peak = mic._meter.peak
    rows.append(("peak", DEAD_PEAK < peak < CLIPPED, peak))
    rows.append(("gaps ms", mic.gaps_ms == 0, mic.gaps_ms))
    return rows
