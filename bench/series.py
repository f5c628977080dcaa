"""A synthetic week in a street: ten channels, one reading a minute, seeded.

Every channel is a daily course (rush hours, weekend) plus first-order autoregressive weather plus sensor noise, rounded
to what the sensor honestly delivers. Speeds are 0 in minutes without vehicles, as a plain logger would write them.
"""

import numpy as np
from numpy.typing import NDArray

CHANNELS = (
    "pm2_5",
    "pm10",
    "co2",
    "temperature",
    "humidity",
    "pressure",
    "laeq",
    "lafmax",
    "vehicles",
    "speed_mean",
)
DECIMALS = (1, 1, 0, 2, 1, 1, 1, 1, 0, 1)
LOW = (0, 0, 0, -40, 0, 300, 20, 20, 0, 0)
HIGH = (999.9, 999.9, 5000, 85, 100, 1100, 140, 140, 255, 200)
START_S = 1_760_000_040  # on the grid of minutes
WINDOW_S = 60
DEFAULT_SEED = 20260101

_DAY = 1440


def _autoregressive(random: np.random.Generator, count: int, sigma: float, rho: float) -> NDArray[np.float64]:
    steps = random.normal(0, sigma * np.sqrt(1 - rho * rho), count)
    out = np.empty(count)
    out[0] = random.normal(0, sigma)
    for i in range(1, count):
        out[i] = rho * out[i - 1] + steps[i]
    return out


def make(days: int = 7, seed: int = DEFAULT_SEED) -> list[tuple[int, ...]]:
    """One tuple of ten raw integers (value * 10**decimals) for each minute."""
    random = np.random.default_rng(seed)
    count = days * _DAY
    minutes = np.arange(count)
    hour = (minutes / 60.0) % 24
    weekend = minutes // _DAY % 7 >= 5
    rush = np.exp(-(((hour - 8.2) / 1.3) ** 2)) + 0.9 * np.exp(-(((hour - 17.5) / 1.8) ** 2))
    traffic = 0.08 + 0.55 * np.clip(np.sin((hour - 6) / 16 * np.pi), 0, 1) + 0.9 * rush
    traffic *= np.where(weekend, 0.6, 1.0)
    vehicles = random.poisson(14 * traffic)
    scatter = random.normal(0, 6, count) / np.sqrt(np.maximum(vehicles, 1)) * 2
    speed = np.where(vehicles == 0, 0, np.clip(52 - 14 * rush + scatter, 3, 110))
    fine = 9 + 5 * traffic + 4 * np.sin((hour - 2) / 12 * np.pi)
    fine = np.clip(fine + _autoregressive(random, count, 3, 0.998) + random.normal(0, 0.35, count), 0.3, None)
    coarse = fine * (1.45 + 0.1 * traffic) + np.abs(random.normal(0, 1.0, count))
    co2 = 425 + 25 * traffic + 18 * np.cos(hour / 12 * np.pi)
    co2 = co2 + _autoregressive(random, count, 6, 0.99) + random.normal(0, 1.5, count)
    temperature = 14 + 6 * np.sin((hour - 9) / 12 * np.pi)
    temperature = temperature + _autoregressive(random, count, 1.5, 0.9995) + random.normal(0, 0.02, count)
    humidity = 65 - 2.6 * (temperature - 14) + _autoregressive(random, count, 3, 0.999)
    humidity = np.clip(humidity + random.normal(0, 0.12, count), 8, 100)
    pressure = 1013 + _autoregressive(random, count, 6, 0.9999) + 0.6 * np.sin(hour / 6 * np.pi)
    pressure = pressure + random.normal(0, 0.05, count)
    laeq = 44 + 9 * np.log10(1 + vehicles) + random.normal(0, 1.2, count)
    lafmax = laeq + 7 + random.gamma(2.2, 2.6, count)
    values = np.stack([fine, coarse, co2, temperature, humidity, pressure, laeq, lafmax, vehicles, speed], 1)
    resolution = np.array([1.0, 0.1, 0.01])[list(DECIMALS)]
    raw = np.rint(np.clip(values, np.array(LOW), np.array(HIGH)) / resolution).astype(np.int64)
    return [tuple(row) for row in raw.tolist()]
