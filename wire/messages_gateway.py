"""The halves of layouts in wire/messages.py that only a gateway needs. Not shipped to boards."""

from wire import BOOT, UTC, WireError
from wire.messages import ACK_BITS, BOOT_NUMBER, PROFILES_MAX, U32, UPTIME_MS, UTC_S, Totals, put, take
from wire.profiles import decode_profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _take_time(data: bytes, at: int) -> "tuple[Any, int]":
    if at >= len(data):
        raise WireError("short")
    kind = data[at]
    if kind == 0:
        return None, at + 1
    if kind == UTC:
        return (UTC, take(data, at + 1, UTC_S)), at + 5
    if kind == BOOT:
        return (BOOT, take(data, at + 1, BOOT_NUMBER), take(data, at + 3, UPTIME_MS)), at + 8
    raise WireError("range")


def _take_totals(data: bytes, at: int) -> "tuple[Any, int]":
    return Totals(*[take(data, at + 4 * i, U32) for i in range(6)]), at + 24


def _take_ids(data: bytes, at: int) -> "tuple[Any, int]":
    if at >= len(data):
        raise WireError("short")
    count = data[at]
    if count > PROFILES_MAX:
        raise WireError("range")
    return tuple([take(data, at + 1 + 4 * i, U32) for i in range(count)]), at + 1 + 4 * count


def _take_profile(data: bytes, at: int) -> "tuple[Any, int]":
    return decode_profile(data[at:]), len(data)


def _put_window(out: bytearray, base: int, bits: int) -> None:
    """Nothing if no bit is set; else base u32 and up to 8 bytes, bit i of the number (the first byte is the lowest)
    meaning that seq base + i is stored. To the end of the payload."""
    if not isinstance(bits, int) or bits < 0 or bits >> ACK_BITS:
        raise ValueError("bits")
    put(out, U32, base)
    if not bits:
        out[-4:] = b""
    while bits:
        out.append(bits & 255)
        bits >>= 8


PUT: "dict[str, Any]" = {"window": _put_window}
TAKE: "dict[str, Any]" = {
    "time": _take_time,
    "totals": _take_totals,
    "profile ids": _take_ids,
    "descriptor": _take_profile,
}
