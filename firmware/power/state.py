"""What a board remembers in RTC memory while it sleeps: integers under a CRC.

4 bytes "SLp1" | values, each a varint: 0 = none, else 1 + zigzag | u32 crc32 of what precedes
"""

import binascii

from firmware.outbox.entries import get_values, put_value

_MAGIC = b"SLp1"
SIZE_MAX = 2048  # bytes of RTC memory


def encode(values: "list[int | None]") -> bytes:
    out = bytearray(_MAGIC)
    for value in values:
        put_value(out, value)
    out += binascii.crc32(out).to_bytes(4, "little")
    return bytes(out)


def decode(data: bytes) -> "list[int | None] | None":
    """The values, None if anything about the memory is wrong."""
    if len(data) < 8 or data[:4] != _MAGIC or int.from_bytes(data[-4:], "little") != binascii.crc32(data[:-4]):
        return None
    try:
        return get_values(data[:-4], 4)
    except IndexError:
        return None
