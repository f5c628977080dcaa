"""Stations with labelled faults, run through drivers, sampler and windows as a board runs them; what each value's flag
should be, and how often it was.

Air: simulated chips on I2C, whole. Microphone: sample-exact. Wind on it, and counters that go blind over days, are
readings behind the signal processing: made here from the world's sound and vehicles.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from firmware import drivers
from firmware.aggregate import Window
from firmware.tasks.sample import Sensor
from tests.fakes import quality_due as due
from tests.fakes.bus import FakeClock
from tests.fakes.quality_score import ABSENT, NOTHING, Fault, Judged, Score
from tests.firmware.drivers.test_driver_meets_chip import I2cBus, I2sReceiver, UartLine
from tools.sim import chips
from tools.sim.faulty_air import KINDS, FaultyAir, Kind, plan
from tools.sim.world import World
from wire import channels
from wire.quality import MISSING, REASON_NAMES

START_S = 1_772_578_800  # a Wednesday in March, midnight in Bochum
PERIOD_S = 2
WINDOW_S = 60
AIR = ("pm1", "pm2_5", "pm4", "pm10", "nc0_5", "temperature", "humidity", "pressure")
PM = AIR[:5]
FIELDS = {name: at for at, name in enumerate(("pm1", "pm2_5", "pm4", "pm10", "nc0_5"))} | {
    "temperature": 10, "humidity": 11, "pressure": 12,
}  # fmt: skip


class Place:
    """A driver on its simulated chip; several may share clock and world."""

    def __init__(self, world: World, clock: FakeClock, driver: str, chip: str, bus: Any, **chip_params: Any) -> None:
        self.world = world
        self.clock = clock
        self._began_ms = clock.now_ms
        self.chip: Any = chips.create(chip, world, 3, **chip_params)
        self.sensor = Sensor(0, drivers.load(driver)(bus(self), clock), None)
        self.driver = self.sensor.driver
        self.running = False
        self.again_ms = 0
        self.backoff_ms = 1000

    def now_us(self) -> int:
        return self.world.start_s * 1_000_000 + (self.clock.now_ms - self._began_ms) * 1000

    async def turn(self, node: Any) -> None:
        """What the sampler does in a period: read, or start when it is time."""
        if not self.running and self.clock.now_ms >= self.again_ms:
            self.running = await self.sensor._start(node)
            if not self.running:
                self._wait()
        if self.running:
            self.running = await self.sensor._read(node)
            if self.running:
                self.backoff_ms = 1000
            else:
                await self.driver.stop()
                self._wait()

    def _wait(self) -> None:
        self.again_ms = self.clock.now_ms + self.backoff_ms
        self.backoff_ms = min(2 * self.backoff_ms, 60000)


def node_with(window: Window, clock: FakeClock) -> Any:
    """As much of firmware.app.Node as a sensor needs."""

    def silent(*_: object) -> None:
        pass

    log = SimpleNamespace(debug=silent, info=silent, warning=silent)
    return SimpleNamespace(grids=[SimpleNamespace(window=window)], log=log, event=silent, clock=clock)


def window_of(names: tuple[str, ...], window_s: int) -> Window:
    return Window(tuple((channels.id_of(name), 0) for name in names), window_s * 1000)


def told(window: Window) -> list[str]:
    """The reasons of the window that ends, which is then empty again; ABSENT for what is missing without one."""
    closed = window.close()
    window.clear()
    if closed.cause is not None:
        return [ABSENT] * len(window.items)
    return [
        REASON_NAMES[flag >> 4] or (ABSENT if flag & 15 == MISSING else "")
        for flag in closed.flags or (1,) * len(window.items)
    ]


# --- air -----------------------------------------------------------------------------------------------------------


def air(seed: int, kinds: tuple[Kind, ...] = KINDS) -> Iterator[Judged]:
    """A night and a day of an air station on which everything happens."""
    episodes, end_s = plan(seed, START_S, PERIOD_S, kinds)
    world = FaultyAir(seed, START_S, episodes)
    clock = FakeClock()
    places = {
        "sps30": Place(world, clock, "sps30", "sps30", I2cBus),
        "bme280": Place(world, clock, "bme280", "bme280", I2cBus),
    }
    for place in places.values():
        place.driver.configure("sample_ms", 1000 * PERIOD_S)
    return _air(world, clock, places, end_s)


def weather(seed: int, hours: int = 24) -> Iterator[Judged]:
    """An ordinary day of some season, with fog as it comes; a reading in ten seconds."""
    start_s = START_S + seed % 12 * 30 * 86400
    world = FaultyAir(seed, start_s, [], dry=False)
    clock = FakeClock()
    places = {
        "sps30": Place(world, clock, "sps30", "sps30", I2cBus),
        "bme280": Place(world, clock, "bme280", "bme280", I2cBus),
    }
    for place in places.values():
        place.driver.configure("sample_ms", 10000)
    return _air(world, clock, places, start_s + 3600 * hours, 10)


def _air(
    world: FaultyAir, clock: FakeClock, places: dict[str, Place], end_s: int, period_s: int = PERIOD_S
) -> Iterator[Judged]:
    window = window_of(AIR, WINDOW_S)
    node = node_with(window, clock)
    began_ms = clock.now_ms
    switches = list(world.switches())
    warm: list[tuple[float, float]] = []
    since: dict[str, float] = {}
    before: list[float] | None = None
    for begin_s in range(world.start_s, end_s // WINDOW_S * WINDOW_S, WINDOW_S):
        for now_s in range(begin_s, begin_s + WINDOW_S, period_s):
            clock.now_ms = max(clock.now_ms, began_ms + 1000 * (now_s - world.start_s))
            while switches and switches[0][0] <= now_s:
                _, name, fault, on = switches.pop(0)
                _switch(places[name], fault, on)
            for name, place in places.items():
                asyncio.run(place.turn(node))
                if name == "sps30":
                    _note_warm_up(place, now_s, warm, since)
        truth = [sum(values) / len(values) for values in zip(
            *(world.air(now_s, 0) for now_s in range(begin_s, begin_s + WINDOW_S, period_s)), strict=True
        )]  # fmt: skip
        for name, reason in zip(AIR, told(window), strict=True):
            true, maybe = _wrong(world, name, begin_s, truth, before, warm)
            yield Judged(reason, true, maybe, _faults(world, name, begin_s, warm), begin_s + WINDOW_S)
        before = truth


def _switch(place: Place, fault: str, on: bool) -> None:
    if fault != "no_supply":
        place.chip.switch(fault, on)
    elif on:
        place.chip.power_off()
    else:
        place.chip.power_on(place.now_us())


def _note_warm_up(place: Place, now_s: int, warm: list[tuple[float, float]], since: dict[str, float]) -> None:
    """Whenever the fan begins to run, half a minute (data sheet: 30 s at the lowest concentrations)."""
    started_us = place.chip._started_us if place.chip.state == "measuring" else 0
    if started_us != since.get("sps30"):
        since["sps30"] = started_us
        if started_us:
            warm.append((started_us / 1e6, started_us / 1e6 + due.FAN_S))


def _wrong(
    world: FaultyAir, name: str, begin_s: int, truth: list[float], before: list[float] | None,
    warm: list[tuple[float, float]],
) -> tuple[frozenset[str], frozenset[str]]:  # fmt: skip
    """What is wrong with a value, and what may be."""
    end_s = begin_s + WINDOW_S
    value = truth[FIELDS[name]]
    true: set[str] = set()
    maybe: set[str] = set()

    def judge(reason: str, amount: float, limit: float, doubt: float) -> None:
        if amount > limit + doubt:
            true.add(reason)
        elif amount > limit - doubt:
            maybe.add(reason)

    if name in PM:
        judge("humidity", truth[FIELDS["humidity"]], due.HUMID_PCT, due.HUMID_DOUBT_PCT)
        for first, last in warm:
            if first < end_s and last > begin_s:
                (true if min(last, end_s) - max(first, begin_s) > 2 * PERIOD_S else maybe).add("warm_up")
    limits = due.limits(name)
    if name in PM or name == "temperature":
        judge("range", value, limits.high, due.RANGE_DOUBT.get(name, due.RANGE_DOUBT_SHARE * limits.high))
    if before is not None:
        change, level = abs(value - before[FIELDS[name]]), max(value, before[FIELDS[name]])
        limit = limits.rate + limits.share * level
        judge("rate_of_change", change, limit, due.RATE_DOUBT_SHARE * limit)
    for kind, what, from_s, until_s, _ in world.episodes:
        if from_s - WINDOW_S >= end_s or until_s + 240 < begin_s:
            continue
        inside = from_s < end_s and until_s > begin_s
        hit = what in ((name, "pm", "sps30") if name in PM else (name, "bme280"))
        if kind == "spike" and hit and inside:
            reading_s = from_s + 1.0  # one reading sees it
            (true if begin_s <= reading_s < end_s else maybe).add("spike")
        elif kind == "step" and hit:
            # In the last reading alone it cannot be told from a spike; nobody knows yet whether it stays.
            if any(end_s - 2 * PERIOD_S - 1 < edge_s <= end_s - PERIOD_S for edge_s in (from_s, until_s)):
                maybe.add("spike")
        elif kind == "soaked":
            if name in PM:
                maybe.add("humidity")  # by the word of a sensor that is wrong
            elif name == "humidity":
                maybe.update(("rate_of_change", "spike"))  # where it begins and ends
                if inside:
                    flat_s = from_s + limits.flat_line_s + PERIOD_S
                    (true if begin_s >= flat_s and end_s <= until_s else maybe).add("flat_line")
        elif kind == "stuck" and hit and inside:  # so many readings alike are refused
            alike_s = from_s + (due.STUCK_READINGS + 1) * PERIOD_S
            (true if begin_s >= alike_s and end_s <= until_s else maybe).add("flat_line")
        elif kind in ("slow_fan", "dead_laser") and hit:
            # The status word is asked for now and then; a driver that starts anew asks after the warm-up.
            maybe.update(("rate_of_change", "spike"))
            steady = begin_s >= from_s + (due.STATUS_READINGS + 1) * PERIOD_S and end_s <= until_s
            (true if steady and kind == "slow_fan" else maybe).add("sensor_status")
            if steady and kind == "dead_laser":
                true.add("sensor_status")
        elif kind in ("no_supply", "stuck") and hit:
            maybe.update(("rate_of_change", "warm_up", "flat_line"))
    return frozenset(true), frozenset(maybe - true)


# What tells a fault of the air or of a chip rightly.
TELLS = {
    "drift": "range", "spike": "spike", "step": "rate_of_change", "humid": "humidity", "slow_fan": "sensor_status",
    "dead_laser": "sensor_status", "stuck": "flat_line", "soaked": "flat_line",
}  # fmt: skip


def _faults(world: FaultyAir, name: str, begin_s: int, warm: list[tuple[float, float]]) -> tuple[Fault, ...]:
    """The episodes that the value lies in, be it with a part of its window. Without supply: until the fan has run up again."""
    found = []
    for number, (kind, what, from_s, until_s, _) in enumerate(world.episodes):
        hit = what in ((name, "pm", "sps30") if name in PM else (name, "bme280"))
        if kind == "soaked":
            hit = name == "humidity"
        elif kind == "humid":
            hit = name in PM
        elif kind == "no_supply":
            until_s = next((last for first, last in warm if first >= from_s), until_s)
        if hit and kind != "plume" and from_s < begin_s + WINDOW_S and until_s > begin_s:
            tells = frozenset((TELLS[kind],)) if kind in TELLS else frozenset(("warm_up", ABSENT))
            found.append(Fault(f"{kind} {what}", world.seed << 8 | number, from_s, tells))
    return tuple(found)


# --- sound ---------------------------------------------------------------------------------------------------------


class Loud(NamedTuple):
    """So many windows of a level at the microphone, and what is wrong with it."""

    windows: int
    level_db: float
    reason: str = ""
    gain_db: float = 0.0  # what the microphone makes of it
    fault: str = ""


def microphone(seed: int, window_s: int = 4) -> Iterator[Judged]:
    """Sample by sample: street, a hammer before the box, water in the port, a line that drops samples."""
    chance = Random(seed)
    scenes = [
        Loud(4, chance.uniform(45, 70)),
        Loud(4, chance.uniform(118, 124), "overload"),
        Loud(4, chance.uniform(85, 100)),
        Loud(4, chance.uniform(38, 50), "underrange", -28.0),
        Loud(4, chance.uniform(34, 45)),
        Loud(4, chance.uniform(50, 90), "samples_lost", 0.0, "gaps"),
        Loud(4, chance.uniform(60, 80)),
    ]
    window = window_of(("laeq", "lafmax"), window_s)
    clock = FakeClock()
    place = Place(World(seed, START_S), clock, "i2s_mic", "ics43434", I2sReceiver, level_db=60.0)
    node = node_with(window, clock)
    before = ""
    for number, scene in enumerate(scenes):
        begin_s = clock.now_ms / 1000
        place.chip.level_db, place.chip.gain_db = scene.level_db, scene.gain_db
        for fault in place.chip.FAULTS:
            place.chip.switch(fault, fault == scene.fault)
        for at in range(scene.windows):
            until_ms = clock.now_ms + 1000 * window_s
            while clock.now_ms < until_ms:
                asyncio.run(place.turn(node))
            true = frozenset(filter(None, (scene.reason,)))
            maybe = NOTHING
            if not at:  # an edge lies in the first one: the scene before, or the settling
                true, maybe = NOTHING, true | {before, "", "warm_up"}
            fault = (
                (Fault(scene.reason, seed << 8 | number, begin_s, frozenset((scene.reason,))),) if scene.reason else ()
            )
            for reason in told(window):
                yield Judged(reason, true, maybe, fault, clock.now_ms / 1000)
        before = scene.reason


WIND_C_AT_10_MS_DB = 82.0  # in a microphone without its screen; rises with the sixth power of the speed
WIND_C_OVER_A_DB = 25.0  # it is rumble


def wind(seed: int, hours: int = 24) -> Iterator[Judged]:
    """Levels of a second from the world's street, with wind on the microphone in some hours: behind the meter."""
    chance = Random(seed)
    world = World(seed, START_S)
    window = window_of(("laeq", "lafmax", "lceq"), WINDOW_S)
    screen_db = 0.0
    for number in range(hours * 6):  # every tenth minute
        begin_s = START_S + 600 * number
        if number % 6 == 0:
            screen_db = 25.0 if chance.random() < 0.6 else 0.0  # the screen is there, or has flown away
        speed_ms = chance.uniform(0.5, 14.0)
        sound = gusts = 0.0
        for second in range(begin_s, begin_s + WINDOW_S):
            street = sum(world.sound_energy(second * 1_000_000 + part) for part in (0, 250_000, 500_000, 750_000)) / 4
            gust_ms = max(0.2, speed_ms * chance.uniform(0.7, 1.3))
            wind_c = 10.0 ** ((WIND_C_AT_10_MS_DB - screen_db + 60.0 * math.log10(gust_ms / 10.0)) / 10.0)
            wind_a = wind_c / 10.0 ** (WIND_C_OVER_A_DB / 10.0)
            street_c = street * 10.0 ** (chance.uniform(5.0, 11.0) / 10.0)  # engines and tyres
            sound += street
            gusts += wind_a
            laeq = _centi_db(street + wind_a)
            for name, value in (("laeq", laeq), ("lafmax", laeq + 200), ("lceq", _centi_db(street_c + wind_c))):
                window.add(channels.id_of(name), 0, value, 1000)
        excess_db = 10.0 * math.log10(gusts / sound)
        wind_is_due = excess_db > due.WIND_DUE_DB
        felt = frozenset(("wind",)) if excess_db > due.WIND_FELT_DB else NOTHING
        kind = "wind, loud" if wind_is_due else "wind, faint"
        faults = (Fault(kind, seed << 8 | number, begin_s, felt),) if felt else ()
        for reason in told(window):
            true, maybe = (felt, NOTHING) if wind_is_due else (NOTHING, felt)
            yield Judged(reason, true, maybe, faults, begin_s + WINDOW_S)


def _centi_db(energy: float) -> int:
    return round(1000.0 * math.log10(energy))


# --- traffic -------------------------------------------------------------------------------------------------------

BLOCKED = frozenset(("blocked",))


def counters(seed: int, days: int = 9) -> Iterator[Judged]:
    """Counts of both directions, day and night, over a weekend; now and then a counter goes blind. Behind the tracker."""
    chance = Random(seed)
    world = World(seed, START_S)
    names = ("vehicles_approach", "vehicles_depart")
    length_s = 300
    window = window_of(names, length_s)
    blind = [_blind_hours(chance, days) for _ in names]
    unseen = [0, 0]
    for begin_s in range(START_S, START_S + days * 86400, length_s):
        passed = world.vehicles(begin_s * 1_000_000, (begin_s + length_s) * 1_000_000)
        blocked = [next((first for first, last in spans if first <= begin_s < last), 0) for spans in blind]
        for at, name in enumerate(names):
            count = sum(vehicle.approaching == (at == 0) for vehicle in passed)
            unseen[at] = unseen[at] + count if blocked[at] else 0
            window.add(channels.id_of(name), 0, 0 if blocked[at] else count, length_s * 1000)
        for at, reason in enumerate(told(window)):
            true = BLOCKED if unseen[at] >= due.VEHICLES_UNSEEN else NOTHING
            faults = (Fault("blind counter", seed << 8 | at, blocked[at], BLOCKED),) if blocked[at] else ()
            yield Judged(reason, true, (BLOCKED if blocked[at] else NOTHING) - true, faults, begin_s + length_s)


def _blind_hours(chance: Random, days: int) -> list[tuple[int, int]]:
    """From the second day on, once in some two days, for 3 to 12 hours."""
    spans = []
    for day in range(1, days, 2):
        first = START_S + day * 86400 + chance.randrange(86400)
        spans.append((first, first + chance.randrange(3 * 3600, 12 * 3600)))
    return spans


TURNED = frozenset(("contradiction",))


def radar(seed: int, minutes: int = 8) -> Iterator[Judged]:
    """A radar that was mounted the right way round, and one whose word for the direction contradicts the distances."""
    for inverted in (False, True):
        clock = FakeClock()
        world = World(seed, START_S + 7 * 3600)
        begin_us = world.start_s * 1_000_000
        place = Place(world, clock, "ld2451", "ld2451", UartLine, direction_inverted=inverted)
        window = window_of(("vehicles_approach", "vehicles_depart"), WINDOW_S)
        node = node_with(window, clock)
        seen = 0
        for minute in range(minutes):
            until_ms = clock.now_ms + 1000 * WINDOW_S
            while clock.now_ms < until_ms:
                asyncio.run(place.turn(node))
            enough = TURNED if inverted and seen >= due.VEHICLES_TURNED else NOTHING
            faults = (Fault("turned radar", seed, 0.0, TURNED),) if inverted else ()
            for reason in told(window):
                yield Judged(reason, enough, (TURNED if inverted else NOTHING) - enough, faults, 60.0 * (minute + 1))
            seen = len(world.vehicles(begin_us, begin_us + (minute + 1) * WINDOW_S * 1_000_000))


SCENES = {"air": air, "weather": weather, "microphone": microphone, "wind": wind, "counters": counters, "radar": radar}


def score(seeds: list[int]) -> Score:
    """All scenes with all seeds."""
    from tests.fakes import quality_scenes as more  # it is made of what is here

    scenes = [*SCENES.values(), more.module, more.exchanged, more.calibration]
    result = Score()
    for seed in seeds:
        for scene in scenes:
            for judged in scene(seed):
                result.add(judged)
    return result
