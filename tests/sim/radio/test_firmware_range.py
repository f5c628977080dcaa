"""A range test from end to end: real firmware on a simulated chip, a bridge board, the gateway; judged by the ether's own log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.sim.interpreter import find
from tools.sim.radio.deployment import Air, Deployment, GatewayAt, Link, NodeAt
from tools.sim.radio.firmware_town import FirmwareTown
from tools.sim.radio.law import judge

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(not find().is_micropython, reason="no MicroPython")]

COUNT = 12
PROBE_BYTES = 18


def test_the_gateway_counts_what_the_ether_let_through(tmp_path: Path) -> None:
    deployment = Deployment(
        name="range", seed=3, air=Air(shadowing_db=0), gateway=[GatewayAt(name="roof", kind="bridge", x_m=0, y_m=0)],
        node=[NodeAt(name="lamp", x_m=300, y_m=0)], link=Link(adr=False, interval_s=60),
    )  # fmt: skip
    with FirmwareTown(tmp_path, deployment) as town:
        gateway, ether = town.start_gateway(), town.conductor.ether
        town.run(125)
        let_through = []  # of each frame of the node, in the order of their ends

        def lost(sender: str, listener: str) -> bool:
            if (sender, listener) != ("lamp", "roof"):
                return False
            let_through.append(len(let_through) % 4 != 3)
            return not let_through[-1]

        before = sum(line.who == "lamp" for line in town.log)
        ether.lost = lost
        result = gateway.ask("range-test", within_s=1200, node=town.addresses["lamp"], count=COUNT, timeout_s=900)
        lines = [line for line in town.log if line.who == "lamp"][before:]
        assert len(lines) == len(let_through)
        sent = [(line, arrived) for line, arrived in zip(lines, let_through, strict=True) if line.length == PROBE_BYTES]
        probes = sent[-COUNT:]  # before them, the command's answer
        assert len(sent) > COUNT
        assert {(line.sf, line.power_dbm) for line, _ in probes} == {(9, result["power_dbm"])}
        (row,) = result["rows"]
        assert (row["ear"], row["sf"], row["sent"]) == ("roof", 9, COUNT) and result["deaf"] == []
        assert row["heard"] == sum(arrived for _, arrived in probes) < COUNT
        assert -110 < row["rssi_dbm"] < -60 and row["margin_db"] == row["snr_db"] + 12.5
        assert all(verdict.share <= 1 for verdict in judge(town.log)) and town.violations() == {}
