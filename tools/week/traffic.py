"""What a radar and its line do to the windows of a traffic station."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.sim.chips.ld2451 import Target
from tools.week.fault import GOOD, MISSING, NOT_SAMPLED, REFUSED, Fault, Outcome, gap, harmless, record, switched
from tools.week.site import Site

CHIP = "ld2451"
COUNTS = ("vehicles_approach", "vehicles_depart", "vehicles_total_approach", "vehicles_total_depart")
# What privacy withholds when fewer than three vehicles came: there is a value, or there is none.
OTHERS = (
    "speed_mean_approach", "speed_mean_depart", "speed_v85_approach", "speed_v85_depart", "occupancy_approach",
    "occupancy_depart", "headway_median_approach", "headway_median_depart",
    *(
        f"vehicles_{low}_{high}kmh_{way}"
        for way in ("approach", "depart")
        for low, high in (*((low, low + 5) for low in range(25, 75, 5)), (75, 300))
    ),
)  # fmt: skip
TWO_WINDOWS_S = 2 * 300 + 60  # the shortest that says something: the window with the edge, one that is whole
VOTES_S = 2 * 3600  # some forty vehicles contradict before the former ones are forgotten
UNSEEN_S = 3600  # until sixty vehicles of the habit did not come, on a day


def _partly(low: int, high: int) -> Outcome:
    """Delivered and good, of a part of the time: coverage tells it."""
    return Outcome(told={}, coverage=(low, high))


def _changed(
    name: str, says: str, outcome: Outcome, begin: Callable[[Site], None], end: Callable[[Site], None], **more: Any
) -> Fault:
    return Fault(
        CHIP, name, says, outcome, begin, end, **({"settles_s": TWO_WINDOWS_S, "recovers_s": TWO_WINDOWS_S} | more)
    )


def _set(**attributes: object) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        for name, value in attributes.items():
            setattr(site.chip(CHIP), name, value)

    return change


def _own(name: str, says: str, outcome: Outcome, **more: Any) -> Fault:
    return switched(
        CHIP, name, says, outcome, **({"settles_s": TWO_WINDOWS_S, "recovers_s": TWO_WINDOWS_S} | more)
    )  # fmt: skip


UNREAD = "suspect samples_lost"
STANDING = [Target(4, 22, True, 7, 60)]
STOOD = frozenset(("suspect blocked",))  # of a window in which it stood for a while

FAULTS = (
    _own("silence", "nothing is sent, nothing is heard", gap(NOT_SAMPLED)),
    _own("stuck", "the last report for ever: its targets stand still, and ten seconds later nothing counts any more",
         gap(REFUSED), by_day=True, edges=STOOD),
    _own("byte_shift", "one byte of each report is lost", gap(REFUSED), edges=frozenset((UNREAD,))),
    _own("late_answer", "reports in bunches of five", harmless()),
    _own("gaps", "no reports for 1.2 s in every 6 s", _partly(70, 90)),
    _own("dropped", "one report in ten is missing", harmless()),
    _own("ghosts", "rain: short-lived weak targets", harmless()),
    _own("garbage", "random bytes between the reports: what came with them is not vouched for", _partly(0, 50)),
    _own("wrong_count", "reports with vehicles are unreadable, those of an empty road are not: that none was counted tells nothing",
         record(
             {name: frozenset((UNREAD,)) for name in COUNTS}
             | {name: frozenset((GOOD, MISSING, UNREAD)) for name in OTHERS}, UNREAD, coverage=(0, 97),
         ), by_day=True),
    _changed("unplugged", "no supply, then plugged in again", gap(NOT_SAMPLED), lambda site: site.unplug(CHIP),
             lambda site: site.plug(CHIP)),
    _changed("wrong_baudrate", "it talks at 9600 baud: rubbish, and it does not hear commands", gap(NOT_SAMPLED),
             _set(baudrate=9600), _set(baudrate=115200)),
    _changed("view_covered", "it reports, and sees nothing: sixty vehicles of the habit have to be missing",
             record({name: frozenset(("suspect blocked",)) for name in COUNTS}), _set(fixed=[]), _set(fixed=None),
             settles_s=UNSEEN_S, by_day=True, after_h=48),
    _changed("standing_thing", "the same target for ever: refused after ten seconds", gap(REFUSED),
             _set(fixed=STANDING), _set(fixed=None), edges=STOOD),
    _changed("turned_round", "the direction byte contradicts the distances",
             record(
                 {name: frozenset(("suspect contradiction",)) for name in COUNTS}
                 | {name: frozenset((GOOD, MISSING, "suspect contradiction")) for name in OTHERS},
                 "suspect contradiction",
             ),
             _set(direction_inverted=True), _set(direction_inverted=False), settles_s=VOTES_S, recovers_s=VOTES_S,
             by_day=True),
)  # fmt: skip
