"""The SX1276's driver on its simulated chip, which was written apart from it: same data sheet, no shared code or constant."""

from __future__ import annotations

import pytest

from firmware.drivers.sx1276 import Sx1276, amplifier, strength_dbm
from tests.fakes.radio_pair import DRIVERS, Pair
from tests.fakes.radio_stage import RadioStage

pytestmark = pytest.mark.usefixtures("stay_loaded")

OPTIONS = DRIVERS["sx1276"][1]

# What start() writes, the worked values of the fact sheet among it.
START = """
8100 8101       FSK, sleep, standby
8900            amplifier off
86d90600        868 MHz, near enough for a calibration
bb42            calibrate the receiver's chain
8100 8180       sleep, LoRa
8e00 8f00       FIFO bases
8c23            most gain, HF boost
9d72            worked: 125 kHz, 4/5, explicit
a000 a108       preamble 8
a3ff b70a 9100
b603            errata 2.1
b143 af40 b000  errata 2.3
b912            sync word
8181
86d90666        worked: 868.1 MHz
9e94 a604       SF9 with CRC, no LDRO
89fc cd84 8b2b  14 dBm: PA_BOOST, 14 - 2
b327 bb1d       normal chirps
c000            DIO0 tells RxDone
"""


def written(trace: list[str]) -> list[str]:
    return [command for command in trace if int(command[:2], 16) & 0x80]


def test_start_writes_what_the_fact_sheet_says() -> None:
    stage = RadioStage()
    port = stage.port("sx1276", busy=False)
    radio = Sx1276(port, stage.clock, OPTIONS)
    assert [command[:2] for command in port.trace] == ["42"]
    stage.run(radio.start())
    wanted = [word for line in START.strip().splitlines() for word in line.split("  ")[0].split()]
    assert written(port.trace) == wanted
    assert port.levels == [("rx", 0), ("reset", 0), ("reset", 1)]
    assert radio.identity == "SX1276, boost"
    assert port.chip.violations == []


def test_a_transmission_byte_for_byte() -> None:
    pair = Pair("sx1276")
    pair.node.tune(868_300_000, 7, 20, False)
    pair.stage.run(pair.node.transmit(b"abc"))
    assert written(pair.ports[0].trace) == [
        "8181", "86d91333", "9e74", "a604", "89ff", "cd87", "8b31", "b327", "bb1d", "c040", "8d00", "80616263", "a203",
        "92ff", "8183", "92ff",
    ]  # fmt: skip
    pair.ports[0].trace.clear()
    pair.node.tune(869_525_000, 12, 2, True)
    pair.stage.run(pair.node.transmit(b"x"))
    assert written(pair.ports[0].trace)[2:10] == ["9ec4", "a60c", "89f0", "cd84", "8b2b", "b326", "bb19", "c040"]
    assert [(line.freq_hz, line.sf, line.power_dbm, line.inverted) for line in pair.stage.ether.log] == [
        (868_300_000, 7, 20.0, False), (869_525_000, 12, 2.0, True),
    ]  # fmt: skip
    pair.clean()


def test_strength_by_the_port() -> None:
    """The fact sheet's worked values; above the noise the data sheet's slope of 16/15 comes on top of the plain ones."""
    assert strength_dbm(0x4B, 0x1C, 868_100_000) == (-82 + (0x4B >> 4), -82 + (0x4B >> 4))
    assert strength_dbm(0x20, -28, 868_100_000) == (-125, -132)
    assert strength_dbm(0x20, -28, 434_000_000) == (-132, -139)


def test_amplifiers() -> None:
    assert [amplifier(power, 1)[3] for power in (-9, 2, 17, 18, 20, 22)] == [2, 2, 17, 18, 20, 20]
    assert [amplifier(power, 0)[3] for power in (-9, 0, 14, 22)] == [0, 0, 14, 14]
    assert amplifier(14, 0) == (0x7E, 0x84, 0x2B, 14)
    stage = RadioStage()
    port = stage.port("sx1276", busy=False, output="rfo")
    radio = Sx1276(port, stage.clock, {"pa": "rfo"})
    stage.run(radio.start())
    for power_dbm in range(15):
        radio.tune(868_100_000, 7, power_dbm, False)
        stage.run(radio.transmit(b"x"))
        assert stage.ether.log[-1].power_dbm == power_dbm
    assert port.chip.violations == []


@pytest.mark.parametrize("ear", ["sx1276", "sx1262"])
@pytest.mark.parametrize("sf", range(7, 13))
def test_a_frame_arrives(sf: int, ear: str) -> None:
    """Also at the other chip, and an answer the other way: inverted chirps mean the same to both."""
    pair = Pair("sx1276", ear)
    frame = bytes(range(51))
    for radio in (pair.node, pair.ear):
        radio.tune(868_500_000, sf, 14, False)
    end_us, heard = pair.stage.run(pair.send_after(100, frame), pair.ear.receive(300))
    assert heard is not None
    data, _, _, signal, error, heard_us = heard
    assert data == frame
    assert abs(heard_us - end_us) <= 1
    loss_db = pair.stage.ether.link_db(pair.ports[0].chip, pair.ports[1].chip, 868_500_000)
    assert abs(signal - (14 + loss_db)) <= 2
    assert error == 0
    for radio in (pair.node, pair.ear):
        radio.tune(869_525_000, sf, 14, True)

    async def answer() -> int:
        await pair.stage.clock.sleep_ms(60)
        return await pair.ear.transmit(frame[:20])

    _, heard = pair.stage.run(answer(), pair.node.receive(200))
    assert heard is not None
    assert heard[0] == frame[:20]
    assert abs(heard[3] - (14 + loss_db)) <= 2
    pair.clean()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("floating_high", "radio: no answer on SPI, all 0xff: supply, wires miso, sck, nss"),
        ("floating_low", "radio: no answer on SPI, all 0x00: supply, wires miso, sck, nss"),
        ("foreign", "radio: what answers is no sx1276 but has version 0x22: radio.chip"),
    ],
)
def test_the_constructor_proves_the_chip(fault: str, words: str) -> None:
    stage = RadioStage()
    port = stage.port("sx1276", busy=False, faults=[fault])
    with pytest.raises(OSError) as raised:
        Sx1276(port, stage.clock, OPTIONS)
    assert raised.value.args == (19, words)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no_crystal", "radio: calibration does not end: crystal, supply"),
        ("stays_fsk", "radio: LoRa mode is not taken: wires mosi, nss"),
    ],
)
def test_a_start_that_fails(fault: str, words: str) -> None:
    stage = RadioStage()
    port = stage.port("sx1276", busy=False, faults=[fault])
    radio = Sx1276(port, stage.clock, OPTIONS)
    with pytest.raises(OSError) as raised:
        stage.run(radio.start())
    assert raised.value.args[1] == words
    (rows,) = stage.run(radio.self_test())
    assert rows == [("chip answers", True, 0x12), (words[7:], False, raised.value.args[0])]
    port.chip.switch(fault, False)
    (rows,) = stage.run(radio.self_test())
    assert [row[1] for row in rows] == [True] * 5


def test_a_transmission_that_does_not_end() -> None:
    pair = Pair("sx1276")
    pair.ports[0].chip.switch("tx_hangs")
    with pytest.raises(OSError, match="radio: not done in time"):
        pair.stage.run(pair.node.transmit(bytes(20)))
    pair.ports[0].chip.switch("tx_hangs", False)
    _, heard = pair.stage.run(pair.send_after(50, b"again"), pair.ear.receive(300))
    assert heard is not None
