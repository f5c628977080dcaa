"""A serial port with one node behind it: read as it comes, written without waiting, back after every unplugging."""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import termios
from collections.abc import Callable
from typing import Protocol

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.links.beat import Beat
from gateway.links.port import PortBusy, close_port, open_port
from wire.frame import HELLO, SERIAL, VERSION, first_byte
from wire.stream import FLAG, Parser, encode

log = logging.getLogger("serial")

READ_BYTES = 8_192  # more than the tty layer gives at once
OUT_MAX = (
    16_384  # bytes waiting for a node that does not read; beyond it downlinks are dropped: they are repeated anyway
)
RETRY_FIRST_S, RETRY_MAX_S = 0.25, 5.0  # a board that comes back is found within this
ROOM_S = 10.0  # one wait for the spool; then it is looked at again
SETTLE_S = 0.25  # what the driver held back comes within this after open
STALL_S = 1.5  # the loop stood still for so long: what is read now did not arrive now
HELLO_BEGINS = bytes((FLAG, first_byte(VERSION, HELLO)))

Tap = Callable[[str, bytes], None]  # ("up" | "down", raw bytes)


class Input(Protocol):
    """What a link delivers to."""

    def on_frame(self, link: SerialLink, frame: bytes, received_ms: int, fresh: bool) -> None: ...

    def on_text(self, link: SerialLink, text: bytes) -> None: ...

    @property
    def crowded(self) -> bool: ...

    async def room(self, timeout_s: float) -> bool: ...

    def later(self, take: Callable[[], None], size: int) -> bool:
        """Whether `take` will be called soon, for so many bytes; False: it is to be called now."""
        ...


class SerialLink:
    """`run` for as long as the gateway lives. `state` is "open", "released", or why the port is not open."""

    kind = SERIAL

    def __init__(self, path: str, baudrate: int, sink: Input, clock: Clock, beat: Beat | None = None) -> None:
        self.name = path
        self.state = "starting"
        self.opened_ms = 0
        self.opens = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.out_dropped = 0
        self.texts = 0
        self.parser = Parser()
        self.taps: list[Tap] = []
        self._baudrate = baudrate
        self._sink = sink
        self._clock = clock
        self._fd = -1
        self._read: list[tuple[bytes, float, bool]] = []  # and not taken yet: bytes, loop time, whether they came then
        self._greeted = False  # a hello has begun
        self._out = bytearray()
        self._gone: asyncio.Event = asyncio.Event()
        self._released = False
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()
        self._stale = 0
        self._beat = beat or Beat()  # one for all ports, where there are many
        self._fresh_from_s = 0.0
        self._waiting: asyncio.Task[None] | None = None
        self._writing = False  # the loop watches for room in the port

    @property
    def beat_s(self) -> float:
        """Loop time at which the loop was last seen turning."""
        return self._beat.last_s

    # -- life cycle ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        delay = RETRY_FIRST_S
        try:
            while True:
                if self._released:
                    self.state = "released"
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                try:
                    self._open()
                except GatewayError as err:
                    if str(err) != self.state:
                        self.state = str(err)
                        (log.warning if isinstance(err, PortBusy) else log.info)("serial: %s", err)
                    self._wake.clear()
                    try:
                        async with asyncio.timeout(delay):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                    delay = min(delay * 2, RETRY_MAX_S)
                    continue
                delay = RETRY_FIRST_S
                await self._serve()
        finally:
            self._close()

    def _open(self) -> None:
        self._fd = open_port(self.name, self._baudrate)
        self._beat.start()
        self.state = "open"
        self.opens += 1
        self.opened_ms = self._clock.wall_ms()
        self._gone.clear()
        self._closed.clear()
        self._out.clear()
        before = self.parser
        self.parser = Parser()
        self.parser.dropped = before.dropped  # the counters go on, half a frame does not
        self.parser.frames = before.frames
        waiting = array.array("i", [0])
        try:
            fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        except OSError:
            pass
        self._stale = waiting[0]  # came before we listened: valid as data, not as a sign of the time
        self._fresh_from_s = asyncio.get_running_loop().time() + SETTLE_S
        log.info("serial: %s, open", self.name)

    async def _serve(self) -> None:
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        try:
            await self._gone.wait()  # the beat and the reader run beside it
        finally:
            self._close()

    def _close(self) -> None:
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._writing = False
        self._beat.stop()
        self._take()
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        close_port(self._fd)
        self._fd = -1
        self._out.clear()
        self._closed.set()

    async def release(self, timeout_s: float) -> bool:
        """Lend the port to another program; True once it is closed here. Until `resume` it stays closed."""
        self._released = True
        self._wake.set()
        self._gone.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._closed.wait()
        except TimeoutError:
            return False
        return True

    def resume(self) -> None:
        self._released = False
        self._wake.set()

    # -- input -----------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if self._sink.crowded:  # by the ports that were read before this one, in the same turn of the loop
            asyncio.get_running_loop().remove_reader(self._fd)
            self._waiting = asyncio.create_task(self._wait_for_room())
            return
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as err:
            self._lost(err.strerror or "gone")
            return
        if not data:
            self._lost("hung up")
            return
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Bytes from the node, that come now. Where few come they are taken a little later, together; not a hello: nothing else
        comes from a node before that is answered, and the sooner it is, the slower the line may be."""
        self.bytes_in += len(data)
        now_s = asyncio.get_running_loop().time()
        fresh = self._stale <= 0 and now_s >= self._fresh_from_s and now_s - self._beat.last_s <= STALL_S
        self._stale -= len(data)
        for tap in self.taps:
            tap("up", data)
        self._read.append((data, now_s, fresh))
        hello = self._greeted or HELLO_BEGINS in data
        self._greeted = hello and not data.endswith(HELLO_BEGINS[:1])
        if hello or not self._sink.later(self._take, len(data)):
            self._take()

    def _take(self) -> None:
        """Deliver what was read."""
        read, self._read = self._read, []
        if not read:
            return
        on_frame = self._sink.on_frame
        now_s, now_ms = asyncio.get_running_loop().time(), self._clock.wall_ms()
        for data, read_s, fresh in read:
            received_ms = now_ms - round((now_s - read_s) * 1000)
            for what, content in self.parser.feed(data):
                if what == "frame":
                    on_frame(self, content, received_ms, fresh)
                else:
                    self.texts += 1
                    self._sink.on_text(self, content)

    async def _wait_for_room(self) -> None:
        """The spool is behind: the bytes wait in the driver, and the node for its acknowledgement."""
        fd = self._fd
        while not await self._sink.room(ROOM_S):
            pass
        self._waiting = None
        if self._fd == fd >= 0:
            asyncio.get_running_loop().add_reader(fd, self._readable)

    def _lost(self, why: str) -> None:
        log.warning("serial: %s, %s", self.name, why)
        self.state = why
        asyncio.get_running_loop().remove_reader(self._fd)
        self._gone.set()

    # -- output ----------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> bool:
        """Queue a frame for the node; False if the port is not open or the node does not read."""
        if self._fd < 0 or self._gone.is_set():
            return False
        data = bytes(encode(frame))
        if len(self._out) + len(data) > OUT_MAX:
            self.out_dropped += 1
            return False
        for tap in self.taps:
            tap("down", data)
        waiting = bool(self._out)
        self._out += data
        if not waiting:
            self._writable()
        return True

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._out)
        except BlockingIOError:
            sent = 0
        except OSError as err:
            self._lost(err.strerror or "gone")
            return
        self.bytes_out += sent
        del self._out[:sent]
        if bool(self._out) != self._writing:
            self._writing = not self._writing
            loop = asyncio.get_running_loop()
            if self._writing:
                loop.add_writer(self._fd, self._writable)
            else:
                loop.remove_writer(self._fd)
