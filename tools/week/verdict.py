"""The judge of a run: what was written down beforehand against what the gateway's store and ledger hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from tools.sim.heap import BREATH_BYTES, WARM_H
from tools.week.fault import EDGE, FLAGS, GOOD, MISSING, NOT_SAMPLED, RECORD, Fault, Outcome
from tools.week.plan import Plan, Span
from tools.week.windows import Stored, Window

CLEAN_COVERAGE = 97  # percent, at least, of a window without a fault
SHOWN = 3  # windows of a kind that a problem names
MOST_SHARE = 0.5  # of the settled windows: that many carry what must be told


class SpanResult(msgspec.Struct, kw_only=True):
    """One fault. `sound`: "" without a microphone, else "sample-exact" or "block results". Windows are counted where they were
    judged: `settled` with the fault, `clean` after it. `buckets`, `told`: what they showed, most frequent first."""

    fault: str
    says: str
    sound: str
    begin_s: int
    end_s: int
    settles_s: int
    settled: int
    clean: int
    buckets: dict[str, int]
    told: dict[str, int]
    problems: list[str]


class Result(msgspec.Struct, kw_only=True):
    """One life of a board. `problems`: of the whole; those of a fault stand with it."""

    board: str
    kind: str  # "week", "alone", "sample-exact"
    seed: int
    days: float
    wanted: str  # a single fault, or ""
    spans: list[SpanResult]
    problems: list[str]
    windows: int  # that ended, by the world's count
    delivered: int
    causes: dict[str, int]
    pending: int
    before_spans: int  # clean windows before the first fault
    boots: int
    task_restarts: int
    health_records: int
    heap: list[tuple[float, int, int]]  # hours, bytes used, largest free block
    heap_growth_bytes: int
    hours: float = 0.0
    block_results: int = 0  # questions that were answered
    sample_frames: int = 0  # that were read one by one
    digest: str = ""
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.problems or any(span.problems for span in self.spans))


def judge_span(
    span: Span, plan: Plan, stored: Stored, window_s: int, withheld: frozenset[str], sound: str
) -> SpanResult:
    """What the windows of one fault's turn show."""
    fault = span.fault
    buckets: Counter[str] = Counter()
    told: Counter[str] = Counter()
    problems: dict[str, list[int]] = {}
    settled = clean = musts = 0
    for index in _indices(plan.start_s + span.begin_s, plan.start_s + span.until_s, window_s):
        begin_s, end_s = index * window_s - plan.start_s, (index + 1) * window_s - plan.start_s
        window = stored.windows.get(index)
        if end_s <= span.begin_s or end_s > span.until_s:  # the next fault's edge
            continue
        if begin_s >= span.begin_s + fault.settles_s and end_s <= span.end_s:
            settled += 1
            found = _against(window, fault.outcome, withheld)
            if window is not None:
                buckets[window.bucket] += 1
                shown = {mark for mark in window.marks.values() if mark not in (GOOD, MISSING)}
                shown |= {MISSING} if _plainly_missing(window, withheld) else set()
                told.update(shown or ({GOOD} if window.marks else set()))
                musts += not fault.outcome.must or bool(fault.outcome.must & set(window.marks.values()))
        elif begin_s >= span.end_s + fault.recovers_s and end_s <= span.until_s:
            clean += 1
            found = [f"after it: {problem}" for problem in _against(window, CLEAN, withheld)]
        else:
            found = [f"on its edge: {problem}" for problem in _against(window, _edge(fault, window), withheld)]
        for problem in found:
            problems.setdefault(problem, []).append(begin_s)
    lines = [f"{what} ({len(at)} windows, {_when(at)})" for what, at in problems.items()]
    if settled and musts < MOST_SHARE * settled:
        lines.append(f"only {musts} of {settled} windows tell {' or '.join(sorted(fault.outcome.must))}")
    if not settled or not clean:
        lines.append(f"{settled} windows with the fault and {clean} after it were judged: the span is too short")
    return SpanResult(
        fault=fault.title, says=fault.says, sound=sound, begin_s=span.begin_s, end_s=span.end_s, settles_s=fault.settles_s,
        settled=settled, clean=clean, buckets=dict(buckets.most_common()), told=dict(told.most_common()), problems=lines,
    )  # fmt: skip


CLEAN = Outcome(coverage=(CLEAN_COVERAGE, 100))


def _edge(fault: Fault, window: Window | None) -> Outcome:
    """Where a fault begins or goes: its own marks and buckets, its reasons with a lesser flag, and what a change makes of
    values; only on its channels."""
    outcome = fault.outcome
    names = [*outcome.told, *fault.also]
    if outcome.buckets != {RECORD} or (fault.edges and not names):
        names = list(window.marks) if window is not None else []
    own = frozenset().union(*outcome.told.values(), EDGE)
    reasons = {mark.partition(" ")[2] for told in outcome.told.values() for mark in told} - {""}
    own |= {f"{flag} {reason}" for flag in FLAGS for reason in reasons} | fault.edges
    return Outcome(outcome.buckets | {RECORD, NOT_SAMPLED}, dict.fromkeys(names, own))


def judge_before(
    plan: Plan, stored: Stored, window_s: int, withheld: frozenset[str], settles_s: int
) -> tuple[int, list[str]]:
    """(clean windows before the first fault, what is wrong with them)."""
    first_s = plan.spans[0].begin_s if plan.spans else plan.length_s
    problems: Counter[str] = Counter()
    count = 0
    for index in _indices(plan.start_s + settles_s, plan.start_s + first_s - window_s + 1, window_s):
        count += 1
        problems.update(_against(stored.windows.get(index), CLEAN, withheld))
    return count, [f"before the first fault: {what} ({times} windows)" for what, times in problems.items()]


def _against(window: Window | None, outcome: Outcome, withheld: frozenset[str]) -> list[str]:
    """What a window shows that it must not."""
    if window is None:
        return ["a window is not there at all"]
    if window.bucket not in outcome.buckets:
        return [f"{window.bucket} instead of {' or '.join(sorted(outcome.buckets))}"]
    if window.bucket != RECORD:
        return []
    found = []
    for name, mark in window.marks.items():
        allowed = outcome.told.get(name, frozenset((GOOD,)))
        if mark not in allowed and not (name in withheld and mark == MISSING):
            found.append(f"{name} is {mark} instead of {' or '.join(sorted(allowed))}")
    if outcome.coverage is not None and not outcome.coverage[0] <= window.coverage <= outcome.coverage[1]:
        found.append(f"coverage {window.coverage} % instead of {outcome.coverage[0]} to {outcome.coverage[1]} %")
    return found


def _plainly_missing(window: Window, withheld: frozenset[str]) -> bool:
    return any(mark == MISSING and name not in withheld for name, mark in window.marks.items())


def _indices(begin_s: int, end_s: int, window_s: int) -> range:
    """Windows that begin in [begin_s, end_s), the one that holds `begin_s` as well."""
    return range(begin_s // window_s, -(-end_s // window_s))


def _when(at_s: Sequence[int]) -> str:
    shown = ", ".join(f"{second / 3600:.2f} h" for second in at_s[:SHOWN])
    return shown + (" …" if len(at_s) > SHOWN else "")


def judge_ledger(
    plan: Plan, stored: Stored, window_s: int, scheduled: int, report: dict[str, Any]
) -> tuple[dict[str, int], list[str]]:
    """(causes as the windows show them, what does not add up). `scheduled`: counted by the world."""
    summary = report["summary"]
    counts = Counter(window.bucket for window in stored.windows.values())
    causes = {name: count for name, count in sorted(counts.items()) if name != RECORD}
    problems = []
    if not report["closed"]:
        problems.append("the ledger is not closed")
    if summary["scheduled"] != scheduled:
        problems.append(f"the ledger schedules {summary['scheduled']} windows, the world {scheduled}")
    first, last = plan.start_s // window_s, -(-(plan.start_s + plan.length_s) // window_s)
    outside = [index for index in stored.windows if not first <= index < last]
    if outside or len(stored.windows) != scheduled:
        problems.append(
            f"{len(stored.windows)} windows are stored, {len(outside)} of them outside; scheduled are {scheduled}"
        )
    if stored.doubled or summary["duplicates"]:
        problems.append(f"{stored.doubled} windows are there twice, {summary['duplicates']} rows")
    if summary["delivered"] != counts[RECORD]:
        problems.append(f"the ledger delivered {summary['delivered']}, the store holds {counts[RECORD]}")
    booked = {name: count for name, count in sorted(summary["causes"].items()) if count}
    if booked != causes:
        problems.append(f"the ledger's causes are {booked}, the windows' {causes}")
    if summary["pending"]:
        problems.append(f"{summary['pending']} windows are pending after the drain")
    by_hour = Counter((window.number * window_s // 3600, window.bucket) for window in stored.windows.values())
    wrong = [hour for hour, bucket in _differences(report, by_hour)]
    if wrong:
        problems.append(f"in {len(wrong)} hours the ledger's buckets are others than the windows'")
    return causes, problems


def _differences(report: dict[str, Any], by_hour: Counter[tuple[int, str]]) -> list[tuple[int, str]]:
    booked: Counter[tuple[int, str]] = Counter()
    for life in report["lives"]:
        for line in life["lines"]:
            hour = line["hour_ms"] // 3_600_000
            booked[hour, RECORD] += line["delivered"]
            for cause, count in line["causes"].items():
                booked[hour, cause] += count
    return [key for key in booked.keys() | by_hour.keys() if booked[key] != by_hour[key]]


def judge_life(stored: Stored, stats: dict[str, int], said: bytes, rows_expected: int) -> list[str]:
    """No crash, no reset: what the simulated board counted, and what the node says of itself."""
    problems = [f"{name} {stats[name]}" for name in ("watchdog", "crashes") if stats.get(name)]
    if stats.get("boots") != 1:
        problems.append(f"the board booted {stats.get('boots')} times")
    boots = {health.boot for health in stored.health}
    if len(boots) != 1:
        problems.append(f"health records tell of boots {sorted(boots)}")
    restarts = max((health.task_restarts for health in stored.health), default=0)
    if restarts:
        problems.append(f"{restarts} tasks were restarted")
    if len(stored.health) < rows_expected:
        problems.append(f"{len(stored.health)} health records, {rows_expected} were due")
    uptimes = [health.uptime_ms for health in stored.health]
    if uptimes != sorted(uptimes):
        problems.append("the uptime of health records goes back")
    for sign in (b"MemoryError", b"task sensor", b"E task", b"cannot be set up", b"Traceback"):
        if sign in said:
            problems.append(f"the board said {sign.decode()!r}")
    return problems


def growth_bytes(heap: Sequence[tuple[float, int, int]]) -> int:
    """By how much the used heap of the last quarter (median) lies above that of the first one, from hour WARM_H on."""
    used = [bytes_used for hour, bytes_used, _ in heap if hour >= WARM_H]
    quarter = len(used) // 4
    return round(median(used[-quarter:]) - median(used[:quarter])) if quarter else 0


def judge_heap(heap: Sequence[tuple[float, int, int]]) -> list[str]:
    """At most as much more at the end as a heap breathes, and a straight line through all hours says the same."""
    problems = []
    if growth_bytes(heap) > BREATH_BYTES:
        problems.append(f"the heap holds {growth_bytes(heap)} bytes more at the end than at the beginning")
    warm = [(hour, bytes_used) for hour, bytes_used, _ in heap if hour >= WARM_H]
    if len(warm) >= 4:
        rise = _slope(warm) * (warm[-1][0] - warm[0][0])
        if rise > BREATH_BYTES:
            problems.append(f"the heap rises by {rise:.0f} bytes in {warm[-1][0] - warm[0][0]:.0f} hours")
    return problems


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """Bytes an hour, by least squares."""
    middle_h = sum(hour for hour, _ in points) / len(points)
    middle = sum(used for _, used in points) / len(points)
    over = sum((hour - middle_h) * (used - middle) for hour, used in points)
    return over / sum((hour - middle_h) ** 2 for hour, _ in points)
