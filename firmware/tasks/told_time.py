"""What follows when a gateway tells a time that is new to the board. Loaded then, and forgotten."""

from firmware.clock import FIRST, REFUSED, STEPPED
from firmware.outbox.log import OutboxFull
from firmware.tasks import health
from wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _behind(node: "Any") -> bool:
    """Whether the clock tells a time that some grid has left behind."""
    for grid in node.grids:
        if grid.behind():
            return True
    return False


def take(node: "Any", outcome: int) -> None:
    """`outcome` of the clock's `offer`, not ADJUSTED. `node`: firmware.app.Node."""
    if outcome == FIRST:
        if _behind(node):
            node.clock.forget()  # what was recorded already is later than that: measure on without a clock
            return
        node.log.info("clock", "set")
        try:
            for grid in node.grids:
                for place in grid.sync():
                    node.sessions[0].note(place)
            if [grid for grid in node.grids if grid.start_ms]:
                # Uptime and UTC together: what was sealed before can be dated, whoever gets it.
                health.put_health(node)
                node.health_due_ms = node.clock.uptime_ms() + node.settings.get("health_s") * 1000
        except OutboxFull as error:
            node.log.error("clock", "flash takes nothing, %s; windows are placed later", error)
        node.sessions[0].sweep_again()
        node.wake.set()
    elif outcome == STEPPED:
        node.event(messages.CLOCK_STEPPED, node.clock.step_ms // 1000)
        if _behind(node):
            node.clock.forget()
            for grid in node.grids:
                grid.unclock()
    elif outcome == REFUSED:
        node.log.debug("clock", "gateway's time refused")
