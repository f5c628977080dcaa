"""A day of a board in a heap of a given size: gateway, outage, drain; its heap hour by hour."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.street import MIC_SLOWDOWN, STREET, Heap, Street
from tools.errors import SteigerError
from tools.sim.heap import BREATH_BYTES, WARM_H

# The largest free block may lose to where the heap's live objects happen to lie, but not shrink hour by hour.
LARGEST_SHARE = 0.5


class Plan(NamedTuple):
    """Hours of a scenario: the gateway is there until `away`, and again from `back` on."""

    hours: float
    away: float
    back: float
    every: float = 1.0  # between two samples


DAY = Plan(24, 2, 14)
SHORT = Plan(0.25, 0.1, 0.2, 0.05)  # what a heap must survive: boot, windows of all sensors, an outage, its drain


class Outcome(NamedTuple):
    """`samples`: (hour, heap); `trouble`: why the board did not survive, empty if it did."""

    samples: tuple[tuple[float, Heap], ...]
    trouble: tuple[str, ...]
    summary: dict[str, Any]


def live(folder: Path, plan: Plan, heap: str, told: Callable[[float, Heap], None] = lambda hour, heap: None) -> Outcome:
    """Carry out a plan. A board that restarts, or whose task fails, ends it early."""
    samples = []
    with Street(folder, heap=heap, mic_slowdown=MIC_SLOWDOWN) as street:
        conductor = street.conductor
        gateway: Any = street.start_gateway()
        events = [plan.away, plan.back]
        street.power_on()
        for step in range(1, round(plan.hours / plan.every) + 1):
            hour = step * plan.every
            while events and events[0] < hour:
                _run_to(street, events.pop(0))
                if events:
                    gateway.kill()
                else:
                    gateway = street.start_gateway()
            _run_to(street, hour)
            if street.trouble():
                return Outcome(tuple(samples), tuple(street.trouble()), {})
            samples.append((hour, street.heap()))
            told(*samples[-1])
        conductor.run(90)
        drained = gateway.ask("drain", timeout_s=600)
        report = gateway.ask("ledger", lines=False)
        summary = report["summary"]
        trouble = list(street.trouble())
        if not drained or not report["closed"] or summary["missing"]:
            trouble.append(f"ledger {summary}")
        gateway.stop()
    return Outcome(tuple(samples), tuple(trouble), summary)


def _run_to(street: Street, hour: float) -> None:
    """Until half a minute behind the hour: between two ends of windows."""
    wanted_us = street.began_us + round(hour * 3_600_000_000) + 30_000_000
    street.conductor.run(max(0, wanted_us - street.conductor.time.now_us) / 1e6)


def survives(heap_kb: int, plan: Plan = SHORT) -> bool:
    """Whether a board lives through `plan` in so many KiB."""
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        try:
            return not live(Path(folder), plan, f"{heap_kb}k").trouble
        except (AssertionError, SteigerError):  # it does not even answer, or cannot be provisioned
            return False


def growth_bytes(samples: tuple[tuple[float, Heap], ...]) -> int:
    """By how much the last quarter of the hours after WARM_H lies above the first one (means)."""
    used = [heap.used for hour, heap in samples if hour >= WARM_H]
    quarter = max(1, len(used) // 4)
    return sum(used[-quarter:]) // quarter - sum(used[:quarter]) // quarter


def steady(samples: tuple[tuple[float, Heap], ...]) -> list[str]:
    """What speaks against a steady heap."""
    warm = [(hour, heap) for hour, heap in samples if hour >= WARM_H]
    found = []
    if growth_bytes(samples) > BREATH_BYTES:
        found.append(f"used: {growth_bytes(samples)} bytes more at the end than at the beginning")
    for hour, heap in warm:
        if heap.largest < warm[0][1].largest * LARGEST_SHARE:
            found.append(f"hour {hour:g}: largest free block {heap.largest} bytes, {warm[0][1].largest} at first")
    return found


__all__ = ["BREATH_BYTES", "DAY", "SHORT", "STREET", "Outcome", "Plan", "growth_bytes", "live", "steady", "survives"]
