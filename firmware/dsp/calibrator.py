"""Is it a sound calibrator that the microphone hears, and what offset makes it read 94 dB? Loaded for as long as it takes."""

from array import array

from firmware.drivers import READY, SensorError
from firmware.drivers.i2s_mic import CLIPPED
from firmware.dsp.meter import RATE_HZ
from wire.messages import (
    DONE,
    FAILED,
    MIC_IMPURE,
    MIC_NO_SOUND,
    MIC_NOT_1KHZ,
    MIC_NOT_94_DB,
    MIC_NOT_YET,
    MIC_OVERLOADED,
    MIC_SAMPLES_LOST,
    MIC_UNSTEADY,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:
    from firmware.dsp.meter import micropython, ptr32  # type: ignore[attr-defined,no-redef,assignment]

SECONDS = 5
TONE_CDB = 9400
_NEAR_CDB = 600  # a microphone's own tolerance is 3 dB at most; more is another fault, or no calibrator
_HZ = 1000
_AWAY_HZ = 20  # IEC 60942 class 2
_STEADY_CDB = 20  # between the seconds
_WITHIN_CDB = 30  # between highest and lowest F level of a second
_PURE_CDB = 30  # between the A and the C level: both are the same at 1 kHz alone
_OFFSET_MAX_CDB = 3000  # of the setting


@micropython.viper
def rises(x: int, h: int, samples, state):  # type: ignore[no-untyped-def]
    """Count in `state[0]` how often `x` samples rise from below -1/128 of full scale to above 1/128; `state[1]`: where the
    last one was. `h` comes as 0. A constant offset of the microphone is far smaller, the calibrator's tone larger."""
    p = ptr32(samples)
    s = ptr32(state)
    count = s[0]
    above = s[1]
    while h < x:
        y = ((p[h] >> 8) & 0xFFFFFF ^ 0x800000) - 0x800000
        h += 1
        if y > 65536:
            if above == 0:
                count += 1
                above = 1
        elif y + 65536 < 0:
            above = 0
    s[0] = count
    s[1] = above


class Calibrator:
    """Feed it the blocks, tell it each second's levels; then `outcome`. `trouble` is the first reason against it, or 0."""

    def __init__(self) -> None:
        self.trouble = 0
        self._state = array("i", (0, 0))
        self._samples = 0
        self._levels: "list[int]" = []

    def feed(self, block: "Any", samples: int) -> None:
        """Count periods of the tone."""
        rises(samples, 0, block, self._state)
        self._samples += samples

    def second(self, meter: "Any", lost: bool, overload: bool) -> None:
        """What the meter heard of a second."""
        laeq, lceq = meter.level_cdb("laeq"), meter.level_cdb("lceq")
        highest, lowest = meter.level_cdb("lafmax"), meter.level_cdb("lafmin")
        if laeq is None or lceq is None or highest is None or lowest is None:
            self.trouble = MIC_NO_SOUND
            return
        levels = self._levels
        levels.append(laeq)
        if lost:
            self.trouble = MIC_SAMPLES_LOST
        elif overload:
            self.trouble = MIC_OVERLOADED
        elif highest - lowest > _WITHIN_CDB or max(levels) - min(levels) > _STEADY_CDB:
            self.trouble = MIC_UNSTEADY
        elif abs(lceq - laeq) > _PURE_CDB:
            self.trouble = MIC_IMPURE
        elif abs(self._state[0] * RATE_HZ // self._samples - _HZ) > _AWAY_HZ:
            self.trouble = MIC_NOT_1KHZ
        elif abs(TONE_CDB - laeq) > _NEAR_CDB:
            self.trouble = MIC_NOT_94_DB

    def outcome(self, offset_cdb: int) -> "tuple[int, int]":
        """(DONE, value for the setting), which is `offset_cdb` now, or (FAILED, why not)."""
        levels = self._levels
        if not self.trouble:
            offset_cdb += TONE_CDB - (2 * sum(levels) + len(levels)) // (2 * len(levels))
            if abs(offset_cdb) > _OFFSET_MAX_CDB:
                self.trouble = MIC_NOT_94_DB
        return (FAILED, self.trouble) if self.trouble else (DONE, offset_cdb)


async def listen(mic: "Any") -> "tuple[int, int]":
    """The outcome of SECONDS of `mic`, a driver that has settled: firmware.drivers.i2s_mic."""
    if mic.state != READY:
        return FAILED, MIC_NOT_YET
    mic._tone = tone = Calibrator()
    try:
        for _ in range(SECONDS):
            mic.lost_ms = 0
            await mic._listen(1000)
            meter = mic._meter
            tone.second(meter, mic.lost_ms > 0 or meter.constant_samples > 0, meter.peak >= CLIPPED)
            if tone.trouble:
                break
    except SensorError:
        return FAILED, MIC_NO_SOUND
    finally:
        mic._tone = None
    return tone.outcome(mic.offset_cdb)
