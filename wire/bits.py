"""Bits, most significant first, and the code for numbers whose usual size is known.

A number u >= 0 is written with a parameter k, its usual size being about 2**k. With m = u >> k:
m < 4 is written as m zeros, a one, then the k low bits of u (the Golomb-Rice code);
m >= 4 as q zeros, a one, then q - 3 + k bits, where q = 4, 5, 6 … stand for the ranges of m that begin at 4, 6, 10 …
(each twice as long as the one before: 4 + 2 + 4 + … + 2**(q - 4)). So a usual number costs what it carries and an
absurd one twice its length. Integers stay within 30 bits as long as the numbers do.
"""

from wire import WireError

_WINDOW = 24  # bytes that a reader loads at a time; a usual single record is one load
ZEROS_MAX = 36  # no number of 33 bits needs more, and it bounds what garbage can make a reader compute


def _bit_length(number: int) -> int:
    bits = 0
    for step in (64, 8, 1):
        while number >> step:
            number >>= step
            bits += step
    return bits + number


# Bits of a number >= 0 without leading zeros; 0 for 0. MicroPython's int does not have it.
bit_length = getattr(int, "bit_length", _bit_length)


class BitWriter:
    """Collects bits into bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._rest = 0  # fewer than 8 bits that are not yet a byte
        self._bits = 0

    def put(self, value: int, width: int) -> None:
        """`value` in `width` bits; the caller guarantees 0 <= value < 2**width."""
        while width > 22:  # 7 waiting bits and 22 new ones are still a small integer
            width -= 16
            self.put(value >> width & 0xFFFF, 16)
        rest = self._rest << width | value & ((1 << width) - 1)
        bits = self._bits + width
        while bits >= 8:
            bits -= 8
            self._bytes.append(rest >> bits & 255)
        self._rest = rest & ((1 << bits) - 1)
        self._bits = bits

    def number(self, number: int, k: int) -> None:
        """`number` >= 0 with parameter `k`."""
        m = number >> k
        zeros = m
        if m >= 4:
            m -= 4
            zeros = 4
            length = 2
            while m >= length:
                m -= length
                length <<= 1
                zeros += 1
        self.put(0, zeros)
        self.put(1, 1)
        if zeros >= 4:
            self.put(m, zeros - 3)
        self.put(number, k)

    def finish(self) -> bytes:
        """All bytes; the last one is filled with zeros."""
        if self._bits:
            self.put(0, 8 - self._bits)
        return bytes(self._bytes)


class BitReader:  # seldom
    """Reads what BitWriter wrote. `rest` is the number that the bits loaded and not yet taken form, `left` how many
    they are: a window of some bytes, because arithmetic on the whole of a long payload is slow and needs memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.rest = 0
        self.left = 0

    def load(self, size: int) -> None:
        """Load up to `size` more bytes."""
        chunk = self._data[self._at : self._at + size]
        self.rest = self.rest << 8 * len(chunk) | int.from_bytes(chunk, "big")
        self.left += 8 * len(chunk)
        self._at += len(chunk)

    def take(self, width: int) -> int:
        """The next `width` bits, at most 128; WireError `short`."""
        if self.left < width:
            self.load(_WINDOW)
        left = self.left - width
        if left < 0:
            raise WireError("short")
        value = self.rest >> left
        self.rest -= value << left
        self.left = left
        return value

    def number(self, k: int) -> int:
        """A number with parameter `k`, at most 24; WireError `short` or `range`."""
        if self.left < 100:  # ZEROS_MAX zeros, a one, and at most 57 bits
            self.load(_WINDOW)
        zeros = self.left - bit_length(self.rest)
        if zeros > ZEROS_MAX:
            raise WireError("range")
        if zeros < 4:
            return (zeros << k) + self.take(zeros + 1 + k) - (1 << k)
        width = zeros - 3 + k
        return ((2 << (zeros - 4)) + 2 << k) + self.take(zeros + 1 + width) - (1 << width)

    def finish(self) -> None:
        """WireError `long` unless nothing but the filling zeros of the last byte is left."""
        if self.left > 7 or self.rest or self._at < len(self._data):
            raise WireError("long")
