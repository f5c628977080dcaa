"""Where a record vanished: counters that different hands keep are compared hop by hop.

node flash: the node said that it had given seqs to so many windows, holds none of them any more, and they never came. What
            the gateway that answers acknowledged to it, a listening one books as a cause.
before this store: they were gone from the node when this database first met it (another gateway, or a lost database).
after ack:  seqs were acknowledged, and no row was ever inserted for them.
spool:      rows were inserted, and are neither there nor deleted by the budget.
sink:       rows were cut into batches, and were neither confirmed, refused nor dropped, and are in no open batch.
"""

from __future__ import annotations

import sqlite3

import msgspec

from gateway.life_state import Memory

NODE_FLASH, BEFORE, AFTER_ACK, SPOOL, SINK = (
    "node flash",
    "before this store",
    "after ack",
    "spool",
    "sink",
)


class Finding(msgspec.Struct):
    """Something vanished (count > 0) or is there more than once (count < 0) at a hop."""

    hop: str
    node: int  # 0: not of one node
    life: str
    count: int
    what: str


def on_node_at_most(memory: Memory, scheduled: int) -> int:
    """Windows that the node can still hold, by its own statements: seqs it had given and kept when it last told, and
    windows that came due since."""
    others = memory.others_before + sum(count for _, count in memory.others_after)
    received = len(memory.received) - others
    if memory.claim.next_seq < 0:
        return max(0, scheduled - received)  # never told us anything
    received_since = received - memory.windows_before_claim()
    due_since = scheduled - memory.claim.totals[0] - received_since
    return memory.unreceived_before_claim() + max(0, due_since)


def vanished(memory: Memory) -> int:
    """Windows that the node had given a seq by its last statement, holds no more, and that never came. Negative: too many did."""
    if memory.claim.next_seq < 0:
        return 0
    return memory.claim.totals[0] - memory.windows_before_claim() - memory.unreceived_before_claim()


def early(memory: Memory) -> int:
    """Of those, gone before this database first met the node."""
    missing = memory.received.missing(0, max(memory.first_floor, 0))
    return min(max(vanished(memory), 0), sum(end - start for start, end in missing))


def taken_elsewhere(memory: Memory) -> int:
    """Of those, acknowledged by another gateway."""
    return min(max(vanished(memory) - early(memory), 0), memory.taken)


def audit(conn: sqlite3.Connection, row: int, node: int, life: int, memory: Memory, scheduled: int) -> list[Finding]:
    """The hops up to the spool, for one life."""
    name = f"{life:08x}"
    findings = []
    before = early(memory)
    if before:
        findings.append(Finding(BEFORE, node, name, before, "windows were gone from the node when we first met it"))
    lost = vanished(memory) - before - taken_elsewhere(memory)
    if lost > 0:
        findings.append(Finding(NODE_FLASH, node, name, lost, "windows had a seq, the node holds them no more"))
    held = _one(conn, "SELECT coalesce(sum(span), 0) FROM unresolved WHERE life = ?", row)
    held += _one(conn, "SELECT coalesce(sum(seqs), 0) FROM undecoded WHERE life = ?", row)
    stored, deleted = conn.execute("SELECT stored, deleted FROM lives WHERE id = ?", (row,)).fetchone()
    unstored = len(memory.received) - memory.voids - held - stored
    if unstored:
        findings.append(Finding(AFTER_ACK, node, name, unstored, "seqs were acknowledged and never written"))
    present = _one(conn, "SELECT coalesce(sum(span), 0) FROM records WHERE life = ?", row)
    if stored - deleted != present:
        findings.append(Finding(SPOOL, node, name, stored - deleted - present, "rows were written and are not there"))
    return findings


def audit_sinks(conn: sqlite3.Connection) -> list[Finding]:
    """The last hop, for every sink."""
    findings = []
    lost_rows = _lost_rows(conn)
    for sink, name, cut, confirmed, refused, dropped in conn.execute(
        "SELECT id, name, cut, confirmed, refused, dropped FROM sinks"
    ).fetchall():
        open_rows = _one(conn, "SELECT coalesce(sum(n), 0) FROM batches WHERE sink = ?", sink)
        unaccounted = cut - confirmed - refused - dropped - open_rows
        if unaccounted > 0:
            unaccounted = max(0, unaccounted - lost_rows)  # a row that left the spool cannot reach the sink
        if unaccounted:
            findings.append(Finding(SINK, 0, "", unaccounted, f"{name}: rows were passed over and never confirmed"))
    return findings


def _lost_rows(conn: sqlite3.Connection) -> int:
    stored, deleted = conn.execute("SELECT coalesce(sum(stored), 0), coalesce(sum(deleted), 0) FROM lives").fetchone()
    return max(0, int(stored) - int(deleted) - _one(conn, "SELECT coalesce(sum(span), 0) FROM records"))


def _one(conn: sqlite3.Connection, sql: str, *arguments: int) -> int:
    return int(conn.execute(sql, arguments).fetchone()[0])
