"""Where a fault takes hold: a board in virtual time with its chips, and the air around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.sim.conductor import Conductor, VirtualNode
from tools.sim.timers import Timer
from tools.sim.weather import Air
from tools.sim.world import World

DRIEST_PCT = 75.0  # so that humidity flags come from faults alone


class DryWorld(World):
    """The city without fog of its own. `befalls` changes the air of an instant while a fault is on."""

    befalls: Callable[[Air, float], Air] | None = None

    def air(self, time_s: float, site: int = 0) -> Air:
        air = super().air(time_s, site)
        air = air._replace(humidity_pct=min(air.humidity_pct, DRIEST_PCT))
        return air if self.befalls is None else self.befalls(air, time_s)


class Site:
    """One board. Faults use what is here; nobody else knows conductor or chips."""

    def __init__(self, conductor: Conductor, node: VirtualNode) -> None:
        assert isinstance(conductor.world, DryWorld)
        self.world = conductor.world
        self.node = node
        self._conductor = conductor
        self._chips: dict[str, Any] = {entry.name: entry.chip for entry in node.board.chips}
        self._repeating: Timer | None = None

    def chip(self, name: str) -> Any:
        """A simulated chip of this board by its name."""
        return self._chips[name]

    def unplug(self, chip: str) -> None:
        """Its supply goes."""
        self.chip(chip).power_off()

    def plug(self, chip: str) -> None:
        """Its supply comes back."""
        if not self.chip(chip).powered:
            self.chip(chip).power_on(self.node.board.world_us())

    def held_buses_tell(self, number: int) -> None:
        """The errno that a transfer ends in which meets a held I2C bus: it depends on the port's driver."""
        for bus in self.node.board.i2c.values():
            bus.held_errno = number

    def after(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Carry out `call` later."""
        return self._conductor.at(delay_s, call)

    def every(self, period_s: float, call: Callable[[], None]) -> None:
        """Carry out `call` now and then, until `rest`."""

        def again() -> None:
            call()
            self._repeating = self.after(period_s, again)

        self.rest()
        again()

    def rest(self) -> None:
        """Nothing is repeated any more."""
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None

    def lose_frames(self, count: int) -> None:
        """The receivers of all microphones overwrite sound that nobody fetched in time."""
        for receiver in self.node.board.i2s.values():
            receiver.lose(count)
