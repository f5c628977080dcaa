"""The board's flash chip: an image file, NOR rules, time charges, and faults at any operation.

littlefs sees blocks of 4096 bytes; the chip erases a block in 45 ms, every 200th in 400 ms, and programs a page of 256
bytes in 0.7 ms (DESIGN 5). The file is written operation by operation: killing the host leaves what a power cut leaves.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.errors import UsageError

BLOCK = 4096
PAGE = 256
DEFAULT_BYTES = 2 * 1024 * 1024  # the file system's share of an ESP32's 4 MB
ERASE_US = 45_000
SLOW_ERASE_US = 400_000
SLOW_ERASE_EVERY = 200
PAGE_PROGRAM_US = 700
READ_US = 15  # 128 bytes at some 10 MB/s; littlefs reads no more at once


class PowerCut(Exception):
    """The supply failed during this operation."""


class Operation(NamedTuple):
    """One operation that changes the flash."""

    number: int  # counted from 1 since the image was opened
    kind: str  # "prog" or "erase"
    address: int
    length: int
    data: bytes = b""  # of a prog: what the driver gave


class Flash:
    """An image file, opened by one process at a time.

    `cut_at`: the number of the operation during which power fails; `torn` says how many bytes of it still happen.
    `watch`, if set, sees every changing operation before it is done and may raise PowerCut.
    `direct`: the interpreter reads the image itself, uncounted, which is many times faster.
    `counts`: reads, progs, erases, rewrites (bits programmed from 0 to 1 without an erase: a bug of the driver).
    """

    def __init__(self, path: Path | str, size: int = DEFAULT_BYTES) -> None:
        self.path = Path(path)
        self.counts: Counter[str] = Counter()
        self.cut_at: int | None = None
        self.torn = 0
        self.watch: Callable[[Operation], None] | None = None
        self.trace: list[Operation] | None = None
        self.direct = True
        self.new = not self.path.exists()
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(
                f"the flash file cannot be opened: {error.strerror}",
                where=str(self.path),
                next_step="Name a file in a folder of yours",
            ) from None
        self._lock()
        length = os.fstat(self._fd).st_size
        if length == 0:
            self.new = True
            os.ftruncate(self._fd, size)
            for start in range(0, size, 1 << 16):
                os.pwrite(self._fd, b"\xff" * min(1 << 16, size - start), start)
            length = size
        if length % BLOCK:
            self.close()
            raise UsageError(
                f"the file has {length} bytes, a flash image has whole blocks of {BLOCK}",
                where=str(self.path),
                next_step="Name another file, or remove this one",
            )
        self.blocks = length // BLOCK

    def _lock(self) -> None:
        owner = self.path.with_name(self.path.name + ".pid")
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            try:
                who = f"process {int(owner.read_text())}"
            except (OSError, ValueError):
                who = "another process"
            raise UsageError(
                f"{who} uses this flash file",
                where=str(self.path),
                next_step="End that simulated board first, or name another file",
            ) from None
        owner.write_text(f"{os.getpid()}\n")
        self._owner = owner

    @property
    def image_fd(self) -> int | None:
        """For the interpreter, to read from."""
        return self._fd if self.direct else None

    def close(self) -> None:
        """Give the file back."""
        self._owner.unlink(missing_ok=True)
        os.close(self._fd)

    def read(self, address: int, length: int) -> bytes:
        self.counts["reads"] += 1
        return os.pread(self._fd, length, address)

    def prog(self, address: int, data: bytes) -> int:
        """Clear bits; returns what it takes in us."""
        self._begin("prog", address, data)
        old = os.pread(self._fd, len(data), address)
        value = int.from_bytes(data, "big")
        kept = value & int.from_bytes(old, "big")
        if kept != value:
            self.counts["rewrites"] += 1
            data = kept.to_bytes(len(data), "big")
        os.pwrite(self._fd, data, address)
        self.counts["progs"] += 1
        self.counts["prog_bytes"] += len(data)
        pages = (address + len(data) - 1) // PAGE - address // PAGE + 1
        return pages * PAGE_PROGRAM_US

    def erase(self, block: int) -> int:
        """Set a block to FF; returns what it takes in us."""
        self._begin("erase", block * BLOCK, b"\xff" * BLOCK)
        os.pwrite(self._fd, b"\xff" * BLOCK, block * BLOCK)
        self.counts["erases"] += 1
        return SLOW_ERASE_US if self.counts["erases"] % SLOW_ERASE_EVERY == 0 else ERASE_US

    def _begin(self, kind: str, address: int, data: bytes) -> None:
        number = self.counts["progs"] + self.counts["erases"] + 1
        operation = Operation(number, kind, address, len(data), data if kind == "prog" else b"")
        if self.trace is not None:
            self.trace.append(operation)
        try:
            if self.watch is not None:
                self.watch(operation)
            if self.cut_at is not None and number >= self.cut_at:
                raise PowerCut
        except PowerCut:
            self._tear(kind, address, data)
            raise

    def _tear(self, kind: str, address: int, data: bytes) -> None:
        """What is left of the operation: its first `torn` bytes, and for an erase also half-cleared bits behind."""
        count = min(self.torn, len(data))
        if count:
            old = os.pread(self._fd, count, address)
            part = data[:count] if kind == "erase" else bytes(a & b for a, b in zip(old, data, strict=False))
            os.pwrite(self._fd, part, address)
