"""Feeds the hardware watchdog only while all tasks live."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.tasks.supervisor import Supervisor, Task

TIMEOUT_MS = 60000  # a flash erase, a long drain and a full garbage collection are far below
FEED_MS = 5000


async def run(task: "Task", supervisor: "Supervisor", port: "Any", clock: "Any", log: "Any") -> None:
    """`port`: firmware.hal."""
    dog = port.watchdog(TIMEOUT_MS)
    while True:
        task.beat()
        if supervisor.alive():
            dog.feed()
        else:
            log.error(
                "watchdog", "not fed, a task hangs: %s", ", ".join([t.name for t in supervisor.tasks if not t.alive()])
            )
        await clock.sleep_ms(FEED_MS)
