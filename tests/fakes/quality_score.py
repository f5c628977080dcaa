"""How often flags are right: value by value against what is due, and fault by fault against what was there."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import NamedTuple

NOTHING: frozenset[str] = frozenset()
ABSENT = "missing"  # a value that is not there, without a reason: nobody takes it for a good one


class Fault(NamedTuple):
    """A labelled episode. `number` tells it from others of its kind; `reasons`: any of these tells it rightly."""

    kind: str
    number: int
    begin_s: float
    reasons: frozenset[str]


class Judged(NamedTuple):
    """One value of one window: the reason that came with it ("" for none, ABSENT), what is due, what may be told as well
    since it is neither due nor wrong, the faults that it lies in whether anything is due or not, and the window's end."""

    told: str
    true: frozenset[str]
    maybe: frozenset[str] = NOTHING
    faults: tuple[Fault, ...] = ()
    end_s: float = 0.0


class Score:
    """Found, missed and false, per reason; a value that several things are wrong with tells one of them. Faults, per kind."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.false: Counter[str] = Counter()
        self.unscored: Counter[str] = Counter()  # what was told where it may as well not be
        self.good = 0  # outside of every fault, nothing due and nothing told
        self.absent = 0  # the same, and missing
        self.quiet: Counter[str] = Counter()  # the same within a fault, by its kind
        self.within: Counter[str] = Counter()  # all values within a fault
        self.episodes: dict[Fault, float | None] = {}  # the time until the first right flag, in s
        self.due: set[Fault] = set()  # those in which one was due at all

    def add(self, judged: Judged) -> None:
        told = judged.told
        for fault in judged.faults:
            self.within[fault.kind] += 1
            if self.episodes.setdefault(fault, None) is None and told in fault.reasons:
                self.episodes[fault] = judged.end_s - fault.begin_s
            if judged.true & fault.reasons:
                self.due.add(fault)
        if told in judged.true:
            self.found[told] += 1
            return
        if told and told in judged.maybe:
            self.unscored[told] += 1
            return
        if told not in ("", ABSENT):
            self.false[told] += 1
        self.missed.update(judged.true)
        if judged.true or told not in ("", ABSENT):
            return
        if told:
            self.absent += 1
        elif judged.faults:
            self.quiet.update(fault.kind for fault in judged.faults)
        elif "" in judged.maybe:
            self.unscored[told] += 1
        else:
            self.good += 1

    def reasons(self) -> list[str]:
        return sorted(self.found.keys() | self.missed.keys() | self.false.keys())

    def precision(self, reason: str) -> float:
        told = self.found[reason] + self.false[reason]
        return self.found[reason] / told if told else 0.0

    def recall(self, reason: str) -> float:
        true = self.found[reason] + self.missed[reason]
        return self.found[reason] / true if true else 0.0

    def kinds(self) -> list[str]:
        return sorted({fault.kind for fault in self.episodes})

    def of_kind(self, kind: str) -> tuple[int, list[float]]:
        """(episodes, the times until the first right flag of those that were found, in s, in order)."""
        times = [time_s for fault, time_s in self.episodes.items() if fault.kind == kind]
        return len(times), sorted(time_s for time_s in times if time_s is not None)

    def share_found(self, kind: str) -> float:
        episodes, times_s = self.of_kind(kind)
        return len(times_s) / episodes if episodes else 0.0

    def due_of_kind(self, kind: str) -> tuple[int, int]:
        """(episodes in which by the definition of the test a flag was due, those of them that were found)."""
        due = [fault for fault in self.due if fault.kind == kind]
        return len(due), sum(self.episodes[fault] is not None for fault in due)


def value_table(name: str, result: Score) -> list[str]:
    """A line a reason; values of which nothing is due do not count as right, but are told of."""
    lines = [f"{name:16} {'values':>8} {'found':>7} {'missed':>7} {'false':>6} {'precision':>10} {'recall':>8}"]
    for reason in result.reasons():
        found, missed, false = result.found[reason], result.missed[reason], result.false[reason]
        lines.append(
            f"{reason:16} {found + missed:>8} {found:>7} {missed:>7} {false:>6}"
            f" {100 * result.precision(reason):>8.1f} % {100 * result.recall(reason):>6.1f} %"
        )
    told = ", ".join(f"{reason or 'nothing'} {count}" for reason, count in result.unscored.most_common())
    quiet = ", ".join(f"{kind} {n} of {result.within[kind]}" for kind, n in result.quiet.most_common())
    return [
        *lines,
        f"no fault, nothing due, nothing told: {result.good}",
        f"within a fault, nothing due, nothing told: {sum(result.quiet.values())} ({quiet})",
        f"missing without a reason: {result.absent}",
        f"not scored, on an edge: {sum(result.unscored.values())} (told {told})",
    ]


def fault_table(result: Score, why: dict[str, str]) -> list[str]:
    """A line a kind of fault: in how many a flag was due, how many were told at all, and how soon. `why`: of kinds that are
    not always."""
    lines = [f"{'kind of fault':24} {'episodes':>8} {'due':>5} {'found':>6} {'share':>8} {'median':>9} {'longest':>9}"]
    for kind in result.kinds():
        episodes, times_s = result.of_kind(kind)
        times = (_span(statistics.median(times_s)), _span(times_s[-1])) if times_s else ("–", "–")
        lines.append(
            f"{kind:24} {episodes:>8} {result.due_of_kind(kind)[0]:>5} {len(times_s):>6}"
            f" {100 * result.share_found(kind):>6.1f} % {times[0]:>9} {times[1]:>9}"
        )
    missed = [kind for kind in result.kinds() if result.share_found(kind) < 1.0]
    return lines + [f"{kind}: {why.get(kind, 'missed')}" for kind in missed]


def _span(time_s: float) -> str:
    return (
        f"{time_s:.0f} s" if time_s < 120 else f"{time_s / 60:.1f} min" if time_s < 7200 else f"{time_s / 3600:.1f} h"
    )
