"""Rails of a T-Beam's power chip, on simulated chips: which chip it is, what comes on and stays on, who lives by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from boards import compile_board, load_board
from firmware.drivers.radio import open_radio
from firmware.power.pmu import power
from tests.fakes.bus import FakeClock
from tests.fakes.radio_stage import RadioStage
from tools.sim.chips import Nack
from tools.sim.chips.axp import AXP, IDENTITY
from tools.sim.chips.sx1276 import SX1276
from tools.sim.site import attach_chips
from tools.sim.world import World

WANTED: dict[str, Any] = compile_board(load_board("tbeam"))["pmu"]  # type: ignore[assignment]


class Bus:
    """I2C with a power chip alone."""

    def __init__(self, chip: AXP) -> None:
        self.chip = chip
        self.written: list[bytes] = []

    def writeto(self, address: int, data: bytes) -> None:
        if len(data) > 1:
            self.written.append(bytes(data))
        self._ask(address, lambda: self.chip.write(bytes(data), 0))

    def readfrom_into(self, address: int, buf: bytearray) -> None:
        buf[:] = self._ask(address, lambda: self.chip.read(len(buf), 0))

    def _ask(self, address: int, transfer: Any) -> Any:
        try:
            if address != 0x34:
                raise Nack("nobody")
            return transfer()
        except Nack:
            raise OSError(19) from None


def board(kind: str, **params: Any) -> tuple[AXP, SX1276, Bus]:
    """A power chip and the radio that lives by its rail, switched on."""
    axp = AXP(World(1, 0), 1, kind=kind, **params)
    radio = SX1276(World(1, 0), 1, supply={"axp192": "ldo2", "axp2101": "aldo2"}[kind])
    axp.loads = [radio]
    for chip in (axp, radio):
        chip.power_on(0)
    return axp, radio, Bus(axp)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("axp192", {"dcdc1": 2500, "dcdc3": 3300}, {"dcdc1": 3300, "dcdc3": 3300, "ldo2": 3300}),
        ("axp2101", {}, {"aldo2": 3300}),
    ],
)
def test_the_radio_is_fed_and_no_more(kind: str, before: dict[str, int], after: dict[str, int]) -> None:
    axp, radio, bus = board(kind)
    assert axp.fed == before
    assert not radio.powered
    assert asyncio.run(power(bus, FakeClock(), WANTED)) == kind
    assert axp.fed == after
    assert radio.powered
    asyncio.run(power(bus, FakeClock(), WANTED))
    assert axp.fed == after, "a second start changes nothing"
    axp.power_off()
    assert not radio.powered


@pytest.mark.parametrize(
    ("kind", "identity", "wanted", "written"),
    [
        # 0x26: (3300 - 700) / 25 = 0x68; 0x28: LDO2 in the high half, LDO3 in the low one, (3300 - 1800) / 100 = 0xF.
        # 0x12 from 0x13 (DCDC1, DCDC3, DCDC2): bit 0 DCDC1, 2 LDO2, 3 LDO3.
        ("axp192", 0x03, ("dcdc1", "ldo2", "ldo3"), "26 68  12 13  28 fc  12 17  28 ff  12 1f"),
        # 0x92 to 0x97: (3300 - 500) / 100 = 28 in five bits; 0x90: bit 0 ALDO1 .. 3 ALDO4, 4 BLDO1, 5 BLDO2.
        ("axp2101", 0x4A, ("aldo2", "aldo3"), "93 1c  90 02  94 1c  90 06"),
        (
            "axp2101",
            0x47,
            ("aldo1", "aldo4", "bldo1", "bldo2"),
            "92 1c  90 01  95 1c  90 09  96 1c  90 19  97 1c  90 39",
        ),
    ],
)
def test_what_is_written_is_what_the_maker_says(
    kind: str, identity: int, wanted: tuple[str, ...], written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Register and value, byte for byte: from the makers' constants (XPowersLib), not from the simulated chip's table."""
    monkeypatch.setitem(IDENTITY, kind, identity)
    _, _, bus = board(kind)
    assert asyncio.run(power(bus, FakeClock(), {f"{kind}_on": wanted})) == kind
    assert b"".join(bus.written) == bytes.fromhex(written)


@pytest.mark.parametrize("kind", ["axp192", "axp2101"])
def test_what_is_not_wanted_goes_off(kind: str) -> None:
    rail = {"axp192": "ldo3", "axp2101": "aldo3"}[kind]
    axp, _, bus = board(kind)
    asyncio.run(power(bus, FakeClock(), {f"{kind}_on": [rail]}))
    assert axp.fed[rail] == 3300
    asyncio.run(power(bus, FakeClock(), WANTED))
    assert rail not in axp.fed


@pytest.mark.parametrize(
    ("fault", "number", "words"),
    [
        ("nack", 19, "power chip: nobody answers at 0x34"),
        ("unknown_id", 19, "power chip: id 0x15 is no AXP192 (0x03) and no AXP2101 (0x4a)"),
        ("short", 5, "power chip: ldo2 does not stay on: short circuit?"),
    ],
)
def test_what_is_wrong_is_said(fault: str, number: int, words: str) -> None:
    _, radio, bus = board("axp192", faults=[fault])
    with pytest.raises(OSError) as raised:
        asyncio.run(power(bus, FakeClock(), WANTED))
    assert raised.value.args == (number, words)
    assert not radio.powered


def test_the_twin_of_a_board_is_wired_so() -> None:
    chips = {entry.name: entry.chip for entry in attach_chips(load_board("tbeam-bridge"), World(1, 0), 1)}
    axp, radio = chips["axp"], chips["sx1276"]
    assert isinstance(axp, AXP)
    assert axp.loads == [radio]


def test_a_radio_without_its_rail_is_no_answer() -> None:
    """Whoever forgets the power chip reads so; with it the radio is proven."""
    axp, _, bus = board("axp192")
    stage = RadioStage()
    port = stage.port("sx1276", busy=False, supply="ldo2")
    axp.loads = [port.chip]
    compiled = compile_board(load_board("tbeam"))

    class Hal:
        def i2c(self, *args: int) -> Bus:
            return bus

        def radio_port(self, *pins: int) -> Any:
            assert pins == (2, 5, 27, 19, 18, 23, 26, -1, -1, 4_000_000)
            return port

    without = {name: value for name, value in compiled.items() if name != "pmu"}
    with pytest.raises(OSError, match="no answer on SPI, all 0x00"):
        stage.run(open_radio(without, Hal(), stage.clock))
    (radio,) = stage.run(open_radio(compiled, Hal(), stage.clock))
    stage.run(radio.start())
    assert radio.identity == "SX1276, boost"
    assert port.chip.violations == []
