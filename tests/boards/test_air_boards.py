"""What a board with particle sensors on serial lines or an NO2 cell can get wrong."""

from pathlib import Path

import pytest

import boards
from boards.model import Ads1115No2

TOML = (Path(__file__).parents[1] / "data" / "serial_air.toml").read_text()


def test_it_is_complete(load) -> None:
    board = load(TOML)
    compiled = boards.compile_board(board, simulated=True)
    assert compiled["sensors"][0]["params"]["warmup_ms"] == 12000  # type: ignore[index]
    assert isinstance(board.sensors[2], Ads1115No2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("baudrate = 9600", "baudrate = 115200", "buses.uart2.baudrate: sds011 talks at 9600 baud"),
        ("baudrate = 115200", "baudrate = 9600", "buses.uart1.baudrate: sps30_uart talks at 115200 baud"),
        ("freq = 100000", "freq = 1000000", "ads1115_no2 takes at most 400000 Hz"),
        ("settle_ms = 0", "we_input = 1, ae_input = 2", "params.ae_input: the chip cannot compare inputs 1 and 2"),
        (
            'driver = "bme280"\nbus = "i2c0"',
            'driver = "bme280"\nbus = "i2c0"\ninstance = 2',
            'say temperature = "fixed"',
        ),
        ("settle_ms = 0", "temperature_instance = 1", "no sensor of this board gives temperature:1"),
        ("settle_ms = 0", "address = 118", "params.address: "),
        ("settle_ms = 0", "sensitivity = 3", "params.sensitivity: unknown key"),
    ],
)
def test_mistakes_are_named(load, old: str, new: str, message: str) -> None:
    assert old in TOML
    with pytest.raises(boards.BoardError) as raised:
        load(TOML.replace(old, new, 1))
    assert message in "\n".join(raised.value.problems)


def test_a_fixed_temperature_needs_no_sensor(load) -> None:
    text = TOML.replace('[[sensors]]\ndriver = "bme280"\nbus = "i2c0"\n', "")
    text = text.replace('    { chip = "bme280", bus = "i2c0" },\n', "")
    with pytest.raises(boards.BoardError, match="gives temperature:0"):
        load(text)
    load(text.replace("settle_ms = 0", 'temperature = "fixed"'))


def test_a_fan_that_its_driver_keeps_clean_does_not_sleep(load) -> None:
    """Between two windows of a sleeping board a driver forgets when it last cleaned, and what the gas indices learned."""
    text = (Path(boards.__file__).parent / "air-v2" / "board.toml").read_text()
    assert load(text).power == "mains"
    with pytest.raises(boards.BoardError) as raised:
        load(text.replace('power = "mains"', 'power = "sleep"'))
    assert "power: a sen66 does not sleep" in "\n".join(raised.value.problems)
    load(text.replace('power = "mains"', 'power = "buffered"'))
