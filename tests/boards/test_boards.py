"""The boards that come with Steiger, and every mistake that a board.toml can hold."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import boards
from boards.model import BUS_OF, CHANNELS_OF, THIRD_OCTAVES, Bme280, channels_of
from boards.params import I2sMicParams
from boards.toml_lines import find_line
from firmware import drivers
from tests.boards.renew_board_schema import FILE, text
from tools.sim import chips
from wire import channels

GOOD = """\
name = "test-1"
title = "A board for tests"
mcu = "esp32"
image = "ESP32_GENERIC"

[link]
kind = "serial"

[buses.i2c0]
kind = "i2c"
id = 0
scl = 22
sda = 21

[buses.uart2]
kind = "uart"
id = 2
tx = 17
rx = 16

[[sensors]]
driver = "bme280"
bus = "i2c0"

[[sensors]]
driver = "ld2451"
bus = "uart2"
params = { flip = true }

[[profiles]]
items = ["temperature", "vehicles:0"]

[simulation]
chips = [
    { chip = "bme280", bus = "i2c0" },
    { chip = "ld2451", bus = "uart2", params = { idle_frames = false } },
]

[simulation.params.ld2451]
dead_ms = 5000
"""


def test_names() -> None:
    assert {"air-v1", "noise-v1", "noise-v2", "traffic-v1", "street-v1", "bme280-v1"} <= set(boards.board_names())


@pytest.mark.parametrize("name", boards.board_names())
def test_every_board_is_complete(name: str) -> None:
    board = boards.load_board(name)
    folder = Path(boards.__file__).parent / name
    assert board.name == name
    readme = (folder / "README.md").read_text()
    for bus in board.buses.values():
        for role in ("scl", "sda", "tx", "rx", "sck", "ws", "sd"):
            if hasattr(bus, role):
                assert re.search(rf"\bGPIO {getattr(bus, role)}\b", readme), f"{role} is not in the wiring table"
    assert board.image in readme
    for simulated in (False, True):
        compiled = boards.compile_board(board, simulated)
        assert json.loads(json.dumps(compiled)) == compiled
        assert compiled["board"] == name
        assert len(json.dumps(compiled)) < 2048, "it is parsed whole on the board"
    for chip in boards.simulated_chips(board):
        assert chips.chip_class(chip.chip)


@pytest.mark.parametrize("name", boards.board_names())
def test_the_firmware_takes_every_board(name: str) -> None:
    """Drivers are made from board.json as the sampler makes them, and give what the profiles name."""
    for simulated in (False, True):
        compiled = boards.compile_board(boards.load_board(name), simulated)
        given = set()
        for sensor in compiled["sensors"]:  # type: ignore[attr-defined]
            driver = drivers.load(sensor["driver"])(None, Ticks(), instance=sensor["instance"], **sensor["params"])
            given |= {(channels.id_of(name), driver.instance) for name in names_of(driver)}
            assert set(driver.items) <= given
        for profile in compiled["profiles"]:  # type: ignore[attr-defined]
            for item in profile["items"]:
                base, _, instance = item.partition(":")
                channel = channels.by_name(base)
                made_of = channel.partner if channel.kind == channels.TOTAL else channel.id
                assert (made_of, int(instance or 0)) in given


def names_of(driver: Any) -> tuple[str, ...]:
    """The channels that a driver gives: named, or as groups of the table's rows."""
    if hasattr(driver, "CHANNELS"):
        return tuple(driver.CHANNELS)
    firsts = [(channels.id_of(name), count) for name, count in driver.GROUPS]
    return tuple(channels.by_id(first + number).name for first, count in firsts for number in range(count))


class Ticks:
    """A clock that only exists."""

    def ticks_ms(self) -> int:
        return 0

    def ticks_diff(self, a: int, b: int) -> int:
        return a - b


def test_third_octaves_are_an_option(load) -> None:
    """Only a microphone that is told to gives the bands, and whoever asks for one learns how."""
    text = (Path(boards.__file__).parent / "noise-v1" / "board.toml").read_text()
    wanted = text.replace(
        "window_setting = 0", 'window_setting = 0\n\n[[profiles]]\nitems = ["lzeq_25"]\nwindow_setting = 1'
    )
    with pytest.raises(boards.BoardError, match=r"gives lzeq_25 .* third_octaves = true"):
        load(wanted)
    board = load(wanted.replace('bus = "i2s0"\n', 'bus = "i2s0"\nparams = { third_octaves = true }\n', 1))
    assert len(THIRD_OCTAVES) == 29
    (sensor,) = boards.compile_board(board)["sensors"]  # type: ignore[misc,attr-defined]
    driver = drivers.load("i2s_mic")(None, Ticks(), **sensor["params"])
    assert driver.items == tuple((channels.id_of(name), 0) for name in channels_of(board.sensors[0]))
    assert channels_of(board.sensors[0]) == CHANNELS_OF["i2s_mic"] + THIRD_OCTAVES


@pytest.mark.parametrize("name", sorted(CHANNELS_OF))
def test_tables_agree_with_the_drivers(name: str) -> None:
    driver = drivers.load(name)
    assert CHANNELS_OF[name] == names_of(driver)
    kinds = {kind.__struct_config__.tag: kind for kind in boards.model.AnySensor.__args__}
    params = kinds[name].__struct_fields__
    assert "params" in params
    defaults = {field.name: field.default for field in _fields(kinds[name])}
    signature = inspect.signature(driver)
    taken = {
        parameter: value.default
        for parameter, value in signature.parameters.items()
        if parameter not in ("bus", "clock", "instance")
    }
    assert defaults == taken
    assert (
        set(CHANNELS_OF) == set(drivers.DRIVERS) - {"fake", "slow"} == set(BUS_OF) == set(kinds)
    )  # other tests add these


def _fields(kind: type) -> tuple:
    import msgspec

    (params,) = [field.default for field in msgspec.structs.fields(kind) if field.name == "params"]
    return msgspec.structs.fields(type(params))


@pytest.mark.parametrize("name", ["dnms"])
def test_third_octave_bands_come_when_they_are_asked_for(load, name: str) -> None:
    text = GOOD.replace('driver = "bme280"\n', f'driver = "{name}"\nparams = {{ third_octaves = true }}\n')
    text = text.replace('"temperature"', '"laeq", "lzeq_25", "lzeq_16000"').replace(
        'chip = "bme280"', f'chip = "{name}"'
    )
    board = load(text)
    assert board.sensors[0].params.third_octaves
    driver = drivers.load(name)(None, Ticks(), third_octaves=1)
    assert driver.items == tuple((channels.by_name(given).id, 0) for given in channels_of(board.sensors[0]))
    assert len(drivers.load(name)(None, Ticks()).items) == len(driver.items) - 29
    with pytest.raises(boards.BoardError, match="no sensor of this board gives lzeq_25 with instance 0"):
        load(text.replace("third_octaves = true", "third_octaves = false"))


def test_schema_is_what_the_types_say() -> None:
    assert FILE.read_text() == text(), "types have changed: run tests/boards/renew_board_schema.py"


@pytest.mark.parametrize(
    ("image", "pin", "message"),
    [
        ("ESP32_GENERIC_S3", 1, ""),
        ("ESP32_GENERIC_S3", 42, ""),
        ("ESP32_GENERIC_S3", 35, ""),
        ("ESP32_GENERIC_S3-SPIRAM_OCT", 35, "GPIO 35 is taken by the module's PSRAM"),
        ("ESP32_GENERIC_S3-SPIRAM_OCT", 38, ""),
        ("ESP32_GENERIC_S3", 19, "GPIO 19 is taken by USB: console and link"),
        ("ESP32_GENERIC_S3", 44, "GPIO 44 is taken by UART 0: console and link"),
        ("ESP32_GENERIC_S3", 22, "GPIO 22 does not exist on an esp32s3 or belongs to its flash"),
        ("ESP32_GENERIC_S3", 29, "GPIO 29 does not exist on an esp32s3 or belongs to its flash"),
        ("ESP32_GENERIC_S3", 45, "GPIO 45 decides at power-up (flash voltage)"),
        ("ESP32_GENERIC_S3", 3, "GPIO 3 decides at power-up (JTAG source)"),
        ("ESP32_GENERIC", 1, "ESP32_GENERIC is not for an esp32s3, which takes ESP32_GENERIC_S3"),
        ("ESP32_GENERIC-SPIRAM", 1, "ESP32_GENERIC-SPIRAM is not for an esp32s3"),
        ("LILYGO_T3_S3", 1, ""),
    ],
)
def test_pins_of_an_esp32s3(load, image: str, pin: int, message: str) -> None:
    text = GOOD.replace('mcu = "esp32"', 'mcu = "esp32s3"').replace('"ESP32_GENERIC"', f'"{image}"')
    text = text.replace("scl = 22", f"scl = {pin}").replace("sda = 21", "sda = 8")
    if not message:
        assert load(text).mcu == "esp32s3"
        return
    with pytest.raises(boards.BoardError) as raised:
        load(text)
    (problem,) = raised.value.problems
    assert message in problem


def test_compiled(load) -> None:
    board = load(GOOD)
    compiled = boards.compile_board(board)
    assert compiled == {
        "board": "test-1",
        "name": "A board for tests",
        "mcu": "esp32",
        "power": "mains",
        "link": {"kind": "serial", "baudrate": 115200},
        "buses": {
            "i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21, "freq": 100000},
            "uart2": {"kind": "uart", "id": 2, "tx": 17, "rx": 16, "baudrate": 115200, "rxbuf": 1024},
        },
        "sensors": [
            {"driver": "bme280", "bus": "i2c0", "instance": 0, "params": {"address": 118, "stuck_reads": 120}},
            {
                "driver": "ld2451",
                "bus": "uart2",
                "instance": 0,
                "params": {
                    "max_distance_m": 100,
                    "min_speed_kmh": 5,
                    "snr_threshold": 0,
                    "flip": 1,
                    "dead_ms": 60000,
                },
            },
        ],
        "profiles": [{"items": ["temperature", "vehicles:0"], "window_setting": 0}],
    }
    twin = boards.compile_board(board, simulated=True)
    assert twin["sensors"][1]["params"]["dead_ms"] == 5000  # type: ignore[index]
    assert twin["sensors"][1]["params"]["flip"] == 1  # type: ignore[index]
    assert boards.simulated_chips(board)[1].params == {"idle_frames": False}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('name = "test-1"', "", 1, "'name' is missing"),
        ('name = "test-1"', 'name = "Test 1"', 1, "name: "),
        ('title = "A board for tests"', "title = 3", 2, "title: expected `str`, got `int`"),
        ('mcu = "esp32"', 'mcu = "esp32"\nwifi_password = "x"', 4, "wifi_password: a secret has no place"),
        ('mcu = "esp32"', 'mcu = "esp32"\ncolour = "x"', 4, "colour: unknown key; known are name, title"),
        ('mcu = "esp32"', 'mcu = "esp8266"', 3, "mcu: invalid enum value 'esp8266'"),
        ("scl = 22", "scl = 22\nspeed = 1", 13, "buses.i2c0.speed: unknown key; known are id, scl, sda, freq"),
        ("scl = 22", 'scl = "22"', 12, "buses.i2c0.scl: expected `int`, got `str`"),
        ("scl = 22", "scl = 6", 12, "buses.i2c0.scl: GPIO 6 does not exist on an esp32 or belongs to its flash"),
        ("scl = 22", "scl = 34", 12, "buses.i2c0.scl: GPIO 34 is input only"),
        ("scl = 22", "scl = 12", 12, "buses.i2c0.scl: GPIO 12 decides at power-up (flash voltage)"),
        ('image = "ESP32_GENERIC"', 'image = "ESP32_GENERIC_S3"', 4, "image: ESP32_GENERIC_S3 is not for an esp32, which takes ESP32_GENERIC"),
        ('image = "ESP32_GENERIC"', 'image = "ESP32_GENERIC-SPIRAM"', 18, "buses.uart2.tx: GPIO 17 is taken by the module's PSRAM"),
        ("scl = 22", "scl = 3", 12, "buses.i2c0.scl: GPIO 3 is taken by UART 0"),
        ("sda = 21", "sda = 22", 13, "buses.i2c0.sda: GPIO 22 is taken by buses.i2c0.scl"),
        ("sda = 21", "", 9, "buses.i2c0: 'sda' is missing"),
        ("sda = 21", "sda = 21\nfreq = 2000000", 14, "buses.i2c0.freq: expected `int` <= 1000000"),
        ('kind = "i2c"', 'kind = "can"', 10, "buses.i2c0.kind: 'can' is not known; it is one of i2c, uart, i2s, spi"),
        ('kind = "i2c"\n', "", 9, "buses.i2c0: 'kind' is missing"),
        ('driver = "bme280"', 'driver = "bme680"', 22, "sensors[0].driver: 'bme680' is not known; it is one of sps30, bme280"),
        ('driver = "bme280"\nbus = "i2c0"', 'driver = "bme280"\nbus = "i2c1"', 23, "sensors[0].bus: there is no bus 'i2c1'"),
        ('driver = "bme280"\nbus = "i2c0"', 'driver = "bme280"\nbus = "uart2"', 23, "sensors[0].bus: bme280 needs a bus of kind i2c"),
        ("flip = true", "flip = true, angle = 3", 28, "sensors[1].params.angle: unknown key; known are max_distance_m"),
        ("flip = true", "dead_ms = 1", 28, "sensors[1].params.dead_ms: expected `int` >= 2000"),
        ("[[profiles]]", '[[sensors]]\ndriver = "bme280"\nbus = "i2c0"\n[[profiles]]', 30, "sensors[2]: address 0x76 on i2c0 is already sensors[0]"),
        (
            "[[profiles]]",
            '[[sensors]]\ndriver = "bme280"\nbus = "i2c0"\nparams = {address = 119}\n[[profiles]]',
            30,
            "sensors[2].instance: temperature of instance 0 already comes from sensors[0]",
        ),
        (
            "[[profiles]]",
            '[[sensors]]\ndriver = "ld2451"\nbus = "uart2"\ninstance = 1\n[[profiles]]',
            32,
            "sensors[2].bus: uart2 already belongs to sensors[1]",
        ),
        ('"temperature", ', '"temprature", ', 31, "profiles[0].items: 'temprature' is no channel"),
        ('"temperature", ', '"temperature:1", ', 31, "profiles[0].items: no sensor of this board gives temperature with instance 1"),
        ('"temperature", ', '"temperature", "temperature:0", ', 31, "profiles[0].items: temperature:0 stands twice"),
        ('"temperature", "vehicles:0"', "", 31, "profiles[0].items: "),
        ('"vehicles:0"', '"speed_mean", "speed_v85_depart"', 31, "profiles[0].items: speed_v85_depart beside what is reported already"),
        ("[simulation]", '[[profiles]]\nitems = ["humidity"]\n[simulation]', 33, "profiles[1].window_setting: another profile has the same"),
        ('"bme280", bus = "i2c0" }', '"bme280", bus = "i2c7" }', 35, "simulation.chips[0].bus: there is no bus 'i2c7'"),
        ('    { chip = "bme280", bus = "i2c0" },\n', "", 34, "simulation.chips: no simulated chip on i2c0"),
        ("[simulation.params.ld2451]\ndead_ms = 5000", "[simulation.params.sps30]", 39, "simulation.params.sps30: this board has no sps30"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_line_and_key(first_problem, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    problem = first_problem(GOOD.replace(old, new, 1))
    assert re.match(rf".*board\.toml:{line}: ", problem), problem
    assert message in problem


def test_all_mistakes_at_once(load) -> None:
    with pytest.raises(boards.BoardError) as raised:
        load(
            GOOD.replace("scl = 22", "scl = true")
            .replace('driver = "bme280"', 'driver = "x"')
            .replace('"serial"', '"smoke"')
        )
    assert [problem.split(":")[1] for problem in raised.value.problems] == ["7", "12", "22"]


def test_a_slow_chip_and_a_fast_bus(load) -> None:
    text = (Path(boards.__file__).parent / "air-v1" / "board.toml").read_text()
    with pytest.raises(boards.BoardError, match="sps30 takes at most 100000 Hz"):
        load(text.replace("freq = 100000", "freq = 400000"))


def test_two_chips_with_two_instances(load) -> None:
    board = load(
        GOOD.replace(
            "[[profiles]]",
            '[[sensors]]\ndriver = "bme280"\nbus = "i2c0"\ninstance = 1\nparams = { address = 0x77 }\n[[profiles]]',
        ).replace('"temperature", ', '"temperature", "temperature:1", ')
    )
    assert isinstance(board.sensors[2], Bme280)
    assert board.sensors[2].params.address == 119


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'name = "x"\nname = "y"\n\nmcu = 1\n', "board.toml:2: no valid TOML"),
        (b"name = ", "no valid TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * 70000, "is no board.toml (larger than 64 KiB)"),
    ],
)
def test_no_toml(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "board.toml").write_bytes(content)
    with pytest.raises(boards.BoardError) as raised:
        boards.load_board(tmp_path)
    assert message in str(raised.value)


def test_unknown_board() -> None:
    with pytest.raises(boards.BoardError, match=r"no such board; known are air-v1, .*traffic-v1"):
        boards.load_board("air-v9")


@pytest.mark.parametrize("driver", ["ld2451", "ops243a", "tfluna"])
def test_totals_come_with_their_counts(load, driver: str) -> None:
    """A sensor that counts gives the totals of what it counts, with its instance, and no others."""
    counts = {"vehicles", "vehicles_approach", "vehicles_depart"} & set(CHANNELS_OF[driver])
    assert counts
    text = GOOD.replace('"ld2451"\nbus = "uart2"\nparams = { flip = true }', f'"{driver}"\nbus = "uart2"\ninstance = 1')
    text = text[: text.index("[simulation]")]
    for direction in ("", "_approach", "_depart"):
        wanted = text.replace('"vehicles:0"', f'"vehicles_total{direction}:1"')
        if f"vehicles{direction}" in counts:
            assert load(wanted).profiles[0].items[1] == f"vehicles_total{direction}:1"
            wanted, other = wanted.replace(":1", ""), 0
        else:
            other = 1
        with pytest.raises(boards.BoardError, match=f"gives vehicles_total{direction} with instance {other}"):
            load(wanted)


def test_a_total_stands_in_one_profile_of_a_board_that_is_awake(load) -> None:
    """Other directions, and the count itself, may stand in others; a board that is only buffered keeps its RAM."""
    text = GOOD.replace('"vehicles:0"', '"vehicles_total"')
    more = "[[profiles]]\nitems = {}\nwindow_setting = 1\n[simulation]"
    load(text.replace("[simulation]", more.format('["vehicles", "vehicles_total_approach"]')))
    load(text.replace('mcu = "esp32"', 'mcu = "esp32"\npower = "buffered"'))
    with pytest.raises(boards.BoardError) as raised:
        load(text.replace("[simulation]", more.format('["vehicles_total_depart", "vehicles_total:0"]')))
    (problem,) = raised.value.problems
    assert ":34: profiles[1].items: vehicles_total:0 already stands in profiles[0]: each profile would" in problem
    with pytest.raises(boards.BoardError) as raised:
        load(text.replace('mcu = "esp32"', 'mcu = "esp32"\npower = "sleep"'))
    (problem,) = raised.value.problems
    assert ":32: profiles[0].items: a board that sleeps cannot carry vehicles_total: its RAM" in problem


def test_a_beam_gives_what_its_place_allows(load) -> None:
    text = (Path(boards.__file__).parents[1] / "tests" / "data" / "lane.toml").read_text()
    assert "vehicles_high:1" in text
    load(text)
    with pytest.raises(boards.BoardError, match="no sensor of this board gives vehicles_low with instance 1"):
        load(text.replace("learn_s = 3", 'mount = "side", learn_s = 3'))
    with pytest.raises(boards.BoardError, match="no sensor of this board gives occupancy_approach with instance 1"):
        load(text.replace("learn_s = 3", 'lane = "depart", learn_s = 3'))


def test_hardware_only(load) -> None:
    board = load(GOOD[: GOOD.index("[simulation]")])
    assert boards.compile_board(board, simulated=True) == boards.compile_board(board)
    with pytest.raises(boards.BoardError, match="hardware only"):
        boards.simulated_chips(board)


def test_every_parameter_has_bounds() -> None:
    """A number without limits in a board file would end up in a driver."""
    properties = json.loads(FILE.read_text())["$defs"]
    for name, definition in properties.items():
        for key, schema in definition.get("properties", {}).items():
            if schema.get("type") == "integer":
                assert {"minimum", "maximum"} <= set(schema), f"{name}.{key}"
    assert I2sMicParams().offset_cdb == 0


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("t", "b"), 3),
        (("t", "u", "c"), 5),
        (("list", 0, "d"), 7),
        (("list", 1, "d"), 9),
        (("list", 1, "e", "f"), 10),
        (("list", 1, "g", "h"), 12),
        (("list", 1, "missing"), 8),
        (("list", 1, "g", "k", 1, "m"), 15),
        (("list", 1, "g", "k", 2, "m"), 13),
        (("list", 1, "g", "n", 1, "o"), 17),
        (("nowhere",), 1),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    toml = "a = 1\n[t]\nb = 2\n[t.u]\nc = 3\n[[list]]\nd = 4\n[[list]]\nd = 5\ne = { f = 6 }\n[list.g]\nh = 7\n"
    toml += "k = [\n{ l = 1 },\n  { m = 2, n = { x = 1 } },\n]\nn = [{ o = 1 }, { o = 2 }]\n"
    assert find_line(toml, path) == line


def test_docs_have_a_row_for_each_board_and_driver() -> None:
    docs = (Path(boards.__file__).parents[1] / "docs" / "boards.md").read_text()
    for name in boards.board_names():
        assert f"| [`{name}`](../boards/{name}/README.md) |" in docs
    for driver, given in CHANNELS_OF.items():
        (row,) = re.findall(rf"^\| `{driver}` \|.*$", docs, re.MULTILINE)
        for channel in given:
            if "kmh_" in channel and "_0_5kmh" not in channel and "_75_300kmh" not in channel:
                continue  # between the two
            assert f"`{channel}`" in row


THREADS = """
import sys, threading
from boards import load_board
inside, most, entered, another = set(), 0, 0, threading.Event()

def look(frame, event, argument):
    global most, entered
    if event != "call" or frame.f_code.co_name != "get_class_annotations":
        return None
    inside.add(threading.get_ident())
    most = max(most, len(inside))
    entered += 1
    if most > 1:
        another.set()
    elif entered == 1:
        another.wait(1)  # a deadline: nobody else comes in, if all is well

    def left(frame, event, argument):
        if event == "return":
            inside.discard(threading.get_ident())
        return left

    return left

threading.settrace(look)
threads = [threading.Thread(target=load_board, args=(name,)) for name in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(most)
"""


def test_three_threads_that_load_a_first_board_do_not_learn_its_types_together() -> None:
    """As the demo does it, which gives its boards their firmware at the same time: msgspec falls over that."""
    names = ["air-v1", "noise-v1", "traffic-v1"]
    done = subprocess.run(
        [sys.executable, "-c", THREADS, *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
