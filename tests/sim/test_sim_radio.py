"""Radios of simulated boards: the real driver in the real interpreter, through the board's pins, over one ether."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boards import load_board
from tests.sim.running import START_S
from tools.sim import image
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.radio.ether import Ether
from tools.sim.radio.propagation import CLEAR, Position

pytestmark = pytest.mark.slow

RADIO = """
import asyncio, json, sys
from firmware import hal
from firmware.clock import Clock
from firmware.drivers.radio import open_radio
clock = Clock(hal)
async def run():
    with open("/board.json") as f:
        radio = await open_radio(json.load(f), hal, clock)
    await radio.start()
    radio.tune(868100000, 7, 14, False)
    port = radio._port if hasattr(radio, "_port") else radio.port
{}
hal.prepare_loop()
try:
    asyncio.run(run())
except OSError as error:
    print("OSError", error.args)
print("done")
"""
SENDER = """
    await clock.sleep_ms(500)
    begun = port.now_us()
    end = await radio.transmit(b"from board to board")
    print("sent", port.us_diff(end, begun) // 1000)
    heard = await radio.receive(3000)
    print("heard", heard[0], port.us_diff(heard[5], end) // 1000)
    print("cad", await radio.cad())
    await radio.sleep()
"""
ANSWERER = """
    heard = await radio.listen(3000)
    print("heard", heard[0], heard[1:5])
    await radio.transmit(heard[0] + b", and back", (heard[5] + 1000000) & 0x3fffffff)
    print("none", await radio.receive(50))
"""
SELF_TEST = "from firmware.drivers.radio_test import run\nprint(run())\nprint('done')\n"


def add(conductor: Conductor, ether: Ether | None, name: str, main: str, board: str, x_m: float = 0.0) -> VirtualNode:
    """A board with its own firmware, whose main.py is `main`: one that names modules gets each by itself."""
    files = image.board_files(load_board(board), conductor.interpreter, linked=main == SELF_TEST)
    files["/main.py"] = main.encode()
    files["/boot.py"] = b"import sys\nsys.path.insert(0, '/a')\n"
    node = conductor.add_node(name, board, files=files)
    if ether is not None:
        chip_of(node).join(ether, name, Position(x_m))
    return node


def chip_of(node: VirtualNode) -> RadioChip:
    (chip,) = [entry.chip for entry in node.board.chips if isinstance(entry.chip, RadioChip)]
    return chip


def lines(conductor: Conductor, node: VirtualNode, within_s: float = 20.0) -> list[str]:
    conductor.run_until(lambda: b"done" in node.said, within_s)
    return node.said.decode().split("\r\n")


def test_two_boards_talk(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S) as conductor:
        ether = Ether(conductor.time, 3, CLEAR)
        ear = add(conductor, ether, "ear", RADIO.format(ANSWERER), "t3-s3-bridge", 300.0)
        node = add(conductor, ether, "node", RADIO.format(SENDER), "heltec-v3")
        said = lines(conductor, node)
        assert "sent 52" in said or "sent 53" in said, said  # 51.456 ms of air, and the commands before it
        assert any(line.startswith("heard b'from board to board, and back' 10") for line in said), said
        assert "cad False" in said
        said = lines(conductor, ear)
        assert any(line.startswith("heard b'from board to board' (-") for line in said), said
        assert "none None" in said
        for each in (ear, node):
            assert chip_of(each).violations == []
        first, second = ether.log
        assert abs(second.begin_us - first.end_us - 1_000_000) < 2_000


def test_a_power_cut_ends_a_transmission(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S) as conductor:
        ether = Ether(conductor.time, 3, CLEAR)
        main = RADIO.format("    radio.tune(868100000, 12, 14, False)\n    await radio.transmit(bytes(51))\n")
        node = add(conductor, ether, "node", main, "heltec-v3")
        conductor.run_until(lambda: bool(ether.log), 20.0)
        conductor.run(0.5)
        node.board.power_off()
        assert 490_000 < ether.log[0].end_us - ether.log[0].begin_us < 510_000
        node.board.power_on()
        conductor.run_until(lambda: len(ether.log) == 2, 20.0)


def test_the_self_test_speaks_to_whoever_stands_there(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S) as conductor:
        node = add(conductor, None, "node", SELF_TEST, "xiao-wio")
        said = lines(conductor, node)
        assert said[:5] == [
            "ok   chip answers (0)", "ok   oscillator and calibration (1800)", "ok   interrupt line (0)",
            "ok   noise at the antenna, dBm (-117)", "ok   frames unreadable (0)",
        ]  # fmt: skip
        assert "True" in said
        chip_of(node).switch("busy_stuck")
        node.said.clear()
        node.board.reset()
        said = lines(conductor, node)
        assert said[0] == "FAIL radio: BUSY stays high: wires busy, reset; radio.tcxo_mv (110)"
        assert "False" in said


def test_a_tbeam_feeds_its_radio_first(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S) as conductor:
        node = add(conductor, None, "node", SELF_TEST, "tbeam-bridge")
        assert not chip_of(node).powered
        said = lines(conductor, node)
        assert said[:2] == ["ok   chip answers (18)", "ok   calibration (0)"], said
        assert "True" in said
        assert chip_of(node).violations == []
        (power,) = [entry.chip for entry in node.board.chips if entry.name == "axp"]
        power.switch("nack")
        node.said.clear()
        node.board.reset()
        assert lines(conductor, node)[0] == "FAIL power chip: nobody answers at 0x34 (19)"


def test_boards_carry_what_their_radio_needs() -> None:
    """And no other: neither the other chip's driver, nor any radio's on a board without one."""
    from tools import firmware_build

    drivers = {
        name: {file for file in firmware_build.source_files(load_board(name), "esp32") if "sx12" in file or "drivers/radio" in file}
        for name in ("air-v1", "heltec-v3")
    }  # fmt: skip
    assert drivers["air-v1"] == set()
    assert drivers["heltec-v3"] == {
        "firmware/drivers/radio.py", "firmware/drivers/radio_test.py", "firmware/drivers/sx1262.py",
        "firmware/drivers/sx1262_care.py",
    }  # fmt: skip
    assert json.loads(firmware_build.root_files(load_board("heltec-v3"))["board.json"])["radio"]["chip"] == "sx1262"
