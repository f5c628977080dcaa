"""The gateway's control socket: a unix socket of mode 0600 in the data directory, JSON lines both ways.

    → {"do": "release", "port": "/dev/ttyUSB0"}
    ← {"ok": true, "result": {…}}                                    one answer, or
    ← {"ok": true, "item": {…}} … {"ok": true, "end": true}          a stream, until either side closes, or
    ← {"ok": false, "error": {"what": …, "where": …, "next_step": …, "exit_code": 1}}

Whoever may open the socket is the gateway's own user or root; there is no other way in. The composition root registers
the verbs. `gateway.lock` in the same directory decides which process owns the directory: the kernel drops the lock with
the process, so a killed gateway never blocks the next one, and the socket that it left behind is removed.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.owner import as_owner

SOCKET_NAME = "control.sock"
LOCK_NAME = "gateway.lock"
MAX_REQUEST_BYTES = 64 * 1024  # the longest request names a port and a few numbers
MAX_ANSWER_BYTES = 64 << 20  # a ledger of a year of a large city
MAX_CLIENTS = 32  # a few technicians and a monitor a port
IDLE_TIMEOUT_S = 60.0  # a client that says nothing
SEND_TIMEOUT_S = 10.0  # a client that does not read
VERB_TIMEOUT_S = 120.0  # beyond what the request itself allows by "timeout_s" (a sleepy node, a drain)
MAX_TIMEOUT_S = 3600.0

Request = dict[str, Any]
Verb = Callable[[Request], Awaitable[Any]]
StreamVerb = Callable[[Request], AsyncGenerator[Any, None]]

log = logging.getLogger("steiger.control")


class ControlError(GatewayError):
    """A control request failed."""


class NotRunning(ControlError):
    """No gateway runs on this data directory."""

    exit_code = 3


class AlreadyRunning(GatewayError):
    """Another gateway owns the data directory."""


class ControlServer:
    """Owns the data directory of a running gateway and answers the verbs that were registered."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir
        self._verbs: dict[str, Verb] = {}
        self._streams: dict[str, StreamVerb] = {}
        self._lock: int | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def path(self) -> Path:
        return self._dir / SOCKET_NAME

    def register(self, name: str, verb: Verb) -> None:
        """`await verb(request)` answers {"do": name, …}; GatewayError is told to the client as it is."""
        self._verbs[name] = verb

    def register_stream(self, name: str, verb: StreamVerb) -> None:
        """`verb(request)` is an async generator; it is closed when the client goes."""
        self._streams[name] = verb

    def take_directory(self) -> None:
        """Become the owner of the data directory (also done by start); AlreadyRunning names the process that is."""
        if self._lock is None:
            self._lock = _take_lock(self._dir)

    async def start(self) -> None:
        """Take the directory, remove a socket that a killed gateway left, listen."""
        self.take_directory()
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _short_path(self.path) as address:
                before = os.umask(0o177)  # the socket must not exist for an instant with a wider mode
                try:
                    listener.bind(address)
                finally:
                    os.umask(before)
            listener.setblocking(False)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)
        except OSError as error:
            listener.close()
            raise ControlError(
                f"the control socket cannot be made: {error.strerror or error}",
                where=str(self.path),
                next_step="Check data_dir",
            ) from None

    async def close(self) -> None:
        """Stop listening, end the clients, give the directory back."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=SEND_TIMEOUT_S)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MAX_CLIENTS:
            writer.write(_line(_refusal(ControlError(f"more than {MAX_CLIENTS} clients"))))
            writer.close()
            return
        self._clients.add(task)
        try:
            while True:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    line = await reader.readline()
                if not line:
                    return
                await self._answer(line, reader, writer)
        except (TimeoutError, ConnectionError, ValueError):  # silent, gone, or a line beyond the limit
            pass
        except asyncio.CancelledError:
            pass  # the gateway ends; asyncio's own callback would log a cancelled client as an error
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = _parse(line)
            name = request.get("do")
            if not isinstance(name, str):
                raise ControlError('the request has no "do"', next_step="It names a verb", exit_code=2)
            if name in self._streams:
                await self._stream(self._streams[name], request, reader, writer)
                return
            verb = self._verbs.get(name)
            if verb is None:
                known = ", ".join(sorted({*self._verbs, *self._streams}))
                raise ControlError(f"the gateway knows no {name[:60]!r}", next_step=f"It knows: {known}", exit_code=2)
            async with asyncio.timeout(VERB_TIMEOUT_S + _asked_timeout_s(request)):
                answer = {"ok": True, "result": await verb(request)}
        except GatewayError as error:
            answer = _refusal(error)
        except TimeoutError:
            answer = _refusal(ControlError("no result in time", next_step="See the gateway's log"))
        except Exception as error:
            log.exception("control: %s failed", line[:200])
            answer = _refusal(ControlError(f"{type(error).__name__}: {error}", next_step="See the gateway's log"))
        await _send(writer, answer)

    async def _stream(
        self, verb: StreamVerb, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        items = verb(request)
        gone = asyncio.ensure_future(reader.read(1))  # a client of a stream says no more: anything ends it
        pump = asyncio.ensure_future(_pump(items, writer))
        try:
            await asyncio.wait({gone, pump}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                await pump
        finally:
            for task in (gone, pump):
                task.cancel()
            await asyncio.wait({gone, pump}, timeout=SEND_TIMEOUT_S)
            await items.aclose()


async def _pump(items: AsyncGenerator[Any, None], writer: asyncio.StreamWriter) -> None:
    try:
        async for item in items:
            await _send(writer, {"ok": True, "item": item})
        await _send(writer, {"ok": True, "end": True})
    except GatewayError as error:
        await _send(writer, _refusal(error))


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(_line(answer))
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await writer.drain()


def _parse(line: bytes) -> Request:
    try:
        return msgspec.json.decode(line, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ControlError("the request is no JSON object", exit_code=2) from None


def _asked_timeout_s(request: Request) -> float:
    asked = request.get("timeout_s")
    return float(min(max(asked, 0), MAX_TIMEOUT_S)) if isinstance(asked, int | float) else 0.0


def _line(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


def _refusal(error: GatewayError) -> dict[str, Any]:
    facts = {"what": error.what, "where": error.where, "next_step": error.next_step, "exit_code": error.exit_code}
    return {"ok": False, "error": facts}


def _take_lock(directory: Path) -> int:
    path = directory / LOCK_NAME
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GatewayError(
            f"data_dir cannot be used: {error.strerror}", where=str(directory), next_step="Check its owner and mode"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunning(
            f"a gateway is running already: pid {holder} ({_command_of(holder)})",
            where=str(directory),
            next_step=f"Stop it (kill {holder}), or give this one another data_dir",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _command_of(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "its command is not to be seen"
    return b" ".join(words).decode("utf-8", "replace").strip()[:200]


@contextmanager
def _short_path(path: Path) -> Iterator[str]:
    """`path` in a form that fits into sun_path (108 bytes on Linux): a long one goes by a descriptor of its folder."""
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def call(data_dir: Path, do: str, *, timeout_s: float = 10.0, node_s: float | None = None, **fields: Any) -> Any:
    """Ask the gateway that runs on `data_dir`; its result, or NotRunning, or the error that it answered.

    `node_s`: how long the gateway itself shall wait for a node; `timeout_s` is longer.
    """
    if node_s is not None:
        fields["timeout_s"] = node_s
    with _connected(data_dir, timeout_s) as connection:
        connection.sendall(_line({"do": do, **fields}))
        answer = next(_answers(connection, data_dir, timeout_s), None)
    if answer is None:
        raise ControlError("the gateway closed the connection", where=str(data_dir), exit_code=3)
    return answer.get("result")


def stream(
    data_dir: Path, do: str, *, timeout_s: float | None = None, node_s: float | None = None, **fields: Any
) -> Iterator[Any]:
    """The items of a stream, until it ends; `timeout_s` is the longest wait for the next one (None: for ever); `node_s`: as
    in `call`."""
    if node_s is not None:
        fields["timeout_s"] = node_s
    with _connected(data_dir, 10.0) as connection:
        connection.sendall(_line({"do": do, **fields}))
        connection.settimeout(timeout_s)
        for answer in _answers(connection, data_dir, timeout_s):
            if answer.get("end"):
                return
            yield answer.get("item")


@contextmanager
def _connected(data_dir: Path, timeout_s: float) -> Iterator[socket.socket]:
    path = data_dir / SOCKET_NAME
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        try:
            with _short_path(path) as address:
                connection.connect(address)
        except PermissionError:
            raise ControlError(
                "the control socket belongs to another user", where=str(path), next_step=as_owner(path), exit_code=2
            ) from None
        except OSError:  # no socket, no folder, or nobody behind the socket
            raise NotRunning(
                "no gateway is running", where=str(data_dir), next_step="Start it: steiger gateway run --config FILE"
            ) from None
        yield connection
    finally:
        connection.close()


def _answers(connection: socket.socket, data_dir: Path, timeout_s: float | None) -> Iterator[dict[str, Any]]:
    """Answers of the gateway; the error that it tells is raised here as the one it was there."""
    buffer = bytearray()
    while True:
        while (end := buffer.find(b"\n")) >= 0:
            answer = msgspec.json.decode(bytes(buffer[:end]), type=dict[str, Any])
            del buffer[: end + 1]
            if not answer.get("ok"):
                facts = answer.get("error", {})
                raise ControlError(
                    facts.get("what", "refused"),
                    where=facts.get("where", ""),
                    next_step=facts.get("next_step", ""),
                    exit_code=facts.get("exit_code", 1),
                )
            yield answer
        try:
            chunk = connection.recv(65536)
        except TimeoutError:
            raise ControlError(
                f"the gateway did not answer within {timeout_s:g} s",
                where=str(data_dir),
                next_step="See its log",
                exit_code=3,
            ) from None
        except OSError:
            chunk = b""
        if not chunk or len(buffer) > MAX_ANSWER_BYTES:
            return
        buffer += chunk
