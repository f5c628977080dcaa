"""The serial link on pseudo-terminals: exclusive, unplugged and back, lent and tapped, nothing lost in between."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.links import port, serial
from gateway.links.port import PortBusy, PortError, PortMissing, close_port, holder_of, open_port
from gateway.links.serial import SerialLink
from tests.waiting import wait_until, wait_until_async
from wire.stream import encode


class Cable:
    """A pty with a link to its port side; `pull` is what unplugging does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.master, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)

    def pull(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.master)
        self.master = -1


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    made = Cable(tmp_path / "port")
    yield made
    if made.master >= 0:
        os.close(made.master)


class Sink:
    crowded = False

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.fresh: list[bool] = []
        self.texts: list[bytes] = []
        self.many = True  # else what is read waits
        self.waiting: list[Callable[[], None]] = []
        self.allowed = asyncio.Event()

    def on_frame(self, link: SerialLink, frame: bytes, received_ms: int, fresh: bool) -> None:
        self.frames.append(frame)
        self.fresh.append(fresh)

    def on_text(self, link: SerialLink, text: bytes) -> None:
        self.texts.append(text)

    def later(self, take: Callable[[], None], size: int) -> bool:
        if self.many:
            return False
        self.waiting.append(take)
        return True

    async def room(self, timeout_s: float) -> bool:
        await self.allowed.wait()
        self.crowded = False
        return True


def with_link(cable: Cable, scenario: Callable[[SerialLink, Sink], Awaitable[None]]) -> None:
    async def main() -> None:
        sink = Sink()
        link = SerialLink(str(cable.path), 115200, sink, SystemClock())
        task = asyncio.create_task(link.run())
        try:
            await scenario(link, sink)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert link._fd == -1, "closed at the end"

    asyncio.run(main())


FRAME = bytes(range(0x81, 0xA0)) + bytes(range(40))


def test_frames_and_text_come_through_and_frames_go_out(cable: Cable) -> None:
    async def scenario(link: SerialLink, sink: Sink) -> None:
        await wait_until_async(lambda: link.state == "open", 5, "open")
        os.write(cable.master, b"log: hello\n" + encode(FRAME) + encode(FRAME[:50])[:20])
        os.write(cable.master, encode(FRAME[:50])[20:])
        await wait_until_async(lambda: len(sink.frames) == 2, 5, "two frames")
        assert sink.frames == [FRAME, FRAME[:50]]
        assert sink.texts == [b"log: hello\n"]
        assert link.send(FRAME)
        assert os.read(cable.master, 4096) == encode(FRAME)

    with_link(cable, scenario)


def test_what_waited_before_we_opened_is_data_but_no_sign_of_the_time(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial, "SETTLE_S", 3600.0)
    os.write(cable.master, encode(FRAME))

    async def scenario(link: SerialLink, sink: Sink) -> None:
        await wait_until_async(lambda: len(sink.frames) == 1, 5, "the waiting frame")
        link._fresh_from_s = 0.0  # an hour later
        os.write(cable.master, encode(FRAME))
        await wait_until_async(lambda: len(sink.frames) == 2, 5, "the next one")
        assert sink.fresh == [False, True]

    with_link(cable, scenario)


def test_unplugged_and_back(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "RETRY_FIRST_S", 0.01)

    async def scenario(link: SerialLink, sink: Sink) -> None:
        for n in range(3):
            await wait_until_async(lambda: link.state == "open", 5, "open")
            os.write(cable.master, encode(FRAME))
            await wait_until_async(lambda n=n: len(sink.frames) == n + 1, 5, "a frame")
            cable.pull()
            await wait_until_async(lambda: link.state != "open", 5, "noticed")
            assert not link.send(FRAME)
            cable.plug()
        await wait_until_async(lambda: link.opens == 4, 5, "open again")

    with_link(cable, scenario)


def test_what_was_read_and_not_taken_is_delivered_before_the_port_is_gone(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame, then half of one, then the plug is pulled: the half is not the beginning of what comes next."""
    monkeypatch.setattr(serial, "RETRY_FIRST_S", 0.01)

    async def scenario(link: SerialLink, sink: Sink) -> None:
        sink.many = False
        await wait_until_async(lambda: link.state == "open", 5, "open")
        os.write(cable.master, encode(FRAME) + encode(FRAME)[:20])
        await wait_until_async(lambda: sink.waiting, 5, "it was read")
        assert not sink.frames
        cable.pull()
        await wait_until_async(lambda: link.state != "open", 5, "noticed")
        await wait_until_async(lambda: sink.frames == [FRAME], 5, "delivered")
        cable.plug()
        await wait_until_async(lambda: link.opens == 2, 5, "open again")
        os.write(cable.master, encode(FRAME)[20:] + encode(FRAME[:50]))
        await wait_until_async(lambda: len(sink.waiting) >= 2, 5, "it was read")
        assert await link.release(5)
        assert sink.frames == [FRAME, FRAME[:50]]
        for take in sink.waiting:
            take()
        assert len(sink.frames) == 2, "nothing twice"

    with_link(cable, scenario)


def test_lent_and_given_back(cable: Cable) -> None:
    async def scenario(link: SerialLink, sink: Sink) -> None:
        await wait_until_async(lambda: link.state == "open", 5, "open")
        with pytest.raises(PortBusy) as busy:
            open_port(str(cable.path), 115200)
        assert busy.value.pid == os.getpid()
        assert busy.value.exit_code == 3
        assert await link.release(5)
        assert link.state != "open"
        fd = open_port(str(cable.path), 115200)  # another program
        link.resume()
        await wait_until_async(lambda: "used by" in link.state, 5, "busy, said so")
        close_port(fd)
        await wait_until_async(lambda: link.state == "open", 10, "open again")

    with_link(cable, scenario)


def test_a_tap_sees_both_directions(cable: Cable) -> None:
    async def scenario(link: SerialLink, sink: Sink) -> None:
        seen: list[tuple[str, bytes]] = []
        link.taps.append(lambda direction, data: seen.append((direction, data)))
        await wait_until_async(lambda: link.state == "open", 5, "open")
        os.write(cable.master, encode(FRAME))
        await wait_until_async(lambda: sink.frames, 5, "a frame")
        link.send(FRAME)
        assert seen == [("up", encode(FRAME)), ("down", encode(FRAME))]

    with_link(cable, scenario)


def test_a_crowded_spool_leaves_the_bytes_in_the_driver(cable: Cable) -> None:
    async def scenario(link: SerialLink, sink: Sink) -> None:
        await wait_until_async(lambda: link.state == "open", 5, "open")
        os.write(cable.master, encode(FRAME))
        await wait_until_async(lambda: len(sink.frames) == 1, 5, "the first")
        sink.crowded = True  # by this port or by others that were read before it in the same turn
        os.write(cable.master, encode(FRAME))
        await wait_until_async(lambda: link._waiting is not None, 5, "the port waits")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(sink.frames) == 1
        sink.allowed.set()
        await wait_until_async(lambda: len(sink.frames) == 2, 5, "the second, once there is room")

    with_link(cable, scenario)


def test_a_node_that_does_not_read_costs_no_more_than_the_cap(cable: Cable) -> None:
    async def scenario(link: SerialLink, sink: Sink) -> None:
        await wait_until_async(lambda: link.state == "open", 5, "open")
        while link.send(FRAME * 4):
            pass
        assert link.out_dropped == 1
        assert len(link._out) <= serial.OUT_MAX
        read = 0
        while read < link.bytes_out or link._out:
            try:
                read += len(os.read(cable.master, 65536))
            except BlockingIOError:
                await asyncio.sleep(0)
        assert link.send(FRAME)

    with_link(cable, scenario)


def test_busy_names_the_other_program(cable: Cable) -> None:
    code = (
        "import sys; from gateway.links.port import open_port; open_port(sys.argv[1], 115200); "
        "print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(cable.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(PortBusy) as busy:
            open_port(str(cable.path), 115200)
        assert busy.value.pid == other.pid
        assert "python" in busy.value.command
        assert str(other.pid) in str(busy.value)
    finally:
        other.communicate()
    close_port(open_port(str(cable.path), 115200))


def test_one_that_has_it_open_without_a_lock_is_found_too(cable: Cable) -> None:
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(cable.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        found = holder_of(str(cable.path))
        assert found is not None
        assert found.pid == other.pid
    finally:
        other.communicate()


def test_missing_and_unfit_ports_say_so(tmp_path: Path) -> None:
    with pytest.raises(PortMissing, match="no such port"):
        open_port(str(tmp_path / "nowhere"), 115200)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(PortMissing, match="no serial port"):
        open_port(str(file), 115200)
    with pytest.raises(PortError, match="no speed"):
        open_port(str(file), 12345)


def test_modem_lines_change_together_and_never_through_a_reset(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of system calls at open: both lines in one request, before any other one that touches them."""
    calls: list[Any] = []
    real = fcntl.ioctl

    def spy(fd: int, request: int, argument: Any = 0, *rest: Any) -> Any:
        calls.append((request, argument))
        return real(fd, request, argument, *rest)

    monkeypatch.setattr(port.fcntl, "ioctl", spy)
    fd = open_port(str(cable.path), 115200)
    try:
        lines = [
            argument for request, argument in calls if request in (termios.TIOCMBIS, termios.TIOCMSET, termios.TIOCMBIC)
        ]
        assert [int.from_bytes(argument, sys.byteorder) for argument in lines] == [
            termios.TIOCM_DTR | termios.TIOCM_RTS
        ]
        cflag = termios.tcgetattr(fd)[2]
        assert not cflag & termios.HUPCL
        assert not cflag & termios.CRTSCTS
    finally:
        close_port(fd)
    wait_until(lambda: holder_of(str(cable.path)) is None, 5, "nobody holds it")
