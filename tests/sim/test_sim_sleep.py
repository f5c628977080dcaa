"""A board that sleeps, on the real interpreter and littlefs, with a real gateway, for a simulated hour."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.keys import Life, add_life
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tests.sim.test_conductor import whole
from tools.sim.conductor import Conductor
from tools.sim.interpreter import find

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]
ROOT = Path(__file__).resolve().parents[2]
WINDOW_S = 120


def sleeping_board(folder: Path, kind: str) -> Path:
    """air-v1 with `power = "sleep"`."""
    text = (ROOT / "boards" / kind / "board.toml").read_text()
    assert 'power = "mains"' in text
    place = folder / kind
    place.mkdir()
    (place / "board.toml").write_text(text.replace('power = "mains"', 'power = "sleep"'))
    return place / "board.toml"


def test_an_hour_of_sleep_with_garbled_memory_and_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    conductor = Conductor(tmp_path, seed=1, start_s=START_S)
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'[gateway]\nid = "gw-test"\nnumber = 1\ndata_dir = "{tmp_path / "data"}"\nkeys = "{tmp_path / "keys.json"}"\n'
        '[[serial]]\nport = "/dev/n1"\n'
    )
    add_life(tmp_path / "keys.json", Life(address=1, key=key_of(1), board="air-v1", name="n1", provisioned_s=START_S))
    settings = json.loads(settings_of(1, window_s=WINDOW_S))
    settings["values"].update(measure_s=20, warmup_s=32, exchange_s=0)
    with conductor:
        node = conductor.add_node(
            "n1", sleeping_board(tmp_path, "air-v1"), prepare=PROVISION.format(json.dumps(settings))
        )
        board = node.board
        gateway = conductor.start_gateway(config, {"/dev/n1": "n1"})

        def asleep() -> bool:
            return board.process is None and len(board.registers._rtc) > 0

        conductor.run(1200)
        wakes = board.stats["start 4"]
        assert wakes >= 9, bytes(node.said[-2000:])
        assert board.stats["start 1"] == 1
        assert board.stats["start 2"] == board.stats["start 3"] == 0, bytes(node.said[-2000:])
        # memory garbled
        assert conductor.run_until(asleep, 120)
        memory = bytearray(board.registers._rtc)
        memory[len(memory) // 2] ^= 4
        board.registers._rtc = bytes(memory)
        conductor.run(900)
        assert b"remembers nothing" in node.said
        # power cut asleep
        assert conductor.run_until(asleep, 120)
        board.power_off()
        conductor.run(400)
        board.power_on()
        conductor.run(1000)
        assert conductor.run_until(asleep, 240)
        report = gateway.ask("ledger")
        whole(report)
        summary = report["summary"]
        assert set(summary["causes"]) <= {"node_off", "not_sampled"}, summary
        assert 3 <= summary["causes"]["node_off"] <= 4
        assert summary["causes"].get("not_sampled", 0) <= 2  # windows whose end came during the warm-up after a start
        assert summary["pending"] == 0 and summary["delivered"] >= 24
        assert summary["scheduled"] in range(28, 32)
        gateway.stop()
