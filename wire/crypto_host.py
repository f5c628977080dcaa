"""AES and CCM from `cryptography`, for the hosts. Never shipped to a board."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    AVAILABLE = True
except ImportError:  # an interpreter without either library: its user gives Keys a block cipher
    AVAILABLE = False


class _Aead:
    """AES-CCM with one key and tag length; `decrypt` gives None instead of raising."""

    def __init__(self, key: bytes, tag_len: int) -> None:
        self._ccm = AESCCM(key, tag_len)
        self._tag_len = tag_len
        self.encrypt = self._ccm.encrypt

    def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> "bytes | None":
        """The plain text, or None if the tag does not fit."""
        if len(sealed) < self._tag_len:
            return None
        try:
            return self._ccm.decrypt(nonce, sealed, aad)
        except InvalidTag:
            return None


AEAD: "Any" = _Aead if AVAILABLE else None


def new_ecb(key: bytes) -> "Any":
    """Single-block encryption under `key`, as wire.crypto wants it."""
    update = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305  one block at a time: CCM is made of it

    def ecb(source: bytes, target: bytearray) -> None:
        target[:] = update(bytes(source))

    return ecb
