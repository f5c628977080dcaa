"""An I2S microphone (ICS-43434, INMP441, SPH0645): sound levels. Audio never leaves the block that it is read into.

48 kHz, so that the weighting is right. The receiver overwrites what nobody fetched, silently: samples are counted
against the clock. Samples that never change are no sound: the driver then looks whether the other slot has it.
The SPH0645 changes its data on the other edge of the clock, so that a receiver may find its words a clock late or
early: their lowest bit tells.
"""

from firmware import forget
from firmware.drivers import GOOD, NO_ANSWER, READY, STALE, SUSPECT, WARMING_UP, WARMUP, SensorError, const, seldom
from firmware.dsp.meter import BINS, FULL_SCALE, RATE_HZ, Meter
from wire import channels
from wire.messages import FAILED, MIC_NOT_YET
from wire.quality import LOST, OVERLOAD, STATUS, UNDERRANGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

CARE = "firmware.drivers.i2s_care"

# What a microphone is called, how many bits it gives, its own noise in 0.01 dB (data sheets), and what makes it flat
# (firmware.dsp.meter): after the published equalisers (ikostoski/esp32-i2s-slm) for the data sheets' typical curves,
# within 0.4 dB of them.
MODELS = {
    "ics43434": ("ICS-43434", 24, 2900, (27, 40, 36, -5)),
    "inmp441": ("INMP441", 24, 3300, (0, 78, 22, -2)),
    "sph0645": ("SPH0645", 18, 2900, (0, 97, 15, -1)),
}

_BLOCK = const(16 * 47)  # samples in one go: 16 ms, 3 KB, about 2 ms of work on an ESP32; half of them of both slots
_SILENCE_MS = const(500)  # the receiver gives a block every 16 ms, whatever the microphone does
_GAP_FRAMES = const(480)  # 10 ms: more than the clock's millisecond and one buffer of the receiver
CLIPPED = FULL_SCALE - (FULL_SCALE >> 7)
DEAD_PEAK = const(16)  # of 2**23: the noise of a live microphone goes beyond a hundred
_LEVELS = const(11)  # CHANNELS; behind them come the bands
_PERCENTILES = const(3)  # where the four of them begin
_A_LEVELS = const(8)  # of them: the microphone's own noise is known as an A level
_OVERLOAD_CDB = const(11600)  # the microphones' own limit is 120 dB, their linear range ends before


_STRIDE = const(13 * 4)  # bytes: some 57 words of a block are looked at, no two at the same place of a 1 kHz tone
_ODD = const(8)  # of them; a single odd word is a glitch


def look(block: "bytes | bytearray", size: int, stride: int = _STRIDE) -> "tuple[int, int, int]":
    """(OR of the upper halves, of the lower halves, how many words end in more than the microphone's bits).

    A word is 32 bits, little endian: the microphone's bits, then what the line does while nobody drives it. Those last
    eight are all alike whether a pull-down clears the line or it keeps its last state.
    """
    high = low = odd = 0
    for at in range(0, size, stride):
        last = block[at]
        if 0 < last < 255:
            odd += 1
        low |= last | block[at + 1] << 8
        high |= block[at + 2] | block[at + 3] << 8
    return high, low, odd


class I2SMic:
    """See firmware.drivers for what a driver does; `read()` listens for a whole period and wants to be called at once."""

    CHANNELS = (
        "laeq", "lafmax", "lafmin", "laf10", "laf50", "laf90", "laf95", "lasmax", "lceq", "lcpeak", "lzeq",
    )  # fmt: skip
    SETTINGS = ("mic_offset_cdb",)
    period_ms = 1000

    def __init__(  # seldom
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        model: str = "ics43434",
        slot: str = "left",
        offset_cdb: int = 0,
        floor_cdb: int = 0,
        settle_ms: int = 1000,
        third_octaves: bool = False,
    ) -> None:
        name, self._bits, noise_cdb, self._response = MODELS[model]
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = "%s, %s slot" % (name, slot)
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self.gaps_ms = 0  # lost since start, by samples counted against the clock
        self.overload = False  # in the last reading: clipped, or beyond the microphone's range
        self.underrange = False  # its quietest moment was below the microphone's own noise
        self.calibration = (FAILED, MIC_NOT_YET)  # what came of the last `calibrate`: wire.messages
        self._model = model
        self._kept = tuple(range(_LEVELS + 29 if third_octaves else _LEVELS))  # places of the items
        if third_octaves:
            first = channels.id_of("lzeq_25")
            self.items += tuple([(first + number, instance) for number in range(29)])
        self._i2s = bus
        self._clock = clock
        self._board_offset_cdb = offset_cdb
        self.offset_cdb = 0  # the setting's
        self._floor_cdb = floor_cdb or noise_cdb
        self._settle_ms = settle_ms
        self._settle_left_ms = 0
        self._slot = int(slot == "right")
        self._slots = 1  # that the receiver gives: the left one, or both
        self._size = 4 * _BLOCK  # bytes of a block that are the microphone's
        self._running = False
        self._width = 0  # bits that were seen
        self._late = 0  # clocks by which words come late: a matter of the wiring, which stays
        self._dead = 0  # readings without sound in a row
        self._begin()
        self._block = bytearray(4 * _BLOCK)
        self._tone: "Any" = None  # while a calibrator sounds
        self._filled = 0
        self._last_ms = 0
        self._behind = 0  # frames by which the stream is behind the clock; falls back after a stall, not after a loss
        self._least = 0  # the least of it during the last period
        self._rest = 0  # what is no whole covered millisecond yet

    def configure(self, name: str, value: int) -> None:
        """`mic_offset_cdb` is added to the board's own offset: what a field calibration found."""
        if name == "mic_offset_cdb":
            self.offset_cdb = value
            for meter in (self._meter, self._bands):
                if meter is not None:
                    meter.set_offset(self._board_offset_cdb + value)

    def keep(self, wanted: "Any") -> None:
        """Give no other items than these: what nobody asks for is not measured."""
        seldom(CARE, "keep")(self, wanted)

    def _begin(self) -> None:  # seldom
        """Filters without a past."""
        kept = self._kept
        percentiles = [at for at in kept if _PERCENTILES <= at < _PERCENTILES + 4]
        self._bands: "Any" = None
        self._meter = Meter(self._response, 0, BINS if percentiles else 1)
        if kept and kept[-1] >= _LEVELS:
            from firmware.dsp.octaves import Bands

            self._bands = Bands(self._model)
        self.configure("mic_offset_cdb", self.offset_cdb)

    async def start(self) -> None:  # seldom
        """The receiver runs; what comes while microphone and filters settle is thrown away. SensorError NO_ANSWER."""
        self.state = WARMUP
        self._running = False
        self._open(1 + self._slot)
        self._begin()
        self._filled = 0
        self._rest = 0
        self.gaps_ms = 0
        await self._fill(self._slot)  # the first block sets the stream against the clock
        self._last_ms = self._clock.ticks_ms()
        self._behind = 0
        self._settle_left_ms = self._settle_ms
        self._running = True

    def _open(self, slots: int) -> None:  # seldom
        """Let the receiver give the left slot or both; only then, for it wakes the microphone anew."""
        if slots != self._slots:
            self._slots = slots
            self._size = 4 * _BLOCK // slots
            self._filled = 0
            self._i2s.slots(slots)

    async def _fill(self, slot: int) -> int:
        """One whole block of a slot, in step; its number of samples. SensorError NO_ANSWER when nothing comes."""
        view = memoryview(self._block)
        while self._filled < len(self._block):
            size = await self._i2s.readinto(view[self._filled :], _SILENCE_MS)
            if not size:
                raise SensorError(NO_ANSWER, False, 0, "I2S receiver")
            self._filled += size
        self._filled = 0
        samples = self._size >> 2
        if self._slots > 1 or self._late:
            from firmware.drivers.i2s_words import tidy

            tidy(slot, samples, self._block, self._slots, self._late)
        return samples

    async def _settle(self) -> None:  # seldom
        """A part of the settling time; at its end see whether there is sound, and how its words stand. SensorError
        WARMING_UP, NO_ANSWER, SILENT."""
        part_ms = min(self._settle_left_ms, self.period_ms)
        await self._listen(part_ms)
        self._settle_left_ms -= part_ms
        if self._settle_left_ms <= 0:
            self._running = False
            if await seldom(CARE, "examine")(self):
                self.state = READY
                self._meter.settled()
            else:
                self._begin()
                self._settle_left_ms = self._settle_ms
            self._running = True
        raise SensorError(WARMING_UP)

    async def _listen(self, period_ms: int) -> int:
        """Meter whole blocks until `period_ms` have passed; their number of frames."""
        clock = self._clock
        self._meter.clear()
        if self._bands:
            self._bands.clear()
        frames = 0
        elapsed_ms = 0
        least = None
        while elapsed_ms < period_ms:
            samples = await self._fill(self._slot)
            now_ms = clock.ticks_ms()
            block_ms = clock.ticks_diff(now_ms, self._last_ms)
            self._last_ms = now_ms
            elapsed_ms += block_ms
            self._behind += block_ms * (RATE_HZ // 1000) - samples
            least = self._behind if least is None else min(least, self._behind)
            self._meter.feed(self._block, samples)
            if self._bands:
                await self._bands.feed(self._block, samples, clock)
            if self._tone:
                self._tone.feed(self._block, samples)
            frames += samples
        self._count_lost(least or 0)
        return frames

    def _count_lost(self, least: int) -> None:
        """Samples are gone if the stream never once caught up with the clock as it had before; a part in a thousand, which
        the clocks may differ, is forgiven."""
        lost = least - self._least
        if self.state == READY:
            drift = self.period_ms * RATE_HZ // 1000000
            if lost > _GAP_FRAMES:
                self._break(lost)
            elif lost > drift:
                least = self._least + drift  # no clock is so slow: if it goes on, it is a buffer now and then
        self._least = least

    def _break(self, frames: int) -> None:
        """So many frames are not there, or are no sound."""
        lost_ms = frames * 1000 // RATE_HZ
        self.lost_ms += lost_ms
        self.gaps_ms += lost_ms

    async def read(self) -> "list[Reading]":
        """Levels of the last period. SensorError WARMING_UP, NO_ANSWER, SILENT, STUCK, SHIFTED."""
        self.covered_ms = 0
        self.lost_ms = 0
        if not self._running:
            raise SensorError(STALE, False)
        if self.state != READY:
            await self._settle()
        frames = await self._listen(self.period_ms)
        meter = self._meter
        laeq = meter.level_cdb("laeq")
        lafmax = meter.level_cdb("lafmax")
        peak = meter.peak
        constant = meter.constant_samples * 2 > frames
        high, low, odd = look(self._block, self._size)  # of the last block
        if laeq is None or lafmax is None or constant or peak < DEAD_PEAK or odd >= _ODD:
            raise seldom(CARE, "no_sound")(self, constant, high, low, odd)
        if self._dead:  # what was examined while the line was stuck says nothing of the microphone
            self._dead = 0
            self._width = seldom(CARE, "width")(high, low)
        if meter.constant_samples:
            self._break(meter.constant_samples)
            frames -= meter.constant_samples
        lafmin = meter.level_cdb("lafmin") or 0
        self.overload = peak >= (CLIPPED if self._late >= 0 else CLIPPED >> 1) or lafmax > _OVERLOAD_CDB
        self.underrange = lafmin < self._floor_cdb
        self.covered_ms, self._rest = divmod(frames * 1000 + self._rest, RATE_HZ)
        flag = GOOD
        if self._width != self._bits:
            flag = (
                SUSPECT | STATUS << 4
            )  # another microphone than the board says: out of step, its words jump like overload
        elif self.overload:
            flag = SUSPECT | OVERLOAD << 4
        sure = flag == GOOD
        if sure and self.lost_ms:
            flag = SUSPECT | LOST << 4  # where samples are missing the signal jumps
        bands = self._bands.levels_cdb() if self._bands else ()
        readings = []
        for item, at in zip(self.items, self._kept):
            value: "Any"
            level: "int | None" = None
            if at >= _LEVELS:
                value = bands[at - _LEVELS]
            elif _PERCENTILES <= at < _PERCENTILES + 4:
                value = meter.histogram
                level = laeq if at < _PERCENTILES + 2 else lafmin  # of half of the time or less the mean tells
            else:
                value = meter.level_cdb(self.CHANNELS[at])
                if at < _A_LEVELS:
                    level = value
            if value is not None:
                low = sure and level is not None and level < self._floor_cdb
                if isinstance(value, int) and value < 0:  # the window refuses it, with this reason
                    low = True
                readings.append(item + (value, SUSPECT | UNDERRANGE << 4 if low else flag))
        return readings

    async def calibrate(self) -> None:  # seldom
        """A calibrator sounds on the microphone: listen to it for some seconds; `calibration` has what came of it."""
        from firmware.dsp.calibrator import listen

        forget("firmware.dsp.calibrator")
        self.calibration = (FAILED, MIC_NOT_YET)
        self.calibration = await listen(self)

    async def stop(self) -> None:
        """The receiver runs on; nobody listens."""
        self.state = WARMUP
        self._running = False

    async def self_test(self) -> "list[TestRow]":
        """From the start: which slot has sound, its bits, whether they come late; level, peak, lost samples."""
        rows: "list[TestRow]" = await seldom(CARE, "self_test")(self)
        return rows
