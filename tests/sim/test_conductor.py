"""The whole path in virtual time: real firmware, real gateway, one seed, one outcome."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools.sim.conductor import Conductor, GatewayProcess
from tools.sim.interpreter import find

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]
WINDOW_S = 5


def city(folder: Path, boards: list[str], seed: int = 1) -> tuple[Conductor, Callable[[], GatewayProcess]]:
    """Boards with addresses 1, 2 … and the means to start their gateway."""
    folder.mkdir(exist_ok=True)
    conductor = Conductor(folder, seed=seed, start_s=START_S)
    config = folder / "gateway.toml"
    ports = {}
    text = f'[gateway]\nid = "gw-test"\nnumber = 1\ndata_dir = "{folder / "data"}"\nkeys = "{folder / "keys.json"}"\n'
    for address, board in enumerate(boards, 1):
        name = f"n{address}"
        ports[f"/dev/{name}"] = name
        text += f'[[serial]]\nport = "/dev/{name}"\n'
        life = Life(address=address, key=key_of(address), board=board, name=name, provisioned_s=START_S)
        add_life(folder / "keys.json", life)
        conductor.add_node(name, board, prepare=PROVISION.format(settings_of(address, window_s=WINDOW_S)))
    config.write_text(text)
    return conductor, lambda: conductor.start_gateway(config, ports)


def whole(report: dict[str, Any]) -> None:
    """The ledger closes, nothing is lost, nothing is held twice."""
    summary = report["summary"]
    assert report["closed"], report
    assert summary["duplicates"] == 0
    assert summary["missing"] == 0


def run_once(folder: Path) -> tuple[str, Any]:
    conductor, start = city(folder, ["air-v1", "traffic-v1"])
    with conductor:
        gateway = start()
        conductor.at(20, lambda: conductor.nodes["n1"].noise(7, independent=0.005, burst=0.02))
        conductor.at(50, lambda: conductor.nodes["n1"].noise(7))
        conductor.run(60)
        return conductor.digest(), gateway.ask("ledger")


def test_two_runs_of_one_seed_are_the_same(tmp_path: Path) -> None:
    """Every byte on every line at the same microsecond, and the same ledger; with noise on a line."""
    first = run_once(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    second = run_once(tmp_path / "run")
    assert first == second
    whole(first[1])
    assert first[1]["summary"]["scheduled"] == 2 * 60 // WINDOW_S


def test_killed_gateway_and_cut_power_lose_nothing_unsaid(tmp_path: Path) -> None:
    conductor, start = city(tmp_path / "run", ["air-v1"])
    with conductor:
        gateway = start()
        conductor.run(30)
        gateway.kill()
        conductor.run(30)
        board = conductor.nodes["n1"].board
        board.power_off()
        conductor.run(12)
        board.power_on()
        gateway = start()
        conductor.run(60)
        assert gateway.ask("drain", timeout_s=60)
        conductor.run(WINDOW_S)
        report = gateway.ask("ledger")
        whole(report)
        summary = report["summary"]
        assert set(summary["causes"]) <= {"node_off", "not_sampled"}, summary
        assert summary["causes"].get("node_off", 0) >= 1
        assert summary["scheduled"] >= 27
        gateway.stop()


def test_world_agrees_on_what_was_scheduled(tmp_path: Path) -> None:
    conductor, start = city(tmp_path / "run", ["air-v1"])
    with conductor:
        gateway = start()
        conductor.run(100)
        scheduled = gateway.ask("ledger")["summary"]["scheduled"]
        ended = conductor.world.windows_ended(START_S, int(conductor.now_s), WINDOW_S)
        assert scheduled in (ended, ended + 1)
