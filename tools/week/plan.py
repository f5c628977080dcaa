"""When which fault is on: each in turn, alone, with clean hours between, so that recovery is seen too."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tools.errors import UsageError
from tools.sim.weather import local_time
from tools.week.fault import Fault

ON_SHARE = 0.6  # of each fault's turn
FIRST_S = 3600  # clean at the beginning: the board boots, chips warm up
LEAST_WINDOWS = 5  # that are judged, with the fault and without
DAY_HOURS = range(6, 14)  # a turn that begins then has traffic
EXACT_CLEAN_S, EXACT_FAULT_S = 360, 3600  # sample by sample


class Span(NamedTuple):
    """A fault between two instants, seconds since the start; clean until `until_s`, the next one's beginning."""

    fault: Fault
    begin_s: int
    end_s: int
    until_s: int


class Plan(NamedTuple):
    """`start_s`: unix; `length_s`: until everything is over."""

    start_s: int
    length_s: int
    spans: tuple[Span, ...]


def week(faults: Sequence[Fault], seed: int, start_s: int, days: float, window_s: int) -> Plan:
    """Every fault once, in an order of chance. UsageError if there is not time enough."""
    length_s = round(days * 86400) // window_s * window_s
    turn_s = (length_s - FIRST_S) // len(faults)
    for fault in faults:
        _require(fault, turn_s, window_s, length_s, len(faults))
    starts = [FIRST_S + turn_s * number for number in range(len(faults))]
    chance = Random(f"week {seed}")  # repeatable on purpose
    spans = []
    waiting = chance.sample(list(faults), len(faults))
    for begin_s in _scarce_first(starts, start_s):
        chosen = _fitting(waiting, begin_s, start_s)
        waiting.remove(chosen)
        begin_s += chance.randrange(window_s)
        spans.append(Span(chosen, begin_s, begin_s + _on_s(chosen, turn_s, window_s), 0))
    spans.sort(key=lambda span: span.begin_s)
    ends = [span.begin_s for span in spans[1:]] + [length_s]
    return Plan(start_s, length_s, tuple(span._replace(until_s=end) for span, end in zip(spans, ends, strict=True)))


def alone(span: Span, start_s: int, before_s: int, after_s: int) -> Plan:
    """One span of a week by itself, at the instant that it has there."""
    shift_s = (span.begin_s - before_s) // 60 * 60
    begin_s, end_s = span.begin_s - shift_s, span.end_s - shift_s
    length_s = end_s + after_s
    return Plan(start_s + shift_s, length_s, (Span(span.fault, begin_s, end_s, length_s),))


def sample_exact(fault: Fault, start_s: int) -> Plan:
    """An hour of a fault, sample by sample."""
    begin_s, end_s = EXACT_CLEAN_S + 17, EXACT_CLEAN_S + 17 + EXACT_FAULT_S
    length_s = (end_s + fault.recovers_s + EXACT_CLEAN_S) // 60 * 60
    return Plan(start_s + 8 * 3600, length_s, (Span(fault, begin_s, end_s, length_s),))


def _on_s(fault: Fault, turn_s: int, window_s: int) -> int:
    """A fault that shows late, or goes late, gets more of its turn."""
    least_s = fault.settles_s + LEAST_WINDOWS * window_s
    most_s = turn_s - fault.recovers_s - (LEAST_WINDOWS + 2) * window_s
    return max(least_s, min(round(ON_SHARE * turn_s), most_s))


def _require(fault: Fault, turn_s: int, window_s: int, length_s: int, count: int) -> None:
    needed_s = fault.settles_s + fault.recovers_s + (2 * LEAST_WINDOWS + 3) * window_s
    if needed_s > turn_s:
        days = (needed_s * count + FIRST_S) / 86400 + 0.1
        raise UsageError(
            f"{length_s / 86400:.1f} days are too few for {count} faults: {fault.title} needs {needed_s // 60} minutes of its own",
            next_step=f"Give --days {days:.1f} or more",
        )
    if fault.after_h * 3600 + needed_s > length_s:
        raise UsageError(
            f"{fault.title} is seen after {fault.after_h} hours at the earliest", next_step="Give more --days"
        )


def _scarce_first(starts: list[int], start_s: int) -> list[int]:
    """Turns by day before the others, the latest first: some faults take no others."""
    return sorted(starts, key=lambda begin_s: (not _by_day(begin_s, start_s), -begin_s))


def _by_day(begin_s: int, start_s: int) -> bool:
    return int(local_time(start_s + begin_s).hour) in DAY_HOURS


def _fitting(waiting: list[Fault], begin_s: int, start_s: int) -> Fault:
    """The one that finds a place the least easily, of those that fit here."""
    fitting = [
        fault for fault in waiting
        if (not fault.by_day or _by_day(begin_s, start_s)) and begin_s >= fault.after_h * 3600
    ]  # fmt: skip
    if not fitting:
        raise UsageError(
            "some faults want a turn by day and there is none left: " + ", ".join(fault.title for fault in waiting),
            next_step="Give other --days",
        )
    return max(fitting, key=lambda fault: (fault.by_day, fault.after_h))
