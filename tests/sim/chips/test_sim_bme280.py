"""The simulated BME280 alone, against the worked bytes of its fact sheet."""

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.bme280 import BME280, CALIBRATIONS, codes_for, fine_temperature, humidity_pct, pressure_pa
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
REGISTERS = {
    "A": (
        "706B43 6718FC 7D8E43 D6D00B 270B8C 00F9FF 8C3CF8 C67017 004B",
        "6A010013 2B031E",
    ),
    "B": (
        "456F6F 683200 828F75 D6D00B 441BFC FFF9FF AC260A D8BD10 004B",
        "72010013 21031E",
    ),
}
# calibration, data bytes F7..FE, degC, Pa, %RH
WORKED = [
    ("A", "655AC07EED0082CA", 25.08, 100653.26, 73.60),
    ("A", "655AC07EED006D60", 25.08, 100653.26, 43.145),
    ("A", "5CC60073F7809C40", 10.996, 104426.3, None),
    ("B", "50910083D6007530", 26.852, 103486.34, 59.189),
]
FORCED_X1 = b"\xf4\x25"
FORCED_X16 = b"\xf4\xb5"


@pytest.fixture
def chip() -> BME280:
    return BME280(World(7, START_S), 1)


def registers(chip: BME280, first: int, n: int, now_us: int) -> bytes:
    chip.write(bytes((first,)), now_us)
    return chip.read(n, now_us)


def codes(data: bytes) -> tuple[int, int, int]:
    pressure, temperature, humidity = data[:3], data[3:6], data[6:]
    return (
        int.from_bytes(temperature, "big") >> 4,
        int.from_bytes(pressure, "big") >> 4,
        int.from_bytes(humidity, "big"),
    )


@pytest.mark.parametrize("name", ["A", "B"])
def test_calibration_registers(name: str) -> None:
    chip = BME280(World(7, START_S), 1, calibration=name, address=0x77)
    assert chip.address == 0x77
    assert registers(chip, 0x88, 26, T0) == bytes.fromhex(REGISTERS[name][0])
    assert registers(chip, 0xE1, 7, T0) == bytes.fromhex(REGISTERS[name][1])


def test_negative_h4_and_h5_are_split_over_three_registers() -> None:
    low, high = CALIBRATIONS["A"]._replace(h4=-2, h5=-1234).registers()
    assert len(low) == 26
    assert int.from_bytes(high[3:4], "little", signed=True) << 4 | high[4] & 0x0F == -2
    assert int.from_bytes(high[5:6], "little", signed=True) << 4 | high[4] >> 4 == -1234


@pytest.mark.parametrize(("name", "data", "degc", "pascal", "rh"), WORKED)
def test_compensation_and_its_inverse(name: str, data: str, degc: float, pascal: float, rh: float | None) -> None:
    c = CALIBRATIONS[name]
    t_code, p_code, h_code = codes(bytes.fromhex(data))
    fine = fine_temperature(c, t_code)
    assert fine / 5120 == pytest.approx(degc, abs=0.01)
    assert pressure_pa(c, p_code, fine) == pytest.approx(pascal, abs=0.1)
    if rh is None:
        assert humidity_pct(c, h_code, fine) > 100
    else:
        assert humidity_pct(c, h_code, fine) == pytest.approx(rh, abs=0.02)
    back = codes_for(c, fine / 5120, pressure_pa(c, p_code, fine), humidity_pct(c, h_code, fine))
    assert back == (t_code, p_code, h_code)


@pytest.mark.parametrize(("name", "data"), [row[:2] for row in WORKED])
def test_worked_data_bytes_come_out_of_a_forced_conversion(name: str, data: str) -> None:
    chip = BME280(World(7, START_S), 1, calibration=name)
    chip.fixed = codes(bytes.fromhex(data))
    chip.write(b"\xf2\x05" + FORCED_X16, T0)  # pairs of register and value in one transfer
    assert registers(chip, 0xF7, 8, T0 + 200 * MS) == bytes.fromhex(data)


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_range_of_the_city_is_reached(name: str) -> None:
    c = CALIBRATIONS[name]
    for degc in (-20.0, 0.0, 15.5, 38.0):
        for pascal in (96000.0, 101325.0, 105000.0):
            for rh in (15.0, 50.0, 95.0):
                t_code, p_code, h_code = codes_for(c, degc, pascal, rh)
                fine = fine_temperature(c, t_code)
                assert fine / 5120 == pytest.approx(degc, abs=0.01)
                assert pressure_pa(c, p_code, fine) == pytest.approx(pascal, abs=0.5)
                assert humidity_pct(c, h_code, fine) == pytest.approx(rh, abs=0.02)


def test_forced_conversion_takes_its_time_and_ends_in_sleep(chip: BME280) -> None:
    chip.write(b"\xf2\x01", T0)
    chip.write(FORCED_X1, T0)
    assert registers(chip, 0xF3, 1, T0 + 9299) == b"\x08"
    assert registers(chip, 0xF4, 1, T0 + 9299) == b"\x25"
    assert registers(chip, 0xF7, 8, T0 + 9299) == bytes.fromhex("8000008000008000")  # nothing measured yet
    assert registers(chip, 0xF3, 1, T0 + 9300) == b"\x00"
    assert registers(chip, 0xF4, 1, T0 + 9300) == b"\x24"
    t_code, p_code, h_code = codes(registers(chip, 0xF7, 8, T0 + 9300))
    air = chip.world.air(START_S + 0.0093)
    fine = fine_temperature(chip.calibration, t_code)
    assert fine / 5120 == pytest.approx(air.temperature_degc, abs=0.05)
    assert pressure_pa(chip.calibration, p_code, fine) / 100 == pytest.approx(air.pressure_hpa, abs=0.2)
    assert humidity_pct(chip.calibration, h_code, fine) == pytest.approx(air.humidity_pct, abs=0.3)
    assert t_code & 0x0F == p_code & 0x0F == 0  # x1 resolves 16 bits


def test_longest_conversion(chip: BME280) -> None:
    chip.write(b"\xf2\x05" + FORCED_X16, T0)
    assert chip.conversion_us == pytest.approx(112_800, abs=10)


def test_stale_values_until_the_next_trigger(chip: BME280) -> None:
    chip.write(b"\xf2\x01" + FORCED_X1, T0)
    first = registers(chip, 0xF7, 8, T0 + 20 * MS)
    assert registers(chip, 0xF7, 8, T0 + 3600 * SECOND) == first
    chip.write(FORCED_X1, T0 + 3600 * SECOND)
    assert registers(chip, 0xF7, 8, T0 + 3600 * SECOND + 20 * MS) != first


def test_humidity_setting_waits_for_ctrl_meas(chip: BME280) -> None:
    chip.write(FORCED_X1, T0)
    assert registers(chip, 0xF7, 8, T0 + 20 * MS)[6:] == b"\x80\x00"
    chip.write(b"\xf2\x01", T0 + 30 * MS)
    assert registers(chip, 0xF2, 1, T0 + 30 * MS) == b"\x01"
    assert registers(chip, 0xF7, 8, T0 + 60 * MS)[6:] == b"\x80\x00"
    chip.write(FORCED_X1, T0 + 70 * MS)
    assert registers(chip, 0xF7, 8, T0 + 90 * MS)[6:] != b"\x80\x00"


def test_skipped_pressure_and_temperature(chip: BME280) -> None:
    chip.write(b"\xf2\x00\xf4\x21", T0)  # temperature alone
    data = registers(chip, 0xF7, 8, T0 + 50 * MS)
    assert data[:3] == b"\x80\x00\x00"
    assert data[3:6] != b"\x80\x00\x00"


def test_normal_mode_repeats_and_filters(chip: BME280) -> None:
    chip.write(b"\xf5\x1c\xf2\x01\xf4\x27", T0)  # 0.5 ms standby, filter 16, normal
    chip.fixed = (500_000, 400_000, 30_000)
    assert codes(registers(chip, 0xF7, 8, T0 + 500 * MS))[0] == 500_000
    chip.fixed = (516_000, 400_000, 30_000)
    after_one = codes(registers(chip, 0xF7, 8, T0 + 509 * MS + 800))[0]
    assert after_one == 501_000
    assert codes(registers(chip, 0xF7, 8, T0 + 60 * SECOND))[0] == pytest.approx(516_000, abs=300)
    chip.write(b"\xf5\x00", T0 + 61 * SECOND)
    assert registers(chip, 0xF5, 1, T0 + 61 * SECOND) == b"\x1c"  # lost in normal mode
    busy = [registers(chip, 0xF3, 1, T0 + 62 * SECOND + n * 100)[0] for n in range(98)]
    assert 85 < busy.count(0x08) < 98


def test_start_up_and_soft_reset(chip: BME280) -> None:
    chip.power_off()
    with pytest.raises(Nack, match="no supply"):
        chip.read(1, T0)
    chip.power_on(T0)
    with pytest.raises(Nack, match="starting up"):
        chip.write(b"\xd0", T0 + 1999)
    assert registers(chip, 0xD0, 1, T0 + 2000) == b"\x60"
    chip.write(b"\xf2\x01" + FORCED_X1, T0 + 3 * MS)
    chip.write(b"\xe0\xb6", T0 + 50 * MS)
    assert registers(chip, 0xF3, 1, T0 + 50 * MS) == b"\x01"
    assert registers(chip, 0x88, 26, T0 + 51 * MS) == bytes(26)  # not yet copied
    assert registers(chip, 0xF3, 1, T0 + 52 * MS) == b"\x00"
    assert registers(chip, 0x88, 26, T0 + 52 * MS) == bytes.fromhex(REGISTERS["A"][0])
    assert registers(chip, 0xF2, 4, T0 + 52 * MS) == bytes(4)


def test_faults(chip: BME280) -> None:
    chip.switch("wrong_chip_id")
    assert registers(chip, 0xD0, 1, T0) == b"\x58"
    chip.write(b"\xf2\x01" + FORCED_X1, T0)
    assert registers(chip, 0xF7, 8, T0 + 20 * MS)[6:] == b"\x80\x00"
    chip.switch("wrong_chip_id", False)
    chip.switch("blank_calibration")
    assert registers(chip, 0x88, 26, T0) == b"\xff" * 26
    assert registers(chip, 0xE1, 7, T0) == b"\xff" * 7
    chip.switch("blank_calibration", False)
    chip.switch("byte_shift")
    assert registers(chip, 0x88, 26, T0) == bytes.fromhex(REGISTERS["A"][0])[1:] + b"\xff"
    chip.switch("byte_shift", False)
    chip.switch("all_ff")
    assert registers(chip, 0xD0, 4, T0) == b"\xff" * 4
    chip.switch("silence")
    with pytest.raises(Nack, match="silence"):
        chip.read(1, T0)


def test_stuck_late_untriggered_and_wet(chip: BME280) -> None:
    chip.write(b"\xf2\x01" + FORCED_X1, T0)
    first = registers(chip, 0xF7, 8, T0 + 20 * MS)
    later = T0 + 3600 * SECOND
    chip.switch("stuck")
    chip.write(FORCED_X1, later)
    assert registers(chip, 0xF7, 8, later + 20 * MS) == first
    chip.switch("stuck", False)
    chip.switch("not_triggered")
    chip.write(FORCED_X1, later + 30 * MS)
    assert registers(chip, 0xF3, 1, later + 31 * MS) == b"\x00"
    assert registers(chip, 0xF7, 8, later + 60 * MS) == first
    chip.switch("not_triggered", False)
    chip.switch("late_answer")
    chip.write(FORCED_X1, later + 70 * MS)
    assert registers(chip, 0xF3, 1, later + 250 * MS) == b"\x08"
    assert registers(chip, 0xF3, 1, later + 257 * MS) == b"\x00"
    chip.switch("late_answer", False)
    chip.switch("wet")
    chip.write(FORCED_X1, later + 300 * MS)
    t_code, _, h_code = codes(registers(chip, 0xF7, 8, later + 320 * MS))
    fine = fine_temperature(chip.calibration, t_code)
    assert humidity_pct(chip.calibration, h_code, fine) == pytest.approx(100, abs=0.02)
