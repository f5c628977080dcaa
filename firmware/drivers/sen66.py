"""Sensirion SEN66: particles, humidity, temperature, VOC and NOx index, CO2 over I2C (address 0x6B, 100 kHz, 3.3 V)."""

from firmware.drivers import const
from firmware.drivers.sen import CLIMATE, GAS, PM, Sen
from firmware.drivers.sen import decode as decode_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CLEAN = const(0x5607)
_SELF_CALIBRATION = const(0x6711)
_ALTITUDE = const(0x6736)
_CLEANING_MS = const(10500)  # 10 s at full speed; a SEN66 does it at rest only
_CO2 = const(0x100)


def decode(payload: bytes) -> "tuple[int | None, ...] | None":
    """18 bytes: those of a SEN5x, then CO2 (0.1 ppm)."""
    first = decode_first(payload)
    if first is None:
        return None
    co2 = payload[16] << 8 | payload[17]
    return first + (None if co2 == 0xFFFF else co2 * 10,)


class SEN66(Sen):
    """See firmware.drivers for what a driver does.

    `altitude_m` of the place, for the air pressure that CO2 needs. `self_calibration` takes the lowest CO2 of a week for
    fresh air (400 ppm): right outdoors, wrong in a tunnel.
    """

    CHANNELS = ("pm1", "pm2_5", "pm4", "pm10", "humidity", "temperature", "voc_index", "nox_index", "co2")
    ADDRESS = 0x6B
    READ = 0x0300
    SIZE = 18
    NAME = "SEN66"
    STOP_MS = 1000
    RESET_MS = 1200
    STATUS_BITS = (
        (4, PM, CLIMATE | GAS | _CO2),  # fan: no air comes in
        (6, CLIMATE, GAS),  # the indices are corrected by it
        (7, GAS, 0),
        (9, _CO2, 0),
        (11, PM, 0),
        (21, 0, PM),  # fan speed
    )

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        warmup_ms: int = 30000,
        clean_interval_s: int = 604800,
        clean_at_start: int = 1,
        learning_s: int = 3600,
        stuck_reads: int = 120,
        altitude_m: int = 0,
        self_calibration: int = 1,
    ) -> None:
        Sen.__init__(
            self, bus, clock, instance, warmup_ms, clean_interval_s, clean_at_start, learning_s, stuck_reads
        )  # fmt: skip
        self._altitude_m = altitude_m
        self._self_calibration = self_calibration

    def decode(self, payload: bytes) -> "tuple[int | None, ...] | None":
        return decode(payload)

    async def _measure(self) -> None:
        await self._chip.send(_ALTITUDE, 20, self._altitude_m.to_bytes(2, "big"))
        await self._chip.send(_SELF_CALIBRATION, 20, self._self_calibration.to_bytes(2, "big"))
        await Sen._measure(self)

    async def clean(self) -> None:
        """Clean the fan now: 12 s at rest, then it warms up again."""
        await self.stop()
        await self._chip.send(_CLEAN, 20)
        await self._clock.sleep_ms(_CLEANING_MS)
        await self._measure()
