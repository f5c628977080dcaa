"""A fault that is switched on for a while, and what has to come of it: written down before any board has met it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tools.week.site import Site

# What a window can become, by the names of the loss ledger.
RECORD, NOT_SAMPLED, REFUSED = "record", "not_sampled", "refused_by_sensor_check"
GOOD, MISSING = "good", "missing"
FLAGS = ("not_evaluated", "suspect", "bad", "missing")

# What may be told as well while a fault begins or goes: values jump, a chip starts anew.
EDGE = frozenset((
    GOOD, MISSING, "missing warm_up", "not_evaluated warm_up", "suspect rate_of_change", "suspect spike",
    "suspect flat_line", "suspect warm_up",
))  # fmt: skip


class Outcome(NamedTuple):
    """What each window shows once the fault has settled.

    `buckets`: what may become of a window. `told`: for channels by name, which marks they may carry ("suspect range"; see
    `tools.week.windows.mark`); those that are not named must be good. `must`: marks of `told` that at least half of the
    windows carry. `coverage`: lowest and highest in percent.
    """

    buckets: frozenset[str] = frozenset((RECORD,))
    told: Mapping[str, frozenset[str]] = {}
    must: frozenset[str] = frozenset()
    coverage: tuple[int, int] | None = None


class Fault(NamedTuple):
    """`chip`: name of a simulated chip, or "board". `settles_s`, `recovers_s`: how long after it began or went until its
    windows are judged; why it takes so long is in `says`. `by_day`: only where there is traffic it can be seen. `also`: further
    channels whose values jump when it begins and goes; `edges`: further marks of that moment."""

    chip: str
    name: str
    says: str
    outcome: Outcome
    begin: Callable[[Site], Any]
    end: Callable[[Site], Any]
    settles_s: int = 180
    recovers_s: int = 240
    by_day: bool = False
    # The earliest hour of the week: a habit has to be learned first.
    after_h: int = 0
    also: tuple[str, ...] = ()
    edges: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """How reports and the command line name it."""
        return f"{self.chip}/{self.name}"


def marks(names: tuple[str, ...], *told: str) -> dict[str, frozenset[str]]:
    """The same marks for several channels."""
    return dict.fromkeys(names, frozenset(told))


def record(told: Mapping[str, frozenset[str]], *must: str, coverage: tuple[int, int] | None = None) -> Outcome:
    """The window is delivered, with these marks; without `must` those of `told` that are not good."""
    wanted = frozenset(must) or frozenset().union(*told.values()) - {GOOD} if told else frozenset()
    return Outcome(frozenset((RECORD,)), told, wanted, coverage)


def gap(bucket: str) -> Outcome:
    """The window holds nothing, for this cause."""
    return Outcome(frozenset((bucket,)))


def harmless() -> Outcome:
    """Nothing may be seen of it."""
    return Outcome()


def switched(
    chip: str, name: str, says: str, outcome: Outcome, *, replugged: bool = False, **more: Any
) -> Fault:  # fmt: skip
    """A fault that the simulated chip knows by itself. `replugged`: the chip had no supply for half a minute before it came."""

    def begin(site: Site) -> None:
        site.chip(chip).switch(name)
        if replugged:
            site.unplug(chip)
            site.after(30, lambda: site.plug(chip))

    return Fault(chip, name, says, outcome, begin, lambda site: site.chip(chip).switch(name, False), **more)


def unplugged(chip: str, outcome: Outcome, **more: Any) -> Fault:
    """The chip's plug is pulled, and put in again."""
    return Fault(
        chip, "unplugged", "no supply, then plugged in again", outcome, lambda site: site.unplug(chip),
        lambda site: site.plug(chip), **more,
    )  # fmt: skip
