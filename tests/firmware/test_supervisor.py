"""Tasks are restarted with backoff and counted; the watchdog is fed only while all live."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from firmware.clock import Clock
from firmware.log import DEBUG, ERROR, Log
from firmware.tasks import watchdog
from firmware.tasks.supervisor import GIVE_UP, Supervisor, Task
from tests.fakes.board import Port
from tests.fakes.virtual_time import VirtualLoop, run_virtual, virtual_s


def play(script: Any) -> None:
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    run_virtual(script(), loop)


class Bench:
    """A supervisor with a port in virtual time."""

    def __init__(self) -> None:
        self.port = Port(b"uid")
        self.clock = Clock(self.port)
        self.lines: list[bytes] = []
        self.restarted: list[str] = []
        self.log = Log(self.lines.append)
        self.supervisor = Supervisor(self.clock, self.log, lambda task: self.restarted.append(task.name))

    async def lively(self, task: Task) -> None:
        while True:
            task.beat()
            await self.clock.sleep_ms(1000)

    def add_watchdog(self) -> None:
        self.supervisor.add("watchdog", watchdog.run, self.supervisor, self.port, self.clock, self.log)


def test_a_failing_task_is_restarted_ever_later_while_others_go_on() -> None:
    async def script() -> None:
        bench = Bench()
        starts: list[int] = []

        async def failing(task: Task) -> None:
            starts.append(bench.clock.uptime_ms())
            raise OSError(5)

        bench.supervisor.add("good", bench.lively)
        bench.supervisor.add("bad", failing)
        running = asyncio.ensure_future(bench.supervisor.run())
        await virtual_s(100)
        assert [after - before for before, after in itertools.pairwise(starts)] == [
            1000,
            2000,
            4000,
            8000,
            16000,
            32000,
        ]
        assert bench.restarted == ["bad"] * len(starts)
        assert bench.supervisor.restarts() == len(starts)
        assert b"E task bad: stopped, OSError" in bench.lines[0]
        running.cancel()

    play(script)


def test_a_restart_that_cannot_be_told_stops_nobody() -> None:
    async def script() -> None:
        bench = Bench()

        def refuse(task: Task) -> None:
            raise OSError(28, "no space left")

        bench.supervisor._on_restart = refuse

        async def failing(task: Task) -> None:
            raise OSError(28, "no space left")

        bench.supervisor.add("good", bench.lively)
        bench.supervisor.add("bad", failing)
        running = asyncio.ensure_future(bench.supervisor.run())
        await virtual_s(100)
        assert not running.done()
        assert bench.supervisor.tasks[0].alive()
        assert bench.supervisor.tasks[1].restarts == 7
        running.cancel()

    play(script)


def test_the_watchdog_starves_when_a_task_hangs() -> None:
    async def script() -> None:
        bench = Bench()

        async def hanging(task: Task) -> None:
            await virtual_s(10_000)

        bench.supervisor.add("good", bench.lively)
        bench.supervisor.add("hanging", hanging)
        bench.add_watchdog()
        running = asyncio.ensure_future(bench.supervisor.run())
        await virtual_s(59)
        assert bench.port.fed > 10
        await virtual_s(5)
        fed = bench.port.fed
        await virtual_s(60)
        assert bench.port.fed == fed
        assert b"hanging" in bench.lines[-1]
        running.cancel()

    play(script)


def test_the_watchdog_starves_when_a_task_never_comes_back() -> None:
    async def script() -> None:
        bench = Bench()

        async def failing(task: Task) -> None:
            raise ValueError("always")

        bench.supervisor.add("bad", failing)
        bench.add_watchdog()
        running = asyncio.ensure_future(bench.supervisor.run())
        await virtual_s(600)
        assert bench.supervisor.tasks[0].failures >= GIVE_UP
        fed = bench.port.fed
        await virtual_s(60)
        assert bench.port.fed == fed
        running.cancel()

    play(script)


def test_log_lines_never_hold_a_flag_byte_and_levels_are_silent() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, ERROR)
    log.info("who", "not said")
    log.error("who", "said ~ %d, %s", 3, "x" * 500)
    assert len(lines) == 1 and b"~" not in lines[0] and len(lines[0]) <= 202
    log.set_level(DEBUG)
    log.debug("who", "100 % sure")
    assert lines[1] == b"D who: 100 % sure\r\n"
