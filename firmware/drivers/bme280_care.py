"""What a BME280's driver seldom does: start, tell a wrong chip, the self test. Loaded when it is wanted."""

from firmware.drivers import CALIBRATION, NO_ANSWER, READY, WARMUP, WRONG_CHIP, SensorError, const
from firmware.drivers.bme280 import CHIP_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

BMP280_IDS = (0x56, 0x57, 0x58)  # same housing, same address, no humidity

_REG_CALIBRATION = const(0x88)  # 26 bytes
_REG_RESET = const(0xE0)
_REG_CALIBRATION_H = const(0xE1)  # 7 bytes
_REG_STATUS = const(0xF3)
_REG_CONFIG = const(0xF5)

_COPYING = const(0x01)  # calibration on its way into the registers after a reset


def s16(low: int, high: int) -> int:
    """Two bytes as a signed number."""
    return (high << 8 | low) - ((high & 0x80) << 9)


def unpack_calibration(first: "bytes | bytearray", second: "bytes | bytearray") -> "tuple[int, ...] | None":
    """(T1..T3, P1..P9, H1..H6) of registers 0x88..0xA1 (26 bytes) and 0xE1..0xE7 (7 bytes).

    None when they are all 0x00 or all 0xFF: that is a bus fault, not a chip.
    """
    raw = bytes(first) + bytes(second)
    if raw == bytes(33) or raw == b"\xff" * 33:
        return None
    words = [s16(first[at], first[at + 1]) for at in range(0, 24, 2)]
    words[0] &= 0xFFFF  # T1 and P1 have no sign
    words[3] &= 0xFFFF
    # H4 and H5 share 0xE5; their signs are those of 0xE4 and 0xE6.
    h4 = (second[3] - ((second[3] & 0x80) << 1)) << 4 | second[4] & 0x0F
    h5 = (second[5] - ((second[5] & 0x80) << 1)) << 4 | second[4] >> 4
    h6 = second[6] - ((second[6] & 0x80) << 1)
    return tuple(words + [first[25], s16(second[0], second[1]), second[2], h4, h5, h6])


def wrong_chip(chip: int) -> SensorError:
    """What answers instead."""
    what = "BMP280 (0x%02x), which has no humidity" if chip in BMP280_IDS else "id 0x%02x, a BME280 has 0x60"
    return SensorError(WRONG_CHIP, retry=False, detail=chip, text=what % chip)


async def start(driver: "Any") -> None:
    """See BME280.start."""
    driver.state = WARMUP
    driver._identify()
    driver._write(_REG_RESET, 0xB6)
    for _ in range(10):
        await driver._clock.sleep_ms(2)
        if not driver._read(_REG_STATUS, 1)[0] & _COPYING:
            break
    else:
        raise SensorError(NO_ANSWER, retry=False, detail=_REG_STATUS)
    calibration = unpack_calibration(driver._read(_REG_CALIBRATION, 26), driver._read(_REG_CALIBRATION_H, 7))
    if calibration is None:
        raise SensorError(CALIBRATION, retry=False)
    driver._calibration = calibration
    driver._write(_REG_CONFIG, 0x00)
    driver._covered.restart()
    driver._silent = 0
    driver.identity = "BME280 id 0x%02x at 0x%02x" % (CHIP_ID, driver._address)
    driver.state = READY


async def self_test(driver: "Any") -> "list[TestRow]":
    """See BME280.self_test."""
    rows = []
    try:
        driver._identify()
        rows.append(("chip id", True, CHIP_ID))
        await driver.start()
        rows.append(("calibration", True, 0))
        values = await driver.read()
        rows.append(("temperature 0.001 Cel", True, values[0][2]))
        rows.append(("humidity 0.01 %", True, values[1][2]))
        rows.append(("pressure 0.01 hPa", True, values[2][2]))
    except SensorError as error:
        rows.append((str(error), False, error.detail))
    return rows
