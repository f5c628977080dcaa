"""What drivers of LoRa chips share: what is wanted, when to begin, when a frame ended. Surface: firmware.drivers.radio."""

from firmware.drivers import const, seldom
from wire.airtime import airtime_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

    Heard = tuple[bytes, int, int, int, int, int]

FRAME_MAX = const(255)
MARGIN_MS = const(50)  # what an operation may take longer than it must
SEARCH_SYMBOLS = const(29)  # from the begin of a preamble until its header was read: 12.25 and 8, and what SF12 rounds
_LATE_US = const(2000)
_POLL_MS = const(5)
_TAIL_US = const(400)  # from the command to the first symbol: the synthesizer locks, the amplifier rises


class LoraChip:
    """See firmware.drivers.radio. Fields that start with _ belong to the drivers."""

    _done = 0  # flags that end an operation
    _care = ""  # the module with what is seldom done: prove, start, self_test

    def __init__(self, port: "Any", clock: "Any", options: dict) -> None:
        self.port = self._port = port  # the first for whoever asks what time it is there
        self._clock = clock
        self._options = options
        self._buf = memoryview(bytearray(FRAME_MAX + 3))
        self._wanted = (868100000, 9, 14, False)
        self._freq_hz = self._sf = self._power_dbm = 0  # what the chip is set to
        self._irq_us = -1  # the interrupt that is known already
        self._listening = self._asleep = False
        self.crc_errors = self.header_errors = 0
        self.missed_irqs = 0  # the chip was done, and its line did not say so, or said so all the time
        self.identity = ""
        seldom(self._care, "prove")(self)

    async def start(self) -> None:
        """Reset, calibrate, configure. OSError, with a word."""
        self._freq_hz = self._sf = self._power_dbm = 0
        self._listening = self._asleep = False
        await seldom(self._care, "start")(self)

    async def self_test(self) -> "list[TestRow]":
        """Starts the radio anew; what a technician reads."""
        rows: "list[TestRow]" = await seldom(self._care, "self_test")(self)
        return rows

    def tune(self, freq_hz: int, sf: int, power_dbm: int, inverted: bool) -> None:
        """Frequency, spreading factor 7 to 12, power at the chip's output (the nearest that it has), direction of chirps."""
        if (freq_hz, sf, power_dbm, inverted) != self._wanted:
            self._wanted = (freq_hz, sf, power_dbm, inverted)
            self._listening = False

    def _flags(self) -> int:
        """The chip's interrupt flags."""
        raise NotImplementedError

    async def _event(self, timeout_ms: int) -> int:
        """The flags when one of `_done` is among them, or at the deadline.

        A line that tells nothing costs the time until the deadline; one that is stuck high is asked now and then, else
        nobody else would have a turn.
        """
        clock = self._clock
        begun_ms = clock.ticks_ms()
        left_ms = timeout_ms
        stuck = False
        while True:
            told = await self._port.wait_irq(left_ms)
            flags = self._flags()
            if flags & self._done:
                if stuck or not told:
                    self.missed_irqs += 1
                return flags
            left_ms = timeout_ms - clock.ticks_diff(clock.ticks_ms(), begun_ms)
            if not told or left_ms <= 0:
                return flags
            stuck = True
            await clock.sleep_ms(_POLL_MS)

    async def _await(self, at_us: "int | None") -> None:
        """Until `at_us`: asleep first, then awake for at most 2 ms."""
        if at_us is None:
            return
        port = self._port
        left_us = port.us_diff(at_us, port.now_us())
        if left_us >= 2000:
            await self._clock.sleep_ms(left_us // 1000)  # lasts up to a millisecond less
        while port.us_diff(at_us, port.now_us()) > 0:
            pass

    def _ended(self, begun_us: int, length: int) -> int:
        """`now_us` of the end of a frame that was sent from `begun_us` on.

        The interrupt is told late while flash is written or memory collected, and not at all by an open line: then the
        chip's own time is known.
        """
        port = self._port
        air_us = airtime_us(length, self._sf)
        end_us: int = port.irq_us()
        late_us: int = port.us_diff(end_us, begun_us) - air_us
        return end_us if 0 <= late_us < _LATE_US else port.us_add(begun_us, air_us + _TAIL_US)

    def _told(self) -> int:
        """When the interrupt came; now, if there was none since the last one."""
        port = self._port
        irq_us: int = port.irq_us()
        if irq_us == self._irq_us:
            irq_us = port.now_us()
        else:
            self._irq_us = irq_us
        return irq_us

    def _longest_ms(self) -> int:
        """The longest frame at this spreading factor."""
        return airtime_us(FRAME_MAX, self._sf) // 1000
