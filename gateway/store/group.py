"""What is committed together: records, held input, ledger counters and the protocol state they belong to."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from gateway.models import RECORD
from gateway.store.rows import COLUMNS, Row

# The interpreter's lock is given up once a statement: many rows in one keep the loop running. Few sizes, because SQLite keeps
# each statement that it compiled, and one of 64 rows is as large as 100 KB.
ROWS_PER_STATEMENT = (64, 16, 4, 1)
STORED = 0  # `what` of a record that was stored, counted before any sink; the others: gateway/store/sinks.py
_COUNTED_BY = itemgetter(*[Row._fields.index(name) for name in ("life", "span", "kind", "profile", "hour")])


class Stateful(Protocol):
    """A session: its state is written in the transaction of what it received."""

    def snapshot(self) -> Snapshot: ...

    def committed(self, snapshot: Snapshot) -> None: ...


class Snapshot(NamedTuple):
    life: int  # lives.id
    state: bytes
    facts: Any  # what the session wants back at committed()


class CountKey(NamedTuple):
    life: int
    profile: int
    hour: int
    sink: int
    what: int


class Undecoded(NamedTuple):
    id: int
    life: int
    profile_short: int
    seqs: int
    next_seq: int
    received_ms: int
    payload: bytes
    receptions: bytes | None


class Unresolved(NamedTuple):
    id: int
    life: int
    seq: int
    span: int
    kind: int
    profile: int
    boot: int
    end_ms: int
    length_ms: int
    received_ms: int
    coverage: int
    data: bytes
    receptions: bytes | None


HELD_ROW_BYTES = 40  # of a held row besides its blob, about
HELD_SQL = (  # bytes of all that is held, as `held_bytes` tells them
    f"SELECT (SELECT coalesce(sum(length(payload) + {HELD_ROW_BYTES}), 0) FROM undecoded)"
    f" + (SELECT coalesce(sum(length(data) + {HELD_ROW_BYTES}), 0) FROM unresolved)"
)


def held_bytes(row: Undecoded | Unresolved) -> int:
    """What holding it takes of the file, about."""
    return HELD_ROW_BYTES + len(row.payload if isinstance(row, Undecoded) else row.data)


class Anchor(NamedTuple):
    life: int
    boot: int
    first_up_ms: int
    first_ms: int
    last_up_ms: int
    last_ms: int


class ProfileRow(NamedTuple):
    id: int
    life: int
    descriptor: bytes
    first_window: int
    ended_window: int


class Group:
    """Collected by the loop, written by `write` in the writer's thread, unchanged in between. `counts` has all but the records
    stored: these are counted as they are written."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.counts: Counter[CountKey] = Counter()
        self.profiles: dict[int, ProfileRow] = {}
        self.undecoded: list[Undecoded] = []
        self.unresolved: list[Unresolved] = []
        self.anchors: dict[tuple[int, int], Anchor] = {}
        self.decoded_ids: list[int] = []  # of undecoded, to be removed
        self.resolved_ids: list[int] = []  # of unresolved, to be removed
        self.touched: dict[int, Stateful] = {}
        self.snapshots: list[tuple[Stateful, Snapshot]] = []
        self.now_ms = 0

    def close(self, now_ms: int) -> None:
        """Take the state of each session as it is now; what arrives later belongs to the next group."""
        self.now_ms = now_ms
        self.snapshots = [(session, session.snapshot()) for session in self.touched.values()]

    def write(self, conn: sqlite3.Connection) -> None:
        insert_many(conn, f"INSERT INTO records ({COLUMNS}) VALUES ", "", self.rows)
        spans: Counter[int] = Counter()
        counts = self.counts.copy()
        for (life, span, kind, profile, hour), rows in Counter(map(_COUNTED_BY, self.rows)).items():
            spans[life] += span * rows
            if kind == RECORD:
                counts[CountKey(life, profile, hour, 0, STORED)] += rows
        insert_many(
            conn,
            "INSERT INTO profiles (id, life, descriptor, first_window, ended_window) VALUES ",
            " ON CONFLICT (id) DO UPDATE SET first_window = excluded.first_window, ended_window = excluded.ended_window",
            list(self.profiles.values()),
        )
        add_counts(conn, counts)
        insert_many(conn, f"INSERT INTO undecoded ({', '.join(Undecoded._fields)}) VALUES ", "", self.undecoded)
        insert_many(conn, f"INSERT INTO unresolved ({', '.join(Unresolved._fields)}) VALUES ", "", self.unresolved)
        insert_many(
            conn,
            f"INSERT OR REPLACE INTO anchors ({', '.join(Anchor._fields)}) VALUES ",
            "",
            list(self.anchors.values()),
        )
        if self.decoded_ids:
            conn.executemany("DELETE FROM undecoded WHERE id = ?", [(row,) for row in self.decoded_ids])
        if self.resolved_ids:
            conn.executemany("DELETE FROM unresolved WHERE id = ?", [(row,) for row in self.resolved_ids])
        conn.executemany(
            "UPDATE lives SET state = ?, stored = stored + ? WHERE id = ?",
            [(snapshot.state, spans.pop(snapshot.life, 0), snapshot.life) for _, snapshot in self.snapshots],
        )
        if spans:  # rows whose session was not touched
            conn.executemany(
                "UPDATE lives SET stored = stored + ? WHERE id = ?", [(n, life) for life, n in spans.items()]
            )


def add_counts(conn: sqlite3.Connection, counts: Counter[CountKey]) -> None:
    insert_many(
        conn,
        f"INSERT INTO counts ({', '.join(CountKey._fields)}, n) VALUES ",
        " ON CONFLICT (life, profile, hour, sink, what) DO UPDATE SET n = n + excluded.n",
        [(*key, n) for key, n in counts.items()],
    )


def insert_many(conn: sqlite3.Connection, head: str, tail: str, rows: Sequence[Sequence[Any]]) -> None:
    """INSERT with many rows a statement; `head` ends with VALUES, `tail` is the conflict clause."""
    if not rows:
        return
    one = "(" + ",".join("?" * len(rows[0])) + ")"
    at = 0
    for size in ROWS_PER_STATEMENT:
        sql = head + ",".join([one] * size) + tail
        while len(rows) - at >= size:
            conn.execute(sql, list(chain.from_iterable(rows[at : at + size])))
            at += size
