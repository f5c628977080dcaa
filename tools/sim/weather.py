"""Weather and air of a city in the Ruhr: pure functions of unix time, made of an annual and a daily course and chance.

What matters for tests of a sensor network is that the quantities hang together: humidity falls when temperature
rises, particles gather on cold, clear, still evenings (an inversion keeps them near the ground), PM1 <= ... <= PM10.
"""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from tools.sim.chance import uniform, wave

DAY_S = 86400


class Air(NamedTuple):
    """The air at one place and time; the order of the particle fields is the SPS30's."""

    pm1_ugm3: float
    pm2_5_ugm3: float
    pm4_ugm3: float
    pm10_ugm3: float
    nc0_5_cm3: float
    nc1_cm3: float
    nc2_5_cm3: float
    nc4_cm3: float
    nc10_cm3: float
    typical_size_um: float
    temperature_degc: float
    humidity_pct: float
    pressure_hpa: float
    wind_ms: float
    inversion: float  # 0 none, 1 a lid on the city


class LocalTime(NamedTuple):
    """Civil time in Bochum (CET, CEST)."""

    hour: float
    weekday: int  # 0 = Monday
    season: float  # 1 = mid July, -1 = mid January


@lru_cache(maxsize=8)
def _summer_time(year: int) -> tuple[float, float]:
    """First and last instant of summer time: last Sundays of March and October, 01:00 UTC (2000/84/EC)."""
    edges = []
    for month in (3, 10):
        last = datetime(year, month, 31, 1, tzinfo=UTC)
        edges.append(last.timestamp() - (last.weekday() + 1) % 7 * DAY_S)
    return edges[0], edges[1]


@lru_cache(maxsize=4096)
def _minute_of(minute: int) -> LocalTime:
    time_s = minute * 60
    year = datetime.fromtimestamp(time_s, UTC).year
    begins, ends = _summer_time(year)
    local_s = time_s + (7200 if begins <= time_s < ends else 3600)
    days = local_s // DAY_S
    new_year = datetime(year, 1, 1, tzinfo=UTC).timestamp()
    season = math.cos(2.0 * math.pi * ((time_s - new_year) / DAY_S - 198.0) / 365.25)
    return LocalTime(local_s % DAY_S / 3600.0, (days + 3) % 7, season)


def local_time(time_s: float) -> LocalTime:
    """Civil time at a unix time, to the minute below and continuous hours within it."""
    minute = math.floor(time_s / 60.0)
    at_minute = _minute_of(minute)
    return at_minute._replace(hour=at_minute.hour + (time_s - minute * 60.0) / 3600.0)


def bump(hour: float, centre: float, width: float) -> float:
    """A bell of height 1 on the 24-hour circle."""
    away = abs((hour - centre + 12.0) % 24.0 - 12.0)
    return math.exp(-((away / width) ** 2))


def air(seed: int, site: int, time_s: float, traffic: float) -> Air:
    """The air at a site; `traffic` is the street's flow there as a part (0..1) of its busiest."""
    now = local_time(time_s)
    cloud = 0.5 + 0.5 * wave(time_s, 1.6 * DAY_S, seed, 11)
    daylight_h = 12.2 + 4.2 * now.season
    solar_hour = now.hour - 0.6
    # Wind: weather fronts, calmer at night.
    day = bump(solar_hour, 14.0, 0.55 * daylight_h)
    wind_ms = max(0.3, (3.4 + 2.9 * wave(time_s, 1.3 * DAY_S, seed, 12)) * (0.55 + 0.45 * day))
    # Temperature: season, fronts, and a daily course that a clear sky makes larger.
    swing = (1.5 + 5.0 * (1.0 - cloud)) * (0.75 + 0.25 * now.season)
    mean_degc = 10.8 + 8.2 * now.season + 4.0 * wave(time_s, 5.0 * DAY_S, seed, 13)
    course = math.cos(2.0 * math.pi * (solar_hour - 14.6) / 24.0)
    temperature = mean_degc + swing * course + 0.15 * wave(time_s, 240.0, seed, site, 14) + uniform(seed, site, 15)
    # Humidity: the dew point hardly has a daily course, so relative humidity runs against temperature.
    dew_degc = mean_degc - 0.85 * swing - 1.5 + 1.2 * wave(time_s, 0.8 * DAY_S, seed, 16)
    humidity = 100.0 * _vapour(dew_degc) / _vapour(temperature)
    pressure = 1004.0 + 14.0 * wave(time_s, 4.2 * DAY_S, seed, 17) + 0.4 * wave(time_s, 9000.0, seed, 18)
    pressure -= 3.0 * uniform(seed, site, 19)  # the sites lie up to 25 m apart in height
    # Inversion: night, clear, still, cold.
    to_sunset = (solar_hour - 12.0 - daylight_h / 2.0 + 12.0) % 24.0 - 12.0
    to_sunrise = (solar_hour - 12.0 + daylight_h / 2.0 + 12.0) % 24.0 - 12.0
    night = 1.0 if to_sunset > 1.0 or to_sunrise < 1.0 else max(0.0, to_sunset, 1.0 - (to_sunrise - 1.0) / 2.0)
    cold = min(1.0, max(0.0, (13.0 - temperature) / 13.0))
    inversion = min(1.0, night) * (1.0 - 0.8 * cloud) * math.exp(-((wind_ms / 2.6) ** 2)) * (0.25 + 0.75 * cold)
    # Particles: what the wind brings, what traffic and stoves add, and how far it is thinned.
    background = 6.5 + 3.5 * wave(time_s, 3.7 * DAY_S, seed, 20) - 1.0 * now.season
    stoves = 7.0 * cold * bump(now.hour, 20.5, 3.0)
    thinning = (1.0 + 4.5 * inversion) / (0.45 + wind_ms / 5.0)
    flicker = 1.0 + 0.08 * wave(time_s, 75.0, seed, site, 21)
    pm2_5 = max(0.8, (background + (2.6 * traffic + stoves) * thinning) * flicker)
    coarse = (1.2 + 3.5 * traffic + 0.5 * wind_ms) * (1.0 + 0.15 * wave(time_s, 150.0, seed, site, 22))
    pm1 = pm2_5 * (0.72 + 0.1 * cold)
    pm4 = pm2_5 + 0.62 * coarse
    pm10 = pm2_5 + coarse
    nc1 = 7.0 * pm1
    nc2_5 = nc1 + 1.05 * (pm2_5 - pm1)
    nc4 = nc2_5 + 0.27 * (pm4 - pm2_5)
    nc10 = nc4 + 0.2 * (pm10 - pm4)
    size_um = 0.45 + 0.4 * (pm10 - pm1) / pm10
    return Air(
        *(pm1, pm2_5, pm4, pm10, 0.8 * nc1, nc1, nc2_5, nc4, nc10, size_um),
        temperature,
        min(99.0, max(12.0, humidity)),
        pressure,
        wind_ms,
        inversion,
    )


def _vapour(degc: float) -> float:
    """Saturation vapour pressure in hPa over water (Magnus formula, WMO guide no. 8)."""
    return 6.112 * math.exp(17.62 * degc / (243.12 + degc))
