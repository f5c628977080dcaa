"""A health record at boot and every `health_s`: the board's own state, through the outbox like any record."""

from firmware.outbox import entries
from firmware.outbox.log import OutboxFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

LOOK_MS = 5000
U24 = 0xFFFFFE


def put_health(node: "Any") -> None:  # seldom
    """One health record now. Fields: wire.messages.Health."""
    life, session = node.life, node.sessions[0]
    free, largest = node.port.free_heap()
    refused = 0
    for count in session.refused.values():
        refused += count
    values = [node.boot, node.clock.uptime_ms(), node.port.reset_cause()]
    values += life.outbox.state.totals
    values += [life.outbox.held(), node.port.supply_mv(), node.port.temperature_cdeg()]
    values += [min(free, U24), min(largest, U24) or None, min(node.free_blocks(), U24)]
    values += node.link.signal
    values += [session.sent, session.answered, refused, min(node.supervisor.restarts(), 0xFFFF)]
    body = entries.list_body(life.outbox.state.next_seq, life.now(), values)
    session.note(life.outbox.put([(entries.HEALTH, body)]))
    node.wake.set()


async def run(task: "Task", node: "Any") -> None:
    due_ms = node.health_due_ms
    while True:
        task.beat()
        now_ms = node.clock.uptime_ms()
        if now_ms >= due_ms:
            due_ms = node.health_due_ms = now_ms + node.settings.get("health_s") * 1000
            try:
                put_health(node)
            except OutboxFull as error:
                node.log.error("health", "flash takes nothing, %s", error)
                due_ms = node.health_due_ms = now_ms + LOOK_MS
        await node.clock.sleep_ms(max(1, min(LOOK_MS, due_ms - now_ms, node.settings.get("health_s") * 1000)))
        due_ms = min(due_ms, node.health_due_ms, node.clock.uptime_ms() + node.settings.get("health_s") * 1000)
