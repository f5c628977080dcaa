"""What became of every window, read from the gateway's store with plain SQL: the ledger's own figures are compared with it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.store.rows import unpack_values
from tools.week.fault import NOT_SAMPLED, RECORD, REFUSED
from wire.channels import by_id
from wire.messages import NOT_SAMPLED as CAUSE_NOT_SAMPLED
from wire.messages import REFUSED as CAUSE_REFUSED
from wire.profiles import decode_profile
from wire.quality import GOOD, MISSING, flag_name, reason_name

RECORD_ROW, GAP_ROW, HEALTH_ROW = 0, 1, 2
BUCKETS = {CAUSE_NOT_SAMPLED: NOT_SAMPLED, CAUSE_REFUSED: REFUSED}


class Window(NamedTuple):
    """`number`: on the grid; `bucket`: of the ledger; `marks`: of each channel, by name; `seq`: the node's number of it."""

    number: int
    bucket: str
    marks: dict[str, str]
    coverage: int
    seq: int


class Health(NamedTuple):
    """What a node said of itself."""

    boot: int
    uptime_ms: int
    task_restarts: int


class Stored(NamedTuple):
    """`doubled`: windows that are there more than once."""

    windows: dict[int, Window]
    doubled: int
    health: list[Health]


def mark(value: int | None, quality: int) -> str:
    """A value's flag with its reason: "good", "suspect range", "missing"."""
    if value is None and quality & 15 != MISSING:
        return f"missing, and called {flag_name(quality)}"
    return f"{flag_name(quality)} {reason_name(quality)}".strip()


def read(store: Path) -> Stored:
    """Everything that one node with one profile delivered."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as conn:
        profiles = {
            row: decode_profile(descriptor) for row, descriptor in conn.execute("SELECT id, descriptor FROM profiles")
        }
        rows = conn.execute(
            "SELECT kind, profile, seq, span, end_ms, length_ms, coverage, data FROM records ORDER BY seq"
        ).fetchall()
    windows: dict[int, Window] = {}
    times: Counter[int] = Counter()
    health = []
    for kind, profile_row, seq, span, end_ms, length_ms, coverage, data in rows:
        if kind == HEALTH_ROW:
            told: dict[str, Any] = msgspec.json.decode(data[1:])
            health.append(Health(told["boot"], told["uptime_ms"], told["task_restarts"]))
        if kind not in (RECORD_ROW, GAP_ROW):
            continue
        profile = profiles[profile_row]
        window_ms = profile.window_s * 1000
        first = (end_ms - length_ms) // window_ms
        if kind == RECORD_ROW:
            values, flags = unpack_values(data)
            usual = tuple(MISSING if value is None else GOOD for value in values)
            names = [by_id(channel).name for channel, _ in profile.items]
            told_marks = {
                name: mark(value, quality) for name, value, quality in zip(names, values, flags or usual, strict=True)
            }
            windows[first] = Window(first, RECORD, told_marks, coverage, seq)
            times[first] += 1
        else:
            cause = BUCKETS.get(msgspec.json.decode(data[1:])["cause"], "another cause")
            for number in range(span):
                windows[first + number] = Window(first + number, cause, {}, 0, seq + number)
                times[first + number] += 1
    return Stored(windows, sum(count > 1 for count in times.values()), health)
