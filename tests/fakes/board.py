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


class Rtc:
    """What outlives a deep sleep: 2 KB, and a calendar that counts sleep with an oscillator wrong by `ppm`."""

    def __init__(self, ppm: int = 0) -> None:
        self.loop = asyncio.get_event_loop()
        self.ppm = ppm
        self.memory = b""
        self.began_s = self.loop.time()

    def ms(self) -> int:
        return round((self.loop.time() - self.began_s) * 1000)

    def slept_s(self, duration_ms: int) -> float:
        """How long a sleep of `duration_ms` really takes."""
        late_s = duration_ms * self.ppm / 1e9
        self.began_s += late_s
        return duration_ms / 1000 + late_s


class Port:
    """firmware.hal in virtual time. `ppm`: how wrong its crystal is."""

    cause = 1
    supply: int | None = None
    rtc: Rtc
    random: random.Random
    doze: Callable[[int], None]

    def __init__(self, uid: bytes, ppm: int = 0) -> None:
        self.loop = asyncio.get_event_loop()
        self.started_s = self.loop.time()
        self.ppm = ppm
        self.uid = uid
        self.fed = 0
        self.resets = 0
        self.lit: list[tuple[int, int]] = []

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
        return self.cause

    def rtc_ms(self) -> int:
        return self.rtc.ms()

    def rtc_memory(self, data: bytes | None = None) -> bytes:
        if data is not None:
            self.rtc.memory = bytes(data)
        return self.rtc.memory

    def deepsleep(self, duration_ms: int) -> None:
        self.doze(duration_ms)

    def reset(self) -> None:
        self.resets += 1

    def watchdog(self, timeout_ms: int) -> Any:
        return self

    def feed(self) -> None:
        self.fed += 1

    def collect(self) -> None:
        """Garbage is CPython's own matter."""

    def supply_mv(self) -> int | None:
        return self.supply

    def led(self, pin: int, on: int) -> None:
        self.lit.append((pin, on))

    def temperature_cdeg(self) -> int:
        return 4200

    def free_heap(self) -> tuple[int, int]:
        return 50000, 20000

    def i2c(self, bus_id: int, **_: Any) -> Any:
        return object()

    def random_bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def radio_port(self, *pins: int) -> Any:
        return RadioClock(self)


class RadioClock:
    """Of firmware.hal.radio_port only its clock: microseconds that wrap, as wrong as the board's."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def now_us(self) -> int:
        run_us = round((self._port.loop.time() - self._port.started_s) * 1e6)
        return (TICKS - 5_000_000 + run_us + run_us * self._port.ppm // 1_000_000) % TICKS

    def us_diff(self, end: int, start: int) -> int:
        assert 0 <= end < TICKS and 0 <= start < TICKS, "time.ticks_diff takes small integers for what they are not"
        return (end - start + TICKS // 2) % TICKS - TICKS // 2

    def us_add(self, at_us: int, by_us: int) -> int:
        return (at_us + by_us) % TICKS


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
        self.items = tuple((channels.id_of(name), instance) for name in self.CHANNELS)
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
        self.power = "mains"
        self.rtc = Rtc()
        self.rtc_ppm = 0
        self.wakes = 0
        self.awake_s = 0.0
        self.alarm: asyncio.TimerHandle | None = None
        self.node: app.Node | None = None
        self.port: Port | None = None
        self.console: Console | None = None
        self.task: asyncio.Task[None] | None = None
        folder.mkdir(exist_ok=True)
        (folder / "board.json").write_text(json.dumps(self.description()))

    def description(self) -> dict[str, Any]:
        return {
            "board": "fake-v1",
            "power": self.power,
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
        self.boots = slots.new_boot(self.root)
        self.rtc = Rtc(self.rtc_ppm)
        self._run(1)

    def _run(self, cause: int) -> None:
        self.port = Port(self.uid, self.ppm)
        self.port.cause, self.port.rtc, self.port.doze = cause, self.rtc, self._doze
        self.port.random = self.random
        self.console = Console(self.peer)
        self.node = app.Node(self.root, self.port, self.console)
        self.task = asyncio.ensure_future(app.run(self.node))

    def _doze(self, duration_ms: int) -> None:
        """Deep sleep: RAM is lost; 0.3 s after the time is over the program starts again."""
        assert self.task is not None and self.port is not None
        self.task.cancel()
        self.awake_s += self.port.loop.time() - self.port.started_s
        self.console = None
        self.alarm = self.port.loop.call_later(self.rtc.slept_s(duration_ms) + 0.3, self._wake)

    def _wake(self) -> None:
        self.alarm = None
        self.wakes += 1
        self._run(4)

    async def cut(self) -> None:
        """Power off at this instant."""
        assert self.task is not None and self.node is not None
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        for session in self.node.sessions:
            session.life.outbox.close()
