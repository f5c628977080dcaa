"""A bridge board as it is shipped: the real firmware in the real interpreter, a simulated SX1262, an ether, no settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boards import load_board
from tests.sim.running import START_S
from tools.sim import image
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.radio.ether import Ether
from tools.sim.radio.propagation import CLEAR, Position
from wire import bridge
from wire.stream import Parser, encode

# A board that sends three frames and listens to what answers each, 1 s later, at the downlink frequency with inverted chirps.
TALKER = """
import asyncio, json
from firmware import hal
from firmware.clock import Clock
from firmware.drivers.radio import open_radio
clock = Clock(hal)
async def run():
    with open("/board.json") as f:
        radio = await open_radio(json.load(f), hal, clock)
    await radio.start()
    port = radio.port
    await clock.sleep_ms(20000)
    for number in range(3):
        radio.tune(868100000, 7, 14, False)
        end = await radio.transmit(b"\\x82uplink %d" % number)
        radio.tune(869525000, 7, 14, True)
        heard = await radio.receive(60, (end + 980000) & 0x3fffffff)
        print("answer", heard and (bytes(heard[0]), port.us_diff(heard[5], end)))
        await clock.sleep_ms(5000)
hal.prepare_loop()
asyncio.run(run())
print("done")
"""


class Port:
    """The gateway's end of the bridge's cable, as a test holds it."""

    def __init__(self, node: VirtualNode) -> None:
        self._parser = Parser()
        self._node = node
        self.messages: list[Any] = []
        self.texts: list[str] = []
        self.answer: Any = lambda heard: None
        node.listener = self._take

    def _take(self, data: bytes) -> None:
        for kind, content in self._parser.feed(data):
            if kind == "text":
                self.texts.append(content.decode())
                continue
            message = bridge.decode(content, bridge.UP)
            self.messages.append(message)
            if isinstance(message, bridge.Heard):
                self.answer(message)

    def say(self, message: Any) -> None:
        self._node.down.send(bytes(encode(bridge.encode(message))))

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]


@pytest.mark.slow
def test_it_hears_answers_in_time_and_lives_through_a_dead_radio(tmp_path: Path) -> None:
    with Conductor(tmp_path, seed=3, start_s=START_S) as conductor:
        ether = Ether(conductor.time, 3, CLEAR)
        board = conductor.add_node("bridge", "heltec-v3-bridge")
        files = image.board_files(load_board("heltec-v3"), conductor.interpreter, linked=False)
        files |= {"/main.py": TALKER.encode(), "/boot.py": b"import sys\nsys.path.insert(0, '/a')\n"}
        talker = conductor.add_node("talker", "heltec-v3", files=files)
        for node, x_m in ((board, 0.0), (talker, 300.0)):
            _chip(node).join(ether, node.name, Position(x_m))
        port = Port(board)
        assert conductor.run_until(lambda: port.of(bridge.Status), 30)
        port.say(bridge.Tune(868_100_000, 7))
        assert conductor.run_until(lambda: port.of(bridge.Status)[-1].sf == 7, 5)

        def answer(heard: bridge.Heard) -> None:
            number = len(port.of(bridge.Heard))
            at_us = (heard.end_us + 1_000_000) & 0xFFFF_FFFF
            port.say(bridge.Transmit(number, at_us, 869_525_000, 7, 14, 1, b"\x90answer %d" % number))

        port.answer = answer
        assert conductor.run_until(lambda: b"done" in talker.said, 60)
        heard = port.of(bridge.Heard)
        assert [one.frame for one in heard] == [b"\x82uplink %d" % n for n in range(3)]
        assert all(one.freq_hz == 868_100_000 and one.sf == 7 and -130 < one.rssi_dbm < -20 for one in heard), heard
        assert [(one.number, one.result) for one in port.of(bridge.Sent)] == [(n, bridge.DONE) for n in (1, 2, 3)]
        said = talker.said.decode()
        assert all(f"answer (b'\\x90answer {n}'" in said for n in (1, 2, 3)), said
        ups, downs = ether.log[::2], ether.log[1::2]
        for up, down in zip(ups, downs, strict=True):
            assert abs(down.begin_us - up.end_us - 1_000_000) < 1_500, (up, down)
        assert _chip(board).violations == []

        _chip(board).switch("busy_stuck")
        assert conductor.run_until(lambda: port.of(bridge.Status)[-1].radio == bridge.RADIO_DEAD, 30)
        port.say(bridge.Transmit(9, 0, 869_525_000, 7, 14, 1, b"\x90"))
        assert conductor.run_until(lambda: port.of(bridge.Sent)[-1].number == 9, 5)
        assert port.of(bridge.Sent)[-1].result == bridge.RADIO
        assert any(text.startswith("E bridge: radio fails") for text in port.texts), port.texts
        assert any("I bridge: listens at 868.1 MHz" in text for text in port.texts)


def _chip(node: VirtualNode) -> RadioChip:
    (chip,) = [entry.chip for entry in node.board.chips if isinstance(entry.chip, RadioChip)]
    return chip
