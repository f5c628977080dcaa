"""What a radio would do with serial lines: one board, heard by several gateways at once, each of which it hears.

Bytes of the board go to every port; from a port only whole frames pass, so that two gateways never garble each other.
`downlinks` keeps every frame that a gateway sent, whether the board took it or not, `uplinks` those of the board.
"""

from __future__ import annotations

import os
import selectors
import threading
import tty
from pathlib import Path

from tests.waiting import wait_until
from wire import stream

READ = 4096
LOOK_S = 0.05


class Ether:
    """`ports` become symlinks to ptys. Opens the board's port exclusively for as long as it lives."""

    def __init__(self, board: Path, ports: list[Path]) -> None:
        self.downlinks: list[tuple[str, bytes]] = []  # (name of the port, frame)
        self.uplinks: list[bytes] = []
        self._heard = stream.Parser()
        self._board = os.open(board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._board)
        self._masters: dict[int, tuple[str, stream.Parser]] = {}
        self._slaves: list[int] = []
        for port in ports:
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            port.unlink(missing_ok=True)
            port.symlink_to(os.ttyname(slave))
            self._masters[master] = (port.name, stream.Parser())
            self._slaves.append(slave)  # held open: a pty without a slave is an error to read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(5.0)
        for fd in (self._board, *self._masters, *self._slaves):
            os.close(fd)

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready:
            for fd in (self._board, *self._masters):
                ready.register(fd, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in ready.select(LOOK_S):
                    self._pass_on(key.fd)

    def _pass_on(self, fd: int) -> None:
        try:
            data = os.read(fd, READ)
        except OSError:
            return
        if fd == self._board:
            self.uplinks += [bytes(frame) for kind, frame in self._heard.feed(data) if kind == "frame"]
            for master in self._masters:
                self._write(master, data)
            return
        name, parser = self._masters[fd]
        for kind, frame in parser.feed(data):
            if kind == "frame":
                self.downlinks.append((name, bytes(frame)))
                self._write(self._board, stream.encode(frame))

    @staticmethod
    def _write(fd: int, data: bytes) -> None:
        try:
            os.write(fd, data)
        except BlockingIOError:
            pass  # nobody reads that port: it is as if out of reach


def wait_for_both(ether: Ether, more: int, timeout_s: float = 30.0) -> None:
    """Until every port has sent so many frames more than now."""
    before = len(ether.downlinks)
    names = {name for name, _ in ether._masters.values()}

    def sent() -> bool:
        late = [name for name, _ in ether.downlinks[before:]]
        return all(late.count(name) >= more for name in names)

    wait_until(sent, timeout_s, f"{more} downlinks of each gateway")
