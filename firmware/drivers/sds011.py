"""Nova SDS011: PM2.5 and PM10 over UART (9600 8N1), one report a second.

Its laser lives some 8000 h: a working period lets the chip itself rest between reports. Mode and period lie in the
chip's flash, so they are written only when they differ.
"""

from firmware.drivers import BAD_CRC, NO_ANSWER, READY, SHIFTED, WARMING_UP, WARMUP, SensorError, const
from firmware.drivers.line import Line, LineSensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_SET_MODE = const(2)
_QUERY = const(4)
_WORK = const(6)
_FIRMWARE = const(7)
_PERIOD = const(8)

_REPORT = b"\xc0"
_ANSWER_MS = const(1000)
_REPORT_MS = const(1500)  # the chip's second, and half a second for a busy board
_WORK_MS = const(30000)  # of a working period; its one report comes at the end
_RAW_MAX = const(9999)  # 999.9 ug/m3


def command(code: int, first: int = 0, second: int = 0) -> bytes:
    """The 19 bytes of a command to whichever SDS011 hears them."""
    body = bytes((code, first, second)) + bytes(10) + b"\xff\xff"
    return b"\xaa\xb4" + body + bytes((sum(body) & 0xFF, 0xAB))


def cut(buffer: bytes, at: int) -> "tuple[int, bytes | None, int]":
    """For `Line`: (next, kind and data, reason) of 10 bytes AA, kind (C0 report, C5 answer), 6 of data, checksum, AB."""
    start = buffer.find(b"\xaa", at)
    if start != at:
        return (len(buffer) if start < 0 else start), None, SHIFTED
    if len(buffer) > at + 1 and buffer[at + 1] not in (0xC0, 0xC5):
        return at + 1, None, SHIFTED
    if len(buffer) < at + 10:
        return at, None, 0
    if buffer[at + 9] != 0xAB:
        return at + 1, None, SHIFTED  # a byte was lost: the next frame may begin inside
    if sum(buffer[at + 2 : at + 8]) & 0xFF != buffer[at + 8]:
        return at + 1, None, BAD_CRC
    return at + 10, buffer[at + 1 : at + 8], 0


def decode_report(frame: bytes) -> "tuple[int, int] | None":
    """(PM2.5, PM10) in 0.01 ug/m3; None when out of the chip's range or more fine dust than dust."""
    fine = frame[1] | frame[2] << 8
    dust = frame[3] | frame[4] << 8
    return None if fine > dust or dust > _RAW_MAX else (fine * 10, dust * 10)


class SDS011(LineSensor):
    """See firmware.drivers for what a driver does. `mode` "active" or "query"; `working_period_min` 0: always on, else
    the chip works 30 s in so many minutes and reports once, by itself, whatever the mode."""

    CHANNELS = ("pm2_5", "pm10")
    SETTINGS = ("sample_ms",)

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        mode: str = "active",
        working_period_min: int = 0,
        warmup_ms: int = 30000,
        stuck_reads: int = 300,
    ) -> None:
        LineSensor.__init__(self, Line(bus, clock, cut), clock, instance, warmup_ms, stuck_reads)
        self._period_min = working_period_min
        self._queried = mode == "query" and not working_period_min
        self._report_ms = 0

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least 1000, of a chip that is queried; else it gives the pace."""
        if self._queried:
            LineSensor.configure(self, name, value)

    async def _command(self, code: int, first: int = 0, second: int = 0) -> bytes:
        return await self._line.ask(command(code, first, second), bytes((0xC5, code)), _ANSWER_MS)

    async def start(self) -> None:
        """Wake, identify, set mode and working period. SensorError NO_ANSWER, BAD_CRC, SHIFTED."""
        self.state = WARMUP
        self._running = False
        await self._command(_WORK, 1, 1)  # the first one may only wake it; `ask` sends a second
        answer = await self._command(_FIRMWARE)
        self.identity = "SDS011 %02X%02X firmware %d-%02d-%02d" % (
            answer[5],
            answer[6],
            answer[2],
            answer[3],
            answer[4],
        )
        for code, wanted in ((_SET_MODE, int(self._queried)), (_PERIOD, self._period_min)):
            if (await self._command(code))[3] != wanted:
                await self._command(code, 1, wanted)
        self._begin()
        self._report_ms = self._started_ms
        if self._period_min:
            self.state = READY  # its only report comes after 30 s of work

    async def _report(self) -> bytes:
        line = self._line
        if self._queried:
            return await line.ask(command(_QUERY), _REPORT, _ANSWER_MS, 1)
        if not self._period_min:
            return await line.newest(_REPORT, _REPORT_MS)
        clock = self._clock
        try:
            frame = await line.newest(_REPORT, self.period_ms)
        except SensorError as error:
            silent_ms = clock.ticks_diff(clock.ticks_ms(), self._report_ms)
            if error.reason == NO_ANSWER and silent_ms <= self._period_min * 60000 + _WORK_MS:
                raise SensorError(WARMING_UP)  # it rests, or works towards its report
            raise error
        self._report_ms = clock.ticks_ms()
        self._covered.restart()
        self._covered.period_ms = _WORK_MS
        return frame

    def _decoded(self, frame: bytes) -> "tuple[int, ...] | None":
        return decode_report(frame)

    async def stop(self) -> None:
        """Asleep: fan and laser off."""
        self.state = WARMUP
        self._running = False
        try:
            await self._command(_WORK, 1, 0)
        except SensorError:
            pass  # without an answer there is nothing more to stop

    async def self_test(self) -> "list[TestRow]":
        """Firmware (its date), mode, damaged frames; of a running chip also one report."""
        line = self._line
        rows = [("frames damaged", line.dropped * 100 <= line.frames, line.dropped)]
        try:
            answer = await self._command(_FIRMWARE)
            rows.append(("firmware date", True, answer[2] * 10000 + answer[3] * 100 + answer[4]))
            answer = await self._command(_SET_MODE)
            rows.append(("mode", answer[3] == int(self._queried), answer[3]))
            if self._running and not self._period_min:
                values = decode_report(await self._report())
                rows.append(("pm2_5 0.01 ug/m3", values is not None, values[0] if values else 0))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
