"""A simulated board as users run it: `steiger sim node` in a process of its own, and boards with little programs."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from boards import load_board
from tests.waiting import wait_until
from tools import firmware_build
from tools.sim import control, image
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.flash import Flash
from tools.sim.interpreter import find
from tools.sim.site import unique_id

START_S = 1_795_500_000
BIN = Path(sys.executable).parent
PROVISION = image.PROVISION


def settings_of(address: int, *, provisioned_s: int = START_S, window_s: int = 5, **values: int) -> str:
    """What provisioning writes, as JSON; the key is made of the address, `values` are further settings."""
    return json.dumps(
        {
            "address": address,
            "key": key_of(address).hex(),
            "provisioned_s": provisioned_s,
            "values": {"window_s.0": window_s, **values},
        }
    )


def key_of(address: int) -> bytes:
    return bytes((address,)) * 16


def provision(path: Path, board: str, address: int, seed: int = 1, **more: Any) -> None:
    """Make the flash file of a board and give it settings."""
    if not path.exists():
        image.make(path, load_board(board), find())
    flash = Flash(path)
    try:
        image.execute(flash, PROVISION.format(settings_of(address, **more)), uid=unique_id(path, seed))
    finally:
        flash.close()


def little(conductor: Conductor, main: str, *, boot: str = "", name: str = "n", board: str = "air-v1") -> VirtualNode:
    """A board that runs `main` instead of the firmware, with the hal at its place."""
    hal = firmware_build.lean_sources(load_board(board), "sim")["firmware/hal/sim.py"]
    files = {
        "/a/firmware/__init__.py": b"",
        "/a/firmware/hal.py": hal,
        "/boot.py": (boot or "import sys\nsys.path.insert(0, '/a')\n").encode(),
        "/main.py": main.encode(),
    }
    return conductor.add_node(name, board, files=files)


def _end_with_parent() -> None:
    """A test run that is killed leaves no boards behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Running:
    """`steiger sim node` as a process. `ready` is its first JSON line."""

    def __init__(self, folder: Path, board: str, *, name: str = "board", speed: int = 1, **options: Any) -> None:
        self.flash = folder / f"{name}.flash"
        self.port = folder / name
        command = [str(BIN / "steiger"), "sim", "node", board, "--flash", str(self.flash), "--port", str(self.port)]
        command += ["--json", "--seed", "1", "--speed", str(speed)]
        for option, value in options.items():
            command += [f"--{option}", str(value)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_end_with_parent
        )
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = {}
        while not self.ready:
            line = self.process.stdout.readline()
            if not line:
                assert self.process.stderr is not None
                raise AssertionError(self.process.stderr.read().decode())
            event = json.loads(line)
            if event["event"] == "ready":
                self.ready = event

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        return control.call(f"{self.port}.ctl", verb, **fields)

    def stat(self, name: str) -> Any:
        return self.ask("stats")[name]

    def wait_for(self, name: str, value: object, timeout_s: float = 10.0) -> None:
        wait_until(lambda: self.stat(name) == value, timeout_s, f"{name} == {value}")

    def mpremote(self, *args: str, timeout_s: float = 30.0) -> str:
        """What stock mpremote prints; fails with its words if it fails."""
        done = subprocess.run(
            [str(BIN / "mpremote"), "connect", str(self.port), *args],
            capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def open(self) -> int:
        return os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def kill(self) -> None:
        """A power cut at this instant."""
        self.process.kill()
        self._leave()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self._leave()

    def _leave(self) -> int:
        code = self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


def read_until(fd: int, text: bytes, timeout_s: float = 10.0) -> bytes:
    """Bytes from a port up to `text`."""
    seen = b""
    deadline = time.monotonic() + timeout_s
    while text not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"not seen: {text!r} in {seen[-300:]!r}"
        if select.select([fd], [], [], left)[0]:
            try:
                seen += os.read(fd, 4096)
            except BlockingIOError:
                continue
    return seen
