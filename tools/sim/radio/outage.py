"""Hours in which a gateway hears nothing: how long it takes until everything is there, and what new records notice of it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from tools.sim.radio.city import START_US, City, Result, delay_s
from tools.sim.radio.deployment import Deployment
from tools.sim.radio.mac import SECOND_US

SETTLED_S = 3_600  # of the beginning, and before the outage: what is normal is measured between


class Recovery(NamedTuple):
    """`normal_s`, `live_s`: half of the records are at the gateway within so long, before the outage and while what waited
    is sent. `took_s`: from the end of the outage until the last record of it was there."""

    took_s: float
    normal_s: float
    live_s: float
    result: Result


def live_through(deployment: Deployment, deaf_from_s: float, deaf_to_s: float) -> Recovery:
    """All ears of the town are deaf between these times after the start."""
    city = City(deployment)
    from_us, to_us = START_US + round(deaf_from_s * SECOND_US), START_US + round(deaf_to_s * SECOND_US)
    for ear in city.gateway.ears:
        city.time.call_at(from_us, partial(ear.switch, True))
        city.time.call_at(to_us, partial(ear.switch, False))
    result = city.run()
    records = [record for node in result.nodes for record in zip(node.tally.ends_us, node.tally.delays_s, strict=True)]
    last_us = max((end + round(delay * SECOND_US) for end, delay in records if from_us <= end < to_us), default=to_us)
    before = [delay for end, delay in records if START_US + SETTLED_S * SECOND_US <= end < from_us - 1800 * SECOND_US]
    live = [delay for end, delay in records if to_us <= end <= last_us]
    return Recovery((last_us - to_us) / SECOND_US, delay_s(before, 0.5), delay_s(live, 0.5), result)
