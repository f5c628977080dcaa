"""What a microphone, its wiring and the sound do to the windows of a noise station."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tools.sim.chips.i2s_mic import MODELS, Form
from tools.week.fault import REFUSED, Fault, Outcome, gap, harmless, marks, record, switched
from tools.week.site import Site

CHIP = "ics43434"
LEVELS = ("laeq", "lafmax", "lafmin", "laf10", "laf50", "laf90", "laf95", "lasmax", "lceq", "lcpeak")
A_LEVELS = LEVELS[:8]
NO_SOUND_S = 240  # the driver begins anew every ten seconds, then looks into the other slot, with a backoff of a minute

SILENT = gap(REFUSED)
BLOW = frozenset(("suspect overload", "suspect samples_lost"))  # what a jump of the offset is to a level meter


def _all(told: str) -> Outcome:
    return record(marks(LEVELS, told))


def _unplugged() -> Fault:
    return Fault(
        CHIP, "unplugged", "no supply: zeros, which are refused as no sound; then plugged in again", SILENT,
        lambda site: site.unplug(CHIP), lambda site: site.plug(CHIP), recovers_s=NO_SOUND_S, edges=BLOW,
    )  # fmt: skip


def _changed(name: str, says: str, outcome: Outcome, begin: Callable[[Site], None], **more: Any) -> Fault:
    """Another microphone, or another sound; both are as before afterwards."""

    def end(site: Site) -> None:
        site.rest()
        chip = site.chip(CHIP)
        chip.sound(None)
        chip.level_db, chip.gain_db, chip.dc = None, 0.0, MODELS[chip.MODEL].dc
        _model(site, chip.MODEL)

    return Fault(CHIP, name, says, outcome, begin, end, **more)


def _model(site: Site, name: str) -> None:
    chip = site.chip(CHIP)
    if chip.model_name != name:
        chip.model_name, chip.model = name, MODELS[name]
        chip.form = Form(chip.model.bits, chip.model.timing)
        chip.dc = chip.model.dc
        site.unplug(CHIP)  # exchanged: half a minute without one, so that the driver looks again
        site.after(30, lambda: site.plug(CHIP))


def _set(**attributes: float) -> Callable[[Site], None]:
    def begin(site: Site) -> None:
        for name, value in attributes.items():
            setattr(site.chip(CHIP), name, value)

    return begin


def _rumble(site: Site) -> None:
    """Wind: 32 Hz, never quite the same."""
    chance = Random(site.world.seed)  # repeatable on purpose
    site.every(20, lambda: site.chip(CHIP).sound((32.0, 80.0 + chance.randrange(60) / 10.0)))


def _flooded(site: Site) -> None:
    """A quiet street, never quite the same, through a port full of water."""
    chance = Random(site.world.seed)  # repeatable on purpose

    def change() -> None:
        chip = site.chip(CHIP)
        chip.gain_db = -28.0
        chip.level_db = chance.choice([level for level in (38.0, 40.0, 42.0, 44.0, 46.0) if level != chip.level_db])

    site.every(20, change)


def _clip(site: Site) -> None:
    site.chip(CHIP).level_db = 85.0
    site.chip(CHIP).switch("clipping")


def _unclip(site: Site) -> None:
    site.chip(CHIP).level_db = None
    site.chip(CHIP).switch("clipping", False)


def _swap(name: str, says: str, **more: Any) -> Fault:
    return switched(CHIP, name, says, SILENT, recovers_s=NO_SOUND_S, edges=BLOW | {"suspect sensor_status"}, **more)


FAULTS = (
    _swap("silence", "the data line is dead: zeros"),
    _swap("open_line", "the data line is open and hums"),
    _swap("all_ones", "the data line hangs high"),
    _swap("stuck", "one value for ever"),
    _swap("byte_shift", "every word is made of two samples"),
    _swap("swapped_channel", "it drives the other slot: zeros in its own"),
    switched(
        CHIP, "late_answer", "plugged in, mute for three seconds more: longer than the settling time, then all is well",
        harmless(), replugged=True, settles_s=NO_SOUND_S, recovers_s=NO_SOUND_S, edges=BLOW,
    ),
    switched(CHIP, "gaps", "15 ms of zeros in every second", record(marks(LEVELS, "suspect samples_lost"))),
    Fault(CHIP, "clipping", "40 dB too loud at a loud place", _all("suspect overload"), _clip, _unclip),
    _unplugged(),
    _changed("too_loud", "122 dB", _all("suspect overload"), _set(level_db=122.0)),
    _changed(
        "water_in_the_port", "28 dB too low in a quiet street: below the microphone's own noise",
        record(marks(A_LEVELS, "suspect underrange")), _flooded,
    ),
    _changed("wind", "32 Hz at 80 to 86 dB: LCeq 36 dB above LAeq", _all("suspect wind"), _rumble),
    _changed(
        "frames_dropped", "the receiver overwrites 40 ms of sound every five seconds", _all("suspect samples_lost"),
        lambda site: site.every(5, lambda: site.lose_frames(1920)),
    ),
    _changed("offset", "a constant offset of a twentieth of full scale", harmless(), _set(dc=400_000),
        edges=BLOW,
    ),
    _changed(
        "other_model", "an SPH0645 of 18 bits was put in", _all("suspect sensor_status"),
        lambda site: _model(site, "sph0645"), settles_s=NO_SOUND_S, recovers_s=NO_SOUND_S, edges=BLOW,
    ),
)  # fmt: skip
