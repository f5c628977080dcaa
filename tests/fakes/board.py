"""What the firmware sees of a board, for tests under CPython in virtual time: port, console, a sensor that always
works.

`Board.start()` is switching on, `Board.cut()` pulling the power; the folder is the flash.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware import app, drivers, settings, slots
from wire import channels

TICKS = 1 << 30
TICKS_AT_START = TICKS - 60000  # as nasty as the simulated board: the wrap comes after a minute
START_S = 1_800_000_000  # UTC at the world's second 0


class Console:
    """The board's end of the cable; `peer` takes what it writes."""

    def __init__(self, peer: Callable[[bytes], None]) -> None:
        self._peer = peer
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        self._peer(bytes(data))

    def put(self, data: bytes) -> None:
        """Bytes come in over the cable."""
        self._queue.put_nowait(data)

    async def readinto(self, buf: bytearray, timeout_ms: int) -> int:
        try:
            data = await asyncio.wait_for(self._queue.get(), timeout_ms / 1000)
        except asyncio.TimeoutError:
            return 0
        count = min(len(buf), len(data))
        buf[:count] = data[:count]
        if len(data) > count:
            rest = [data[count:]]
            while not self._queue.empty():
                rest.append(self._queue.get_nowait())
            for part in rest:
                self._queue.put_nowait(part)
        return count


class Port:
    """firmware.hal in virtual time. `ppm`: how wrong its crystal is."""

    def __init__(self, uid: bytes, ppm: int = 0) -> None:
        self.loop = asyncio.get_event_loop()
        self.started_s = self.loop.time()
        self.ppm = ppm
        self.uid = uid
        self.fed = 0
        self.resets = 0

    def ticks_ms(self) -> int:
        run_ms = round((self.loop.time() - self.started_s) * 1000)
        return (TICKS_AT_START + run_ms + run_ms * self.ppm // 1_000_000) % TICKS

    def ticks_diff(self, end: int, start: int) -> int:
        return ((end - start + TICKS // 2) % TICKS) - TICKS // 2

    async def sleep_ms(self, duration: int) -> None:
        await asyncio.sleep(duration / 1000)

    async def wait_for_ms(self, awaitable: Any, timeout_ms: int) -> Any:
        return await asyncio.wait_for(awaitable, timeout_ms / 1000)

    def unique_id(self) -> bytes:
        return self.uid

    def reset_cause(self) -> int:
        return 1

    def reset(self) -> None:
        self.resets += 1

    def watchdog(self, timeout_ms: int) -> Any:
        return self

    def feed(self) -> None:
        self.fed += 1

    def collect(self) -> None:
        """Garbage is CPython's own matter."""

    def supply_mv(self) -> None:
        return None

    def temperature_cdeg(self) -> int:
        return 4200

    def free_heap(self) -> tuple[int, int]:
        return 50000, 20000

    def i2c(self, bus_id: int, **_: Any) -> Any:
        return object()


class Sensor:
    """A driver whose temperature is the window's own second; `failing` raises that reason instead."""

    CHANNELS = ("temperature", "humidity")
    SETTINGS: tuple[str, ...] = ()
    period_ms = 1000
    covered_ms = 1000
    lost_ms = 0
    identity = "a sensor of the tests"
    failing = 0
    started = 0

    def __init__(self, bus: Any, clock: Any, instance: int = 0) -> None:
        self.instance = instance
        self._clock = clock

    async def start(self) -> None:
        Sensor.started += 1

    async def stop(self) -> None:
        pass

    async def self_test(self) -> list[tuple[str, bool, int]]:
        return [("chip", True, 0)]

    async def read(self) -> list[tuple[int, int, int, int]]:
        if Sensor.failing:
            raise drivers.SensorError(Sensor.failing)
        return [
            (channels.by_name("temperature").id, self.instance, 21000, drivers.GOOD),
            (channels.by_name("humidity").id, self.instance, 5000, drivers.GOOD),
        ]


class Board:
    """A board with its flash in `folder`. `root_files()` makes what provisioning makes."""

    def __init__(self, folder: Path, peer: Callable[[bytes], None], window_s: int = 60, seed: int = 1) -> None:
        drivers.DRIVERS["fake"] = ("tests.fakes.board", "Sensor")
        Sensor.failing = Sensor.started = 0
        self.root = str(folder)
        self.peer = peer
        self.window_s = window_s
        self.random = random.Random(seed)
        self.uid = bytes.fromhex("0badcafe0001")
        self.ppm = 0
        self.boots = 0
        self.node: app.Node | None = None
        self.port: Port | None = None
        self.console: Console | None = None
        self.task: asyncio.Task[None] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "board.json").write_text(json.dumps(self.description()))

    def description(self) -> dict[str, Any]:
        return {
            "board": "fake-v1",
            "power": "mains",
            "buses": {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21, "freq": 100000}},
            "sensors": [{"driver": "fake", "bus": "i2c0", "instance": 0, "params": {}}],
            "profiles": [{"items": ["temperature", "humidity"], "window_setting": 0}],
        }

    def provision(self, key: bytes, address: int = 7, provisioned_s: int = START_S, **values: int) -> str:
        """What `steiger node provision` does."""
        text = {
            "address": address,
            "key": key.hex(),
            "provisioned_s": provisioned_s,
            "values": {"window_s.0": self.window_s, **values},
        }
        return settings.provision(json.dumps(text), self.uid, self.root)

    def start(self) -> None:
        """Power on."""
        self.boots += 1
        for copy in slots.BOOTS:
            slots.save_line(self.root + copy, str(self.boots))
        self.port = Port(self.uid, self.ppm)
        self.console = Console(self.peer)
        self.node = app.Node(self.root, self.port, self.console)
        self.task = asyncio.ensure_future(app.run(self.node))

    async def cut(self) -> None:
        """Power off at this instant."""
        assert self.task is not None and self.node is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        for session in self.node.sessions:
            session.life.outbox.close()
