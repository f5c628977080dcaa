"""Quality flags against labelled faults: how many are found, how many are false. Scored on seeds that set no threshold.

Air and microphone go through simulated chips, drivers, sampler and windows; wind and counters that go blind over days are
readings behind the signal processing.
"""

import os

from tests.fakes.quality_run import Score, score

# Thresholds (firmware/limits.py) were set by their sources and looked at with these alone.
SET_ON = (1, 2, 3)
SCORED_ON = (101, 102, 103, 104)
TARGETS = {"quality.precision": (">=", 0.95), "quality.recall": (">=", 0.95)}


def table(name: str, result: Score) -> list[str]:
    """A line a reason."""
    lines = [f"{name:16} {'values':>8} {'found':>7} {'missed':>7} {'false':>6} {'precision':>10} {'recall':>8}"]
    for reason in result.reasons():
        found, missed, false = result.found[reason], result.missed[reason], result.false[reason]
        lines.append(
            f"{reason:16} {found + missed:>8} {found:>7} {missed:>7} {false:>6}"
            f" {100 * result.precision(reason):>8.1f} % {100 * result.recall(reason):>6.1f} %"
        )
    told = ", ".join(f"{reason or 'nothing'} {count}" for reason, count in result.unscored.most_common())
    unscored = sum(result.unscored.values())
    return [*lines, f"{'good, and told so':16} {result.good:>7}", f"not scored, on an edge {unscored:>3} (told {told})"]


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    own = os.environ.get("STEIGER_SEED")
    seeds = [*SCORED_ON, *([int(own)] if own else [])]
    scored = score(seeds)
    lines = table(f"seeds {seeds[0]}–{seeds[-1]}" if not own else "seeds, and yours", scored)
    lines += ["", *table("set on 1–3", score(list(SET_ON)))]
    reasons = scored.reasons()
    figures = {
        "quality.precision": min(scored.precision(reason) for reason in reasons),
        "quality.recall": min(scored.recall(reason) for reason in reasons),
        "quality.reasons": float(len(reasons)),
        "quality.unscored": float(sum(scored.unscored.values())),
    }
    return figures, lines
