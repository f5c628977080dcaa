"""Flash images: a fresh one with firmware and no settings, and snippets that run on an image while its board is off."""

from __future__ import annotations

import functools
import json
import os
import selectors
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from boards import Board as Description
from gateway.keys import Life
from tools import firmware_build
from tools.errors import SteigerError, UsageError
from tools.sim.board import Board
from tools.sim.flash import DEFAULT_BYTES, Flash
from tools.sim.interpreter import Interpreter, find
from tools.sim.timers import VirtualTime

SLOT = "a"
SNIPPET_S = 60.0  # a snippet that takes longer hangs
PROVISION = "from firmware import settings\nsettings.provision({!r})\n"

# Fetches the host's files one after the other and writes them.
_INSTALL = """
import os
part = bytearray(1024)
number = 0
while True:
    count = simbus.call(ops.FILE, number, -1, None, part)
    if count < 0:
        break
    name = bytes(part[:count]).decode()
    place = name.find("/", 1)
    while place > 0:
        try:
            os.mkdir(name[:place])
        except OSError:
            pass
        place = name.find("/", place + 1)
    with open(name, "wb") as f:
        offset = 0
        while True:
            count = simbus.call(ops.FILE, number, offset, None, part)
            if not count:
                break
            f.write(memoryview(part)[:count])
            offset += count
    number += 1
print(number)
"""


def execute(
    flash: Flash,
    code: str,
    *,
    interpreter: Interpreter | None = None,
    files: Mapping[str, bytes] | None = None,
    format: bool = False,
    root: Path | None = None,
    uid: bytes = b"\0" * 6,
) -> str:
    """Run a snippet with the flash mounted as `/`, without its board's program; returns what it prints.

    No time is charged. `files`: what the snippet may fetch from the host. SteigerError with the last line of a traceback.
    """
    board = Board(VirtualTime(), flash, interpreter or find(), uid=uid, world_start_s=0)
    board.script = code
    board.format = format
    board.files = list((files or {}).items())
    board.root_folder = root
    board.powered = True
    board._start()
    deadline = time.monotonic() + SNIPPET_S
    with selectors.DefaultSelector() as ready:
        process = board.process
        assert process is not None
        ready.register(process.request_fd, selectors.EVENT_READ)
        ready.register(process.stdout_fd, selectors.EVENT_READ)
        while board.process is not None and board.script_result is None:
            left = deadline - time.monotonic()
            if left <= 0 or b">>> " in board.script_output[-8:]:  # the stub itself failed: a prompt
                break
            for key, _ in ready.select(left):
                if key.fd == process.request_fd:
                    request = process.read_request()
                    if not request:
                        board.ended()
                        break
                    board.serve(request)
                else:
                    board.take_output()
    board._stop()
    text = board.script_output.decode(errors="replace").replace("\r\n", "\n")
    if board.script_result != 0:
        last = text.strip().splitlines()[-1:] or ["nothing"]
        raise SteigerError(f"a snippet on the flash image failed: {last[0]}", where=str(flash.path))
    return text


def provision_code(life: Life, values: Mapping[str, int]) -> str:
    """A snippet that gives the board settings and key of a life, as its provisioning would."""
    new = {"address": life.address, "key": life.key.hex(), "provisioned_s": life.provisioned_s, "values": values}
    return PROVISION.format(json.dumps(new))


def board_files(
    description: Description,
    interpreter: Interpreter,
    change: firmware_build.Change | None = None,
    *,
    linked: bool = True,
) -> dict[str, bytes]:
    """All files of a fresh, unprovisioned flash: path -> content. `change`: of the sources, `linked` False: each module by
    itself, both for laboratories."""
    slot = firmware_build.slot_files(description, interpreter.arch, "sim", change, linked=linked)
    root = firmware_build.root_files(description, simulated=True)
    return {f"/{SLOT}/{name}": content for name, content in slot.items()} | {
        f"/{name}": content for name, content in root.items()
    }


def install(flash: Flash, files: Mapping[str, bytes], *, interpreter: Interpreter | None = None) -> None:
    """Format the flash and write `files`."""
    execute(flash, _INSTALL, interpreter=interpreter, files=files, format=True)
    flash.new = False


def fresh(description: Description, interpreter: Interpreter, size: int = DEFAULT_BYTES) -> bytes:
    """A flash image with the board's firmware; kept in the cache."""
    files = board_files(description, interpreter)
    key = repr((sorted(files.items()), size, str(interpreter), interpreter.mpy)).encode()
    return firmware_build.cached("image", key, functools.partial(_fresh, files, interpreter, size))


def _fresh(files: Mapping[str, bytes], interpreter: Interpreter, size: int) -> bytes:
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        path = Path(folder) / "flash.bin"
        flash = Flash(path, size)
        try:
            install(flash, files, interpreter=interpreter)
        finally:
            flash.close()
        return path.read_bytes()


def make(path: Path, description: Description, interpreter: Interpreter, size: int = DEFAULT_BYTES) -> None:
    """Write a fresh image to `path`, whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as new:
            try:
                new.write(fresh(description, interpreter, size))
                new.flush()
                os.replace(new.name, path)
            except BaseException:
                os.unlink(new.name)
                raise
    except OSError as error:
        raise UsageError(
            f"the flash file cannot be made: {error.strerror}",
            where=str(path),
            next_step="Name a file in a folder of yours",
        ) from None


def read_files(flash: Flash, *, interpreter: Interpreter | None = None) -> dict[str, str]:
    """SHA-256 (hex) of every file on the flash, by path."""
    text = execute(
        flash,
        """
import os, hashlib
def walk(folder):
    for entry in os.ilistdir(folder or "/"):
        path = folder + "/" + entry[0]
        if entry[1] & 0x4000:
            walk(path)
        else:
            h = hashlib.sha256()
            with open(path, "rb") as f:
                while True:
                    part = f.read(512)
                    if not part:
                        break
                    h.update(part)
            print(path, h.digest().hex())
walk("")
""",
        interpreter=interpreter,
    )
    found = {}
    for line in text.splitlines():
        path, _, digest = line.rpartition(" ")
        found[path] = digest
    return found
