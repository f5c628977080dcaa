"""Sensirion SHT40, SHT41, SHT43, SHT45: temperature and humidity over I2C (0x44, 0x45 or 0x46, up to 1 MHz).

Commands have 8 bits; each gives one result, which can be fetched once. Before it is there the chip does not answer.
"""

from firmware.drivers import (
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    WARMING_UP,
    WARMUP,
    Covered,
    Repeats,
    SensorError,
    const,
)
from firmware.drivers.sensirion import Commands
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

_MEASURE = const(0xFD)  # highest precision
_SERIAL = const(0x89)
_RESET = const(0x94)
_HEAT = const(0x39)  # 200 mW for 1 s, then a measurement

_WAIT_MS = const(10)
_HEATED_MS = const(1100)
_COOL_MS = const(30000)
_TRIES = const(3)  # fetches of one result, 10 ms apart: the chip is slow, not silent
_PATIENCE = const(5)  # failures in a row, then it is reset
_HEAT_MAX_MDEG = const(65000)  # the heater is for air below 65 degrees


def decode(payload: bytes) -> "tuple[int, int]":
    """4 bytes: temperature (0.001 Cel), humidity (0.01 %, clipped to 0..100 as the maker asks)."""
    temperature = payload[0] << 8 | payload[1]
    humidity = payload[2] << 8 | payload[3]
    # -45 + 175 w / 65535 and -6 + 125 w / 65535, shortened by 5, halves upwards
    percent = (humidity * 5000 + 13107) // 26214 - 600
    return (temperature * 70000 + 13107) // 26214 - 45000, min(max(percent, 0), 10000)


class SHT4x:
    """See firmware.drivers for what a driver does. `address` 0x44 (type A), 0x45 (B) or 0x46 (C)."""

    CHANNELS = ("temperature", "humidity")
    SETTINGS = ("temperature_offset_cdeg", "sample_ms")
    period_ms = 1000

    def __init__(
        self, bus: "Any", clock: "Any", instance: int = 0, address: int = 0x44, stuck_reads: int = 120
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._chip = Commands(bus, clock, address)
        self._clock = clock
        self._repeats = Repeats(stuck_reads)
        self._covered = Covered(clock, self.period_ms)
        self._offset_mdeg = 0
        self._running = False
        self._failed = 0  # in a row
        self._heated_ms = 0

    def configure(self, name: str, value: int) -> None:
        """`temperature_offset_cdeg` is added to the temperature alone."""
        if name == "temperature_offset_cdeg":
            self._offset_mdeg = value * 10
        elif name == "sample_ms":
            self.period_ms = self._covered.period_ms = value

    async def _result(self, command: int, wait_ms: int) -> bytes:
        chip = self._chip
        await chip.put(bytes((command,)), wait_ms, command)
        tries = _TRIES
        while True:
            try:
                return chip.take(4, command)
            except SensorError as error:
                tries -= 1
                if error.reason != NO_ANSWER or not tries:
                    raise error
            await self._clock.sleep_ms(_WAIT_MS)

    async def start(self) -> None:
        """Reset, identify. SensorError NO_ANSWER, BAD_CRC."""
        self.state = WARMUP
        self._running = False
        await self._chip.put(bytes((_RESET,)), _WAIT_MS, _RESET)
        serial = await self._result(_SERIAL, _WAIT_MS)
        self.identity = "SHT4x serial %d" % int.from_bytes(serial, "big")
        self._covered.restart()
        self._running = True
        self.state = READY

    async def read(self) -> "list[Reading]":
        """One measurement. SensorError NO_ANSWER, BAD_CRC, RANGE, STUCK, WARMING_UP (it is hot from its heater)."""
        self.covered_ms = 0
        if not self._running:
            raise SensorError(STALE, retry=False)
        if self.state == WARMUP:
            if self._clock.ticks_diff(self._clock.ticks_ms(), self._heated_ms) < _COOL_MS:
                raise SensorError(WARMING_UP)
            self.state = READY
        try:
            payload = await self._result(_MEASURE, _WAIT_MS)
        except SensorError as error:
            if error.reason == NO_ANSWER:
                self._failed += 1
                error.retry = self._failed % _PATIENCE != 0
            raise error
        self._failed = 0
        temperature, humidity = decode(payload)
        if not -40000 <= temperature <= 125000:
            raise SensorError(RANGE)
        if self._repeats.seen(payload):
            raise SensorError(STUCK, retry=self._repeats.worth_waiting())
        self.covered_ms = self._covered.reading()
        return [self.items[0] + (temperature + self._offset_mdeg, GOOD), self.items[1] + (humidity, GOOD)]

    async def clean(self) -> None:
        """Drive off condensed water by a second of heat; values are not valid for 30 s (the state goes to WARMUP)."""
        if self.state == WARMUP and self._clock.ticks_diff(self._clock.ticks_ms(), self._heated_ms) < _COOL_MS:
            return  # it is still hot: the maker allows the heater a tenth of the time
        temperature, _ = decode(await self._result(_MEASURE, _WAIT_MS))
        if temperature < _HEAT_MAX_MDEG:
            await self._result(_HEAT, _HEATED_MS)
            self._heated_ms = self._clock.ticks_ms()
            self.state = WARMUP

    async def stop(self) -> None:
        """It rests by itself between measurements (80 nA)."""
        self.state = WARMUP
        self._running = False

    async def self_test(self) -> "list[TestRow]":
        """Serial number and one measurement."""
        rows = []
        try:
            serial = await self._result(_SERIAL, _WAIT_MS)
            rows.append(("serial", True, int.from_bytes(serial, "big")))
            temperature, humidity = decode(await self._result(_MEASURE, _WAIT_MS))
            rows.append(("temperature 0.001 Cel", -40000 <= temperature <= 125000, temperature))
            rows.append(("humidity 0.01 %", True, humidity))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
