"""The gateway's half of wire/frame.py. Not shipped to boards."""

from collections.abc import Mapping
from typing import NamedTuple

from wire.crypto import DOWN4, DOWN8, UP4, UP8, Keys
from wire.frame import (
    DOWNLINK,
    HELLO,
    HELLO_HEAD,
    LORA,
    PAYLOAD_MAX,
    STRONG,
    UPLINK_HEAD,
    VERSION,
    first_byte,
    uplink_nonce,
)


def versions_read(current: int) -> dict[int, int]:
    """Wire versions that a gateway reads, by the two bits that travel: `current` and, from 2 on, the one before it.

    A node that has not been updated yet keeps delivering, and is answered in its own version.
    """
    return {version & 3: version for version in (current - 1, current) if version > 0}


READS: Mapping[int, int] = versions_read(VERSION)


class UplinkHeader(NamedTuple):
    """The clear part of an uplink. `counter` has its low 16 bits only, unless `full`."""

    version: int
    type: int
    address: int
    counter: int
    full: bool
    length: int  # of the header, in bytes


def parse_uplink_header(frame: bytes | bytearray) -> UplinkHeader | str:
    """The header, or the reason why there is none: `short` `version` `type`. Nothing of it is authentic yet."""
    if not frame:
        return "short"
    version = READS.get(frame[0] >> 5 & 3)
    if frame[0] < 0x80 or version is None:
        return "version"
    message_type = frame[0] & 31
    if not 0 < message_type < DOWNLINK:
        return "type"
    full = message_type == HELLO
    length = HELLO_HEAD if full else UPLINK_HEAD
    if len(frame) < length + 4:  # the shortest tag
        return "short"
    address = frame[1] << 8 | frame[2]
    return UplinkHeader(version, message_type, address, int.from_bytes(frame[3:length], "big"), full, length)


def guess_counter(low: int, highest: int) -> int:
    """The 32-bit counter with these low 16 bits that lies nearest to the highest one accepted so far."""
    counter = highest + ((low - highest + 0x8000) & 0xFFFF) - 0x8000
    if counter < 0:
        counter += 0x10000
    elif counter > 0xFFFFFFFF:
        counter -= 0x10000
    return counter


def open_uplink(
    keys: Keys, link: int, frame: bytes | bytearray, counter: int, parsed: UplinkHeader | None = None
) -> bytes | None:
    """The payload, or None if the frame is not authentic under these keys and this full counter.

    `parsed` is the header of this very frame, for a caller that has it.
    """
    header = parsed or parse_uplink_header(frame)
    if isinstance(header, str) or not 0 <= counter <= 0xFFFFFFFF:
        return None
    if counter != header.counter if header.full else counter & 0xFFFF != header.counter:
        return None
    nonce = uplink_nonce(header.address, counter)
    payload: bytes | None = keys.open(
        UP4 if link == LORA else UP8, nonce, bytes(frame[: header.length]), b"", bytes(frame)
    )
    return payload


def seal_downlink(
    keys: Keys,
    link: int,
    address: int,
    gateway_id: int,
    incarnation: int,
    counter: int,
    answered: int,
    message_type: int,
    payload: bytes | bytearray,
    version: int = VERSION,
) -> bytes:
    """The frame of one downlink message that answers the uplink with the full counter `answered`.

    `incarnation` is random at each start of the gateway, `counter` never repeats within it. `version` is the one the
    node speaks. ValueError if a field or the payload's length is out of range.
    """
    if not DOWNLINK <= message_type < 32 or version not in READS.values():
        raise ValueError("type")
    if len(payload) > PAYLOAD_MAX[link]:
        raise ValueError("payload")
    try:
        head = (
            bytes((first_byte(version, message_type),))
            + address.to_bytes(2, "big")
            + gateway_id.to_bytes(2, "big")
            + incarnation.to_bytes(4, "big")
            + counter.to_bytes(4, "big")
        )
        full = answered.to_bytes(4, "big")
    except OverflowError as error:
        raise ValueError("frame") from error
    strong = link != LORA or message_type >= STRONG
    return bytes(keys.seal(DOWN8 if strong else DOWN4, head, head + full[2:], full, payload))
