"""Gases of the simulated city: pure functions of unix time that hang together with traffic, stoves and weather."""

import math
from typing import NamedTuple

from tools.sim.chance import wave
from tools.sim.weather import Air

BACKGROUND_PPM = 432.0  # of the northern hemisphere in the middle of the twenties


class Gases(NamedTuple):
    """CO2, and how much volatile compounds and nitrogen oxides there are as a multiple of the place's usual."""

    co2_ppm: float
    voc: float
    nox: float


def gases(seed: int, site: int, time_s: float, traffic: float, air: Air) -> Gases:
    """At a site; `traffic` as for the weather. What the city emits gathers under an inversion, as particles do."""
    gathered = (1.0 + 4.5 * air.inversion) / (0.45 + air.wind_ms / 5.0)
    emitted = traffic + 0.35 * max(0.0, 1.0 - max(0.0, air.temperature_degc) / 20.0)
    flicker = 1.0 + 0.1 * wave(time_s, 90.0, seed, site, 61)
    co2_ppm = BACKGROUND_PPM + 12.0 * emitted * gathered * flicker + 3.0 * wave(time_s, 40_000.0, seed, 62)
    voc = math.exp(0.5 * wave(time_s, 2400.0, seed, site, 63)) * (0.7 + 0.4 * emitted * gathered)
    nox = (0.4 + 0.9 * traffic * gathered) * flicker
    return Gases(co2_ppm, voc, nox)
