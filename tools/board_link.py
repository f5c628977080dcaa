"""A board over the real mpremote, run as a process: snippets, files, reset; each step with a retry ladder.

A step may run twice, because its answer got lost: whoever writes one sees to it that this does no harm.

Code that holds a key goes to mpremote through a pipe, never through an argument list, a file or the environment.
mpremote's own words are shown only when a step failed for good.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.links.port import close_port, open_port
from tools.errors import NoConnection, SteigerError

TRIES = 3  # "could not enter raw repl" is cured by asking again (micropython#16142)
STEP_TIMEOUT_S = 60.0  # one snippet or one small file; a board that is silent for so long is gone
COPY_TIMEOUT_S = 300.0  # a whole slot at 115200 baud takes about a minute
MARK = "~steiger~"
BAUDRATE = 115_200
KNOCK = b"\r\x03\r\x02"  # as mpremote does it; 0x02 leaves the raw mode that a tool which died may have left behind
PROMPT = b">>> "
KNOCK_AGAIN_S = 0.7  # a program that is importing answers within this
KNOCK_TIMEOUT_S = 6.0

# What mpremote prints, and what it means to the person in front of the board.
_MEANINGS = (
    (r"no device found|No such file or directory|failed to access", "the port is missing or in use"),
    (r"could not enter raw repl", "the board does not answer on its REPL"),
    (r"Permission denied", "this user may not open the port"),
    (r"ENOSPC|no space", "the board's flash is full"),
    (r"MemoryError", "the board ran out of memory"),
    (r"could not exec|could not complete raw paste|unexpected read|timeout waiting for", "the line is disturbed"),
)


class BoardError(SteigerError):
    """The board answered, but not as it must."""


class BoardLink:
    """One board on one port. `said` is told what happens, for progress."""

    def __init__(self, port: str, said: Callable[[str], None] = lambda line: None) -> None:
        self.port = port
        self._said = said
        self._fresh = True  # the first command soft-resets the board, so that its program stops; the others go on
        found = shutil.which("mpremote", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if found is None:
            raise SteigerError("mpremote is missing", next_step="Run make setup, or pip install mpremote")
        self._mpremote = found

    def run(self, code: str, timeout_s: float = STEP_TIMEOUT_S) -> str:
        """What `code` prints on the board. The code may hold secrets: it travels through a pipe."""
        return self._retry(lambda: self._run_once(code, timeout_s))

    def ask(self, code: str, timeout_s: float = STEP_TIMEOUT_S) -> Any:
        """Run `code`, which sets `answer`; return that, by way of JSON."""
        return self.ask_and_read(code, timeout_s)[0]

    def ask_and_read(self, code: str, timeout_s: float = STEP_TIMEOUT_S) -> tuple[Any, str]:
        """As `ask`, and what `code` printed. An answer that does not arrive whole is asked for again: `code` must bear
        that."""
        code = f"{code}\nimport json\nprint('{MARK}' + json.dumps(answer) + '{MARK}')\n"
        text = self._retry(lambda: self._whole(self._run_once(code, timeout_s)))
        printed, _, told = text.rpartition(MARK)[0].rpartition(MARK)
        return json.loads(told), printed

    def _whole(self, text: str) -> str:
        """`text`, if it ends with an answer between its marks."""
        try:
            json.loads(text.rpartition(MARK)[0].rpartition(MARK)[2])
        except ValueError:
            raise NoConnection(
                f"the board's answer arrived damaged: {text.strip()[-80:]!r}",
                where=self.port,
                next_step="Try another cable",
            ) from None
        return text

    def copy(self, folder: Path, names: Sequence[str], done: Callable[[int], None]) -> None:
        """Copy `names` (relative to `folder`) to the same places on the board; folders must exist there."""
        count = 0
        # Some ten files a process: progress is seen, and a failure repeats little.
        for start in range(0, len(names), 10):
            part = names[start : start + 10]
            args: list[str] = []
            for name in part:
                args += ["+"] if args else []
                args += ["fs", "cp", str(folder / name), f":{name}"]
            self._retry(lambda args=args: self._call(args, COPY_TIMEOUT_S))  # type: ignore[misc]
            count += len(part)
            done(count)

    def reset(self) -> None:
        """Reset the chip; its program starts. mpremote does not wait for it."""
        self._retry(lambda: self._call(["reset"], STEP_TIMEOUT_S))
        self._fresh = True

    def _run_once(self, code: str, timeout_s: float) -> str:
        reader, writer = os.pipe()

        def feed() -> None:
            with os.fdopen(writer, "wb") as pipe:
                try:
                    pipe.write(code.encode())
                except BrokenPipeError:
                    pass  # mpremote gave up before it read: its exit code says so

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            return self._call(["run", f"/dev/fd/{reader}"], timeout_s, pass_fds=(reader,))
        finally:
            os.close(reader)
            feeder.join(5.0)

    def _call(self, args: Sequence[str], timeout_s: float, pass_fds: tuple[int, ...] = ()) -> str:
        command = [self._mpremote, "connect", self.port, *([] if self._fresh else ["resume"]), *args]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                timeout=timeout_s,
                pass_fds=pass_fds,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoConnection(
                f"the board did not answer within {timeout_s:.0f} s",
                where=self.port,
                next_step="Press EN (reset) on the board and try again",
            ) from None
        out = done.stdout.decode(errors="replace")
        if done.returncode == 0:
            self._fresh = False
            return out
        words = (done.stderr.decode(errors="replace").strip() or out.strip())[-600:]
        for pattern, meaning in _MEANINGS:
            if re.search(pattern, words, re.IGNORECASE):
                raise NoConnection(
                    meaning,
                    where=self.port,
                    next_step=_next_step(meaning, self.port),
                )
        # An exception on the board: its last line says what; nothing of the code is repeated (it may hold a key).
        raise BoardError(f"the board said: {words.splitlines()[-1] if words else 'nothing'}", where=self.port)

    def _knock(self) -> None:
        """Stop the board's program and see the prompt, before mpremote comes: it asks once only, and then waits 10 s.

        A board that is just starting misses the first 0x03. PortBusy names who has the port. Without a prompt mpremote
        tries all the same, and its words are shown.
        """
        fd = open_port(self.port, BAUDRATE)
        try:
            until = time.monotonic() + KNOCK_TIMEOUT_S
            heard = b""
            while time.monotonic() < until:
                os.write(fd, KNOCK)
                again = time.monotonic() + KNOCK_AGAIN_S
                while (left := again - time.monotonic()) > 0:
                    if not select.select([fd], [], [], left)[0]:
                        break
                    heard = (heard + os.read(fd, 4096))[-4096:]
                    if heard.endswith(PROMPT):
                        return
        except (OSError, BlockingIOError):
            pass  # it vanished, or its buffer is full: mpremote finds words for that
        finally:
            close_port(fd)

    def _retry(self, step: Callable[[], str]) -> str:
        for attempt in range(1, TRIES + 1):
            try:
                if self._fresh:
                    self._knock()
                return step()
            except NoConnection as error:
                if attempt == TRIES or not os.path.exists(self.port):
                    raise
                self._said(f"{self.port}: {error.what}, try {attempt + 1} of {TRIES}")
                self._fresh = attempt % 2 == 0  # once without the soft reset, once with it
        raise AssertionError("unreachable")


def _next_step(meaning: str, port: str) -> str:
    if "missing or in use" in meaning:
        return f"Check the cable; see who holds it: fuser {port}; a gateway lends it: steiger gateway release {port}"
    if "may not open" in meaning:
        return "Run: sudo usermod -aG dialout $USER, then log in again"
    if "disturbed" in meaning:
        return "Try another cable, a shorter one, away from motors and radios"
    if "REPL" in meaning:
        return "Press EN (reset) on the board, try another cable, and see that MicroPython is on it"
    return "Try again"
