"""Sensirion SCD41 (also SCD40, SCD43) on I2C (data sheet SCD4x; facts in words of our own).

Each reading can be fetched once; a read without one is not acknowledged. A chip that sleeps acknowledges nothing, not
even what wakes it.
"""

from collections.abc import Iterable

from tools.sim.chance import gauss, mix
from tools.sim.chips.base import Nack
from tools.sim.chips.sensirion import FAULTS, SECOND_US, WordChip, in_words
from tools.sim.world import World

IDLE, MEASURING, ASLEEP = "idle", "measuring", "asleep"
STANDARD_HPA = 1013.25
VARIANTS = {"SCD40": 0x0440, "SCD41": 0x1440, "SCD43": 0x5441}


class SCD41(WordChip):
    """`heating_degc`: how much warmer than the air its thermometer is. `offset_ticks`, `altitude_m`,
    `self_calibration`: settings. `fixed`: three words to be measured instead of the world; for trials.
    """

    address = 0x62
    POWER_UP_US = 1_000_000
    FAULTS = FAULTS | {
        "late_answer": "commands take twenty times as long, new data comes every 20 s",
        "no_new_data": "measuring, but no reading is ever ready",
        "broken_cell": "CO2 reads 0, and the chip's own test finds a fault",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        variant: str = "SCD41",
        knows_variant: bool = True,
        heating_degc: float = 4.0,
        serial: int | None = None,
    ) -> None:
        self.variant = VARIANTS[variant]
        self.knows_variant = knows_variant
        self.heating_degc = heating_degc
        self.fixed: tuple[int, int, int] | None = None
        super().__init__(world, seed, site=site, faults=faults)
        self.serial = serial if serial is not None else mix(self.seed, 1) % (1 << 48)

    def _boot(self, now_us: int, lasts_us: int) -> None:
        super()._boot(now_us, lasts_us)
        self.state = IDLE
        self.offset_ticks = round(4.0 * 65535 / 175)
        self.altitude_m = 0
        self.pressure_hpa = 0
        self.self_calibration = 1
        self._period_us = 5 * SECOND_US
        self._started_us = 0
        self._taken = 0  # readings
        self._words: tuple[int, int, int] | None = None

    def write(self, data: bytes, now_us: int) -> None:
        if self.state == ASLEEP:
            self._listen(now_us)
            if data == b"\x36\xf6":
                self.state = IDLE
                self._occupy(now_us, 30)
            raise Nack("asleep")
        super().write(data, now_us)

    def _command(self, command: int, words: list[int], now_us: int) -> None:
        if command == 0xEC05:
            self._require(self.state == MEASURING, "values while idle")
            self._answer = self._newest(now_us)
            self._require(self._answer is not None, "no new reading")
            self._occupy(now_us, 1)
        elif command == 0xE4B8:
            self._answer = in_words(b"\x80\x06" if self._ready(now_us) else b"\x80\x00")
            self._occupy(now_us, 1)
        elif command == 0x3F86:
            self._require(self.state == MEASURING, "stop while idle")
            self.state = IDLE
            self._occupy(now_us, 500)
        elif command == 0xE000:
            self._require(len(words) == 1 and 700 <= words[0] <= 1200, "pressure in hPa")
            self.pressure_hpa = words[0]
            self._occupy(now_us, 1)
        else:
            self._require(self.state == IDLE, "measuring")
            self._at_rest(command, words, now_us)

    def _at_rest(self, command: int, words: list[int], now_us: int) -> None:
        lasts_ms = 1
        if command in (0x21B1, 0x21AC):
            self.state = MEASURING
            self._period_us = (5 if command == 0x21B1 else 30) * SECOND_US
            self._started_us = now_us
            self._taken = 0
        elif command in (0x241D, 0x2427, 0x2416):
            self._require(len(words) == 1, "one word")
            self._set(command, words[0])
        elif command == 0x3682:
            self._answer = in_words(self.serial.to_bytes(6, "big"))
        elif command == 0x202F and self.knows_variant:
            self._answer = in_words(self.variant.to_bytes(2, "big"))
        elif command == 0x3639:
            self._answer = in_words(b"\x00\x04" if "broken_cell" in self.faults else b"\x00\x00")
            lasts_ms = 10_000
        elif command == 0x36E0:
            self.state = ASLEEP
        elif command == 0x3646:
            self._boot(now_us, 30_000)
            return
        else:
            raise Nack(f"unknown command {command:04X}")
        self._occupy(now_us, lasts_ms)

    def _set(self, command: int, word: int) -> None:
        if command == 0x241D:
            self.offset_ticks = word
        elif command == 0x2427:
            self._require(word <= 3000, "altitude")
            self.altitude_m = word
        else:
            self._require(word in (0, 1), "on or off")
            self.self_calibration = word

    # --- Measuring ---------------------------------------------------------------------------------------------

    def _number(self, now_us: int) -> int:
        """How many readings there have been since the start."""
        if self.state != MEASURING or "no_new_data" in self.faults:
            return 0
        number = (now_us - self._started_us) // self._period_us
        return number - number % 4 if "late_answer" in self.faults else number

    def _ready(self, now_us: int) -> bool:
        return self._number(now_us) > self._taken

    def _newest(self, now_us: int) -> bytes | None:
        """The newest reading, once."""
        if not self._ready(now_us):
            return None
        self._taken = self._number(now_us)
        if "stuck" not in self.faults or self._words is None:
            self._words = self.fixed or self._measure(self._started_us + self._taken * self._period_us)
        return in_words(b"".join(word.to_bytes(2, "big") for word in self._words))

    def _measure(self, time_us: int) -> tuple[int, int, int]:
        air = self.world.air(time_us / 1e6, self.site)
        gases = self.world.gases(time_us / 1e6, self.site)
        assumed_hpa = self.pressure_hpa or STANDARD_HPA * (1.0 - self.altitude_m / 44330.0) ** 5.255
        co2 = gases.co2_ppm * air.pressure_hpa / assumed_hpa + 2.0 * gauss(self.seed, time_us, 7)
        degc = air.temperature_degc + self.heating_degc + 0.02 * gauss(self.seed, time_us, 8)
        degc -= self.offset_ticks * 175.0 / 65535.0
        percent = air.humidity_pct + 0.1 * gauss(self.seed, time_us, 9)
        return (
            0 if "broken_cell" in self.faults else round(co2),
            min(0xFFFF, max(0, round((degc + 45.0) * 65535.0 / 175.0))),
            min(0xFFFF, max(0, round(percent * 655.35))),
        )
