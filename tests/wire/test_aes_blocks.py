"""The tests' own AES against the worked example of FIPS 197, appendix B and C.1."""

from tests.wire import aes_blocks


def test_fips_197_examples() -> None:
    for key, block, expected in (
        ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
        ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    ):
        out = bytearray(16)
        aes_blocks.new_ecb(bytes.fromhex(key))(bytes.fromhex(block), out)
        assert out.hex() == expected
