"""The simulated ADS1115 with its cell alone, against the worked bytes of its fact sheet."""

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.ads1115_no2 import ADS1115NO2, CELLS, between
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
WORLD = World(7, START_S)


def register(chip: ADS1115NO2, number: int, now_us: int) -> bytes:
    chip.write(bytes((number,)), now_us)
    return chip.read(2, now_us)


def converted(chip: ADS1115NO2, config: str, now_us: int, wait_us: int = 150 * MS) -> int:
    """Write a configuration that begins a conversion; its signed result."""
    chip.write(bytes.fromhex("01" + config), now_us)
    return int.from_bytes(register(chip, 0, now_us + wait_us), "big", signed=True)


def test_registers_after_power_up() -> None:
    chip = ADS1115NO2(WORLD, 1)
    assert [register(chip, number, T0).hex() for number in range(4)] == ["0000", "8583", "8000", "7fff"]
    assert chip.read(4, T0) == bytes.fromhex("7FFFFFFF"), "the bus floats high behind a register"
    with pytest.raises(Nack, match="not a register"):
        chip.write(b"\x04", T0)


@pytest.mark.parametrize(
    ("volts", "config", "code"),
    [(2.048, "C383", 0x4000), (-0.000125, "C383", -1), (-2.048, "C583", -0x8000), (2.621 / 16, "C583", 0x0A3D)],
)
def test_worked_codes(volts: float, config: str, code: int) -> None:
    chip = ADS1115NO2(WORLD, 1, faults=("stuck",))  # without noise
    chip.fixed = (volts, 0.0)
    assert converted(chip, config, T0) == code


def test_clips_at_the_end_of_its_range() -> None:
    chip = ADS1115NO2(WORLD, 1)
    chip.fixed = (3.0, 0.0)
    assert converted(chip, "C583", T0) == 0x7FFF


def test_a_conversion_takes_its_time_and_says_so() -> None:
    chip = ADS1115NO2(WORLD, 1)
    chip.write(bytes.fromhex("01C583"), T0)
    assert register(chip, 1, T0 + MS).hex() == "4583"
    assert register(chip, 1, T0 + 7 * MS).hex() == "4583", "128 a second, and ten percent"
    assert register(chip, 1, T0 + 9 * MS).hex() == "c583"
    chip.write(bytes.fromhex("01C503"), T0 + 10 * MS)
    assert register(chip, 1, T0 + 120 * MS).hex() == "4503", "8 a second"
    assert register(chip, 1, T0 + 150 * MS).hex() == "c503"
    chip.write(bytes.fromhex("014503"), T0 + 160 * MS)
    assert register(chip, 1, T0 + 161 * MS).hex() == "c503", "not begun without its bit"


def test_inputs_and_their_difference() -> None:
    chip = ADS1115NO2(WORLD, 1, faults=("stuck",))
    chip.fixed = (0.3, 0.25)
    assert converted(chip, "C503", T0) == 4800
    assert converted(chip, "D503", T0 + SECOND) == 4000
    assert converted(chip, "8503", T0 + 2 * SECOND) == 800
    chip.switch("open_we")
    single, difference = converted(chip, "C503", T0 + 3 * SECOND), converted(chip, "8503", T0 + 4 * SECOND)
    assert single - 4000 > 3 * difference, "the other input pulls it"
    chip.switch("open_ae")
    assert converted(chip, "8503", T0 + 5 * SECOND) == 0


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_gas_and_temperature_move_the_electrodes(cell: str) -> None:
    for degc, factor in CELLS[cell]:
        chip = ADS1115NO2(WORLD, 1, cell=cell, degc=float(degc))
        we_v, ae_v = chip.electrodes_v(T0)
        gas_mv = (we_v * 1000 - 225.0) - factor * (ae_v * 1000 - 228.0)
        assert gas_mv / 0.309 == pytest.approx(WORLD.no2_ppb(START_S), abs=6)
    assert between(CELLS["b43f"], 25.0) == pytest.approx(0.5)
    assert between(CELLS["b43f"], -40.0) == 1.3
    assert between(CELLS["b43f"], 60.0) == -1.5


def test_faults() -> None:
    chip = ADS1115NO2(WORLD, 1)
    first = converted(chip, "C503", T0)
    chip.switch("dead_converter")
    assert converted(chip, "D503", T0 + SECOND) == first
    chip.switch("dead_converter", False)
    chip.switch("not_started")
    chip.write(bytes.fromhex("01C503"), T0 + 2 * SECOND)
    assert register(chip, 1, T0 + 2 * SECOND).hex() == "c503"
    chip.switch("not_started", False)
    chip.switch("config_lost")
    chip.write(bytes.fromhex("01D503"), T0 + 3 * SECOND)
    assert register(chip, 1, T0 + 3 * SECOND).hex() == "c503"
    chip.switch("config_lost", False)
    chip.switch("late_answer")
    chip.write(bytes.fromhex("01C503"), T0 + 4 * SECOND)
    assert register(chip, 1, T0 + 6 * SECOND).hex() == "4503"
    chip.switch("late_answer", False)
    chip.switch("unpowered")
    assert abs(converted(chip, "C503", T0 + 9 * SECOND)) < 20
    chip.switch("unpowered", False)
    chip.switch("saturated")
    assert converted(chip, "C503", T0 + 10 * SECOND) == 0x7FFF
    chip.switch("wrong_chip")
    assert register(chip, 2, T0 + 11 * SECOND) == bytes(2)
    chip.switch("byte_shift")
    assert register(chip, 1, T0 + 11 * SECOND).hex() == "03ff"
    chip.switch("silence")
    with pytest.raises(Nack, match="silence"):
        chip.read(2, T0)
    chip.switch("silence", False)
    chip.power_off()
    with pytest.raises(Nack, match="no supply"):
        chip.read(2, T0)
