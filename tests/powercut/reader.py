"""An independent look into flash images: MicroPython's littlefs gives the files, and nothing of the firmware reads them.

The formats are read as their docstrings tell them (firmware/settings.py, leases.py, outbox/entries.py).
"""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.outbox_reader import Contents, read_segments
from tools.sim.interpreter import find

SCRIPT = Path(__file__).with_name("read_images.py")


class Unreadable(Exception):
    """littlefs does not mount this image."""


class Look(NamedTuple):
    """The files of an image: path -> (size, content)."""

    files: dict[str, tuple[int, bytes]]

    def settings(self) -> dict[str, Any] | None:
        """The payload of the readable copy with the higher version."""
        copies = [copy for copy in (self._settings("settings.a"), self._settings("settings.b")) if copy is not None]
        return max(copies, key=lambda copy: copy[0])[1] if copies else None

    def copies_agree(self) -> bool:
        return self.files.get("settings.a") == self.files.get("settings.b")

    def _settings(self, name: str) -> tuple[int, dict[str, Any]] | None:
        data = self.files.get(name, (0, b""))[1]
        if len(data) < 16 or data[:4] != b"SSt1" or zlib.crc32(data[:-4]) != struct.unpack("<I", data[-4:])[0]:
            return None
        version, length = struct.unpack("<II", data[4:12])
        return (version, json.loads(data[12:-4])) if len(data) == 16 + length else None

    def lease(self, life: int) -> tuple[int, int] | None:
        """(counter end, seq end) of the higher copy."""
        found = []
        for copy in "ab":
            data = self.files.get(f"lease-{life:08x}.{copy}", (0, b""))[1]
            if len(data) == 16 and data[:4] == b"SLs1" and zlib.crc32(data[:12]) == struct.unpack("<I", data[12:])[0]:
                found.append(struct.unpack("<II", data[4:12]))
        return (max(f[0] for f in found), max(f[1] for f in found)) if found else None

    def outbox(self, life: int) -> Contents:
        """What lies sealed of a life."""
        folder = f"outbox-{life:08x}/"
        names = sorted(name for name in self.files if name.startswith(folder) and name.endswith(".seg"))
        return read_segments([self.files[name][1] for name in names])

    def lives(self) -> set[int]:
        """Lives that have an outbox."""
        return {int(name[7:15], 16) for name in self.files if name.startswith("outbox-")}

    def structure(self) -> object:
        """All that is not the growth of a segment."""
        return {name: (0 if name.endswith(".seg") else content) for name, content in self.files.items()}


class Reader:
    """A MicroPython process that reads one image after the other."""

    def __init__(self) -> None:
        command = find().command(["-X", "heapsize=4m", str(SCRIPT)])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, path: Path, *, brief: bool = False) -> Look:
        """Raises Unreadable. `brief`: without what segments hold."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{'brief' if brief else 'full'} {path}\n")
        self._process.stdin.flush()
        files = {}
        while True:
            line = self._process.stdout.readline()
            assert line, "the reader of images has ended"
            if line == "ok\n":
                return Look(files)
            if line.startswith("error "):
                raise Unreadable(line[6:].strip())
            name, size, content = line.rstrip("\n").split(" ")
            files[name] = (int(size), bytes.fromhex(content))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
