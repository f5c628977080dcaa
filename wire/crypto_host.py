"""AES and CCM from `cryptography`, for the hosts. Never shipped to a board."""

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM
except ImportError:  # an interpreter without either library: its user gives Keys a block cipher
    AEAD = None
    new_ecb = None
else:

    def new_ecb(key: bytes):  # type: ignore[no-untyped-def]
        """Single-block encryption under `key`, as wire.crypto wants it."""
        update = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update

        def ecb(source: bytes, target: bytearray) -> None:
            target[:] = update(bytes(source))

        return ecb

    class AEAD:  # type: ignore[no-redef]
        """AES-CCM with one key and tag length; `decrypt` gives None instead of raising."""

        def __init__(self, key: bytes, tag_len: int) -> None:
            self._ccm = AESCCM(key, tag_len)
            self.encrypt = self._ccm.encrypt
            self._tag_len = tag_len

        def decrypt(self, nonce: bytes, sealed: bytes, aad: bytes) -> "bytes | None":
            """The plain text, or None if the tag does not fit."""
            if len(sealed) < self._tag_len:
                return None
            try:
                return self._ccm.decrypt(nonce, sealed, aad)
            except InvalidTag:
                return None
