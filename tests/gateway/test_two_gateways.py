"""Two gateway processes hear one LoRa node, by real UDP; what both publish meets at a real broker and is one record."""

from __future__ import annotations

import json
import socket
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.node import FakeNode
from tests.fakes.stage import Consumer
from tests.gateway.test_gateway_process import PROVISIONED_S, W0, Process
from tests.waiting import POLL_S, wait_until
from wire import messages
from wire.frame import LORA
from wire.records import encode_records

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.xdist_group("broker")]

PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
FRAME_US = 300_000
CONFIG = """
[mqtt]
url = "mqtt://127.0.0.1:{port}"
[[forwarder]]
name = "{ear}"
eui = "{eui}"
address = "127.0.0.1"
listen = "127.0.0.1:0"
[lora]
answer = {answer}
"""


class Site:
    """A gateway process with a concentrator's packet forwarder, which is this object. `orders`: what it was told to send."""

    def __init__(
        self, folder: Path, number: int, answer: bool, snr_db: float, broker: Mosquitto, node: FakeNode
    ) -> None:
        self.name = f"gw-{number}"
        self.ear = f"mast-{number}"
        self.orders: list[bytes] = []
        self._eui = bytes.fromhex(f"aa555a00000001{number:02x}")
        self._snr_db = snr_db
        self._token = 0
        self._now_us = 0xFFFF_0000 * number % (1 << 32)  # each has a clock of its own
        folder.mkdir()
        life = Life(
            address=node.address, key=node.key, board="heltec-v3", provisioned_s=PROVISIONED_S,
            profiles=(node.profile.encode().hex(),),
        )  # fmt: skip
        add_life(folder / "keys.json", life)
        self.process = Process(folder, [])
        text = (
            self.process.config.read_text()
            .replace('"gw-test"', f'"{self.name}"')
            .replace("number = 1", f"number = {number}")
        )
        more = CONFIG.format(port=broker.port, ear=self.ear, eui=self._eui.hex(), answer=str(answer).lower())
        self.process.config.write_text(text + more)
        self.process.start()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def connect(self) -> None:
        wait_until(self.process.answers, 60, "the gateway answers")
        listen = wait_until(
            lambda: self._facts()["listen"] if self._facts()["listen"] != "127.0.0.1:0" else None,
            60,
            "the socket listens",
        )
        host, _, port = str(listen).rpartition(":")
        self.socket.connect((host, int(port)))
        self.socket.settimeout(POLL_S)
        self._say(PULL_DATA)
        wait_until(lambda: PULL_ACK in self.listen(), 60, "the gateway knows where to send to")

    def _facts(self) -> Any:
        (ear,) = self.process.ask("status")["lora"]["ears"]
        return ear

    @property
    def downlinks(self) -> dict[str, int]:
        return dict(self._facts()["downlinks"])

    def _say(self, kind: int, body: bytes = b"") -> None:
        self._token += 1
        self.socket.send(bytes((2, self._token >> 8, self._token & 255, kind)) + self._eui + body)

    def hear(self, frame: bytes) -> None:
        self._now_us = (self._now_us + FRAME_US) & 0xFFFF_FFFF
        packet = {
            "tmst": self._now_us, "freq": 868.1, "chan": 0, "rfch": 0, "stat": 1, "modu": "LORA", "datr": "SF9BW125",
            "codr": "4/5", "rssi": -95, "lsnr": self._snr_db, "size": len(frame), "data": b64encode(frame).decode(),
        }  # fmt: skip
        self._say(PUSH_DATA, json.dumps({"rxpk": [packet]}).encode())

    def listen(self) -> list[int]:
        """Kinds of all datagrams that have come; orders are kept and reported as sent."""
        kinds: list[int] = []
        while True:
            try:
                datagram = self.socket.recv(4096)
            except TimeoutError:
                return kinds
            kinds.append(datagram[3])
            if datagram[3] == PULL_RESP:
                self.orders.append(b64decode(json.loads(datagram[4:])["txpk"]["data"]))
                self.socket.send(bytes((2, datagram[1], datagram[2], TX_ACK)) + self._eui)

    def close(self) -> None:
        self.socket.close()
        if self.process.popen is not None and self.process.popen.poll() is None:
            self.process.kill()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    made.start()
    yield made
    made.kill()


def test_one_answers_and_the_city_has_one_record_with_all_that_heard_it(tmp_path: Path, broker: Mosquitto) -> None:
    node = FakeNode(7, link=LORA)
    consumer = Consumer(tmp_path, broker)
    sites = [Site(tmp_path / "a", 1, True, 8.0, broker, node), Site(tmp_path / "b", 2, False, -3.5, broker, node)]
    answering, listening = sites
    heard_by: dict[int, set[str]] = {}
    sealed: list[int] = []
    hearing: list[Site] = []

    def out(frame: bytes) -> None:
        for site in hearing:
            site.hear(bytes(frame))
            heard_by.setdefault(sealed[-1] if sealed else -1, set()).add(site.ear)

    def answered(orders: int) -> bool:
        listening.listen()
        answering.listen()
        return len(answering.orders) > orders

    node.out = out
    try:
        for site in sites:
            site.connect()
        hearing[:] = sites
        node.hello()
        wait_until(lambda: answered(0), 60, "the hello is answered")
        node.receive(answering.orders[-1])
        for at, only in enumerate((sites, [answering], sites, [listening], sites)):
            hearing[:] = only
            sealed.append(node.seal(W0 + at))
            orders = len(answering.orders)
            node.send(messages.RECORDS_ASK, encode_records(node.profile, [node.outbox[sealed[-1]]]))
            if answering in only:
                wait_until(lambda orders=orders: answered(orders), 60, "the ask is answered")  # type: ignore[misc]
                node.receive(answering.orders[-1])
        ids = [node.id_of(seq) for seq in sealed]
        wait_until(lambda: len(consumer.rows("SELECT * FROM heard")) >= 8, 60, "both have published what they heard")
        rows = consumer.rows("SELECT id, count(*), max(redelivered), max(changed) FROM records GROUP BY id ORDER BY id")
        assert rows == [(each, 1, 0, 0) for each in sorted(ids)], "one record each"
        heard = consumer.rows("SELECT id, gateway, ear, snr_db FROM heard")
        told = {"mast-1": ("gw-1", "mast-1", 8.0), "mast-2": ("gw-2", "mast-2", -3.5)}
        assert len(heard) == 8 and set(heard) == {
            (node.id_of(seq), *told[ear]) for seq in sealed for ear in heard_by[seq]
        }
        bodies = consumer.rows("SELECT body FROM records")
        assert all(json.loads(body)["values"] for (body,) in bodies)
        # Who listens has said nothing, to no node; and not been told to.
        listening.listen()
        assert listening.orders == [] and listening.downlinks == {}
        assert len(answering.orders) == answering.downlinks["sent"] >= 5
        assert node.outbox.keys() == {sealed[3]}, "what only the listening one heard is still the node's"
        status = listening.process.ask("status")
        assert status["lora"]["answers"] is False and status["problems"] == []
    finally:
        for site in sites:
            site.close()
        consumer.stop()
