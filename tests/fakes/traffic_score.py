"""How well vehicles are counted in labelled scenes (tools.sim.scenes): each count against each road user, and v85."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from firmware.drivers.ld2451 import Parser
from firmware.drivers.tracker import Tracker
from tools.sim.scenes import Passage, Scene

LATE_MS = 5000  # a vehicle is told after it has left, and one that may only be hidden is waited for
EARLY_MS = 3000


class Count(NamedTuple):
    """One vehicle, as counted."""

    at_ms: int
    approaching: bool
    speed_kmh: float


class Score(NamedTuple):
    """Of one scene, or of several added."""

    passed: int
    found: int
    false: int
    v85_error_kmh: float  # the worst direction with at least `V85_LEAST` vehicles

    @property
    def recall(self) -> float:
        return self.found / self.passed

    @property
    def false_rate(self) -> float:
        """False counts, of all counts."""
        return self.false / max(1, self.found + self.false)

    def __add__(self, other: object) -> Score:
        assert isinstance(other, Score)
        worst = max(self.v85_error_kmh, other.v85_error_kmh)
        return Score(self.passed + other.passed, self.found + other.found, self.false + other.false, worst)


V85_LEAST = 10


class Clock:
    """What the tracker needs of a clock."""

    @staticmethod
    def ticks_diff(later_ms: int, earlier_ms: int) -> int:
        return later_ms - earlier_ms


def tracked(reports: Iterable[tuple[int, bytes]]) -> list[Count]:
    """The firmware's own parser and tracker."""
    parser, tracker = Parser(), Tracker(Clock)
    counts: list[Count] = []
    now_ms = 0
    for now_ms, data in reports:
        for _, targets in parser.feed(data):
            tracker.report(now_ms, tuple([(far * 100, way, kmh, angle) for angle, far, way, kmh, _ in targets]))
        counts += [Count(now_ms, bool(way), speed / 100) for way, speed, _, _ in tracker.ended()]
    for later_ms in range(now_ms, now_ms + 300_000, 100):
        tracker.expire(later_ms)
        counts += [Count(later_ms, bool(way), speed / 100) for way, speed, _, _ in tracker.ended()]
    return counts


def naive(reports: Iterable[tuple[int, bytes]]) -> list[Count]:
    """What a simple program does: something is there that was not there half a second ago, so it is one more."""
    counts: list[Count] = []
    seen_ms, fastest = [-1000, -1000], [0, 0]
    for now_ms, data in reports:
        for at in range(8, len(data) - 4, 5):
            _, _, way, kmh, _ = struct.unpack_from("5B", data, at)
            if now_ms - seen_ms[way] > 500 and fastest[way]:
                counts.append(Count(seen_ms[way], bool(way), float(fastest[way])))
                fastest[way] = 0
            seen_ms[way], fastest[way] = now_ms, max(fastest[way], kmh)
    return counts


def v85(speeds: list[float]) -> float:
    """The speed that 85 % do not exceed (nearest rank)."""
    return sorted(speeds)[max(0, math.ceil(0.85 * len(speeds)) - 1)]


def judge(counts: list[Count], passages: list[Passage]) -> Score:
    """Each count is worth one road user of its direction that left about then, and each road user one count."""
    found = 0
    error_kmh = 0.0
    for approaching in (True, False):
        there = sorted(one for one in passages if one.approaching == approaching)
        mine = sorted(one for one in counts if one.approaching == approaching)
        waiting = list(there)
        for count in mine:
            for passage in waiting:
                if count.at_ms - LATE_MS <= passage.left_ms <= count.at_ms + EARLY_MS:
                    waiting.remove(passage)  # the earliest: no other choice matches more
                    found += 1
                    break
        if len(there) >= V85_LEAST:
            true_kmh = v85([one.speed_kmh for one in there])
            told_kmh = v85([one.speed_kmh for one in mine]) if mine else 0.0
            error_kmh = max(error_kmh, abs(told_kmh - true_kmh))
    return Score(len(passages), found, len(counts) - found, error_kmh)


def score(name: str, seed: int, count: Callable[[Iterable[tuple[int, bytes]]], list[Count]] = tracked) -> Score:
    """One scene under one seed."""
    scene = Scene(name, seed)
    return judge(count(list(scene.reports())), scene.passages)
