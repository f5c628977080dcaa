"""What many runs amount to: figures for machines, and a page's part for people."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tools.faults.catalogue import FAULTS
from tools.faults.verdict import Verdict

BEGIN, END = "<!-- soak:begin -->", "<!-- soak:end -->"
FAULT_TIMES = 60  # so often each fault has to fire in a soak


def replay_command(result: Verdict) -> str:
    """The one command that repeats a run."""
    return f"steiger sim faults {result.scenario} --seed {result.seed} --runs 1"


def summary(results: Sequence[Verdict]) -> dict[str, Any]:
    """All runs together. Runs that are too short or too calm to count are told apart."""
    fired: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for result in results:
        fired.update(result.fired)
        causes.update(result.causes)

    def total(name: str) -> Any:
        return sum(getattr(result, name) for result in results)

    return {
        "soak.runs": len(results),
        "soak.runs_that_count": sum(result.counts for result in results),
        "soak.runs_with_mosquitto": sum(result.time == "real" for result in results),
        "soak.failed": sum(bool(result.problems) for result in results),
        "soak.lost": total("lost"),
        "soak.duplicates": total("duplicates"),
        "soak.redelivered": total("redelivered"),
        "soak.redelivered_at_most": total("redelivered_at_most"),
        "soak.scheduled": total("scheduled"),
        "soak.delivered": total("delivered"),
        "soak.pending": total("pending"),
        "soak.sealed_seen": total("sealed"),
        "soak.causes": dict(sorted(causes.items())),
        "soak.predicted": dict(sorted(sum((Counter(result.predicted) for result in results), Counter()).items())),
        "soak.node_hours": round(total("node_s") / 3600, 1),
        "soak.least_overlap": min((result.overlap for result in results), default=0),
        "soak.cpu_s": round(total("cpu_s")),
        "soak.wall_s": round(total("wall_s")),
        "soak.faults": {name: fired.get(name, 0) for name in FAULTS},
        "soak.rarest_fault": min((fired.get(name, 0) for name in FAULTS), default=0),
        "soak.failed_seeds": [
            {"command": replay_command(result), "digest": result.digest, "problems": result.problems}
            for result in results if result.problems
        ],
    }  # fmt: skip


def line(result: Verdict, as_json: bool, number: int, of: int) -> str:
    """One run, as it ends."""
    if as_json:
        return msgspec.json.encode(result).decode()
    fired = ", ".join(name if count == 1 else f"{name} x{count}" for name, count in sorted(result.fired.items()))
    said = "; ".join(result.problems) if result.problems else "closed"
    return (
        f"[{number}/{of}] seed {result.seed}: {said}. scheduled {result.scheduled} = delivered {result.delivered} + causes "
        f"{sum(result.causes.values())} + pending {result.pending}, lost {result.lost}, redelivered {result.redelivered}; "
        f"{fired}; {result.wall_s:.0f} s, {result.cpu_s:.1f} s CPU, digest {result.digest[:16] or 'none'}"
    )


def text(figures: dict[str, Any]) -> str:
    """All runs, for a terminal."""
    faults = ", ".join(f"{name} {count}" for name, count in figures["soak.faults"].items())
    names = ("runs", "runs_that_count", "runs_with_mosquitto", "failed", "lost", "duplicates", "redelivered", "cpu_s")
    return ", ".join(f"{name} {figures[f'soak.{name}']}" for name in names) + f"\nfired: {faults}"


def facts() -> list[str]:
    """When and where: the head of the page's part."""
    from tools.sim.interpreter import find

    made = datetime.now(UTC).strftime("%Y-%m-%d")
    return [
        f"Made {made} by `make soak`: {find()}, CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})."
    ]


def markdown(figures: dict[str, Any], facts: Sequence[str]) -> str:
    """The part of docs/soak.md between its marks."""
    rows = [
        ("runs, each with MicroPython and gateway processes", "soak.runs"),
        ("of them with ≥ 10 node-minutes, ≥ 50 sealed records, ≥ 3 faults at one instant", "soak.runs_that_count"),
        ("of them with mosquitto", "soak.runs_with_mosquitto"),
        ("runs in which a promise was broken", "soak.failed"),
        ("lost", "soak.lost"),
        ("duplicates", "soak.duplicates"),
        ("redelivered", "soak.redelivered"),
        ("… at most, by the in-flight windows of the faults that fired", "soak.redelivered_at_most"),
        ("windows scheduled", "soak.scheduled"),
        ("delivered", "soak.delivered"),
        ("pending after the drain", "soak.pending"),
        ("records seen sealed in flash images", "soak.sealed_seen"),
        ("hours of boards with power", "soak.node_hours"),
        ("CPU seconds", "soak.cpu_s"),
    ]
    lines = [BEGIN, *facts, "", "| | |", "|---|---:|"]
    lines += [f"| {says} | {figures[key]:,} |" for says, key in rows]
    for cause, count in figures["soak.causes"].items():
        told = figures["soak.predicted"].get(cause)
        lines.append(f"| cause {cause}{'' if told is None else f' (predicted {told:,})'} | {count:,} |")
    lines += ["", "| fault | fired | counts when |", "|---|---:|---|"]
    lines += [f"| `{name}` | {figures['soak.faults'][name]:,} | {fault.fired} |" for name, fault in FAULTS.items()]
    return "\n".join([*lines, END])


def put_into(page: Path, part: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the marks of a page; a page without marks gets it at its end."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    before, mark, rest = text.partition(begin)
    if not mark:
        page.write_text(f"{text.rstrip()}\n\n{part}\n".lstrip(), encoding="utf-8")
        return
    page.write_text(before + part + rest.partition(end)[2], encoding="utf-8")
