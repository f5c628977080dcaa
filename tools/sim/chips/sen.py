"""What the simulated SEN5x and SEN66 have in common (data sheets SEN5x and SEN6x; facts in words of our own).

A fan draws air past a laser, a gas cell and a thermometer. New values come once a second; without new ones a read gives
the old ones again. Errors in the status word stay until they are read with clearing, warnings go by themselves.
"""

import math
import struct
from collections.abc import Iterable

from tools.sim.chance import gauss, mix
from tools.sim.chips.base import Nack
from tools.sim.chips.sensirion import FAULTS, SECOND_US, WordChip, in_words
from tools.sim.world import World

IDLE, MEASURING, CLEANING = "idle", "measuring", "cleaning"
CLEANING_US = 10 * SECOND_US
LEARNING_S = 3600.0  # after which a gas index is right
NOX_BLIND_S = 11
WATCH_S = 4  # it looks at itself so often

FAN_SPEED = 1 << 21
FAN_CLEANING = 1 << 19
GAS_ERROR = 1 << 7
CLIMATE_ERROR = 1 << 6
FAN_ERROR = 1 << 4

UNKNOWN = 0xFFFF
UNKNOWN_SIGNED = 0x7FFF

FaultTable = dict[str, str]
SEN_FAULTS: FaultTable = FAULTS | {
    "late_answer": "commands take twenty times as long, new data comes every 4 s",
    "no_new_data": "measuring, but new data is never announced; reads give old values",
    "dead_fan": "fan stands: status FAN and SPEED, particles fall to zero",
    "dead_laser": "laser is dark: its status bit, particles zero",
    "dead_gas": "gas cell broken: its status bit, both indices unknown",
    "dead_climate": "thermometer broken: its status bit, temperature and humidity unknown",
    "slow_fan": "status SPEED alone, particles one third too low",
}


class AirModule(WordChip):
    """`product`, `serial`: what the chip says of itself. `fixed`: ticks to be measured instead of the world; for trials."""

    READ_COMMAND = 0
    FIRST_US = SECOND_US  # until the first data
    LASER_ERROR = 0
    STOP_MS = 0
    RESET_US = 0

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        product: str,
        serial: str | None = None,
        self_heating_degc: float = 0.0,
    ) -> None:
        self.product = product
        self.self_heating_degc = self_heating_degc
        self.fixed: tuple[int, ...] | None = None
        self.cleanings = 0
        super().__init__(world, seed, site=site, faults=faults)
        self.serial = serial if serial is not None else f"{mix(self.seed, 1):016X}"

    def _boot(self, now_us: int, lasts_us: int) -> None:
        super()._boot(now_us, lasts_us)
        self.state = IDLE
        self._live = False
        self._status = 0
        self._started_us = 0
        self._tick = 0
        self._read_tick = 0
        self._ticks: tuple[int, ...] = ()
        self._cleaning_from_us: int | None = None
        self._learned_s = 0.0  # of the volatile compounds; at the start of the measurement

    # --- Commands ----------------------------------------------------------------------------------------------

    def _command(self, command: int, words: list[int], now_us: int) -> None:
        self._advance(now_us)
        self._live = False
        if command == 0x0021:
            self._require(self.state == IDLE, f"start while {self.state}")
            self._begin(now_us)
        elif command == 0x0104:
            self._require(self.state == MEASURING, f"stop while {self.state}")
            self._learned_s = 0.0
            self.state = IDLE
            self._cleaning_from_us = None
            self._occupy(now_us, self.STOP_MS)
        elif command == 0x0202:
            fresh = self.state == MEASURING and self._tick > self._read_tick and "no_new_data" not in self.faults
            self._say(bytes((0, int(fresh))), now_us)
        elif command == self.READ_COMMAND:
            self._live = True
            self._occupy(now_us, 20)
        elif command == 0x5607:
            self._clean(now_us)
            self._occupy(now_us, 20)
        elif command == 0x6181:
            self._voc_state(words, now_us)
        elif command == 0xD014:
            self._say(self.product.encode("ascii").ljust(32, b"\0"), now_us)
        elif command == 0xD033:
            self._say(self.serial.encode("ascii").ljust(32, b"\0")[:32], now_us)
        elif command == 0xD100:
            self._say(self._version(), now_us)
        elif command in (0xD206, 0xD210):
            self._say(self._status.to_bytes(4, "big"), now_us)
            if command == 0xD210:
                self._status &= FAN_SPEED | FAN_CLEANING  # an error that lasts is found again
        elif command == 0xD304:
            self._boot(now_us, self.RESET_US)
        elif not self._special(command, words, now_us):
            raise Nack(f"unknown command {command:04X}")

    def _special(self, command: int, words: list[int], now_us: int) -> bool:
        """A command that only this kind knows; False if it does not either."""
        raise NotImplementedError

    def _version(self) -> bytes:
        raise NotImplementedError

    def _clean(self, now_us: int) -> None:
        raise NotImplementedError

    def _say(self, data: bytes, now_us: int) -> None:
        self._answer = in_words(data)
        self._occupy(now_us, 20)

    def _begin(self, now_us: int) -> None:
        self.state = MEASURING
        self._started_us = now_us
        self._tick = self._read_tick = 0
        self._ticks = ()
        self._occupy(now_us, 50)

    def _voc_state(self, words: list[int], now_us: int) -> None:
        """What the index has learned; it may be given back to a chip at rest."""
        if words:
            self._require(self.state == IDLE and len(words) == 4, "the state of the index is given at rest")
            self._learned_s = struct.unpack(">d", b"".join(word.to_bytes(2, "big") for word in words))[0]
            self._occupy(now_us, 20)
        else:
            self._say(struct.pack(">d", self._learned(now_us)), now_us)

    def _learned(self, now_us: int) -> float:
        return self._learned_s + ((now_us - self._started_us) / 1e6 if self.state == MEASURING else 0.0)

    def _fetch(self, now_us: int) -> bytes | None:
        if not self._live:
            return self._answer
        self._advance(now_us)
        self._read_tick = self._tick
        return in_words(self._encoded(self._ticks or self._nothing()))

    def _encoded(self, ticks: tuple[int, ...]) -> bytes:
        return b"".join((tick & 0xFFFF).to_bytes(2, "big") for tick in ticks)

    # --- Measuring ---------------------------------------------------------------------------------------------

    @property
    def cleaning(self) -> bool:
        """Whether the fan cleans itself (as of the last transfer)."""
        return self._cleaning_from_us is not None

    def _begin_cleaning(self, now_us: int) -> None:
        self._cleaning_from_us = now_us
        self.cleanings += 1

    def _advance(self, now_us: int) -> None:
        """Bring values, cleaning and status to the present."""
        if self._cleaning_from_us is not None and now_us - self._cleaning_from_us >= CLEANING_US:
            self._cleaning_from_us = None
            self.state = IDLE if self.state == CLEANING else self.state
        self._warn()
        if self.state != MEASURING:
            return
        tick = (now_us - self._started_us - self.FIRST_US) // SECOND_US + 1
        if "late_answer" in self.faults:
            tick -= tick % 4
        if tick <= self._tick:
            return
        if tick // WATCH_S > self._tick // WATCH_S:
            self._status |= self._errors()
        self._tick = tick
        if "stuck" not in self.faults or not self._ticks:
            dust = self._ticks[:4] if self.cleaning and self._ticks else None
            self._ticks = self.fixed or self._measure(tick)
            if dust is not None:
                self._ticks = dust + self._ticks[4:]  # particles are not renewed at full fan speed

    def _errors(self) -> int:
        """Bits of what is broken."""
        found = {
            "dead_fan": FAN_ERROR, "dead_laser": self.LASER_ERROR, "dead_gas": GAS_ERROR, "dead_climate": CLIMATE_ERROR,
        }  # fmt: skip
        return sum(bit for fault, bit in found.items() if fault in self.faults)

    def _warn(self) -> None:
        slow = self.state == MEASURING and self.faults & {"slow_fan", "dead_fan"}
        self._status &= ~(FAN_SPEED | FAN_CLEANING)
        self._status |= (FAN_SPEED if slow else 0) | (FAN_CLEANING if self.cleaning else 0)

    def _nothing(self) -> tuple[int, ...]:
        return (UNKNOWN,) * 4 + (UNKNOWN_SIGNED,) * 4

    def _measure(self, tick: int) -> tuple[int, ...]:
        """Particles, humidity, temperature, indices in the chip's units: truth, run-in after start, a little noise."""
        time_us = self._started_us + self.FIRST_US + (tick - 1) * SECOND_US
        air = self.world.air(time_us / 1e6, self.site)
        gain = (1.0 - math.exp(-tick / 2.5)) * (1.0 + 0.02 * gauss(self.seed, time_us, 2))
        if "slow_fan" in self.faults:
            gain *= 0.67
        if self.faults & {"dead_fan", "dead_laser"}:
            gain = 0.0
        dust = tuple(min(round(value * gain * 10.0), 0xFFFE) for value in air[:4])
        return (*dust, *self._climate(time_us), *self._indices(time_us, tick))

    def _climate(self, time_us: int) -> tuple[int, int]:
        if "dead_climate" in self.faults:
            return UNKNOWN_SIGNED, UNKNOWN_SIGNED
        air = self.world.air(time_us / 1e6, self.site)
        humidity = air.humidity_pct + 0.05 * gauss(self.seed, time_us, 4)
        degc = air.temperature_degc + self.self_heating_degc + 0.02 * gauss(self.seed, time_us, 5)
        return round(humidity * 100.0), round(degc * 200.0)

    def _indices(self, time_us: int, tick: int) -> tuple[int, int]:
        if "dead_gas" in self.faults:
            return UNKNOWN_SIGNED, UNKNOWN_SIGNED
        gases = self.world.gases(time_us / 1e6, self.site)
        trust = min(1.0, self._learned(time_us) / LEARNING_S)
        voc = 100.0 * (1.0 + trust * (gases.voc - 1.0)) * (1.0 + 0.01 * gauss(self.seed, time_us, 6))
        nox = max(1.0, 1.0 + trust * 20.0 * (gases.nox - 1.0))
        blind = tick < NOX_BLIND_S or not self._has_nox()
        return (
            min(5000, max(10, round(voc * 10.0))),
            UNKNOWN_SIGNED if blind else min(5000, round(nox * 10.0)),
        )

    def _has_nox(self) -> bool:
        return True
