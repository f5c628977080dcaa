"""`make soak`: every cut of the gateway's scripted lives and of lives by chance, on many disks each.

STEIGER_SOAK_CUT_SEEDS (default 8) lives by chance; build/powercut_gateway.json holds the sum.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.fakes import cut_laboratory

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]
SEEDS = int(os.environ.get("STEIGER_SOAK_CUT_SEEDS", "8"))
MIXED = 4
SUMMARY = Path("build/powercut_gateway.json")


def test_every_cut_of_every_life(tmp_path: Path) -> None:
    stories = cut_laboratory.lives(tmp_path, range(1, SEEDS + 1))
    figures = cut_laboratory.total([cut_laboratory.cut(name, story, mixed=MIXED) for name, story in stories])
    SUMMARY.parent.mkdir(exist_ok=True)
    summary = {
        "lives": len(stories),
        "powercut.gateway_cuts": figures.cuts,
        "powercut.gateway_images": figures.images,
        "powercut.gateway_failures": len(figures.failures),
        "failures": [broken._asdict() for broken in figures.failures[:20]],
    }
    SUMMARY.write_text(json.dumps(summary, indent=1) + "\n")
    print(summary)
    assert figures.cuts >= 2_000
    assert figures.failures == []
