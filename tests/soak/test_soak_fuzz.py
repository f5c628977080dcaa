"""`make soak`: the fuzz targets and the control socket with ever new seeds, for STEIGER_SOAK_FUZZ_S (default 600) seconds each.

A failing seed is in the message and is run again by STEIGER_SOAK_FUZZ_SEED with the same target.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.test_control_requests import attack
from tests.fuzz.test_forged_frames import assault
from tests.fuzz.test_fuzz import fuzz
from tests.gateway.test_gateway_process import setup
from tests.waiting import wait_until

__all__ = ["setup"]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("STEIGER_SOAK_FUZZ_S", "600"))
FIRST_SEED = int(os.environ.get("STEIGER_SOAK_FUZZ_SEED", "1000"))
RUNS = 2_000  # inputs a seed


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_no_input_breaks_a_promise(target: Target) -> None:
    until = time.monotonic() + SECONDS
    seed = FIRST_SEED
    while time.monotonic() < until:
        fuzz(target, seed, RUNS)
        seed += 1
    print(f"{target.name}: {(seed - FIRST_SEED) * RUNS} inputs, seeds {FIRST_SEED} to {seed - 1}")


def test_nonsense_is_answered(setup: Any) -> None:
    process, nodes = setup
    for node in nodes:
        node.start()
    process.start()
    wait_until(process.answers, 60, "the gateway answers")
    until = time.monotonic() + SECONDS
    seed = FIRST_SEED
    while time.monotonic() < until:
        attack(process, nodes, seed, 500)
        seed += 1
    print(f"{(seed - FIRST_SEED) * 500} requests")


def test_forged_frames_by_the_million(tmp_path: Path) -> None:
    print(assault(tmp_path, FIRST_SEED, max(100_000, int(SECONDS * 2_000))))
