"""`steiger range-test` from end to end: the command as a process, the real gateway with a bridge board and a concentrator, a
node of real firmware that is carried from place to place; judged by the ether's own log.
"""

from __future__ import annotations

import csv
import json
import math
import os
import pty
import select
import subprocess
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tests.waiting import POLL_S
from tools.demo.stage import steiger_command
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.interpreter import find
from tools.sim.radio.ether import Transmission
from tools.sim.radio.law import judge
from tools.sim.radio.propagation import CLEAR, Position, sum_dbm

pytestmark = [
    pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(not find().is_micropython, reason="no MicroPython"),
]  # fmt: skip

COUNT = 7
SFS = (7, 9, 10)
NODE = 12
PROBE_BYTES = 18
AMPLE_S = 1200.0  # simulated time that a command gets
UNTOLD_S = 0.05  # simulated time at once while the command starts: a socket that it has opened must not grow old
TOLD_S = 2.0
EUI = "aa555a0000000101"
CONFIG = f"""[gateway]
id = "gw-test"
number = 1
data_dir = "data"
keys = "keys.json"
[[bridge]]
name = "yard"
port = "/dev/yard"
channel = 868.1
[[forwarder]]
name = "tower"
listen = "127.0.0.1:1700"
eui = "{EUI}"
address = "127.0.0.1"
[lora]
sf = 9
adr = false
"""
NEAR, FAR = Position(300), Position(1_500)


class Street:
    """`lost[listener]`: of the node's frames at one SF, every so manyth is lost there. `through`: what became of each frame
    that a listener found, by (listener, line of the ether's log)."""

    def __init__(self, folder: Path, conductor: Conductor) -> None:
        self.folder = folder
        self.conductor = conductor
        self.lost: dict[str, int] = {}
        self.through: dict[tuple[str, Transmission], bool] = {}
        self._found: dict[tuple[str, int], int] = defaultdict(int)
        life = Life(address=NODE, key=key_of(NODE), board="heltec-v3", name="lamp", provisioned_s=START_S)
        add_life(folder / "keys.json", life)
        (folder / "gateway.toml").write_text(CONFIG)
        conductor.add_node("yard", "heltec-v3-bridge", place=Position(150))
        self.tower = conductor.add_concentrator("tower", bytes.fromhex(EUI), Position(0, 0, 20))
        settings = settings_of(NODE, window_s=60, sample_ms=20_000, lora_sf=9, lora_channels=1, lora_spread_s=5)
        self.node = conductor.add_node(
            "lamp", "heltec-v3", prepare=PROVISION.format(settings), place=NEAR, drift=60_000
        )
        conductor.ether.lost = self._lose

    def _lose(self, sender: str, listener: str) -> bool:
        if sender != "lamp":
            return False
        line = next(line for line in reversed(self.conductor.ether.log) if line.who == sender)
        self._found[listener, line.sf] += 1
        every = self.lost.get(listener, 0)
        lost = every > 0 and self._found[listener, line.sf] % every == 0
        self.through[listener, line] = not lost
        return lost

    def carry(self, place: Position) -> None:
        antenna = radio_of(self.node)
        self.conductor.ether.detach(antenna)
        antenna.join(self.conductor.ether, antenna.name, place, antenna.gain_dbi)

    def steiger(self, *args: object) -> tuple[int, str, str]:
        """(exit code, stdout, what a terminal shows of stderr) of a command, while simulated time passes."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*steiger_command(), *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, text=True
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            until_s = self.conductor.now_s + AMPLE_S
            while process.poll() is None:
                assert self.conductor.now_s < until_s, shown
                self.conductor.run(TOLD_S if b"\r" in shown.replace(b"\r\n", b"") else UNTOLD_S)
                if select.select([ours], [], [], POLL_S)[0]:
                    shown += _read(ours)
            assert process.stdout is not None
            return process.returncode, process.stdout.read(), (shown + _read(ours)).decode()
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            os.close(ours)

    def measure(self, name: str, place: Position, at: str) -> tuple[str, dict[tuple[int, str], dict[str, Any]]]:
        """Carry the node there, test, and hold each new row of the file against the ether: (what was shown, the rows)."""
        self.carry(place)
        out, before = self.folder / "range.csv", len(self.conductor.ether.log)
        code, told, shown = self.steiger(
            "range-test", "place", NODE, "--config", self.folder / "gateway.toml", "--name", name, "--position", at,
            "--count", COUNT, "--sf", 7, "--sf", 9, "--sf", 10, "--out", out,
        )  # fmt: skip
        assert code == 0, shown
        assert "waiting for it" in shown and "frames heard" in shown, "progress, line over line"
        with out.open(newline="") as file:
            rows = {(int(row["sf"]), row["ear"]): row for row in csv.DictReader(file) if row["place"] == name}
        assert set(rows) == {(7, "tower"), (9, "tower"), (10, "tower"), (9, "yard")}
        assert "yard did not listen at SF7 all the time" in told and "yard did not listen at SF10 all the time" in told
        lines = [
            line for line in self.conductor.ether.log[before:] if line.who == "lamp" and line.length == PROBE_BYTES
        ]
        probes = lines[-COUNT * len(SFS) :]
        assert [line.sf for line in probes] == [*SFS] * COUNT
        for (sf, ear), row in rows.items():
            heard = sum(self.through[ear, line] for line in probes if line.sf == sf)
            assert (int(row["sent"]), int(row["heard"]), row["node"]) == (COUNT, heard, str(NODE)), (sf, ear)
            assert f"{row['lat']},{row['lon']}" == at and {int(row["power_dbm"])} == {line.power_dbm for line in probes}
            if not heard:
                assert row["rssi_dbm"] == row["snr_db"] == row["margin_db"] == ""
                continue
            antenna = self.tower if ear == "tower" else radio_of(self.conductor.nodes[ear])
            ether = self.conductor.ether
            signal_dbm = int(row["power_dbm"]) + ether.link_db(radio_of(self.node), antenna, probes[0].freq_hz)
            noise_dbm = ether.model.noise_dbm(125_000)
            assert float(row["rssi_dbm"]) == pytest.approx(sum_dbm([signal_dbm, noise_dbm]), abs=1.1)
            assert float(row["snr_db"]) == pytest.approx(min(signal_dbm - noise_dbm, 15), abs=1.1)
            assert float(row["margin_db"]) == float(row["snr_db"]) + {7: 7.5, 9: 12.5, 10: 15.0}[sf]
        return told, rows


def radio_of(node: VirtualNode) -> RadioChip:
    (radio,) = [entry.chip for entry in node.board.chips if isinstance(entry.chip, RadioChip)]
    return radio


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536) if select.select([terminal], [], [], 0)[0] else b""
    except OSError:
        return b""  # nobody has it open any more


def test_a_walk_with_a_node_ends_in_a_file_a_map_and_an_advice(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S, air=CLEAR) as conductor:
        street = Street(tmp_path, conductor)
        ports = {"/dev/yard": "yard", "127.0.0.1:1700": "tower"}
        gateway = conductor.start_gateway(tmp_path / "gateway.toml", ports)
        assert conductor.run_until(lambda: gateway.ask("status")["accepted_frames"], 120)
        street.lost = {"yard": 3}
        told, near = street.measure("lamp 12", NEAR, "51.4818,7.2162")
        assert "lamp 12" in told and "range.csv" in told
        assert int(near[9, "yard"]["heard"]) < COUNT == int(near[9, "tower"]["heard"])
        street.lost = {"yard": 1, "tower": 2}
        _, far = street.measure("lamp 40", FAR, "51.4818,7.2334")
        assert int(far[9, "yard"]["heard"]) == 0 and 0 < int(far[7, "tower"]["heard"]) < COUNT
        assert float(far[9, "tower"]["snr_db"]) < float(near[9, "tower"]["snr_db"]) - 8
        street.lost = {}
        picture = tmp_path / "map.svg"
        code, told, shown = street.steiger(
            "range-test", "report", tmp_path / "range.csv", "--map", picture, "--gateway", "51.4818,7.2119", "--json"
        )  # fmt: skip
        assert code == 0, shown
        advice = json.loads(told)
        assert (advice["mount"], advice["ear"], advice["sf"]) == ("lamp 12", "tower", 7)
        assert [place["verdict"] for place in advice["places"]] == ["good", "not here"]
        titles = [title.text or "" for title in ET.parse(picture).iter("{http://www.w3.org/2000/svg}title")]
        assert {title.partition(":")[0] for title in titles} >= {"lamp 12", "lamp 40"}
        assert math.isclose(advice["margin_db"], float(near[7, "tower"]["margin_db"]), abs_tol=0.01)
        assert all(verdict.share <= 1 for verdict in judge(conductor.ether.log))
        assert not radio_of(street.node).violations
