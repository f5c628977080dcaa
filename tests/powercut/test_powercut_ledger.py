"""A node that is cut again and again, at any operation of its flash, with the real gateway: in the end the sum closes."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.powercut import tear
from tests.sim.test_conductor import city, whole
from tools.sim.interpreter import find

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]
CUTS = int(os.environ.get("STEIGER_POWER_CUTS", "24"))
OPERATIONS_MAX = 90  # a boot and some records


@pytest.mark.parametrize("seed", range(int(os.environ.get("STEIGER_POWER_SEEDS", "1"))))
def test_the_ledger_closes_after_many_cuts(tmp_path: Path, seed: int) -> None:
    chance = Random(f"ledger {seed}")
    conductor, start = city(tmp_path / "run", ["air-v1"], seed)
    with conductor:
        gateway = start()
        node = conductor.nodes["n1"]
        conductor.run(12)
        for _ in range(CUTS):
            tear.arm(node, chance.randint(1, OPERATIONS_MAX), chance)
            assert conductor.run_until(lambda: not node.board.powered, 300), bytes(node.said[-500:])
            if chance.randrange(4) == 0:
                gateway.kill()
                conductor.run(chance.uniform(1, 20))
                node.board.power_on()
                conductor.run(chance.uniform(1, 8))
                gateway = start()
            else:
                conductor.run(chance.uniform(1, 20))
                node.board.power_on()
        node.flash.watch = None
        conductor.run(60)
        assert node.board.stats["power cuts"] == CUTS
        gateway.ask("drain", timeout_s=60)
        conductor.run(6)
        report = gateway.ask("ledger")
        whole(report)
        summary = report["summary"]
        assert set(summary["causes"]) <= {"node_off", "not_sampled"}, summary
        assert summary["delivered"] >= CUTS
        assert b"needs provisioning" not in node.said
        gateway.stop()
