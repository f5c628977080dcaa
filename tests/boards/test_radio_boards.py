"""Boards with a radio: what compiles, and every contradiction between link, radio, pins and buses."""

import re

import pytest

import boards
from boards.radio import BridgeLink, LoraLink, Sx1262, Sx1276

NODE = """\
name = "radio-1"
title = "A node on the air, for tests"
mcu = "esp32s3"
image = "ESP32_GENERIC_S3"

[link]
kind = "lora"
antenna_gain_dbi = 3.0
cable_loss_db = 0.5

[buses.spi0]
kind = "spi"
id = 1
sck = 9
mosi = 10
miso = 11

[buses.i2c0]
kind = "i2c"
id = 0
scl = 42
sda = 41

[radio]
chip = "sx1262"
bus = "spi0"
nss = 8
reset = 12
busy = 13
irq = 14
tcxo_mv = 1800

[[sensors]]
driver = "bme280"
bus = "i2c0"

[[profiles]]
items = ["temperature"]

[simulation]
chips = [{ chip = "bme280", bus = "i2c0" }]
"""
SENSORS = NODE[NODE.index("[[sensors]]") : NODE.index("[simulation]")]


def test_compiled(load) -> None:
    board = load(NODE)
    assert isinstance(board.link, LoraLink)
    assert isinstance(board.radio, Sx1262)
    compiled = boards.compile_board(board)
    assert compiled["link"] == {"kind": "lora", "region": "EU868", "public": 0, "gain_cdbi": 250}
    assert compiled["buses"]["spi0"] == {  # type: ignore[index]
        "kind": "spi", "id": 1, "sck": 9, "mosi": 10, "miso": 11, "freq": 4_000_000,
    }  # fmt: skip
    assert compiled["radio"] == {
        "chip": "sx1262", "bus": "spi0", "nss": 8, "reset": 12, "busy": 13, "irq": 14, "dio2_switch": 1, "tcxo_mv": 1800,
        "tcxo_ms": 5, "dcdc": 1,
    }  # fmt: skip
    assert "pmu" not in compiled


def test_a_bridge_measures_nothing(load) -> None:
    text = NODE.replace('kind = "lora"', 'kind = "bridge"')
    board = load(text.replace(SENSORS, "").replace('[{ chip = "bme280", bus = "i2c0" }]', "[]"))
    assert isinstance(board.link, BridgeLink)
    assert boards.compile_board(board)["sensors"] == []
    with pytest.raises(boards.BoardError, match="sensors: a bridge measures nothing"):
        load(text)


def test_an_older_chip_and_a_power_chip(load) -> None:
    older = 'chip = "sx1276"\nbus = "spi0"\nnss = 8\nreset = 12\nirq = 14\npa = "boost"\n'
    older += '[pmu]\nbus = "i2c0"\naxp192_on = ["ldo2"]\naxp2101_on = ["aldo2"]\n'
    at, end = NODE.index('chip = "sx1262"'), NODE.index("[[sensors]]")
    board = load(NODE[:at] + older + NODE[end:])
    assert isinstance(board.radio, Sx1276)
    compiled = boards.compile_board(board)
    assert compiled["pmu"] == {"bus": "i2c0", "axp192_on": ["ldo2"], "axp2101_on": ["aldo2"]}
    assert compiled["radio"]["pa"] == "boost"  # type: ignore[index]


@pytest.mark.parametrize(("pa", "most_dbi"), [("boost", 14.1), ("rfo", 16.1)])
def test_an_antenna_by_which_the_least_power_of_an_older_chip_is_too_much_is_refused(
    load, pa: str, most_dbi: float
) -> None:
    """14 dBm e.r.p. are 16.15 dBm e.i.r.p., and PA_BOOST gives 2 dBm at least, RFO 0 dBm."""
    at, end = NODE.index('chip = "sx1262"'), NODE.index("[[sensors]]")
    text = f'{NODE[:at]}chip = "sx1276"\nbus = "spi0"\nnss = 8\nreset = 12\nirq = 14\npa = "{pa}"\n{NODE[end:]}'
    gain = "antenna_gain_dbi = 3.0\ncable_loss_db = 0.5"
    load(text.replace(gain, f"antenna_gain_dbi = {most_dbi}\ncable_loss_db = 0.0"))
    with pytest.raises(boards.BoardError, match=r"toml:8: link\.antenna_gain_dbi: with .* more than the law allows"):
        load(text.replace(gain, f"antenna_gain_dbi = {most_dbi + 0.5}\ncable_loss_db = 0.0"))
    load(text.replace(gain, f"antenna_gain_dbi = {most_dbi + 0.5}\ncable_loss_db = 0.5"))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('kind = "lora"', 'kind = "lorawan"', 7, "link.kind: 'lorawan' is not known; it is one of serial, lora, bridge"),
        ('kind = "lora"', 'kind = "lora"\nregion = "US915"', 8, "link.region: invalid enum value 'US915'"),
        ("antenna_gain_dbi = 3.0", "antenna_gain_dbi = 30.0", 8, "link.antenna_gain_dbi: expected `float` <= 20.0"),
        ('kind = "lora"\nantenna_gain_dbi = 3.0\ncable_loss_db = 0.5', 'kind = "serial"', 22, 'radio: no link uses the radio: say kind = "lora"'),
        (NODE[NODE.index("[radio]") : NODE.index("[[sensors]]")], "", 7, "link.kind: lora needs a radio: [radio] says"),
        (SENSORS, "", 1, "(file): [[sensors]] is missing: only a bridge has none"),
        ('kind = "lora"', 'kind = "bridge"', 33, "sensors: a bridge measures nothing"),
        ('chip = "sx1262"', 'chip = "sx1301"', 25, "radio.chip: 'sx1301' is not known; it is one of sx1262, sx1276"),
        ('bus = "spi0"\nnss', 'bus = "spi1"\nnss', 26, "radio.bus: there is no bus 'spi1'; there are spi0, i2c0"),
        ('bus = "spi0"\nnss', 'bus = "i2c0"\nnss', 26, "radio.bus: a radio needs a bus of kind spi"),
        ("busy = 13\n", "", 24, "radio: 'busy' is missing"),
        ("busy = 13", "busy = 11", 29, "radio.busy: GPIO 11 is taken by buses.spi0.miso"),
        ("nss = 8", "nss = 45", 27, "radio.nss: GPIO 45 decides at power-up (flash voltage)"),
        ("nss = 8", "nss = 24", 27, "radio.nss: GPIO 24 does not exist on an esp32s3"),
        ("irq = 14", "irq = 19", 30, "radio.irq: GPIO 19 is taken by USB: console and link"),
        ("irq = 14", "irq = 14\nrxen = 41", 31, "radio.rxen: GPIO 41 is taken by buses.i2c0.sda"),
        ("tcxo_mv = 1800", "tcxo_mv = 1850", 31, "radio.tcxo_mv: invalid enum value 1850"),
        ("tcxo_mv = 1800", 'pa = "boost"', 31, "radio.pa: unknown key; known are bus, nss, reset, busy, irq, rxen, dio2_switch"),
        ("id = 1", "id = 0", 13, "buses.spi0.id: expected `int` >= 1"),
        ("id = 1", "id = 1\nfreq = 20000000", 14, "buses.spi0.freq: expected `int` <= 8000000"),
        ("[radio]", '[buses.spi1]\nkind = "spi"\nid = 2\nsck = 1\nmosi = 2\nmiso = 4\n[radio]', 24, "buses.spi1: an SPI bus is for a radio"),
        ("[radio]", '[pmu]\nbus = "spi0"\n[radio]', 25, "pmu.bus: a power chip needs a bus of kind i2c"),
        ("[radio]", '[pmu]\nbus = "i2c0"\naxp192_on = ["dcdc3"]\n[radio]', 26, "pmu.axp192_on[0]: invalid enum value 'dcdc3'"),
        ('driver = "bme280"\nbus = "i2c0"', 'driver = "bme280"\nbus = "spi0"', 35, "sensors[0].bus: bme280 needs a bus of kind i2c"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_line_and_key(first_problem, old: str, new: str, line: int, message: str) -> None:
    assert old in NODE
    problem = first_problem(NODE.replace(old, new, 1))
    assert re.match(rf".*board\.toml:{line}: ", problem), problem
    assert message in problem


def test_a_bridge_never_sleeps(load) -> None:
    text = NODE.replace(SENSORS, "").replace('kind = "lora"', 'kind = "bridge"')
    with pytest.raises(boards.BoardError, match="power: a bridge listens all the time"):
        load(text.replace('[{ chip = "bme280", bus = "i2c0" }]', "[]").replace("[link]", 'power = "sleep"\n[link]'))
