"""What a calibration does to the values of a window: the formula is in wire/calibration.py. Loaded by boards that have one."""

from wire.channels import TOTAL, by_id, id_of
from wire.quality import CALIBRATION, SUSPECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 16
HUMID = 950  # above 95 % a droplet's growth is not what its kappa says (Petters and Kreidenweis 2007)


class Correction:
    """Of one profile, under the settings in force when it is made. `items`: (channel id, instance), in order."""

    def __init__(self, items: "tuple[tuple[int, int], ...]", get: "Callable[..., int]") -> None:
        humidity = (id_of("humidity"), 0)
        self._humidity = items.index(humidity) if humidity in items else -1
        self._steps: "list[tuple[int, ...]]" = []
        for slot in range(SLOTS):
            packed = get("cal_item", slot)
            if not packed:
                break
            item = (packed >> 4, packed & 15)
            if item in items and by_id(item[0]).kind != TOTAL:  # whose value is a mark beside its events
                place = items.index(item)
                step = (place, get("cal_slope", slot), get("cal_offset", slot), get("cal_kappa", slot))
                # as reported it goes into the others: so a reader has all that it takes to undo them
                self._steps.insert(0 if place == self._humidity else len(self._steps), step)

    def apply(self, values: "list[int | None]", flags: "list[int]") -> None:
        """Correct the values of a window where they stand. One that a missing humidity leaves uncorrected is suspect."""
        for place, slope, offset, kappa in self._steps:
            value = values[place]
            if value is None:
                continue
            above, below = slope, 10000
            if kappa:
                h = values[self._humidity] if self._humidity >= 0 else None
                if h is None:
                    if flags[place] & 15 < SUSPECT:
                        flags[place] = SUSPECT | CALIBRATION << 4
                else:
                    h = min(max(h, 0), HUMID)
                    dry = 1650 * (1000 - h)
                    above *= dry
                    below *= dry + kappa * h
            values[place] = (2 * value * above + below) // (2 * below) + offset
