"""The loss ledger: per node, life, profile, hour of observation and sink, `scheduled = delivered + causes + pending`.

*Scheduled* comes from the grid and the clock alone: when the life was provisioned, when it ended, the lengths of its
profiles' windows. Everything else is counted elsewhere, so the equation can fail; what is then `missing` (or, negative,
too much) is located by gateway/audit.py. Everything is read from the database, by the gateway or by another process.

As JSON (`Report` through msgspec): {"at_ms", "closed", "sinks": [names], "lives": [{"node", "life", "name", "board",
"last_ms", "sinks": {sink: TALLY}, "lines": [{"profile", "window_s", "hour_ms", "sink", TALLY…}]}], "findings": [{"hop",
"node", "life", "count", "what"}]} with TALLY = {"scheduled", "delivered", "causes": {cause: n}, "pending": {state: n},
"missing", "after_end"}. Counts are windows.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any

import msgspec

from gateway.audit import Finding, audit, audit_sinks, on_node_at_most, taken_elsewhere
from gateway.life_state import Memory
from gateway.models import AFTER_END, RECORD
from gateway.store.group import ProfileRow
from gateway.store.sinks import (
    DELIVERED,
    DROPPED,
    NOT_SAMPLED,
    OFF,
    OVERWRITTEN,
    REFUSED,
    SINK_REFUSED,
    TRIMMED,
)
from gateway.time_resolution import hours_of_windows
from wire.profiles import decode_profile

ARCHIVE = "archive"  # the database itself is a sink
CAUSES = {
    OFF: "node_off",
    NOT_SAMPLED: "not_sampled",
    REFUSED: "refused_by_sensor_check",
    OVERWRITTEN: "overwritten_on_node",
}
SINK_CAUSES = {DROPPED: "dropped_by_spool_budget", SINK_REFUSED: "refused_by_sink"}
TAKEN = "taken_by_another_gateway"  # which answers this node and has it in its ledger
CLOCKS_DIFFER_S = 2  # of a node and its gateway
STATES = ("on_node", "in_spool", "time_unresolved", "awaiting_profile")


class Tally(msgspec.Struct):
    """Windows of one stretch of time for one sink."""

    scheduled: int = 0
    delivered: int = 0
    causes: dict[str, int] = msgspec.field(default_factory=dict)
    pending: dict[str, int] = msgspec.field(default_factory=dict)
    missing: int = 0
    after_end: int = 0  # beside the sum: windows that a node measured after the end of its life's grid

    def settle(self) -> int:
        """What is scheduled and neither delivered nor explained so far; negative: too much."""
        return self.scheduled - self.delivered - sum(self.causes.values()) - sum(self.pending.values())

    def add(self, other: Tally) -> None:
        self.scheduled += other.scheduled
        self.delivered += other.delivered
        self.missing += other.missing
        self.after_end += other.after_end
        for mine, theirs in ((self.causes, other.causes), (self.pending, other.pending)):
            for name, n in theirs.items():
                mine[name] = mine.get(name, 0) + n

    def closed(self) -> bool:
        return self.missing == 0 and self.settle() == 0


class Line(Tally, kw_only=True):
    """One hour of one profile for one sink."""

    profile: str
    window_s: int
    hour_ms: int
    sink: str


class LifeLedger(msgspec.Struct):
    node: int
    life: str
    name: str
    board: str
    last_ms: int  # last authenticated uplink, 0: never
    sinks: dict[str, Tally]
    lines: list[Line]


class Report(msgspec.Struct):
    at_ms: int
    closed: bool
    sinks: list[str]
    lives: list[LifeLedger]
    findings: list[Finding]
    duplicates: int  # rows of the archive beyond one for each (life, seq)
    redelivered: dict[str, int]


def scheduled_hours(row: ProfileRow, window_s: int, until_s: int, now_ms: int) -> dict[int, int]:
    """Windows that ended by now, by the hour that they start in."""
    end = now_ms // (window_s * 1000)
    if row.ended_window:
        end = min(end, row.ended_window)
    if until_s:
        last = -(-until_s // window_s)  # the window that contains until_s closes with it, partial
        end = last if until_s * 1000 <= now_ms and not row.ended_window else min(end, last)
    if end <= row.first_window:
        return {}
    return dict(hours_of_windows(row.first_window, end - row.first_window, window_s))


def build(conn: sqlite3.Connection, now_ms: int, *, lines: bool = True, node: int | None = None) -> Report:
    """The whole ledger as of now; `lines` adds the hours, `node` limits it to one address."""
    if not conn.in_transaction:  # one instant of a database that a gateway goes on writing
        conn.execute("BEGIN")
        try:
            return build(conn, now_ms, lines=lines, node=node)
        finally:
            conn.execute("ROLLBACK")
    sinks = {0: ARCHIVE} | {int(r[0]): str(r[1]) for r in conn.execute("SELECT id, name FROM sinks ORDER BY id")}
    counted = _Counted(conn, list(sinks))
    findings: list[Finding] = []
    lives = []
    for life in _lives(conn):
        if node is not None and life.node != node:
            continue
        tallies, total_scheduled = _tallies(life, counted, sinks, now_ms)
        memory = life.memory
        for sink_id in sinks:
            _explain(tallies[sink_id], life, counted, on_node_at_most(memory, total_scheduled))
        findings += audit(conn, life.row, life.node, life.life, memory, total_scheduled)
        totals = {}
        for sink_id, name in sinks.items():
            total = Tally()
            for line in tallies[sink_id].values():
                total.add(line)
            totals[name] = total
        kept = [line for sink_id in sinks for line in tallies[sink_id].values()] if lines else []
        lives.append(LifeLedger(life.node, f"{life.life:08x}", life.name, life.board, memory.last_ms, totals, kept))
    findings += counted.sink_findings()
    closed = not findings and all(tally.closed() for ledger in lives for tally in ledger.sinks.values())
    duplicates = conn.execute("SELECT count(*) - count(DISTINCT (life << 32) | seq) FROM records").fetchone()[0]
    return Report(now_ms, closed, list(sinks.values()), lives, findings, int(duplicates), counted.redelivered)


def summary(report: Report, sink: str | None = None) -> dict[str, Any]:
    """The figures of one sink (default: the first that is not the archive) over all nodes."""
    if sink is None:
        sink = next((name for name in report.sinks if name != ARCHIVE), ARCHIVE)
    total = Tally()
    nodes: dict[str, Any] = {}
    for life in report.lives:
        tally = life.sinks[sink]
        total.add(tally)
        nodes.setdefault(str(life.node), Tally()).add(tally)
    return {
        "scheduled": total.scheduled,
        "delivered": total.delivered,
        "causes": total.causes,
        "pending": sum(total.pending.values()),
        "duplicates": report.duplicates,
        "redelivered": report.redelivered.get(sink, 0),
        "nodes": {
            name: {
                "scheduled": tally.scheduled,
                "delivered": tally.delivered,
                "causes": tally.causes,
                "pending": sum(tally.pending.values()),
                "missing": tally.missing,
            }
            for name, tally in nodes.items()
        },
        "missing": total.missing,
        "after_end": total.after_end,
        "closed": report.closed,
        "hops": [msgspec.to_builtins(finding) for finding in report.findings],
        "sink": sink,
        "pending_states": total.pending,
    }


class _Life(msgspec.Struct):
    row: int
    node: int
    life: int
    board: str
    name: str
    until_s: int  # 0: open
    void: bool  # no board ever ran it (gateway/keys.py)
    memory: Memory
    profiles: list[tuple[ProfileRow, int, str]]  # with window_s and id


def _lives(conn: sqlite3.Connection) -> list[_Life]:
    profiles = defaultdict(list)
    for values in conn.execute("SELECT id, life, descriptor, first_window, ended_window FROM profiles ORDER BY id"):
        row = ProfileRow(*values)
        profile = decode_profile(row.descriptor)
        profiles[row.life].append((row, profile.window_s, f"{profile.id:08x}"))
    return [
        _Life(row, node, life, board, name, until_s, bool(until_s and void), Memory(state), profiles[row])
        for row, node, life, board, name, until_s, void, state in conn.execute(
            "SELECT id, node, life, board, name, until_s, until_s = provisioned_s, state FROM lives "
            "ORDER BY node, provisioned_s"
        )
    ]


Key = tuple[int, int, int]  # life row, profile row, hour


class _Counted:
    """Everything that was counted, by (life, profile, hour)."""

    def __init__(self, conn: sqlite3.Connection, sinks: list[int]) -> None:
        self.delivered: dict[int, dict[Key, int]] = {sink: defaultdict(int) for sink in sinks}
        self.in_spool: dict[int, dict[Key, int]] = {sink: defaultdict(int) for sink in sinks}
        self.causes: dict[Key, dict[str, int]] = defaultdict(dict)
        self.sink_causes: dict[int, dict[Key, dict[str, int]]] = {sink: defaultdict(dict) for sink in sinks}
        self.unresolved: dict[int, int] = {}
        self.undecoded: dict[int, int] = {}
        self.redelivered: dict[str, int] = {}
        self.hours: dict[tuple[int, int], set[int]] = defaultdict(set)  # in which anything was counted
        self._conn = conn
        for life, profile, hour, sink, what, n in conn.execute("SELECT life, profile, hour, sink, what, n FROM counts"):
            key = (life, profile, hour)
            self.hours[key[:2]].add(hour)
            if what in CAUSES:
                self.causes[key][CAUSES[what]] = n
            elif what in SINK_CAUSES:
                self.sink_causes[sink][key][SINK_CAUSES[what]] = n
            elif what == DELIVERED:
                self.delivered[sink][key] = n
            elif what == TRIMMED:
                self.delivered[0][key] += n
        # What the archive holds is what is there, not what was counted when it came.
        self._count_rows(self.delivered[0], "1", ())
        for sink, name, cut, redelivered in conn.execute("SELECT id, name, cut, redelivered FROM sinks").fetchall():
            self._count_rows(self.in_spool[sink], "pos > ?", (cut,))
            for first, last in conn.execute(
                "SELECT first_pos, last_pos FROM batches WHERE sink = ?", (sink,)
            ).fetchall():
                self._count_rows(self.in_spool[sink], "pos BETWEEN ? AND ?", (first, last))
            self.redelivered[name] = redelivered
        self.unresolved = dict(
            conn.execute("SELECT life, sum(span) FROM unresolved WHERE kind < 2 GROUP BY life").fetchall()
        )
        self.inexact: dict[tuple[int, int], int] = {
            (life, profile): n
            for life, profile, n in conn.execute(
                "SELECT life, profile, sum(CASE kind WHEN 0 THEN 1 ELSE span END) FROM records "
                "WHERE time_code > 0 AND kind < 2 GROUP BY 1, 2"
            )
        }
        self.undecoded = dict(conn.execute("SELECT life, sum(seqs) FROM undecoded GROUP BY life").fetchall())

    def _count_rows(self, into: dict[Key, int], where: str, arguments: tuple[int, ...]) -> None:
        sql = f"SELECT life, profile, hour, count(*) FROM records WHERE kind = {RECORD} AND {where} GROUP BY 1, 2, 3"
        for life, profile, hour, n in self._conn.execute(sql, arguments):
            into[(life, profile, hour)] += n
            self.hours[(life, profile)].add(hour)

    def sink_findings(self) -> list[Finding]:
        return audit_sinks(self._conn)


def _tallies(
    life: _Life, counted: _Counted, sinks: dict[int, str], now_ms: int
) -> tuple[dict[int, dict[tuple[int, int], Line]], int]:
    """A line for each sink, profile and hour in which anything was scheduled or counted; and the windows scheduled."""
    total = 0
    out: dict[int, dict[tuple[int, int], Line]] = {sink: {} for sink in sinks}
    newest = now_ms // 3_600_000
    for row, window_s, profile_id in life.profiles:
        ahead = 1 + CLOCKS_DIFFER_S // window_s
        scheduled = {} if life.void else scheduled_hours(row, window_s, life.until_s, now_ms)
        hours = set(scheduled)
        hours |= counted.hours.get((life.row, row.id), set())
        for hour in sorted(hours):
            key = (life.row, row.id, hour)
            due = scheduled.get(hour, 0)
            for sink, name in sinks.items():
                line = Line(profile=profile_id, window_s=window_s, hour_ms=hour * 3_600_000, sink=name, scheduled=due)
                line.delivered = counted.delivered[sink].get(key, 0)
                line.causes = {**counted.causes.get(key, {}), **counted.sink_causes[sink].get(key, {})}
                waiting = counted.in_spool[sink].get(key, 0)
                if waiting:
                    line.pending["in_spool"] = waiting
                # The node's clock may be a moment ahead of ours: its window is over, ours is just ending.
                if hour >= newest - 1 and -ahead <= line.settle() < 0:
                    line.scheduled -= line.settle()
                if hour == AFTER_END:
                    line.hour_ms = life.until_s // 3600 * 3_600_000
                out[sink][(row.id, hour)] = line
            total += max(out[sink][(row.id, hour)].scheduled for sink in sinks)
    return out, total


def _explain(lines: dict[tuple[int, int], Line], life: _Life, counted: _Counted, on_node: int) -> None:
    """Fill the states that have no hour of their own, newest hours first; what is left over is missing."""
    pools = {
        "on_node": on_node,
        "time_unresolved": counted.unresolved.get(life.row, 0),
        "awaiting_profile": counted.undecoded.get(life.row, 0),
        TAKEN: taken_elsewhere(life.memory),
    }
    for line in sorted(lines.values(), key=lambda line: -line.hour_ms):
        rest = line.settle()
        for state, n in pools.items():
            taken = min(max(rest, 0), n)
            if taken:
                if state == "on_node" and life.memory.lost:
                    line.causes[CAUSES[OFF]] = line.causes.get(CAUSES[OFF], 0) + taken
                elif state == TAKEN:
                    line.causes[TAKEN] = taken
                else:
                    line.pending[state] = line.pending.get(state, 0) + taken
                pools[state] = n - taken
                rest -= taken
        line.missing = rest
    _level(lines, life, counted)
    for (_, hour), line in lines.items():
        if hour == AFTER_END:
            _set_aside(line)


def _set_aside(line: Line) -> None:
    """What was not scheduled and came all the same is told beside the sum."""
    line.after_end = rest = max(-line.missing, 0)
    line.missing += rest
    taken = min(rest, line.delivered)
    line.delivered -= taken
    rest -= taken
    for states in (line.pending, line.causes):
        for name, n in list(states.items()):
            taken = min(rest, n)
            rest -= taken
            states[name] -= taken
            if not states[name]:
                del states[name]


def _level(lines: dict[tuple[int, int], Line], life: _Life, counted: _Counted) -> None:
    """A window of a node without a clock may lie in another hour for us than for the node, by no more than its bound. If a
    profile's hours balance as a whole, and no more windows are out of place than were dated so, they are those: each
    such window is scheduled in the hour that it was found in. This never balances a window that is not there."""
    for row, _, _ in life.profiles:
        own = [line for (profile, hour), line in lines.items() if profile == row.id and hour != AFTER_END]
        displaced = sum(line.missing for line in own if line.missing > 0)
        if not displaced or displaced > counted.inexact.get((life.row, row.id), 0):
            continue
        elsewhere = sum(line.missing for line in own)
        late = lines.get((row.id, AFTER_END))
        if elsewhere == 0 or (late is not None and 0 < elsewhere <= -late.missing):
            for line in own:
                line.scheduled -= line.missing
                line.missing = 0
            if late is not None:
                late.scheduled += elsewhere
                late.missing += elsewhere
