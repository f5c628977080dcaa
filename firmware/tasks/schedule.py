"""Closes the windows of all grids when they are due, and lets a changed profile take over at a window's end."""

from firmware.outbox.log import OutboxFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

LOOK_MS = 1000  # longest sleep: the clock may be set, a grid may get an end
RETRY_MS = 500  # flash took nothing: try again


async def run(task: "Task", node: "Any") -> None:
    """`node`: firmware.app.Node."""
    while True:
        task.beat()
        try:
            wait_ms = _close(node)
        except OutboxFull as error:
            node.log.error("schedule", "flash takes nothing, %s; windows stay open", error)
            node.sessions[0].sweep_again()  # some may have been written
            wait_ms = RETRY_MS
        await node.clock.sleep_ms(wait_ms)


def _close(node: "Any") -> int:
    """Close what is due; milliseconds until there is something to do again."""
    if not node.grids and not node.safe:
        from firmware.begin import begin_grids  # flash took nothing at boot

        if not begin_grids(node, node.read_board()):
            return RETRY_MS
    closed = []
    for grid in node.grids:
        places = grid.close_due() if grid.index is not None or not node.clock.synced else grid.sync()
        for place in places:
            node.sessions[0].note(place)
        if places:
            node.wake.set()
            closed.append(grid)
    if node.turning or [grid for grid in closed if grid.successor is not None]:
        from firmware.tasks import turn

        if not node.turning:
            turn.replace(node, closed)
        turn.turn(node)
    wait_ms = LOOK_MS
    for grid in node.grids:
        due_ms = grid.deadline_ms()
        if due_ms is not None:
            wait_ms = min(wait_ms, max(due_ms - node.clock.uptime_ms(), 1))
    return wait_ms
