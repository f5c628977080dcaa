"""A bridge in the monitor: what it heard, without keys and with them, in both languages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.keys import Life
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S
from tools.monitor_bridge import BridgeDecoder, bridge_lines, is_bridge
from tools.monitor_words import WORDS
from wire import bridge, messages
from wire.frame import LORA
from wire.frame_gateway import seal_downlink
from wire.records import encode_records

W0 = START_S // 60


def heard(frame: bytes, snr_qdb: int = 26) -> bytes:
    return bytes(bridge.encode(bridge.Heard(5, 9, 868_100_000, 9, -97, snr_qdb, -98, -1200, frame)))


def node_and_frame() -> tuple[FakeNode, bytes]:
    node = FakeNode(7, link=LORA)
    node.counter = 300
    node.seal(W0, (123, 456, 2150, 4500))
    node.send(messages.RECORDS_ASK, encode_records(node.profile, list(node.outbox.values())))
    return node, node.last_frame


def lives(node: FakeNode) -> list[Life]:
    return [
        Life(address=7, key=node.key, board="heltec-v3", provisioned_s=START_S, profiles=(node.profile.encode().hex(),))
    ]


def test_without_keys_the_signal_and_what_is_clear_are_shown() -> None:
    _, frame = node_and_frame()
    data = heard(frame)
    assert is_bridge(data)
    item = BridgeDecoder([]).decode(data)
    assert item == {
        "bridge": "heard", "mhz": 868.1, "sf": 9, "rssi_dbm": -97, "snr_db": 6.5, "signal_dbm": -98, "freq_error_hz": -1200,
        "counter": 300, "ok": False, "direction": "up", "type": "records, answer wanted", "node": 7, "bytes": len(frame),
        "reason": "no keys",
    }  # fmt: skip
    (line,) = bridge_lines(item)
    for part in ("SF9", "868.1 MHz", "-97 dBm", "6.5 dB", "node 7", "records", "#300", "no keys"):
        assert part in line
    assert "keine Schlüssel" in "".join(bridge_lines(item, "de"))


def test_with_keys_values_are_shown_as_of_a_wire() -> None:
    node, frame = node_and_frame()
    item = BridgeDecoder(lives(node)).decode(heard(frame, -30))
    assert item["ok"]
    assert (item["counter"], item["snr_db"]) == (300, -7.5)
    assert item["records"][0]["values"]["pm2_5"] == {"v": 12.3, "u": "ug/m3"}
    (line,) = bridge_lines(item)
    assert "pm2_5 12.3 µg/m³" in line
    assert "-7.5 dB" in line
    json.dumps(item)


def test_a_key_that_does_not_fit_and_foreign_frames_are_told_apart() -> None:
    node, frame = node_and_frame()
    wrong = [Life(address=7, key=bytes(16), board="", provisioned_s=START_S)]
    assert BridgeDecoder(wrong).decode(heard(frame))["reason"] == "tag"
    item = BridgeDecoder(lives(node)).decode(heard(b"\x40" + bytes(20)))  # LoRaWAN
    assert item["foreign"]
    assert "21 bytes of another protocol" in "".join(bridge_lines(item))
    assert "eines anderen Protokolls" in "".join(bridge_lines(item, "de"))


def test_answers_orders_and_states_are_shown() -> None:
    node, frame = node_and_frame()
    decoder = BridgeDecoder(lives(node))
    decoder.decode(heard(frame))
    code, payload = messages.encode(messages.Ack(1, 0, 0))
    answer = seal_downlink(node.keys, LORA, 7, 1, 5, 0, 300, code, payload)
    item = decoder.decode(bytes(bridge.encode(bridge.Transmit(4, 1, 869_525_000, 9, 14, 1, answer))))
    assert (item["ok"], item["type"], item["answers"], item["power_dbm"]) == (True, "ack", 300, 14)
    assert "869.525 MHz" in "".join(bridge_lines(item))
    shown: list[Any] = [
        (bridge.Sent(4, bridge.DONE, 1), "answer #4: sent"),
        (bridge.Sent(5, bridge.LATE, 1), "its time was over"),
        (
            bridge.Status(1, 2, 3, 1, bridge.RADIO_LISTENS, 868_100_000, 9, 4, 5, 6, 7, 8, 9),
            "sx1262 listens, 868.1 MHz SF9",
        ),
        (bridge.Tune(868_100_000, 7), "listen at 868.1 MHz SF7"),
        # numbers that this program has no word for
        (bridge.Sent(6, 200, 1), "answer #6: 200"),
        (bridge.Status(1, 2, 3, 9, 7, 868_100_000, 9, 4, 5, 6, 7, 8, 9), "9 7, 868.1 MHz SF9"),
    ]
    for message, text in shown:
        item = decoder.decode(bytes(bridge.encode(message)))
        assert text in "".join(bridge_lines(item))
        assert "".join(bridge_lines(item, "de"))
        json.dumps(item)
    assert list(bridge_lines(decoder.decode(bytes(bridge.encode(bridge.AskStatus()))))) == []


@pytest.mark.parametrize("data", [b"\xaf\x01", b"\xaf\x09\x00", b"\xbf\x01\x00"])
def test_damage_is_named_and_never_raises(data: bytes) -> None:
    assert is_bridge(data)
    item = BridgeDecoder([]).decode(data)
    assert not item["ok"]
    assert "not opened" in "".join(bridge_lines(item))


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["en"].keys() == WORDS["de"].keys()
