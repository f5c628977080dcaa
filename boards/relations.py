"""What types alone cannot say about a board: pins that exist and are free, buses that fit, channels somebody gives."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from boards.buses import I2c, Spi, Table, Uart
from boards.model import (
    ADDRESS_OF,
    BAUDRATE_OF,
    BUS_OF,
    MAX_FREQ_OF,
    THIRD_OCTAVES,
    Ads1115No2,
    AnySensor,
    Board,
    Sen5x,
    Sen66,
    TFLuna,
    channels_of,
)
from boards.radio import LoraLink, Sx1276
from boards.toml_lines import Path as KeyPath
from wire import channels, privacy
from wire.regions import UPLINKS_HZ, power_limit_dbm

# Per chip: what is bonded out and usable, pins without an output driver, pins that are taken, straps that a bus with
# pull-ups would set wrongly at boot.
PINS = {
    "esp32": (
        {*range(6), *range(12, 20), 21, 22, 23, 25, 26, 27, *range(32, 40)},
        {34, 35, 36, 37, 38, 39},
        {1: "UART 0: console and link", 3: "UART 0: console and link"},
        {0: "boot mode", 2: "boot mode", 12: "flash voltage"},
    ),
    "esp32s3": (
        {*range(22), *range(33, 49)},
        set[int](),
        {
            19: "USB: console and link",
            20: "USB: console and link",
            43: "UART 0: console and link",
            44: "UART 0: console and link",
        },
        {0: "boot mode", 3: "JTAG source", 45: "flash voltage", 46: "boot mode"},
    ),
}
# Read by chips with an unusual fuse alone; makers of boards put radios there.
HARMLESS_STRAPS = {"esp32": set[int](), "esp32s3": {3}}
# Pins that only some modules leave free: the image tells which module it is. (mcu, end of the image's name) -> pins.
OF_PSRAM = {
    ("esp32", "-SPIRAM"): {16, 17},
    ("esp32s3", "-SPIRAM_OCT"): {33, 34, 35, 36, 37},  # a quad PSRAM is told by no name and leaves them
}
IMAGES = {"esp32": "ESP32_GENERIC", "esp32s3": "ESP32_GENERIC_S3"}  # of images with these names: before the first "-"
SX1276_LEAST_DBM = {"boost": 2, "rfo": 0}  # the driver takes the nearest power that the output has
OUTPUTS = {
    "i2c": ("scl", "sda"),
    "uart": ("tx",),
    "i2s": ("sck", "ws"),
    "spi": ("sck", "mosi"),
    "radio": ("nss", "reset", "rxen"),
}
INPUTS = {"i2c": (), "uart": ("rx",), "i2s": ("sd",), "spi": ("miso",), "radio": ("irq", "busy")}
# The node makes them of what a sensor counts. They have no minimum count: their differences are counts, which have none.
TOTALS = tuple(channel for channel in channels.CHANNELS if channel.kind == channels.TOTAL)
PMU_ADDRESS = 0x34  # AXP192 and AXP2101

Problem = tuple[KeyPath, str]


def relation_problems(board: Board) -> Iterator[Problem]:
    """Each contradiction within a board whose types are right: (key path, what)."""
    yield from _image(board)
    yield from _pins(board)
    yield from _link(board)
    yield from _sensors(board)
    yield from _profiles(board)
    if board.simulation is not None:
        yield from _simulation(board)


def _image(board: Board) -> Iterator[Problem]:
    """Of images made for one board nothing is known; the generic ones are made for one chip."""
    name = board.image.partition("-")[0]
    if name.startswith("ESP32_GENERIC") and name != IMAGES[board.mcu]:
        yield ("image",), f"{board.image} is not for an {board.mcu}, which takes {IMAGES[board.mcu]}"


def _pins(board: Board) -> Iterator[Problem]:
    usable, input_only, taken, straps = PINS[board.mcu]
    used = dict(taken)
    for (mcu, variant), pins in OF_PSRAM.items():
        if mcu == board.mcu and board.image.endswith(variant):
            used |= dict.fromkeys(pins, "the module's PSRAM")
    ports: dict[tuple[str, int], str] = {}
    tables: list[tuple[KeyPath, str, Table]] = []
    for name, bus in board.buses.items():
        kind = str(bus.__struct_config__.tag)
        if (kind, bus.id) in ports:
            yield ("buses", name, "id"), f"{kind} {bus.id} is already buses.{ports[kind, bus.id]}"
        ports[kind, bus.id] = name
        tables.append((("buses", name), kind, bus))
    if board.radio is not None:
        tables.append((("radio",), "radio", board.radio))
    for where, kind, table in tables:
        for role in (*OUTPUTS[kind], *INPUTS[kind]):
            pin = getattr(table, role, None)
            if pin is None:
                continue
            path = (*where, role)
            if pin in used:
                yield path, f"GPIO {pin} is taken by {used[pin]}"
            elif pin not in usable:
                yield path, f"GPIO {pin} does not exist on an {board.mcu} or belongs to its flash"
            elif pin in straps and not (kind in ("spi", "radio") and pin in HARMLESS_STRAPS[board.mcu]):
                yield path, f"GPIO {pin} decides at power-up ({straps[pin]}): a bus on it keeps the board from starting"
            elif pin in input_only and role in OUTPUTS[kind]:
                yield path, f"GPIO {pin} is input only"
            used[pin] = ".".join(str(part) for part in path)
    if board.led is not None:
        if board.led in used:
            yield ("led",), f"GPIO {board.led} is taken by {used[board.led]}"
        elif board.led not in usable or board.led in input_only:
            yield ("led",), f"GPIO {board.led} cannot drive a light on an {board.mcu}"


def _link(board: Board) -> Iterator[Problem]:
    """A radio where the link needs one, on an SPI bus of its own; sensors where there is no bridge."""
    kind = str(board.link.__struct_config__.tag)
    if kind == "serial" and board.radio is not None:
        yield ("radio",), 'no link uses the radio: say kind = "lora" or kind = "bridge" in [link]'
    if kind != "serial" and board.radio is None:
        yield ("link", "kind"), f"{kind} needs a radio: [radio] says which chip sits on which pins"
    if kind == "bridge" and (board.sensors or board.profiles):
        yield (
            ("sensors",) if board.sensors else ("profiles",),
            "a bridge measures nothing: it hands on what others send, and has no sensors nor profiles",
        )
    if kind == "bridge" and board.power != "mains":
        yield ("power",), "a bridge listens all the time, so it has mains"
    for name, given in (("sensors", board.sensors), ("profiles", board.profiles)):
        if kind != "bridge" and not given:
            yield (), f"[[{name}]] is missing: only a bridge has none"
    if board.radio is not None:
        yield from _bus_of(board, ("radio", "bus"), board.radio.bus, Spi, "a radio")
    if isinstance(board.radio, Sx1276) and isinstance(board.link, LoraLink):
        least_dbm = SX1276_LEAST_DBM[board.radio.pa]
        gain_dbi = board.link.antenna_gain_dbi - board.link.cable_loss_db
        if power_limit_dbm(UPLINKS_HZ[0], round(100 * gain_dbi)) < least_dbm:
            what = f"with {gain_dbi:g} dBi the {least_dbm} dBm that this output gives at least are more than the law allows"
            yield ("link", "antenna_gain_dbi"), f"{what}: another antenna, or more loss in its cable"
    if board.radio is None or isinstance(board.buses.get(board.radio.bus), Spi):
        for name, bus in board.buses.items():
            if isinstance(bus, Spi) and (board.radio is None or name != board.radio.bus):
                yield ("buses", name), "an SPI bus is for a radio, and no radio is on it"
    if board.pmu is not None:
        yield from _bus_of(board, ("pmu", "bus"), board.pmu.bus, I2c, "a power chip")


def _bus_of(board: Board, path: KeyPath, name: str, kind: type[Table], what: str) -> Iterator[Problem]:
    bus = board.buses.get(name)
    if bus is None:
        yield path, f"there is no bus {name!r}; there are {', '.join(board.buses)}"
    elif not isinstance(bus, kind):
        yield path, f"{what} needs a bus of kind {kind.__struct_config__.tag}"


def _sensors(board: Board) -> Iterator[Problem]:
    given: dict[tuple[str, int], int] = {}
    addresses: dict[tuple[str, int], str] = {}
    if board.pmu is not None:
        addresses[board.pmu.bus, PMU_ADDRESS] = "pmu"
    alone: dict[str, int] = {}
    for at, sensor in enumerate(board.sensors):
        driver = str(sensor.__struct_config__.tag)
        problems = list(_bus_of(board, ("sensors", at, "bus"), sensor.bus, BUS_OF[driver], driver))
        if problems:
            yield from problems
            continue
        bus = board.buses[sensor.bus]
        if isinstance(bus, I2c):
            address = ADDRESS_OF.get(driver) or sensor.params.address  # type: ignore[union-attr]
            if (sensor.bus, address) in addresses:
                other = addresses[sensor.bus, address]
                yield ("sensors", at), f"address 0x{address:02x} on {sensor.bus} is already {other}"
            addresses[sensor.bus, address] = f"sensors[{at}]"
            if bus.freq > MAX_FREQ_OF[driver]:
                yield ("buses", sensor.bus, "freq"), f"{driver} takes at most {MAX_FREQ_OF[driver]} Hz"
        elif sensor.bus in alone:
            yield ("sensors", at, "bus"), f"{sensor.bus} already belongs to sensors[{alone[sensor.bus]}]"
        if isinstance(bus, Uart) and bus.baudrate != BAUDRATE_OF.get(driver, bus.baudrate):
            yield ("buses", sensor.bus, "baudrate"), f"{driver} talks at {BAUDRATE_OF[driver]} baud, nothing else"
        if isinstance(sensor, Ads1115No2):
            yield from _cell(board, at, sensor)
        if isinstance(sensor, (Sen5x, Sen66)) and board.power == "sleep":
            what = "its fan would never be cleaned, its gas indices never learn"
            yield ("power",), f"a {driver} does not sleep: {what}; an SPS30 cleans by itself"
        alone[sensor.bus] = at
        for channel in channels_of(sensor):
            if (channel, sensor.instance) in given:
                yield (
                    ("sensors", at, "instance"),
                    f"{channel} of instance {sensor.instance} already comes from sensors[{given[channel, sensor.instance]}]",
                )
                break
            given[channel, sensor.instance] = at


def _cell(board: Board, at: int, sensor: Ads1115No2) -> Iterator[Problem]:
    path: KeyPath = ("sensors", at, "params")
    pair = (sensor.params.we_input, sensor.params.ae_input)
    if pair not in ((0, 1), (0, 3), (1, 3), (2, 3)):
        yield (*path, "ae_input"), f"the chip cannot compare inputs {pair[0]} and {pair[1]}; it can 0-1, 0-3, 1-3, 2-3"
    if sensor.params.temperature == "sensor":
        instance = sensor.params.temperature_instance
        for other in board.sensors:
            if other.instance == instance and "temperature" in channels_of(other):
                return
        yield (*path, "temperature"), f'no sensor of this board gives temperature:{instance}; say temperature = "fixed"'


def split_item(item: str) -> tuple[str, int]:
    """`temperature:1` -> ("temperature", 1); without a colon instance 0."""
    name, _, instance = item.partition(":")
    return name, int(instance or 0)


def _channels(sensor: AnySensor) -> set[str]:
    """What a sensor gives as it is mounted."""
    found = set(channels_of(sensor))
    if isinstance(sensor, TFLuna):
        other = "depart" if sensor.params.lane == "approach" else "approach"
        found -= {name for name in found if name.endswith(other)}
        if sensor.params.mount == "side":
            found -= {"vehicles_low", "vehicles_high"}  # a beam from the side sees no heights
    return found | {total.name for total in TOTALS if channels.by_id(total.partner).name in found}


def _profiles(board: Board) -> Iterator[Problem]:
    known = {channel.name for channel in channels.CHANNELS}
    total_names = {total.name for total in TOTALS}
    given = {(channel, sensor.instance) for sensor in board.sensors for channel in _channels(sensor)}
    totals: dict[tuple[str, int], int] = {}
    for at, profile in enumerate(board.profiles):
        path: KeyPath = ("profiles", at, "items")
        seen = set()
        for item in profile.items:
            name, instance = split_item(item)
            if name not in known:
                yield path, f"{name!r} is no channel (wire/channels.py)"
            elif (name, instance) not in given:
                hint = ", which needs params = { third_octaves = true }" if name in THIRD_OCTAVES else ""
                yield path, f"no sensor of this board gives {name} with instance {instance}{hint}"
            elif (name, instance) in seen:
                yield path, f"{item} stands twice"
            elif name in total_names:
                if (name, instance) in totals:
                    what = "each profile would begin to count by itself, and nobody could tell whose total it is"
                    yield path, f"{item} already stands in profiles[{totals[name, instance]}]: {what}"
                totals[name, instance] = at
                if board.power == "sleep":
                    what = "its RAM is gone after each window, so the total would begin anew each time"
                    yield path, f"a board that sleeps cannot carry {item}: {what}"
            seen.add((name, instance))
        if profile.window_setting in [other.window_setting for other in board.profiles[:at]]:
            yield ("profiles", at, "window_setting"), "another profile has the same"
    items = [[split_item(item) for item in profile.items] for profile in board.profiles]
    if all(name in known for each in items for name, _ in each):
        found = privacy.conflict([(channels.id_of(name), instance) for name, instance in each] for each in items)
        if found is not None:
            yield (
                ("profiles", found[0], "items"),
                f"{found[1]} beside what is reported already would tell of single vehicles: one profile for all of a"
                " direction with a minimum count, and either both directions or each",
            )


def _simulation(board: Board) -> Iterator[Problem]:
    assert board.simulation is not None
    for at, chip in enumerate(board.simulation.chips):
        if chip.bus not in board.buses:
            yield ("simulation", "chips", at, "bus"), f"there is no bus {chip.bus!r}"
    simulated = {chip.bus for chip in board.simulation.chips}
    for sensor in board.sensors:
        if sensor.bus not in simulated and simulated <= set(board.buses):
            yield ("simulation", "chips"), f"no simulated chip on {sensor.bus}, where sensors wait for one"
    drivers = {sensor.__struct_config__.tag for sensor in board.sensors}
    for name in msgspec.structs.asdict(board.simulation.params):
        if getattr(board.simulation.params, name) is not None and name not in drivers:
            yield ("simulation", "params", name), f"this board has no {name}"
