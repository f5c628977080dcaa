"""How well the times of records hold against the world's clock, through clocks that are unset, late and leap by a day."""

import statistics
import tempfile
from pathlib import Path

from tests.fakes import clock_troubles

TARGETS: dict[str, tuple[str, float]] = {"time.worst_excess_ms": ("<=", 0), "time.records": (">=", 100)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    with tempfile.TemporaryDirectory(prefix="steiger-bench-") as folder:
        outcome = clock_troubles.run(Path(folder) / "street")
    figures: dict[str, float] = {
        "time.records": len(outcome.dated),
        "time.bound_median_ms": statistics.median(dated.bound_ms for dated in outcome.dated),
        "time.bound_max_ms": max(dated.bound_ms for dated in outcome.dated),
        "time.worst_excess_ms": max(dated.excess_ms for dated in outcome.dated),
    }
    lines = []
    for code, name in enumerate(("node's clock", "anchor", "neighbours")):
        mine = [dated for dated in outcome.dated if dated.code == code]
        if mine:
            bounds = [dated.bound_ms for dated in mine]
            errors = [max(0, dated.excess_ms + dated.bound_ms) for dated in mine]  # less what the values cannot tell
            lines.append(
                f"{name:13} records {len(mine):4}  bound ms median {statistics.median(bounds):8.0f} most {max(bounds):8}"
                f"  error ms, at least, median {statistics.median(errors):8.0f} most {max(errors):8}"
            )
    lines.append(f"worst excess over the bound: {figures['time.worst_excess_ms']:.0f} ms (at most 0 is as promised)")
    return figures, lines
