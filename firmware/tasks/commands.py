"""Commands from a gateway: each runs at most once, and not after its expiry.

The last 32 ids lie in `commands.a` and `.b` (two copies) before a command runs:
    4 bytes "SCm1" | u32 serial | u8 n | n * u32 id | u32 crc32       (little endian)
"""

import binascii
import struct

from wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MAGIC = b"SCm1"
KEPT = 32


def _decode(data: bytes) -> "tuple[int, list[int]] | None":
    if len(data) < 13 or data[:4] != _MAGIC or struct.unpack("<I", data[-4:])[0] != binascii.crc32(data[:-4]):
        return None
    count = data[8]
    if len(data) != 13 + 4 * count:
        return None
    return struct.unpack("<I", data[4:8])[0], [struct.unpack_from("<I", data, 9 + 4 * i)[0] for i in range(count)]


class Commands:
    """`run(code, arg) -> (result, value)` does it; `clock.utc_s()` judges the expiry."""

    def __init__(self, root: str, clock: "Any", run: "Callable[[int, int], tuple[int, int]]") -> None:
        self._paths = (root + "/commands.a", root + "/commands.b")
        self._clock = clock
        self._run = run
        self._serial = 0
        self._ids: "list[int]" = []
        for path in self._paths:
            try:
                with open(path, "rb") as f:
                    found = _decode(f.read())
            except OSError:
                continue
            if found and found[0] >= self._serial:
                self._serial, self._ids = found

    def take(self, command: "Any") -> "Any":
        """The CommandResult of a wire.messages.Command."""
        now_s = self._clock.utc_s()
        if command.id in self._ids:
            return messages.CommandResult(command.id, messages.REPEATED, 0)
        if now_s is None:
            return messages.CommandResult(command.id, messages.NO_CLOCK, 0)
        if now_s >= command.expiry_s:
            return messages.CommandResult(command.id, messages.EXPIRED, 0)
        self._remember(command.id)
        result, value = self._run(command.code, command.arg)
        return messages.CommandResult(command.id, result, value)

    def _remember(self, command_id: int) -> None:
        self._ids = (self._ids + [command_id])[-KEPT:]
        self._serial += 1
        data = _MAGIC + struct.pack("<IB", self._serial, len(self._ids))
        for known in self._ids:
            data += struct.pack("<I", known)
        data += struct.pack("<I", binascii.crc32(data))
        for path in self._paths:
            with open(path, "wb") as f:
                f.write(data)
