"""What all simulated chips have in common: a world, a seed, power and named faults."""

from collections.abc import Iterable

from tools.sim.chance import mix
from tools.sim.world import World


class Nack(Exception):
    """The chip does not acknowledge on its I2C bus. `reason` is for the log of the simulator, not for the node."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Chip:
    """A simulated chip at a site of the world.

    FAULTS names what can go wrong with it and what then happens; `faults` holds those that are on.
    """

    FAULTS: dict[str, str] = {}

    def __init__(self, world: World, seed: int, *, site: int = 0, faults: Iterable[str] = ()) -> None:
        self.world = world
        self.seed = mix(seed, world.seed, site)
        self.site = site
        self.powered = False
        self.faults: set[str] = set()
        for fault in faults:
            self.switch(fault)

    def switch(self, fault: str, on: bool = True) -> None:
        """Turn a fault on or off; ValueError for a name that this chip does not know."""
        if fault not in self.FAULTS:
            raise ValueError(f"{type(self).__name__} has no fault {fault!r}; it has: {', '.join(sorted(self.FAULTS))}")
        if on:
            self.faults.add(fault)
        else:
            self.faults.discard(fault)

    def power_on(self, now_us: int) -> None:
        """Supply comes: the state of the data sheet's power-up."""
        self.powered = True

    def power_off(self) -> None:
        """Supply goes: all state is lost, nothing is answered."""
        self.powered = False
