"""A real mosquitto on a free port of 127.0.0.1, with the faults that a broker can have."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.waiting import wait_until


def require_mosquitto() -> str:
    """The path of mosquitto; without it the test fails under CI and is skipped elsewhere."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("mosquitto is missing: apt-get install mosquitto mosquitto-clients")
    pytest.skip("needs mosquitto: apt-get install mosquitto mosquitto-clients")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """`start`, then any of `stop` (orderly), `kill`, `freeze`, `thaw`; the port stays the same over restarts.

    `lines` go into the configuration of the one listener; sessions and queued messages survive a restart.
    """

    def __init__(self, folder: Path, lines: str = "allow_anonymous true\n") -> None:
        self._program = require_mosquitto()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.log = folder / "mosquitto.log"
        self.write(lines)

    def write(self, lines: str) -> None:
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\n{lines}"
            f"persistence true\npersistence_location {self._folder}/\nautosave_interval 1\nuser root\n"
            f"log_dest file {self.log}\nlog_type all\n"
        )

    def password(self, user: str, password: str) -> str:
        """Lines that let `user` in, and nobody else."""
        file = self._folder / "passwords"
        command = ["mosquitto_passwd", "-b", "-c", str(file), user, password]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return f"allow_anonymous false\npassword_file {file}\n"

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._listens, 20, f"mosquitto listens (see {self.log})")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"mosquitto ended: {self.log.read_text() if self.log.exists() else '?'}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(by)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)
        self._process = None
