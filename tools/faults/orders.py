"""What the laboratory tells the composition root in the gateway's process, and what that tells back. Both are files: they
outlive a SIGKILL of either side.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec

ORDERS, JOURNAL, MESSAGES = "orders.json", "fired.jsonl", "messages.jsonl"


class Orders(msgspec.Struct, kw_only=True):
    """The state of the gateway's surroundings. A new one replaces the old one as a whole."""

    kill_at: str = ""  # one of catalogue.POINTS
    skip: int = 0  # so many times the instant is passed unharmed
    disk: str = "ok"  # "full", "read_only"
    broker: str = "up"  # "stopped", "frozen", "refuses", "slow"; "forgets": up again, all connections are gone
    latency_s: float = 0.0  # of a slow broker's confirmation
    clock_ms: int = 0  # how wrong the gateway's wall clock is
    budget_bytes: int = 0  # of the spool; 0: as configured
    gone: list[str] = []  # ports that are not there
    number: int = 0  # of these orders


def give(folder: Path, orders: Orders) -> None:
    """Write the orders, whole or not at all."""
    half = folder / (ORDERS + ".part")
    half.write_bytes(msgspec.json.encode(orders))
    half.replace(folder / ORDERS)


def take(folder: Path) -> Orders:
    """The orders in force."""
    try:
        return msgspec.json.decode((folder / ORDERS).read_bytes(), type=Orders)
    except FileNotFoundError:
        return Orders()


class Journal:
    """One JSON object a line, appended by one write each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def note(self, what: str, **facts: Any) -> None:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._fd, json.dumps({"what": what} | facts).encode() + b"\n")

    def lines(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_bytes().splitlines() if line.endswith(b"}")]
