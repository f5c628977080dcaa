"""What a vehicle that passed is worth: readings of numbers, speeds, speed bins, occupancy and headway by direction."""

from firmware.drivers import GOOD, const
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading

_WAYS = ("", "_approach", "_depart")
CHANNELS = tuple(
    [name + way for name in ("vehicles", "speed_mean", "speed_v85", "headway_median") for way in _WAYS]
    + ["occupancy_approach", "occupancy_depart"]
)
# The speed bins, by the first of each family; the others' ids follow.
FAMILIES = tuple(["vehicles_0_5kmh" + way for way in _WAYS[1:]])
_BINS = const(16)
_BIN = const(500)  # 0.01 km/h
_HEADWAY_MAX = const(6000)  # 0.01 s: longer ones are at least that


class Passages:
    """Of one sensor. Everything that has a direction is given for it and for both together, but bins and occupancy."""

    def __init__(self, clock: "Any", instance: int) -> None:
        self._diff = clock.ticks_diff
        self._instance = instance
        self._bins = [channels.id_of(name) for name in FAMILIES]
        self.items = tuple([(channels.id_of(name), instance) for name in CHANNELS])
        self.clear()

    def clear(self) -> None:
        """The next vehicle has none before it."""
        self._last_ms: "list[int | None]" = [None, None, None]  # both, approach, depart

    def readings(self, passed: "list[tuple[int, int, int, int]]", flag: int = GOOD) -> "list[Reading]":
        """`passed`: (direction 1 approach or 0 depart, speed in 0.01 km/h, ms that it occupied a place or -1 where no place
        is known, ticks when it was there). `flag`: of what has a direction."""
        items = self.items
        counts = [0, 0, 0]
        readings = []
        for direction, speed, occupied_ms, there_ms in passed:
            way = 2 - direction
            for at in (0, way):
                of = flag if at else GOOD
                counts[at] += 1
                readings.append(items[3 + at] + (speed, of))
                readings.append(items[6 + at] + (speed, of))
                last_ms = self._last_ms[at]
                headway_ms = 0 if last_ms is None else self._diff(there_ms, last_ms)
                if headway_ms > 0:
                    readings.append(items[9 + at] + (min(headway_ms // 10, _HEADWAY_MAX), of))
                if headway_ms >= 0:  # one that was told late overtook no one
                    self._last_ms[at] = there_ms
            if occupied_ms >= 0:
                readings.append(items[11 + way] + (occupied_ms, flag))
            for number in range(_BINS):
                here = number == min(speed // _BIN, _BINS - 1)
                readings.append((self._bins[way - 1] + number, self._instance, 1 if here else 0, flag))
        for at, count in enumerate(counts):
            readings.append(items[at] + (count, flag if at else GOOD))
        return readings
