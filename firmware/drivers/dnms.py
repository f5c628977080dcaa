"""DNMS (Digital Noise Measurement Sensor: a Teensy with a microphone of its own) over I2C, address 0x55, at 100 kHz.

Each question closes an interval and begins the next; its levels are handed out once, after that they are 0.0. Highest
and lowest level are those of short blocks (some 35 ms), without time weighting: `laeq_max` and `laeq_min`, not LAFmax.
A Teensy that restarts is not there for seconds, and has forgotten which microphone was chosen.
"""

from firmware.drivers import (
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    WRONG_CHIP,
    Covered,
    Repeats,
    SensorError,
    const,
)
from firmware.drivers.sensirion import Commands, scaled_float
from wire import channels
from wire.quality import OVERLOAD, UNDERRANGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

ADDRESS = 0x55

_RESET = const(0x0001)
_VERSION = const(0x0002)
_CALCULATE = const(0x0003)
_DATA_READY = const(0x0004)
_LEVELS = const(0x0005)
_SPECTRUM = const(0x0012)  # unweighted, of the interval that was closed last: 31 bands in parts of 8, 8, 8, 7
_BANDS = const(29)  # 25 Hz to 16 kHz: the first and the last of the module have no channel
_CHOOSE = {"ics43434": 0x001B, "im72d128": 0x001C}  # firmware 5.3 and 5.8 on; measuring begins anew

_ANSWER_MS = const(2)  # for the Teensy to lay the answer ready
_POLL_MS = const(5)
_READY_MS = const(200)  # the maker's host gives up then
_STALE_MAX = const(5)  # in a row, then it is started anew
_HIGHEST_CDB = const(14000)  # beyond any of its microphones
_OVERLOAD_CDB = {"ics43434": 11600, "im72d128": 12600}  # a little below the microphone's limit


def decode_levels(payload: bytes) -> "tuple[int, int, int]":
    """12 bytes of three singles -> (LAeq, lowest, highest) in 0.01 dB. SensorError STALE (were handed out before), RANGE."""
    if payload == bytes(12):
        raise SensorError(STALE)
    values = [scaled_float(payload[at : at + 4], 100) for at in (0, 4, 8)]
    laeq, lowest, highest = values
    if laeq is None or lowest is None or highest is None or not 0 < lowest <= laeq <= highest <= _HIGHEST_CDB:
        raise SensorError(RANGE)
    return laeq, lowest, highest


def decode_bands(payload: bytes) -> "list[int]":
    """Singles of a part of a spectrum -> 0.01 dB each. SensorError RANGE."""
    found = []
    for at in range(0, len(payload), 4):
        level = scaled_float(payload[at : at + 4], 100)
        if level is None or not -_HIGHEST_CDB <= level <= _HIGHEST_CDB:
            raise SensorError(RANGE, detail=_SPECTRUM)
        found.append(level)
    return found


def decode_version(payload: bytes) -> str:
    """The text of 18 bytes. SensorError WRONG_CHIP if it does not begin with DNMS."""
    text = payload.split(b"\0")[0]
    if not text.startswith(b"DNMS") or max(text) > 126 or min(text) < 32:
        raise SensorError(WRONG_CHIP, retry=False, detail=payload[0] << 8 | payload[1], text="no DNMS at 0x55")
    return text.decode()


class DNMS:
    """See firmware.drivers for what a driver does. `third_octaves` (its firmware 5 on): one-third octave bands as well."""

    CHANNELS = ("laeq", "laeq_max", "laeq_min")
    SETTINGS = ("mic_offset_cdb", "sample_ms")
    period_ms = 1000

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        microphone: str = "as set",
        offset_cdb: int = 0,
        floor_cdb: int = 2900,
        warmup_ms: int = 2000,
        stuck_reads: int = 30,
        third_octaves: int = 0,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        if third_octaves:
            first = channels.id_of("lzeq_25")
            self.items += tuple([(first + band, instance) for band in range(_BANDS)])
        self._third_octaves = third_octaves
        self._chip = Commands(bus, clock, ADDRESS)
        self._clock = clock
        self._choose = _CHOOSE.get(microphone, 0)
        self._overload_cdb = _OVERLOAD_CDB.get(microphone, 11600)
        self._board_offset_cdb = self._offset_cdb = offset_cdb
        self._floor_cdb = floor_cdb
        self._warmup_ms = warmup_ms
        self._repeats = Repeats(stuck_reads)
        self._covered = Covered(clock, self.period_ms)
        self._running = False
        self._started_ms = 0
        self._silent = False
        self._stale = 0

    def configure(self, name: str, value: int) -> None:
        """`mic_offset_cdb` is added to the board's own offset; `sample_ms`, at least 1000, is the interval of a level."""
        if name == "mic_offset_cdb":
            self._offset_cdb = self._board_offset_cdb + value
        elif name == "sample_ms":
            self.period_ms = self._covered.period_ms = max(value, 1000)

    async def start(self) -> None:
        """Identify, choose the microphone, begin to measure. SensorError NO_ANSWER, BAD_CRC, WRONG_CHIP."""
        chip = self._chip
        self.state = WARMUP
        self._running = False
        self.identity = decode_version(await chip.ask(_VERSION, _ANSWER_MS, 18))
        if self._choose:
            await chip.send(self._choose, 20)
        await chip.send(_RESET, _ANSWER_MS)
        self._started_ms = self._clock.ticks_ms()
        self._silent = False
        self._stale = 0
        self._covered.restart()
        self._running = True

    async def read(self) -> "list[Reading]":
        """Levels since the last reading. SensorError NO_ANSWER, BAD_CRC, STALE, RANGE, STUCK, WARMING_UP."""
        self.covered_ms = 0
        if not self._running:
            raise SensorError(STALE, retry=False)
        try:
            payload = await self._interval()
            if self.state == WARMUP:
                if self._clock.ticks_diff(self._clock.ticks_ms(), self._started_ms) >= self._warmup_ms:
                    self.state = READY
                raise SensorError(WARMING_UP)  # this interval is still of that time
            laeq, lowest, highest = decode_levels(payload)
            bands = await self._bands() if self._third_octaves else []
        except SensorError as error:
            self._count_failure(error)
            raise
        self._silent = False
        self._stale = 0
        if self._repeats.seen(payload):
            raise SensorError(STUCK, retry=self._repeats.worth_waiting())
        flag = GOOD
        if highest > self._overload_cdb:
            flag = SUSPECT | OVERLOAD << 4
        elif laeq < self._floor_cdb:
            flag = SUSPECT | UNDERRANGE << 4
        self.covered_ms = self._covered.reading()
        readings = []
        for item, level in zip(self.items, [laeq, highest, lowest] + bands):
            level += self._offset_cdb
            # Below 0 dB is no value of a channel: it goes on as it is, and the window refuses it with this reason.
            readings.append(item + (level, SUSPECT | UNDERRANGE << 4 if level < 0 else flag))
        return readings

    async def _interval(self) -> bytes:
        """Close the interval; its levels as they come. SensorError STALE when they are not ready in time."""
        chip = self._chip
        await chip.send(_CALCULATE, _POLL_MS)
        began_ms = self._clock.ticks_ms()
        while not (await chip.ask(_DATA_READY, _ANSWER_MS, 2))[1] & 1:
            if self._clock.ticks_diff(self._clock.ticks_ms(), began_ms) >= _READY_MS:
                await chip.send(_RESET, _ANSWER_MS)  # what the maker's host does then
                raise SensorError(STALE)
            await self._clock.sleep_ms(_POLL_MS)
        return await chip.ask(_LEVELS, _ANSWER_MS, 12)

    async def _bands(self) -> "list[int]":
        """0.01 dB of each band, of the same interval."""
        bands: "list[int]" = []
        for part in range(4):
            bands += decode_bands(await self._chip.ask(_SPECTRUM + part, _ANSWER_MS, 32 if part < 3 else 28))
        return bands[1:-1]

    def _count_failure(self, error: SensorError) -> None:
        """Not there twice in a row: it restarts, and must be told again what to do."""
        if error.reason == NO_ANSWER:
            error.retry = not self._silent
            self._silent = True
        elif error.reason == STALE:
            self._stale += 1
            error.retry = self._stale < _STALE_MAX

    async def stop(self) -> None:
        """It knows no rest: it measures on, nobody asks."""
        self.state = WARMUP
        self._running = False

    async def self_test(self) -> "list[TestRow]":
        """Version, chosen microphone, one interval of a second."""
        rows: "list[TestRow]" = []
        try:
            rows.append((decode_version(await self._chip.ask(_VERSION, _ANSWER_MS, 18)), True, 0))
            await self._interval()
            await self._clock.sleep_ms(1000)
            laeq, lowest, highest = decode_levels(await self._interval())
            rows.append(("laeq 0.01 dB", laeq >= self._floor_cdb, laeq + self._offset_cdb))
            rows.append(("lowest 0.01 dB", True, lowest + self._offset_cdb))
            rows.append(("highest 0.01 dB", highest <= self._overload_cdb, highest + self._offset_cdb))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
