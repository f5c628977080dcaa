"""An independent reader of a node's outbox, written from the page in firmware/outbox/entries.py and from nothing else.

Tests ask it what lies sealed in a flash image; it imports nothing of the firmware.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools.sim import image
from tools.sim.flash import Flash

RECORD, GAP, HEALTH, EVENT, ACKED, GRID, DROP = range(2, 9)


@dataclass
class Contents:
    """What the segments of a life hold."""

    sealed: dict[int, tuple[int, ...]] = field(default_factory=dict)  # seq of each record -> time
    gaps: list[tuple[int, int, int]] = field(default_factory=list)  # first, count, cause
    others: set[int] = field(default_factory=set)  # seqs of health and events
    totals: list[int] = field(default_factory=list)  # of the newest checkpoint
    next_seq: int = 0  # of the newest checkpoint
    torn: int = 0  # segments with a damaged end


def read_entries(data: bytes) -> Iterator[tuple[int, bytes] | None]:
    """(kind, body) up to the first that is damaged, then None."""
    at = 0
    while at < len(data):
        if at + 6 > len(data):
            yield None
            return
        (head,) = struct.unpack_from("<H", data, at)
        end = at + 2 + (head & 0xFFF)
        if end + 4 > len(data) or zlib.crc32(data[at:end]) != struct.unpack_from("<I", data, end)[0]:
            yield None
            return
        yield head >> 12, data[at + 2 : end]
        at = end + 4


def _time(body: bytes, at: int) -> tuple[int, ...]:
    if body[at] == 1:
        return 1, struct.unpack_from("<I", body, at + 1)[0]
    if body[at] == 2:
        return 2, struct.unpack_from("<I", body, at + 1)[0], int.from_bytes(body[at + 5 : at + 11], "little")
    return ()


def read_segments(segments: list[bytes]) -> Contents:
    """All of a life, its segments in the order of their numbers."""
    found = Contents()
    for data in segments:
        for entry in read_entries(data):
            if entry is None:
                found.torn += 1
                continue
            kind, body = entry
            if kind == 1:
                found.next_seq = struct.unpack_from("<I", body, 9)[0]
                found.totals = list(struct.unpack_from("<6I", body, 13))
            elif kind == RECORD:
                found.sealed[struct.unpack_from("<I", body)[0]] = _time(body, 5)
            elif kind == GAP:
                first, count, cause = struct.unpack_from("<IIB", body)
                found.gaps.append((first, count, cause))
            elif kind in (HEALTH, EVENT):
                found.others.add(struct.unpack_from("<I", body)[0])
    return found


def read_folder(folder: Path) -> Contents:
    """The outbox of one life in a folder of files."""
    return read_segments([path.read_bytes() for path in sorted(folder.glob("*.seg"))])


_READ_OUTBOXES = """
import os, binascii
for folder in os.listdir("/"):
    if folder.startswith("outbox-"):
        print("life", folder[7:])
        for name in sorted(os.listdir("/" + folder)):
            with open("/" + folder + "/" + name, "rb") as f:
                print("segment", name, binascii.hexlify(f.read()).decode())
"""


def read_segments_of(flash: Path) -> dict[int, dict[str, bytes]]:
    """The segments of each life's outbox in a flash image, by name, oldest first; the file is not changed."""
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        copy = Path(folder) / "copy.flash"
        shutil.copyfile(flash, copy)
        opened = Flash(copy)
        try:
            text = image.execute(opened, _READ_OUTBOXES)
        finally:
            opened.close()
    lives: dict[int, dict[str, bytes]] = {}
    segments: dict[str, bytes] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "life":
            segments = lives.setdefault(int(rest, 16), {})
        elif word == "segment":
            name, _, data = rest.partition(" ")
            segments[name] = bytes.fromhex(data)
    return lives


def read_flash(flash: Path) -> dict[int, Contents]:
    """What each life's outbox holds in a flash image; the file is not changed."""
    return {life: read_segments(list(segments.values())) for life, segments in read_segments_of(flash).items()}
