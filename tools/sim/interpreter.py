"""Which interpreter runs the boards, and how one process of it is started.

Looked for in this order: STEIGER_MICROPYTHON (a path, or `none` for the CPython shims), the package that carries the
unix port, `micropython` on the PATH, else the shims.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.errors import UsageError
from tools.firmware_build import compiled, folder_of
from tools.firmware_lean import lean
from tools.sim.mortal import PRELUDE, launcher

HERE = Path(__file__).resolve().parent
STUB = HERE / "stub"
SHIMS = HERE / "shims"
# An ESP32 without PSRAM has some 110 to 160 KB in all; objects of a 64-bit port are twice as large, the bus takes 23 KB. Room is
# left for what tests put beside the firmware; tests/sim/test_memory.py shows that 240k suffice.
HEAP = "360k"
ARCHES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa", "xtensawin",
    "rv32imc", "rv64imc",
)  # fmt: skip  # py/persistentcode.h, MP_NATIVE_ARCH_*
_QUESTION = "import sys;i=sys.implementation;print(i.name,'.'.join(map(str,i.version[:3])),getattr(i,'_mpy',0))"

# The launcher becomes the interpreter, which does not outlive its host.
_LAUNCH = (
    PRELUDE
    + """
kind, place, *rest = sys.argv[1:]
if kind == "package":
    sys.path.insert(0, place)
    import micropython_run
    sys.exit(micropython_run.run_main(["micropython"] + rest))
import os
os.execv(place, [place] + rest)
"""
)


class Interpreter(NamedTuple):
    """`kind`: "package", "file" or "shims"; `place`: folder of the package, path of the program, or of Python."""

    kind: str
    place: str
    version: str  # "1.29.0"
    mpy: int  # sys.implementation._mpy: .mpy version, sub-version and architecture
    heap: str = HEAP  # of a board, as the port's heapsize takes it

    @property
    def arch(self) -> str:
        """Architecture of machine code in .mpy files, "" if there is none."""
        number = self.mpy >> 10
        return ARCHES[number] if number < len(ARCHES) else ""

    @property
    def is_micropython(self) -> bool:
        return self.kind != "shims"

    def __str__(self) -> str:
        return f"MicroPython {self.version}" if self.is_micropython else f"CPython {self.version} with shims"

    def command(self, args: Sequence[str]) -> list[str]:
        """What to execute so that the interpreter sees `args`."""
        if self.kind == "shims":
            return [self.place, "-E", "-s", *args]
        return [*launcher(_LAUNCH), self.kind, self.place, *args]


@functools.cache
def find() -> Interpreter:
    """The interpreter of this machine; UsageError if STEIGER_MICROPYTHON names something that does not run."""
    wanted = os.environ.get("STEIGER_MICROPYTHON", "")
    if wanted.lower() == "none":
        return _shims()
    if wanted:
        found = _try("file", str(Path(wanted).expanduser()))
        if found is None:
            raise UsageError(
                "STEIGER_MICROPYTHON does not name a MicroPython that runs",
                where=wanted,
                next_step="Name the unix port's program, or 'none' for the CPython shims",
            )
        return found
    package = importlib.util.find_spec("micropython_run")
    if package is not None and package.origin:
        found = _try("package", str(Path(package.origin).parent))
        if found is not None:
            return found
    on_path = shutil.which("micropython")
    if on_path and (found := _try("file", os.path.realpath(on_path))):
        return found
    return _shims()


def _shims() -> Interpreter:
    return Interpreter("shims", sys.executable, ".".join(map(str, sys.version_info[:3])), 0)


def _try(kind: str, place: str) -> Interpreter | None:
    try:
        done = subprocess.run(
            Interpreter(kind, place, "", 0).command(["-c", _QUESTION]),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        name, version, mpy = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(kind, place, version, int(mpy)) if name == "micropython" else None


@functools.cache
def _stub() -> Path:
    """The bus stub as it is run, compiled as a board's program is: it lies in heap that a real board has for its program."""
    files = {path.name: path.read_bytes() for path in STUB.glob("*.py") if path.name != "__init__.py"}
    leaned = lean(files) | {"ops.py": files["ops.py"]}
    start = {"start.py": leaned.pop("start.py")}  # a script: given to the interpreter as text
    try:
        return folder_of("stub", start | {f"{name[:-3]}.mpy": compiled(name, text) for name, text in leaned.items()})
    except OSError:
        return STUB  # no cache: the same, larger


class Process:
    """One run of the interpreter, from start or reset to the next. Pipes: requests, replies, stdin, stdout."""

    def __init__(self, interpreter: Interpreter, root: Path | None = None, image_fd: int | None = None) -> None:
        """`root`: the folder that is the flash of a board under the shims; `image_fd`: the flash image, for reading."""
        reply_read, self._reply_write = os.pipe()
        self.request_fd, request_write = os.pipe()
        passed = (reply_read, request_write) if image_fd is None else (reply_read, request_write, image_fd)
        environment = {
            "STEIGER_BUS": ",".join(map(str, passed)),
            "HOME": "/nonexistent",  # no history file, no user's packages
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
        }
        if interpreter.is_micropython:
            args = ["-X", f"heapsize={interpreter.heap}", "-i", str(_stub() / "start.py")]
        else:
            environment["STEIGER_ROOT"] = str(root)
            environment["STEIGER_PARENT"] = str(os.getpid())
            environment["PYTHONHASHSEED"] = "0"
            args = [str(SHIMS / "start.py")]
        self._child = subprocess.Popen(
            interpreter.command(args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=passed, env=environment, start_new_session=True, bufsize=0,
        )  # fmt: skip
        os.close(reply_read)
        os.close(request_write)
        assert self._child.stdin is not None and self._child.stdout is not None
        self.stdin_fd = self._child.stdin.fileno()
        self.stdout_fd = self._child.stdout.fileno()
        os.set_blocking(self.stdin_fd, False)
        os.set_blocking(self.stdout_fd, False)
        self.pid = self._child.pid
        self._output_over = False

    def read_request(self) -> bytes:
        """The next request (blocks until there is one), b"" when the process is gone."""
        return os.read(self.request_fd, 4096)

    def reply(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._reply_write, view) :]
        except BrokenPipeError:
            pass  # it died; the closed request pipe says so

    def take_output(self) -> bytes:
        """What was printed since the last call."""
        parts = []
        while True:
            try:
                part = os.read(self.stdout_fd, 65536)
            except BlockingIOError:
                break
            if not part:
                self._output_over = True
                break
            parts.append(part)
        return b"".join(parts)

    def ended_output(self) -> bool:
        """Whether the process has closed its stdout."""
        return self._output_over

    def type(self, data: bytes) -> int:
        """Give bytes to the REPL; returns how many it took."""
        try:
            return os.write(self.stdin_fd, data)
        except (BlockingIOError, BrokenPipeError):
            return 0

    def catches_interrupt(self) -> bool:
        """Whether Python code runs that a SIGINT would interrupt (at a prompt the character belongs to the line)."""
        try:
            with open(f"/proc/{self.pid}/status") as status:
                for line in status:
                    if line.startswith("SigCgt:"):
                        return bool(int(line.split()[1], 16) & 2)
            return False
        except FileNotFoundError:
            shown = subprocess.run(
                ["ps", "-o", "caught=", "-p", str(self.pid)], capture_output=True, text=True, check=False
            ).stdout.strip()
            return bool(int(shown or "0", 16) & 2)

    def interrupt(self) -> None:
        self._child.send_signal(2)

    def kill(self) -> None:
        """Take the power away; returns when the process is gone."""
        self._child.kill()
        self.wait()

    def wait(self) -> int:
        """Reap the ended process and close the pipes; returns its exit code."""
        code = self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()
        for fd in (self.request_fd, self._reply_write):
            os.close(fd)
        return code
