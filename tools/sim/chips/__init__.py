"""Simulated chips: each speaks the bytes of its data sheet, with timing and faults, and measures the simulated city.

`now_us` is unix time in microseconds everywhere (the world's time), whether the host runs in real or virtual time.
A chip has its power from the world's start on; `power_on(now_us)` and `power_off()` are the board's power.
`faults` may be changed at any moment; the names a chip knows are in its class's FAULTS table.
"""

from importlib import import_module
from typing import Any

from tools.sim.chips.base import Chip, Nack
from tools.sim.world import World

# name in a board description -> where the class is; loaded when first wanted
CHIPS = {
    "sps30": "tools.sim.chips.sps30:SPS30",
    "sps30-uart": "tools.sim.chips.sps30_uart:SPS30UART",
    "sds011": "tools.sim.chips.sds011:SDS011",
    "pms5003": "tools.sim.chips.pms5003:PMS5003",
    "ads1115-no2": "tools.sim.chips.ads1115_no2:ADS1115NO2",
    "bme280": "tools.sim.chips.bme280:BME280",
    "i2s_mic": "tools.sim.chips.i2s_mic:I2SMicrophone",
    "ics43434": "tools.sim.chips.i2s_mic:ICS43434",
    "inmp441": "tools.sim.chips.i2s_mic:INMP441",
    "sph0645": "tools.sim.chips.i2s_mic:SPH0645",
    "dnms": "tools.sim.chips.dnms:DNMS",
    "ld2451": "tools.sim.chips.ld2451:LD2451",
    "sen5x": "tools.sim.chips.sen5x:SEN5x",
    "sen66": "tools.sim.chips.sen66:SEN66",
    "scd41": "tools.sim.chips.scd41:SCD41",
    "sht4x": "tools.sim.chips.sht4x:SHT4x",
    "ops243a": "tools.sim.chips.ops243a:OPS243A",
    "tfluna": "tools.sim.chips.tfluna:TFLuna",
    "sx1262": "tools.sim.chips.sx1262:SX1262",
    "sx1276": "tools.sim.chips.sx1276:SX1276",
    "axp": "tools.sim.chips.axp:AXP",
}

__all__ = ["CHIPS", "Chip", "Nack", "chip_class", "create"]


def chip_class(name: str) -> type[Chip]:
    """The class behind a name of CHIPS; KeyError for a name that is not there."""
    module, _, attribute = CHIPS[name].partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, type)
    assert issubclass(found, Chip)
    return found


def create(name: str, world: World, seed: int, **params: Any) -> Chip:
    """A chip by name, with the parameters of a board description's simulation section."""
    return chip_class(name)(world, seed, **params)
