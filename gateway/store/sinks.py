"""Cursors and batches, as jobs of the writer's thread.

A sink's `cut` is the place up to which batches were cut; a cut batch stays in `batches` until the sink confirmed it. So at
every instant `cut = confirmed + refused + dropped + rows in open batches`, because places are given without gaps: the audit
checks that sum.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import NamedTuple

from gateway.models import RECORD
from gateway.store.group import STORED, CountKey, add_counts
from gateway.store.rows import COLUMNS

OFF, NOT_SAMPLED, REFUSED, OVERWRITTEN, TRIMMED = (
    1,
    2,
    3,
    4,
    5,
)  # counted before any sink, as STORED; 1-4 as on the wire
DELIVERED, DROPPED, SINK_REFUSED = 10, 11, 12  # counted per sink

# What a record costs in a sink's text form, roughly: enough to keep a batch below a message limit.
RECORD_BYTES, VALUE_BYTES = 220, 40

RawRow = tuple[int, ...]


class CutBatch(NamedTuple):
    id: int
    rows: list[RawRow]
    redelivery: bool
    cut: int  # the sink's cursor afterwards


class SinkRow(NamedTuple):
    id: int
    cut: int
    confirmed_ms: int


def add_sink(conn: sqlite3.Connection, name: str) -> SinkRow:
    """The sink's row; a new sink receives everything that the archive still holds, and what it no longer holds is counted
    as dropped for this sink."""
    found = conn.execute("SELECT id, cut, confirmed_ms FROM sinks WHERE name = ?", (name,)).fetchone()
    if found:
        return SinkRow(*found)
    lowest = conn.execute("SELECT min(pos) FROM records").fetchone()[0]
    gone = (int(lowest) - 1) if lowest is not None else _highest_pos(conn)
    sink = conn.execute("INSERT INTO sinks (name, cut, dropped) VALUES (?, ?, ?)", (name, gone, gone)).lastrowid or 0
    # Also what was deleted behind rows that stayed for another sink's open batch; places there count when the cursor passes.
    conn.execute(
        "INSERT INTO counts (life, profile, hour, sink, what, n) "
        "SELECT c.life, c.profile, c.hour, ?, ?, c.n - (SELECT count(*) FROM records r WHERE r.life = c.life "
        "AND r.profile = c.profile AND r.hour = c.hour AND r.kind = 0) AS missing "
        "FROM counts c WHERE c.sink = 0 AND c.what = ? GROUP BY c.life, c.profile, c.hour HAVING missing > 0",
        (sink, DROPPED, STORED),
    )
    return SinkRow(sink, gone, 0)


def _highest_pos(conn: sqlite3.Connection) -> int:
    return int(
        conn.execute(
            "SELECT max(coalesce((SELECT max(pos) FROM records), 0), coalesce((SELECT max(cut) FROM sinks), 0))"
        ).fetchone()[0]
    )


def next_pos(conn: sqlite3.Connection) -> int:
    return _highest_pos(conn) + 1


def select_range(conn: sqlite3.Connection, first: int, last: int) -> list[RawRow]:
    return conn.execute(
        f"SELECT {COLUMNS} FROM records WHERE pos BETWEEN ? AND ? ORDER BY pos", (first, last)
    ).fetchall()


def next_batch(conn: sqlite3.Connection, sink: int, max_records: int, max_bytes: int, after: int) -> CutBatch | None:
    """The first open batch above `after` again; else a new one cut at the cursor; else None."""
    cut, batch_id = conn.execute("SELECT cut, next_batch FROM sinks WHERE id = ?", (sink,)).fetchone()
    again = conn.execute(
        "SELECT batch, first_pos, last_pos, n FROM batches WHERE sink = ? AND batch > ? ORDER BY batch LIMIT 1",
        (sink, after),
    ).fetchone()
    if again:
        conn.execute("UPDATE sinks SET redelivered = redelivered + ? WHERE id = ?", (again[3], sink))
        return CutBatch(again[0], select_range(conn, again[1], again[2]), True, cut)
    rows = conn.execute(
        f"SELECT {COLUMNS} FROM records WHERE pos > ? ORDER BY pos LIMIT ?", (cut, max_records)
    ).fetchall()
    size = 0
    for taken, row in enumerate(rows):
        size += RECORD_BYTES + VALUE_BYTES * (len(row[13]) // 2)
        if size > max_bytes and taken:
            del rows[taken:]
            break
    if not rows:
        return None
    last = rows[-1][0]
    conn.execute(
        "INSERT INTO batches (sink, batch, first_pos, last_pos, n) VALUES (?, ?, ?, ?, ?)",
        (sink, batch_id, cut + 1, last, len(rows)),
    )
    gone = last - cut - len(rows)  # deleted before this sink was there
    conn.execute(
        "UPDATE sinks SET cut = ?, next_batch = ?, dropped = dropped + ? WHERE id = ?", (last, batch_id + 1, gone, sink)
    )
    return CutBatch(batch_id, rows, False, last)


def confirm(conn: sqlite3.Connection, sink: int, batch: int, now_ms: int, given: frozenset[int] | None) -> int:
    """Forget a batch. `given` are the places (pos) that the sink was really given, when the forwarder says so; else all.

    Returns the number of records confirmed; 0 for a batch that is not open (confirmed before: idempotent).
    """
    found = conn.execute(
        "SELECT first_pos, last_pos, n FROM batches WHERE sink = ? AND batch = ?", (sink, batch)
    ).fetchone()
    if not found:
        return 0
    first, last, n = found
    refused = {
        (life, seq)
        for life, seq in conn.execute("SELECT life, seq FROM refusals WHERE sink = ? AND batch = ?", (sink, batch))
    }
    counts: Counter[CountKey] = Counter()
    confirmed = refused_rows = 0
    if not refused and (given is None or len(given) == n):  # the usual case: all of it, counted by the database
        for life, profile, hour, kind, rows in conn.execute(
            "SELECT life, profile, hour, kind, count(*) FROM records WHERE pos BETWEEN ? AND ? GROUP BY 1, 2, 3, 4",
            (first, last),
        ).fetchall():
            confirmed += rows
            if kind == RECORD:
                counts[CountKey(life, profile, hour, sink, DELIVERED)] += rows
    else:
        for row in select_range(conn, first, last):
            pos, life, seq, _, kind, profile, hour = row[:7]
            if given is not None and pos not in given:
                continue
            what = SINK_REFUSED if (life, seq) in refused else DELIVERED
            if what == DELIVERED:
                confirmed += 1
            else:
                refused_rows += 1
            if kind == RECORD:
                counts[CountKey(life, profile, hour, sink, what)] += 1
    add_counts(conn, counts)
    conn.execute("DELETE FROM batches WHERE sink = ? AND batch = ?", (sink, batch))
    if refused:
        conn.execute("DELETE FROM refusals WHERE sink = ? AND batch = ?", (sink, batch))
    conn.execute(
        "UPDATE sinks SET confirmed = confirmed + ?, refused = refused + ?, confirmed_ms = ? WHERE id = ?",
        (confirmed, refused_rows, now_ms, sink),
    )
    return confirmed


def refuse(conn: sqlite3.Connection, sink: int, batch: int, records: list[tuple[int, int]], reason: str) -> None:
    """Remember (life row, seq) pairs of an open batch that the sink will never take; confirm() counts them."""
    conn.executemany(
        "INSERT OR IGNORE INTO refusals (sink, batch, life, seq, reason) VALUES (?, ?, ?, ?, ?)",
        [(sink, batch, life, seq, reason) for life, seq in records],
    )
