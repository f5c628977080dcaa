"""A real gateway process, a forwarder client that others wrote, real UDP: a hello goes in, its answer comes out."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Life, add_life
from tests.fakes.node import FakeNode
from tests.gateway.test_gateway_process import PROVISIONED_S, Process
from tests.waiting import wait_until
from wire import messages
from wire.frame import LORA

EUI = "aa555a0000000101"
TABLE = f"""
[[forwarder]]
name = "tower"
eui = "{EUI}"
address = "127.0.0.1"
listen = "127.0.0.1:0"
"""


@pytest.mark.slow
def test_a_hello_by_a_concentrator_is_answered_in_its_window(tmp_path: Path) -> None:
    theirs = pytest.importorskip("pamoja.gateway")
    lora = pytest.importorskip("pamoja.lora")
    node = FakeNode(7, link=LORA)
    life = Life(address=7, key=node.key, board="heltec-v3", provisioned_s=PROVISIONED_S, profiles=())
    add_life(tmp_path / "keys.json", life)
    process = Process(tmp_path, [])
    process.config.write_text(process.config.read_text() + TABLE)
    sent: list[bytes] = []
    node.out = sent.append
    process.start()
    try:
        wait_until(process.answers, 60, "the gateway answers")

        def ear() -> Any:
            (found,) = process.ask("status")["lora"]["ears"]
            return found if found["listen"] != "127.0.0.1:0" else None

        listen = wait_until(ear, 60, "the socket listens")["listen"]  # type: ignore[index]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            host, _, port = listen.rpartition(":")
            client.connect((host, int(port)))

            def say(packet: Any) -> Any:
                client.send(theirs.encode(packet))
                return theirs.parse(client.recv(4096))

            kinds = theirs.PacketKind
            assert say(theirs.Packet(kinds.PULL_DATA, 1, gateway=EUI)).kind == "PullAck"
            node.hello()
            heard = theirs.Rxpk(
                868_100_000, bytes(sent[0]), link=lora.link(9, 125_000), rssi_dbm=-90.0, snr_db=8.0, timestamp_us=4_294_000_000
            )  # fmt: skip
            assert say(theirs.Packet(kinds.PUSH_DATA, 2, gateway=EUI, packets=[heard])).kind == "PushAck"
            order = theirs.parse(client.recv(4096))
            assert order.kind == "PullResp"
            assert order.transmit.timestamp_us == 4_295_000_000 - (1 << 32)
            done = theirs.Packet(kinds.TX_ACK, order.token, gateway=EUI, tx_status=theirs.TxStatus.NONE)
            client.send(theirs.encode(done))
        node.receive(bytes(order.transmit.payload))
        assert [downlink.type for downlink in node.downlinks] == [messages.ACK_TIME]
        wait_until(lambda: ear()["downlinks"] == {"sent": 1}, 60, "the answer counts as sent")
        status = process.ask("status")
        assert status["accepted_frames"] == 1 and status["lora"]["ears"][0]["state"] == "open"
        assert (process.data / "duty-tower").exists()
    finally:
        process.kill()
