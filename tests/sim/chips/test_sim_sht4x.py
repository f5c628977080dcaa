"""The simulated SHT4x alone, against the worked bytes of its fact sheet."""

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.sensirion import checksum
from tools.sim.chips.sht4x import SHT4x
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000


@pytest.fixture
def chip() -> SHT4x:
    return SHT4x(World(7, START_S), 1)


def ask(chip: SHT4x, command: str, now_us: int, wait_us: int = 10 * MS) -> bytes:
    chip.write(bytes.fromhex(command), now_us)
    return chip.read(6, now_us + wait_us)


def values(raw: bytes) -> tuple[float, float]:
    """Degrees Celsius, per cent: the fact sheet's formulas."""
    assert checksum(raw[:2]) == raw[2]
    assert checksum(raw[3:5]) == raw[5]
    return -45 + 175 * (raw[0] << 8 | raw[1]) / 65535, -6 + 125 * (raw[3] << 8 | raw[4]) / 65535


@pytest.mark.parametrize(
    ("words", "raw"),
    [((0x6666, 0x8000), "666693 8000A2"), ((0x5D17, 0x9AE1), "5D17F2 9AE1D2"), ((0xFFFF, 0xFFFF), "FFFFAC FFFFAC"),
     ((0, 0), "000081 000081"), ((0xBEEF, 0xBEEF), "BEEF92 BEEF92")],
)  # fmt: skip
def test_worked_bytes(chip: SHT4x, words: tuple[int, int], raw: str) -> None:
    chip.fixed = words
    assert ask(chip, "FD", T0) == bytes.fromhex(raw)


def test_values_follow_the_world(chip: SHT4x) -> None:
    degc, percent = values(ask(chip, "FD", T0))
    air = chip.world.air(START_S)
    assert degc == pytest.approx(air.temperature_degc, abs=0.1)
    assert percent == pytest.approx(air.humidity_pct, abs=0.3)


@pytest.mark.parametrize(("command", "lasts_us"), [("FD", 8300), ("F6", 4500), ("E0", 1600)])
def test_a_result_is_there_when_it_is_there_and_once(chip: SHT4x, command: str, lasts_us: int) -> None:
    with pytest.raises(Nack, match="busy"):
        ask(chip, command, T0, lasts_us - 1)
    assert len(chip.read(6, T0 + lasts_us)) == 6
    with pytest.raises(Nack, match="nothing to read"):
        chip.read(6, T0 + lasts_us + MS)


def test_serial_number() -> None:
    chip = SHT4x(World(7, START_S), 1, serial=0xDEADBEEF)
    assert ask(chip, "89", T0) == bytes.fromhex("DEAD98 BEEF92")


def test_addresses_by_type() -> None:
    assert [SHT4x(World(7, START_S), 1, type=letter).address for letter in "ABC"] == [0x44, 0x45, 0x46]


def test_heater(chip: SHT4x) -> None:
    before, _ = values(ask(chip, "FD", T0))
    with pytest.raises(Nack, match="busy"):
        ask(chip, "39", T0 + SECOND, SECOND)
    hot, dry = values(chip.read(6, T0 + SECOND + 1100 * MS))
    assert hot > before + 50
    assert dry < 20
    cooled, _ = values(ask(chip, "FD", T0 + 30 * SECOND))
    assert cooled == pytest.approx(before, abs=0.2)


@pytest.mark.parametrize(("data", "why"), [("FDFD", "one byte"), ("0021", "one byte"), ("AA", "unknown")])
def test_what_it_does_not_acknowledge(chip: SHT4x, data: str, why: str) -> None:
    with pytest.raises(Nack, match=why):
        chip.write(bytes.fromhex(data), T0)


def test_reset_takes_a_millisecond(chip: SHT4x) -> None:
    chip.write(b"\x94", T0)
    with pytest.raises(Nack, match="busy"):
        chip.write(b"\xfd", T0 + 999)
    chip.write(b"\xfd", T0 + MS)


def test_faults(chip: SHT4x) -> None:
    first = ask(chip, "FD", T0)
    chip.switch("stuck")
    assert ask(chip, "FD", T0 + SECOND) == first
    chip.switch("stuck", False)
    chip.switch("wet")
    assert values(ask(chip, "FD", T0 + 2 * SECOND))[1] == 119
    chip.switch("late_answer")
    with pytest.raises(Nack, match="busy"):
        ask(chip, "FD", T0 + 3 * SECOND, 20 * 8300 - 1)
    assert len(chip.read(6, T0 + 4 * SECOND)) == 6
