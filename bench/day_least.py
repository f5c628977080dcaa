"""The same day in the smallest heap that `make bench ARGS=memory` found for a quarter of an hour.

About half an hour of computing. `memory` is measured first if it never was.
"""

from pathlib import Path

from bench import memory
from bench.day import day
from bench.kept import Kept
from tests.fakes.street_day import BREATH_BYTES

LEAST = "firmware.min_heap_bytes"
TARGETS: dict[str, tuple[str, float]] = {
    "firmware.day_least_survived": ("==", 1),
    "firmware.day_least_heap_growth_bytes": ("<=", BREATH_BYTES),
}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table); each hour is told as it comes."""
    kept = Kept(Path(__file__).resolve().parent.parent / "build" / "bench").get("memory")
    least = (kept.found.figures if kept is not None else memory.run()[0])[LEAST]
    figures, lines = day(f"{int(least) // 1024}k", "firmware.day_least")
    return {"firmware.day_least_heap_bytes": least, **figures}, lines
