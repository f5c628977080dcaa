"""Processes of a run that are forked from the laboratory's own, which has everything loaded already: they start at once.

They end with the process that made them, and by SIGKILL at any instant.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

GONE_S = 20.0
PR_SET_PDEATHSIG = 1


class Forked:
    """`main()` runs in the child; what it prints goes to `log`."""

    def __init__(self, main: Callable[[], None], log: Path) -> None:
        parent = os.getpid()
        self.pid = os.fork()
        self._status: int | None = None
        if self.pid == 0:
            self._live(main, log, parent)

    @staticmethod
    def _live(main: Callable[[], None], log: Path, parent: int) -> None:
        code = 1
        try:
            os.setsid()
            signal.alarm(0)
            for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if sys.platform == "linux":
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for stream in (1, 2):
                os.dup2(fd, stream)
            main()
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    @property
    def ended(self) -> int | None:
        """None while it runs; else its exit code, negative for a signal."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def send(self, number: signal.Signals) -> None:
        if self.ended is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def stop(self, timeout_s: float = GONE_S) -> None:
        """SIGTERM, and SIGKILL if it does not listen."""
        self.send(signal.SIGTERM)
        end_s = time.monotonic() + timeout_s
        while self.ended is None and time.monotonic() < end_s:
            time.sleep(0.02)
        self.kill()
