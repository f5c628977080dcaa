"""A node and an ear: two drivers of LoRa chips, started on their simulated chips in one ether."""

from __future__ import annotations

from typing import Any

from firmware.drivers.sx1262 import Sx1262
from firmware.drivers.sx1276 import Sx1276
from tests.fakes.radio_stage import RadioStage

# By chip: its driver, and what a board.json says of it.
DRIVERS: dict[str, tuple[type[Sx1262 | Sx1276], dict[str, Any]]] = {
    "sx1262": (Sx1262, {"tcxo_mv": 1800, "tcxo_ms": 5, "dio2_switch": 1, "dcdc": 1}),
    "sx1276": (Sx1276, {"pa": "boost"}),
}
UP = (868_100_000, 9, 14, False)
DOWN = (869_525_000, 9, 14, True)


class Pair:
    """`ear`: its chip, if it is another one; `params`: of the node's simulated chip."""

    def __init__(self, chip: str, ear: str = "", *, apart_m: float = 500.0, **params: Any) -> None:
        self.stage = RadioStage()
        chips = (chip, ear or chip)
        self.ports = [
            self.stage.port(chip, 0.0, busy=chip == "sx1262", **params),
            self.stage.port(chips[1], apart_m, busy=chips[1] == "sx1262"),
        ]
        self.node, self.ear = (
            DRIVERS[name][0](port, self.stage.clock, DRIVERS[name][1])
            for name, port in zip(chips, self.ports, strict=True)
        )
        self.stage.run(self.node.start(), self.ear.start())
        for port in self.ports:
            port.trace.clear()

    def clean(self) -> None:
        """Nothing that the data sheet forbids has happened."""
        assert [port.chip.violations for port in self.ports] == [[], []]

    def at(self, delay_ms: int) -> int:
        """now_us in so many ms."""
        return (self.ports[0].now_us() + 1000 * delay_ms) % (1 << 30)

    async def send_after(self, delay_ms: int, frame: bytes) -> int:
        await self.stage.clock.sleep_ms(delay_ms)
        return await self.node.transmit(frame)
