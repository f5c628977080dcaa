"""What an I2S microphone's driver seldom does: judge its words after the settling time, tell why there is no sound, the
self test. Its code leaves the heap when it is done.
"""

from firmware.drivers import GOOD, READY, SHIFTED, SILENT, STUCK, WARMING_UP, SensorError, const
from firmware.drivers.i2s_mic import CLIPPED, DEAD_PEAK, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_BLOCKS = const(40)  # 0.3 s: a microphone wakes up within 85 ms of its clock
_DEAD_EVERY = const(10)  # seconds without sound, then begin anew, which looks into the other slot


def width(high: int, low: int) -> int:
    """Bits from the top of a word down to the lowest that was ever set, at most 24; 0 when none was."""
    bits = 24
    upper = high << 8 | low >> 8
    while upper and not upper & 1:
        upper >>= 1
        bits -= 1
    return bits if upper else 0


def lateness(found: int, bits: int) -> int:
    """By how many clocks words of `found` bits come late, of a microphone that gives `bits`: 1, 0 or -1.

    Only where there is room for a doubt: a microphone of 24 bits is in step.
    """
    late = found - bits
    return late if bits < 24 and -1 <= late <= 1 else 0


def keep(mic: "Any", wanted: "Any") -> None:
    """Give no other items than these."""
    mic._kept = tuple([at for at in mic._kept if mic.items[at] in wanted])
    mic.items = tuple([item for item in mic.items if item in wanted])
    mic._begin()


async def examine(mic: "Any") -> bool:
    """At the end of the settling time: whether all is well. SensorError SILENT, NO_ANSWER.

    False: the words are out of step and have left a blow in the filters; it has to settle once more, with whole ones.
    """
    high, low, _ = look(mic._block, mic._size)
    mic._width = width(high, low)
    if not mic._width:
        raise SensorError(SILENT, retry=False, text=await _elsewhere(mic))
    late = lateness(mic._width, mic._bits)
    mic._late += late
    return not late


async def _elsewhere(mic: "Any") -> str:
    """What the slot has that is not the microphone's own. SensorError NO_ANSWER."""
    other = 1 - mic._slot
    mic._open(2)
    for _ in range(_BLOCKS):
        await mic._fill(other)
    high, low, odd = look(mic._block, mic._size)
    mic._open(1 + mic._slot)
    if width(high, low) and odd < 8:
        return "the %s slot has it, see the L/R pin" % ("right" if other else "left")
    return "only zeros"


def no_sound(mic: "Any", constant: bool, high: int, low: int, odd: int) -> SensorError:
    """Why a period was none: SILENT, STUCK, SHIFTED. Now and then it has to begin anew."""
    peak = mic._meter.peak
    mic._dead += 1
    retry = mic._dead % _DEAD_EVERY != 0
    if odd and not constant and peak >= DEAD_PEAK:  # what lies below the microphone's bits is no rest
        if high < 256 or not high & 255 or low < 256:  # a byte that is never set is the rest of another word
            return SensorError(SHIFTED, retry, peak)
        return SensorError(SILENT, retry, peak, "data line open")
    text = "data line open or high" if low & 255 else "" if peak else "only zeros"
    return SensorError(STUCK if peak and constant else SILENT, retry, peak, text)


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
