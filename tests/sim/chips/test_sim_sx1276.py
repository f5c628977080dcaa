"""The simulated SX1276 alone, against the worked bytes and failure modes of its fact sheet."""

from __future__ import annotations

from typing import Any

import pytest

from tools.sim import chips
from tools.sim.chips.sx1276 import SX1276
from tools.sim.radio.ether import Ether, Reception, Signal
from tools.sim.radio.propagation import CLEAR, Position
from tools.sim.timers import VirtualTime
from tools.sim.world import World

# Calibrate, LoRa, 868.1 MHz, SF7 with CRC, errata, standby: with the worked values.
INIT = "8100 8101 8900 86d90666 bb42"
LORA = "8100 8180 8e00 9d72 9e74 a604 b143 af40 b000 b603 89fc 8181"


class Bench:
    """A chip on an ether."""

    def __init__(self, **params: Any) -> None:
        self.time = VirtualTime()
        self.ether = Ether(self.time, 1, CLEAR)
        self.edges: list[int] = []
        made = chips.create("sx1276", World(1, 0), 1, **params)
        assert isinstance(made, SX1276)
        self.chip = made
        made.connect(self.time, lambda: self.edges.append(self.time.now_us))
        made.join(self.ether, "chip", Position(0.0, 0.0, 10.0))
        made.power_on(0)
        self.wait(6_000)

    def wait(self, duration_us: int) -> None:
        end_us = self.time.now_us + duration_us
        while (due_us := self.time.next_us()) is not None and due_us <= end_us:
            self.time.now_us = max(due_us, self.time.now_us)
            self.time.pop()()
        self.time.now_us = end_us

    def say(self, text: str) -> str:
        """The answer to the last one of some transfers, without its first byte."""
        answer = b""
        for word in text.split():
            self.wait(300)
            answer = self.chip.transfer(bytes.fromhex(word))
        return answer[1:].hex()

    def ready(self) -> Bench:
        self.say(INIT)
        self.wait(20_000)
        self.say(LORA)
        return self


def test_identity_and_pages() -> None:
    bench = Bench()
    assert bench.say("4200") == "12"
    assert bench.say("81 0100") == "09", "FSK, standby"
    assert bench.say("8189 0100") == "09", "the bit for LoRa changes in sleep alone"
    assert bench.say("8100 8180 0100") == "80"
    assert bench.say("b319 3300") == "19"
    assert bench.say("86d90666 06000000") == "d90666"
    assert bench.chip.frequency_hz == 868_100_000
    bench.say("86d91333")
    assert bench.chip.frequency_hz == 868_300_000


def test_a_frame_leaves() -> None:
    bench = Bench().ready()
    bench.say("c040 8d00 80616263 a203 92ff 8183")
    begun_us = bench.time.now_us
    bench.wait(100_000)
    assert bench.edges[-1] - begun_us == pytest.approx(30_976, abs=200)
    assert bench.say("1200") == "08"
    assert bench.say("0100") == "81", "back in standby"
    line = bench.ether.log[0]
    assert (line.freq_hz, line.sf, line.length, line.power_dbm, line.inverted) == (868_100_000, 7, 3, 14.0, False)
    bench.say("92ff")
    assert not bench.chip.irq()
    assert bench.chip.violations == []


def test_a_frame_comes_with_its_strength() -> None:
    """Worked: raw 0x20 and SNR 0xE4 are -132 dBm."""
    bench = Bench().ready()
    bench.say("c000 92ff 8185")
    signal = Signal(868_100_000, 125_000, 7, 5, False, 0x12, 8, 14.0, b"abc")
    bench.chip.received(Reception(signal, True, -124.5, -7.0, 0.0, 0, bench.time.now_us))
    assert bench.chip.irq()
    assert bench.say("1200") == "40"
    snr, raw = bytes.fromhex(bench.say("190000"))
    assert snr == 0xE4
    assert -157 + raw - 7 == pytest.approx(-124.5 - 7.8, abs=1)
    assert bench.say("1c00") == "40"
    assert bench.say("1300") == "03"
    assert bench.say("8d00 00000000") == "616263"
    bench.say("92ff")
    bench.chip.received(Reception(signal._replace(crc=False), True, -80.0, 7.0, 0.0, 0, bench.time.now_us))
    assert bench.say("1c00") == "00", "no CRC was sent"
    bench.say("92ff")
    bench.chip.received(Reception(signal, False, -80.0, 7.0, 100.0, 0, bench.time.now_us))
    assert bench.say("1200") == "60"
    error = int(bench.say("28000000"), 16)
    assert error * 2**24 / 32e6 / 4 == pytest.approx(100, abs=0.2)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("b1c3", "2.3: receiver spurious reception"),
        ("af20", "2.3: receiver spurious reception"),
        ("b602", "2.1: sensitivity"),
    ],
)
def test_a_reception_without_its_workarounds(before: str, words: str) -> None:
    bench = Bench().ready()
    bench.say(f"{before} 8185")
    assert bench.chip.violations == [words]


def test_a_receiver_that_was_not_calibrated() -> None:
    bench = Bench()
    bench.say(f"8100 8101 86d90666 {LORA} 8185")
    assert bench.chip.violations == ["the receiver's chain is not calibrated for this port"]


@pytest.mark.parametrize(
    ("registers", "power_dbm"),
    [("89f0 cd84", 2), ("89ff cd84", 17), ("89fd cd87 8b31", 18), ("89ff cd87 8b31", 20)],
)
def test_power(registers: str, power_dbm: int) -> None:
    bench = Bench().ready()
    bench.say(f"{registers} c040 8d00 80616263 a203 8183")
    bench.wait(100_000)
    assert bench.ether.log[0].power_dbm == power_dbm
    assert bench.chip.violations == []


def test_powers_that_break_or_do_not_reach_the_antenna() -> None:
    for registers, words in (
        ("89ff cd87 8b2b", "20 dBm with the current limited to 100 mA"),
        ("897e cd84", "the antenna is not at this output"),
    ):
        bench = Bench().ready()
        bench.say(f"{registers} c040 8d00 80616263 a203 8183")
        bench.wait(100_000)
        assert bench.chip.violations == [words]


def test_faults() -> None:
    for fault, answer in (("floating_high", "ff"), ("floating_low", "00"), ("foreign", "22")):
        assert Bench(faults=[fault]).say("4200") == answer
    assert Bench(faults=["stays_fsk"]).say("8100 8180 0100") == "00"
    bench = Bench(faults=["no_crystal"])
    bench.say(INIT)
    bench.wait(100_000)
    assert int(bench.say("3b00"), 16) & 0x20, "the calibration never ends"
    bench = Bench().ready()
    bench.say("8180 80ff")
    assert bench.chip.violations == ["the FIFO is not there in sleep"]
