"""More labelled scenes: status words of other chips than an SPS30, and calibrations that do not hold."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from firmware.correction import Correction
from gateway.calibration import Passport, make_set, write_set
from gateway.calibration_check import CalibrationCheck
from gateway.store.rows import pack_values, unpack_values
from tests.fakes.bus import FakeClock
from tests.fakes.quality_run import START_S, Place, node_with, told, window_of
from tests.fakes.quality_score import NOTHING, Fault, Judged
from tests.firmware.drivers.test_driver_meets_chip import I2cBus, I2sReceiver
from tools.sim.chips.i2s_mic import MODELS, Form
from tools.sim.faulty_air import FaultyAir
from tools.sim.world import World
from wire import channels
from wire.profiles import Profile
from wire.quality import REASON_NAMES

WINDOW_S = 60
MODULE = ("pm2_5", "temperature", "humidity", "co2")
# What a status bit of a SEN66 speaks of.
BROKEN = {
    "slow_fan": ("pm2_5",),
    "dead_fan": MODULE,  # no air comes to anything
    "dead_laser": ("pm2_5",),
    "dead_climate": ("temperature", "humidity"),
    "dead_co2": ("co2",),
}
EDGE_WINDOWS = 6  # the status word is asked for every thirty readings; a chip begins anew
STATUS = frozenset(("sensor_status",))
CALIBRATION = frozenset(("calibration",))


def module(seed: int) -> Iterator[Judged]:
    """A SEN66 whose parts break one after the other, and are mended."""
    chance = Random(seed)
    world = FaultyAir(seed, START_S, [])
    clock = FakeClock()
    place = Place(world, clock, "sen66", "sen66", I2cBus)
    place.driver.configure("sample_ms", 10000)
    window = window_of(MODULE, WINDOW_S)
    node = node_with(window, clock)

    def windows(count: int) -> Iterator[list[str]]:
        for _ in range(count):
            until_ms = clock.now_ms + 1000 * WINDOW_S
            while clock.now_ms < until_ms:
                before_ms = clock.now_ms
                asyncio.run(place.turn(node))
                clock.now_ms = max(clock.now_ms, before_ms + 10000)
            yield told(window)

    for _ in windows(EDGE_WINDOWS):
        pass
    for fault in chance.sample(list(BROKEN), len(BROKEN)):
        for on in (False, True):
            place.chip.switch(fault, on)
            begin_s = clock.now_ms / 1000
            label = (Fault(f"{fault} sen66", seed, begin_s, STATUS),)
            for at, reasons in enumerate(windows(EDGE_WINDOWS + chance.randrange(8, 16))):
                for name, reason in zip(MODULE, reasons, strict=True):
                    hit = on and name in BROKEN[fault]
                    true, maybe = STATUS if hit else NOTHING, NOTHING
                    if at < EDGE_WINDOWS:  # the last fault's bit is still set, or the new one not yet seen
                        true, maybe = NOTHING, STATUS | {"", "warm_up", "rate_of_change", "spike", "range"}
                    end_s = begin_s + WINDOW_S * (at + 1)
                    yield Judged(reason, true, maybe, label if hit else (), end_s)
        place.chip.switch(fault, False)


def exchanged(seed: int, window_s: int = 4) -> Iterator[Judged]:
    """Sample by sample: somebody puts another microphone in than the board's description says."""
    window = window_of(("laeq", "lafmax"), window_s)
    for model in ("ics43434", "sph0645", "ics43434"):
        clock = FakeClock()
        place = Place(World(seed, START_S), clock, "i2s_mic", "ics43434", I2sReceiver, level_db=60.0)
        chip = place.chip
        chip.model_name, chip.model = model, MODELS[model]
        chip.form, chip.dc = Form(chip.model.bits, chip.model.timing), chip.model.dc
        node = node_with(window, clock)
        for at in range(5):
            until_ms = clock.now_ms + 1000 * window_s
            while clock.now_ms < until_ms:
                asyncio.run(place.turn(node))
            true, maybe = STATUS if model == "sph0645" else NOTHING, NOTHING
            faults = (Fault("another microphone", seed, 0.0, STATUS),) if true else ()
            if not at:  # the settling lies in the first one
                true, maybe = NOTHING, true | {"", "warm_up"}
            for reason in told(window):
                yield Judged(reason, true, maybe, faults, float(window_s * (at + 1)))


PM_ITEM = channels.id_of("pm2_5") << 4
EXPIRES = "2026-03-10"
END_MS = 1_773_187_200_000  # the day after has begun
ITEMS = ("pm2_5", "temperature", "humidity", "co2")


def calibration(seed: int, days: int = 12) -> Iterator[Judged]:
    """Dust corrected by a humidity that is missing now and then, under a passport that ends; a temperature that was shifted
    and no passport speaks of; humidity that nobody changed. Window, correction and gateway are the product's."""
    chance = Random(seed)
    items = tuple((channels.id_of(name), 0) for name in ITEMS)
    settings = {
        "cal_item.0": PM_ITEM, "cal_slope.0": 9000, "cal_kappa.0": 380,
        "cal_item.1": channels.id_of("temperature") << 4, "cal_offset.1": -20,
    }  # fmt: skip
    passport = Passport(
        author="A. Kowalski", date="2026-02-01", expires=EXPIRES, reference="EDM 180, 18A19042", items=("pm2_5", "co2")
    )
    found = make_set(settings, (passport,))
    profile = Profile(items, 3600, int(found.number, 16))
    window = window_of(ITEMS, 3600)
    window.correction = Correction(
        items, lambda name, slot: settings.get(f"{name}.{slot}", 10000 * (name == "cal_slope"))
    )
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        write_set(Path(folder), found)
        check = CalibrationCheck(Path(folder))
        for hour in range(24 * days):
            end_ms = (START_S + 3600 * (hour + 1)) * 1000
            blind = chance.random() < 0.2
            dust = chance.randrange(500, 3000)
            for name, value in (("pm2_5", dust), ("temperature", 10000), ("humidity", 6000), ("co2", 4500)):
                if name != "humidity" or not blind:
                    window.add(channels.id_of(name), 0, value + hour % 7, 3_600_000)
            closed: Any = window.close()
            window.clear()
            _, flags = unpack_values(check.judged(profile, end_ms, pack_values(closed.values, closed.flags)))
            ended = end_ms > END_MS
            begin_s = end_ms / 1000 - 3600
            old = (Fault("expired passport", seed, END_MS / 1000, CALIBRATION),) if ended else ()
            dry = (Fault("correction without input", seed << 12 | hour, begin_s, CALIBRATION),) if blind else ()
            none = (Fault("no passport", seed, float(START_S), CALIBRATION),)
            wrong = {"pm2_5": old + dry, "temperature": none, "humidity": (), "co2": old}
            for name, flag in zip(ITEMS, flags or (1,) * len(ITEMS), strict=True):
                if name != "humidity" or not blind:
                    faults = wrong[name]
                    yield Judged(
                        REASON_NAMES[flag >> 4], CALIBRATION if faults else NOTHING, NOTHING, faults, end_ms / 1000
                    )
