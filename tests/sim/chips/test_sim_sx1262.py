"""The simulated SX1262 alone, against the worked bytes and failure modes of its fact sheet."""

from __future__ import annotations

from typing import Any

import pytest

from tools.sim import chips
from tools.sim.chips.sx1262 import SX1262
from tools.sim.radio.ether import Ether, Reception, Signal
from tools.sim.radio.propagation import CLEAR, Position
from tools.sim.timers import VirtualTime
from tools.sim.world import World

# The order that all drivers share, with the worked examples for 868.1 MHz, SF7, 20 bytes.
INIT = (
    "8000 9702000140 070000 897f 8001 9d01 9601 8a01 8636419999 98d7db 9502020001 8e1604 8f0000 8b07040100 8c000800140100 "
    "0d07401424 0d08d8de 0d088904 080fff0fff00000000 9330"
)


class Bench:
    """Chips on one ether; `say` is one command with as much time as it needs."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.ether = Ether(self.time, 1, CLEAR)
        self.edges: list[int] = []

    def chip(self, x_m: float = 0.0, **params: Any) -> SX1262:
        made = chips.create("sx1262", World(1, 0), 1, **params)
        assert isinstance(made, SX1262)
        made.connect(self.time, lambda: self.edges.append(self.time.now_us))
        made.join(self.ether, f"chip {x_m}", Position(x_m, 0.0, 10.0))
        made.power_on(0)
        self.wait(10_000)
        return made

    def wait(self, duration_us: int) -> None:
        end_us = self.time.now_us + duration_us
        while (due_us := self.time.next_us()) is not None and due_us <= end_us:
            self.time.now_us = max(due_us, self.time.now_us)
            self.time.pop()()
        self.time.now_us = end_us

    def say(self, chip: SX1262, text: str) -> str:
        """The answer to the last one of some commands."""
        answer = b""
        for word in text.split():
            while chip.busy():
                self.wait(10)
            answer = chip.transfer(bytes.fromhex(word))
        return answer.hex()

    def ready(self, x_m: float = 0.0, **params: Any) -> SX1262:
        chip = self.chip(x_m, **params)
        self.say(chip, INIT)
        self.wait(20_000)
        return chip


def test_the_shared_order_is_no_violation_and_errors_are_as_told() -> None:
    bench = Bench()
    chip = bench.chip()
    assert bench.say(chip, "8000 9702000140 17000000")[4:] == "0020", (
        "after 0x97 an error of the oscillator is expected"
    )
    assert bench.say(chip, "070000 897f 8001 17000000")[4:] == "0000"
    assert chip.mode == "xosc"
    bench.say(chip, INIT)
    assert chip.violations == []
    assert chip.frequency_hz == 868_100_000
    for word, freq_hz in (("863644cccc", 868_300_000), ("8636586666", 869_525_000)):
        bench.say(chip, word)
        assert chip.frequency_hz == freq_hz


def test_status_tells_the_mode() -> None:
    bench = Bench()
    chip = bench.ready()
    modes = {"8000": 2, "8001": 3, "82ffffff": 5}
    for word, mode in modes.items():
        assert bytes.fromhex(bench.say(chip, f"{word} 12000000"))[1] >> 4 & 7 == mode
    bench.say(chip, "8001 83000000")
    bench.wait(1000)
    assert bytes.fromhex(bench.say(chip, "12000000"))[1] >> 4 & 7 == 6


def test_a_frame_and_its_strength() -> None:
    """Worked example 4: bytes of PacketStatus."""
    bench = Bench()
    chip = bench.ready()
    signal = Signal(868_100_000, 125_000, 7, 5, False, 0x12, 8, 14.0, bytes(range(20)))
    for rssi, snr, wanted in ((-78.0, 7.0, "9c1c"), (-115.0, -10.0, "e6d8")):
        bench.say(chip, "0200ff 82ffffff")
        bench.wait(100)
        chip.received(Reception(signal, True, rssi, snr, 0.0, 0, bench.time.now_us))
        assert bench.say(chip, "12000000")[4:] == "0002"
        assert bench.say(chip, "1400000000")[4:8] == wanted
        length, start = bytes.fromhex(bench.say(chip, "13000000"))[2:]
        assert length == 20
        assert bench.say(chip, f"1e{start:02x}00" + "00" * 20)[6:] == bytes(range(20)).hex()
    assert bytes.fromhex(bench.say(chip, "1400000000"))[4] // 2 == 125, "the frame alone: 10.4 dB below all of it"
    chip.received(Reception(signal, False, -78.0, 7.0, 0.0, 0, bench.time.now_us))
    assert bench.say(chip, "12000000")[4:] == "0042", "worked example 6"
    bench.say(chip, "02ffff")
    chip.received(Reception(signal, True, -78.0, 7.0, -1000.0, 0, bench.time.now_us, header_ok=False))
    assert bench.say(chip, "12000000")[4:] == "0020"
    assert chip.violations == []


def test_times() -> None:
    """Worked example 5: a second is 64000 ticks; the oscillator takes what 0x97 says; SF7 and 20 bytes 56.576 ms."""
    bench = Bench()
    chip = bench.ready()
    bench.edges.clear()
    bench.say(chip, "02ffff 8200fa00")
    begun_us = bench.time.now_us
    bench.wait(1_100_000)
    assert bench.edges[0] - begun_us == pytest.approx(1_000_000, abs=200)
    assert bench.say(chip, "12000000")[4:] == "0200"
    bench.say(chip, "02ffff 8000")
    bench.wait(100)
    bench.say(chip, "8001")
    bench.wait(4_900)
    assert chip.busy()
    bench.wait(200)
    assert not chip.busy()
    bench.edges.clear()
    bench.say(chip, "83000000")
    begun_us = bench.time.now_us
    bench.wait(100_000)
    assert bench.edges[0] - begun_us == pytest.approx(56_576, abs=200)
    assert bench.say(chip, "12000000")[4:] == "0001"
    assert [line.length for line in bench.ether.log] == [20]


def test_reset_and_sleep() -> None:
    bench = Bench()
    chip = bench.ready()
    chip.pin_reset(0)
    assert chip.busy()
    bench.wait(1000)
    chip.pin_reset(1)
    assert chip.busy()
    bench.wait(5000)
    assert not chip.busy()
    assert chip.frequency_hz == 0
    bench.say(chip, f"{INIT} 0d08ac96 8404")
    assert chip.busy()
    assert chip.transfer(b"\xc0\x00") == bytes(2), "it only wakes"
    bench.wait(400)
    assert bench.say(chip, "1d08ac0000")[8:] == "94", "the gain is lost in sleep"
    bench.say(chip, "0d08ac96 0d029f0108ac 8404")
    chip.transfer(b"\xc0\x00")
    bench.wait(400)
    assert bench.say(chip, "1d08ac0000")[8:] == "96", "unless it stands in the list"
    assert chip.frequency_hz == 868_100_000
    bench.say(chip, "8400")
    chip.transfer(b"\xc0\x00")
    bench.wait(4000)
    assert chip.frequency_hz == 0, "a cold sleep keeps nothing"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("0d088900", "15.1: modulation quality"),
        ("0d08d8c8", "15.2: clamping of a mismatched antenna"),
        ("9d00", "the switch is not at the transmitter"),
    ],
)
def test_a_transmission_without_its_workarounds(before: str, words: str) -> None:
    bench = Bench()
    chip = bench.ready()
    bench.say(chip, f"{before} 83000000")
    bench.wait(100_000)
    assert chip.violations == [words]
    assert bench.ether.log[0].power_dbm < 14


def test_a_reception_without_its_workarounds() -> None:
    """15.4: with inverted chirps and bit 2 of 0x0736 set frames are damaged. 15.3: an old timer ends the next reception."""
    bench = Bench()
    chip, sender = bench.ready(), bench.ready(100.0)
    bench.say(chip, "8c000800ff0101 82ffffff")
    bench.say(sender, "8c000800140101 0d073609 83000000")
    bench.wait(100_000)
    assert bench.say(chip, "12000000")[4:] == f"{0x0002 | 0x0004 | 0x0010 | 0x0040:04x}"
    bench.say(chip, "8001 8c000800ff0101 0d073609 02ffff 82ffffff")
    bench.say(sender, "83000000")
    bench.wait(100_000)
    assert bench.say(chip, "12000000")[4:] == "0016"
    bench.say(chip, "8001 02ffff 8200fa00")
    bench.say(sender, "83000000")
    bench.wait(100_000)
    assert bench.say(chip, "12000000")[4:] == "0016"
    bench.say(chip, "02ffff 82ffffff")
    bench.wait(1_000_000)
    assert bench.say(chip, "12000000")[4:] == "0200", "the timer of the reception before"
    for workaround, flags in (("0d090200 0d094402", "0000"),):
        bench.say(chip, "8001 02ffff 8200fa00")
        bench.say(sender, "83000000")
        bench.wait(100_000)
        bench.say(chip, f"02ffff {workaround} 82ffffff")
        bench.wait(1_000_000)
        assert bench.say(chip, "12000000")[4:] == flags


def test_get_status_right_after_set_rx_sends_without_end() -> None:
    bench = Bench()
    chip = bench.ready()
    bench.say(chip, "82ffffff c000")
    bench.wait(1_000_000)
    assert chip.mode == "tx"
    assert chip.violations == ["GetStatus right after SetRx"]


@pytest.mark.parametrize(
    ("commands", "errors"),
    [("897f 8001", "0024"), ("9703000140 070000 897f 8001", "0024")],
    ids=["no supply", "the wrong one"],
)
def test_an_oscillator_without_its_supply(commands: str, errors: str) -> None:
    bench = Bench()
    chip = bench.chip()
    assert bench.say(chip, f"{commands} 17000000")[4:] == errors
    bench.say(chip, "8a01 8636419999 9502020001 83000000")
    bench.wait(100_000)
    assert chip.mode == "rc"
    assert bench.ether.log == []


def test_faults_of_the_wires() -> None:
    bench = Bench()
    for fault, answer in (("floating_high", "ffff"), ("floating_low", "0000")):
        assert bench.chip(float(len(fault)), faults=[fault]).transfer(b"\xc0\x00").hex() == answer
    chip = bench.ready()
    chip.switch("busy_stuck")
    assert chip.busy()
    assert chip.transfer(b"\x80\x00") == bytes(2)
    with pytest.raises(ValueError, match="SX1262 has no fault 'nack'"):
        chip.switch("nack")


def test_commands_at_the_wrong_moment_are_noted() -> None:
    bench = Bench()
    chip = bench.ready()
    chip.transfer(b"\x80\x01")
    chip.transfer(b"\x80\x00")
    bench.wait(1000)
    bench.say(chip, "ab00 9501010001 863dcd6500 82ffffff")
    assert [violation.split(" ")[0] for violation in chip.violations] == ["command", "unknown", "PaConfig", "no"]
