"""An I2S microphone with 24 bits on the left slot (ICS-43434, INMP441): A-weighted levels. Audio never leaves `read`.

48 kHz, so that the weighting is right. The receiver overwrites what nobody fetched, silently: samples are counted
against the clock. Samples that never change are no sound: zeros mean a wrong slot or an open data line.
"""

from firmware.drivers import GOOD, NO_ANSWER, READY, SHIFTED, SILENT, STALE, STUCK, SUSPECT, WARMUP, SensorError, const
from firmware.dsp.meter import FULL_SCALE, RATE_HZ, Meter
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

_BLOCK = const(32 * 47)  # samples in one go: 31 ms, 6 KB, about 2 ms of work on an ESP32
_SILENCE_MS = const(500)  # the receiver gives a block every 31 ms, whatever the microphone does
_GAP_FRAMES = const(480)  # 10 ms: more than the clock's millisecond and one buffer of the receiver
_CLIPPED = FULL_SCALE - (FULL_SCALE >> 7)
_OVERLOAD_CDB = const(11600)  # the microphones' own limit is 120 dB, their linear range ends before


class I2SMic:
    """See firmware.drivers for what a driver does; `read()` listens for a whole period and wants to be called at once."""

    CHANNELS = ("laeq", "lafmax")
    SETTINGS = ("mic_offset_cdb",)
    period_ms = 1000

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        offset_cdb: int = 0,
        floor_cdb: int = 2900,
        settle_ms: int = 1000,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = "I2S microphone, %d Hz" % RATE_HZ
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self.gaps_ms = 0  # lost since start, by samples counted against the clock
        self._i2s = bus
        self._clock = clock
        self._board_offset_cdb = offset_cdb
        self._offset_cdb = offset_cdb
        self._floor_cdb = floor_cdb
        self._settle_ms = settle_ms
        self._meter = Meter()
        self._block = bytearray(4 * _BLOCK)
        self._filled = 0
        self._last_ms = 0
        self._behind = 0  # frames by which the stream is behind the clock; falls back after a stall, not after a loss
        self._least = 0  # the least of it during the last period
        self._rest = 0  # what is no whole covered millisecond yet

    def configure(self, name: str, value: int) -> None:
        """`mic_offset_cdb` is added to the board's own offset: what a field calibration found."""
        if name == "mic_offset_cdb":
            self._offset_cdb = self._board_offset_cdb + value

    async def start(self) -> None:
        """Throw away what comes while microphone and filters settle. SensorError NO_ANSWER."""
        self.state = WARMUP
        self._meter = Meter()
        self._filled = 0
        self._rest = 0
        self.gaps_ms = 0
        await self._fill()  # the first block sets the stream against the clock
        self._last_ms = self._clock.ticks_ms()
        self._behind = 0
        await self._listen(self._settle_ms)
        self.state = READY

    async def _fill(self) -> None:
        """One whole block. SensorError NO_ANSWER when the receiver gives nothing."""
        view = memoryview(self._block)
        while self._filled < len(self._block):
            size = await self._i2s.readinto(view[self._filled :], _SILENCE_MS)
            if not size:
                raise SensorError(NO_ANSWER, retry=False, text="I2S receiver")
            self._filled += size
        self._filled = 0

    async def _listen(self, period_ms: int) -> int:
        """Meter whole blocks until `period_ms` have passed; their number of frames."""
        clock = self._clock
        self._meter.clear()
        frames = 0
        elapsed_ms = 0
        least = None
        while elapsed_ms < period_ms:
            await self._fill()
            now_ms = clock.ticks_ms()
            block_ms = clock.ticks_diff(now_ms, self._last_ms)
            self._last_ms = now_ms
            elapsed_ms += block_ms
            self._behind += block_ms * (RATE_HZ // 1000) - _BLOCK
            least = self._behind if least is None else min(least, self._behind)
            self._meter.feed(self._block, _BLOCK)
            frames += _BLOCK
        self._count_lost(least or 0)
        return frames

    def _count_lost(self, least: int) -> None:
        """Samples are gone if the stream never once caught up with the clock as it had before."""
        lost = least - self._least
        self._least = least
        if self.state == READY and lost > _GAP_FRAMES:
            self._break(lost)

    def _break(self, frames: int) -> None:
        """So many frames are not there, or are no sound."""
        lost_ms = frames * 1000 // RATE_HZ
        self.lost_ms += lost_ms
        self.gaps_ms += lost_ms

    async def read(self) -> "list[Reading]":
        """Levels of the last period. SensorError NO_ANSWER, SILENT, STUCK, SHIFTED."""
        self.covered_ms = 0
        self.lost_ms = 0
        if self.state != READY:
            raise SensorError(STALE, retry=False)
        frames = await self._listen(self.period_ms)
        meter = self._meter
        laeq = meter.laeq_cdb()
        lafmax = meter.lafmax_cdb()
        if laeq is None or lafmax is None or meter.constant_samples * 2 > frames:
            raise SensorError(STUCK if meter.peak else SILENT, detail=meter.peak)
        if meter.one_sided:
            raise SensorError(SHIFTED, detail=meter.peak)
        if meter.constant_samples:
            self._break(meter.constant_samples)
            frames -= meter.constant_samples
        laeq = max(laeq + self._offset_cdb, 0)
        lafmax = max(lafmax + self._offset_cdb, 0)
        flag = GOOD
        if meter.peak >= _CLIPPED or lafmax > _OVERLOAD_CDB or laeq < self._floor_cdb:
            flag = SUSPECT
        self.covered_ms, self._rest = divmod(frames * 1000 + self._rest, RATE_HZ)
        if self.lost_ms:
            flag = SUSPECT  # where samples are missing the signal jumps
        return [self.items[0] + (laeq, flag), self.items[1] + (lafmax, flag)]

    async def stop(self) -> None:
        """The receiver runs on; nobody listens."""
        self.state = WARMUP

    async def self_test(self) -> "list[TestRow]":
        """One period: samples that differ, level, peak."""
        rows = []
        try:
            if self.state != READY:
                await self.start()
            readings = await self.read()
            rows.append(("laeq 0.01 dB", readings[0][3] == GOOD, readings[0][2]))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        rows.append(("peak", 0 < self._meter.peak < _CLIPPED, self._meter.peak))
        rows.append(("gaps ms", self.gaps_ms == 0, self.gaps_ms))
        return rows
