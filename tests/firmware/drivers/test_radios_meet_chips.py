"""What both drivers of LoRa chips do alike, each on its simulated chip."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tests.fakes.radio_pair import DOWN, UP, Pair
from tests.fakes.radio_stage import StagePort
from tools.sim.radio.ether import Signal

pytestmark = [pytest.mark.usefixtures("stay_loaded"), pytest.mark.parametrize("chip", ["sx1262", "sx1276"])]

# By chip: the command that receives without an end, the one after which it sleeps, how one begins that looks for chirps, and
# that one whole at SF9.
LISTENS = {"sx1262": "82ffffff", "sx1276": "8185"}
SLEEPS = {"sx1262": "8404", "sx1276": "8180"}
LOOKS = {"sx1262": ("88", "8802170a00000000"), "sx1276": ("8187", "8187")}


def test_direction_frequency_rate_and_network_must_agree(chip: str) -> None:
    for other in ((868_100_000, 9, 14, True), (868_300_000, 9, 14, False), (868_100_000, 10, 14, False)):
        pair = Pair(chip)
        pair.node.tune(*UP)
        pair.ear.tune(*other)
        assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(600))[1] is None
        pair.clean()
    pair = Pair(chip)
    pair.ear._options = pair.ear._options | {"public": 1}
    pair.stage.run(pair.ear.start())
    assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(600))[1] is None


def test_weak_frames_are_told_by_their_own_strength(chip: str) -> None:
    pair = Pair(chip, apart_m=2000.0)
    for radio in (pair.node, pair.ear):
        radio.tune(868_100_000, 12, 14, False)
    _, heard = pair.stage.run(pair.send_after(50, b"weak"), pair.ear.receive(500))
    assert heard is not None
    _, rssi, snr, signal, _, _ = heard
    assert snr < 0
    assert rssi - signal > 3
    assert abs(signal - 14 - pair.stage.ether.link_db(pair.ports[0].chip, pair.ports[1].chip, 868_100_000)) <= 1


def test_windows_open_and_close_on_time(chip: str) -> None:
    """A preamble that begins within the window is received to its end; one that begins after it is not."""
    for begins_ms, hears in ((980, True), (1000 + 130 + 20, False)):
        pair = Pair(chip)
        _, heard = pair.stage.run(pair.send_after(begins_ms, bytes(100)), pair.ear.receive(1000))
        assert (heard is not None) == hears, begins_ms
        pair.clean()


def test_operations_at_a_given_time(chip: str) -> None:
    pair = Pair(chip)
    for radio in (pair.node, pair.ear):
        radio.tune(*DOWN)
    when = pair.at(700)
    end_us, heard = pair.stage.run(pair.node.transmit(b"answer", when), pair.ear.receive(20, pair.at(695)))
    assert heard is not None
    line = pair.stage.ether.log[-1]
    begun_us = (line.begin_us - 400_000) % (1 << 30)
    assert 0 <= StagePort.us_diff(begun_us, when) < 500
    assert abs(StagePort.us_diff(end_us, heard[5])) <= 1


def test_activity_is_detected(chip: str) -> None:
    pair = Pair(chip)

    async def look() -> list[bool]:
        found = [await pair.ear.cad()]
        await pair.stage.clock.sleep_ms(60)
        found.append(await pair.ear.cad())
        await pair.stage.clock.sleep_ms(2000)
        return [*found, await pair.ear.cad()]

    assert pair.stage.run(pair.send_after(40, bytes(60)), look())[1] == [False, True, False]
    pair.clean()
    begin, whole = LOOKS[chip]
    assert [command for command in pair.ports[1].trace if command.startswith(begin)] == [whole] * 3


def test_an_ear_listens_without_an_end(chip: str) -> None:
    """Frames in a row, more than the chip's buffer holds at once; the receiver never stops in between."""
    pair = Pair(chip)
    frames = [bytes((n,)) * (60 + n) for n in range(9)]

    async def send() -> None:
        for frame in frames:
            await pair.send_after(30, frame)

    async def hear() -> list[bytes]:
        found: list[bytes] = []
        quiet = 0
        while quiet < 12:
            heard = await pair.ear.listen(100)
            if heard is None:
                quiet += 1
            else:
                quiet = 0
                found.append(heard[0])
        return found

    assert pair.stage.run(send(), hear())[1] == frames
    assert pair.ports[1].trace.count(LISTENS[chip]) == 1
    pair.ear.tune(*DOWN)
    assert pair.stage.run(pair.ear.listen(10)) == [None]
    assert pair.ports[1].trace.count(LISTENS[chip]) == 2
    pair.clean()


def test_foreign_and_broken_frames_do_not_hide_ours(chip: str) -> None:
    pair = Pair(chip)
    chip = pair.ports[0].chip

    async def send() -> None:
        await pair.stage.clock.sleep_ms(20)
        plain = Signal(868_100_000, 125_000, 9, 5, False, 0x12, 8, 14.0, b"no checksum", crc=False)
        end_us = pair.stage.ether.transmit(chip, plain)
        await asyncio.sleep((end_us - pair.stage.time.now_us + 20_000) / 1e6)
        bad = plain._replace(data=b"other ldro", crc=True, ldro=True)
        end_us = pair.stage.ether.transmit(chip, bad)
        await asyncio.sleep((end_us - pair.stage.time.now_us + 20_000) / 1e6)
        await pair.node.transmit(b"ours")

    _, heard = pair.stage.run(send(), pair.ear.receive(1500))
    assert heard is not None
    assert heard[0] == b"ours"
    assert pair.ear.crc_errors == 2
    pair.clean()


def test_sleep_keeps_the_settings(chip: str) -> None:
    pair = Pair(chip)
    pair.stage.run(pair.node.sleep(), pair.ear.sleep())
    assert pair.ports[0].trace[-1] == SLEEPS[chip]
    _, heard = pair.stage.run(pair.send_after(10, b"awake"), pair.ear.receive(600))
    assert heard is not None
    pair.clean()


def test_a_line_that_is_stuck_high_starves_nobody(chip: str) -> None:
    """Everything works, and others have their turns meanwhile; it is counted and told."""
    pair = Pair(chip)
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


def test_a_line_that_never_tells(chip: str) -> None:
    """The interrupt line is open: everything works, late, and it is counted and told."""
    pair = Pair(chip)
    for port in pair.ports:
        port.chip.switch("irq_lost")
    end_us, heard = pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300))
    assert heard is not None
    true_us = (pair.stage.ether.log[-1].end_us - 400_000) % (1 << 30)
    assert abs(StagePort.us_diff(end_us, true_us)) < 1_000, "reckoned"
    assert 0 <= StagePort.us_diff(heard[5], true_us) < 500_000, "when it was found"
    assert heard[5] != pair.ports[1].irq_us()
    assert (pair.node.missed_irqs, pair.ear.missed_irqs) == (1, 1)
    rows = pair.stage.run(pair.node.self_test())[0]
    assert [row[0] for row in rows if not row[1]] == ["interrupt line"]
    pair.clean()


def test_a_chip_that_forgets_amid_a_reception_is_seen(chip: str) -> None:
    """A brown-out: an ear that went on waiting would be deaf, and nobody would know."""
    pair = Pair(chip)

    async def brown_out() -> None:
        await pair.stage.clock.sleep_ms(50)
        pair.ports[1].chip.power_off()
        pair.ports[1].chip.power_on(0)

    with pytest.raises(OSError, match="it has forgotten its settings: supply breaks in"):
        pair.stage.run(brown_out(), pair.ear.listen(200))
    pair.stage.run(pair.ear.start())
    assert pair.stage.run(pair.send_after(50, b"x"), pair.ear.receive(300))[1] is not None
