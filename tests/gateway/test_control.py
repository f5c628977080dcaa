"""The control socket: private, survives kills, refuses a second gateway, answers errors as errors."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.control import AlreadyRunning, ControlError, ControlServer, NotRunning, Request
from gateway.errors import GatewayError
from tests.waiting import wait_until, wait_until_async

REPO = Path(__file__).parents[2]


class Running:
    """A server on a loop of its own thread, so that the blocking client can be used as the CLI does."""

    def __init__(self, data_dir: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = ControlServer(data_dir)
        self.closed_streams = 0
        self.server.register("echo", self._echo)
        self.server.register("refuse", self._refuse)
        self.server.register("crash", self._crash)
        self.server.register_stream("count", self._count)
        self.server.register_stream("forever", self._forever)
        self.do(self.server.start())

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def _echo(self, request: Request) -> Any:
        return request

    async def _refuse(self, request: Request) -> Any:
        raise GatewayError("the port is not ours", where="/dev/x", next_step="See status", exit_code=3)

    async def _crash(self, request: Request) -> Any:
        raise RuntimeError("unforeseen")

    async def _count(self, request: Request) -> AsyncGenerator[Any, None]:
        for n in range(int(request["n"])):
            yield n

    async def _forever(self, request: Request) -> AsyncGenerator[Any, None]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            self.closed_streams += 1

    def stop(self) -> None:
        self.do(self.server.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture
def start() -> Iterator[Callable[[Path], Running]]:
    made: list[Running] = []

    def make(data_dir: Path) -> Running:
        made.append(Running(data_dir))
        return made[-1]

    yield make
    for running in made:
        running.stop()


def test_a_verb_is_answered_and_the_socket_is_private(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    running = start(tmp_path / "data")
    assert control.call(tmp_path / "data", "echo", port="/dev/ttyUSB0") == {"do": "echo", "port": "/dev/ttyUSB0"}
    assert stat.S_IMODE(running.server.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_errors_arrive_as_they_were(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    start(tmp_path)
    with pytest.raises(ControlError) as caught:
        control.call(tmp_path, "refuse")
    assert (caught.value.what, caught.value.where, caught.value.next_step, caught.value.exit_code) == (
        "the port is not ours",
        "/dev/x",
        "See status",
        3,
    )
    with pytest.raises(ControlError, match="RuntimeError: unforeseen"):
        control.call(tmp_path, "crash")
    with pytest.raises(ControlError, match=r"knows no 'none'.*echo"):
        control.call(tmp_path, "none")


def test_streams_end_and_are_closed_when_the_reader_goes(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    running = start(tmp_path)
    assert list(control.stream(tmp_path, "count", n=3, timeout_s=10)) == [0, 1, 2]
    items = control.stream(tmp_path, "forever", timeout_s=10)
    assert next(items) == "first"
    items.close()  # type: ignore[attr-defined]
    wait_until(lambda: running.closed_streams == 1, 10, "the generator is closed")
    assert control.call(tmp_path, "echo")["do"] == "echo"


def test_garbage_and_long_lines_hurt_nobody(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    running = start(tmp_path)
    for garbage in (b"\xff\n", b"[]\n", b'{"do": ["x"]}\n', b"x" * 200_000 + b"\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(running.server.path))
            try:
                client.sendall(garbage)
                answer = client.recv(65536)
            except OSError:
                answer = b""
            assert answer == b"" or json.loads(answer)["ok"] is False
    assert control.call(tmp_path, "echo")["do"] == "echo"


def test_without_a_gateway(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no gateway is running") as caught:
        control.call(tmp_path, "status")
    assert caught.value.exit_code == 3


def test_a_second_gateway_is_refused_with_the_pid_of_the_first(
    tmp_path: Path, start: Callable[[Path], Running]
) -> None:
    start(tmp_path)
    second = ControlServer(tmp_path)
    with pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()} \(.*pytest") as caught:
        asyncio.run(second.start())
    assert f"kill {os.getpid()}" in str(caught.value)
    assert control.call(tmp_path, "echo")["do"] == "echo"  # the first one is unharmed


HOLDER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from gateway.control import ControlServer
async def main():
    await ControlServer(Path(sys.argv[2])).start()
    print("started", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_killed_gateway_leaves_nothing_in_the_way(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    command = [sys.executable, "-c", HOLDER, str(REPO), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "started\n"
        killed.send_signal(signal.SIGKILL)
    assert (tmp_path / "control.sock").exists()
    with pytest.raises(NotRunning):
        control.call(tmp_path, "echo")
    start(tmp_path)
    assert control.call(tmp_path, "echo")["do"] == "echo"


def test_a_long_data_directory(tmp_path: Path, start: Callable[[Path], Running]) -> None:
    long = tmp_path / ("d" * 100) / ("e" * 100)
    start(long)
    assert control.call(long, "echo")["do"] == "echo"


def test_close_ends_the_clients_and_gives_the_directory_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ControlServer(tmp_path)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        await wait_until_async(lambda: server._clients, 10, "the client is there")
        await server.close()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert not server.path.exists()
        await server.start()
        await server.close()

    asyncio.run(scenario())
