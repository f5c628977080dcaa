"""The simulated SEN5x and SEN66 alone, against the worked bytes of their fact sheets."""

from typing import Any

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.sen5x import SEN5x
from tools.sim.chips.sen66 import SEN66
from tools.sim.chips.sensirion import checksum
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
START, STOP, READY, CLEAN = (bytes.fromhex(command) for command in ("0021", "0104", "0202", "5607"))
STATUS, STATUS_AND_CLEAR, VOC_STATE = (bytes.fromhex(command) for command in ("D206", "D210", "6181"))
VALUES = {SEN5x: bytes.fromhex("03C4"), SEN66: bytes.fromhex("0300")}
# Fact sheets, worked examples 2 and 1: ticks and bytes.
EXAMPLES = [
    (SEN5x, (42, 58, 66, 71, 4537, 4712, 1000, 10),
     "002ADC 003A9F 0042DE 00472B 11B92C 126834 03E8D4 000A5A"),
    (SEN66, (33, 47, 55, 60, 4123, 4390, 1010, 10, 612),
     "002136 002F29 0037D3 003C39 101B46 11263B 03F24C 000A5A 026427"),
]  # fmt: skip
BOTH = pytest.mark.parametrize("kind", [SEN5x, SEN66])


def made(kind: Any, **params: Any) -> Any:
    return kind(World(7, START_S), 1, **params)


def ask(chip: Any, command: bytes, n: int, now_us: int, wait_us: int = 20 * MS) -> bytes:
    chip.write(command, now_us)
    return bytes(chip.read(n, now_us + wait_us))


def values(chip: Any, now_us: int) -> list[int]:
    size = 27 if isinstance(chip, SEN66) else 24
    raw = ask(chip, VALUES[type(chip)], size, now_us)
    assert all(checksum(raw[n : n + 2]) == raw[n + 2] for n in range(0, size, 3))
    return [int.from_bytes(raw[n : n + 2], "big") for n in range(0, size, 3)]


def number(chip: Any, command: bytes, now_us: int, words: int = 2) -> int:
    raw = ask(chip, command, 3 * words, now_us)
    return int.from_bytes(b"".join(raw[n : n + 2] for n in range(0, 3 * words, 3)), "big")


@pytest.mark.parametrize(("kind", "ticks", "raw"), EXAMPLES)
def test_values_are_the_worked_bytes(kind: Any, ticks: tuple[int, ...], raw: str) -> None:
    chip = made(kind)
    chip.fixed = ticks
    chip.write(START, T0)
    expected = bytes.fromhex(raw)
    assert ask(chip, VALUES[kind], len(expected), T0 + 20 * SECOND) == expected


@BOTH
def test_a_chip_at_rest_knows_nothing(kind: Any) -> None:
    chip = made(kind)
    expected = bytes.fromhex("FFFFAC" * 4 + "7FFF8F" * 4 + ("FFFFAC" if kind is SEN66 else ""))
    assert ask(chip, VALUES[kind], len(expected), T0) == expected
    assert ask(chip, READY, 3, T0 + SECOND) == bytes.fromhex("000081")


@BOTH
def test_new_data_is_announced_once_a_second(kind: Any) -> None:
    chip = made(kind)
    chip.write(START, T0)
    first = T0 + (1100 if kind is SEN66 else 1000) * MS
    assert ask(chip, READY, 3, first - 30 * MS)[1] == 0
    assert ask(chip, READY, 3, first) == bytes.fromhex("0001B0")
    old = values(chip, first + 100 * MS)
    assert ask(chip, READY, 3, first + 200 * MS)[1] == 0
    assert values(chip, first + 900 * MS) == old
    assert values(chip, first + 1000 * MS) != old


@BOTH
def test_values_follow_the_world(kind: Any) -> None:
    chip = made(kind)
    chip.write(START, T0)
    now = T0 + 7200 * SECOND
    found = values(chip, now)
    air, gases = chip.world.air(now / 1e6), chip.world.gases(now / 1e6)
    assert found[1] / 10 == pytest.approx(air.pm2_5_ugm3, rel=0.1)
    assert found[:4] == sorted(found[:4])
    assert found[4] / 100 == pytest.approx(air.humidity_pct, abs=0.3)
    assert found[5] / 200 == pytest.approx(air.temperature_degc, abs=0.1)
    assert found[6] / 1000 == pytest.approx(gases.voc, rel=0.05)
    if kind is SEN66:
        assert found[8] == pytest.approx(gases.co2_ppm, abs=8)


def test_what_is_not_known_yet() -> None:
    chip = made(SEN66)
    chip.write(START, T0)
    assert values(chip, T0 + 5 * SECOND)[7:] == [0x7FFF, 0xFFFF]
    early = values(chip, T0 + 8 * SECOND)
    assert early[7] == 0x7FFF
    assert early[8] < 1000
    assert values(chip, T0 + 13 * SECOND)[7] < 5000
    old = made(SEN5x, product="SEN54")
    old.write(START, T0)
    assert values(old, T0 + 60 * SECOND)[7] == 0x7FFF


@BOTH
def test_identity(kind: Any) -> None:
    chip = made(kind, serial="0123456789ABCDEF")
    name = ask(chip, bytes.fromhex("D014"), 48, T0)
    assert b"".join(name[n : n + 2] for n in range(0, 48, 3)).rstrip(b"\0") == kind.__name__.replace("x", "5").encode()
    serial = ask(chip, bytes.fromhex("D033"), 48, T0 + SECOND)
    assert b"".join(serial[n : n + 2] for n in range(0, 48, 3)) == b"0123456789ABCDEF".ljust(32, b"\0")
    version = ask(chip, bytes.fromhex("D100"), 3, T0 + 2 * SECOND)
    assert version[:2] == bytes(chip.firmware)


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        (SEN5x, "5607", "cleaning while idle"),
        (SEN5x, "0300", "unknown command"),
        (SEN5x, "8004 0000813C", "whole words"),
        (SEN5x, "8004 000082 000081", "checksum"),
        (SEN66, "03C4", "unknown command"),
        (SEN66, "6720 0200" + "01", "checksum"),
        (SEN66, "00", "whole words"),
        (SEN66, "0104", "stop while idle"),
    ],
)
def test_what_an_idle_chip_does_not_acknowledge(kind: Any, data: str, why: str) -> None:
    with pytest.raises(Nack, match=why):
        made(kind).write(bytes.fromhex(data), T0)


def test_worked_example_of_the_pressure() -> None:
    chip = made(SEN66)
    chip.write(bytes.fromhex("672003F5DB"), T0)
    assert chip.pressure_hpa == 1013


def test_a_busy_chip_does_not_acknowledge() -> None:
    chip = made(SEN66)
    chip.write(START, T0)
    with pytest.raises(Nack, match="busy"):
        chip.write(READY, T0 + 49 * MS)
    chip.write(STOP, T0 + 2 * SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.write(START, T0 + 2999 * MS)
    chip.write(START, T0 + 3 * SECOND)


def test_sen5x_cleans_while_measuring() -> None:
    chip = made(SEN5x)
    chip.write(START, T0)
    before = values(chip, T0 + 60 * SECOND)
    chip.write(CLEAN, T0 + 60 * SECOND + 100 * MS)
    during = values(chip, T0 + 65 * SECOND)
    assert during[:4] == before[:4]
    assert during[4:] != before[4:]
    assert number(chip, STATUS, T0 + 66 * SECOND) == 1 << 19
    assert values(chip, T0 + 75 * SECOND)[:4] != before[:4]
    assert number(chip, STATUS, T0 + 76 * SECOND) == 0


def test_sen5x_cleans_by_itself_after_the_interval() -> None:
    chip = made(SEN5x)
    assert number(chip, bytes.fromhex("8004"), T0) == 604800
    chip.write(bytes.fromhex("8004 000081") + bytes((0, 100, checksum(b"\x00\x64"))), T0 + SECOND)
    chip.write(START, T0 + 2 * SECOND)
    values(chip, T0 + 100 * SECOND)
    assert not chip.cleaning
    values(chip, T0 + 103 * SECOND)
    assert chip.cleaning
    chip.power_on(T0 + 104 * SECOND)
    assert number(chip, bytes.fromhex("8004"), T0 + 105 * SECOND) == 604800  # volatile


def test_sen66_cleans_at_rest() -> None:
    chip = made(SEN66)
    chip.write(START, T0)
    with pytest.raises(Nack, match="cleaning while measuring"):
        chip.write(CLEAN, T0 + SECOND)
    chip.write(STOP, T0 + 2 * SECOND)
    chip.write(CLEAN, T0 + 3 * SECOND)
    with pytest.raises(Nack, match="start while cleaning"):
        chip.write(START, T0 + 12 * SECOND)
    chip.write(START, T0 + 13 * SECOND + 30 * MS)
    assert chip.cleanings == 1


@BOTH
@pytest.mark.parametrize(
    ("fault", "bits", "places"),
    [("dead_fan", 1 << 4 | 1 << 21, range(4)), ("dead_gas", 1 << 7, (6, 7)), ("dead_climate", 1 << 6, (4, 5))],
)
def test_status_tells_what_is_broken(kind: Any, fault: str, bits: int, places: Any) -> None:
    chip = made(kind)
    chip.write(START, T0)
    assert number(chip, STATUS, T0 + 10 * SECOND) == 0
    chip.switch(fault)
    found = values(chip, T0 + 20 * SECOND)
    assert {found[place] for place in places} <= {0, 0x7FFF}
    assert number(chip, STATUS, T0 + 21 * SECOND) == bits
    chip.switch(fault, False)
    assert number(chip, STATUS_AND_CLEAR, T0 + 30 * SECOND) == bits & ~(1 << 21)  # warnings go by themselves
    assert number(chip, STATUS, T0 + 31 * SECOND) == 0


def test_laser_and_co2_have_bits_of_their_own() -> None:
    for kind, fault, bit in ((SEN5x, "dead_laser", 5), (SEN66, "dead_laser", 11), (SEN66, "dead_co2", 9)):
        chip = made(kind, faults=(fault,))
        chip.write(START, T0)
        assert number(chip, STATUS, T0 + 20 * SECOND) == 1 << bit


@BOTH
def test_what_the_gas_index_learned_survives_a_pause(kind: Any) -> None:
    chip = made(kind)
    chip.write(START, T0)
    raw = ask(chip, VOC_STATE, 12, T0 + 1800 * SECOND)
    chip.write(STOP, T0 + 1801 * SECOND)
    forgotten = ask(chip, VOC_STATE, 12, T0 + 1803 * SECOND)
    assert forgotten != raw
    chip.write(VOC_STATE + raw, T0 + 1804 * SECOND)
    assert ask(chip, VOC_STATE, 12, T0 + 1805 * SECOND) == raw
    chip.write(START, T0 + 1806 * SECOND)
    with pytest.raises(Nack, match="at rest"):
        chip.write(VOC_STATE + raw, T0 + 1807 * SECOND)


def test_reset_and_power() -> None:
    chip = made(SEN66)
    chip.write(START, T0)
    chip.write(bytes.fromhex("D304"), T0 + SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.write(START, T0 + 2 * SECOND)
    chip.write(START, T0 + 2200 * MS)
    chip.power_off()
    with pytest.raises(Nack, match="no supply"):
        chip.write(READY, T0 + 5 * SECOND)


@BOTH
def test_stuck_late_and_no_new_data(kind: Any) -> None:
    chip = made(kind)
    chip.write(START, T0)
    before = values(chip, T0 + 20 * SECOND)
    chip.switch("stuck")
    assert ask(chip, READY, 3, T0 + 25 * SECOND)[1] == 1
    assert values(chip, T0 + 25 * SECOND + 100 * MS) == before
    chip.switch("stuck", False)
    chip.switch("no_new_data")
    assert ask(chip, READY, 3, T0 + 30 * SECOND)[1] == 0
    chip.switch("no_new_data", False)
    chip.switch("late_answer")
    chip.write(READY, T0 + 40 * SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.read(3, T0 + 40 * SECOND + 399 * MS)
