"""Frame counter and seq of one life, leased from flash so that neither ever comes twice.

Two files, `lease-<life>.a` and `.b`, written one after the other and read back:
    4 bytes "SLs1" | u32 counter_end | u32 seq_end | u32 crc32 of what precedes      (little endian)
All numbers below `counter_end` and `seq_end` may have been used. A number at or above its end is never used before
both copies name a higher end. A lease is at most 64 numbers and is taken at the first use, not at boot.

One copy unreadable: the other may be the older one, so the start is one whole lease beyond it. Both: `LeaseLost`; the
life transmits nothing and asks for provisioning.
"""

import binascii
import struct

LEASE = 64  # numbers a write buys; also what an unclean boot skips at most
_MAGIC = b"SLs1"
_SIZE = 16


class LeaseLost(Exception):
    """Neither copy is readable: only a new provisioning, with a new key, makes numbers safe again."""


def encode(counter_end: int, seq_end: int) -> bytes:
    head = _MAGIC + struct.pack("<II", counter_end, seq_end)
    return head + struct.pack("<I", binascii.crc32(head))


def decode(data: bytes) -> "tuple[int, int] | None":  # seldom
    if len(data) != _SIZE or data[:4] != _MAGIC or struct.unpack("<I", data[12:])[0] != binascii.crc32(data[:12]):
        return None
    return struct.unpack("<II", data[4:12])


def read_back(path: str) -> bytes:
    """A small file whole; empty if it cannot be read."""
    try:
        with open(path, "rb") as f:
            return f.read(256)
    except OSError:
        return b""


def write_back(path: str, data: bytes) -> None:
    """Write a small file; OSError if flash does not keep it."""
    with open(path, "wb") as f:
        f.write(data)
    if read_back(path) != data:
        raise OSError(5)  # EIO


class Leases:
    """`next_counter()` and `hold_seqs(end)` of one life. `seq` is where this boot's numbers begin."""

    def __init__(self, stem: str) -> None:  # seldom
        """Load `stem`.a and .b; raises LeaseLost."""
        self._paths = (stem + ".a", stem + ".b")
        copies = [decode(read_back(path)) for path in self._paths]
        known = [copy for copy in copies if copy is not None]
        if not known:
            raise LeaseLost(stem)
        self.counter = max(copy[0] for copy in known)
        self.seq = max(copy[1] for copy in known)
        self.repaired = len(known) == 1
        if self.repaired:
            self.counter += LEASE
            self.seq += LEASE
        self._counter_end = self.counter
        self._seq_end = self.seq
        if self.repaired:
            self._store(self._counter_end, self._seq_end)

    @staticmethod
    def create(stem: str) -> None:
        """The two copies of a new life. Existing ones stay: numbers never go back."""
        for path in (stem + ".a", stem + ".b"):
            try:
                with open(path, "rb"):
                    continue
            except OSError:
                write_back(path, encode(0, 0))

    def resume(self, counter: int, seq: int) -> None:  # seldom
        """Go on within a lease taken before a deep sleep, at the numbers that were next; ignored if flash does not
        show that lease."""
        if self.repaired:
            return
        if self._counter_end - LEASE <= counter <= self._counter_end and self._seq_end - LEASE <= seq <= self._seq_end:
            self.counter = counter
            self.seq = seq

    def _store(self, counter_end: int, seq_end: int) -> None:
        """OSError: flash refused, and no number beyond the former ends is leased."""
        data = encode(counter_end, seq_end)
        for path in self._paths:
            write_back(path, data)
        self._counter_end, self._seq_end = counter_end, seq_end

    def next_counter(self) -> int:
        """A frame counter never given before."""
        if self.counter >= self._counter_end:
            self._store(self.counter + LEASE, self._seq_end)
        self.counter += 1
        return self.counter - 1

    def hold_seqs(self, end: int) -> None:
        """Return only when every seq below `end` is leased; the outbox gives them out."""
        if end > self._seq_end:
            self._store(self._counter_end, end + LEASE - 1)
