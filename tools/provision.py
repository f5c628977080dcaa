"""Firmware, settings and a fresh key onto a board, and the board into the gateway's key file.

The same for a simulated and a real board: both are reached by mpremote. What is on the board already is compared by
SHA-256 and left alone. New firmware goes into the slot that does not run; every file is read back; the switch is one
write at the end, so that a cable pulled at any time leaves a board that starts. The key goes into the key file first:
a record can never be sealed under a key that nobody has.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boards import Board
from gateway import keys as key_file
from tools import firmware_build
from tools.board_link import BoardError, BoardLink
from tools.errors import SteigerError, UsageError
from tools.sim.control import require_micropython
from wire import channels
from wire.profiles import Profile, distinct
from wire.settings import by_name

# sys.implementation._mpy >> 10, in MicroPython's own order (py/persistentcode.h)
ARCHES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)  # fmt: skip
_HARMLESS = ("window_s", "health_s", "log_level")  # settings that change no value's meaning
OLDEST = (1, 25)  # asyncio, vfs and the .mpy format that the firmware is built for

# What is on a board is printed file by file: a hundred hashes kept at once would tear a small heap to pieces.
_SHA = """
import os, sys, hashlib, binascii, gc
gc.collect()
_buf = memoryview(bytearray(2048))
def _sha(p):
    d = hashlib.sha256()
    with open(p, 'rb') as f:
        while True:
            n = f.readinto(_buf)
            if not n:
                break
            d.update(_buf[:n])
    print('file', binascii.hexlify(d.digest()).decode(), p)
"""
_LOOK = (
    _SHA
    + """
def _walk(p):
    for e in os.ilistdir(p):
        n = p + '/' + e[0]
        if e[1] & 0x4000:
            _walk(n)
        else:
            _sha(n)
            gc.collect()
names = os.listdir()
for n in ('boot.py', 'main.py', 'board.json'):
    if n in names:
        _sha(n)
for n in ('a', 'b'):
    if n in names:
        _walk(n)
pointer = None
for n in ('slot.a', 'slot.b'):
    try:
        with open(n) as f:
            t = f.read().split(' ')
        if len(t) == 4 and int(t[3], 16) == binascii.crc32((' '.join(t[:3])).encode()):
            if pointer is None or int(t[2]) > pointer[1]:
                pointer = [t[0], int(t[2])]
    except (OSError, ValueError):
        pass
answer = {'name': sys.implementation.name, 'version': sys.implementation.version[:3], 'platform': sys.platform,
    'mpy': getattr(sys.implementation, '_mpy', 0), 'slot': pointer[0] if pointer else None}
"""
)

_MAKE_FOLDERS = """
import os
def _drop(p):
    for e in os.ilistdir(p):
        n = p + '/' + e[0]
        if e[1] & 0x4000:
            _drop(n)
            os.rmdir(n)
        else:
            os.remove(n)
for n in REMOVE:
    os.remove(n)
for n in FOLDERS:
    try:
        os.mkdir(n)
    except OSError:
        pass
answer = True
"""

_SWITCH = """
import os, sys
for n in RENAME:
    os.rename(n + '.new', n)
root = os.getcwd().rstrip('/')
path = root + '/' + SLOT
if path in sys.path:
    sys.path.remove(path)
sys.path.insert(0, path)
for n in list(sys.modules):
    if n.split('.')[0] in ('firmware', 'wire'):
        del sys.modules[n]
from firmware import settings, slots
answer = settings.provision(NEW)
slots.write_pointer(root, SLOT, CONFIRMED)
try:
    os.remove(root + '/attempts')
except OSError:
    pass
"""


class Provisioned(NamedTuple):
    """What came of it. The key is in the key file and on the board, nowhere else."""

    port: str
    address: int
    board: str
    life: int
    provisioned_s: int
    copied: int  # files that were written; the others were there already
    slot: str


class Plan(NamedTuple):
    """What has to be written so that the board runs this firmware."""

    slot: str  # where the firmware will run from
    files: dict[str, bytes]  # name on the board -> content, of those that differ
    remove: list[str]  # files of the target slot that do not belong there
    staged: list[str]  # root files, written beside and renamed at the end
    switched: bool  # another slot than the one that runs now


def plan(look: Mapping[str, Any], slot_files: Mapping[str, bytes], root_files: Mapping[str, bytes]) -> Plan:
    """Compare what lies on the board (`look`, of `_LOOK`) with what should."""
    there: Mapping[str, str] = look["files"]
    running = look["slot"]

    def differing(slot: str) -> dict[str, bytes]:
        return {
            f"{slot}/{name}": content
            for name, content in slot_files.items()
            if there.get(f"{slot}/{name}") != hashlib.sha256(content).hexdigest()
        }

    slot = running or "a"
    files = differing(slot)
    if files and running and any(name.startswith(f"{running}/") for name in there):
        slot = "b" if running == "a" else "a"  # what runs is never touched
        files = differing(slot)
    remove = [name for name in there if name.startswith(f"{slot}/") and name[2:] not in slot_files]
    staged = [n for n, content in root_files.items() if there.get(n) != hashlib.sha256(content).hexdigest()]
    files.update({f"{name}.new": root_files[name] for name in staged})
    return Plan(slot, files, remove, staged, bool(running) and slot != running)


def firmware_target(look: Mapping[str, Any], port: str) -> tuple[str, str]:
    """(arch, hal port) for the board that answered; SteigerError if it cannot run this firmware."""
    version = tuple(look["version"][:2])
    if look["name"] != "micropython" or version < OLDEST:
        raise SteigerError(
            f"the board runs {look['name']} {'.'.join(map(str, look['version']))}, "
            f"MicroPython {'.'.join(map(str, OLDEST))} or newer is needed",
            where=port,
            next_step="Flash a current MicroPython first: docs/field-guide.md",
        )
    index = int(look["mpy"]) >> 10
    arch = ARCHES[index] if index < len(ARCHES) else ""
    if not arch:
        raise SteigerError(
            "the board's MicroPython has no native code", where=port, next_step="Use an ESP32 or S3 image"
        )
    return arch, "esp32" if look["platform"] == "esp32" else "sim"


def first_descriptors(board: Board, values: Mapping[str, int]) -> tuple[str, ...]:
    """The profiles that the board will begin with, as hex: who has the key file can read its first record.

    Nothing where a setting is given that changes what values mean: the board names that set by a number of its own, and
    tells it when asked.
    """
    if any(name.partition(".")[0] not in _HARMLESS for name in values):
        return ()
    taken: set[int] = set()
    descriptors = []
    for entry in board.profiles:
        window_s = values.get(f"window_s.{entry.window_setting}", by_name("window_s").default)
        parts = [name.partition(":") for name in entry.items]
        items = tuple((channels.by_name(name).id, int(instance or 0)) for name, _, instance in parts)
        profile = distinct(Profile(items, window_s), taken)
        taken.add(profile.short)
        descriptors.append(profile.encode().hex())
    return tuple(descriptors)


def new_key() -> bytes:
    """A fresh random key."""
    return secrets.token_bytes(16)


def provision(
    port: str,
    board: Board,
    address: int,
    *,
    keys: Path,
    now_s: Callable[[], int],
    key: bytes | None = None,
    name: str = "",
    values: Mapping[str, int] | None = None,
    said: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Provisioned:
    """Provision the board on `port`; SteigerError (NoConnection, BoardError) says what to do when it cannot be done.

    Until the board has taken the settings, the key file is put back as it was on failure.
    """
    if not 1 <= address <= 0xFFFF:
        raise UsageError(f"address {address} is not 1..65535")
    require_micropython(port)
    link = BoardLink(port, said)
    said(f"{port}: asking the board what it is")
    look, there = link.ask_and_read(_LOOK)
    look["files"] = _hashes(there)
    arch, hal_port = firmware_target(look, port)
    todo = plan(
        look,
        firmware_build.slot_files(board, arch, hal_port),
        firmware_build.root_files(board, simulated=hal_port == "sim"),
    )
    _write_files(link, todo, said, progress)
    key = key or new_key()
    begun_s = now_s()  # the grid begins with the window in which the board gets its key, not with the copying before
    life = key_file.Life(
        address=address, key=key, board=board.name, name=name, provisioned_s=begun_s,
        profiles=first_descriptors(board, values or {}),
    )  # fmt: skip
    before = keys.read_bytes() if keys.exists() else None
    key_file.add_life(keys, life)
    new = {"address": address, "key": key.hex(), "provisioned_s": begun_s, "values": dict(values or {})}
    said(f"{port}: writing settings and key, switching to slot {todo.slot}")
    try:
        link.ask(
            f"SLOT = {todo.slot!r}\nRENAME = {todo.staged!r}\nNEW = {json.dumps(new)!r}\n"
            f"CONFIRMED = {not todo.switched}\n{_SWITCH}"
        )
    except SteigerError as error:
        _take_back(keys, life, before)
        if isinstance(error, BoardError) and "ValueError" in error.what:
            raise UsageError(error.what.split("ValueError:")[-1].strip(), where=port) from None
        raise
    link.reset()
    return Provisioned(port, address, board.name, life.life, begun_s, len(todo.files), todo.slot)


def provision_shims(
    control: Callable[[dict[str, Any]], dict[str, Any]],
    board: Board,
    address: int,
    *,
    keys: Path,
    now_s: Callable[[], int],
    values: Mapping[str, int] | None = None,
) -> Provisioned:
    """The same for a simulated board without MicroPython: its firmware lies there, its process runs the last step."""
    key = new_key()
    begun_s = now_s()
    life = key_file.Life(
        address=address, key=key, board=board.name, provisioned_s=begun_s,
        profiles=first_descriptors(board, values or {}),
    )  # fmt: skip
    new = {"address": address, "key": key.hex(), "provisioned_s": begun_s, "values": dict(values or {})}
    before = keys.read_bytes() if keys.exists() else None
    key_file.add_life(keys, life)
    code = (
        "import os\nfrom firmware import settings, slots\n"
        f"print(settings.provision({json.dumps(new)!r}))\nslots.write_pointer(os.getcwd().rstrip('/'), 'a', True)\n"
    )
    answer = control({"do": "run", "code": code})
    if not answer.get("ok"):
        _take_back(keys, life, before)
        raise BoardError(f"the board said: {answer.get('error', answer)}", where=board.name)
    return Provisioned("", address, board.name, life.life, begun_s, 0, "a")


def _write_files(
    link: BoardLink, todo: Plan, said: Callable[[str], None], progress: Callable[[int, int], None]
) -> None:
    """Copy what differs, then read every file back by its SHA-256."""
    if not todo.files and not todo.remove:
        said(f"{link.port}: the firmware is there already")
        return
    said(f"{link.port}: copying {len(todo.files)} files to slot {todo.slot}")
    folders = sorted({str(parent) for name in todo.files for parent in list(Path(name).parents)[:-1]})
    link.ask(f"FOLDERS = {folders!r}\nREMOVE = {todo.remove!r}\n{_MAKE_FOLDERS}")
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        for name, content in todo.files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        link.copy(Path(folder), list(todo.files), lambda done: progress(done, len(todo.files)))
    names = list(todo.files)
    _, printed = link.ask_and_read(f"{_SHA}\nfor n in {names!r}:\n    _sha(n)\nanswer = True\n")
    there = _hashes(printed)
    for name, content in todo.files.items():
        if there.get(name) != hashlib.sha256(content).hexdigest():
            raise BoardError(
                f"{name} reads back differently", where=link.port, next_step="Try again; then suspect the flash chip"
            )


def _hashes(printed: str) -> dict[str, str]:
    """{name on the board: SHA-256} from the lines of `_sha`."""
    words = [line.split(" ", 2) for line in printed.splitlines() if line.startswith("file ")]
    return {name: digest for _, digest, name in words}


def _take_back(keys: Path, life: key_file.Life, before: bytes | None) -> None:
    """The board did not take the key: the key file is as it was, unless somebody else changed it meanwhile."""
    present = {entry.life for entry in key_file.load_keys(keys)}
    known = {entry["life"] for entry in json.loads(before)["lives"]} if before else set()
    if {f"{number:08x}" for number in present} != known | {f"{life.life:08x}"}:
        key_file.end_life(keys, life.address, life.provisioned_s)
        return
    if before is None:
        keys.unlink()
        return
    new = keys.with_name(keys.name + ".back")
    new.touch(mode=0o600)
    new.write_bytes(before)
    new.replace(keys)
