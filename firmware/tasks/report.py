"""Sends what the sessions have to say, and passes on what comes back."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Task

REST_MS = 5000  # longest rest, to show that the task lives


async def run_sender(task: "Task", node: "Any") -> None:
    """The present life first; earlier lives drain when it has nothing to say."""
    while True:
        task.beat()
        node.wake.clear()
        now_ms = node.clock.uptime_ms()
        rest_ms = REST_MS
        if node.exchange is not None:
            rest_ms = node.exchange.rest_ms(now_ms, REST_MS)
            if not node.exchange.is_open:
                await node.wait(rest_ms)
                continue
        for session in node.sessions:
            data = session.next_frame(now_ms)
            if data is not None:
                node.link.send(data)
                rest_ms = 0
                break
            rest_ms = min(rest_ms, session.next_due_ms(now_ms))
        if rest_ms:
            await node.wait(rest_ms)
        else:
            await node.clock.sleep_ms(0)


async def run_listener(task: "Task", node: "Any") -> None:
    """Each frame goes to the life whose key opens it."""
    while True:
        for data in await node.link.receive():
            for session in node.sessions:
                if session.received(data):
                    if session.news:
                        session.news = False
                        node.acknowledged(session)
                    node.wake.set()
                    break
        task.beat()
