"""Power cuts on a node: every flash operation of its recorded lives, torn, booted and checked.

Goes on where an interrupted run was (build/powercut-done.jsonl); `tests/powercut/campaign.py` is the same with more workers.
"""

from tests.powercut.campaign import figures_of
from tests.powercut.campaign import run as campaign

TARGETS: dict[str, tuple[str, float]] = {"powercut.cuts": (">=", 2_000), "powercut.failures": ("==", 0)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        print(line, flush=True)

    outcome = campaign(every=1, workers=1, say=say)
    lines = [line for line in told if "operations," in line or line.startswith("FAILED")]
    lines.append(
        f"{outcome.cuts} cuts at {outcome.operations} operations, {outcome.second_cuts} cut again in recovery:"
        f" {len(outcome.failures)} failed"
    )
    return figures_of(outcome), lines
