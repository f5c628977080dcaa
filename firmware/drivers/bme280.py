"""Bosch BME280: temperature, humidity, pressure over I2C. Forced mode, everything once a reading, no filter.

Compensation is the maker's integer arithmetic, the pressure with 64 bits: exact, where single floats lose 10 Pa.
Forced mode has no new-data flag: a reading counts as new when the chip was seen measuring, or its bits changed.
"""

from firmware.drivers import (
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    WARMUP,
    Covered,
    Repeats,
    SensorError,
    const,
    seldom,
)
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

CHIP_ID = 0x60
CARE = "firmware.drivers.bme280_care"

_REG_ID = const(0xD0)
_REG_CTRL_HUM = const(0xF2)
_REG_STATUS = const(0xF3)
_REG_CTRL_MEAS = const(0xF4)
_REG_DATA = const(0xF7)  # 8 bytes, one burst: the chip keeps them together

_MEASURING = const(0x08)
_MEASURE_MS = const(10)  # x1, x1, x1: 9.3 ms at most
_LATE_MS = const(40)  # beyond this a measurement is not slow, it did not happen
_SILENT_MAX = const(3)  # in a row, then it is started anew: what is plugged in again may be another chip


def unpack_data(data: bytes) -> "tuple[int | None, int | None, int | None]":
    """(P, T, H) raw of the 8 bytes from 0xF7; None where the chip skipped one."""
    pressure = data[0] << 12 | data[1] << 4 | data[2] >> 4
    temperature = data[3] << 12 | data[4] << 4 | data[5] >> 4
    humidity = data[6] << 8 | data[7]
    return (
        None if pressure == 0x80000 else pressure,
        None if temperature == 0x80000 else temperature,
        None if humidity == 0x8000 else humidity,
    )


def fine_temperature(calibration: tuple[int, ...], raw: int) -> int:
    """t_fine: 5120 to the degree; pressure and humidity need it."""
    t1, t2, t3 = calibration[:3]
    first = ((raw >> 3) - 2 * t1) * t2 >> 11
    offset = (raw >> 4) - t1
    return first + ((offset * offset >> 12) * t3 >> 14)


def centi_celsius(t_fine: int) -> int:
    """0.01 Cel."""
    return (t_fine * 5 + 128) >> 8


def pascal_256(calibration: tuple[int, ...], raw: int, t_fine: int) -> "int | None":
    """Pressure in 1/256 Pa; None when the calibration makes it undefined."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = calibration[3:12]
    first = t_fine - 128000
    second = first * first * p6 + ((first * p5) << 17) + (p4 << 35)
    first = ((first * first * p3) >> 8) + ((first * p2) << 12)
    first = (((1 << 47) + first) * p1) >> 33
    if first == 0:
        return None
    value = (((1048576 - raw) << 31) - second) * 3125 // first
    first = (p9 * (value >> 13) * (value >> 13)) >> 25
    second = (p8 * value) >> 19
    return ((value + first + second) >> 8) + (p7 << 4)


def humidity_1024(calibration: tuple[int, ...], raw: int, t_fine: int) -> int:
    """Relative humidity in 1/1024 %, 0..100 %."""
    h1, h2, h3, h4, h5, h6 = calibration[12:]
    t = t_fine - 76800
    slope = (((t * h6) >> 10) * (((t * h3) >> 11) + 32768)) >> 10
    value = (((raw << 14) - (h4 << 20) - h5 * t + 16384) >> 15) * (((slope + 2097152) * h2 + 8192) >> 14)
    value -= ((((value >> 15) * (value >> 15)) >> 7) * h1) >> 4
    return min(max(value, 0), 419430400) >> 12


def decode(calibration: tuple[int, ...], data: bytes) -> "tuple[int, int, int]":
    """(0.001 Cel, 0.01 %, 0.01 hPa) of one burst; SensorError RANGE or STALE (a channel was skipped)."""
    pressure, temperature, humidity = unpack_data(data)
    if pressure is None or temperature is None or humidity is None:
        raise SensorError(STALE)
    t_fine = fine_temperature(calibration, temperature)
    celsius = centi_celsius(t_fine)
    pascal = pascal_256(calibration, pressure, t_fine)
    if not -4000 <= celsius <= 8500 or pascal is None or not 30000 * 256 <= pascal <= 110000 * 256:
        raise SensorError(RANGE)
    return celsius * 10, (humidity_1024(calibration, humidity, t_fine) * 100 + 512) >> 10, (pascal + 128) >> 8


class BME280:
    """See firmware.drivers for what a driver does. `address` 0x76 or 0x77."""

    CHANNELS = ("temperature", "humidity", "pressure")
    SETTINGS = ("temperature_offset_cdeg", "sample_ms")
    period_ms = 1000

    def __init__(  # seldom
        self, bus: "Any", clock: "Any", instance: int = 0, address: int = 0x76, stuck_reads: int = 120
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._bus = bus
        self._clock = clock
        self._address = address
        self._calibration: "tuple[int, ...]" = ()
        self._repeats = Repeats(stuck_reads)
        self._last = b""
        self._silent = 0
        self._offset_cdeg = 0
        self._covered = Covered(clock, self.period_ms)

    def configure(self, name: str, value: int) -> None:
        """`temperature_offset_cdeg` is added to the temperature alone: self-heating does not change the calibration."""
        if name == "temperature_offset_cdeg":
            self._offset_cdeg = value
        elif name == "sample_ms":
            self.period_ms = self._covered.period_ms = value

    def _no_answer(self, register: int, error: OSError) -> SensorError:
        if error.args and error.args[0] != 19:  # ENODEV: nobody there, and the bus is free
            self._bus.recover()
        self._silent += 1
        return SensorError(NO_ANSWER, self._silent < _SILENT_MAX, register, "BME280 at 0x%02x" % self._address)

    def _read(self, register: int, size: int) -> bytearray:
        buffer = bytearray(size)
        try:
            self._bus.writeto(self._address, bytes((register,)))
            self._bus.readfrom_into(self._address, buffer)
        except OSError as error:
            raise self._no_answer(register, error)
        return buffer

    def _write(self, register: int, value: int) -> None:
        try:
            self._bus.writeto(self._address, bytes((register, value)))
        except OSError as error:
            raise self._no_answer(register, error)

    async def start(self) -> None:
        """Identify, reset, read the calibration, set up. SensorError NO_ANSWER, WRONG_CHIP, CALIBRATION."""
        await seldom(CARE, "start")(self)

    def _identify(self) -> None:
        chip = self._read(_REG_ID, 1)[0]
        if chip != CHIP_ID:
            raise seldom(CARE, "wrong_chip")(chip)

    async def read(self) -> "list[Reading]":
        """One forced measurement. SensorError NO_ANSWER, STALE, RANGE, STUCK."""
        self.covered_ms = 0
        if self.state != READY:
            raise SensorError(STALE, False)
        self._identify()  # this chip has no checksums: a bus out of step shows here
        data = await self._measure()
        if data is None:
            data = await self._measure()  # a stall of the board can hide the flag; twice in a row it does not
        if data is None:
            # Perhaps the chip lost its supply for a moment: it has forgotten its set-up.
            raise SensorError(STALE, False)
        if self._repeats.seen(data):
            raise SensorError(STUCK, self._repeats.worth_waiting())
        temperature, humidity, pressure = decode(self._calibration, data)
        self._silent = 0
        self.covered_ms = self._covered.reading()
        values = (temperature + self._offset_cdeg * 10, humidity, pressure)
        return [self.items[at] + (values[at], GOOD) for at in range(3)]

    async def _measure(self) -> "bytes | None":
        """The data bytes, or None when nothing shows that they are new."""
        clock = self._clock
        self._write(_REG_CTRL_HUM, 0x01)  # takes effect with the next write to ctrl_meas
        self._write(_REG_CTRL_MEAS, 0x25)  # x1, x1, forced
        began = clock.ticks_ms()
        was_measuring = False
        while True:
            measuring = self._read(_REG_STATUS, 1)[0] & _MEASURING
            elapsed = clock.ticks_diff(clock.ticks_ms(), began)
            if measuring:
                was_measuring = True
            elif was_measuring or elapsed > _MEASURE_MS:
                break
            if elapsed > _LATE_MS:
                return None
            await clock.sleep_ms(2)
        data = bytes(self._read(_REG_DATA, 8))
        new = was_measuring or data != self._last
        self._last = data
        return data if new else None

    async def stop(self) -> None:
        """Sleep mode."""
        self.state = WARMUP
        try:
            self._write(_REG_CTRL_MEAS, 0x24)
        except SensorError:
            pass  # a chip that does not answer is at rest as far as we can bring it there

    async def self_test(self) -> "list[TestRow]":
        """Chip id, calibration, one plausible reading."""
        rows: "list[TestRow]" = await seldom(CARE, "self_test")(self)
        return rows
