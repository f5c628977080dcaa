"""Frames against the layout as the documentation states it, put together here by other means."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from wire import crypto, frame, messages
from wire import frame_gateway as gateway

KEY = bytes(range(16))
KEYS = crypto.subkeys(KEY)


def _aes(block: bytes) -> bytes:
    return Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update(block)


def test_the_key_tells_the_life() -> None:
    assert KEYS.life == int.from_bytes(_aes(b"steiger life\0\0\0\0")[:4], "big")
    assert crypto.subkeys(bytes(16)).life != KEYS.life


@pytest.mark.parametrize(("link", "tag", "label"), [(frame.LORA, 4, b"up tag4"), (frame.SERIAL, 8, b"up tag8")])
def test_uplink_layout(link: int, tag: int, label: bytes) -> None:
    head = bytes((0x80 | 1 << 5 | messages.RECORDS, 0x12, 0x34, 0xCD, 0xEF))
    nonce = b"\0" + b"\x12\x34" + b"\0\xab\xcd\xef" + bytes(6)
    sealed = AESCCM(_aes(b"steiger " + label + b"\0"), tag).encrypt(nonce, b"payload", head)
    assert frame.seal_uplink(KEYS, link, 0x1234, 0xABCDEF, messages.RECORDS, b"payload") == head + sealed
    assert gateway.open_uplink(KEYS, link, head + sealed, 0xABCDEF) == b"payload"


def test_hello_carries_the_full_counter() -> None:
    head = bytes((0x80 | 1 << 5 | messages.HELLO, 0, 5)) + b"\x01\x02\x03\x04"
    nonce = b"\0\0\x05\x01\x02\x03\x04" + bytes(6)
    sealed = AESCCM(_aes(b"steiger up tag4\0"), 4).encrypt(nonce, b"hello", head)
    assert frame.seal_uplink(KEYS, frame.LORA, 5, 0x01020304, messages.HELLO, b"hello") == head + sealed
    assert gateway.parse_uplink_header(head + sealed) == (1, messages.HELLO, 5, 0x01020304, True, 7)


@pytest.mark.parametrize(
    ("link", "code", "tag", "label"),
    [
        (frame.LORA, messages.ACK, 4, b"dn tag4"),
        (frame.SERIAL, messages.ACK, 8, b"dn tag8"),
        (frame.LORA, messages.SET_SETTING, 8, b"dn tag8"),
        (frame.LORA, messages.COMMAND, 8, b"dn tag8"),
    ],
)
def test_downlink_layout(link: int, code: int, tag: int, label: bytes) -> None:
    nonce = bytes((0x80 | 1 << 5 | code, 0x12, 0x34, 0, 7)) + b"\xde\xad\xbe\xef" + b"\0\0\0\x05"
    head = nonce + b"\xcd\xef"
    sealed = AESCCM(_aes(b"steiger " + label + b"\0"), tag).encrypt(nonce, b"payload", head + b"\0\xab\xcd\xef")
    sent = gateway.seal_downlink(KEYS, link, 0x1234, 7, 0xDEADBEEF, 5, 0xABCDEF, code, b"payload")
    assert sent == head + sealed


def test_frames_over_lora_have_nine_bytes_around_the_payload() -> None:
    for size in (0, 1, 222):
        assert len(frame.seal_uplink(KEYS, frame.LORA, 1, 1, messages.RECORDS, bytes(size))) == size + 9
    assert len(gateway.seal_downlink(KEYS, frame.LORA, 1, 1, 1, 1, 1, messages.COMMAND, bytes(222))) <= 255


def test_each_counter_gives_another_frame_for_the_same_payload() -> None:
    frames = {bytes(frame.seal_uplink(KEYS, frame.LORA, 1, n << 16, messages.GAP, bytes(20))) for n in range(100)}
    assert len({one[5:] for one in frames}) == 100


def test_two_gateways_from_one_copied_directory_share_no_nonce() -> None:
    """Same gateway id, same counter, same answer: the incarnation, random at each start, parts them."""
    one = gateway.seal_downlink(KEYS, frame.SERIAL, 1, 7, 0x11111111, 1, 9, messages.ACK, bytes(8))
    two = gateway.seal_downlink(KEYS, frame.SERIAL, 1, 7, 0x22222222, 1, 9, messages.ACK, bytes(8))
    assert one[15:23] != two[15:23]


def test_a_replayed_downlink_fails_without_storage() -> None:
    """After a reboot the node's counters are others, though their low halves come again."""
    sent = gateway.seal_downlink(KEYS, frame.SERIAL, 1, 7, 5, 1, 0x00010005, messages.COMMAND, bytes(8))
    assert not isinstance(frame.open_downlink(KEYS, frame.SERIAL, sent, [0x00010005], 1), str)
    assert frame.open_downlink(KEYS, frame.SERIAL, sent, [0x00020005], 1) == "tag"
    assert frame.open_downlink(KEYS, frame.SERIAL, sent, [0x00010006], 1) == "answer"


def test_a_gateway_reads_its_own_version_and_the_one_before() -> None:
    assert gateway.versions_read(1) == {1: 1}
    assert gateway.versions_read(2) == {1: 1, 2: 2}
    assert gateway.versions_read(4) == {3: 3, 0: 4}  # two bits travel
    assert gateway.versions_read(5) == {0: 4, 1: 5}


def test_an_old_node_is_read_and_answered_in_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    old = bytes(frame.seal_uplink(KEYS, frame.SERIAL, 1, 1, messages.GAP, b"payload"))
    monkeypatch.setattr(gateway, "READS", gateway.versions_read(2))
    header = gateway.parse_uplink_header(old)
    assert isinstance(header, gateway.UplinkHeader)
    assert header.version == 1
    answer = gateway.seal_downlink(KEYS, frame.SERIAL, 1, 7, 5, 1, 1, messages.ACK, b"ack.", header.version)
    assert not isinstance(frame.open_downlink(KEYS, frame.SERIAL, answer, [1], 1), str)
    monkeypatch.setattr(gateway, "READS", gateway.versions_read(3))
    assert gateway.parse_uplink_header(old) == "version"
    assert gateway.open_uplink(KEYS, frame.SERIAL, old, 1) is None


def test_downlinks_refuse_fields_out_of_range() -> None:
    good = (1, 7, 5, 1, 9)
    for place, wrong in ((0, 65536), (0, -1), (1, 65536), (2, 2**32), (3, 2**32), (4, 2**32)):
        values = [*good[:place], wrong, *good[place + 1 :]]
        with pytest.raises(ValueError, match="frame"):
            gateway.seal_downlink(KEYS, frame.SERIAL, *values, messages.ACK, b"")
    for code in (messages.GAP, 32):
        with pytest.raises(ValueError, match="type"):
            gateway.seal_downlink(KEYS, frame.SERIAL, *good, code, b"")
    with pytest.raises(ValueError, match="type"):
        gateway.seal_downlink(KEYS, frame.SERIAL, *good, messages.ACK, b"", 7)
    with pytest.raises(ValueError, match="payload"):
        gateway.seal_downlink(KEYS, frame.SERIAL, *good, messages.ACK, bytes(513))
