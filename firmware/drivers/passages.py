"""What a vehicle that passed is worth: readings of numbers, speeds, speed bins, occupancy and headway by direction."""

from firmware.drivers import GOOD, const
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading

# The first channel of each group and how many of the table's rows it has. Last the speed bins, which are no `items`: what
# was missed does not matter to them.
GROUPS = (("vehicles", 9), ("headway_median", 3), ("occupancy_approach", 2), ("vehicles_0_5kmh_approach", 32))
_BINS = const(16)
_BIN = const(500)  # 0.01 km/h
_LATE_MS = const(600000)
_HEADWAY_MAX = const(6000)  # 0.01 s: longer ones are at least that


class Passages:
    """Of one sensor. Everything that has a direction is given for it and for both together, but bins and occupancy."""

    def __init__(self, clock: "Any", instance: int) -> None:  # seldom
        self._diff = clock.ticks_diff
        self._instance = instance
        items = []
        for name, count in GROUPS:
            first = channels.id_of(name)
            if count < 2 * _BINS:
                for number in range(count):
                    items.append((first + number, instance))
        self._bins = first
        self.items = tuple(items)
        self.clear()

    def clear(self) -> None:
        """The next vehicle has none before it."""
        self._last_ms: "list[int | None]" = [None, None, None]  # both, approach, depart

    def readings(
        self, passed: "list[tuple[int, int, int, int]]", flag: int = GOOD, whole: int = GOOD
    ) -> "list[Reading]":
        """`passed`: (direction 1 approach or 0 depart, speed in 0.01 km/h, ms that it occupied a place or -1 where no place
        is known, ticks when it was there). `flag`: of what has a direction; `whole`: of what has none."""
        items = self.items
        counts = [0, 0, 0]
        readings = []
        for direction, speed, occupied_ms, there_ms in passed:
            way = 2 - direction
            for at in (0, way):
                of = flag if at else whole
                counts[at] += 1
                readings.append(items[3 + at] + (speed, of))
                readings.append(items[6 + at] + (speed, of))
                last_ms = self._last_ms[at]
                headway_ms = 0 if last_ms is None else self._diff(there_ms, last_ms)
                if headway_ms > 0:
                    readings.append(items[9 + at] + (min(headway_ms // 10, _HEADWAY_MAX), of))
                if headway_ms >= 0 or headway_ms < -_LATE_MS:  # one that was told late overtook no one; ticks wrap
                    self._last_ms[at] = there_ms
            if occupied_ms >= 0:
                readings.append(items[11 + way] + (occupied_ms, flag))
            first = self._bins + _BINS * (way - 1)
            for number in range(_BINS):
                here = number == min(speed // _BIN, _BINS - 1)
                readings.append((first + number, self._instance, 1 if here else 0, flag))
        for at, count in enumerate(counts):
            readings.append(items[at] + (count, flag if at else whole))
        return readings
