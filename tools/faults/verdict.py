"""The judge: adds up what the world scheduled, what lay sealed in flash, what the sink confirmed, and what the ledger says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tools.demo import account
from tools.faults.catalogue import REDELIVERING
from tools.faults.orders import Journal

BATCH_RECORDS = 20
IN_FLIGHT = 2 * BATCH_RECORDS  # records under way to the broker at one time: what a fault may cause to come again
NODE_MINUTES, RECORDS, OVERLAP = 10, 50, 3  # less is no run to be counted


class Verdict(msgspec.Struct, kw_only=True):
    """One run. `problems` is empty when every promise was kept; `digest` is the same for each run of one seed."""

    scenario: str
    seed: int
    time: str
    problems: list[str]
    fired: dict[str, int]
    planned: list[str]
    overlap: int  # most faults at one instant, of those that fired
    node_s: float  # with power
    scheduled: int
    delivered: int
    causes: dict[str, int]
    pending: int
    sealed: int  # records that the independent reader found in flash images
    lost: int
    duplicates: int
    redelivered: int
    redelivered_at_most: int
    predicted: dict[str, int]  # cause -> number overwritten or dropped, told before it happened
    digest: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    notes: list[str] = []

    @property
    def counts(self) -> bool:
        """Whether it is a run as the soak asks for."""
        return self.node_s >= NODE_MINUTES * 60 and self.sealed >= RECORDS and self.overlap >= OVERLAP


def confirmed(journal: Path) -> tuple[account.Seen, set[str]]:
    """What reached the broker, and the ids of what it confirmed."""
    counter = account.MessageCounter()
    ids: set[str] = set()
    under_way: dict[int, list[str]] = {}
    for line in Journal(journal).lines():
        if line["what"] == "publish":
            counter.add(json.dumps(line["payload"]).encode())
            under_way[line["number"]] = [r["id"] for r in line["payload"]["records"] if r["kind"] == "record"]
        elif line["what"] == "puback":
            ids.update(under_way.get(line["number"], ()))
    return counter.seen(), ids


def allowed_again(fired: Mapping[str, int]) -> int:
    """How many records may come again: the in-flight window for each fault that can leave one in doubt."""
    return IN_FLIGHT * sum(count for name, count in fired.items() if name in REDELIVERING)


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """How many spans hold one instant at most."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def judge(
    *, world: Mapping[int, int], seen: account.Seen, confirmed_ids: set[str], archived: account.Seen, ledger: Mapping[str, Any],
    sealed: set[str], overwritten: set[str], dropped: set[str], fired: Mapping[str, int],
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """(the figures, what does not hold). `overwritten` and `dropped` are ids, predicted before it happened."""
    result = account.summary(world, seen, ledger)
    problems = account.faults(result, ledger)
    lost = sealed - confirmed_ids - overwritten - dropped
    if lost:
        problems.append(f"{len(lost)} lost: {', '.join(sorted(lost)[:5])}")
    if archived.duplicates:
        problems.append(f"{archived.duplicates} duplicates in the archive")
    at_most = allowed_again(fired)
    if result["redelivered"] > at_most:
        problems.append(
            f"{result['redelivered']} records redelivered, at most {at_most} were under way when a fault came"
        )
    for cause, ids in (("overwritten_on_node", overwritten), ("dropped_by_spool_budget", dropped)):
        found = result["causes"].get(cause, 0)
        if found != len(ids):
            problems.append(f"{found} {cause}, predicted were {len(ids)}")
    if result["causes"].get("refused_by_sink"):
        problems.append(f"{result['causes']['refused_by_sink']} refused by a sink that refuses nothing")
    return result | {"lost": len(lost), "redelivered_at_most": at_most}, problems
