"""Sensirion SPS30 with SEL open: the particle sensor of tools.sim.chips.sps30 behind SHDLC frames (data sheet, "UART")."""

from collections.abc import Iterable
from typing import Any

from tools.sim.chips.base import Nack
from tools.sim.chips.serial_chip import LINE_FAULTS, RECEIVE_CAP, SerialChip
from tools.sim.chips.sps30 import ASLEEP, IDLE, MEASURING, SPS30
from tools.sim.world import World

_WAKE_WINDOW_US = 100_000
_MARK = 0x7E
_ESCAPE = 0x7D
_ESCAPED = {0x7E: 0x5E, 0x7D: 0x5D, 0x11: 0x31, 0x13: 0x33}
_PLAIN = {second: byte for byte, second in _ESCAPED.items()}

OK, LENGTH, UNKNOWN, PARAMETER, NOT_ALLOWED = 0x00, 0x01, 0x02, 0x04, 0x43


def shdlc(*fields: int, data: bytes = b"") -> bytes:
    """A frame of `fields`, then length and data, then what makes the sum of all bytes 255."""
    content = [*fields, len(data), *data]
    content.append(255 - sum(content) % 256)
    line = [_MARK]
    for byte in content:
        line += [_ESCAPE, _ESCAPED[byte]] if byte in _ESCAPED else [byte]
    return bytes([*line, _MARK])


def content_of(line: bytes) -> bytes | None:
    """Address, command, length and data of what stands between two marks; None if it is no frame."""
    content = []
    rest = iter(line)
    for byte in rest:
        content.append(_PLAIN.get(next(rest, 0), 0) if byte == _ESCAPE else byte)
    if len(content) < 4 or sum(content) % 256 != 255 or content[2] != len(content) - 4:
        return None
    return bytes(content[:-1])


class SPS30UART(SerialChip, SPS30):
    """The same parameters and hardware faults as on I2C; the line's faults are those of a UART."""

    BAUDRATE = 115_200
    CHECKSUM_AT = -2
    FAULTS = {name: text for name, text in SPS30.FAULTS.items() if name != "bad_crc"} | LINE_FAULTS

    def __init__(self, world: World, seed: int, *, faults: Iterable[str] = (), **params: Any) -> None:
        super().__init__(world, seed, faults=faults, **params)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._received = b""
        self._edge_us: int | None = None

    def hear(self, data: bytes, now_us: int) -> None:
        """Frames between marks. Asleep, the first byte only wakes the receiver, for 100 ms."""
        if self.state == ASLEEP and (self._edge_us is None or now_us - self._edge_us > _WAKE_WINDOW_US):
            self._edge_us = now_us
            self._received = b""
            data = data[1:]
        self._received = (self._received + data)[-RECEIVE_CAP:]
        while True:
            begin = self._received.find(_MARK)
            end = self._received.find(_MARK, begin + 1)
            if begin < 0 or end < 0:
                return
            content = content_of(self._received[begin + 1 : end])
            self._received = self._received[end + (content is not None) :]
            if content is not None and content[0] == 0:
                self._obey_frame(content[1], content[3:], now_us)

    def _obey_frame(self, command: int, data: bytes, now_us: int) -> None:
        if self.state == ASLEEP:
            if command != 0x11:
                return
            self.state = IDLE
            self._edge_us = None
            self._say(command, OK, b"", now_us)
            return
        self._advance(now_us)
        try:
            state, answer = self._done(command, data, now_us)
        except Nack:
            state, answer = NOT_ALLOWED, b""
        self._say(command, state, answer, now_us)

    def _say(self, command: int, state: int, answer: bytes, now_us: int) -> None:
        if self._status:
            state |= 0x80
        self.answer(shdlc(0, command, state, data=answer), now_us)

    def _done(self, command: int, data: bytes, now_us: int) -> tuple[int, bytes]:
        """(state, data) of the answer; Nack when the chip's state does not allow it."""
        if command == 0x00:
            if len(data) != 2:
                return LENGTH, b""
            if data not in (b"\x01\x03", b"\x01\x05"):
                return PARAMETER, b""
            self._start([data[1] << 8], now_us)
        elif command == 0x01:
            self._require(self.state == MEASURING, "stopped already")
            self._stop(now_us)
        elif command == 0x03:
            return OK, self._values_now()
        elif command == 0x10:
            self._require(self.state == IDLE and self.firmware >= (2, 0), "sleep is allowed when idle")
            self.state = ASLEEP
        elif command == 0x11:
            self._require(False, "awake already")
        elif command == 0x56:
            self._require(self.state == MEASURING, "cleaning while idle")
            self._cleaning_from_us = now_us
        elif command == 0x80:
            return self._interval_frame(data)
        elif command == 0xD3:
            self._boot(now_us, 100_000)
        else:
            return self._identity_frame(command, data)
        return OK, b""

    def _values_now(self) -> bytes:
        self._require(self.state == MEASURING, "values while idle")
        if self._value_tick <= self._read_tick or "no_new_data" in self.faults:
            return b""
        self._read_tick = self._value_tick
        return self._encoded()

    def _interval_frame(self, data: bytes) -> tuple[int, bytes]:
        if data[:1] != b"\x00":
            return PARAMETER, b""
        if len(data) == 1:
            return OK, self._interval_shown_s.to_bytes(4, "big")
        if len(data) != 5:
            return LENGTH, b""
        self.interval_s = int.from_bytes(data[1:], "big")
        if self.firmware >= (2, 2):
            self._interval_shown_s = self.interval_s
        return OK, b""

    def _identity_frame(self, command: int, data: bytes) -> tuple[int, bytes]:
        if command == 0xD0 and data == b"\x00":
            return OK, b"00080000\x00"
        if command == 0xD0 and data == b"\x03":
            return OK, self.serial.encode("ascii") + b"\x00"
        if command == 0xD1 and not data:
            return OK, bytes((*self.firmware, 0, 7, 0, 2, 0))
        if command == 0xD2 and len(data) == 1 and self.firmware >= (2, 2):
            shown = self._status
            if data == b"\x01":
                self._status = 0
            return OK, shown.to_bytes(4, "big") + b"\x00"
        return UNKNOWN, b""
