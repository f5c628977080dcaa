"""What Sensirion's I2C chips share: 16-bit commands, and words of 16 bits with a CRC-8 after each.

No repeated start: command, stop, wait, then read.
"""

from firmware.drivers import BAD_CRC, NO_ANSWER, SensorError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# CRC-8, polynomial 0x31, start 0xFF: the remainder of each upper nibble.
_NIBBLES = b"\x00\x31\x62\x53\xc4\xf5\xa6\x97\xb9\x88\xdb\xea\x7d\x4c\x1f\x2e"


def crc8(data: bytes) -> int:
    """Checksum of one word (or any bytes)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        crc = (crc << 4 & 0xFF) ^ _NIBBLES[crc >> 4]
        crc = (crc << 4 & 0xFF) ^ _NIBBLES[crc >> 4]
    return crc


def with_crc(command: int, arguments: bytes = b"") -> bytes:
    """The bytes to write: command, then each argument word with its checksum (the command has none)."""
    out = bytearray(((command >> 8), command & 0xFF))
    for at in range(0, len(arguments), 2):
        word = arguments[at : at + 2]
        out.extend(word)
        out.append(crc8(word))
    return bytes(out)


def words(raw: "bytes | bytearray") -> "bytes | None":
    """The payload of an answer without its checksums; None if its length or one checksum is wrong."""
    if len(raw) % 3:
        return None
    out = bytearray(len(raw) // 3 * 2)
    for at in range(0, len(raw), 3):
        if crc8(raw[at : at + 2]) != raw[at + 2]:
            return None
        out[at // 3 * 2 : at // 3 * 2 + 2] = raw[at : at + 2]
    return bytes(out)


def scaled_float(word: bytes, scale: int) -> "int | None":
    """An IEEE-754 single (4 bytes, big endian) times `scale` as a rounded integer; None if it is no finite number.

    Integer arithmetic throughout: the same result on a board with single and a computer with double precision.
    """
    exponent = (word[0] & 0x7F) << 1 | word[1] >> 7
    if exponent == 255 or exponent > 190:  # infinite, not a number, or beyond anything a sensor means
        return None
    if exponent < 96:  # below 1e-9: zero, whatever the scale
        return 0
    mantissa = ((word[1] & 0x7F | 0x80) << 16 | word[2] << 8 | word[3]) * scale
    shift = 150 - exponent
    value = (mantissa + (1 << shift >> 1)) >> shift if shift > 0 else mantissa << -shift
    return -value if word[0] & 0x80 else value


class Commands:
    """Commands to one chip. `recover()` of the bus is tried when it hangs (anything but a missing acknowledge)."""

    def __init__(self, bus: "Any", clock: "Any", address: int) -> None:
        self._bus = bus
        self._clock = clock
        self._address = address

    def _failed(self, error: OSError, command: int) -> SensorError:
        if error.args and error.args[0] != 19:  # ENODEV: nobody there, and the bus is free
            self._bus.recover()
        return SensorError(NO_ANSWER, True, command, "chip at 0x%02x" % self._address)

    async def put(self, data: bytes, wait_ms: int, command: int) -> None:
        """Write bytes, then leave the chip its time. SensorError NO_ANSWER with the command as detail."""
        try:
            self._bus.writeto(self._address, data)
        except OSError as error:
            raise self._failed(error, command)
        if wait_ms:
            await self._clock.sleep_ms(wait_ms + 1)  # asyncio counts whole ticks: n of them last n - 1 to n ms

    def take(self, size: int, command: int) -> bytes:
        """The `size` payload bytes that the chip has for a command. SensorError NO_ANSWER or BAD_CRC."""
        raw = bytearray(size // 2 * 3)
        try:
            self._bus.readfrom_into(self._address, raw)
        except OSError as error:
            raise self._failed(error, command)
        payload = words(raw)
        if payload is None:
            raise SensorError(BAD_CRC, True, command)
        return payload

    async def send(self, command: int, wait_ms: int, arguments: bytes = b"") -> None:
        """A command of 16 bits with its argument words. SensorError NO_ANSWER."""
        await self.put(with_crc(command, arguments), wait_ms, command)

    async def ask(self, command: int, wait_ms: int, size: int) -> bytes:
        """The answer's `size` payload bytes. SensorError NO_ANSWER or BAD_CRC."""
        await self.send(command, wait_ms)
        return self.take(size, command)
