"""The SX1276's driver on its simulated chip, which was written apart from it: same data sheet, no shared code or constant."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from firmware import drivers
from firmware.drivers.sx1262 import Sx1262
from firmware.drivers.sx1276 import Sx1276, amplifier, strength_dbm
from tests.fakes.radio_stage import RadioStage, StagePort
from tools.sim.radio.ether import Signal

OPTIONS = {"pa": "boost"}
UP = (868_100_000, 9, 14, False)
DOWN = (869_525_000, 9, 14, True)

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


@pytest.fixture(autouse=True)
def stay_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a board unloads to save its heap would be compiled anew for every test."""
    monkeypatch.setattr(drivers, "forget", lambda *names: None)


class Pair:
    """A node with an SX1276 and an ear, started."""

    def __init__(self, *, ear: str = "sx1276", apart_m: float = 500.0, **params: Any) -> None:
        self.stage = RadioStage()
        self.ports = [self.stage.port("sx1276", 0.0, busy=False, **params), self.stage.port(ear, apart_m)]
        self.node = Sx1276(self.ports[0], self.stage.clock, OPTIONS)
        other = Sx1276 if ear == "sx1276" else Sx1262
        self.ear = other(self.ports[1], self.stage.clock, OPTIONS | {"tcxo_mv": 1800})
        self.stage.run(self.node.start(), self.ear.start())
        for port in self.ports:
            port.trace.clear()

    def clean(self) -> None:
        """Nothing that the data sheet forbids has happened."""
        assert [port.chip.violations for port in self.ports] == [[], []]

    async def send_after(self, delay_ms: int, frame: bytes) -> int:
        await self.stage.clock.sleep_ms(delay_ms)
        return await self.node.transmit(frame)


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
    pair = Pair()
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
    pair = Pair(ear=ear)
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


def test_weak_frames_are_told_by_their_own_strength() -> None:
    pair = Pair(apart_m=2000.0)
    for radio in (pair.node, pair.ear):
        radio.tune(868_100_000, 12, 14, False)
    _, heard = pair.stage.run(pair.send_after(50, b"weak"), pair.ear.receive(500))
    assert heard is not None
    _, rssi, snr, signal, _, _ = heard
    assert snr < 0
    assert rssi > signal
    assert abs(signal - 14 - pair.stage.ether.link_db(pair.ports[0].chip, pair.ports[1].chip, 868_100_000)) <= 1


def test_direction_frequency_rate_and_network_must_agree() -> None:
    for other in ((868_100_000, 9, 14, True), (868_300_000, 9, 14, False), (868_100_000, 10, 14, False)):
        pair = Pair()
        pair.node.tune(*UP)
        pair.ear.tune(*other)
        assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(600))[1] is None
        pair.clean()


def test_windows_open_and_close_on_time() -> None:
    for begins_ms, hears in ((980, True), (1000 + 130 + 20, False)):
        pair = Pair()
        _, heard = pair.stage.run(pair.send_after(begins_ms, bytes(100)), pair.ear.receive(1000))
        assert (heard is not None) == hears, begins_ms
        pair.clean()


def test_operations_at_a_given_time() -> None:
    pair = Pair()
    for radio in (pair.node, pair.ear):
        radio.tune(*DOWN)
    when = (pair.ports[0].now_us() + 700_000) % (1 << 30)
    end_us, heard = pair.stage.run(pair.node.transmit(b"answer", when), pair.ear.receive(20, (when - 5000) % (1 << 30)))
    assert heard is not None
    begun_us = (pair.stage.ether.log[-1].begin_us - 400_000) % (1 << 30)
    assert 0 <= StagePort.us_diff(begun_us, when) < 500
    assert abs(StagePort.us_diff(end_us, heard[5])) <= 1


def test_activity_is_detected() -> None:
    pair = Pair()

    async def look() -> list[bool]:
        found = [await pair.ear.cad()]
        await pair.stage.clock.sleep_ms(60)
        found.append(await pair.ear.cad())
        await pair.stage.clock.sleep_ms(2000)
        return [*found, await pair.ear.cad()]

    assert pair.stage.run(pair.send_after(40, bytes(60)), look())[1] == [False, True, False]
    pair.clean()


def test_an_ear_listens_without_an_end() -> None:
    pair = Pair()
    frames = [bytes((n,)) * (60 + n) for n in range(9)]

    async def send() -> None:
        for frame in frames:
            await pair.send_after(30, frame)

    async def hear() -> list[bytes]:
        found: list[bytes] = []
        quiet = 0
        while quiet < 12:
            heard = await pair.ear.listen(100)
            quiet = quiet + 1 if heard is None else 0
            found += [] if heard is None else [heard[0]]
        return found

    assert pair.stage.run(send(), hear())[1] == frames
    assert pair.ports[1].trace.count("8185") == 1
    pair.clean()


def test_foreign_and_broken_frames_do_not_hide_ours() -> None:
    pair = Pair()

    async def send() -> None:
        await pair.stage.clock.sleep_ms(20)
        plain = Signal(868_100_000, 125_000, 9, 5, False, 0x12, 8, 14.0, b"no checksum", crc=False)
        for signal in (plain, plain._replace(data=b"other ldro", crc=True, ldro=True)):
            end_us = pair.stage.ether.transmit(pair.ports[0].chip, signal)
            await asyncio.sleep((end_us - pair.stage.time.now_us + 20_000) / 1e6)
        await pair.node.transmit(b"ours")

    _, heard = pair.stage.run(send(), pair.ear.receive(1500))
    assert heard is not None
    assert heard[0] == b"ours"
    assert pair.ear.crc_errors == 2


def test_sleep_keeps_the_settings() -> None:
    pair = Pair()
    pair.stage.run(pair.node.sleep(), pair.ear.sleep())
    assert pair.ports[0].trace[-1] == "8180"
    _, heard = pair.stage.run(pair.send_after(10, b"awake"), pair.ear.receive(600))
    assert heard is not None
    pair.clean()


def test_a_line_that_is_stuck_high_starves_nobody() -> None:
    """Everything works, and others have their turns meanwhile; it is counted and told."""
    pair = Pair()
    for port in pair.ports:
        port.chip.switch("irq_stuck")
    turns_us: list[int] = []

    async def other() -> None:
        for _ in range(40):
            await pair.stage.clock.sleep_ms(10)
            turns_us.append(pair.stage.time.now_us)

    end_us, heard, _ = pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300), other())
    assert heard is not None
    assert max(b - a for a, b in pairwise(turns_us)) < 25_000
    true_us = (pair.stage.ether.log[-1].end_us - 400_000) % (1 << 30)
    assert abs(StagePort.us_diff(end_us, true_us)) < 1_000
    assert 0 <= StagePort.us_diff(heard[5], true_us) < 20_000
    assert (pair.node.missed_irqs, pair.ear.missed_irqs) == (1, 1)
    rows = pair.stage.run(pair.node.self_test())[0]
    assert [row[0] for row in rows if not row[1]] == ["interrupt line"]


def test_a_line_that_never_tells() -> None:
    pair = Pair()
    for port in pair.ports:
        port.chip.switch("irq_lost")
    _, heard = pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300))
    assert heard is not None
    assert (pair.node.missed_irqs, pair.ear.missed_irqs) == (1, 1)
    rows = pair.stage.run(pair.node.self_test())[0]
    assert [row[0] for row in rows if not row[1]] == ["interrupt line"]


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
    pair = Pair()
    pair.ports[0].chip.switch("tx_hangs")
    with pytest.raises(OSError, match="radio: not done in time"):
        pair.stage.run(pair.node.transmit(bytes(20)))
    pair.ports[0].chip.switch("tx_hangs", False)
    _, heard = pair.stage.run(pair.send_after(50, b"again"), pair.ear.receive(300))
    assert heard is not None


def test_a_chip_that_forgets_amid_a_reception_is_seen() -> None:
    pair = Pair()

    async def brown_out() -> None:
        await pair.stage.clock.sleep_ms(50)
        pair.ports[1].chip.power_off()
        pair.ports[1].chip.power_on(0)

    with pytest.raises(OSError, match="it has forgotten its settings: supply breaks in"):
        pair.stage.run(brown_out(), pair.ear.listen(200))
    pair.stage.run(pair.ear.start())
    assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300))[1] is not None
