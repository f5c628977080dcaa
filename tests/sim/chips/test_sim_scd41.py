"""The simulated SCD41 alone, against the worked bytes of its fact sheet."""

from typing import Any

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.scd41 import SCD41
from tools.sim.chips.sensirion import checksum
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
START, STOP, READY, VALUES = (bytes.fromhex(command) for command in ("21B1", "3F86", "E4B8", "EC05"))
SELF_TEST, POWER_DOWN, WAKE = (bytes.fromhex(command) for command in ("3639", "36E0", "36F6"))


@pytest.fixture
def chip() -> SCD41:
    return SCD41(World(7, START_S), 1)


def ask(chip: SCD41, command: bytes, n: int, now_us: int, wait_us: int = MS) -> bytes:
    chip.write(command, now_us)
    return chip.read(n, now_us + wait_us)


def values(chip: SCD41, now_us: int) -> tuple[int, float, float]:
    """ppm, degrees Celsius, per cent: the fact sheet's formulas."""
    raw = ask(chip, VALUES, 9, now_us)
    assert all(checksum(raw[n : n + 2]) == raw[n + 2] for n in (0, 3, 6))
    co2, degc, percent = (raw[n] << 8 | raw[n + 1] for n in (0, 3, 6))
    return co2, -45 + 175 * degc / 65535, 100 * percent / 65535


def test_worked_reading(chip: SCD41) -> None:
    chip.fixed = (500, 0x6667, 0x5EB9)
    chip.write(START, T0)
    assert ask(chip, VALUES, 9, T0 + 5 * SECOND) == bytes.fromhex("01F433 6667A2 5EB93C")


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [("241D07E648", "offset_ticks", 0x07E6), ("E00003DB42", "pressure_hpa", 987), ("2427079E09", "altitude_m", 1950),
     ("2416000081", "self_calibration", 0), ("24160001B0", "self_calibration", 1)],
)  # fmt: skip
def test_worked_settings(chip: SCD41, data: str, name: str, value: int) -> None:
    chip.write(bytes.fromhex(data), T0)
    assert getattr(chip, name) == value


def test_each_reading_can_be_fetched_once(chip: SCD41) -> None:
    chip.write(START, T0)
    assert ask(chip, READY, 3, T0 + 4990 * MS) == bytes.fromhex("8000A2")
    with pytest.raises(Nack, match="no new reading"):
        chip.write(VALUES, T0 + 4995 * MS)
    assert ask(chip, READY, 3, T0 + 5 * SECOND) == bytes.fromhex("800604")
    first = values(chip, T0 + 5010 * MS)
    assert ask(chip, READY, 3, T0 + 5020 * MS) == bytes.fromhex("8000A2")
    with pytest.raises(Nack, match="no new reading"):
        chip.write(VALUES, T0 + 9900 * MS)
    assert values(chip, T0 + 10 * SECOND) != first


def test_values_follow_the_world(chip: SCD41) -> None:
    chip.write(START, T0)
    now = T0 + 600 * SECOND
    co2, degc, percent = values(chip, now)
    air, gases = chip.world.air(now / 1e6), chip.world.gases(now / 1e6)
    assert co2 == pytest.approx(gases.co2_ppm * air.pressure_hpa / 1013.25, abs=8)
    assert degc == pytest.approx(air.temperature_degc, abs=0.1)
    assert percent == pytest.approx(air.humidity_pct, abs=0.5)


def test_offset_and_pressure_matter(chip: SCD41) -> None:
    chip.write(bytes.fromhex("241D000081"), T0)
    chip.write(START, T0 + SECOND)
    now = T0 + 11 * SECOND
    uncorrected = values(chip, now)
    assert uncorrected[1] == pytest.approx(chip.world.air(now / 1e6).temperature_degc + 4.0, abs=0.1)
    word = round(chip.world.air(now / 1e6).pressure_hpa).to_bytes(2, "big")
    chip.write(bytes.fromhex("E000") + word + bytes((checksum(word),)), now + 10 * MS)
    assert values(chip, now + 5 * SECOND)[0] == pytest.approx(chip.world.gases(now / 1e6).co2_ppm, abs=8)


def test_low_power(chip: SCD41) -> None:
    chip.write(bytes.fromhex("21AC"), T0)
    assert ask(chip, READY, 3, T0 + 29 * SECOND)[1] == 0
    assert ask(chip, READY, 3, T0 + 30 * SECOND)[1] != 0


@pytest.mark.parametrize("data", ["21B1", "24160001B0", "2427079E09", "3682", "202F", "3639", "36E0"])
def test_what_a_measuring_chip_does_not_acknowledge(chip: SCD41, data: str) -> None:
    chip.write(START, T0)
    with pytest.raises(Nack, match="measuring"):
        chip.write(bytes.fromhex(data), T0 + SECOND)


@pytest.mark.parametrize(
    ("data", "why"),
    [("EC05", "idle"), ("3F86", "idle"), ("2416000181", "checksum"), ("24160001", "whole words"), ("1234", "unknown")],
)
def test_what_an_idle_chip_does_not_acknowledge(chip: SCD41, data: str, why: str) -> None:
    with pytest.raises(Nack, match=why):
        chip.write(bytes.fromhex(data), T0)


def test_stop_takes_half_a_second(chip: SCD41) -> None:
    chip.write(START, T0)
    chip.write(STOP, T0 + SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.write(START, T0 + 1499 * MS)
    chip.write(START, T0 + 1500 * MS)


def test_identity() -> None:
    chip = SCD41(World(7, START_S), 1, serial=0x123456789ABC)
    raw = ask(chip, bytes.fromhex("3682"), 9, T0)
    assert b"".join(raw[n : n + 2] for n in (0, 3, 6)) == bytes.fromhex("123456789ABC")
    assert ask(chip, bytes.fromhex("202F"), 3, T0 + SECOND)[0] >> 4 == 1
    older = SCD41(World(7, START_S), 1, knows_variant=False)
    with pytest.raises(Nack, match="unknown"):
        older.write(bytes.fromhex("202F"), T0)


def test_self_test(chip: SCD41) -> None:
    with pytest.raises(Nack, match="busy"):
        ask(chip, SELF_TEST, 3, T0, 9999 * MS)
    assert chip.read(3, T0 + 10 * SECOND) == bytes.fromhex("000081")
    chip.switch("broken_cell")
    assert ask(chip, SELF_TEST, 3, T0 + 11 * SECOND, 10 * SECOND)[1] != 0
    chip.write(START, T0 + 30 * SECOND)
    assert values(chip, T0 + 36 * SECOND)[0] == 0


def test_a_sleeping_chip_acknowledges_nothing_and_wakes(chip: SCD41) -> None:
    chip.write(POWER_DOWN, T0)
    with pytest.raises(Nack, match="asleep"):
        chip.write(START, T0 + SECOND)
    with pytest.raises(Nack, match="asleep"):
        chip.write(WAKE, T0 + 2 * SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.write(START, T0 + 2 * SECOND + 29 * MS)
    chip.write(START, T0 + 2 * SECOND + 30 * MS)


def test_power_up_takes_a_second(chip: SCD41) -> None:
    chip.power_off()
    chip.power_on(T0)
    with pytest.raises(Nack, match="busy"):
        chip.write(START, T0 + 999 * MS)
    chip.write(START, T0 + SECOND)


def test_faults(chip: SCD41) -> None:
    chip.write(START, T0)
    before = values(chip, T0 + 5 * SECOND)
    chip.switch("stuck")
    assert values(chip, T0 + 10 * SECOND) == before
    chip.switch("stuck", False)
    chip.switch("bad_crc")
    raw = ask(chip, VALUES, 9, T0 + 15 * SECOND)
    assert [checksum(raw[n : n + 2]) == raw[n + 2] for n in (0, 3, 6)].count(False) == 1
    chip.switch("bad_crc", False)
    chip.switch("byte_shift")
    assert ask(chip, READY, 3, T0 + 16 * SECOND) == bytes.fromhex("00A2FF")
    chip.switch("no_new_data")
    with pytest.raises(Nack, match="no new"):
        chip.write(VALUES, T0 + 60 * SECOND)


def test_late(chip: SCD41) -> None:
    late: Any = SCD41(World(7, START_S), 1, faults=("late_answer",))
    late.write(START, T0)
    with pytest.raises(Nack, match="busy"):
        late.write(READY, T0 + 19 * MS)
    assert [ask(late, READY, 3, T0 + n * 5 * SECOND, 20 * MS)[1] for n in range(1, 5)] == [0, 0, 0, 6]
