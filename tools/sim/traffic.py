"""The street in front of a site: single vehicles with instant, direction, speed and lane.

Arrivals are a Poisson process thinned by the time of day, drawn minute by minute from (seed, site, minute) alone, so
any process can ask for any instant and sees the same vehicles.
"""

import math
from functools import lru_cache
from random import Random
from typing import NamedTuple

from tools.sim.chance import mix, uniform
from tools.sim.weather import local_time

# Two cars of one lane are never closer than this at the sensor; it also keeps the minutes independent of each other.
HEADWAY_US = 1_500_000
MINUTE_US = 60_000_000


class Kind(NamedTuple):
    """A class of road users: share of the flow, length, and A-weighted level at 7.5 m at 50 km/h with its slope."""

    name: str
    share: float
    length_m: float
    level_db: float
    slope_db: float  # per decade of speed
    seen_m: float  # how far a 24 GHz radar makes it out, typically


KINDS = (
    Kind("car", 0.80, 4.4, 68.5, 30.0, 85.0),
    Kind("van", 0.08, 5.8, 70.5, 30.0, 90.0),
    Kind("lorry", 0.04, 10.0, 77.5, 20.0, 98.0),
    Kind("bus", 0.02, 12.0, 76.0, 20.0, 98.0),
    Kind("motorcycle", 0.02, 2.1, 73.0, 35.0, 60.0),
    Kind("bicycle", 0.04, 1.8, 40.0, 10.0, 35.0),
)


class Vehicle(NamedTuple):
    """One pass. `approaching` is as the radar sees it: it looks up the road, and an approaching vehicle ends at it."""

    pass_us: int  # unix microseconds at which it is beside the sensors
    approaching: bool
    speed_kmh: float
    offset_m: float  # distance of its lane from the kerb, where the sensors stand
    kind: Kind
    level_db: float  # A-weighted maximum at 7.5 m
    key: int  # for chance that belongs to this vehicle


# Flow of a working day and of a Saturday or Sunday, as a part of the busiest hour, at each full hour.
_WORKDAY = (5, 3, 3, 4, 9, 24, 58, 92, 100, 74, 60, 60, 64, 66, 72, 86, 98, 96, 78, 56, 40, 29, 19, 11, 5)
_SATURDAY = (12, 8, 6, 4, 5, 8, 14, 24, 38, 54, 66, 72, 72, 68, 64, 62, 60, 57, 52, 44, 34, 28, 24, 19, 13)
_SUNDAY = (13, 10, 8, 5, 4, 5, 8, 12, 18, 28, 38, 44, 46, 46, 48, 50, 50, 48, 42, 34, 26, 20, 13, 8, 5)


def flow(time_s: float) -> float:
    """The flow of both directions together as a part (0..1) of the busiest hour of a week."""
    now = local_time(time_s)
    table = _SUNDAY if now.weekday == 6 else _SATURDAY if now.weekday == 5 else _WORKDAY
    hour = min(23, int(now.hour))
    return (table[hour] + (table[hour + 1] - table[hour]) * (now.hour - hour)) / 100.0


def share_inbound(time_s: float) -> float:
    """Part of the flow that drives into town (approaching): more in the morning, less in the evening."""
    now = local_time(time_s)
    if now.weekday >= 5:
        return 0.5
    morning = math.exp(-(((now.hour - 7.7) / 1.6) ** 2))
    evening = math.exp(-(((now.hour - 16.8) / 2.0) ** 2))
    return 0.5 + 0.16 * morning - 0.15 * evening


@lru_cache(maxsize=256)
def street(seed: int, site: int) -> tuple[float, int]:
    """Vehicles an hour of the busiest hour (both directions), and the speed limit in km/h."""
    busiest = 420.0 + 480.0 * uniform(seed, site, 31)
    limit = 30 if uniform(seed, site, 32) < 0.25 else 50
    return busiest, limit


@lru_cache(maxsize=512)
def minute(seed: int, site: int, number: int) -> tuple[Vehicle, ...]:
    """The vehicles whose pass lies in unix minute `number`, in order of passing."""
    chance = Random(mix(seed, site, number, 33))  # repeatable on purpose
    busiest, limit = street(seed, site)
    found: list[Vehicle] = []
    for approaching in (True, False):
        # Thinning needs a rate that is never exceeded: 0.66 of the busiest hour into one direction.
        ceiling = busiest * 0.66 / 60.0
        last_us = -HEADWAY_US
        for second in _arrivals(chance, ceiling):
            time_s = number * 60 + second
            inbound = share_inbound(time_s)
            rate = busiest / 60.0 * flow(time_s) * (inbound if approaching else 1.0 - inbound)
            kept = chance.random() * ceiling < rate
            offset_us = int(second * 1e6)
            if kept and offset_us - last_us >= HEADWAY_US:
                last_us = offset_us
                found.append(_vehicle(chance, number * MINUTE_US + offset_us, approaching, limit, flow(time_s)))
    found.sort()
    return tuple(found)


def _arrivals(chance: Random, rate_per_min: float) -> list[float]:
    """Instants of a Poisson process in one minute, the last headway of it left free."""
    instants: list[float] = []
    second = 0.0
    while True:
        second += chance.expovariate(rate_per_min) * 60.0
        if second >= 60.0 - HEADWAY_US / 1e6:
            return instants
        instants.append(second)


def _vehicle(chance: Random, pass_us: int, approaching: bool, limit: int, busy: float) -> Vehicle:
    pick = chance.random()
    kind = KINDS[0]
    for candidate in KINDS:
        kind = candidate
        pick -= candidate.share
        if pick < 0.0:
            break
    if kind.name == "bicycle":
        speed = min(32.0, max(11.0, chance.gauss(18.0, 3.5)))
    else:
        speed = min(limit * 1.7, max(14.0, chance.gauss(limit * (0.97 - 0.14 * busy), limit * 0.11)))
    level = kind.level_db + kind.slope_db * math.log10(speed / 50.0) + chance.gauss(0.0, 1.5)
    lane = (3.0 if approaching else 6.4) + chance.uniform(-0.4, 0.4)
    return Vehicle(pass_us, approaching, speed, lane, kind, level, chance.getrandbits(32))
