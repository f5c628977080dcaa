"""Whether the differences of totals in an archive are those of its values: each once, each right, none left out.

The rule is the plain one, for somebody who has the whole archive before him: of each channel of each life, the values in the
order of their seq, and the difference of each two neighbours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from gateway.models import Record
from gateway.store import Reader
from wire.totals import EVENTS_BITS, EVENTS_MASK

WAITING = 1  # of each channel at the end: nothing was stored since that could have told it

Key = tuple[int, int, str]  # node, life, quantity


def problems(store: Path) -> list[str]:
    """What does not hold, in words. Where the spool's budget took values, only that nothing is told twice."""
    values: dict[Key, list[tuple[int, int, int]]] = defaultdict(list)
    told: dict[Key, Counter[tuple[int, int, int, bool]]] = defaultdict(Counter)
    with Reader(store) as reader:
        trimmed = {tuple(row) for row in reader.conn.execute("SELECT node, life FROM lives WHERE deleted > 0")}
        for record in reader.records():
            for quantity, raw in _totals(record):
                values[record.node, record.life, quantity].append((record.seq, record.end_ms, raw))
            for one in record.counted:
                difference = one.since_ms, one.until_ms, one.events, one.restarted
                told[record.node, record.life, one.name][difference] += 1
    found = []
    for key in sorted(values.keys() | told.keys()):
        expected = _expected(sorted(values[key]))
        where = f"node {key[0]}, life {key[1]:08x}, {key[2]}"
        for difference, times in told[key].items():
            if times > 1:
                found.append(f"{where}: the difference {difference} was told {times} times")
            if difference not in expected and key[:2] not in trimmed:
                found.append(f"{where}: the difference {difference} is of no two neighbours")
        untold = [difference for difference in expected if difference not in told[key]]
        if key[:2] not in trimmed and (len(untold) > WAITING or (untold and untold[-1] != expected[-1])):
            found.append(f"{where}: {len(untold)} differences were not told, the first is {untold[0]}")
    return found


def _totals(record: Record) -> list[tuple[str, int]]:
    if record.profile is None:
        return []
    channels = zip(record.profile.channels, record.values, strict=False)
    return [(channel.name, raw) for channel, raw in channels if channel.total and raw is not None]


def _expected(values: list[tuple[int, int, int]]) -> list[tuple[int, int, int, bool]]:
    found = []
    for (_, since_ms, before), (_, until_ms, raw) in pairwise(values):
        restarted = before >> EVENTS_BITS != raw >> EVENTS_BITS or raw < before
        counted = (raw & EVENTS_MASK) - (0 if restarted else before & EVENTS_MASK)
        found.append((since_ms, until_ms, counted, restarted))
    return found
