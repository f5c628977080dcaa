"""What the laboratory's composition roots wrap around links, spool and sink. The product knows nothing of it.

A kill happens at an *instant*: before or after a frame is taken from the link, a transaction with records is committed, an
acknowledgement is handed to the link, a batch is published, and a PUBACK is taken in.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.store import schema
from tools.faults.orders import JOURNAL, Journal, take
from wire import messages

ACKS = (messages.ACK, messages.ACK_TIME)
TYPE_BITS = 31  # of a frame's first byte

_FULL, _READ_ONLY = "database or disk is full", "attempt to write a readonly database"
_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE")


def _kill_self(point: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Seams:
    """One for each gateway process. `die(point)` ends it, and says so where it can."""

    def __init__(self, folder: Path, die: Callable[[str], None] = _kill_self) -> None:
        self.folder = folder
        self.journal = Journal(folder / JOURNAL)
        self.orders = take(folder)
        self.changed: list[Callable[[], None]] = []
        self._die = die
        self._passed = 0
        self._noted: set[tuple[int, str]] = set()

    def renew(self) -> None:
        """Read the orders again."""
        orders = take(self.folder)
        if orders.number != self.orders.number:
            self.orders, self._passed = orders, 0
            for call in self.changed:
                call()

    def reach(self, point: str) -> None:
        """The gateway is at `point`; it goes no further if that was ordered."""
        orders = self.orders
        if orders.kill_at != point:
            return
        self._passed += 1
        if self._passed > orders.skip:
            self.journal.note("kill", point=point, orders=orders.number)
            self._die(point)

    def seen(self, what: str, **facts: Any) -> None:
        """Tell that a fault had its effect, once an order."""
        if (self.orders.number, what) not in self._noted:
            self._noted.add((self.orders.number, what))
            self.journal.note(what, orders=self.orders.number, **facts)

    # --- Link ----------------------------------------------------------------------------------------------------------

    def gone(self, port: str) -> bool:
        return port in self.orders.gone

    def wrap_sending(self, link: Any) -> Any:
        """`link` with the instants of an acknowledgement around its `send`."""
        plain = link.send

        def send(frame: bytes) -> bool:
            if frame[0] & TYPE_BITS not in ACKS:
                return bool(plain(frame))
            self.reach("before_ack")
            sent = plain(frame)
            if sent:
                self.reach("after_ack")
            return bool(sent)

        link.send = send
        return link

    def wrap_input(self, plain: Any) -> Any:
        return _Input(plain, self)

    # --- Spool ---------------------------------------------------------------------------------------------------------

    def connect(self, path: Path, *more: Any) -> Any:
        """In the place of gateway.store.spool.connect."""
        return _Connection(schema.connect(path, *more), self)

    # --- Clock ---------------------------------------------------------------------------------------------------------

    def clock_error_ms(self) -> int:
        error_ms = self.orders.clock_ms
        if error_ms:
            self.seen("clock", error_ms=error_ms)
        return error_ms


class _Input:
    """What a link delivers to."""

    def __init__(self, plain: Any, seams: Seams) -> None:
        self._plain = plain
        self._seams = seams
        self.room = plain.room
        self.later = plain.later
        self.on_text = plain.on_text

    @property
    def crowded(self) -> bool:
        return bool(self._plain.crowded)

    def on_frame(self, link: Any, frame: bytes, received_ms: int, fresh: bool = True) -> None:
        self._seams.reach("before_receive")
        self._plain.on_frame(link, frame, received_ms, fresh)
        self._seams.reach("after_receive")


class _Connection:
    """A database connection on a disk that may refuse. The error is SQLite's own; it is raised here, not by the kernel."""

    def __init__(self, plain: sqlite3.Connection, seams: Seams) -> None:
        self._plain = plain
        self._seams = seams
        self._records = False  # the open transaction holds some

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        word = sql.split(None, 1)[0].upper()
        if word == "INSERT" and "INTO records" in sql:
            self._records = True
        self._refuse(word)
        if word == "COMMIT" and self._records:
            self._records = False
            self._seams.reach("before_commit")
            done = self._plain.execute(sql, *parameters)
            self._seams.reach("after_commit")
            return done
        return self._plain.execute(sql, *parameters)

    def executemany(self, sql: str, rows: Any) -> Any:
        rows = list(rows)
        if rows:
            self._refuse(sql.split(None, 1)[0].upper())
        return self._plain.executemany(sql, rows)

    def _refuse(self, word: str) -> None:
        state = self._seams.orders.disk
        if state == "full" and word in _WRITES:
            self._fail("disk_full", _FULL)
        elif state == "read_only" and (word in _WRITES or word == "BEGIN"):
            self._fail("disk_read_only", _READ_ONLY)

    def _fail(self, what: str, text: str) -> None:
        self._records = False
        if self._plain.in_transaction:
            self._plain.execute("ROLLBACK")  # as SQLite does by itself when a disk is full
        self._seams.seen(what)
        raise sqlite3.OperationalError(text)


def predict_dropped(path: Path, sink: str) -> list[str]:
    """Ids of the records that a budget smaller than the empty file takes from `sink`: all that it has not been given,
    but not the newest row. Told by plain SQL on the file, before the gateway looks at its budget."""
    conn = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = conn.execute(
            "SELECT l.node, l.life, r.seq FROM records r JOIN lives l ON l.id = r.life, sinks s WHERE s.name = ? "
            "AND r.kind = 0 AND r.pos > s.cut AND r.pos < (SELECT max(pos) FROM records) ORDER BY r.pos",
            (sink,),
        ).fetchall()
    finally:
        conn.close()
    return [f"{node}-{life:08x}-{seq}" for node, life, seq in rows]
