"""A real mosquitto, and a proxy before it that sees every PUBLISH and PUBACK and can be slow or not accept at all."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections import deque
from pathlib import Path

from tools.errors import NoConnection
from tools.faults.orders import MESSAGES, Journal
from tools.faults.seams import Seams
from tools.sim.mortal import mortal

CONNACK, PUBLISH, PUBACK = 2, 3, 4
LISTENS_S = 20.0
LOOK_S = 0.05
READ_BYTES = 65_536
LATE_S = 0.4  # a message that waited so long for its confirmation, waited for a broker that stood still


def require_mosquitto() -> str:
    """The path of mosquitto; NoConnection says how to get it."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if not found:
        raise NoConnection(
            "mosquitto is missing", where="PATH", next_step="Install it: apt-get install mosquitto mosquitto-clients"
        )
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto as a process; sessions survive a restart unless they are forgotten."""

    def __init__(self, folder: Path) -> None:
        self._program = require_mosquitto()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._anonymous = True
        self.port = free_port()
        folder.mkdir(exist_ok=True)

    @property
    def runs_openly(self) -> bool:
        """Whether it runs and lets everybody in."""
        return self._process is not None and self._process.poll() is None and self._anonymous

    def start(self, *, anonymous: bool = True) -> None:
        self._anonymous = anonymous
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous {'true' if anonymous else 'false'}\npersistence true\n"
            f"persistence_location {self._folder}/\nautosave_interval 1\nuser root\nlog_dest none\nmax_inflight_messages 0\n"
        )
        self._process = subprocess.Popen(
            mortal([self._program, "-c", str(config)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end_s = time.monotonic() + LISTENS_S
        while not self._listens():
            if time.monotonic() > end_s or self._process.poll() is not None:
                raise NoConnection("mosquitto does not listen", where=f"127.0.0.1:{self.port}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def freeze(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(by)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)
        self._process = None

    def forget(self) -> None:
        """Sessions and queued messages are gone; only while stopped."""
        (self._folder / "mosquitto.db").unlink(missing_ok=True)

    def subscribe(self, out: Path) -> subprocess.Popen[bytes]:
        """A foreign consumer on a session that the broker keeps: one payload a line."""
        program = shutil.which("mosquitto_sub")
        if not program:
            raise NoConnection("mosquitto_sub is missing", where="PATH", next_step="apt-get install mosquitto-clients")
        arguments = ["-h", "127.0.0.1", "-p", str(self.port), "-i", "lab-consumer", "-c", "-q", "1", "-t", "steiger/#"]
        with open(out, "ab") as file:
            return subprocess.Popen(mortal([program, *arguments]), stdout=file, stderr=subprocess.DEVNULL)


class _Pair:
    """One connection of the gateway through the proxy."""

    def __init__(self, client: socket.socket, broker: socket.socket, number: int) -> None:
        self.client = client
        self.broker = broker
        self.number = number
        self.up = bytearray()
        self.down = bytearray()
        self.waiting: dict[int, tuple[int, float]] = {}  # packet id -> our number, when it was sent
        self.late: deque[tuple[float, bytes]] = deque()  # for the client, not before
        self.answered = False


class Proxy:
    """Runs in a process of its own; follows the orders of a run's folder."""

    def __init__(self, folder: Path, listener: socket.socket, broker_port: int) -> None:
        self._seams = Seams(folder)
        self._log = Journal(folder / MESSAGES)
        self._listener = listener
        self._broker_port = broker_port
        self._ready = selectors.DefaultSelector()
        self._ready.register(listener, selectors.EVENT_READ, self._accept)
        self._pairs: set[_Pair] = set()
        self._count = 0
        self._connections = 0

    def run(self) -> None:
        while True:
            for key, _ in self._ready.select(LOOK_S):
                key.data()
            self._seams.renew()
            now_s = time.monotonic()
            for pair in list(self._pairs):
                while pair.late and pair.late[0][0] <= now_s:
                    self._send(pair, pair.client, pair.late.popleft()[1])
                if self._state == "frozen" and any(now_s - at_s > LATE_S for _, at_s in pair.waiting.values()):
                    self._seams.seen("broker_frozen", at="publish")

    @property
    def _state(self) -> str:
        return self._seams.orders.broker

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self._seams.renew()
        if self._state == "deaf":
            self._seams.seen("broker_refuses", at="accept")
            client.close()
            return
        try:
            broker = socket.create_connection(("127.0.0.1", self._broker_port), timeout=5)
        except OSError:
            if self._state in ("stopped", "forgets"):
                self._seams.seen(f"broker_{self._state}", at="connect")
            client.close()
            return
        self._connections += 1
        pair = _Pair(client, broker, self._connections)
        self._pairs.add(pair)
        self._ready.register(client, selectors.EVENT_READ, lambda: self._up(pair))
        self._ready.register(broker, selectors.EVENT_READ, lambda: self._down(pair))

    def _drop(self, pair: _Pair) -> None:
        if pair in self._pairs:
            self._pairs.discard(pair)
            for end in (pair.client, pair.broker):
                self._ready.unregister(end)
                end.close()

    def _send(self, pair: _Pair, end: socket.socket, data: bytes) -> None:
        try:
            end.sendall(data)
        except OSError:
            self._drop(pair)

    def _receive(self, pair: _Pair, end: socket.socket) -> bytes:
        try:
            data = end.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._seams.renew()
            if end is pair.broker and self._state in ("stopped", "forgets"):
                self._seams.seen(f"broker_{self._state}", at="connection")
            self._drop(pair)
        return data

    def _up(self, pair: _Pair) -> None:
        pair.up += self._receive(pair, pair.client)
        while packet := _take_packet(pair.up):
            if packet[0] >> 4 == PUBLISH:
                start = _body_at(packet)
                topic = int.from_bytes(packet[start : start + 2], "big")
                mid = int.from_bytes(packet[start + 2 + topic : start + 4 + topic], "big")
                self._count += 1
                pair.waiting[mid] = self._count, time.monotonic()
                self._log.note("publish", number=self._count, payload=json.loads(packet[start + 4 + topic :]))
            self._send(pair, pair.broker, packet)

    def _down(self, pair: _Pair) -> None:
        pair.down += self._receive(pair, pair.broker)
        while packet := _take_packet(pair.down):
            kind = packet[0] >> 4
            if kind == CONNACK and packet[3]:
                self._seams.seen("broker_refuses", at="login")
            if kind == PUBACK:
                number = pair.waiting.pop(int.from_bytes(packet[2:4], "big"), (0, 0.0))[0]
                self._log.note("puback", number=number)
                if self._state == "slow":
                    self._seams.seen("broker_slow")
                    pair.late.append((time.monotonic() + self._seams.orders.latency_s, packet))
                    continue
            if pair.late:
                pair.late.append((pair.late[-1][0], packet))
            else:
                self._send(pair, pair.client, packet)


def _body_at(packet: bytes) -> int:
    at = 1
    while packet[at] & 0x80:
        at += 1
    return at + 1


def _take_packet(data: bytearray) -> bytes:
    """The next whole MQTT packet, taken out of `data`; b"" if there is none."""
    length = shift = 0
    for at in range(1, min(5, len(data))):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if not data[at] & 0x80:
            end = at + 1 + length
            if len(data) < end:
                return b""
            packet = bytes(data[:end])
            del data[:end]
            return packet
    return b""


def serve(folder: Path, listener: socket.socket, broker_port: int) -> None:
    """The proxy's process."""
    Proxy(folder, listener, broker_port).run()


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    os.set_inheritable(listener.fileno(), True)
    return listener
