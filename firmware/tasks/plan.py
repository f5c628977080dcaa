"""What follows from changed settings: profiles that take over at a window's end. Loaded when settings change."""

from firmware import profiles
from firmware.settings import GRIDS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHORTS_MAX = 200  # profiles that a life may have had: of 256 shorts, some collide
MODULES = ("firmware.tasks.plan", "firmware.profiles", "wire.calibration")  # what is loaded for it


def room(node: "Any") -> bool:
    """Whether one more profile can be remembered. Those that have ended are forgotten, but for their shorts, once their
    last records are delivered."""
    life = node.life
    stored = life.stored
    if len(stored["grids"]) >= GRIDS_MAX and life.outbox.drained():
        used = stored.get("used", "")
        for entry in stored["grids"]:
            if entry[3]:
                used += "%02x" % profiles.short_of(entry[0])
        stored["used"] = used
        stored["grids"] = [entry for entry in stored["grids"] if not entry[3]]
        life.forget_profiles()
    return len(stored["grids"]) < GRIDS_MAX and len(stored.get("used", "")) < 2 * SHORTS_MAX


def plan(node: "Any") -> None:
    """Profiles that differ from what the settings want are replaced at the end of their open windows."""
    wanted = profiles.wanted(node.read_board(), node.settings, True)
    for grid in node.grids:
        if grid.slot < len(wanted):
            changed = not profiles.same(grid.profile, wanted[grid.slot])
            grid.successor = wanted[grid.slot] if changed else None
