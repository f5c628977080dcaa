"""The composition root: the only place that knows which links, sinks and clock there are; which ears: lora.py."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gateway import calibration, health, ledger
from gateway.calibration_check import CalibrationCheck
from gateway.clock import Clock, SystemClock
from gateway.config import Config
from gateway.config_lora import EARS
from gateway.control import ControlServer
from gateway.downlink import Sealer
from gateway.forward.base import Forwarder
from gateway.keys import KeyFileError, KeyFileMissing, load_keys
from gateway.links.beat import Beat
from gateway.links.ear import Ear, Heard, HeardSink
from gateway.links.serial import SerialLink
from gateway.steady_clock import SteadyClock
from gateway.store import Budget, Store
from gateway.uplink import Uplinks
from gateway.verbs import Verbs

if TYPE_CHECKING:
    from gateway.links.cell import Cell, Duty

log = logging.getLogger("gateway")

STORE_NAME = "spool.db"
CLOCK_NAME = "clock"  # what was believed of this machine's clock
KEYS_EVERY_S = 2.0  # a node entered into the key file is heard within this
RESTART_FIRST_S, RESTART_MAX_S = 1.0, 60.0
STOP_S = 10.0  # an orderly stop; what is not done then is done at the next start
DRAIN_S = 60.0
OWN_RESET_MS = 3_000  # a boot that began this soon after we opened the port is ours
DAY_MS = 86_400_000


class Link(Protocol):
    name: str
    kind: int
    state: str

    async def run(self) -> None: ...

    def send(self, frame: bytes) -> bool: ...


class Input:
    """What links deliver to, and how they learn that they must wait."""

    def __init__(self, uplinks: Uplinks, store: Store) -> None:
        self.on_frame = uplinks.on_frame
        self.room = store.room
        self.later = store.later
        self._store = store

    @property
    def crowded(self) -> bool:
        return self._store.crowded

    def on_text(self, link: Any, text: bytes) -> None:
        log.debug("node: %s, %s", link.name, text.decode(errors="replace").rstrip())


LinkFactory = Callable[[Input, Clock], Sequence[Link]]
EarFactory = Callable[[HeardSink, Input, Clock], Sequence[Ear]]
DutyFactory = Callable[[Ear, Clock], "Duty"]


class Gateway:
    """Everything between the links and the sinks, for one data directory."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        links: LinkFactory | None = None,
        sinks: Sequence[Forwarder] | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        ears: EarFactory | None = None,
        duty: DutyFactory | None = None,
    ) -> None:
        data_dir = config.gateway.data_dir
        clock = SteadyClock(clock, data_dir / CLOCK_NAME)
        budget = Budget(config.spool.max_mb * 1_000_000, config.spool.max_days * DAY_MS)
        self.config = config
        self.clock = clock
        self.store = Store(data_dir / STORE_NAME, clock, budget)
        self.check = CalibrationCheck(data_dir / calibration.FOLDER, config.calibration.required)
        self.uplinks = Uplinks(self.store, clock, Sealer(config.gateway.number, entropy), self.check)
        self.uplinks.on_reset = self._on_reset
        self.input = Input(self.uplinks, self.store)
        self.links: list[Any] = list((links or self._serial_links)(self.input, clock))
        self.cell = self._make_cell(ears, duty)
        self.sinks: list[Forwarder] = list(self._sinks() if sinks is None else sinks)
        self.control = ControlServer(data_dir)
        self.restarts: dict[str, int] = {}
        self._own_resets: dict[int, int] = {}  # address -> the boot that our own open caused last
        self._keys_seen: tuple[int, int, int] | None = None
        self._verbs = Verbs(self)
        self._stop_sinks = asyncio.Event()

    def _serial_links(self, sink: Input, clock: Clock) -> Sequence[Link]:
        beat = Beat()
        return [SerialLink(port.port, port.baudrate, sink, clock, beat) for port in self.config.serial]

    def _on_heard(self, heard: Heard) -> None:
        if self.cell is not None:
            self.cell.on_heard(heard)

    def _make_cell(self, ears: EarFactory | None, duty: DutyFactory | None) -> Cell | None:
        if ears is None and not any(getattr(self.config, kind) for kind in EARS):
            return None
        from gateway import lora  # a gateway without ears does not carry what is behind them

        config, clock = self.config, self.clock
        if ears is None:
            found = lora.ears_of(config, self._on_heard, self.input, clock)
        else:
            found = ears(self._on_heard, self.input, clock)
        if not found:
            return None
        make = duty or partial(lora.duty_of, config)
        return lora.cell_of(config, found, self.uplinks, clock, lambda ear: make(ear, clock))

    @property
    def ports(self) -> list[Any]:
        """Everything that has a port: links, and the ears that sit behind one."""
        if self.cell is None:
            return list(self.links)
        from gateway.lora import ports_of

        return self.links + ports_of(self.cell)

    def _sinks(self) -> Sequence[Forwarder]:
        if self.config.mqtt is None:
            return []
        from gateway.forward.mqtt import MqttForwarder  # a gateway without MQTT does not carry its client

        return [MqttForwarder(self.config.mqtt, self.config.gateway.id, self.clock)]

    # -- life cycle ------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, started: Callable[[Gateway], None] | None = None) -> None:
        """From the opened store to the orderly stop; GatewayError if it cannot begin."""
        self.control.take_directory()
        self._verbs.register(self.control)
        metrics: asyncio.Server | None = None
        try:
            contents = await self.store.open()
            for sink in self.sinks:
                await self.store.add_sink(sink.name)
            await self.load_keys(contents)
            await self.control.start()
            if self.config.metrics is not None:
                from gateway.metrics import serve  # not loaded unless wanted: memory

                metrics = await serve(self.config.metrics.listen, self.status)
            if started is not None:
                started(self)
            log.info(
                "gateway: %s, %d lives, %d ports, %d ears",
                self.config.gateway.id,
                len(self.uplinks.sessions),
                len(self.ports),
                0 if self.cell is None else len(self.cell.ears),
            )
            await self._run_tasks(stop)
        finally:
            if metrics is not None:
                metrics.close()
            await self.control.close()
            await self.store.close()
            log.info("gateway: %s, stopped", self.config.gateway.id)

    async def _run_tasks(self, stop: asyncio.Event) -> None:
        """Until `stop`: first the links fall silent, then the sinks finish their batch, then the last group is written."""
        async with asyncio.TaskGroup() as group:
            core = [group.create_task(self.store.run()), group.create_task(self.uplinks.run())]
            core.append(group.create_task(self._watch_keys()))
            inputs = [group.create_task(self._supervise(link.name, link.run)) for link in self.links]
            if self.cell is not None:
                core.append(group.create_task(self._supervise("lora", self.cell.run)))
                inputs += [group.create_task(self._supervise(ear.name, ear.run)) for ear in self.cell.ears]
            outputs = [group.create_task(self._supervise(s.name, self._runner(s))) for s in self.sinks]
            await stop.wait()
            self._verbs.close()
            for task in inputs:
                task.cancel()
            await self.store.flushed(STOP_S)
            self._stop_sinks.set()
            if outputs:
                await asyncio.wait(outputs, timeout=STOP_S)
            for task in [*outputs, *core]:
                task.cancel()

    def _runner(self, sink: Forwarder) -> Callable[[], Coroutine[Any, Any, None]]:
        return lambda: sink.run(self.store, self._stop_sinks)

    async def _supervise(self, name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start again what failed: one broken link or sink stops no other."""
        delay = RESTART_FIRST_S
        while not self._stop_sinks.is_set():
            began_s = self.clock.monotonic_s()
            try:
                await run()
                return
            except Exception:  # the boundary of the task: logged with its traceback, counted, shown in status
                log.exception("task: %s, failed, starts again in %g s", name, delay)
            self.restarts[name] = self.restarts.get(name, 0) + 1
            if self.clock.monotonic_s() - began_s > RESTART_MAX_S:
                delay = RESTART_FIRST_S
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_MAX_S)

    # -- keys ------------------------------------------------------------------------------------------------------

    async def load_keys(self, contents: Any = None) -> int:
        """Take over the key file; returns the number of new lives. KeyFileError if it cannot be used."""
        path = self.config.gateway.keys
        try:
            self._keys_seen = _signature(path)
            lives = load_keys(path)
        except KeyFileMissing:
            log.warning("keys: %s, there is no key file yet; steiger node provision enters the first node", path)
            lives = []
        return await self.uplinks.load(lives, contents)

    async def _watch_keys(self) -> None:
        """A node that is provisioned while we run is heard without a word to us."""
        while True:
            await asyncio.sleep(KEYS_EVERY_S)
            if _signature(self.config.gateway.keys) != self._keys_seen:
                try:
                    added = await self.load_keys()
                    log.info("keys: read again, %d new", added)
                except KeyFileError as err:
                    log.error("keys: not taken over, %s; the former ones stay in force", err)
                except sqlite3.Error as err:
                    self._keys_seen = None  # tried again when the disk can be written
                    log.debug("keys: not taken over now, %s", err)

    # -- sight -----------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return health.status(self.clock, self.store, self.uplinks, self.ports, self.sinks, self.restarts, self.cell)

    async def ledger(self, *, lines: bool = True, node: int | None = None) -> ledger.Report:
        """The ledger of everything received so far, written or not."""
        await self.store.flushed(DRAIN_S)
        now_ms = self.clock.wall_ms()
        return await self.store.query(lambda conn: ledger.build(conn, now_ms, lines=lines, node=node))

    async def drained(self, timeout_s: float) -> bool:
        """Wait until every sink has confirmed everything that was received; False at the deadline."""
        if not await self.store.flushed(timeout_s):
            return False
        return await self.store.delivered(timeout_s)

    def _on_reset(self, address: int, boot: int) -> None:
        session = self.uplinks.session_of(address)
        if session is None or session.link is None or session.last_hello is None:
            return
        began_ms = self.clock.wall_ms() - session.last_hello.uptime_ms
        if self._own_resets.get(address) == boot:
            return  # an earlier life of the same board told of the same boot
        opened_ms = getattr(session.link, "opened_ms", 0)
        if opened_ms and 0 <= began_ms - opened_ms + OWN_RESET_MS // 3 <= OWN_RESET_MS:
            self._own_resets[address] = boot
            session.link.resets_ours = getattr(session.link, "resets_ours", 0) + 1  # type: ignore[attr-defined]
            log.warning("serial: %s, opening the port reset the board (boot %d)", session.link.name, boot)


def _signature(path: Any) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


async def run(
    config: Config,
    *,
    clock: Clock | None = None,
    links: LinkFactory | None = None,
    sinks: Sequence[Forwarder] | None = None,
    stop: asyncio.Event | None = None,
    started: Callable[[Gateway], None] | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    ears: EarFactory | None = None,
) -> None:
    """Run a gateway until `stop`, SIGTERM or SIGINT.

    `links` makes the links for an `Input`, `ears` those that hear LoRa, `sinks` are the forwarders (default: those of the
    configuration), `clock` goes with the event loop, `started` is called once everything runs. GatewayError if it cannot
    begin.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
            caught.append(number)
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # not the main thread, or a loop that has no signals
    try:
        await Gateway(config, clock or SystemClock(), links, sinks, entropy, ears).run(stop, started)
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


__all__ = ["Gateway", "Input", "Link", "run"]
