"""Sensirion SEN54 or SEN55 on I2C (data sheet SEN5x; facts in words of our own)."""

from collections.abc import Iterable

from tools.sim.chips.sen import MEASURING, SEN_FAULTS, AirModule
from tools.sim.chips.sensirion import SECOND_US, in_words
from tools.sim.world import World


class SEN5x(AirModule):
    """A SEN5x with SEL at GND. `product` "SEN54": no nitrogen oxides. Its fan cleans itself by an interval, too."""

    address = 0x69
    FAULTS = SEN_FAULTS
    READ_COMMAND = 0x03C4
    LASER_ERROR = 1 << 5
    STOP_MS = 160
    RESET_US = 100_000

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        product: str = "SEN55",
        serial: str | None = None,
        firmware: tuple[int, int] = (2, 0),
        self_heating_degc: float = 0.0,
    ) -> None:
        self.firmware = (firmware[0], firmware[1])
        super().__init__(
            world, seed, site=site, faults=faults, product=product, serial=serial, self_heating_degc=self_heating_degc
        )

    def _boot(self, now_us: int, lasts_us: int) -> None:
        super()._boot(now_us, lasts_us)
        self.interval_s = 604800  # volatile
        self._cleaned_us = 0

    def _has_nox(self) -> bool:
        return self.product == "SEN55"

    def _version(self) -> bytes:
        return bytes((*self.firmware, 0, 4, 0, 1, 0, 0))

    def _clean(self, now_us: int) -> None:
        self._require(self.state == MEASURING, "cleaning while idle")
        self._begin_cleaning(now_us)
        self._cleaned_us = now_us

    def _begin(self, now_us: int) -> None:
        super()._begin(now_us)
        self._cleaned_us = now_us

    def _advance(self, now_us: int) -> None:
        due = self.interval_s and now_us - self._cleaned_us >= self.interval_s * SECOND_US
        if due and self.state == MEASURING:
            self._clean(now_us)
        super()._advance(now_us)

    def _special(self, command: int, words: list[int], now_us: int) -> bool:
        if command != 0x8004:
            return False
        if words:
            self._require(len(words) == 2, "interval is two words")
            self.interval_s = words[0] << 16 | words[1]
        else:
            self._answer = in_words(self.interval_s.to_bytes(4, "big"))
        self._occupy(now_us, 20)
        return True
