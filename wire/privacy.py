"""Which channels must not be reported beside each other: the difference of two windows may be a single vehicle.

A channel with a minimum count is never given for fewer events than that. Two of them give away what neither says when
their events are not the same: a minute with two vehicles is what five minutes have more than the other four, and the
departing one is what both directions have more than the approaching ones. So all such channels of one instance and one
direction stand in one profile, and what is measured for each direction is not reported for both together.
"""

from wire.channels import by_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def conflict(profiles: "Iterable[Iterable[tuple[int, int]]]") -> "tuple[int, str] | None":
    """`profiles`: of each the (channel id, instance). The first item that tells too much beside those before it:
    (number of its profile, channel name); None if there is none."""
    told: dict[tuple[str, int], int] = {}
    for number, items in enumerate(profiles):
        for channel_id, instance in items:
            channel = by_id(channel_id)
            if not channel.min_count:
                continue
            way = channel.name.split("_")[-1]
            if way not in ("approach", "depart"):
                way = ""
            for (other, of), place in told.items():
                if of == instance and (place != number if other == way else "" in (other, way)):
                    return number, channel.name
            told[way, instance] = number
    return None
