"""A power chip as on a T-Beam: X-Powers AXP192 (v1.1) or AXP2101 (v1.2). Chips that name one of its rails live by it.

Registers, ranges and steps: data sheets AXP192 v1.1, AXP2101 v1.4, the same as in XPowersLib's AXP192Constants.h and
AXP2101Constants.h.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tools.sim.chips.base import Chip, Nack
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.world import World


class Rail(NamedTuple):
    """Where a rail's voltage and switch stand. In mV: lowest, and a step."""

    voltage: int
    shift: int
    width: int
    lowest: int
    step: int
    switch: int
    bit: int


RAILS = {
    "axp192": {
        "dcdc1": Rail(0x26, 0, 7, 700, 25, 0x12, 0),
        "dcdc3": Rail(0x27, 0, 7, 700, 25, 0x12, 1),
        "ldo2": Rail(0x28, 4, 4, 1800, 100, 0x12, 2),
        "ldo3": Rail(0x28, 0, 4, 1800, 100, 0x12, 3),
    },
    "axp2101": {
        f"{kind}{number}": Rail(0x92 + at, 0, 5, 500, 100, 0x90, at)
        for at, (kind, number) in enumerate(
            (("aldo", 1), ("aldo", 2), ("aldo", 3), ("aldo", 4), ("bldo", 1), ("bldo", 2))
        )
    },
}
IDENTITY = {"axp192": 0x03, "axp2101": 0x4A}
AT_POWER_UP = {
    "axp192": {0x12: 0x13, 0x26: 0x48, 0x27: 0x68, 0x28: 0xCC},
    "axp2101": {0x90: 0x00},
}  # the ESP32 alone is fed
ENOUGH_MV = (3000, 3700)


class AXP(Chip):
    """`kind`: axp192 or axp2101. `fed` says which rails give what, in mV."""

    address = 0x34
    FAULTS = {
        "nack": "does not acknowledge",
        "short": "rails with a load go off again as soon as they come on",
        "unknown_id": "another chip of the family answers",
    }

    def __init__(
        self, world: World, seed: int, *, site: int = 0, faults: Iterable[str] = (), kind: str = "axp192"
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.kind = kind
        self.loads: list[RadioChip] = []
        self._registers: dict[int, int] = {}
        self._at = 0

    @property
    def fed(self) -> dict[str, int]:
        return {
            name: rail.lowest + rail.step * (self._registers.get(rail.voltage, 0) >> rail.shift & (1 << rail.width) - 1)
            for name, rail in RAILS[self.kind].items()
            if self.powered and self._registers.get(rail.switch, 0) >> rail.bit & 1
        }

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._registers = {0x03: IDENTITY[self.kind], **AT_POWER_UP[self.kind]}
        self._feed()

    def power_off(self) -> None:
        super().power_off()
        self._feed()

    def write(self, data: bytes, now_us: int) -> None:
        self._answer()
        self._at = data[0]
        for value in data[1:]:
            if self._at != 0x03:
                self._registers[self._at] = value
            self._at += 1
        if len(data) > 1:
            if "short" in self.faults:
                for rail in {load.supply for load in self.loads} & set(self.fed):
                    self._registers[RAILS[self.kind][rail].switch] &= ~(1 << RAILS[self.kind][rail].bit)
            self._feed()

    def read(self, count: int, now_us: int) -> bytes:
        self._answer()
        out = bytes(self._registers.get(self._at + at, 0) for at in range(count))
        return b"\x15" + out[1:] if self._at == 0x03 and "unknown_id" in self.faults else out

    def _answer(self) -> None:
        if not self.powered or "nack" in self.faults:
            raise Nack("no answer")

    def _feed(self) -> None:
        fed = self.fed
        for load in self.loads:
            load.feed(ENOUGH_MV[0] <= fed.get(load.supply, 0) <= ENOUGH_MV[1])
