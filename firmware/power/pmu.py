"""Rails of a power chip that feeds the radio: AXP192 or AXP2101, which answer at the same address. Loaded once, at boot.

Facts: AXP192 data sheet v1.1 (registers 0x12, 0x26, 0x28), AXP2101 data sheet v1.4 (0x90, 0x92 to 0x97), checked against
the makers' constants in XPowersLib (AXP192Constants.h, AXP2101Constants.h) and, for the older id 0x47, U-Boot's
pmu_axp2101.h. AXP192: DCDC1 0.7 V + 25 mV a step, LDO2 and LDO3 1.8 V + 100 mV; AXP2101: ALDO and BLDO 0.5 V + 100 mV.
All rails that are turned on get 3.3 V first.
"""

from firmware.drivers import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ADDRESS = const(0x34)
_CHIP_ID = const(0x03)
_RAIL_MS = 1  # from one rail to the next: their condensers are not all loaded at once

# Name, register of its voltage, bits of it, 3.3 V, register of its switch, bit.
_AXP192 = (
    ("dcdc1", 0x26, 0x7F, 0x68, 0x12, 0x01),
    ("ldo2", 0x28, 0xF0, 0xF0, 0x12, 0x04),
    ("ldo3", 0x28, 0x0F, 0x0F, 0x12, 0x08),
)
_AXP2101 = (
    ("aldo1", 0x92, 0x1F, 28, 0x90, 0x01),
    ("aldo2", 0x93, 0x1F, 28, 0x90, 0x02),
    ("aldo3", 0x94, 0x1F, 28, 0x90, 0x04),
    ("aldo4", 0x95, 0x1F, 28, 0x90, 0x08),
    ("bldo1", 0x96, 0x1F, 28, 0x90, 0x10),
    ("bldo2", 0x97, 0x1F, 28, 0x90, 0x20),
)
_IDS = ((0x03, "axp192", _AXP192), (0x4A, "axp2101", _AXP2101), (0x47, "axp2101", _AXP2101))


async def power(bus: "Any", clock: "Any", wanted: dict) -> str:
    """Turn on and off what `wanted` (board.json's `pmu`) says for the chip that is there; its name. OSError, with a word."""
    chip = _read(bus, _CHIP_ID)
    found = [(name, rails) for number, name, rails in _IDS if chip == number]
    if not found:
        raise OSError(19, "power chip: id 0x%02x is no AXP192 (0x03) and no AXP2101 (0x4a)" % chip)
    name, rails = found[0]
    for rail, voltage, bits, value, switch, bit in rails:
        if rail in wanted.get(name + "_on", ()):
            _write(bus, voltage, _read(bus, voltage) & ~bits | value)
            _write(bus, switch, _read(bus, switch) | bit)
            await clock.sleep_ms(_RAIL_MS)
            if not _read(bus, switch) & bit:
                raise OSError(5, "power chip: %s does not stay on: short circuit?" % rail)
        elif rail in wanted.get(name + "_off", ()):
            _write(bus, switch, _read(bus, switch) & ~bit)
    return name


def _read(bus: "Any", register: int) -> int:
    buf = bytearray(1)
    try:
        bus.writeto(_ADDRESS, bytes((register,)))
        bus.readfrom_into(_ADDRESS, buf)
    except OSError as error:
        raise OSError(error.args[0], "power chip: nobody answers at 0x34")
    return buf[0]


def _write(bus: "Any", register: int, value: int) -> None:
    bus.writeto(_ADDRESS, bytes((register, value & 0xFF)))
