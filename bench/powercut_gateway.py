"""Power cuts on the gateway: every operation of the scripted lives, and what holds on the disks that a cut may leave."""

import logging
import tempfile
from pathlib import Path

from tests.fakes import cut_laboratory

SEEDS = (1,)  # lives by chance beside the scripted ones; `make soak` has more
TARGETS: dict[str, tuple[str, float]] = {"powercut.gateway_cuts": (">=", 1_500), "powercut.gateway_failures": ("==", 0)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    lines = []
    each = []
    logging.disable(logging.WARNING)  # of each gateway that comes back: thousands
    with tempfile.TemporaryDirectory(prefix="steiger-bench-") as folder:
        for name, story in cut_laboratory.lives(Path(folder), SEEDS):
            figures = cut_laboratory.cut(name, story)
            each.append(figures)
            lines.append(f"{name:12} cuts {figures.cuts:5}  disks {figures.images:5}  failures {len(figures.failures)}")
            print(lines[-1], flush=True)  # each takes a while
    logging.disable(logging.NOTSET)
    total = cut_laboratory.total(each)
    lines += [f"{broken.life}, cut {broken.cut}, {broken.variant}: {broken.what}" for broken in total.failures[:20]]
    return {
        "powercut.gateway_cuts": total.cuts,
        "powercut.gateway_images": total.images,
        "powercut.gateway_failures": len(total.failures),
    }, lines
