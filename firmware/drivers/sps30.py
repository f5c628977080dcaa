"""Sensirion SPS30: particulate matter over I2C (address 0x69, at most 100 kHz).

A new value each second, announced by a flag; reading without it gives the old values again. The fan cleans itself by
an interval that the chip counts only while it has power, so the driver also cleans at start, inside the warm-up.
"""

from firmware.drivers import (
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    Covered,
    Repeats,
    SensorError,
    const,
    seldom,
)
from firmware.drivers.sensirion import Commands, scaled_float
from wire import channels
from wire.quality import STATUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

ADDRESS = 0x69
CARE = "firmware.drivers.sps30_care"

_STOP = const(0x0104)
_DATA_READY = const(0x0202)
_READ = const(0x0300)
_SLEEP = const(0x1001)
_WAKE = const(0x1103)
_CLEAN = const(0x5607)
_STATUS = const(0xD206)

FAN_FAILED = 1 << 4
LASER_FAILED = 1 << 5
FAN_SPEED = 1 << 21  # off by more than 10 %

_READY_POLL_MS = const(50)
_READY_MS = const(1500)  # the chip's second is 1 +- 0.04 s
CLEANING_MS = const(12000)  # 10 s at full speed, and time to slow down
_STATUS_EVERY = const(30)  # readings
_STALE_MAX = const(10)  # in a row: 15 s; a cleaning that the chip began by itself takes 10 s
_SILENT_MAX = const(3)  # in a row, then it is started anew: after a brown-out it is idle


def decode_floats(payload: bytes) -> "tuple[int, ...] | None":
    """40 bytes of ten singles -> ten integers (0.01 ug/m3, 0.01 /cm3, 0.1 nm); None if one is no plausible number."""
    return _plausible([scaled_float(payload[at : at + 4], 10000 if at == 36 else 100) for at in range(0, 40, 4)])


def decode_integers(payload: bytes) -> "tuple[int, ...] | None":
    """20 bytes of ten 16-bit integers (ug/m3, /cm3, nm) -> as `decode_floats`."""
    values = [(payload[at] << 8 | payload[at + 1]) for at in range(0, 20, 2)]
    return _plausible([value * (10 if at == 9 else 100) for at, value in enumerate(values)])


def _plausible(values: "list[int | None]") -> "tuple[int, ...] | None":
    """The values as a tuple if they are numbers, not negative and ordered: what is below 1 um is also below 10 um."""
    numbers: "list[int]" = []
    for at, value in enumerate(values):
        if value is None or value < 0:
            return None
        if at not in (0, 4, 9) and value < numbers[-1]:
            return None
        numbers.append(value)
    return tuple(numbers)


class SPS30:
    """See firmware.drivers for what a driver does."""

    CHANNELS = ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "nc1", "nc2_5", "nc4", "nc10", "typical_size")
    SETTINGS = ("sample_ms",)
    period_ms = 1000

    def __init__(  # seldom
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        mode: str = "float",
        warmup_ms: int = 30000,
        clean_interval_s: int = 604800,
        clean_at_start: int = 1,
        stuck_reads: int = 120,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._chip: "Any" = Commands(bus, clock, ADDRESS)
        self._clock = clock
        self._floats = mode == "float"
        self._warmup_ms = warmup_ms
        self._clean_interval_s = clean_interval_s
        self._clean_at_start = clean_at_start
        self._repeats = Repeats(stuck_reads)
        self._covered = Covered(clock, self.period_ms)
        self._running = False
        self._started_ms = 0
        self._needed_ms = warmup_ms
        self._until_clean_ms = clean_interval_s * 970  # the chip counts the interval, this is a little earlier
        self._sleeps = False
        self._has_status = False
        self._status = 0
        self._until_status = 0
        self._stale = 0
        self._silent = 0

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least 1000: the chip has a new reading each second (DS 4.2)."""
        if name == "sample_ms":
            self.period_ms = self._covered.period_ms = max(value, 1000)

    async def start(self) -> None:
        """Idle, identify, set the cleaning interval, measure. SensorError NO_ANSWER, BAD_CRC, WRONG_CHIP."""
        await seldom(CARE, "start")(self)

    async def _wake(self) -> None:  # seldom
        """Out of sleep: the first of two commands only wakes the bus, unacknowledged."""
        for _ in range(2):
            try:
                await self._chip.send(_WAKE, 5)
            except SensorError:
                pass  # expected; whether it is awake shows with the next command

    def _warm(self) -> bool:
        elapsed_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._started_ms)
        return elapsed_ms >= self._needed_ms

    async def read(self) -> "list[Reading]":
        """The newest values. SensorError NO_ANSWER, BAD_CRC, STALE, RANGE, STUCK, CHIP_FAULT, WARMING_UP."""
        self.covered_ms = 0
        if not self._running:
            raise SensorError(STALE, False)
        self._until_clean_ms -= self.period_ms
        if self._clean_interval_s and self._until_clean_ms < self._clean_interval_s * -90:
            self._until_clean_ms = self._clean_interval_s * 970
            await self.clean()  # long due: it was without supply, and counts anew
        try:
            payload = await self._newest()
        except SensorError as error:
            if error.reason == STALE and self.state == READY and self._clean_interval_s and self._until_clean_ms <= 0:
                self._until_clean_ms = self._clean_interval_s * 970
                self._cleans()  # by itself, and tells nobody
            if error.reason == STALE and self.state == WARMUP and not self._warm():
                raise SensorError(WARMING_UP)  # while the fan cleans itself nothing new comes, and nothing is wrong
            self._count_failure(error)
            raise error
        self._stale = self._silent = 0
        if self.state == WARMUP:
            if not self._warm():
                raise SensorError(WARMING_UP)
            self.state = READY
        await self._check_status()
        values = decode_floats(payload) if self._floats else decode_integers(payload)
        if values is None:
            raise SensorError(RANGE)
        if self._repeats.seen(payload):
            raise SensorError(STUCK, self._repeats.worth_waiting())
        flag = SUSPECT | STATUS << 4 if self._status & FAN_SPEED else GOOD
        self.covered_ms = self._covered.reading()
        return [self.items[at] + (value, flag) for at, value in enumerate(values)]

    async def _fresh(self) -> "bytes | None":
        """The payload of a reading that nobody has read yet; None while there is none."""
        ready = await self._chip.ask(_DATA_READY, 0, 2)
        return await self._chip.ask(_READ, 0, 40 if self._floats else 20) if ready[1] & 1 else None

    async def _newest(self) -> bytes:
        """The payload of a reading that is newer than the last one; SensorError STALE when none comes in time."""
        began = self._clock.ticks_ms()
        while True:
            payload = await self._fresh()
            if payload is not None:
                return payload
            if self._clock.ticks_diff(self._clock.ticks_ms(), began) >= _READY_MS:
                raise SensorError(STALE)
            await self._clock.sleep_ms(_READY_POLL_MS)

    def _count_failure(self, error: SensorError) -> None:
        """Too many in a row of one kind: reading again will not help, starting anew may."""
        if error.reason == STALE:
            self._stale += 1
            error.retry = self._stale < _STALE_MAX
        elif error.reason == NO_ANSWER:
            self._silent += 1
            error.retry = self._silent < _SILENT_MAX

    async def _check_status(self) -> None:
        """Ask now and then, and each time while something is wrong. SensorError CHIP_FAULT."""
        self._until_status -= 1
        if not self._has_status or self._until_status > 0:
            return
        payload = await self._chip.ask(_STATUS, 5, 4)
        self._status = int.from_bytes(payload, "big")
        self._until_status = 1 if self._status else _STATUS_EVERY
        if self._status & (FAN_FAILED | LASER_FAILED):
            raise SensorError(CHIP_FAULT, False, self._status)

    async def clean(self) -> None:  # seldom
        """Clean the fan now; values are not valid for 12 s (the state goes back to WARMUP), or until a whole warm-up is over."""
        await self._chip.send(_CLEAN, 5)
        self._cleans()

    def _cleans(self) -> None:
        self._started_ms = self._clock.ticks_ms()
        self._needed_ms = max(CLEANING_MS, self._needed_ms if self.state == WARMUP else 0)
        self.state = WARMUP

    async def stop(self) -> None:
        """Fan and laser off; asleep if its firmware can (2.0)."""
        self.state = WARMUP
        self._running = False
        try:
            await self._chip.send(_STOP, 20)
            if self._sleeps:
                await self._chip.send(_SLEEP, 5)
        except SensorError:
            pass  # without an answer there is nothing more to stop

    async def self_test(self) -> "list[TestRow]":
        """Version, cleaning interval, status word; of a running chip also one reading."""
        rows: "list[TestRow]" = await seldom(CARE, "self_test")(self)
        return rows
