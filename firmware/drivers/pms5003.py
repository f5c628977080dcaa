"""Plantower PMS5003 and PMSA003: particulate matter over UART (9600 8N1).

Active mode, the maker's default: a frame each 2.3 s, sooner while values change. Passive mode: on request. SET stays
open: the chip is put to sleep and woken by command. Two sets of masses come in each frame; which one is used is the
parameter `columns`, and `identity` says it.
"""

from firmware.drivers import BAD_CRC, CHIP_FAULT, SHIFTED, WARMUP, SensorError, const
from firmware.drivers.line import Line, LineSensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_MODE = const(0xE1)
_READ = const(0xE2)
_SLEEP = const(0xE4)

_DATA = b"\x1c"  # length of what follows, which begins a frame here
_ANSWER_MS = const(1000)
_REPORT_MS = const(3500)  # of active mode; after 2.3 s one is due
_SPAN_MS = const(2300)


def command(code: int, data: int = 0) -> bytes:
    """The 7 bytes of a command."""
    body = bytes((0x42, 0x4D, code, 0, data))
    return body + sum(body).to_bytes(2, "big")


def cut(buffer: bytes, at: int) -> "tuple[int, bytes | None, int]":
    """For `Line`: (next, low byte of the length and data, reason) of 42 4D, length (28 data, 4 answer), data, sum."""
    start = buffer.find(b"\x42", at)
    if start != at:
        return (len(buffer) if start < 0 else start), None, SHIFTED
    head = buffer[at + 1 : at + 4]
    if head[:2] != b"\x4d\x00"[: len(head)] or (len(head) == 3 and head[2] not in (4, 28)):
        return at + 1, None, SHIFTED
    end = at + 4 + head[2] if len(head) == 3 else len(buffer) + 1
    if len(buffer) < end:
        return at, None, 0
    if sum(buffer[at : end - 2]) != buffer[end - 2] << 8 | buffer[end - 1]:
        return at + 1, None, BAD_CRC  # or a byte was lost: the next frame may begin inside
    return end, buffer[at + 3 : end - 2], 0


def decode_data(frame: bytes, atmospheric: bool) -> "tuple[int, ...] | None":
    """(PM1, PM2.5, PM10 in 0.01 ug/m3; particles from 0.3 up to 0.5, 1, 2.5, 10 um in 0.01 /cm3) of a data frame.

    The chip counts what is larger than each size in 0.1 L: the differences are what other sensors give. None when
    sizes are in impossible order. SensorError CHIP_FAULT with the error byte.
    """
    if frame[26]:
        raise SensorError(CHIP_FAULT, retry=False, detail=frame[26])
    words = [frame[at] << 8 | frame[at + 1] for at in range(1, 25, 2)]
    masses = words[3:6] if atmospheric else words[:3]
    counts = words[6:]
    if sorted(masses) != masses:
        return None
    for at in range(5):
        if counts[at] < counts[at + 1]:
            return None
    return tuple([mass * 100 for mass in masses] + [counts[0] - counts[at] for at in (1, 2, 3, 5)])


class PMS5003(LineSensor):
    """See firmware.drivers for what a driver does. `mode` "active" or "passive", `columns` "atmospheric" or "cf1"."""

    CHANNELS = ("pm1", "pm2_5", "pm10", "nc0_5", "nc1", "nc2_5", "nc10")
    SETTINGS = ("sample_ms",)

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        mode: str = "active",
        columns: str = "atmospheric",
        warmup_ms: int = 30000,
        stuck_reads: int = 300,
    ) -> None:
        self._passive = mode == "passive"
        span_ms = self.period_ms if self._passive else _SPAN_MS
        LineSensor.__init__(self, Line(bus, clock, cut), clock, instance, warmup_ms, stuck_reads, span_ms)
        self._columns = columns

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least 1000, of a chip in passive mode; else it gives the pace."""
        if self._passive:
            LineSensor.configure(self, name, value)

    async def start(self) -> None:
        """Wake, set the mode, see a frame. SensorError NO_ANSWER, BAD_CRC, SHIFTED."""
        self.state = WARMUP
        self._running = False
        line = self._line
        # Bytes behind a wake-up may be lost while the chip wakes: the next try finds it awake.
        mode = command(_SLEEP, 1) + command(_MODE, int(not self._passive))
        if self._passive:
            await line.ask(mode, b"\x04\xe1", _ANSWER_MS, 3)
            frame = await line.ask(command(_READ), _DATA, _ANSWER_MS)
        else:
            frame = await line.ask(mode, _DATA, _REPORT_MS)  # some never answer a command: a frame is proof enough
        self.identity = "PMS5003 version 0x%02X, %s columns" % (frame[25], self._columns)
        self._begin()

    async def _report(self) -> bytes:
        if self._passive:  # after a brown-out it is in active mode: a frame that nobody asked for is as good
            return await self._line.ask(command(_READ), _DATA, _ANSWER_MS, 1)
        return await self._line.newest(_DATA, _REPORT_MS)

    def _decoded(self, frame: bytes) -> "tuple[int, ...] | None":
        return decode_data(frame, self._columns == "atmospheric")

    async def stop(self) -> None:
        """Asleep: fan and laser off."""
        self.state = WARMUP
        self._running = False
        try:
            await self._line.ask(command(_SLEEP), b"\x04\xe4", _ANSWER_MS)
        except SensorError:
            pass  # without an answer there is nothing more to stop

    async def self_test(self) -> "list[TestRow]":
        """Damaged frames, version, error byte and PM2.5 of one frame."""
        line = self._line
        rows = [("frames damaged", line.dropped * 100 <= line.frames, line.dropped)]
        try:
            frame = await self._report()
            rows.append(("version", True, frame[25]))
            rows.append(("error byte", frame[26] == 0, frame[26]))
            values = decode_data(frame, self._columns == "atmospheric")
            rows.append(("pm2_5 0.01 ug/m3", values is not None, values[1] if values else 0))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
