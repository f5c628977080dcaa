"""Labelled scenes for a vehicle radar: streets of single road users, seen as a LD2451 would, and what really passed.

A scene gives reports as chip bytes (ten a second, at most three targets, no identities, whole metres, km/h give or
take one, a tenth of the reports dropped, what is hidden is not seen) and, beside them, the truth. Everyone who comes
into sight also leaves it before the end. Lanes: 0 approaching, 1 departing, 2 and 3 their bicycles.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from tools.sim.chance import mix
from tools.sim.chips.ld2451 import Target, report

STEP_MS = 100
SCENES = ("free flow", "queue", "bus and bicycle mix", "rain clutter", "standing car")

_STEP_S = STEP_MS / 1000.0
_DROPPED = 0.10
_MOST_TARGETS = 3
_SLOWEST_KMH = 5  # as the board sets the radar
_MOUNT_M = 4.0
_BEAM_DEG = 20.0
_BEGIN_M, _END_M = 150.0, -30.0  # where roads begin and end, seen from the radar
_SECTION_M = (15.0, 60.0)  # a vehicle's true speed is its mean over this stretch, a bicycle's over the near half
_OFFSET_M = (3.0, 6.4, 1.5, 8.0)  # the middle of each lane beside the radar
_STOP_LINE_M = -4.0  # of the lights of a queue, behind the radar
_LIGHTS_S = (65.0, 38.0)  # cycle, red


class Kind(NamedTuple):
    """A class of road users."""

    name: str
    length_m: float
    width_m: float
    height_m: float
    seen_m: float  # how far a 24 GHz radar makes it out
    spread_m: float  # how far the strongest echo wanders along it


CAR = Kind("car", 4.4, 1.8, 1.5, 85.0, 0.5)
VAN = Kind("van", 5.8, 2.0, 2.3, 90.0, 0.8)
LORRY = Kind("lorry", 10.0, 2.5, 3.4, 98.0, 1.5)
BUS = Kind("bus", 12.0, 2.5, 3.1, 98.0, 1.5)
MOTORCYCLE = Kind("motorcycle", 2.1, 0.7, 1.5, 60.0, 0.3)
BICYCLE = Kind("bicycle", 1.8, 0.6, 1.7, 38.0, 0.2)

_TOWN = ((CAR, 84), (VAN, 9), (LORRY, 3), (BUS, 1), (MOTORCYCLE, 3))
_BUSES = ((CAR, 62), (VAN, 10), (LORRY, 6), (BUS, 18), (MOTORCYCLE, 4))


class Passage(NamedTuple):
    """One road user that passed the radar: the truth."""

    left_ms: int  # when it left the radar's beam, hidden or not
    approaching: bool
    speed_kmh: float  # its mean while it moved, over the section looked at
    kind: Kind


class _User:
    """A road user under way; `at_m` is the way from the radar to its near end, along the road."""

    def __init__(self, kind: Kind, lane: int, wish_kmh: float, chance: Random) -> None:
        self.kind = kind
        self.lane = lane
        self.wish_ms = wish_kmh / 3.6
        self.speed_ms = self.wish_ms
        self.offset_m = _OFFSET_M[lane] + chance.uniform(-0.4, 0.4)
        self.reach_m = kind.seen_m * chance.uniform(0.85, 1.15)
        self.gap_s = chance.uniform(1.0, 1.7)
        self.done_m = 0.0  # of its way
        self.kerb_m: float | None = None  # parks there, this far from the radar
        self.parked_s = 0.0
        self.section: list[float] = []
        self.left_ms = -1

    @property
    def approaching(self) -> bool:
        return self.lane % 2 == 0

    @property
    def front_m(self) -> float:
        """The place of its front on the road."""
        return _BEGIN_M - self.done_m if self.approaching else _END_M + self.done_m

    @property
    def at_m(self) -> float:
        return self.front_m if self.approaching else self.front_m - self.kind.length_m


def _acceleration(user: _User, gap_m: float, ahead_ms: float) -> float:
    """The intelligent driver model (Treiber, Hennecke, Helbing 2000): m/s2."""
    closing = user.speed_ms - ahead_ms
    wanted = 2.0 + max(0.0, user.speed_ms * user.gap_s + user.speed_ms * closing / (2.0 * math.sqrt(1.4 * 2.0)))
    free = 1.0 - (user.speed_ms / user.wish_ms) ** 4
    return max(-7.0, 1.4 * (free - (wanted / max(gap_m, 0.3)) ** 2))


class Scene:
    """One of SCENES under a seed. Iterate `reports()` to its end; `passages` is complete then.

    `stream()` gives the bytes alone, `truth` what a scorer needs.
    """

    def __init__(self, name: str, seed: int, seconds: int = 300) -> None:
        if name not in SCENES:
            raise ValueError(f"no scene {name!r}; there are {', '.join(SCENES)}")
        self.name = name
        self.seconds = seconds
        self.passages: list[Passage] = []
        self._chance = Random(mix(seed, SCENES.index(name), 77))  # repeatable on purpose
        self._lanes: list[list[_User]] = [[], [], [], []]
        self._ghosts: list[list[float]] = []  # left reports, distance, speed, away, angle, drift
        self._rain = self._chance.uniform(0.15, 0.5)
        self._flutter = self._chance.uniform(15.0, 60.0), self._chance.random() < 0.5
        self._due = self._arrivals()
        if name == "standing car":
            self._park()

    # --- who comes ---------------------------------------------------------------------------------------------------

    def _arrivals(self) -> "list[list[tuple[float, _User]]]":
        """Per lane the instants in s at which somebody enters, in order."""
        chance = self._chance
        mixed = self.name == "bus and bicycle mix"
        rate = {"free flow": 450, "queue": 420, "rain clutter": 280, "standing car": 220}.get(self.name, 330)
        limit = 34.0 if chance.random() < 0.25 else 50.0
        due: list[list[tuple[float, _User]]] = []
        for lane in range(4):
            per_hour = rate if lane < 2 else 140 if mixed else 12
            entries = []
            at_s = chance.expovariate(per_hour / 3600.0)
            while at_s < self.seconds - 60.0:
                if lane >= 2:
                    user = _User(BICYCLE, lane, min(32.0, max(11.0, chance.gauss(18.5, 3.5))), chance)
                else:
                    table = _BUSES if mixed else _TOWN
                    kind = chance.choices([row[0] for row in table], [row[1] for row in table])[0]
                    pace = 0.93 if kind in (BUS, LORRY) else 1.0
                    user = _User(kind, lane, max(20.0, chance.gauss(limit * pace, limit * 0.1)), chance)
                entries.append((at_s, user))
                at_s += max(1.2, chance.expovariate(per_hour / 3600.0))
            due.append(entries)
        return due

    def _park(self) -> None:
        """One car drives in, stands at the kerb for a minute or two, and drives on."""
        user = _User(CAR, 0, 45.0, self._chance)
        user.kerb_m = self._chance.uniform(15.0, 55.0)
        user.parked_s = self._chance.uniform(50.0, 110.0)
        self._due[0].append((self._chance.uniform(20.0, max(21.0, self.seconds / 2.0 - 30.0)), user))
        self._due[0].sort(key=lambda entry: entry[0])

    # --- how they drive ----------------------------------------------------------------------------------------------

    def _drive(self, now_s: float) -> None:
        red = self.name == "queue" and now_s < self.seconds - 75.0 and now_s % _LIGHTS_S[0] < _LIGHTS_S[1]
        for lane, users in enumerate(self._lanes):
            while self._due[lane] and self._due[lane][0][0] <= now_s:
                if users and users[-1].done_m < users[-1].kind.length_m + 8.0 and users[-1].kerb_m is None:
                    break  # there is no room yet
                user = self._due[lane].pop(0)[1]
                if users and users[-1].kerb_m is None:
                    user.speed_ms = min(user.wish_ms, users[-1].speed_ms + 2.0)
                users.append(user)
            ahead: _User | None = None
            for user in users:
                self._move(user, ahead, red and lane == 0)
                if user.kerb_m is None or user.speed_ms > 4.0:
                    ahead = user  # one at the kerb is in nobody's way
            for user in [user for user in users if user.done_m > _BEGIN_M - _END_M]:
                users.remove(user)
                speed_kmh = 3.6 * sum(user.section) / max(1, len(user.section))
                self.passages.append(Passage(user.left_ms, user.approaching, speed_kmh, user.kind))

    def _move(self, user: _User, ahead: "_User | None", red: bool) -> None:
        gap_m, ahead_ms = 500.0, user.wish_ms
        if ahead is not None:
            gap_m, ahead_ms = ahead.done_m - ahead.kind.length_m - user.done_m, ahead.speed_ms
        if red and 0.0 < user.front_m - _STOP_LINE_M < gap_m and user.front_m > user.speed_ms**2 / 9.0 + _STOP_LINE_M:
            gap_m, ahead_ms = user.front_m - _STOP_LINE_M, 0.0
        if user.kerb_m is not None:
            to_kerb_m = user.front_m - user.kerb_m + 2.0
            if user.parked_s <= 0.0:
                user.kerb_m = None
            elif to_kerb_m < gap_m:
                gap_m, ahead_ms = to_kerb_m, 0.0
                if user.speed_ms < 0.3:
                    user.parked_s -= _STEP_S
        user.speed_ms = max(0.0, user.speed_ms + _acceleration(user, gap_m, ahead_ms) * _STEP_S)
        user.done_m += user.speed_ms * _STEP_S
        far_m = _SECTION_M[1] if user.kind is not BICYCLE else 32.0
        if _SECTION_M[0] <= user.at_m <= far_m and user.speed_ms * 3.6 >= _SLOWEST_KMH:
            user.section.append(user.speed_ms)

    # --- what the radar sees -------------------------------------------------------------------------------------------

    def _look(self, now_ms: int) -> "list[Target]":
        chance = self._chance
        around = [user for users in self._lanes for user in users if user.at_m > -15.0]
        around.sort(key=lambda user: user.at_m)
        seen: list[Target] = []
        for place, user in enumerate(around):
            target = self._echo(user, around[:place], now_ms)
            if target is None:
                continue
            alike = [one for one in seen if _merge(one, target)]
            if not alike:
                seen.append(target)
            if user.kind.length_m > 9.0 and target.distance_m < 40 and chance.random() < 0.25:
                # Its rear or its axles give an echo of their own.
                more = target._replace(distance_m=target.distance_m + chance.randint(3, int(user.kind.length_m)))
                seen.append(more)
        seen += self._clutter()
        seen.sort(key=lambda target: target.distance_m)
        return seen[:_MOST_TARGETS]

    def _echo(self, user: _User, nearer: "list[_User]", now_ms: int) -> "Target | None":
        chance = self._chance
        at_m = user.at_m
        if at_m <= 1.0:
            return None
        range_m = math.sqrt(at_m**2 + user.offset_m**2 + _MOUNT_M**2)
        angle_deg = math.degrees(math.atan2(user.offset_m, at_m))
        if angle_deg > _BEAM_DEG or range_m > user.reach_m:
            return None
        user.left_ms = now_ms
        shown = 0.55 if range_m > 0.9 * user.reach_m else 0.96
        for other in nearer:
            shown *= _sight(user, other)
        if chance.random() >= shown:
            return None
        speed_kmh = user.speed_ms * 3.6 * at_m / range_m
        if user.speed_ms < 0.1 and user.kerb_m is not None and chance.random() < 0.12:
            speed_kmh = 5.5  # people in and around it
        heard_kmh = round(speed_kmh + chance.uniform(-1.0, 1.0))
        if heard_kmh < _SLOWEST_KMH:
            return None
        spread_m = chance.uniform(0.0, user.kind.spread_m)
        return Target(
            round(angle_deg + chance.gauss(0.0, 1.0)),
            min(100, max(0, int(range_m + spread_m + chance.gauss(0.0, 0.4)))),
            user.approaching,
            heard_kmh,
            round(max(4.0, 40.0 - 22.0 * math.log10(max(range_m, 5.0) / 5.0) * 85.0 / user.kind.seen_m)),
        )

    def _clutter(self) -> "list[Target]":
        chance = self._chance
        if self.name == "rain clutter":
            while chance.random() < self._rain:
                longer = chance.random() < 0.06
                lasts = chance.randint(6, 14) if longer else chance.randint(1, 4)
                away = float(chance.random() < 0.5)
                self._ghosts.append(
                    [lasts, chance.uniform(2.0, 25.0), chance.uniform(5.0, 19.0), away, chance.uniform(-20.0, 20.0)]
                )
        elif self.name == "standing car" and chance.random() < 0.2:
            # Another car stands there all day; an engine, a door, a flag.
            distance_m, away = self._flutter
            self._ghosts.append([chance.randint(1, 5), distance_m, 5.6, float(away), 6.0])
        found = []
        for ghost in self._ghosts:
            ghost[0] -= 1
            if self.name == "rain clutter":
                ghost[1] += chance.gauss(0.0, 0.4) + (ghost[2] if ghost[3] else -ghost[2]) / 36.0
            speed_kmh = round(ghost[2] + chance.uniform(-1.0, 1.0))
            if speed_kmh >= _SLOWEST_KMH and ghost[1] > 0.0:
                found.append(Target(round(ghost[4]), int(ghost[1]), not ghost[3], speed_kmh, chance.randint(3, 8)))
        self._ghosts = [ghost for ghost in self._ghosts if ghost[0] > 0]
        return found

    def reports(self) -> "Iterator[tuple[int, bytes]]":
        """(time in ms, bytes of the report), those that arrive; the time begins anew with each scene."""
        now_ms = 0
        while now_ms < self.seconds * 1000 or any(self._lanes):
            self._drive(now_ms / 1000.0)
            frame = report(self._look(now_ms))
            if self._chance.random() >= _DROPPED:
                yield now_ms, frame
            now_ms += STEP_MS


def _merge(one: Target, other: Target) -> bool:
    """Whether the radar cannot tell two echoes apart: the same distance and speed."""
    apart_m = abs(one.distance_m - other.distance_m)
    same_way = one.approaching == other.approaching
    return same_way and apart_m < 2 and abs(one.speed_kmh - other.speed_kmh) < 3


def _sight(user: _User, other: _User) -> float:
    """How much (0..1) of a road user shows past another that is nearer: a ray from the radar to its upper edge."""
    at_m, high_m = user.at_m, 0.8 * user.kind.height_m
    free = 1.0
    for part in (0.0, 0.5, 1.0):
        along_m = other.at_m + part * other.kind.length_m
        share = along_m / at_m
        if not 0.0 < share < 1.0:
            continue
        beside_m = abs(user.offset_m * share - other.offset_m) - (other.kind.width_m + user.kind.width_m * share) / 2.0
        above_m = _MOUNT_M - (_MOUNT_M - high_m) * share - other.kind.height_m
        clear_m = max(above_m, beside_m + 0.6)
        free = min(free, max(0.0, min(1.0, 0.5 + clear_m / 0.4)))
    return free
