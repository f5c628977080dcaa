"""The gateway in virtual time: its own composition root, for a process that the conductor steps through a pipe.

The gateway's code is the product's; what differs is given from outside: loop, clock, links, entropy, and a writer that
runs in the loop instead of a thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any

import msgspec

from gateway import ledger
from gateway.app import Gateway
from gateway.clock import Clock
from gateway.config import load
from gateway.links.beat import Beat
from gateway.links.bridge import bridge_ears
from gateway.links.ear import Ear, HeardSink
from gateway.links.forwarder import Listener, make_ears
from gateway.links.serial import SerialLink
from gateway.store import spool
from gateway.store.worker import Worker, _Job
from tools.sim.virtual_loop import VirtualLoop
from wire.stream import encode

LENGTH = Struct("<I")


class Step(msgspec.Struct):
    """The conductor's word: time goes on to `now_us`; bytes have arrived; perhaps a question."""

    now_us: int
    data: list[tuple[str, bytes]] = []
    ask: dict[str, Any] | None = None


class Idle(msgspec.Struct):
    """The gateway's word: nothing to do before `next_us`; bytes to be sent; perhaps the answer to a question."""

    next_us: int | None = None
    sent: list[tuple[str, bytes]] = []
    answers: list[Any] = []
    ended: str | None = None  # why the gateway is over


def write_message(fd: int, message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message)
    view = memoryview(LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def read_message(fd: int, kind: type[Any]) -> Any:
    """The next message; EOFError when the other end is gone."""
    size = LENGTH.unpack(_read_exactly(fd, LENGTH.size))[0]
    return msgspec.msgpack.decode(_read_exactly(fd, size), type=kind)


def _read_exactly(fd: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(fd, count)
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class VirtualClock:
    """The gateway's clock, moved by the loop. `offset_ms`: how wrong the machine's wall clock is; `set`: what its time
    service says of it."""

    def __init__(self, loop: VirtualLoop, start_s: int, offset_ms: int = 0, synchronised: bool = True) -> None:
        self._loop = loop
        self._start_ms = start_s * 1000
        self.offset_ms = offset_ms
        self.set = synchronised

    def wall_ms(self) -> int:
        return self._start_ms + self._loop.now_us // 1000 + self.offset_ms

    def monotonic_s(self) -> float:
        return self._loop.time()

    def synchronised(self) -> bool:
        return self.set


class StepLink(SerialLink):
    """A serial link whose bytes come from the conductor and go to it."""

    def __init__(
        self, path: str, sink: Any, clock: Clock, out: Callable[[str, bytes], None], beat: Beat | None = None
    ) -> None:
        super().__init__(path, 115_200, sink, clock, beat)
        self._put = out

    async def run(self) -> None:
        self.state = "open"
        self.opens += 1
        self.opened_ms = self._clock.wall_ms()
        self._beat.start()
        try:
            await self._gone.wait()  # never: it ends with its task
        finally:
            self._beat.stop()

    def send(self, frame: bytes) -> bool:
        if self.state != "open":
            return False
        data = bytes(encode(frame))
        self.bytes_out += len(data)
        self._put(self.name, data)
        return True


class StepListener(Listener):
    """A packet forwarder's socket whose datagrams come from the conductor and go to it. Its port there is named as it listens:
    "127.0.0.1:1700"."""

    def __init__(self, host: str, port: int, clock: Clock, out: Callable[[str, bytes], None]) -> None:
        super().__init__(host, port, clock)
        self._put = out

    async def run(self) -> None:
        async with self._running:
            self.trouble = ""
            await asyncio.get_running_loop().create_future()

    def send(self, datagram: bytes, target: tuple[Any, ...]) -> bool:
        self._put(self.where, datagram)
        return True

    def feed(self, datagram: bytes) -> None:
        """All concentrators are on this machine; who it is their EUI says."""
        self.datagram_received(datagram, ("127.0.0.1", 1780))


class LoopWorker(Worker):
    """The store's writer in the loop itself: same transactions, no thread."""

    def start(self) -> None:
        self._started = True

    def _begin(self, jobs: list[_Job]) -> None:
        self._loop.call_soon(self._carry_out, jobs)

    def _carry_out(self, jobs: list[_Job]) -> None:
        self._transact(jobs)
        self._resolve(jobs)

    async def close(self) -> None:
        self._hand_over()
        while self.pending:  # noqa: ASYNC110  # no event tells: jobs run at this very instant
            await asyncio.sleep(0)
        self._started = False
        self._drop_connection()


class Runner:
    """One gateway process under a conductor."""

    def __init__(
        self, config: Path, start_s: int, start_us: int, seed: int, offset_ms: int = 0, synchronised: bool = True
    ) -> None:
        self._clock_state = offset_ms, synchronised
        self._sent: list[tuple[str, bytes]] = []
        self._answers: list[Any] = []
        self._loop = VirtualLoop(self._step, start_us)
        self._start_s = start_s
        self._seed = seed
        self._config = config
        self._links: dict[str, StepLink] = {}
        self._listeners: dict[str, StepListener] = {}
        self._stop: asyncio.Event | None = None
        self._gateway: Gateway | None = None
        self._asked: set[asyncio.Task[None]] = set()

    def _step(self, next_us: int | None) -> int:
        write_message(1, Idle(next_us, self._sent, self._answers))
        self._sent, self._answers = [], []
        step: Step = read_message(0, Step)
        self._loop.call_soon(self._take, step)
        return step.now_us

    def _take(self, step: Step) -> None:
        for port, data in step.data:
            if port in self._links:
                self._links[port].feed(data)
            elif port in self._listeners:
                self._listeners[port].feed(data)
        if step.ask is not None:
            task = self._loop.create_task(self._answer(step.ask))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _answer(self, question: dict[str, Any]) -> None:
        gateway = self._gateway
        try:
            if gateway is None:
                raise RuntimeError("the gateway has not started")
            verb = question["do"]
            if verb == "stop":
                assert self._stop is not None
                self._stop.set()
                result: Any = None
            elif verb == "ledger":
                report = await gateway.ledger(lines=bool(question.get("lines", True)))
                result = msgspec.to_builtins(report) | {"summary": ledger.summary(report, question.get("sink"))}
            elif verb == "drain":
                result = await gateway.drained(float(question.get("timeout_s", 60)))
            elif verb == "wall":
                self._clock.offset_ms = int(question["offset_ms"])
                self._clock.set = bool(question.get("synchronised", self._clock.set))
                result = None
            else:
                result = await gateway.control._verbs[verb](question)
            self._answers.append({"id": question["id"], "ok": True, "result": result})
        except Exception as error:
            self._answers.append({"id": question["id"], "ok": False, "error": f"{type(error).__name__}: {error}"})

    def _make_links(self, sink: Any, clock: Clock) -> list[StepLink]:
        beat = Beat()
        for port in self._loaded.serial:
            self._links[port.port] = StepLink(port.port, sink, clock, self._put, beat)
        return list(self._links.values())

    def _make_ears(self, on_heard: HeardSink, sink: Any, clock: Clock) -> list[Ear]:
        def link(port: str, baudrate: int, sink: Any, clock: Clock) -> StepLink:
            self._links[port] = StepLink(port, sink, clock, self._put)
            return self._links[port]

        def listener(host: str, port: int, clock: Clock) -> StepListener:
            made = StepListener(host, port, clock, self._put)
            self._listeners[made.where] = made
            return made

        ears: list[Ear] = [*bridge_ears(self._loaded, on_heard, sink, clock, link)]
        return [*ears, *make_ears(self._loaded.forwarder, clock, on_heard, listener)]

    def _put(self, port: str, data: bytes) -> None:
        self._sent.append((port, data))

    def _make_gateway(self, entropy: Callable[[int], bytes]) -> Gateway:
        return Gateway(self._loaded, self._clock, self._make_links, [], entropy, self._make_ears)

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._loaded = load(self._config)
        self._clock = VirtualClock(self._loop, self._start_s, *self._clock_state)
        gateway = self._make_gateway(Random(f"gateway {self._seed}").randbytes)

        def started(running: Gateway) -> None:
            self._gateway = running

        await gateway.run(self._stop, started)

    def run(self) -> None:
        """Until the conductor says stop or is gone."""
        setattr(spool, "Worker", LoopWorker)  # noqa: B010  # the one seam that has no parameter
        asyncio.set_event_loop(self._loop)
        why = "stopped"
        try:
            self._loop.run_until_complete(self._run())
        except EOFError:
            os._exit(0)  # the conductor is gone: nobody to tell
        except Exception:
            why = traceback.format_exc()
        write_message(1, Idle(None, self._sent, self._answers, why))


def main(args: list[str]) -> None:
    """Arguments: configuration, unix time of the simulation's start, time now in us, seed, log file; how wrong the clock is
    in ms, and whether a time service set it."""
    config, start_s, now_us, seed, log_file, offset_ms, synchronised = args
    logging.basicConfig(filename=log_file, level=logging.INFO, format="%(levelname)s %(message)s")
    Runner(Path(config), int(start_s), int(now_us), int(seed), int(offset_ms), synchronised == "1").run()


if __name__ == "__main__":
    main(sys.argv[1:])
