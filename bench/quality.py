"""Quality flags against labelled faults: how many are found, how many are false. Scored on seeds that set no threshold.

Air and microphone go through simulated chips, drivers, sampler and windows; wind and counters that go blind over days are
readings behind the signal processing. Values are scored from the moment a flag is due; faults from their beginning.
"""

import os

from tests.fakes.quality_due import DUE, UNTOLD
from tests.fakes.quality_run import score
from tests.fakes.quality_score import Score, fault_table, value_table

# Thresholds (firmware/limits.py) were set by their sources and looked at with these alone.
SET_ON = (1, 2, 3)
SCORED_ON = (101, 102, 103, 104, 105, 106)
TARGETS = {
    "quality.precision": (">=", 0.95),
    "quality.recall": (">=", 0.95),
    "quality.episodes_found": (">=", 0.95),
}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    own = os.environ.get("STEIGER_SEED")
    seeds = [*SCORED_ON, *([int(own)] if own else [])]
    scored = score(seeds)
    lines = value_table(f"seeds {seeds[0]}–{seeds[-1]}" if not own else "seeds, and yours", scored)
    lines += ["", "a flag is due (docs/quality.md):", *(f"{reason:16} {words}" for reason, words in DUE.items())]
    lines += ["", *fault_table(scored, UNTOLD)]
    set_on = score(list(SET_ON))
    lines += ["", *value_table("set on 1–3", set_on), "", *fault_table(set_on, UNTOLD)]
    return figures(scored), lines


def figures(scored: Score) -> dict[str, float]:
    """The worst of each. `episodes_found`: of faults in which a flag was due at all; `episodes_found_of_all`: of all."""
    reasons, kinds = scored.reasons(), scored.kinds()
    due = [scored.due_of_kind(kind) for kind in kinds]
    return {
        "quality.precision": min(scored.precision(reason) for reason in reasons),
        "quality.recall": min(scored.recall(reason) for reason in reasons),
        "quality.reasons": float(len(reasons)),
        "quality.unscored": float(sum(scored.unscored.values())),
        "quality.untold_in_faults": float(sum(scored.quiet.values())),
        "quality.episodes_found": min(found / episodes for episodes, found in due if episodes),
        "quality.episodes_found_of_all": min(scored.share_found(kind) for kind in kinds),
    }
