"""AES-128-CCM (RFC 3610) built from single-block AES, and the subkeys of a node.

`ecb(source, target)` encrypts one 16-byte block; both may be the same buffer. On the node it comes from cryptolib,
which has ECB and CBC only. A subkey is AES(K, label), one for each direction and tag length, so that no tag of one
kind can ever be tried as another.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Bytes = bytes | bytearray
    Ecb = Callable[[Bytes, bytearray], object]

AEAD: "Any" = None
try:
    from cryptolib import aes
except ImportError:  # a host
    from wire.crypto_host import AEAD, new_ecb
else:

    def new_ecb(key: bytes) -> "Any":
        """Single-block encryption under `key`: an `Ecb`."""
        return aes(key, 1).encrypt


UP4, UP8, DOWN4, DOWN8 = range(4)
_LABELS = (b"steiger up tag4\0", b"steiger up tag8\0", b"steiger dn tag4\0", b"steiger dn tag8\0")
TAG_LEN = (4, 8, 4, 8)


def crypt_in_place(
    ecb: "Ecb", nonce: "Bytes", aad: "Bytes", buf: bytearray, start: int, end: int, tag_len: int, seal: bool
) -> bytes:
    """Encrypt (`seal`) or decrypt buf[start:end] where it lies; return the tag of the plain text.

    Allocates three blocks and the tag. RFC 3610: section 2.2 (MAC) and 2.3 (counter mode); the length field takes
    what the nonce leaves of 15 bytes. `aad` must be shorter than 0xFF00 bytes.
    """
    mac = bytearray(16)
    counter = bytearray(16)
    stream = bytearray(16)
    n = len(nonce)
    size = end - start
    mac[0] = (64 if aad else 0) | (tag_len - 2) << 2 | 14 - n
    mac[1 : n + 1] = nonce
    mac[14] |= size >> 8
    mac[15] |= size & 255
    ecb(mac, mac)
    if aad:
        length = len(aad)
        mac[0] ^= length >> 8
        mac[1] ^= length & 255
        at = 2
        for byte in aad:
            if at == 16:
                ecb(mac, mac)
                at = 0
            mac[at] ^= byte
            at += 1
        ecb(mac, mac)
    counter[0] = 14 - n
    counter[1 : n + 1] = nonce
    block = 0
    while start < end:
        block += 1
        counter[14] = block >> 8
        counter[15] = block & 255
        ecb(counter, stream)
        size = 16 if end - start > 16 else end - start
        for i in range(size):
            byte = buf[start]
            other = byte ^ stream[i]
            buf[start] = other
            mac[i] ^= byte if seal else other
            start += 1
        ecb(mac, mac)
    counter[14] = counter[15] = 0
    ecb(counter, stream)
    for i in range(tag_len):
        mac[i] ^= stream[i]
    return bytes(mac[:tag_len])


def ccm_seal(ecb: "Ecb", nonce: "Bytes", aad: "Bytes", payload: bytes, tag_len: int) -> bytes:
    """Cipher text followed by the tag."""
    buf = bytearray(payload)
    tag = crypt_in_place(ecb, nonce, aad, buf, 0, len(buf), tag_len, True)
    return bytes(buf) + tag


def ccm_open(ecb: "Ecb", nonce: "Bytes", aad: "Bytes", sealed: bytes, tag_len: int) -> "bytes | None":
    """The plain text, or None if the tag does not fit. Compares all of the tag whatever its first bytes are."""
    end = len(sealed) - tag_len
    if end < 0:
        return None
    buf = bytearray(sealed)
    tag = crypt_in_place(ecb, nonce, aad, buf, 0, end, tag_len, False)
    differs = 0
    for i in range(tag_len):
        differs |= tag[i] ^ buf[end + i]
    return None if differs else bytes(buf[:end])


class Keys:
    """What a node's key opens and seals. `life` is the number of the life that the key began. Never printed.

    `which` is one of UP4 UP8 DOWN4 DOWN8. `ecb` makes a block cipher of a key where the interpreter has none.
    """

    def __init__(self, key: bytes, ecb: "Callable[[bytes], Ecb] | None" = None) -> None:  # seldom
        if len(key) != 16:
            raise ValueError("key")
        self._new_ecb = ecb or new_ecb
        self._aead = None if ecb else AEAD
        self._root = self._new_ecb(key)
        self._ciphers: "list[Any]" = [None, None, None, None]
        self.life = int.from_bytes(self._derive(b"steiger life\0\0\0\0")[:4], "big")

    def _derive(self, label: bytes) -> bytes:
        out = bytearray(16)
        self._root(label, out)
        return bytes(out)

    def _cipher(self, which: int) -> "Any":
        return self._ciphers[which] or self._make_cipher(which)

    def _make_cipher(self, which: int) -> "Any":  # seldom
        """Made at first use: a node on a cable never needs the 4-byte pair."""
        subkey = self._derive(_LABELS[which])
        cipher = self._aead(subkey, TAG_LEN[which]) if self._aead else self._new_ecb(subkey)
        self._ciphers[which] = cipher
        return cipher

    def seal(self, which: int, nonce: bytes, head: "Bytes", aad: bytes, payload: "Bytes") -> bytearray:
        """The frame: `head`, cipher text, tag. `head` and `aad` are authenticated, `head` is sent in clear."""
        cipher = self._cipher(which)
        if self._aead:
            return bytearray(head + cipher.encrypt(nonce, payload, head + aad))
        start = len(head)
        end = start + len(payload)
        frame = bytearray(end + TAG_LEN[which])
        frame[:start] = head
        frame[start:end] = payload
        frame[end:] = crypt_in_place(cipher, nonce, head + aad, frame, start, end, TAG_LEN[which], True)
        return frame

    def open(self, which: int, nonce: bytes, head: bytes, aad: bytes, frame: "Bytes") -> "bytes | None":
        """The payload of the frame that begins with `head`, or None if it is not authentic."""
        cipher = self._cipher(which)
        sealed = bytes(frame[len(head) :])
        opened: "bytes | None"
        if self._aead:
            opened = cipher.decrypt(nonce, sealed, head + aad)
        else:
            opened = ccm_open(cipher, nonce, head + aad, sealed, TAG_LEN[which])
        return opened


def subkeys(key: bytes) -> Keys:
    """The keys derived from a node's 16-byte key; ValueError if it has another length."""
    return Keys(key)
