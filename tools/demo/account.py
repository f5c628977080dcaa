"""The sum at the end: what the world scheduled against what arrived, counted by somebody else than the gateway.

*Scheduled* comes from the world's own count of windows, *delivered* from reading what the sink really holds (the archive's
rows by a plain SQL query, or the messages that a foreign MQTT client received), *causes* and *pending* from the gateway's
ledger. Where the sum does not hold, the hop is named.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from gateway.keys import load_keys
from tools.sim.world import World

RECORD_KIND = 0
CLOCKED = 0  # time_code of a record whose node knew the time


class Seen(NamedTuple):
    """What a sink holds, by node: measuring windows by id, and what came more than once."""

    delivered: dict[int, int]  # node -> distinct windows
    ids: set[str]
    # One window of the grid under two ids, or one id with two contents. A window that a node without a clock measured has
    # no place on the grid, only an end that was worked out: that of another one may be the same by chance.
    duplicates: int
    redelivered: int  # raw repeats of the same id with the same content


def scheduled(keys: Path, until_s: Mapping[int, int], window_s: int) -> dict[int, int]:
    """Windows that each node had to deliver, counted by the world from the lives of the key file."""
    counts: Counter[int] = Counter()
    for life in load_keys(keys):
        if life.void:
            continue
        end_s = life.until_s or until_s[life.address]
        counts[life.address] += World.windows_scheduled(life.provisioned_s, end_s, window_s)
    return dict(counts)


def archive_seen(store: Path) -> Seen:
    """Read the archive with plain SQL, not with the gateway's code."""
    # Closed at once: a connection left over by an error would go on with the index of a log that is no more.
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as conn:
        rows = conn.execute(
            "SELECT l.node, l.life, r.seq, r.profile, r.end_ms, r.time_code FROM records r JOIN lives l ON l.id = r.life"
            " WHERE r.kind = ?",
            (RECORD_KIND,),
        ).fetchall()
    delivered: Counter[int] = Counter()
    ids: set[str] = set()
    windows: set[tuple[int, int, int, int]] = set()
    duplicates = 0
    for node, life, seq, profile, end_ms, time_code in rows:
        name = f"{node}-{life:08x}-{seq}"
        window = (node, life, profile, end_ms)
        if name in ids or window in windows:
            duplicates += 1
            continue
        ids.add(name)
        if time_code == CLOCKED:
            windows.add(window)
        delivered[node] += 1
    return Seen(dict(delivered), ids, duplicates, 0)


class MessageCounter:
    """Counts batches as a foreign subscriber receives them; `add` takes one payload."""

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        self._windows: dict[tuple[Any, ...], str] = {}
        self._delivered: Counter[int] = Counter()
        self.duplicates = 0
        self.redelivered = 0

    def add(self, payload: bytes) -> None:
        for record in json.loads(payload)["records"]:
            if record["kind"] != "record":
                continue
            name = record["id"]
            content = json.dumps(record, sort_keys=True)
            if name in self._contents:
                if self._contents[name] == content:
                    self.redelivered += 1
                else:
                    self.duplicates += 1
                continue
            window = (record["node"], record["life"], record.get("profile"), record["start"])
            if record.get("time_source", "clock") == "clock":
                if window in self._windows:
                    self.duplicates += 1
                self._windows[window] = name
            self._contents[name] = content
            self._delivered[record["node"]] += 1

    def seen(self) -> Seen:
        return Seen(dict(self._delivered), set(self._contents), self.duplicates, self.redelivered)


def summary(world: Mapping[int, int], seen: Seen, ledger: Mapping[str, Any]) -> dict[str, Any]:
    """The demo's result: `{"scheduled", "delivered", "causes", "pending", "duplicates", "redelivered", "nodes"}`."""
    nodes: dict[str, Any] = {}
    causes: Counter[str] = Counter()
    pending = 0
    for address in sorted(world):
        booked = ledger["nodes"].get(str(address), {})
        node_causes = {name: count for name, count in booked.get("causes", {}).items() if count}
        node_pending = _total(booked.get("pending", 0))
        nodes[str(address)] = {
            "scheduled": world[address],
            "delivered": seen.delivered.get(address, 0),
            "causes": node_causes,
            "pending": node_pending,
        }
        causes.update(node_causes)
        pending += node_pending
    return {
        "scheduled": sum(world.values()),
        "delivered": sum(seen.delivered.get(address, 0) for address in world),
        "causes": dict(causes),
        "pending": pending,
        "duplicates": seen.duplicates,
        "redelivered": max(seen.redelivered, int(ledger.get("redelivered", 0))),
        "nodes": nodes,
    }


def _total(pending: Any) -> int:
    return sum(pending.values()) if isinstance(pending, dict) else int(pending)


def faults(result: Mapping[str, Any], ledger: Mapping[str, Any]) -> list[str]:
    """What does not hold, a line each; empty when the sum closes."""
    lines = []
    for address, node in result["nodes"].items():
        found = node["delivered"] + sum(node["causes"].values()) + node["pending"]
        if found != node["scheduled"]:
            lines.append(
                f"node {address}: scheduled {node['scheduled']}, but delivered {node['delivered']}"
                f" + causes {sum(node['causes'].values())} + pending {node['pending']} = {found}; hop: {_hop(address, node, ledger)}"
            )
        elif node["pending"]:
            lines.append(f"node {address}: {node['pending']} still pending; hop: {_hop(address, node, ledger)}")
    if result["duplicates"]:
        lines.append(f"{result['duplicates']} duplicates")
    lines += [f"node {f['node']}: {f['what']} ({f['count']}); hop: {f['hop']}" for f in ledger.get("hops", ())]
    return lines


def _hop(address: str, node: Mapping[str, Any], ledger: Mapping[str, Any]) -> str:
    """Where it went, by the gateway's audit; what the gateway delivered and the sink does not hold, went at the sink."""
    named: Sequence[str] = [f["hop"] for f in ledger.get("hops", ()) if str(f["node"]) == address]
    if named:
        return ", ".join(dict.fromkeys(named))
    booked = ledger["nodes"].get(address, {})
    if booked.get("delivered", 0) > node["delivered"]:
        return "sink"
    states = [name for name, count in ledger.get("pending_states", {}).items() if count]
    return ", ".join(states) if node["pending"] and states else "node flash"
