"""Decibels and energies in whole numbers: tables instead of a logarithm, for boards whose floats have 24 bits.

A level is an integer in centi-dB (1/100 dB). Both directions err by less than 0.01 dB (tests/firmware/test_level.py).
"""

from wire.bits import bit_length

# 10*log10(1 + i/32) in 1e-4 dB. Linear between two rows: at most 5e-4 dB off.
_LOG = (
    0, 1336, 2633, 3892, 5115, 6305, 7463, 8591, 9691, 10763, 11810, 12832, 13830, 14806, 15761, 16695, 17609,
    18505, 19382, 20242, 21085, 21913, 22724, 23521, 24304, 25072, 25828, 26570, 27300, 28018, 28724, 29419, 30103,
)  # fmt: skip
_OCTAVE = 30103  # 10*log10(2) in 1e-4 dB

# 10**(i/10), 10**(i/100), 10**(i/1000), each times 2**14: their product is the energy of a part of a decade.
_TENTHS = (16384, 20626, 25967, 32690, 41155, 51811, 65226, 82115, 103376, 130143)
_HUNDREDTHS = (16384, 16766, 17156, 17556, 17965, 18383, 18811, 19250, 19698, 20157)
_THOUSANDTHS = (16384, 16422, 16460, 16498, 16536, 16574, 16612, 16650, 16689, 16727)
ENERGY_ONE = 1 << 42  # what energy(0) returns


def centi_db(numerator: int, denominator: int = 1) -> int:
    """10*log10(numerator/denominator) in centi-dB, rounded; both must be above zero (else ValueError)."""
    if numerator <= 0 or denominator <= 0:
        raise ValueError("level of nothing")
    shift = 24 + bit_length(denominator) - bit_length(numerator)
    ratio = (numerator << shift if shift >= 0 else numerator >> -shift) // denominator  # 24 or 25 bits
    octaves = bit_length(ratio) - 1
    mantissa = ratio >> (octaves - 20)  # 1.0 <= mantissa / 2**20 < 2.0
    row = (mantissa >> 15) & 31
    part = _LOG[row] + (((_LOG[row + 1] - _LOG[row]) * (mantissa & 0x7FFF)) >> 15)
    return (part + _OCTAVE * (octaves - shift) + 50) // 100


def energy(level_cdb: int) -> int:
    """The energy of a level >= 0 centi-dB, times ENERGY_ONE: whole numbers that may be summed and weighted."""
    decades, rest = divmod(level_cdb, 1000)
    rest, thousandths = divmod(rest, 10)
    tenths, hundredths = divmod(rest, 10)
    return _TENTHS[tenths] * _HUNDREDTHS[hundredths] * _THOUSANDTHS[thousandths] * 10**decades
