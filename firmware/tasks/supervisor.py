"""Runs the board's tasks: restarts those that fail, with backoff, and tells the watchdog whether all live."""

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BACKOFF_MIN_MS = 1000
BACKOFF_MAX_MS = 60000
ALIVE_MS = 60000  # a task that did not say so for longer hangs
HEALTHY_MS = 300000  # after so long without a failure a task begins with the shortest backoff again
GIVE_UP = 10  # failures in a row after which a task does not count as alive any more: the watchdog restarts the board


class Task:
    """What a task's coroutine gets: `beat()` says that it lives, at least every ALIVE_MS."""

    def __init__(self, number: int, name: str, run: "Callable[..., Any]", args: "tuple", clock: "Any") -> None:
        self.number = number
        self.name = name
        self.run = run
        self.args = args
        self.restarts = 0
        self.failures = 0
        self.resting = False
        self._clock = clock
        self.beaten_ms = clock.uptime_ms()

    def beat(self) -> None:
        self.beaten_ms = self._clock.uptime_ms()

    def alive(self) -> bool:
        if self.failures >= GIVE_UP:
            return False
        return self.resting or self._clock.uptime_ms() - self.beaten_ms < ALIVE_MS


class Supervisor:
    """`on_restart(task, error)` is told of each failure."""

    def __init__(self, clock: "Any", log: "Any", on_restart: "Callable[[Task], Any]") -> None:
        self.tasks: "list[Task]" = []
        self._clock = clock
        self._log = log
        self._on_restart = on_restart

    def add(self, name: str, run: "Callable[..., Any]", *args: "Any") -> None:
        """A task by its coroutine function, called with the task and `args`; its number is its place, which events name."""
        self.tasks.append(Task(len(self.tasks), name, run, args, self._clock))

    def alive(self) -> bool:
        """Whether all tasks live."""
        for task in self.tasks:
            if not task.alive():
                return False
        return True

    def restarts(self) -> int:
        total = 0
        for task in self.tasks:
            total += task.restarts
        return total

    async def run(self) -> None:
        """All tasks until one of them asks for the end of the program (SystemExit) or somebody interrupts."""
        await asyncio.gather(*[self._keep(task) for task in self.tasks])

    async def _keep(self, task: Task) -> None:
        while True:
            task.beat()
            began_ms = task.beaten_ms
            try:
                await task.run(task, *task.args)
                return
            except Exception as error:
                # the one place that catches everything: a task's fault must not stop the others
                self._log.error("task " + task.name, "stopped, %s %s", type(error).__name__, error)
            if self._clock.uptime_ms() - began_ms > HEALTHY_MS:
                task.failures = 0
            task.failures += 1
            task.restarts += 1
            try:
                self._on_restart(task)
            except Exception as error:  # it writes to flash, which may be what failed
                self._log.error("task " + task.name, "restart not told, %s %s", type(error).__name__, error)
            task.resting = True
            await self._clock.sleep_ms(min(BACKOFF_MIN_MS << min(task.failures - 1, 6), BACKOFF_MAX_MS))
            task.resting = False
