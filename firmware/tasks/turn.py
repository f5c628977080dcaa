"""A changed profile takes over from another when windows end. Loaded when one does, and forgotten."""

from firmware import forget, profiles
from firmware import grid as grids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def replace(node: "Any", closed: "list[grids.Grid]") -> None:
    """Windows of `closed` have just ended: profiles with a successor end, settings first; `turn` then tells the outbox,
    or a boot does. A calibration changes for all windows at one instant, the end of the longest; what others gathered
    under the former one is given up, and their coverage tells it."""
    open_grids = [grid for grid in node.grids if grid.window is not None]
    if node.settings.payload.get("pending"):
        longest = max([grid.profile.window_s for grid in open_grids] or [0])
        if longest not in [grid.profile.window_s for grid in closed]:
            return
        closed = open_grids
    changing = [grid for grid in closed if grid.successor is not None and grid.window is not None]
    if not changing or None in [grid.index for grid in changing]:
        return
    stored = node.life.stored
    before = [list(entry) for entry in stored["grids"]]
    turning = []
    for grid in changing:
        profile = profiles.fresh(grid.successor, stored)  # type: ignore[arg-type]
        descriptor = grid.profile.encode().hex()
        for entry in stored["grids"]:
            if entry[0] == descriptor:
                entry[3] = grid.index
        first = grid.end_s() // profile.window_s
        stored["grids"].append([profile.encode().hex(), grid.slot, first, 0])
        turning.append((grid, profile, first))
    for grid in changing:
        grid.give_up()
    try:
        node.settings.take_over()
    except (OSError, MemoryError) as error:
        stored["grids"] = before
        for grid in changing:
            grid.reopen()
        node.log.error("settings", "not stored, %s; the change waits", error)
        return
    node.turning = turning


def turn(node: "Any") -> None:
    """Complete what `replace` began, then forget this code; OutboxFull: again later."""
    outbox = node.life.outbox
    while node.turning:
        grid, profile, first = node.turning[0]
        if grid.profile.short in outbox.state.grids:
            grids.end_grid(outbox, grid.profile.short, grid.index)
        following = node.new_grid(grid.slot, profile)
        following.begin(first, grid.until_s)
        following.start_ms = node.clock.uptime_ms()
        following.index = first
        node.grids[node.grids.index(grid)] = following
        node.turning.pop(0)
    for sensor in node.sensors:
        sensor.configure(node.settings)
    forget("firmware.tasks.turn", "firmware.profiles")
