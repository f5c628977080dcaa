"""What drivers of chips share that measure by themselves and announce each new reading by a flag (SEN5x, SEN66, SCD41).

A driver says which commands its chip knows (READY with READY_MASK, READ with SIZE payload bytes, ASK_MS that an answer
takes), how to decode a reading, and how to start and stop.
"""

from firmware.drivers import (
    BAD,
    BAD_CRC,
    CHIP_FAULT,
    GOOD,
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
)
from firmware.drivers.sensirion import Commands
from wire import channels
from wire.quality import STATUS, WARM_UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading

_POLL_MS = const(50)


class Announced:
    """See firmware.drivers for what a driver does. `warmup_ms` counts from the start of the measurement."""

    CHANNELS: "tuple[str, ...]" = ()
    SETTINGS = ("sample_ms", "temperature_offset_cdeg")
    ADDRESS = 0
    READY = 0
    READY_MASK = 0
    READ = 0
    SIZE = 0
    ASK_MS = 0
    PATIENCE = 5  # readings in a row that did not come, then the chip is started anew: after a brown-out it is idle

    def __init__(self, bus: "Any", clock: "Any", instance: int, fastest_ms: int, warmup_ms: int, repeats: int) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.period_ms = fastest_ms
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._chip = Commands(bus, clock, self.ADDRESS)
        self._clock = clock
        self._fastest_ms = fastest_ms
        self._warmup_ms = self._needed_ms = warmup_ms
        self._started_ms = 0
        self._repeats = Repeats(repeats)
        self._covered = Covered(clock, fastest_ms)
        self._offset_mdeg = 0
        self._failed = 0  # in a row
        self._running = False
        self._sick = False  # was told to start anew
        self._bad = 0  # channels whose part of the chip is broken, a bit each in the order of CHANNELS
        self._suspect = 0
        self._learners = 0  # indices that did not get back what they had learned

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least the chip's own period; `temperature_offset_cdeg` is added to the temperature alone."""
        if name == "sample_ms":
            self.period_ms = self._covered.period_ms = max(value, self._fastest_ms)
        elif name == "temperature_offset_cdeg":
            self._offset_mdeg = value * 10

    def decode(self, payload: bytes) -> "tuple[int | None, ...] | None":
        """Values in the order of CHANNELS, None for one that the chip does not know (yet); None for an impossible one."""
        raise NotImplementedError

    async def _attend(self) -> None:
        """Look after the chip, once a reading. SensorError."""

    def _began(self, needed_ms: int) -> None:
        """Values are valid `needed_ms` from now on."""
        self.state = WARMUP
        self._started_ms = self._clock.ticks_ms()
        self._needed_ms = needed_ms
        self._covered.restart()
        self._running = True

    def _warm(self) -> bool:
        return self._clock.ticks_diff(self._clock.ticks_ms(), self._started_ms) >= self._needed_ms

    async def read(self) -> "list[Reading]":
        """The newest values. SensorError NO_ANSWER, BAD_CRC, STALE, RANGE, STUCK, CHIP_FAULT, WARMING_UP.

        A channel that the chip does not know is left out; one whose part of the chip is broken is flagged BAD.
        """
        self.covered_ms = 0
        try:
            return await self._valid()
        except SensorError as error:
            self._sick = not error.retry
            raise error

    async def _valid(self) -> "list[Reading]":
        if not self._running:
            raise SensorError(STALE, retry=False)
        try:
            payload = await self._newest()
            await self._attend()
        except SensorError as error:
            if error.reason == STALE and self.state == WARMUP and not self._warm():
                raise SensorError(WARMING_UP)
            if error.reason != BAD_CRC:  # starting anew does not help a noisy line, and takes a warm-up
                self._failed += 1
                error.retry = self._failed % self.PATIENCE != 0
            raise error
        self._failed = 0
        if self.state == WARMUP:
            if not self._warm():
                raise SensorError(WARMING_UP)
            self.state = READY
        values = self.decode(payload)
        if values is None:
            raise SensorError(RANGE)
        if self._repeats.seen(payload):
            raise SensorError(STUCK, retry=self._repeats.worth_waiting())
        found = self._flagged(values)
        self.covered_ms = self._covered.reading()
        return found

    def _flagged(self, values: "tuple[int | None, ...]") -> "list[Reading]":
        found = []
        broken = True
        for at, value in enumerate(values):
            flag = GOOD
            if self._bad >> at & 1:
                flag = BAD | STATUS << 4
            elif self._suspect >> at & 1:
                flag = SUSPECT | STATUS << 4
            elif self._learners >> at & 1:
                flag = SUSPECT | WARM_UP << 4
            if flag & 15 < BAD:
                if value is None:
                    continue
                broken = False
                if self.CHANNELS[at] == "temperature":
                    value += self._offset_mdeg
            found.append(self.items[at] + (value or 0, flag))
        if not found:
            raise SensorError(STALE)
        if broken:
            raise SensorError(CHIP_FAULT, retry=False, detail=self._bad)
        return found

    async def _newest(self) -> bytes:
        """The payload of a reading that is newer than the last one; SensorError STALE when none comes in time."""
        clock, chip = self._clock, self._chip
        began = clock.ticks_ms()
        while True:
            flag = await chip.ask(self.READY, self.ASK_MS, 2)
            if (flag[0] << 8 | flag[1]) & self.READY_MASK:
                return await chip.ask(self.READ, self.ASK_MS, self.SIZE)
            if clock.ticks_diff(clock.ticks_ms(), began) >= 3 * self._fastest_ms // 2:
                raise SensorError(STALE)
            await clock.sleep_ms(_POLL_MS)
