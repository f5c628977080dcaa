"""A node's power cut at every operation of its recorded lives; the sum lies in build/powercut.json and build/bench.json."""

from __future__ import annotations

import os

import pytest

from tests.powercut.campaign import keep, run
from tools.sim.interpreter import find

pytestmark = [pytest.mark.soak, pytest.mark.timeout(4 * 3600)]


@pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")
def test_a_cut_at_every_operation_loses_nothing_and_repeats_nothing() -> None:
    outcome = run(every=1, workers=os.cpu_count() or 1, say=lambda line: os.write(2, f"{line}\n".encode()))
    keep(outcome, every=1)
    assert outcome.failures == []
    assert outcome.operations >= 2000
    assert outcome.cuts == outcome.operations
    assert outcome.second_cuts >= 100
