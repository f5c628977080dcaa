"""A board in virtual time with its gateway, looked at from outside: its heap, its modules, its first minutes.

`street-v1` has all three kinds of sensors. The microphone's receiver runs MIC_SLOWDOWN times slower where a scenario
is long: the firmware then gets whole blocks more rarely, and counts the missing sound as it would behind a stall. So its
whole path is walked, at a cost that allows a day.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from boards import load_board
from gateway.keys import Life, add_life
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools import firmware_build
from tools.sim.conductor import Conductor, GatewayProcess
from tools.sim.heap import STREET_HEAP as HEAP
from tools.sim.heap import Heap, parse_heap
from tools.sim.interpreter import find
from wire import messages
from wire.crypto import subkeys
from wire.frame import RECENT, SERIAL, open_downlink
from wire.frame_gateway import parse_uplink_header
from wire.stream import Parser

STREET = "street-v1"
MIC_SLOWDOWN = 12
PORT = "/dev/n1"
HEALTH_KIND = 2  # of rows in the gateway's store


class Street:
    """One board `name` or board file, its gateway (not yet started) and their files in `folder`."""

    def __init__(
        self, folder: Path, board: str | Path = STREET, *, heap: str = HEAP, window_s: int = 60, mic_slowdown: int = 1,
        start_s: int = START_S, **values: int,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.conductor = Conductor(folder, seed=1, start_s=start_s, interpreter=find()._replace(heap=heap))
        self.folder = folder
        life = Life(address=1, key=key_of(1), board=load_board(board).name, name="n1", provisioned_s=start_s)
        add_life(folder / "keys.json", life)
        self._config = folder / "gateway.toml"
        self._config.write_text(
            f'[gateway]\nid = "gw-test"\nnumber = 1\ndata_dir = "{folder / "data"}"\nkeys = "{folder / "keys.json"}"\n'
            f'[[serial]]\nport = "{PORT}"\n'
        )
        settings = settings_of(1, provisioned_s=start_s, window_s=window_s, **values)
        self.node = self.conductor.add_node("n1", board, prepare=PROVISION.format(settings), power=False)
        for receiver in self.node.board.i2s.values():
            _slow(receiver, mic_slowdown)
        self.began_us = self.conductor.time.now_us

    def __enter__(self) -> Street:
        return self

    def __exit__(self, *_: object) -> None:
        self.conductor.close()

    def power_on(self) -> None:
        self.began_us = self.conductor.time.now_us
        self.node.board.power_on()

    def start_gateway(self) -> GatewayProcess:
        return self.conductor.start_gateway(self._config, {PORT: "n1"})

    def heap(self) -> Heap:
        """Now, between two things that the board does."""
        told: list[str] = []
        self.node.board.ask_heap(told.append)
        assert self.conductor.run_until(lambda: told, 60), "the board says nothing"
        return parse_heap(told[0])

    def trouble(self) -> list[str]:
        """What shows that the board did not simply run: restarts, watchdog, tasks that failed."""
        stats = self.node.board.stats
        found = [f"{name} {stats[name]}" for name in ("watchdog", "crashes") if stats[name]]
        if stats["boots"] != 1:
            found.append(f"boots {stats['boots']}")
        said = bytes(self.node.said)
        for sign in (b"MemoryError", b"task sensor", b"E task", b"cannot be set up"):
            if sign in said:
                found.append(f"said {sign.decode()!r}")
        return found

    def acknowledged_ms(self) -> int:
        """Time from power-on until a health record's acknowledgement is at the board; the conductor's log must be on."""
        conductor = self.conductor
        conductor.log = []
        keys = subkeys(key_of(1))
        up, down = Parser(), Parser()
        recent: list[int] = []
        covered: set[int] = set()
        seen = 0

        def delivered() -> bool:
            nonlocal seen
            log = conductor.log or []
            for sent in log[seen:]:
                for kind, frame in (up if sent.direction == "up" else down).feed(sent.data):
                    if kind != "frame":
                        continue
                    if sent.direction == "up":
                        header = parse_uplink_header(frame)
                        assert not isinstance(header, str)
                        recent.append(header.counter)
                    elif not isinstance(got := open_downlink(keys, SERIAL, frame, recent[-RECENT:]), str):
                        message = messages.decode(got.type, got.payload)
                        if isinstance(message, (messages.Ack, messages.AckTime)):
                            covered.update(range(message.cum))
                            covered.update(message.base + bit for bit in range(64) if message.bits >> bit & 1)
            seen = len(log)
            return bool(covered & self.stored_seqs(HEALTH_KIND))

        assert conductor.run_until(delivered, 60), "no health record arrived"
        return (conductor.time.now_us - self.began_us + 999) // 1000

    def stored_seqs(self, kind: int) -> set[int]:
        """Seqs of the gateway's rows of a kind, as another process reads them."""
        return {row["seq"] for row in self.rows(kind)} if (self.folder / "data").exists() else set()

    def rows(self, kind: int) -> list[dict[str, Any]]:
        """The gateway's rows of a kind."""
        (path,) = (self.folder / "data").glob("*.db")
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM records WHERE kind = ? ORDER BY seq", (kind,))
            return [dict(row) for row in found]
        finally:
            connection.close()


def _slow(receiver: Any, factor: int) -> None:
    opened = receiver.open
    receiver.open = lambda rate, *more: opened(rate // factor, *more)


def loaded_bytes(board: str | Path, modules: tuple[str, ...]) -> dict[str, int]:
    """Bytes of the .mpy of each module that a simulated board has loaded, as provisioned for an ESP32."""
    files = firmware_build.slot_files(load_board(board), "xtensawin", "esp32")
    found = {}
    for module in modules:
        stem = module.replace(".", "/")
        for name in (f"{stem}.mpy", f"{stem}/__init__.mpy"):
            if name in files:
                found[name] = len(files[name])
    return found


__all__ = ["HEAP", "MIC_SLOWDOWN", "STREET", "Heap", "Street", "loaded_bytes", "parse_heap"]
