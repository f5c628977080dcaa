"""Bosch BME280 (temperature, pressure, humidity) on I2C, by its registers.

The way from physical values to converter codes is the inverse of the data sheet's compensation, found by halving an
interval over a floating-point form of it.
"""

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tools.sim.chance import gauss
from tools.sim.chips.base import Chip, Nack
from tools.sim.world import World

_START_UP_US = 2_000
_OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
_STANDBY_US = (500, 62_500, 125_000, 250_000, 500_000, 1_000_000, 10_000, 20_000)
_FILTER = (1, 2, 4, 8, 16, 16, 16, 16)
_SKIPPED = bytes((0x80, 0, 0, 0x80, 0, 0, 0x80, 0))
_RESET_VALUE = 0xB6


class Calibration(NamedTuple):
    """The factory's numbers, in the order of their registers."""

    t1: int
    t2: int
    t3: int
    p1: int
    p2: int
    p3: int
    p4: int
    p5: int
    p6: int
    p7: int
    p8: int
    p9: int
    h1: int
    h2: int
    h3: int
    h4: int
    h5: int
    h6: int

    def registers(self) -> tuple[bytes, bytes]:
        """The bytes at 0x88..0xA1 and 0xE1..0xE7."""
        low = struct.pack("<HhhHhhhhhhhhBB", *self[:12], 0, self.h1)
        high = struct.pack("<hB", self.h2, self.h3)
        high += bytes((self.h4 >> 4 & 0xFF, (self.h5 & 0x0F) << 4 | self.h4 & 0x0F, self.h5 >> 4 & 0xFF))
        return low, high + struct.pack("<b", self.h6)


CALIBRATIONS = {
    "A": Calibration(
        *(27504, 26435, -1000),
        *(36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000),
        *(75, 362, 0, 315, 50, 30),
    ),
    "B": Calibration(
        *(28485, 26735, 50),
        *(36738, -10635, 3024, 6980, -4, -7, 9900, -10230, 4285),
        *(75, 370, 0, 305, 50, 30),
    ),
}


def fine_temperature(c: Calibration, code: float) -> float:
    """Temperature in 1/5120 degC from a 20-bit code."""
    first = (code / 16384.0 - c.t1 / 1024.0) * c.t2
    part = code / 131072.0 - c.t1 / 8192.0
    return first + part * part * c.t3


def pressure_pa(c: Calibration, code: float, fine: float) -> float:
    """Pressure in Pa from a 20-bit code."""
    half = fine / 2.0 - 64000.0
    offset = half * half * c.p6 / 32768.0 + half * c.p5 * 2.0
    offset = offset / 4.0 + c.p4 * 65536.0
    slope = (1.0 + (c.p3 * half * half / 524288.0 + c.p2 * half) / 524288.0 / 32768.0) * c.p1
    rough = (1048576.0 - code - offset / 4096.0) * 6250.0 / slope
    return rough + (c.p9 * rough * rough / 2147483648.0 + rough * c.p8 / 32768.0 + c.p7) / 16.0


def humidity_pct(c: Calibration, code: float, fine: float) -> float:
    """Relative humidity in % from a 16-bit code; not clipped."""
    warm = fine - 76800.0
    level = code - (c.h4 * 64.0 + c.h5 / 16384.0 * warm)
    level *= c.h2 / 65536.0 * (1.0 + c.h6 / 67108864.0 * warm * (1.0 + c.h3 / 67108864.0 * warm))
    return level * (1.0 - c.h1 * level / 524288.0)


def _code_for(wanted: float, top: int, value_of: Callable[[float], float], rising: bool) -> int:
    """The code in 0..top whose value comes next to `wanted`, for a monotonic curve."""
    low, high = 0, top
    while high - low > 1:
        middle = (low + high) // 2
        if (value_of(middle) < wanted) == rising:
            low = middle
        else:
            high = middle
    return low if abs(value_of(low) - wanted) <= abs(value_of(high) - wanted) else high


def codes_for(c: Calibration, degc: float, pascal: float, rh_pct: float) -> tuple[int, int, int]:
    """(T, P, H) converter codes for physical values."""
    t_code = _code_for(degc * 5120.0, 0xFFFFF, lambda code: fine_temperature(c, code), True)
    fine = fine_temperature(c, t_code)
    p_code = _code_for(pascal, 0xFFFFF, lambda code: pressure_pa(c, code, fine), False)
    h_code = _code_for(rh_pct, 0xFFFF, lambda code: humidity_pct(c, code, fine), True)
    return t_code, p_code, h_code


class BME280(Chip):
    """A BME280. Parameters: address 0x76/0x77, calibration "A"/"B", self_heating_degc (in a box 0.5..1.5)."""

    FAULTS = {
        "silence": "nothing is acknowledged",
        "stuck": "conversions give the last values again",
        "byte_shift": "each answer lacks its first byte and ends in FF",
        "bus_held": "holds SDA low until it is clocked free: the whole bus hangs",
        "late_answer": "a conversion takes twenty times as long",
        "wrong_chip_id": "it is a BMP280: id 0x58, no humidity",
        "blank_calibration": "calibration reads FF everywhere",
        "all_ff": "the data line hangs high: everything reads FF",
        "not_triggered": "a forced conversion is not started: old values, no flag",
        "wet": "humidity stays at 100 % after condensation",
        "soaked": "the humidity converter is at its stop",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        address: int = 0x76,
        calibration: str = "A",
        self_heating_degc: float = 0.0,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.address = address
        self.calibration = CALIBRATIONS[calibration]
        self.self_heating_degc = self_heating_degc
        # (T, P, H) converter codes instead of the world's; for trials.
        self.fixed: tuple[int, int, int] | None = None
        self.power_on(world.start_s * 1_000_000 - 10 * _START_UP_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._silent_until_us = now_us + _START_UP_US
        self._reset(now_us)

    def _reset(self, now_us: int) -> None:
        self._copied_us = now_us + _START_UP_US  # im_update: factory numbers are copied until then
        self._pointer = 0
        self._ctrl_hum = 0  # as written
        self._osr_h = 0  # as in force: taken over by a write to ctrl_meas
        self._ctrl_meas = 0
        self._config = 0
        self._data = _SKIPPED
        self._filtered: tuple[float, float] | None = None
        self._ready_us: int | None = None  # end of the forced conversion under way
        self._cycle_us = 0  # begin of the next cycle in normal mode

    # --- Bus ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, now_us: int) -> None:
        """A register number, then its value and further pairs of number and value."""
        self._listen(now_us)
        if not data:
            return
        self._pointer = data[0]
        self._store(data[0], data[1:2], now_us)
        for place in range(2, len(data), 2):
            self._store(data[place], data[place + 1 : place + 2], now_us)

    def read(self, n: int, now_us: int) -> bytes:
        """n registers from the pointer on, all of one instant (shadowed)."""
        self._listen(now_us)
        self._advance(now_us)
        first = self._pointer
        self._pointer = (first + n) & 0xFF
        if "all_ff" in self.faults:
            return b"\xff" * n
        answer = bytes(self._register((first + place) & 0xFF, now_us) for place in range(n))
        if "byte_shift" in self.faults:
            answer = answer[1:] + b"\xff"
        return answer

    def _listen(self, now_us: int) -> None:
        if not self.powered:
            raise Nack("no supply")
        if "silence" in self.faults:
            raise Nack("fault: silence")
        if now_us < self._silent_until_us:
            raise Nack("starting up")

    def _store(self, register: int, value: bytes, now_us: int) -> None:
        if not value:
            return
        self._advance(now_us)
        if register == 0xE0 and value[0] == _RESET_VALUE:
            self._reset(now_us)
        elif register == 0xF2:
            self._ctrl_hum = value[0] & 0x07
        elif register == 0xF4:
            self._osr_h = self._ctrl_hum
            self._ctrl_meas = value[0]
            self._begin(now_us)
        elif register == 0xF5 and self._ctrl_meas & 3 != 3:
            self._config = value[0]  # in normal mode the write is lost
            self._filtered = None

    def _register(self, register: int, now_us: int) -> int:
        low, high = self.calibration.registers()
        copied = now_us >= self._copied_us
        if register == 0xD0:
            value = 0x58 if "wrong_chip_id" in self.faults else 0x60
        elif 0x88 <= register <= 0xA1:
            value = low[register - 0x88] if copied else 0
        elif 0xE1 <= register <= 0xE7:
            value = high[register - 0xE1] if copied else 0
        elif 0xF7 <= register <= 0xFE:
            value = self._data[register - 0xF7]
        else:
            value = {0xF2: self._ctrl_hum, 0xF4: self._ctrl_meas, 0xF5: self._config}.get(register, 0)
        calibrated = 0x88 <= register <= 0xA1 or 0xE1 <= register <= 0xE7
        if calibrated and "blank_calibration" in self.faults:
            value = 0xFF
        if register == 0xF3:
            value = (0x08 if self._measuring(now_us) else 0) | (0 if copied else 0x01)
        return value

    # --- Conversions -------------------------------------------------------------------------------------------

    @property
    def conversion_us(self) -> int:
        """How long a conversion takes: the data sheet's longest."""
        osr_t, osr_p, osr_h = self._oversampling()
        lasts_us = 1250 + 2300 * osr_t
        lasts_us += 2300 * osr_p + 575 if osr_p else 0
        lasts_us += 2300 * osr_h + 575 if osr_h else 0
        return lasts_us * (20 if "late_answer" in self.faults else 1)

    def _oversampling(self) -> tuple[int, int, int]:
        meas = self._ctrl_meas
        return _OVERSAMPLING[meas >> 5], _OVERSAMPLING[meas >> 2 & 7], _OVERSAMPLING[self._osr_h]

    def _begin(self, now_us: int) -> None:
        mode = self._ctrl_meas & 3
        self._ready_us = None
        if mode == 3:
            self._cycle_us = now_us
        elif mode and "not_triggered" in self.faults:
            self._ctrl_meas &= ~3
        elif mode:
            self._ready_us = now_us + self.conversion_us

    def _measuring(self, now_us: int) -> bool:
        if self._ctrl_meas & 3 == 3:
            return 0 <= now_us - self._cycle_us < self.conversion_us  # negative: standing by for the next cycle
        return self._ready_us is not None

    def _advance(self, now_us: int) -> None:
        if self._ready_us is not None and now_us >= self._ready_us:
            self._convert(self._ready_us)
            self._ready_us = None
            self._ctrl_meas &= ~3  # forced mode falls asleep by itself
        if self._ctrl_meas & 3 == 3:
            lasts_us = self.conversion_us
            period_us = lasts_us + _STANDBY_US[self._config >> 5]
            ended = (now_us - self._cycle_us - lasts_us) // period_us + 1
            if ended > 0:
                # The filter forgets: what was 64 cycles ago is no longer in the values.
                for cycle in range(max(0, ended - 64), ended):
                    self._convert(self._cycle_us + cycle * period_us + lasts_us)
                self._cycle_us += ended * period_us

    def _convert(self, at_us: int) -> None:
        """Put the world's air of an instant into the data registers."""
        if "stuck" in self.faults and self._data != _SKIPPED:
            return
        t_code, p_code, h_code = self.fixed or self._codes(at_us)
        if "soaked" in self.faults:
            h_code = 0xFFFF
        osr_t, osr_p, osr_h = self._oversampling()
        strength = _FILTER[self._config >> 2 & 7]
        temperature, pressure = float(t_code), float(p_code)
        if strength > 1 and self._filtered is not None:
            temperature = (self._filtered[0] * (strength - 1) + temperature) / strength
            pressure = (self._filtered[1] * (strength - 1) + pressure) / strength
        self._filtered = (temperature, pressure)
        t_code = _resolved(round(temperature), osr_t, strength) if osr_t else 0x80000
        p_code = _resolved(round(pressure), osr_p, strength) if osr_p else 0x80000
        h_code = h_code if osr_h and "wrong_chip_id" not in self.faults else 0x8000
        self._data = (p_code << 4).to_bytes(3, "big") + (t_code << 4).to_bytes(3, "big") + h_code.to_bytes(2, "big")

    def _codes(self, at_us: int) -> tuple[int, int, int]:
        """The converter codes for the world's air, with the noise of the sensor."""
        air = self.world.air(at_us / 1e6, self.site)
        return codes_for(
            self.calibration,
            air.temperature_degc + self.self_heating_degc + 0.003 * gauss(self.seed, at_us, 1),
            air.pressure_hpa * 100.0 + 1.2 * gauss(self.seed, at_us, 2),
            100.0 if "wet" in self.faults else air.humidity_pct + 0.02 * gauss(self.seed, at_us, 3),
        )


def _resolved(code: int, oversampling: int, filter_strength: int) -> int:
    """Drop the bits that a conversion does not resolve: 16 bits at x1, one more each doubling, 20 with the filter."""
    missing = 0 if filter_strength > 1 else 5 - oversampling.bit_length()
    return code >> missing << missing
