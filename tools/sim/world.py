"""The city that the simulated chips measure: one seed, one truth, the same in every process.

All quantities are pure functions of unix time, so several processes (one a board, one that checks) agree without
talking. The world also counts interval windows by itself, apart from firmware and gateway.
"""

import math
from typing import NamedTuple

from tools.sim import gases, traffic, weather
from tools.sim.chance import mix, uniform, wave
from tools.sim.gases import Gases
from tools.sim.traffic import MINUTE_US, Vehicle
from tools.sim.weather import Air

# Beyond this a pass-by is drowned by the background (27 dB below its maximum at 50 km/h).
HEARD_US = 12_000_000
# A new set of audible vehicles is looked up this often.
_EARSHOT_US = 4_000_000
# The microphone stands this far behind the kerb and this high above the road.
_SETBACK_M = 4.0
_HEIGHT_M = 3.0
# Step of the truth's integration of sound, and the F time constant (IEC 61672-1).
_SOUND_STEP_US = 50_000
_FAST_S = 0.125


class Truth(NamedTuple):
    """What an ideal station would report for one interval. Speeds are None where nothing passed."""

    vehicles_approach: int
    vehicles_depart: int
    speed_mean_approach_kmh: float | None
    speed_mean_depart_kmh: float | None
    speed_v85_approach_kmh: float | None
    speed_v85_depart_kmh: float | None
    laeq_db: float
    lafmax_db: float
    air: Air  # means


class World:
    """A seeded city. `seed` fixes weather and streets; `start_s` (unix) is when the chips get their power.

    `shift_s` lets the city's clock run ahead of the time asked for: a demonstration at night can show the rush hour.
    Sites are numbered by the caller (one a board); each has its street, its height and its own small differences.
    """

    def __init__(self, seed: int, start_s: int, *, shift_s: int = 0) -> None:
        self.seed = seed
        self.start_s = start_s
        self.shift_s = shift_s
        self._earshot: dict[int, tuple[int, tuple[tuple[int, float, float, float], ...]]] = {}
        self._background: dict[int, tuple[int, float]] = {}

    # --- Air ---------------------------------------------------------------------------------------------------

    def air(self, time_s: float, site: int = 0) -> Air:
        """Particles (ug/m3, 1/cm3, um), temperature, humidity, pressure at a unix time."""
        city_s = time_s + self.shift_s
        return weather.air(self.seed, site, city_s, traffic.flow(city_s))

    def gases(self, time_s: float, site: int = 0) -> Gases:
        """CO2, volatile compounds and nitrogen oxides at a unix time."""
        city_s = time_s + self.shift_s
        return gases.gases(self.seed, site, city_s, traffic.flow(city_s), self.air(time_s, site))

    def no2_ppb(self, time_s: float, site: int = 0) -> float:
        """Nitrogen dioxide at a unix time: goes with all nitrogen oxides, above what the wind brings."""
        return 5.0 + 14.0 * self.gases(time_s, site).nox

    # --- Traffic -----------------------------------------------------------------------------------------------

    def vehicles(self, begin_us: int, end_us: int, site: int = 0) -> list[Vehicle]:
        """The vehicles that are beside the sensors at begin_us <= t < end_us (unix microseconds), in order."""
        found: list[Vehicle] = []
        shift_us = self.shift_s * 1_000_000
        first = (begin_us + shift_us) // MINUTE_US
        last = (end_us - 1 + shift_us) // MINUTE_US
        for number in range(first, last + 1):
            for vehicle in traffic.minute(self.seed, site, number):
                if begin_us <= vehicle.pass_us - shift_us < end_us:
                    found.append(vehicle._replace(pass_us=vehicle.pass_us - shift_us) if shift_us else vehicle)
        return found

    # --- Sound -------------------------------------------------------------------------------------------------

    def sound_energy(self, now_us: int, site: int = 0) -> float:
        """A-weighted mean square relative to 20 uPa at an instant: background and all pass-bys, energies summed."""
        total = self._background_energy(now_us // 1_000_000, site)
        for pass_us, metres_per_us, strength, beside_m2 in self._heard(now_us, site):
            apart_us = now_us - pass_us
            if -HEARD_US < apart_us < HEARD_US:
                along_m = apart_us * metres_per_us
                fade = apart_us / HEARD_US
                total += strength / (beside_m2 + along_m * along_m) * (1.0 - fade * fade)
        return total

    def sound_db(self, now_us: int, site: int = 0) -> float:
        """A-weighted sound pressure level in dB at an instant (no time weighting)."""
        return 10.0 * math.log10(self.sound_energy(now_us, site))

    def sound_truth(self, begin_us: int, end_us: int, site: int = 0) -> tuple[float, float]:
        """(LAeq, LAFmax) in dB of an interval; the F weighting is run in over the second before it."""
        keep = math.exp(-_SOUND_STEP_US / 1e6 / _FAST_S)
        fast = self.sound_energy(begin_us - 1_000_000, site)
        total, count, highest = 0.0, 0, 0.0
        for now_us in range(begin_us - 1_000_000, end_us, _SOUND_STEP_US):
            energy = self.sound_energy(now_us + _SOUND_STEP_US // 2, site)
            fast = energy + (fast - energy) * keep
            if now_us >= begin_us:
                total += energy
                count += 1
                highest = max(highest, fast)
        return 10.0 * math.log10(total / count), 10.0 * math.log10(highest)

    def _background_energy(self, second: int, site: int) -> float:
        """Everything that is not a single vehicle of this street, held for a second."""
        known = self._background.get(site)
        if known is None or known[0] != second:
            city_s = second + self.shift_s
            quiet_db = 36.0 + 5.0 * uniform(self.seed, site, 41)
            level_db = 1.6 * wave(city_s, 17.0, self.seed, site, 42) + 1.2 * wave(city_s, 700.0, self.seed, site, 43)
            town = 10.0 ** ((51.0 + level_db) / 10.0) * traffic.flow(city_s)
            known = (second, 10.0 ** ((quiet_db + level_db) / 10.0) + town)
            self._background[site] = known
        return known[1]

    def _heard(self, now_us: int, site: int) -> tuple[tuple[int, float, float, float], ...]:
        """(pass instant, speed in m/us, source strength, squared distance when beside) of vehicles in earshot."""
        bucket = now_us // _EARSHOT_US
        known = self._earshot.get(site)
        if known is None or known[0] != bucket:
            begin_us = bucket * _EARSHOT_US
            sources = []
            for vehicle in self.vehicles(begin_us - HEARD_US, begin_us + _EARSHOT_US + HEARD_US, site):
                beside_m2 = (vehicle.offset_m + _SETBACK_M) ** 2 + _HEIGHT_M**2
                strength = 10.0 ** (vehicle.level_db / 10.0) * 7.5 * 7.5
                sources.append((vehicle.pass_us, vehicle.speed_kmh / 3.6e6, strength, beside_m2))
            known = (bucket, tuple(sources))
            self._earshot[site] = known
        return known[1]

    # --- What a check compares with ------------------------------------------------------------------------------

    def truth(self, begin_s: int, end_s: int, site: int = 0) -> Truth:
        """The aggregates of an interval as an ideal station would report them."""
        speeds: dict[bool, list[float]] = {True: [], False: []}
        for vehicle in self.vehicles(begin_s * 1_000_000, end_s * 1_000_000, site):
            speeds[vehicle.approaching].append(vehicle.speed_kmh)
        laeq_db, lafmax_db = self.sound_truth(begin_s * 1_000_000, end_s * 1_000_000, site)
        airs = [self.air(second + 0.5, site) for second in range(begin_s, end_s)]
        mean = Air(*(sum(values) / len(airs) for values in zip(*airs, strict=True)))
        near, far = sorted(speeds[True]), sorted(speeds[False])
        return Truth(
            *(len(near), len(far), _mean(near), _mean(far), _v85(near), _v85(far), laeq_db, lafmax_db),
            mean,
        )

    @staticmethod
    def windows_scheduled(provisioned_s: int, until_s: int, window_s: int) -> int:
        """How many windows [i*L, (i+1)*L) of the grid meet [provisioned_s, until_s): the whole life's schedule.

        The first is the one that contains the provisioning; the last ends at until_s, early if need be.
        """
        count = 0
        if until_s > provisioned_s:
            count = -(-until_s // window_s) - provisioned_s // window_s
        return count

    @staticmethod
    def windows_ended(provisioned_s: int, now_s: int, window_s: int) -> int:
        """How many windows of an endless grid have ended by now_s."""
        return max(0, now_s // window_s - provisioned_s // window_s)

    def fingerprint(self, time_s: int, site: int = 0) -> int:
        """A number that differs when anything of the world at that second differs (for determinism checks)."""
        values = (*self.air(time_s, site), self.sound_energy(time_s * 1_000_000, site))
        passes = self.vehicles((time_s - 60) * 1_000_000, time_s * 1_000_000, site)
        return mix(*(int(value * 1e6) for value in values), *(v.pass_us ^ v.key for v in passes))


def _mean(speeds: list[float]) -> float | None:
    return sum(speeds) / len(speeds) if speeds else None


def _v85(speeds: list[float]) -> float | None:
    """The speed that 85 % do not exceed (nearest rank)."""
    return speeds[max(0, math.ceil(0.85 * len(speeds)) - 1)] if speeds else None
