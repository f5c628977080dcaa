"""The serial end of a board that sits at its prompt, as mpremote meets it: MicroPython's raw REPL, on a pty.

It executes what it is given, on a folder that is its flash; how it fails is set by the knobs. Nothing of it knows what
the tools send. Protocol: docs.micropython.org/en/latest/reference/repl.html.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LOOK_S = 0.02
BANNER = b"raw REPL; CTRL-B to exit\r\n>"
INTERRUPT, RAW, FRIENDLY, GO, PASTE = b"\x03", b"\x01", b"\x02", b"\x04", b"\x05A\x01"


class ReplEnd:
    """`port`: where it is plugged in. `executed`: every piece of code that ran, in its order.

    `deaf`: so many requests for the raw REPL get no answer. `garble(code, answer)`: what arrives instead of an answer.
    `keep(name, data)`: what the flash keeps of what is written to a file.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "flash"
        self.root.mkdir()
        self.port = folder / "board.tty"
        self.deaf = 0
        self.garble: Callable[[str, bytes], bytes] = lambda code, answer: answer
        self.keep: Callable[[str, bytes], bytes] = lambda name, data: data
        self.executed: list[str] = []
        self.resets = 0
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port.symlink_to(os.ttyname(self._slave))
        self._raw = False
        self._typed = b""
        self._names: dict[str, Any] = {}
        self._out = io.StringIO()
        self._forget()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """The port is gone, as when the cable is pulled."""
        self.port.unlink(missing_ok=True)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5.0)
        self.unplug()
        for fd in (self._master, self._slave):
            os.close(fd)

    # --- the line ---

    def _run(self) -> None:
        while not self._ended.is_set():
            if select.select([self._master], [], [], LOOK_S)[0]:
                for byte in os.read(self._master, 4096):
                    self._take(bytes((byte,)))

    def _say(self, data: bytes) -> None:
        os.write(self._master, data)

    def _take(self, byte: bytes) -> None:
        if byte == INTERRUPT:
            self._typed = b""
            self._say(b"\r\n>" if self._raw else b"\r\n>>> ")
        elif byte == FRIENDLY:
            self._raw, self._typed = False, b""
            self._say(b"\r\nMicroPython, a fake one\r\n>>> ")
        elif not self._raw:
            if byte == RAW:
                if self.deaf:
                    self.deaf -= 1
                    return
                self._raw, self._typed = True, b""
                self._say(BANNER)
        elif byte == GO:
            self._go()
        else:
            self._typed += byte
            if self._typed.endswith(PASTE):
                self._typed = b""
                self._say(b"R\x00")  # understood, not supported
            elif byte == RAW:
                self._typed = b""
                self._say(BANNER)

    def _go(self) -> None:
        code, self._typed = self._typed.strip(b"\r").decode(), b""
        if not code:
            self._forget()
            self._say(b"OK\r\nMPY: soft reboot\r\n" + BANNER)
            return
        self.executed.append(code)
        answer = b"OK" + self._execute(code) + b"\x04>"
        self._say(self.garble(code, answer))

    # --- the interpreter ---

    def _forget(self) -> None:
        self._names = {"__builtins__": vars(builtins) | {"open": self._open, "print": self._print}}
        self._names["__builtins__"]["__import__"] = self._import

    def _execute(self, code: str) -> bytes:
        self._out = io.StringIO()
        error = ""
        try:
            exec(compile(code, "<stdin>", "exec"), self._names)
        except OSError as failed:
            name = errno.errorcode.get(failed.errno or 0, "")
            error = f"Traceback (most recent call last):\n  ...\nOSError: [Errno {failed.errno}] {name}\n"
        except Exception as failed:
            error = f"Traceback (most recent call last):\n  ...\n{type(failed).__name__}: {failed}\n"
        return b"\x04".join(text.replace("\n", "\r\n").encode() for text in (self._out.getvalue(), error))

    def _print(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        print(*values, sep=sep, end=end, file=self._out)

    def _path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def _open(self, name: str, mode: str = "r") -> Any:
        if "w" not in mode:
            return builtins.open(self._path(name), mode)
        end, path = self, self._path(name)

        class Written(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    path.write_bytes(end.keep(name, self.getvalue()))
                super().close()

        path.touch()
        return Written()

    def _import(self, name: str, *more: Any) -> Any:
        if name == "machine":
            return SimpleNamespace(reset=self._reset)
        if name == "time":
            return SimpleNamespace(sleep_ms=lambda duration: None)
        if name != "os":
            return builtins.__import__(name, *more)
        path = self._path
        return SimpleNamespace(
            getcwd=lambda: "/",
            listdir=lambda name="": [entry.name for entry in path(name).iterdir()],
            ilistdir=lambda name="": [
                (entry.name, 0x4000 if entry.is_dir() else 0x8000, 0) for entry in path(name).iterdir()
            ],
            stat=lambda name: tuple(os.stat(path(name)))[:10],
            mkdir=lambda name: os.mkdir(path(name)),
            remove=lambda name: os.remove(path(name)),
            rename=lambda old, new: os.rename(path(old), path(new)),
        )

    def _reset(self) -> None:
        self.resets += 1
