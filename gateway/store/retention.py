"""The budget in bytes and days, as a job of the writer's thread: oldest first, and what no sink had yet is counted."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gateway.models import RECORD
from gateway.store.sinks import DROPPED, TRIMMED

CHUNK = 5_000  # rows a job: inputs wait no longer than that takes
SLACK = 0.95  # deleting goes on until the file is this far below its budget


class Budget(NamedTuple):
    max_bytes: int
    max_age_ms: int


class Trimmed(NamedTuple):
    rows: int  # deleted from the archive
    dropped: int  # of these, records that some sink had not confirmed, summed over the sinks
    more: bool  # still above the budget


def used_bytes(conn: sqlite3.Connection) -> int:
    pages = int(conn.execute("PRAGMA page_count").fetchone()[0]) - int(
        conn.execute("PRAGMA freelist_count").fetchone()[0]
    )
    return pages * int(conn.execute("PRAGMA page_size").fetchone()[0])


def trim(conn: sqlite3.Connection, budget: Budget, now_ms: int, *, going_on: bool = False) -> Trimmed:
    """Delete at most one chunk of the oldest rows if the file is above its budget or they are older than it allows.

    Rows of an open batch stay: they may be on their way to the sink, and a batch is given out again unchanged.
    """
    size = used_bytes(conn)
    if size > budget.max_bytes * (SLACK if going_on else 1.0):
        # Never the newest row: it holds the place from which places go on.
        sql = "SELECT pos FROM records WHERE pos < (SELECT max(pos) FROM records) ORDER BY pos LIMIT 1 OFFSET "
        last = conn.execute(f"{sql}{CHUNK - 1}").fetchone()
        if last is None:  # a small table: half of it
            last = conn.execute(f"{sql}(SELECT (count(*) - 1) / 2 FROM records)").fetchone()
            if last is None:
                return Trimmed(0, 0, False)
        limit = int(last[0])
        if not going_on:
            limit = min(limit, _needed(conn, size, budget, limit))
    else:
        # Rows lie in the order of arrival, so age rises towards the front; the newest row always stays.
        oldest = conn.execute(
            f"SELECT max(pos) FROM (SELECT pos, received_ms FROM records ORDER BY pos LIMIT {CHUNK}) "
            "WHERE received_ms < ? AND pos < (SELECT max(pos) FROM records)",
            (now_ms - budget.max_age_ms,),
        ).fetchone()[0]
        if oldest is None:
            return Trimmed(0, 0, False)
        limit = int(oldest)
    return _delete_up_to(conn, limit, budget)


def _needed(conn: sqlite3.Connection, size: int, budget: Budget, limit: int) -> int:
    """Do not take a whole chunk where a small file is only just above its budget."""
    first, rows = conn.execute("SELECT min(pos), count(*) FROM records WHERE pos <= ?", (limit,)).fetchone()
    total = int(conn.execute("SELECT count(*) FROM records").fetchone()[0])
    excess = max(1, int(total * (1 - budget.max_bytes * SLACK / size)))
    return limit if excess >= rows else int(first) + excess


def _delete_up_to(conn: sqlite3.Connection, limit: int, budget: Budget) -> Trimmed:
    dropped = 0
    for sink, cut in conn.execute("SELECT id, cut FROM sinks WHERE cut < ?", (limit,)).fetchall():
        conn.execute(
            "INSERT INTO counts (life, profile, hour, sink, what, n) "
            "SELECT life, profile, hour, ?, ?, count(*) FROM records WHERE pos > ? AND pos <= ? AND kind = ? "
            "GROUP BY life, profile, hour ON CONFLICT (life, profile, hour, sink, what) DO UPDATE SET n = n + excluded.n",
            (sink, DROPPED, cut, limit, RECORD),
        )
        # Places, not rows: what was deleted before this sink was there counts as dropped when its cursor passes it.
        conn.execute("UPDATE sinks SET cut = ?, dropped = dropped + ? WHERE id = ?", (limit, limit - cut, sink))
        dropped += int(
            conn.execute("SELECT count(*) FROM records WHERE pos > ? AND pos <= ?", (cut, limit)).fetchone()[0]
        )
    in_batch = "EXISTS (SELECT 1 FROM batches b WHERE records.pos BETWEEN b.first_pos AND b.last_pos)"
    conn.execute(
        "UPDATE lives SET deleted = deleted + d.n FROM (SELECT life, sum(span) AS n FROM records "
        f"WHERE pos <= ? AND NOT {in_batch} GROUP BY life) AS d WHERE lives.id = d.life",
        (limit,),
    )
    conn.execute(
        "INSERT INTO counts (life, profile, hour, sink, what, n) SELECT life, profile, hour, 0, ?, count(*) FROM records "
        f"WHERE pos <= ? AND kind = ? AND NOT {in_batch} GROUP BY life, profile, hour "
        "ON CONFLICT (life, profile, hour, sink, what) DO UPDATE SET n = n + excluded.n",
        (TRIMMED, limit, RECORD),
    )
    rows = conn.execute(f"DELETE FROM records WHERE pos <= ? AND NOT {in_batch}", (limit,)).rowcount
    return Trimmed(rows, dropped, rows > 0 and used_bytes(conn) > budget.max_bytes * SLACK)
