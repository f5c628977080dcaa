"""Sensirion SPS30 over UART (115200 8N1, pin SEL open): the same chip, commands in SHDLC frames.

What it does and how its values are judged is that of firmware.drivers.sps30; here is what goes over the line.
"""

from firmware.drivers import BAD_CRC, REFUSED, SHIFTED, STALE, SensorError, const
from firmware.drivers.line import Line
from firmware.drivers.sps30 import SPS30

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STOP = const(0x0104)
_WAKE = const(0x1103)
_SERIAL = const(0xD033)

_READ = const(0x03)

# Command of the I2C interface -> SHDLC command and the data before its arguments.
_COMMANDS = {
    0x0010: b"\x00\x01",
    0x0104: b"\x01",
    0x1001: b"\x10",
    0x1103: b"\x11",
    0x5607: b"\x56",
    0x8004: b"\x80\x00",
    0xD033: b"\xd0\x03",
    0xD100: b"\xd1",
    0xD206: b"\xd2\x00",
    0xD210: b"\xd2\x01",
    0xD304: b"\xd3",
}

_ANSWER_MS = const(100)  # the maker allows 20 ms, the longest frame takes 8 ms on the line
_FRAME_MAX = const(95)  # 45 bytes, every one of them stuffed, and a little
_STUFFED = b"\x7e\x7d\x11\x13"
_NOT_NOW = const(0x43)  # "command not allowed in current state"
_FAULT = const(0x80)  # of the state byte: some bit of the status word is set


def frame(command: int, data: bytes = b"") -> bytes:
    """The bytes of a command: mark, address 0, command, length, data, checksum, mark; stuffed in between."""
    body = bytes((0, command, len(data))) + data
    out = bytearray(b"\x7e")
    for byte in body + bytes((~sum(body) & 0xFF,)):
        if byte in _STUFFED:
            out.append(0x7D)
            byte ^= 0x20
        out.append(byte)
    out.append(0x7E)
    return bytes(out)


def cut(buffer: bytes, at: int) -> "tuple[int, bytes | None, int]":
    """For `Line`: (next, command, state, data, reason) of an answer: address, command, state, length, data, checksum.

    The mark that ends a frame stays: it may begin the next one.
    """
    start = buffer.find(b"\x7e", at)
    if start != at:
        return (len(buffer) if start < 0 else start), None, SHIFTED
    end = buffer.find(b"\x7e", at + 1)
    if end < 0:
        return (at + 1, None, SHIFTED) if len(buffer) - at > _FRAME_MAX else (at, None, 0)
    if end == at + 1:
        return end, None, 0
    body = bytearray()
    stuffed = 0
    for byte in buffer[at + 1 : end]:
        if byte == 0x7D:
            stuffed = 0x20
        else:
            body.append(byte ^ stuffed)
            stuffed = 0
    if sum(body) & 0xFF != 0xFF:
        return end, None, BAD_CRC
    if len(body) < 5 or len(body) != 5 + body[3]:
        return end, None, SHIFTED
    return end, bytes(body[1:3] + body[4:-1]), 0


class Shdlc:
    """Commands to the chip as firmware.drivers.sensirion.Commands takes them; each frame's checksum is checked."""

    def __init__(self, uart: "Any", clock: "Any") -> None:
        self.line = Line(uart, clock, cut)
        self.faulty = False  # the last answer said that the status word is worth a look

    async def exchange(self, data: bytes, tolerated: int = 0, tries: int = 2) -> bytes:
        """The data of the answer to a command (its number, then its data). SensorError NO_ANSWER, BAD_CRC, SHIFTED;
        REFUSED with the chip's error code as detail, unless it is `tolerated`."""
        answer = await self.line.ask(frame(data[0], data[1:]), data[:1], _ANSWER_MS, tries)
        self.faulty = answer[1] >= _FAULT
        code = answer[1] & ~_FAULT
        if code and code != tolerated:
            raise SensorError(REFUSED, retry=False, detail=code)
        return answer[2:]

    async def send(self, command: int, wait_ms: int, arguments: bytes = b"") -> None:
        """SensorError as `exchange`."""
        if command == 0x0010:
            arguments = arguments[:1]  # 03 float, 05 integers; I2C fills up to a word
        await self.exchange(_COMMANDS[command] + arguments, _NOT_NOW if command in (_STOP, _WAKE) else 0)

    async def ask(self, command: int, wait_ms: int, size: int) -> bytes:
        """At least `size` bytes of an answer, fewer of a text. SensorError as `exchange`."""
        answer = await self.exchange(_COMMANDS[command])
        if len(answer) < size and command != _SERIAL:
            raise SensorError(SHIFTED, detail=len(answer))
        return answer[:size]


class SPS30UART(SPS30):
    """See firmware.drivers.sps30; the same channels and parameters."""

    def __init__(
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
        SPS30.__init__(self, None, clock, instance, mode, warmup_ms, clean_interval_s, clean_at_start, stuck_reads)
        self._chip = Shdlc(bus, clock)

    async def _wake(self) -> None:
        """Out of sleep: the edge of any byte wakes the receiver; the command must follow within 100 ms."""
        self._chip.line.write(b"\xff")
        try:
            await self._chip.send(_WAKE, 5)
        except SensorError:
            pass  # whether it is awake shows with the next command

    async def _fresh(self) -> "bytes | None":
        payload: bytes = await self._chip.exchange(bytes((_READ,)), 0, 1)  # values are told once: no second try
        if self._chip.faulty:
            self._until_status = 0
        if not payload:
            return None
        if len(payload) != (40 if self._floats else 20):
            raise SensorError(STALE, retry=False, detail=len(payload))  # it measures, but not as it was told to
        return payload
