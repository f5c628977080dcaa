"""What a board.toml may say: the types, with the consequence of each value beside it.

`boards/board.schema.json` is generated from these types (a test keeps them equal). Buses stand in `boards.buses`, the
parameters of drivers in `boards.params`.
"""

from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta

from boards.buses import Bus, I2c, I2s, Instance, Name, Table, Uart
from boards.params import (
    Ads1115No2Params,
    Bme280Params,
    DnmsParams,
    I2sMicParams,
    Ld2451Params,
    Ops243aParams,
    Pms5003Params,
    Scd41Params,
    Sds011Params,
    Sen5xParams,
    Sen66Params,
    Sht4xParams,
    Sps30Params,
    TFLunaParams,
)
from boards.radio import Link, Pmu, Radio, SerialLink
from wire import channels


class Sensor(Table, frozen=True, tag_field="driver"):
    """One chip on one bus. Two chips that give the same channel need different instances."""

    bus: str
    instance: Instance = 0


class Sps30(Sensor, frozen=True, tag="sps30"):
    """Particulate matter."""

    params: Sps30Params = Sps30Params()


class Sps30Uart(Sensor, frozen=True, tag="sps30_uart"):
    """The same on a serial port: pin SEL open."""

    params: Sps30Params = Sps30Params()


class Sds011(Sensor, frozen=True, tag="sds011"):
    """Particulate matter, PM2.5 and PM10."""

    params: Sds011Params = Sds011Params()


class Pms5003(Sensor, frozen=True, tag="pms5003"):
    """Particulate matter, small and cheap."""

    params: Pms5003Params = Pms5003Params()


class Ads1115No2(Sensor, frozen=True, tag="ads1115_no2"):
    """Nitrogen dioxide, and the voltages that it comes from."""

    params: Ads1115No2Params = Ads1115No2Params()


class Bme280(Sensor, frozen=True, tag="bme280"):
    """Temperature, humidity, pressure."""

    params: Bme280Params = Bme280Params()


class Ld2451(Sensor, frozen=True, tag="ld2451"):
    """Vehicles by direction and their speeds."""

    params: Ld2451Params = Ld2451Params()


class I2sMic(Sensor, frozen=True, tag="i2s_mic"):
    """Sound levels."""

    params: I2sMicParams = I2sMicParams()


class Dnms(Sensor, frozen=True, tag="dnms"):
    """Sound levels, metered by a module of its own."""

    params: DnmsParams = DnmsParams()


class Sen5x(Sensor, frozen=True, tag="sen5x"):
    """Particulate matter, temperature, humidity, gas indices."""

    params: Sen5xParams = Sen5xParams()


class Sen66(Sensor, frozen=True, tag="sen66"):
    """Particulate matter, temperature, humidity, gas indices, CO2."""

    params: Sen66Params = Sen66Params()


class Scd41(Sensor, frozen=True, tag="scd41"):
    """CO2, temperature, humidity."""

    params: Scd41Params = Scd41Params()


class Sht4x(Sensor, frozen=True, tag="sht4x"):
    """Temperature, humidity."""

    params: Sht4xParams = Sht4xParams()


class Ops243a(Sensor, frozen=True, tag="ops243a"):
    """Vehicles by direction and their speeds, without distances."""

    params: Ops243aParams = Ops243aParams()


class TFLuna(Sensor, frozen=True, tag="tfluna"):
    """Vehicles of one lane by a beam."""

    params: TFLunaParams = TFLunaParams()


AnySensor = (
    Sps30
    | Bme280
    | Ld2451
    | I2sMic
    | Dnms
    | Sen5x
    | Sen66
    | Scd41
    | Sht4x
    | Sps30Uart
    | Sds011
    | Pms5003
    | Ads1115No2
    | Ops243a
    | TFLuna
)


class Profile(Table, frozen=True):
    """What is reported together, in order. `window_setting` n: its length is the setting `window_s.n`."""

    items: Annotated[
        list[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*(:[0-9]{1,2})?$")]],
        Meta(min_length=1, max_length=36, description="Channel, or channel:instance."),
    ]
    window_setting: Annotated[int, Meta(ge=0, le=3)] = 0


class Chip(Table, frozen=True):
    """A simulated chip on a bus of the simulated twin."""

    chip: Name
    bus: str
    params: dict[str, int | float | str | bool] = {}


class TwinParams(Table, frozen=True):
    """Parameters by driver that hold on the simulated twin: those that are given and differ from the default."""

    sps30: Sps30Params | None = None
    sps30_uart: Sps30Params | None = None
    sds011: Sds011Params | None = None
    pms5003: Pms5003Params | None = None
    ads1115_no2: Ads1115No2Params | None = None
    bme280: Bme280Params | None = None
    ld2451: Ld2451Params | None = None
    i2s_mic: I2sMicParams | None = None
    dnms: DnmsParams | None = None
    sen5x: Sen5xParams | None = None
    sen66: Sen66Params | None = None
    scd41: Scd41Params | None = None
    sht4x: Sht4xParams | None = None
    ops243a: Ops243aParams | None = None
    tfluna: TFLunaParams | None = None


class Simulation(Table, frozen=True):
    """The board's simulated twin: same firmware, same sensors, simulated chips."""

    chips: list[Chip]
    params: TwinParams = TwinParams()


class Board(Table, frozen=True, kw_only=True):
    """A board: everything that the firmware must know about its hardware. Never a secret: keys lie in the settings."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=80)]
    mcu: Literal["esp32", "esp32s3"]
    image: Annotated[str, Meta(pattern=r"^[A-Z0-9_-]+$", description="MicroPython image that belongs on it.")]
    power: Literal["mains", "buffered", "sleep"] = "mains"
    link: Link = SerialLink()
    radio: Radio | None = None
    pmu: Pmu | None = None
    led: Annotated[int, Meta(ge=0, le=48, description="GPIO of a light that blinks for `identify`.")] | None = None
    buses: dict[str, Bus]
    sensors: Annotated[
        list[AnySensor], Meta(max_length=8, description="None on a bridge, at least one elsewhere.")
    ] = []
    profiles: Annotated[list[Profile], Meta(max_length=4)] = []
    simulation: Simulation | None = None


# What the firmware's drivers give and need. Boards stand alone and cannot import the firmware: a test compares.


def _speed_bins(direction: str) -> tuple[str, ...]:
    """The names of the table's speed bins."""
    edges = [*range(0, 80, 5), 300]
    return tuple(f"vehicles_{low}_{high}kmh_{direction}" for low, high in pairwise(edges))


CHANNELS_OF = {
    "sps30": ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "nc1", "nc2_5", "nc4", "nc10", "typical_size"),
    "sps30_uart": ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "nc1", "nc2_5", "nc4", "nc10", "typical_size"),
    "sds011": ("pm2_5", "pm10"),
    "pms5003": ("pm1", "pm2_5", "pm10", "nc0_5", "nc1", "nc2_5", "nc10"),
    "ads1115_no2": ("no2", "no2_we", "no2_ae"),
    "bme280": ("temperature", "humidity", "pressure"),
    "ld2451": (
        "vehicles", "vehicles_approach", "vehicles_depart", "speed_mean", "speed_mean_approach", "speed_mean_depart",
        "speed_v85", "speed_v85_approach", "speed_v85_depart",
        "headway_median", "headway_median_approach", "headway_median_depart", "occupancy_approach", "occupancy_depart",
        *_speed_bins("approach"), *_speed_bins("depart"),
    ),
    "i2s_mic": (
        "laeq", "lafmax", "lafmin", "laf10", "laf50", "laf90", "laf95", "lasmax", "lceq", "lcpeak", "lzeq",
    ),
    "dnms": ("laeq", "laeq_max", "laeq_min"),
    "sen5x": ("pm1", "pm2_5", "pm4", "pm10", "humidity", "temperature", "voc_index", "nox_index"),
    "sen66": ("pm1", "pm2_5", "pm4", "pm10", "humidity", "temperature", "voc_index", "nox_index", "co2"),
    "scd41": ("co2", "temperature", "humidity"),
    "sht4x": ("temperature", "humidity"),
    "ops243a": (
        "vehicles", "vehicles_approach", "vehicles_depart", "speed_mean", "speed_mean_approach", "speed_mean_depart",
        "speed_v85", "speed_v85_approach", "speed_v85_depart",
        "headway_median", "headway_median_approach", "headway_median_depart",
        *_speed_bins("approach"), *_speed_bins("depart"),
    ),
    "tfluna": (
        "vehicles", "vehicles_low", "vehicles_high", "occupancy_approach", "occupancy_depart", "headway_median_approach",
        "headway_median_depart",
    ),
}  # fmt: skip
THIRD_OCTAVES = tuple(channel.name for channel in channels.CHANNELS if channel.name.startswith("lzeq_"))
BUS_OF: dict[str, type[Table]] = {
    "sps30": I2c,
    "sps30_uart": Uart,
    "sds011": Uart,
    "pms5003": Uart,
    "ads1115_no2": I2c,
    "bme280": I2c,
    "ld2451": Uart,
    "i2s_mic": I2s,
    "dnms": I2c,
    "sen5x": I2c,
    "sen66": I2c,
    "scd41": I2c,
    "sht4x": I2c,
    "ops243a": Uart,
    "tfluna": Uart,
}
# Hz; most of Sensirion's are standard mode parts
MAX_FREQ_OF = {
    "sps30": 100_000, "bme280": 1_000_000, "sen5x": 100_000, "sen66": 100_000, "scd41": 100_000, "sht4x": 1_000_000,
    "dnms": 100_000, "ads1115_no2": 400_000,
}  # fmt: skip
ADDRESS_OF = {
    "sps30": 0x69,
    "dnms": 0x55,
    "sen5x": 0x69,
    "sen66": 0x6B,
    "scd41": 0x62,
}  # fixed ones; others' is a parameter
BAUDRATE_OF = {"sps30_uart": 115_200, "sds011": 9600, "pms5003": 9600}  # fixed ones; the LD2451's can be set


def channels_of(sensor: Sensor) -> tuple[str, ...]:
    """What a sensor of a board gives, by its driver and its parameters."""
    given = CHANNELS_OF[str(sensor.__struct_config__.tag)]
    if getattr(sensor.params, "third_octaves", False):  # type: ignore[attr-defined]
        return given + THIRD_OCTAVES
    return given
