"""CCM of single blocks against `cryptography`, on every interpreter."""

import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tests.wire import interpreters
from wire import crypto, crypto_host

RANDOM_CASES = 10_000


def _random_case(rng: random.Random) -> tuple[bytes, bytes, bytes, bytes]:
    return rng.randbytes(16), rng.randbytes(13), rng.randbytes(rng.randrange(40)), rng.randbytes(rng.randrange(64))


def test_ten_thousand_random_cases_with_4_byte_tags() -> None:
    rng = random.Random(3610)
    for _ in range(RANDOM_CASES):
        key, nonce, aad, payload = _random_case(rng)
        ecb = crypto_host.new_ecb(key)
        sealed = crypto.ccm_seal(ecb, nonce, aad, payload, 4)
        assert sealed == AESCCM(key, 4).encrypt(nonce, payload, aad)
        assert crypto.ccm_open(ecb, nonce, aad, sealed, 4) == payload


@pytest.mark.parametrize("interpreter", [interpreters.on_unix_port, interpreters.on_wasm])
def test_random_cases_on_the_node_s_interpreters(interpreter, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(1)
    cases = []
    for turn in range(200 if interpreter is interpreters.on_unix_port else 40):
        key, nonce, aad, payload = _random_case(rng)
        tag_len = 4 if turn % 4 else 8
        sealed = AESCCM(key, tag_len).encrypt(nonce, payload, aad).hex()
        inputs = [key.hex(), nonce.hex(), aad.hex()]
        cases.append({"do": "ccm_seal", "with": [*inputs, payload.hex(), tag_len], "gives": sealed})
        cases.append({"do": "ccm_open", "with": [*inputs, sealed, tag_len], "gives": payload.hex()})
        broken = bytearray.fromhex(sealed)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        cases.append({"do": "ccm_open", "with": [*inputs, broken.hex(), tag_len], "gives": None})
    lines = interpreter(tmp_path, "run_vectors.py", {"random.json": json.dumps({"cases": cases})})
    assert interpreters.summary(lines)["ran"] == len(cases)


def test_long_associated_data_and_payload() -> None:
    for size in (255, 256, 512, 1023):
        key, nonce, aad, payload = bytes(16), bytes(13), bytes(size), bytes(size)
        sealed = crypto.ccm_seal(crypto_host.new_ecb(key), nonce, aad, payload, 8)
        assert sealed == AESCCM(key, 8).encrypt(nonce, payload, aad)


def test_keys_seal_the_same_with_and_without_the_library() -> None:
    key = bytes(range(16))
    fast, slow = crypto.Keys(key), crypto.Keys(key, crypto_host.new_ecb)
    assert fast.life == slow.life
    seen = set()
    for which in (crypto.UP4, crypto.UP8, crypto.DOWN4, crypto.DOWN8):
        frame = fast.seal(which, bytes(13), b"head", b"aad", b"payload")
        assert frame == slow.seal(which, bytes(13), b"head", b"aad", b"payload")
        for keys in (fast, slow):
            assert keys.open(which, bytes(13), b"head", b"aad", bytes(frame)) == b"payload"
            assert keys.open(which, bytes(13), b"head", b"aax", bytes(frame)) is None
            assert keys.open(which, bytes(13), b"head", b"aad", b"head") is None
        seen.add(bytes(frame[4:11]))
    assert len(seen) == 4  # four subkeys


def test_a_flipped_bit_is_refused_with_and_without_the_library() -> None:
    """Of cipher text, tag or header: the whole tag is compared, on both ends."""
    payload = bytes(range(40))
    for keys in (crypto.Keys(bytes(range(16))), crypto.Keys(bytes(range(16)), crypto.new_ecb)):
        for which in (crypto.UP4, crypto.UP8, crypto.DOWN4, crypto.DOWN8):
            frame = bytes(keys.seal(which, bytes(13), b"head", b"aad", payload))
            for bit in range(8 * len(frame)):
                flipped = bytearray(frame)
                flipped[bit // 8] ^= 1 << bit % 8
                assert keys.open(which, bytes(13), bytes(flipped[:4]), b"aad", bytes(flipped)) is None


def test_a_key_has_16_bytes_and_is_not_shown() -> None:
    for size in (0, 15, 17, 32):
        with pytest.raises(ValueError, match="key"):
            crypto.subkeys(bytes(size))
    assert bytes(range(16)).hex() not in repr(vars(crypto.subkeys(bytes(range(16)))))
