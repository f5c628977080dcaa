"""What an SPS30's driver seldom does: start, the self test. Loaded when it is wanted."""

from firmware.drivers import WARMUP, WRONG_CHIP, SensorError, const
from firmware.drivers.sps30 import CLEANING_MS, decode_floats, decode_integers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_START = const(0x0010)
_STOP = const(0x0104)
_CLEAN = const(0x5607)
_INTERVAL = const(0x8004)
_SERIAL = const(0xD033)
_VERSION = const(0xD100)
_STATUS = const(0xD206)
_CLEAR_STATUS = const(0xD210)
_RESET = const(0xD304)


async def start(driver: "Any") -> None:
    """See SPS30.start."""
    chip = driver._chip
    driver.state = WARMUP
    driver._running = False
    try:
        await chip.send(_STOP, 20)
    except SensorError:
        await driver._wake()
        await chip.send(_STOP, 20)
    version = await chip.ask(_VERSION, 0, 2)
    serial = await chip.ask(_SERIAL, 0, 32)
    text = serial.split(b"\0")[0]
    for byte in text:
        if not 32 <= byte < 127:
            raise SensorError(WRONG_CHIP, retry=False, detail=byte)
    driver.identity = "SPS30 %s firmware %d.%d" % (text.decode(), version[0], version[1])
    driver._sleeps = version >= b"\x02\x00"
    driver._has_status = version >= b"\x02\x02"
    driver._status = 0
    driver._until_status = 1  # the first valid reading asks
    interval = driver._clean_interval_s.to_bytes(4, "big")
    if await chip.ask(_INTERVAL, 5, 4) != interval:
        await chip.send(_INTERVAL, 20, interval)
        if not driver._has_status:
            await chip.send(_RESET, 100)  # before 2.2 it goes by the new interval, and tells it, only then
    if driver._has_status:
        await chip.send(_CLEAR_STATUS, 5)
    await chip.send(_START, 20, b"\x03\x00" if driver._floats else b"\x05\x00")
    driver._needed_ms = driver._warmup_ms
    if driver._clean_at_start and driver._clean_interval_s:
        await chip.send(_CLEAN, 5)
        driver._clean_at_start = 0  # once: a driver that starts anew after an error does not clean again
        driver._needed_ms = max(driver._warmup_ms, CLEANING_MS)
    driver._started_ms = driver._clock.ticks_ms()
    driver._stale = driver._silent = 0
    driver._covered.restart()
    driver._running = True


async def self_test(driver: "Any") -> "list[TestRow]":
    """See SPS30.self_test."""
    rows = []
    try:
        version = await driver._chip.ask(_VERSION, 0, 2)
        rows.append(("firmware", True, version[0] * 100 + version[1]))
        interval = int.from_bytes(await driver._chip.ask(_INTERVAL, 5, 4), "big")
        rows.append(("cleaning interval s", interval == driver._clean_interval_s, interval))
        if version >= b"\x02\x02":
            status = int.from_bytes(await driver._chip.ask(_STATUS, 5, 4), "big")
            rows.append(("status word", status == 0, status))
        if driver._running:
            payload = await driver._newest()
            values = decode_floats(payload) if driver._floats else decode_integers(payload)
            rows.append(("pm2_5 0.01 ug/m3", values is not None, values[1] if values else 0))
    except SensorError as error:
        rows.append((str(error), False, error.detail))
    return rows
