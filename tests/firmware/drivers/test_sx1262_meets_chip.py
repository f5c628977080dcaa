"""The SX1262's driver on its simulated chip, which was written apart from it: same data sheet, no shared code or constant."""

from __future__ import annotations

from typing import Any

import pytest

from firmware.drivers.sx1262 import Sx1262
from tests.fakes.radio_pair import DRIVERS, Pair
from tests.fakes.radio_stage import RadioStage, StagePort
from tools.sim.radio.ether import Signal

pytestmark = pytest.mark.usefixtures("stay_loaded")

OPTIONS = DRIVERS["sx1262"][1]

# What start() sends. Lines with a note are worked examples of the fact sheet, or its opcodes with the board's values.
START = """
8000            standby, RC
9702000140      worked example 5: TCXO 1.8 V, 5 ms = 320 ticks
070000          the error that this brings is expected
897f            calibrate all
8001            standby, XOSC
17000000        device errors
9d01            DIO2 turns the switch
9601            DC-DC
8a01            LoRa
8f0000          buffer bases
9330            falls back to STDBY_XOSC
0d07401424      sync word 0x12
1d08d80000 0d08d8de         erratum 15.2: |= 0x1E
0d08ac96        boosted gain
0d029f0108ac    also after sleep
0803f702a300000000          interrupts
8001
98d7db          image, 863 to 870 MHz
8636419999      worked example 1: 868.1 MHz
8b09040100      SF9, 125 kHz, 4/5, no LDRO
9502020001 8e1604           14 dBm: duty 2, hpMax 2, told 22
8c000800ff0100  preamble 8, explicit, CRC, normal chirps
1d07360000 0d07360d         erratum 15.4: bit 2 is 1 for normal ones
17000000
"""
PROOF = ["0d07405aa5", "1d0740000000", "0d07401424", "1d0740000000"]


def commands(text: str) -> list[str]:
    """The hex words of lines with notes."""
    found = []
    for line in text.strip().splitlines():
        for word in line.split():
            if len(word) < 4 or not all(letter in "0123456789abcdef" for letter in word):
                break
            found.append(word)
    return found


def test_start_sends_what_the_fact_sheet_says() -> None:
    stage = RadioStage()
    port = stage.port("sx1262")
    radio = Sx1262(port, stage.clock, OPTIONS)
    assert port.trace == PROOF
    assert radio.identity == ""
    port.trace.clear()
    stage.run(radio.start())
    assert port.trace == commands(START)
    assert port.levels == [("rx", 0), ("reset", 0), ("reset", 1)]
    assert radio.identity == "SX1262, TCXO 1800 mV"
    assert port.chip.violations == []


def test_start_of_a_board_with_a_crystal_on_a_public_network() -> None:
    stage = RadioStage()
    port = stage.port("sx1262", tcxo_mv=0, dio2_switch=False)
    radio = Sx1262(port, stage.clock, {"dio2_switch": 0, "dcdc": 0, "public": 1})
    port.trace.clear()
    stage.run(radio.start())
    wanted = [command for command in commands(START) if command not in ("9702000140", "070000")]
    changed = {"9d01": "9d00", "9601": "9600", "0d07401424": "0d07403444"}
    assert port.trace == [changed.get(command, command) for command in wanted]
    assert radio.identity == "SX1262, crystal"


def test_a_transmission_byte_for_byte() -> None:
    pair = Pair("sx1262")
    pair.node.tune(868_300_000, 7, 22, False)
    pair.stage.run(pair.node.transmit(bytes(range(20))))
    assert pair.ports[0].trace == [
        "8001", "863644cccc", "8b07040100", "9504070001", "8e1604", "8c000800140100", "1d07360000", "0d07360d",
        "0e00" + bytes(range(20)).hex(), "1d08890000", "0d088904", "02ffff", "8300" + f"{(56 + 50) * 64:04x}",
        "12000000", "02ffff",
    ]  # fmt: skip
    pair.node.tune(869_525_000, 12, -9, True)
    pair.ports[0].trace.clear()
    pair.stage.run(pair.node.transmit(b"x"))
    assert pair.ports[0].trace[:9] == [
        "8001", "8636586666", "8b0c040101", "9502020001", "8eff04", "8c000800010101", "1d07360000", "0d073609", "0e0078",
    ]  # fmt: skip
    assert [(line.freq_hz, line.sf, line.power_dbm, line.inverted) for line in pair.stage.ether.log] == [
        (868_300_000, 7, 22.0, False), (869_525_000, 12, -9.0, True),
    ]  # fmt: skip
    pair.clean()


def test_power_is_what_was_asked_for() -> None:
    pair = Pair("sx1262")
    for power_dbm in range(-9, 23):
        pair.node.tune(868_100_000, 7, power_dbm, False)
        pair.stage.run(pair.node.transmit(b"x"))
        assert pair.stage.ether.log[-1].power_dbm == power_dbm
    pair.clean()


def test_products_are_small_numbers_on_a_board() -> None:
    """What the drivers multiply stays below 2^30, so that no board makes an object of it."""
    highest_hz = 928_000_000
    for scale in (16384, 256):
        assert max(highest_hz // 15625 * scale, 15624 * scale) < 1 << 30
    assert 31 << 19 < 1 << 30
    assert 2048 << 19 <= 1 << 30
    assert (30_000 + 1000) * 64 < 1 << 24, "a timeout of half a minute fits the chip's timer"


def test_a_reception_byte_for_byte() -> None:
    pair = Pair("sx1262")
    pair.stage.run(pair.node.receive(1000))
    symbols_ms = 29 * 4096 // 1000
    assert pair.ports[0].trace == [
        "8001", "8c000800ff0100", "1d07360000", "0d07360d", "02ffff", "82" + f"{(1000 + symbols_ms) * 64:06x}",
        "12000000", "02ffff",
        "0d090200", "1d09440000", "0d094402",  # erratum 15.3
    ]  # fmt: skip
    assert f"{1000 * 64:06x}" == "00fa00", "worked example 5"
    pair.ports[0].trace.clear()
    pair.stage.run(pair.node.listen(100))
    assert pair.ports[0].trace[4:6] == ["02ffff", "82ffffff"]


@pytest.mark.parametrize("sf", range(7, 13))
def test_a_frame_arrives(sf: int) -> None:
    pair = Pair("sx1262")
    frame = bytes(range(51))
    for radio in (pair.node, pair.ear):
        radio.tune(868_500_000, sf, 14, False)
    end_us, heard = pair.stage.run(pair.send_after(100, frame), pair.ear.receive(300))
    assert heard is not None
    data, rssi, snr, signal, error, heard_us = heard
    assert data == frame
    assert abs(heard_us - end_us) <= 1
    line = pair.stage.ether.log[-1]
    assert line.end_us - line.begin_us == Signal(868_500_000, 125_000, sf, 5, False, 0x12, 8, 14.0, frame).airtime_us()
    loss_db = pair.stage.ether.link_db(pair.ports[0].chip, pair.ports[1].chip, 868_500_000)
    assert abs(signal - (14 + loss_db)) <= 1
    assert abs(rssi - signal) <= 2
    assert abs(snr / 4 - min(15, signal + 117)) <= 1.5
    assert error == 0
    pair.clean()


def test_a_frame_that_nobody_fetched_keeps_its_time() -> None:
    """It came while the program did something else; a gateway answers by its end, to the microsecond."""
    pair = Pair("sx1262")

    async def hear() -> Any:
        assert await pair.ear.listen(10) is None
        await pair.stage.clock.sleep_ms(700)
        return await pair.ear.listen(10)

    end_us, heard = pair.stage.run(pair.send_after(50, b"x"), hear())
    assert heard[5] == end_us


def test_a_sleeping_chip_keeps_its_settings_and_is_woken_by_its_own_command() -> None:
    pair = Pair("sx1262")
    pair.stage.run(pair.node.sleep(), pair.ear.sleep())
    assert pair.ports[0].busy()
    pair.ports[0].trace.clear()
    _, heard = pair.stage.run(pair.send_after(10, b"awake"), pair.ear.receive(600))
    assert heard is not None
    assert pair.ports[0].trace[:3] == ["c000", "070000", "8001"]
    assert pair.ports[1].chip.registers[0x08AC] == 0x96  # type: ignore[attr-defined]
    pair.clean()


def test_a_program_that_starts_anew_finds_a_sleeping_chip() -> None:
    pair = Pair("sx1262")
    pair.stage.run(pair.node.sleep())
    again = Sx1262(pair.ports[0], pair.stage.clock, OPTIONS)
    pair.stage.run(again.start())
    assert pair.ports[0].chip.violations == []


def test_a_late_program_knows_when_the_frame_ended() -> None:
    """The interrupt was noticed 40 ms late: flash was written. What the chip must have taken is known."""
    pair = Pair("sx1262")
    pair.ports[0].late_us = 40_000
    (end_us,) = pair.stage.run(pair.node.transmit(bytes(20)))
    true_us = (pair.stage.ether.log[-1].end_us - 400_000) % (1 << 30)
    assert abs(StagePort.us_diff(end_us, true_us)) < 1_000


def test_a_module_with_a_switch_of_its_own() -> None:
    stage = RadioStage()
    ports = [stage.port("sx1262", 300.0 * n, rxen=True) for n in range(2)]
    node, ear = (Sx1262(port, stage.clock, OPTIONS) for port in ports)
    stage.run(node.start(), ear.start())

    async def send() -> int:
        await stage.clock.sleep_ms(30)
        await node.cad()
        return await node.transmit(b"x")

    assert stage.run(send(), ear.receive(300))[1] is not None
    assert ports[0].levels[-2:] == [("rx", 1), ("rx", 0)]
    assert [port.chip.violations for port in ports] == [[], []]


@pytest.mark.parametrize(
    ("fault", "number", "words"),
    [
        ("busy_stuck", 110, "radio: BUSY stays high: wires busy, reset; radio.tcxo_mv"),
        ("floating_high", 19, "radio: no answer on SPI, all 0xff: supply, wires miso, sck, nss"),
        ("floating_low", 19, "radio: no answer on SPI, all 0x00: supply, wires miso, sck, nss"),
        ("foreign", 19, "radio: what answers is no sx1262: radio.chip, radio.nss"),
    ],
)
def test_the_constructor_proves_the_chip(fault: str, number: int, words: str) -> None:
    stage = RadioStage()
    port = stage.port("sx1262", faults=[fault])
    with pytest.raises(OSError) as raised:
        Sx1262(port, stage.clock, OPTIONS)
    assert raised.value.args == (number, words)
    assert stage.time.now_us < 20_000, "a proof takes 2 ms at most"


@pytest.mark.parametrize("fault", ["busy_stuck", "floating_high", "floating_low", "foreign"])
def test_a_chip_that_fails_later_is_told_in_its_self_test(fault: str) -> None:
    pair = Pair("sx1262")
    pair.ports[0].chip.switch(fault)
    (rows,) = pair.stage.run(pair.node.self_test())
    assert [row[1] for row in rows] == [False]
    assert rows[0][2] in (19, 110)
    pair.ports[0].chip.switch(fault, False)
    (rows,) = pair.stage.run(pair.node.self_test())
    assert [row[0] for row in rows] == [
        "chip answers", "oscillator and calibration", "interrupt line", "noise at the antenna, dBm", "frames unreadable",
    ]  # fmt: skip
    assert all(row[1] for row in rows)


@pytest.mark.parametrize(
    ("options", "faults"),
    [({}, []), ({"tcxo_mv": 3300}, []), ({"tcxo_mv": 1800}, ["no_tcxo"])],
    ids=["not configured", "wrong voltage", "dead"],
)
def test_an_oscillator_that_does_not_start(options: dict[str, int], faults: list[str]) -> None:
    stage = RadioStage()
    port = stage.port("sx1262", faults=faults)
    radio = Sx1262(port, stage.clock, options)
    with pytest.raises(OSError, match=r"oscillator does not start: radio\.tcxo_mv"):
        stage.run(radio.start())
    assert radio.identity == ""


@pytest.mark.parametrize(
    ("fault", "words"),
    [("pa_ramp", "radio: amplifier does not come up: antenna, supply"), ("tx_hangs", "radio: not done in time")],
)
def test_a_transmission_that_does_not_end(fault: str, words: str) -> None:
    pair = Pair("sx1262")
    pair.ports[0].chip.switch(fault)
    with pytest.raises(OSError) as raised:
        pair.stage.run(pair.node.transmit(bytes(20)))
    assert raised.value.args[1] == words
    pair.ports[0].chip.switch(fault, False)
    pair.stage.run(pair.node.start())
    _, heard = pair.stage.run(pair.send_after(50, b"again"), pair.ear.receive(300))
    assert heard is not None


def test_a_reset_amid_a_reception() -> None:
    """Power comes back with everything forgotten: the next operation fails or hears nothing, a start mends it."""
    pair = Pair("sx1262")
    pair.ports[1].chip.power_off()
    with pytest.raises(OSError, match="no answer on SPI"):
        pair.stage.run(pair.ear.receive(10))
    pair.ports[1].chip.power_on(0)
    pair.stage.spend(10_000)
    pair.stage.run(pair.ear.start())
    assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300))[1] is not None


def test_a_band_that_the_chip_does_not_know() -> None:
    pair = Pair("sx1262")
    pair.node.tune(500_000_000, 7, 14, False)
    pair.stage.run(pair.node.transmit(b"x"))
    assert "987581" in pair.ports[0].trace
    pair.node.tune(600_000_000, 7, 14, False)
    with pytest.raises(ValueError, match="600000000 Hz: no band of this radio"):
        pair.stage.run(pair.node.transmit(b"x"))
    pair.clean()
