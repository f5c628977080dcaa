"""Frames: what both ends share of them, and the node's half. The gateway's half is wire/frame_gateway.py.

All numbers are big endian. First byte: bit 7 set (text never begins so), bits 6-5 wire version modulo 4, bits 4-0 type.

Uplink:   first | address u16 | counter u16 (low bits; hello: all 32) | cipher text | tag
  nonce:  00 | address u16 | counter u32 | 00 * 6                              AAD: the header
Downlink: first | address u16 | gateway u16 | incarnation u32 | counter u32 | answered u16 (low) | cipher text | tag
  nonce:  first | address u16 | gateway u16 | incarnation u32 | counter u32    AAD: the header | answered u32

The tag is 4 bytes over LoRa and 8 over serial, 8 on every link for settings and commands. `answered` is the counter
of the uplink that a downlink answers: the node knows its own, so that a replayed downlink fails without storage.
"""

from collections import namedtuple

from wire.crypto import DOWN4, DOWN8, UP4, UP8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wire.crypto import Keys

VERSION = 1

SERIAL = 0
LORA = 1
PAYLOAD_MAX = (512, 222)  # by link: node RAM for one frame; the longest LoRa frame at data rates 4 and up
RECENT = 64  # how many of its last uplinks a node lets be answered

HELLO = 1  # the one type whose header differs: a gateway that just started has no counter to complete
DOWNLINK = 16  # types from here on travel to the node
STRONG = 22  # types from here on (settings, commands) have an 8-byte tag on every link

UPLINK_HEAD = 5
HELLO_HEAD = 7
DOWNLINK_HEAD = 15
FRAME_MAX = DOWNLINK_HEAD + 512 + 8  # longest frame on any link

Downlink = namedtuple("Downlink", ("type", "address", "gateway_id", "incarnation", "counter", "answered", "payload"))


def first_byte(version: int, message_type: int) -> int:
    """What a frame begins with."""
    return 0x80 | (version & 3) << 5 | message_type


def uplink_nonce(address: int, counter: int) -> bytes:
    """13 bytes, never the same twice under one key: a counter is used once."""
    return b"\0" + ((address << 32) | counter).to_bytes(6, "big") + bytes(6)


def seal_uplink(
    keys: "Keys", link: int, address: int, counter: int, message_type: int, payload: "bytes | bytearray"
) -> bytearray:
    """The frame of one uplink message. `counter` must never have been used before under these keys.

    ValueError if a field or the payload's length is out of range.
    """
    if not 0 < message_type < DOWNLINK or not 0 <= address <= 0xFFFF or not 0 <= counter <= 0xFFFFFFFF:
        raise ValueError("frame")
    if len(payload) > PAYLOAD_MAX[link]:
        raise ValueError("payload")
    head = bytearray(HELLO_HEAD if message_type == HELLO else UPLINK_HEAD)
    head[0] = first_byte(VERSION, message_type)
    head[1] = address >> 8
    head[2] = address & 255
    head[3:] = counter.to_bytes(4, "big") if message_type == HELLO else (counter & 0xFFFF).to_bytes(2, "big")
    return keys.seal(UP4 if link == LORA else UP8, uplink_nonce(address, counter), head, b"", payload)


def open_downlink(
    keys: "Keys", link: int, frame: "bytes | bytearray", recent_counters: "Iterable[int]", address: "int | None" = None
) -> "Downlink | str":
    """The message for this node, or the reason why there is none: `version` `type` `short` `address` `answer` `tag`.

    `recent_counters` are the counters of the uplinks of this boot that may still be answered (`RECENT` at most).
    The caller refuses what is not above the last (incarnation, counter) of that gateway.
    """
    if not frame or frame[0] & 0xE0 != 0x80 | (VERSION & 3) << 5:
        return "version"
    message_type = frame[0] & 31
    if message_type < DOWNLINK:
        return "type"
    strong = link != LORA or message_type >= STRONG
    if len(frame) < DOWNLINK_HEAD + (8 if strong else 4):
        return "short"
    to = frame[1] << 8 | frame[2]
    if address is not None and to != address:
        return "address"
    low = frame[13] << 8 | frame[14]
    for answered in recent_counters:
        if answered & 0xFFFF == low:
            break
    else:
        return "answer"
    head = bytes(frame[:DOWNLINK_HEAD])
    payload = keys.open(DOWN8 if strong else DOWN4, head[:13], head, answered.to_bytes(4, "big"), frame)
    if payload is None:
        return "tag"
    return Downlink(
        message_type,
        to,
        frame[3] << 8 | frame[4],
        int.from_bytes(head[5:9], "big"),
        int.from_bytes(head[9:13], "big"),
        answered,
        payload,
    )
