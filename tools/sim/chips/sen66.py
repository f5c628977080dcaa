"""Sensirion SEN66 on I2C (data sheet SEN6x; facts in words of our own): as a SEN5x, and CO2; its fan is cleaned at rest."""

from collections.abc import Iterable

from tools.sim.chance import gauss
from tools.sim.chips.sen import CLEANING, IDLE, SEN_FAULTS, UNKNOWN, AirModule
from tools.sim.world import World

CO2_BLIND_S = 6
CO2_ERROR = 1 << 9


class SEN66(AirModule):
    """A SEN66. `self_calibration`, `altitude_m`, `pressure_hpa`: what it was told; None: nothing."""

    address = 0x6B
    FAULTS = SEN_FAULTS | {"dead_co2": "CO2 cell broken: its status bit, CO2 unknown"}
    READ_COMMAND = 0x0300
    FIRST_US = 1_100_000
    LASER_ERROR = 1 << 11
    STOP_MS = 1000
    RESET_US = 1_200_000

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        product: str = "SEN66",
        serial: str | None = None,
        firmware: tuple[int, int] = (4, 0),
        self_heating_degc: float = 0.0,
    ) -> None:
        self.firmware = (firmware[0], firmware[1])
        super().__init__(
            world, seed, site=site, faults=faults, product=product, serial=serial, self_heating_degc=self_heating_degc
        )

    def _boot(self, now_us: int, lasts_us: int) -> None:
        super()._boot(now_us, lasts_us)
        self.self_calibration: int | None = None
        self.altitude_m: int | None = None
        self.pressure_hpa: int | None = None

    def _version(self) -> bytes:
        return bytes(self.firmware)

    def _clean(self, now_us: int) -> None:
        self._require(self.state == IDLE, f"cleaning while {self.state}")
        self.state = CLEANING
        self._begin_cleaning(now_us)

    def _special(self, command: int, words: list[int], now_us: int) -> bool:
        if command == 0x6711:
            self._require(self.state == IDLE and words in ([0], [1]), "self-calibration is set at rest")
            self.self_calibration = words[0]
        elif command == 0x6736:
            self._require(self.state == IDLE and len(words) == 1 and words[0] <= 3000, "altitude is set at rest")
            self.altitude_m = words[0]
        elif command == 0x6720:
            self._require(len(words) == 1 and 700 <= words[0] <= 1200, "pressure in hPa")
            self.pressure_hpa = words[0]
        else:
            return False
        self._occupy(now_us, 20)
        return True

    def _errors(self) -> int:
        return super()._errors() | (CO2_ERROR if "dead_co2" in self.faults else 0)

    def _nothing(self) -> tuple[int, ...]:
        return (*super()._nothing(), UNKNOWN)

    def _measure(self, tick: int) -> tuple[int, ...]:
        time_us = self._started_us + self.FIRST_US + (tick - 1) * 1_000_000
        gases = self.world.gases(time_us / 1e6, self.site)
        co2 = round(gases.co2_ppm + 2.0 * gauss(self.seed, time_us, 7))
        blind = tick < CO2_BLIND_S or "dead_co2" in self.faults
        return (*super()._measure(tick), UNKNOWN if blind else co2)
