"""MicroPython's cryptolib over `cryptography`: ECB (1) and CBC (2)."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class aes:
    def __init__(self, key, mode, iv=None):
        if mode not in (1, 2):
            raise ValueError("mode")
        cipher = Cipher(algorithms.AES(bytes(key)), modes.ECB() if mode == 1 else modes.CBC(bytes(iv)))
        self._encryptor, self._decryptor = cipher.encryptor(), cipher.decryptor()

    def _put(self, out, into):
        if into is None:
            return out
        into[: len(out)] = out
        return None

    def encrypt(self, data, into=None):
        return self._put(self._encryptor.update(bytes(data)), into)

    def decrypt(self, data, into=None):
        return self._put(self._decryptor.update(bytes(data)), into)
