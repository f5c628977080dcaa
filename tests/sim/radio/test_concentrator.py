"""A concentrator on the simulated ether: its own words on the network, and a town behind it with real firmware."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from tests.sim.running import PROVISION, START_S, key_of, settings_of
from tools.sim.conductor import Conductor
from tools.sim.interpreter import find
from tools.sim.radio.concentrator import Concentrator
from tools.sim.radio.ether import Ether, Reception, Signal
from tools.sim.radio.law import judge
from tools.sim.radio.propagation import CLEAR, Position
from tools.sim.timers import VirtualTime

EUI = bytes.fromhex("aa555a0000000101")
CONFIG = """[gateway]
id = "gw-test"
number = 1
data_dir = "{folder}/data"
keys = "{folder}/keys.json"
[[forwarder]]
name = "roof"
listen = "127.0.0.1:1700"
eui = "aa555a0000000101"
address = "127.0.0.1"
[lora]
adr = true
"""


class Node:
    name, place, gain_dbi = "n", Position(100), 0.0

    def __init__(self) -> None:
        self.got: list[Reception] = []
        self.hears: Any = None

    def listening(self) -> Any:
        return self.hears

    def preamble(self, begin_us: int, signal: Signal) -> None:
        pass

    def received(self, reception: Reception) -> None:
        self.got.append(reception)


def test_it_hears_every_rate_and_sends_at_the_instant_that_it_is_told() -> None:
    """Pushes, answers an order within the law of its own clock, which wraps, and refuses what comes too late or twice."""
    time = VirtualTime()
    ether = Ether(time, 1, CLEAR)
    said: list[bytes] = []
    made = Concentrator(time, ether, "roof", EUI, Position(0, 0, 20), offset_us=0xFFFF_FFFF - 100_000)
    made.out = said.append
    node = Node()
    ether.attach(node)
    up = Signal(867_500_000, 125_000, 10, 5, False, 0x12, 8, 14, b"sealed")
    ether.transmit(node, up)
    answer = up._replace(freq_hz=869_525_000, inverted=True, power_dbm=20, data=b"answer")
    node.hears = answer.listening()

    def pass_time(until_us: int) -> None:
        while (next_us := time.next_us()) is not None and next_us <= until_us:
            time.now_us = next_us
            time.pop()()
        time.now_us = until_us

    pass_time(up.airtime_us() + 20_000)
    assert [datagram[3] for datagram in said] == [2, 0] and all(d[0] == 2 and d[4:12] == EUI for d in said)
    (packet,) = json.loads(said[1][12:])["rxpk"]
    assert packet["datr"] == "SF10BW125" and packet["freq"] == 867.5 and base64.b64decode(packet["data"]) == b"sealed"
    assert packet["tmst"] == (up.airtime_us() - 100_001) & 0xFFFF_FFFF, "the end of the frame, by a clock that wrapped"
    order = {
        "imme": False, "tmst": packet["tmst"] + 1_000_000, "freq": 869.525, "rfch": 0, "powe": 20, "modu": "LORA",
        "datr": "SF10BW125", "codr": "4/5", "ipol": True, "prea": 8, "ncrc": False, "size": 6,
        "data": base64.b64encode(b"answer").decode(),
    }  # fmt: skip
    response = json.dumps({"txpk": order}).encode()
    made.receive(b"\x02\x00\x07\x03" + response)
    made.receive(b"\x02\x00\x08\x03" + response)
    pass_time(5_000_000)
    made.receive(b"\x02\x00\x09\x03" + response)
    pass_time(5_100_000)
    (reception,) = node.got
    assert reception.begin_us == up.airtime_us() + 1_000_000 and reception.signal.data == b"answer"
    told = {datagram[2]: datagram[12:] for datagram in said if datagram[3] == 5}
    assert told[7] == b"" and b"COLLISION_PACKET" in told[8] and b"TOO_LATE" in told[9]


@pytest.mark.e2e
@pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")
def test_boards_behind_a_concentrator_deliver_on_all_channels(tmp_path: Path) -> None:
    """Real firmware at different rates, the real gateway, eight channels, datagrams in virtual time."""
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    with Conductor(tmp_path, seed=2, start_s=START_S, air=CLEAR) as conductor:
        roof = conductor.add_concentrator("roof", EUI, Position(0, 0, 20))
        for address, sf in ((1, 7), (2, 9)):
            life = Life(
                address=address, key=key_of(address), board="heltec-v3", name=f"n{address}", provisioned_s=START_S
            )
            add_life(tmp_path / "keys.json", life)
            settings = settings_of(
                address,
                window_s=60,
                sample_ms=20_000,
                lora_sf=sf,
                lora_channels=255,
                lora_spread_s=10,
                lora_ask_every=2,
            )
            conductor.add_node(
                life.name,
                "heltec-v3",
                prepare=PROVISION.format(settings),
                place=Position(100.0 * address),
                drift=90_000,
            )
        gateway = conductor.start_gateway(config, {"127.0.0.1:1700": "roof"})
        conductor.run(600)
        summary = gateway.ask("ledger")["summary"]
        assert summary["scheduled"] >= 20 and summary["delivered"] >= 16, summary
        assert summary["duplicates"] == summary["missing"] == 0
        assert roof.counts["late"] == roof.counts["collision"] == 0 < roof.counts["sent"]
        log = conductor.ether.log
        assert len({line.freq_hz for line in log if line.who != "roof"}) > 4, "channels by lot"
        assert all(verdict.share <= 1 for verdict in judge(log))
