"""A running gateway is asked nonsense over its control socket: every line is answered, nothing unforeseen happens inside."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.mutator import Mutator
from tests.gateway.test_gateway_process import Process, seal, setup
from tests.waiting import wait_until

__all__ = ["setup"]  # the fixture: a gateway process and two nodes on pseudo-terminals

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]

VERBS = (
    "status", "ledger", "release", "resume", "reload-keys", "set-setting", "get-setting", "command", "drain", "metrics",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 7, 8, 99, 65_536, 1 << 40, 10**400, 0.5, -0.1, 1e308, "", "x", "7", "1e9", "\0", "é" * 10_000, [], [1],
    {}, {"a": [1]}, "/dev/null", "window_s", "window_s.0", "window_s.99", "window_s.x", "window_s.²", "identify", "restart", "mqtt",
    "archive", "health_s", "..", "%s", "-",
)  # fmt: skip
FIELDS = (
    "port",
    "node",
    "name",
    "instance",
    "value",
    "command",
    "arg",
    "timeout_s",
    "for_s",
    "lines",
    "sink",
    "do",
    "other",
)


def requests(seed: int, count: int, ports: list[str]) -> Iterator[bytes]:
    """Lines: verbs with odd fields, now and then with right ones; some of them spoiled as text."""
    chance = random.Random(seed)
    right = [
        {"do": "set-setting", "node": 7, "name": "window_s.0", "value": 30},
        {"do": "get-setting", "node": 8, "name": "health_s"},
        {"do": "command", "node": 7, "command": "identify", "arg": 3},
        {"do": "release", "port": ports[1], "for_s": 1},
        {"do": "resume", "port": ports[1]},
        {"do": "ledger", "node": 7, "sink": "archive"},
        {"do": "drain", "timeout_s": 0.2},
    ]
    spoiler = Mutator(
        seed, [json.dumps(one).encode() for one in right], [b"{", b"[", b'"', b"\\u0000", b"1e999", b"[" * 900]
    )
    for _ in range(count):
        if chance.random() < 0.3:
            yield spoiler.make().replace(b"\n", b" ")
            continue
        request = dict(chance.choice(right)) if chance.random() < 0.6 else {"do": chance.choice(VERBS)}
        for _ in range(chance.randrange(1, 4)):
            request[chance.choice(FIELDS)] = chance.choice(ODD)
        # A request may wait for as long as it says: not here.
        if isinstance(request.get("timeout_s"), int | float) and request["timeout_s"] > 1:
            request["timeout_s"] = 1
        yield json.dumps(request).encode()


class Client:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(self._path))
        self._file = self.socket.makefile("rb")

    def ask(self, line: bytes) -> Any:
        """The answer; None if the gateway closed the connection, as it does after a stream."""
        self.socket.sendall(line + b"\n")
        answer = self._file.readline()
        if not answer:
            self.close()
            self._connect()
            return None
        return json.loads(answer)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def attack(process: Process, nodes: list[Any], seed: int, count: int) -> None:
    ports = [str(process.folder / f"port-{address}") for address in (7, 8)]
    client = Client(process.data / "control.sock")
    try:
        for line in requests(seed, count, ports):
            if b"tap" in line:
                continue  # a stream without end
            answer = client.ask(line)
            if answer is None or answer.get("ok"):
                continue
            error = answer["error"]
            assert error["what"] and error["exit_code"] in (1, 2, 3), (line, error)
            assert "See the gateway's log" not in error["next_step"], f"unforeseen, seed {seed}: {line!r}: {error}"
    finally:
        client.close()
    for port in ports:
        process.ask("resume", port=port)
    for node in nodes:
        seal(node, 5)
    wait_until(lambda: not any(node.node.outbox for node in nodes), 60, "nodes go on delivering")
    assert b"Traceback" not in (process.folder / "log").read_bytes()


def test_each_odd_field_is_named(setup: Any) -> None:
    process, nodes = setup
    for node in nodes:
        node.start()
    process.start()
    wait_until(process.answers, 60, "the gateway answers")
    client = Client(process.data / "control.sock")
    try:
        for line, what in (
            (b'{"do": [1]}', 'the request has no "do"'),
            (b"\xff{}", "no JSON object"),
            (b"[" * 5000, "no JSON object"),
            (b'{"do": "drain", "timeout_s": "soon"}', "timeout_s must be a number from 0 to 3600"),
            (b'{"do": "drain", "timeout_s": -1}', "timeout_s must be a number from 0 to 3600"),
            (b'{"do": "ledger", "node": 1099511627776}', "node must be a number from 1 to 65535"),
            (b'{"do": "ledger", "sink": "nowhere"}', "no such sink"),
            (b'{"do": "release", "port": "\\u0000"}', "not a port of this gateway"),
            (
                b'{"do": "release", "port": "%s", "for_s": 1e300}' % str(nodes[0].path).encode(),
                "for_s must be a number",
            ),
            (b'{"do": "get-setting", "node": 7, "name": "window_s.x"}', "no such instance"),
            (b'{"do": "get-setting", "node": 7, "name": "window_s.99"}', "no such instance"),
            (b'{"do": "get-setting", "node": 7, "name": "health_s", "instance": 1}', "no such instance"),
            (b'{"do": "command", "node": 7, "command": "identify", "arg": 4294967296}', "arg must be a number"),
            (b'{"do": "command", "node": [7], "command": "identify"}', "no such node"),
        ):
            error = client.ask(line)["error"]
            assert what in error["what"] and error["exit_code"] == 2, (line, error)
            assert len(error["where"]) <= 200
    finally:
        client.close()
    assert b"Traceback" not in (process.folder / "log").read_bytes()


def test_nonsense_is_answered(setup: Any) -> None:
    process, nodes = setup
    for node in nodes:
        node.start()
    process.start()
    wait_until(process.answers, 60, "the gateway answers")
    attack(process, nodes, 1, 600)
