"""A board with all kinds of sensors through a day of 24 hours, no gateway in 12 of them: its heap, hour by hour.

In `-X heapsize=240k` of the 64-bit port, whose objects are twice an ESP32's. About half an hour of computing.
"""

import tempfile
from pathlib import Path

from tests.fakes.street import HEAP, Heap
from tests.fakes.street_day import BREATH_BYTES, DAY, growth_bytes, live, steady

TARGETS: dict[str, tuple[str, float]] = {
    "firmware.day_survived": ("==", 1),
    "firmware.day_heap_growth_bytes": ("<=", BREATH_BYTES),
}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table); each hour is told as it comes."""
    return day(HEAP, "firmware.day")


def day(size: str, name: str) -> tuple[dict[str, float], list[str]]:
    """The same in a heap of this size, the figures' names beginning with `name`."""
    lines = [f"In {size}:", f"{'hour':>5} {'used':>8} {'free':>8} {'largest block':>14}"]
    print("\n".join(lines), flush=True)

    def tell(hour: float, now: Heap) -> None:
        lines.append(f"{hour:>5g} {now.used:>8} {now.total - now.used:>8} {now.largest:>14}")
        print(lines[-1], flush=True)

    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        outcome = live(Path(folder), DAY, size, tell)
    against = [*outcome.trouble, *(steady(outcome.samples) if not outcome.trouble else ())]
    lines.append(f"{DAY.hours:g} h, gateway away from hour {DAY.away:g} to {DAY.back:g}: {outcome.summary}")
    lines.append(f"against it: {'; '.join(against) or 'nothing'}")
    figures: dict[str, float] = {f"{name}_survived": float(not against)}
    if not outcome.trouble:
        figures |= {
            f"{name}_heap_growth_bytes": growth_bytes(outcome.samples),
            f"{name}_heap_used_bytes": max(now.used for _, now in outcome.samples),
            f"{name}_heap_largest_bytes": min(now.largest for _, now in outcome.samples),
        }
    return figures, lines
