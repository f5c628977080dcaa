"""Air with faults in it, each labelled: what a station's data look like on its bad days, and when.

Two kinds are no faults, and must not be taken for one: a plume (a smoker, a lorry that starts) and a cold front.
A fault is an `Episode`: its kind, what it befalls, from when to when (unix s), and how strongly. Those of the air are laid
over the world's truth; those of a chip are switched on and off by who runs it (`switches`).
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tools.sim.weather import Air
from tools.sim.world import World

PARTICLES = 9  # fields of Air that hold masses and numbers, in front
HOUR_S = 3600
REST_S = 25 * 60  # between two faults: each is alone, and what it did to a sensor is over


class Episode(NamedTuple):
    """One fault. `what`: "temperature", "pm" or "humidity" of the air, else a chip: "sps30", "bme280"."""

    kind: str
    what: str
    begin_s: float
    end_s: float
    size: float = 0.0


class Kind(NamedTuple):
    """What may happen: how long, and between which sizes."""

    kind: str  # "drift", "spike", "step", "humid", "plume", "front", or a fault of a chip
    what: str
    lasts_s: tuple[int, int]
    size: tuple[float, float] = (0.0, 0.0)


# Sizes are what happens in streets, not what a node looks for.
KINDS = (
    Kind("drift", "temperature", (5400, 7200), (40.0, 60.0)),  # a box in the sun, a cell that dies slowly: K
    Kind("drift", "pm", (9000, 10800), (1500.0, 2500.0)),  # dirt in the chamber: ug/m3
    Kind("spike", "temperature", (0, 0), (2.0, 15.0)),  # a disturbed transfer: K, either way
    Kind("spike", "pm", (0, 0), (120.0, 900.0)),  # an insect before the laser: ug/m3
    *(Kind("spike", "temperature", (0, 0), (2.0, 15.0)),) * 4,
    *(Kind("spike", "pm", (0, 0), (120.0, 900.0)),) * 2,
    *(Kind("step", "temperature", (240, 600), (7.0, 15.0)),) * 3,  # a loose contact in the reference: K, either way
    *(Kind("step", "pm", (240, 600), (400.0, 900.0)),) * 2,  # a hose off: ug/m3
    *(Kind("plume", "pm", (120, 300), (40.0, 200.0)),) * 3,
    Kind("front", "weather", (600, 900), (4.0, 9.0)),  # K
    Kind("humid", "humidity", (1800, 5400), (84.0, 97.0)),  # fog: %
    Kind("slow_fan", "sps30", (900, 2400)),
    Kind("dead_laser", "sps30", (900, 2400)),
    Kind("no_supply", "sps30", (20, 90)),
    Kind("no_supply", "sps30", (20, 90)),
    Kind("stuck", "sps30", (1200, 2400)),
    Kind("stuck", "bme280", (1200, 2400)),
    Kind("soaked", "bme280", (2400, 4800)),
)


def plan(seed: int, start_s: int, period_s: int, kinds: tuple[Kind, ...] = KINDS) -> tuple[list[Episode], int]:
    """(every kind once, in an order and at places of chance, the second at which all is over)."""
    chance = Random(seed)  # repeatable on purpose
    now_s = start_s + REST_S
    episodes = []
    for kind in chance.sample(kinds, len(kinds)):
        begin_s: float = now_s + chance.randrange(120)
        size = chance.uniform(*kind.size)
        if kind.kind == "spike":
            begin_s += period_s - (begin_s - start_s) % period_s - 1.0  # one reading falls into it
            end_s = begin_s + period_s - 0.1
            size *= chance.choice((1, -1)) if kind.what == "temperature" else 1
        else:
            end_s = begin_s + chance.uniform(*kind.lasts_s)
            size *= chance.choice((1, -1)) if (kind.kind, kind.what) == ("step", "temperature") else 1
        episodes.append(Episode(kind.kind, kind.what, begin_s, end_s, size))
        now_s = int(end_s) + (REST_S if kind.lasts_s[1] > 600 or kind.what == "sps30" else 300)
    return episodes, now_s


class FaultyAir(World):
    """The world with faults laid over its air."""

    def __init__(self, seed: int, start_s: int, episodes: list[Episode], *, dry: bool = True) -> None:
        super().__init__(seed, start_s)
        self.episodes = episodes
        self.dry = dry  # without fog of its own: at most 75 %

    def air(self, time_s: float, site: int = 0) -> Air:
        air = super().air(time_s, site)
        if self.dry:
            air = air._replace(humidity_pct=min(air.humidity_pct, 75.0))
        for episode in self.episodes:
            if episode.begin_s <= time_s < episode.end_s:
                air = _befallen(air, episode, time_s)
        return air

    def switches(self) -> Iterator[tuple[float, str, str, bool]]:
        """(when, chip, fault, on) in order."""
        found = []
        for kind, what, begin_s, end_s, _ in self.episodes:
            if what in ("sps30", "bme280"):
                found += [(begin_s, what, kind, True), (end_s, what, kind, False)]
        yield from sorted(found)


def _befallen(air: Air, episode: Episode, time_s: float) -> Air:
    kind, what, begin_s, end_s, size = episode
    if kind == "drift":  # up in the first half, down in the second
        size *= 1.0 - abs(2.0 * (time_s - begin_s) / (end_s - begin_s) - 1.0)
    elif kind == "plume":  # there within seconds, gone within minutes
        size *= min(1.0, (time_s - begin_s) / 6.0) * math.exp((begin_s - time_s) / 45.0)
    elif kind == "front":  # the air is another one behind it, and slowly becomes the old one in this small world
        size *= math.sin(math.pi * (time_s - begin_s) / (end_s - begin_s))
        return air._replace(
            temperature_degc=air.temperature_degc - size,
            humidity_pct=min(98.0, air.humidity_pct + 0.3 * size),
            pressure_hpa=air.pressure_hpa + 0.3 * size,
        )
    if what == "temperature":
        return air._replace(temperature_degc=air.temperature_degc + size)
    if what == "humidity":
        return air._replace(humidity_pct=size)
    if what == "pm":
        # Everything grows alike, so that sizes stay in order: by what brings PM10 up by `size`.
        factor = 1.0 + size / air.pm10_ugm3
        return Air(*(value * factor for value in air[:PARTICLES]), *air[PARTICLES:])
    return air
