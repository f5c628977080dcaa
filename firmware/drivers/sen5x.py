"""Sensirion SEN54 and SEN55: particles, humidity, temperature, VOC and (SEN55) NOx index over I2C (0x69, 100 kHz)."""

from firmware.drivers import WARMUP, const
from firmware.drivers.sen import CLIMATE, GAS, PM, Sen, decode

_CLEAN = const(0x5607)
_INTERVAL = const(0x8004)
_CLEANING_MS = const(12000)  # 10 s at full speed, and time to slow down


class SEN5x(Sen):
    """See firmware.drivers for what a driver does. A SEN54 never gives `nox_index`."""

    CHANNELS = ("pm1", "pm2_5", "pm4", "pm10", "humidity", "temperature", "voc_index", "nox_index")
    ADDRESS = 0x69
    READ = 0x03C4
    SIZE = 16
    NAME = "SEN5"
    VERSION_BYTES = 8
    STOP_MS = 200
    RESET_MS = 100
    STATUS_BITS = (
        (4, PM, CLIMATE | GAS),  # fan: no air comes in
        (5, PM, 0),  # laser
        (6, CLIMATE, GAS),  # the indices are corrected by it
        (7, GAS, 0),
        (19, 0, PM),  # cleaning, by itself
        (21, 0, PM),  # fan speed
    )

    def decode(self, payload: bytes) -> "tuple[int | None, ...] | None":
        return decode(payload)

    async def _measure(self) -> None:
        await self._chip.send(_INTERVAL, 20, bytes(4))  # never by itself: this driver counts, and knows when
        await Sen._measure(self)

    async def clean(self) -> None:
        """Clean the fan now, while it measures; values are not valid for 12 s (the state goes back to WARMUP)."""
        await self._chip.send(_CLEAN, 20)
        self._began(max(_CLEANING_MS, self._needed_ms if self.state == WARMUP else 0))
