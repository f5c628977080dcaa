"""Firmware, settings and a fresh key onto a board, and the board into the gateway's key file.

The same for a simulated and a real board: both are reached by mpremote. What is on the board already is compared by
SHA-256 and left alone. New firmware goes into the slot that does not run; every file is read back; the switch is one
write at the end, which the board finishes by itself (firmware/provisioning.py), so that a cable or a supply pulled at any
time leaves the old node or the new one. Who holds which key: tools/handover.py.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from boards import Board
from boards.radio import BridgeLink
from gateway import keys as key_file
from tools import firmware_build, handover
from tools.board_link import BoardError, BoardLink
from tools.errors import NoConnection, SteigerError, UsageError
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
COPY_TRIES = 2  # a file that reads back differently is written once more; flash that does it again is worn
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
todo = None  # of a provisioning that was interrupted: the slot that it was for
try:
    with open('provisioning', 'rb') as f:
        t, c = f.read(200).strip().rsplit(b' ', 1)
    if int(c, 16) == binascii.crc32(t):
        todo = t.decode().split(' ')[1]
except (OSError, ValueError, IndexError):
    pass
answer = {'todo': todo, 'name': sys.implementation.name, 'version': sys.implementation.version[:3], 'platform': sys.platform,
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
    try:
        os.remove(n)
    except OSError:
        pass
for n in FOLDERS:
    try:
        os.mkdir(n)
    except OSError:
        pass
answer = True
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
    beyond: dict[int, int]  # life -> bytes in its outbox that nobody can deliver any more


class BridgeMade(NamedTuple):
    """What came of a bridge."""

    port: str
    board: str
    copied: int
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

    A life that the board certainly did not take is withdrawn from the key file; when that cannot be told, it stays.
    """
    if not 1 <= address <= 0xFFFF:
        raise UsageError(f"address {address} is not 1..65535")
    require_micropython(port)
    link = BoardLink(port, said)
    todo = _prepare(link, board, said, progress)
    said(f"{port}: writing settings and key, switching to slot {todo.slot}")
    life, beyond = handover.hand_over(
        link.ask,
        handover.Wanted(address, board.name, name, values or {}, first_descriptors(board, values or {}), key),
        handover.Target(todo.slot, todo.staged, not todo.switched),
        keys,
        now_s(),  # the grid begins with the window in which the board gets its key, not with the copying before
        where=port,
        said=said,
    )
    try:
        link.reset()
    except NoConnection as error:
        raise NoConnection(
            f"the board took its settings (life {life.life:08x}) but could not be reset: {error.what}",
            where=port,
            next_step=f"Press EN (reset) on the board, then: steiger monitor {port} --keys {keys}",
        ) from None
    return Provisioned(port, address, board.name, life.life, life.provisioned_s, len(todo.files), todo.slot, beyond)


def is_bridge(board: Board) -> bool:
    """Whether the board is a gateway's ear: it gets neither address nor key."""
    return isinstance(board.link, BridgeLink)


def provision_bridge(
    port: str,
    board: Board,
    *,
    said: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BridgeMade:
    """Put the bridge's program onto the board on `port`; SteigerError says what to do when it cannot be done."""
    require_micropython(port)
    link = BoardLink(port, said)
    todo = _prepare(link, board, said, progress)
    said(f"{port}: switching to slot {todo.slot}; a bridge gets no key")
    handover.make_bridge(link.ask, handover.Target(todo.slot, todo.staged, not todo.switched), where=port, said=said)
    try:
        link.reset()
    except NoConnection as error:
        raise NoConnection(
            f"the board took its program but could not be reset: {error.what}",
            where=port,
            next_step=f"Press EN (reset) on the board, then: steiger monitor {port}",
        ) from None
    return BridgeMade(port, board.name, len(todo.files), todo.slot)


def _prepare(link: BoardLink, board: Board, said: Callable[[str], None], progress: Callable[[int, int], None]) -> Plan:
    """Everything but the switch: the files lie in the slot that does not run, or beside those of the root."""
    port = link.port
    said(f"{port}: asking the board what it is")
    look = _look(link)
    if look.get("todo"):
        said(f"{port}: an earlier provisioning was interrupted; finishing it first")
        handover.finish(link.ask, look["todo"])
        look = _look(link)
    arch, hal_port = firmware_target(look, port)
    todo = plan(
        look,
        firmware_build.slot_files(board, arch, hal_port),
        firmware_build.root_files(board, simulated=hal_port == "sim"),
    )
    _write_files(link, todo, said, progress)
    return todo


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

    def ask(code: str) -> Any:
        answer = control({"do": "run", "code": f"{code}\nimport json\nprint(json.dumps(answer))\n"})
        if not answer.get("ok"):
            raise BoardError(f"the board said: {answer.get('error', answer)}", where=board.name)
        return json.loads(answer["out"].splitlines()[-1])

    life = key_file.Life(
        address=address, key=handover.new_key(), board=board.name, provisioned_s=now_s(),
        profiles=first_descriptors(board, values or {}),
    )  # fmt: skip
    handover.give(ask, life, values or {}, handover.Target("a", [], True), keys, where=board.name, on_path=True)
    return Provisioned("", address, board.name, life.life, life.provisioned_s, 0, "a", {})


def _look(link: BoardLink) -> dict[str, Any]:
    """What lies on the board."""
    look: dict[str, Any]
    look, there = link.ask_and_read(_LOOK)
    look["files"] = _hashes(there)
    return look


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
    wanted = {name: hashlib.sha256(content).hexdigest() for name, content in todo.files.items()}
    names = list(wanted)
    for attempt in range(COPY_TRIES):
        _copy(link, {name: todo.files[name] for name in names}, progress if not attempt else lambda done, total: None)
        _, printed = link.ask_and_read(f"{_SHA}\nfor n in {list(wanted)!r}:\n    _sha(n)\nanswer = True\n")
        there = _hashes(printed)
        names = [name for name in wanted if there.get(name) != wanted[name]]
        if not names:
            return
        if attempt + 1 < COPY_TRIES:
            said(f"{link.port}: {', '.join(names[:3])} read back differently, try {attempt + 2} of {COPY_TRIES}")
    raise BoardError(
        f"{names[0]} reads back differently", where=link.port, next_step="Try again; then suspect the flash chip"
    )


def _copy(link: BoardLink, files: Mapping[str, bytes], progress: Callable[[int, int], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        link.copy(Path(folder), list(files), lambda done: progress(done, len(files)))


def _hashes(printed: str) -> dict[str, str]:
    """{name on the board: SHA-256} from the lines of `_sha`."""
    words = [line.split(" ", 2) for line in printed.splitlines() if line.startswith("file ")]
    return {name: digest for _, digest, name in words}
