"""The bridge protocol: every message there and back, and nothing else taken for one."""

import random
import re
from pathlib import Path

import pytest

from wire import WireError, bridge
from wire.frame import DOWNLINK
from wire.names import MESSAGES

SAMPLES = (
    (bridge.UP, bridge.Heard(0xFFFFFFFF, 0, 868_100_000, 7, -137, -80, -141, -3200, b"\x82frame")),
    (bridge.UP, bridge.Heard(5, 9, 869_525_000, 12, 12, 52, -3, None, bytes(255))),
    (bridge.UP, bridge.Sent(65535, bridge.LATE, 0x80000000)),
    (bridge.UP, bridge.Status(1, 2, 0x010203, 1, bridge.RADIO_LISTENS, 868_100_000, 9, 3, 4, 5, 6, 7, 1000)),
    (bridge.DOWN, bridge.Transmit(7, 0xFFFFFFFF, 869_525_000, 12, -9, 1, b"\x90")),
    (bridge.DOWN, bridge.Tune(868_100_000, 9)),
    (bridge.DOWN, bridge.AskStatus()),
)


@pytest.mark.parametrize(("first", "message"), SAMPLES)
def test_there_and_back(first, message) -> None:
    data = bridge.encode(message)
    assert data[0] == first
    assert bridge.decode(data, first) == message
    other = bridge.UP if first == bridge.DOWN else bridge.DOWN
    with pytest.raises(WireError, match="type"):
        bridge.decode(data, other)


@pytest.mark.parametrize(("first", "message"), SAMPLES)
def test_cut_off_or_longer_is_refused(first, message) -> None:
    data = bytes(bridge.encode(message))
    with_frame = "frame" in message._fields
    for size in range(len(data)):
        if with_frame and len(data) - len(message.frame) < size:
            assert bridge.decode(data[:size], first).frame == message.frame[: size - len(data)]
            continue
        with pytest.raises(WireError, match="short"):
            bridge.decode(data[:size], first)
    with pytest.raises(WireError, match="long"):
        bridge.decode(data + bytes(256 if with_frame else 1), first)


def test_out_of_range_is_refused_both_ways() -> None:
    for message in (
        bridge.Tune(868_100_000, 6),
        bridge.Tune(2_400_000_000, 7),
        bridge.Transmit(0, 0, 869_525_000, 9, 23, 1, b"x"),
        bridge.Transmit(0, 0, 869_525_000, 9, 14, 2, b"x"),
        bridge.Transmit(0, 0, 869_525_000, 9, 14, 1, b""),
        bridge.Transmit(0, 0, 869_525_000, 9, 14, 1, bytes(256)),
        bridge.Transmit(0, 1 << 32, 869_525_000, 9, 14, 1, b"x"),
    ):
        with pytest.raises(ValueError, match=r"range|frame"):
            bridge.encode(message)
    data = bridge.encode(bridge.Tune(868_100_000, 7))
    data[-1] = 13
    with pytest.raises(WireError, match="range"):
        bridge.decode(data, bridge.DOWN)


def test_no_type_of_a_node_is_taken() -> None:
    assert bridge.TO_GATEWAY < DOWNLINK <= bridge.TO_BRIDGE < 32
    assert not {bridge.TO_GATEWAY, bridge.TO_BRIDGE} & set(MESSAGES)


def test_the_document_names_every_field_with_its_size() -> None:
    text = (Path(__file__).parents[2] / "docs" / "lora-gateway.md").read_text(encoding="utf-8")
    for first, kind, cls, with_frame, fields in bridge.TABLE:
        (row,) = [line for line in text.splitlines() if f"| {first:02X} {kind:02X} |" in line]
        names = re.findall(r"`(\w+)`", row)
        assert tuple(names) == cls._fields
        sizes = [int(size) for size in re.findall(r"`\w+` (\d)", row)]
        assert sizes == [spec[0] for spec in fields]
        assert row.rstrip(" |").endswith("to the end") == bool(with_frame)


def test_any_bytes_are_a_message_or_a_named_reason() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        first = chance.choice((bridge.UP, bridge.DOWN))
        data = bytes((first, chance.randrange(5))) + chance.randbytes(chance.randrange(60))
        reason = ""
        try:
            message = bridge.decode(data, first)
        except WireError as error:
            reason = error.reason
        else:
            assert bytes(bridge.encode(message)) == data
        assert reason in ("", "short", "long", "type", "range", "version")
