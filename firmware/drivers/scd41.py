"""Sensirion SCD41 (also SCD40, SCD43): CO2, temperature, humidity over I2C (address 0x62, at most 100 kHz).

A reading every 5 s (or 30 s), which can be fetched once: without a new one the chip does not answer. It has no status
word; a chip at rest is powered down, and does not acknowledge the command that wakes it.
"""

from firmware.drivers import NO_ANSWER, WARMUP, SensorError, const
from firmware.drivers.announced import Announced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_START = const(0x21B1)
_START_LOW_POWER = const(0x21AC)
_STOP = const(0x3F86)
_VARIANT = const(0x202F)
_SELF_CALIBRATION = const(0x2416)
_OFFSET = const(0x241D)
_ALTITUDE = const(0x2427)
_SELF_TEST = const(0x3639)
_SERIAL = const(0x3682)
_POWER_DOWN = const(0x36E0)
_WAKE = const(0x36F6)

_CO2_MAX = const(40000)


def decode(payload: bytes) -> "tuple[int | None, ...] | None":
    """6 bytes: CO2 (0.1 ppm), temperature (0.001 Cel), humidity (0.01 %). None if CO2 is 0 or beyond the chip's range."""
    co2 = payload[0] << 8 | payload[1]
    if not 0 < co2 <= _CO2_MAX:
        return None
    temperature = payload[2] << 8 | payload[3]
    humidity = payload[4] << 8 | payload[5]
    # -45 + 175 w / 65535 and 100 w / 65535, shortened by 5, halves upwards
    return co2 * 10, (temperature * 70000 + 13107) // 26214 - 45000, (humidity * 4000 + 13107) // 26214


def offset_word(offset_cdeg: int) -> bytes:
    """The argument that sets the chip's temperature offset."""
    return ((offset_cdeg * 65535 + 8750) // 17500).to_bytes(2, "big")


class SCD41(Announced):
    """See firmware.drivers for what a driver does. `mode` "low_power": a reading every 30 s.

    `altitude_m` and `self_calibration` as for the SEN66; `offset_cdeg` is what the chip itself takes off its temperature
    (its humidity follows).
    """

    CHANNELS = ("co2", "temperature", "humidity")
    ADDRESS = 0x62
    READY = 0xE4B8
    READY_MASK = 0x07FF
    READ = 0xEC05
    SIZE = 6
    ASK_MS = 1
    PATIENCE = 3

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        mode: str = "periodic",
        warmup_ms: int = 10000,
        self_calibration: int = 1,
        altitude_m: int = 0,
        offset_cdeg: int = 400,
        stuck_reads: int = 24,
    ) -> None:
        low = mode == "low_power"
        Announced.__init__(self, bus, clock, instance, 30000 if low else 5000, warmup_ms, stuck_reads)
        self._start = _START_LOW_POWER if low else _START
        self._self_calibration = self_calibration
        self._altitude_m = altitude_m
        self._offset_cdeg = offset_cdeg

    def decode(self, payload: bytes) -> "tuple[int | None, ...] | None":
        return decode(payload)

    async def start(self) -> None:
        """Wake, idle, identify, set up, measure. SensorError NO_ANSWER, BAD_CRC."""
        chip = self._chip
        await self._idle()
        serial = int.from_bytes(await chip.ask(_SERIAL, 1, 6), "big")
        try:
            number = (await chip.ask(_VARIANT, 1, 2))[0] >> 4
            variant = "SCD4%d" % (3 if number == 5 else number)
        except SensorError as error:
            if error.reason != NO_ANSWER:
                raise error
            variant = "SCD4x"  # older ones do not know the question
        self.identity = "%s %012x" % (variant, serial)
        await chip.send(_OFFSET, 1, offset_word(self._offset_cdeg))
        await chip.send(_ALTITUDE, 1, self._altitude_m.to_bytes(2, "big"))
        await chip.send(_SELF_CALIBRATION, 1, self._self_calibration.to_bytes(2, "big"))
        await chip.send(self._start, 1)
        self._failed = 0
        self._began(self._warmup_ms)

    async def _idle(self) -> None:
        """Awake and not measuring, if it is there. What does not fit its state is not acknowledged."""
        self.state = WARMUP
        self._running = False
        for command, wait_ms in ((_WAKE, 30), (_STOP, 500)):
            try:
                await self._chip.send(command, wait_ms)
            except SensorError:
                await self._clock.sleep_ms(wait_ms)

    async def stop(self) -> None:
        """Powered down."""
        self.state = WARMUP
        self._running = False
        for command, wait_ms in ((_STOP, 500), (_POWER_DOWN, 1)):
            try:
                await self._chip.send(command, wait_ms)
            except SensorError:
                pass  # without an answer there is nothing more to stop

    async def self_test(self) -> "list[TestRow]":
        """The chip's own test, which takes 10 s; a chip that was measuring begins anew."""
        rows = []
        was_running = self._running
        try:
            await self._idle()
            found = int.from_bytes(await self._chip.ask(_SELF_TEST, 10000, 2), "big")
            rows.append(("self test", found == 0, found))
            if was_running:
                await self.start()
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
