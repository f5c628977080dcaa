"""Sensirion SHT40 to SHT45 on I2C (data sheet SHT4x; facts in words of our own).

Commands have 8 bits. Each gives one result that can be fetched once, when it is there; before and after, a read is not
acknowledged.
"""

from collections.abc import Iterable

from tools.sim.chance import gauss, mix
from tools.sim.chips.base import Nack
from tools.sim.chips.sensirion import FAULTS, SECOND_US, WordChip, in_words
from tools.sim.world import World

MEASURE_US = {0xFD: 8300, 0xF6: 4500, 0xE0: 1600}
# (duration, how much above the air it is just afterwards) of 200, 110 and 20 mW, long and short
HEAT = {
    0x39: (1_008_300, 60.0), 0x32: (108_300, 45.0), 0x2F: (1_008_300, 33.0), 0x24: (108_300, 25.0),
    0x1E: (1_008_300, 6.0), 0x15: (108_300, 4.5),
}  # fmt: skip
COOLING_US = 6 * SECOND_US


class SHT4x(WordChip):
    """`type` of the address ("A", "B", "C"). `fixed`: two words to be measured instead of the world; for trials."""

    POWER_UP_US = 1000
    FAULTS = FAULTS | {
        "late_answer": "a conversion takes twenty times as long",
        "wet": "water on the sensor: humidity at its upper end",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        type: str = "A",
        serial: int | None = None,
        self_heating_degc: float = 0.0,
    ) -> None:
        self.address = {"A": 0x44, "B": 0x45, "C": 0x46}[type]
        self.self_heating_degc = self_heating_degc
        self.fixed: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        super().__init__(world, seed, site=site, faults=faults)
        self.serial = serial if serial is not None else mix(self.seed, 1) % (1 << 32)

    def _boot(self, now_us: int, lasts_us: int) -> None:
        super()._boot(now_us, lasts_us)
        self._heated_us: int | None = None
        self._heat_degc = 0.0

    def write(self, data: bytes, now_us: int) -> None:
        """One byte: a command."""
        self._listen(now_us)
        if len(data) != 1:
            raise Nack("a command has one byte")
        self._answer = None
        command = data[0]
        if command in MEASURE_US:
            self._convert(now_us, MEASURE_US[command])
        elif command in HEAT:
            lasts_us, self._heat_degc = HEAT[command]
            self._heated_us = now_us + lasts_us
            self._convert(now_us, lasts_us)
        elif command == 0x89:
            self._answer = in_words(self.serial.to_bytes(4, "big"))
        elif command == 0x94:
            self._boot(now_us, 1000)
        else:
            raise Nack(f"unknown command {command:02X}")

    def _convert(self, now_us: int, lasts_us: int) -> None:
        late = self.SLOWNESS if "late_answer" in self.faults else 1
        self._busy_until_us = now_us + lasts_us * late
        if "stuck" not in self.faults or self._last is None:
            self._last = self.fixed or self._measure(now_us + lasts_us)
        self._answer = in_words(b"".join(word.to_bytes(2, "big") for word in self._last))

    def _fetch(self, now_us: int) -> bytes | None:
        answer, self._answer = self._answer, None
        return answer

    def _measure(self, time_us: int) -> tuple[int, int]:
        air = self.world.air(time_us / 1e6, self.site)
        heat = self.self_heating_degc
        if self._heated_us is not None and time_us - self._heated_us < COOLING_US:
            heat += self._heat_degc * (1.0 - (time_us - self._heated_us) / COOLING_US)
        degc = air.temperature_degc + heat + 0.015 * gauss(self.seed, time_us, 8)
        percent = air.humidity_pct * 2.0 ** (-heat / 11.0) + 0.03 * gauss(self.seed, time_us, 9)
        wet = "wet" in self.faults
        return (
            min(0xFFFF, max(0, round((degc + 45.0) * 65535.0 / 175.0))),
            0xFFFF if wet else min(0xFFFF, max(0, round((percent + 6.0) * 65535.0 / 125.0))),
        )
