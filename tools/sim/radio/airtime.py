"""LoRa time on air as the ether keeps it: the datasheet's formula in exact fractions (SX1276 DS 4.1.1.7, SX1261/2 DS 6.1.4).

Written apart from what boards and gateway reckon with: what they transmit is judged by this.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import ceil

SYNC_SYMBOLS = Fraction(17, 4)  # two symbols of sync word and 2.25 of start of frame after the preamble
SYNC_SYMBOLS_SHORT = Fraction(25, 4)  # SF5 and SF6
HEADER_SYMBOLS = 8  # the first interleaved block, always at the strongest coding: explicit header and first bytes
SLOW_SYMBOL_US = 16_000  # symbols of this length and longer use low data rate optimisation


def symbol_us(sf: int, bw_hz: int) -> Fraction:
    """Length of one symbol in us."""
    return Fraction(1_000_000 << sf, bw_hz)


def slow(sf: int, bw_hz: int) -> bool:
    """Whether low data rate optimisation is usual at this rate."""
    return symbol_us(sf, bw_hz) >= SLOW_SYMBOL_US


def preamble_us(sf: int, bw_hz: int, preamble: int = 8) -> Fraction:
    """From the first chirp to the first symbol of header or data."""
    return (preamble + (SYNC_SYMBOLS_SHORT if sf < 7 else SYNC_SYMBOLS)) * symbol_us(sf, bw_hz)


def header_us(sf: int, bw_hz: int, preamble: int = 8) -> Fraction:
    """From the first chirp to the end of the block that holds the header."""
    return preamble_us(sf, bw_hz, preamble) + HEADER_SYMBOLS * symbol_us(sf, bw_hz)


@lru_cache(4096)
def frame_us(
    length: int,
    sf: int,
    bw_hz: int = 125_000,
    cr: int = 5,
    preamble: int = 8,
    implicit: bool = False,
    crc: bool = True,
    ldro: bool | None = None,
) -> Fraction:
    """Time on air of `length` bytes in us. `cr`: 5..8 for 4/5..4/8; `ldro` None: as is usual at this rate."""
    reduced = 2 if (slow(sf, bw_hz) if ldro is None else ldro) else 0
    bits = 8 * length - 4 * sf + (16 if crc else 0) + (0 if implicit else 20)
    if sf >= 7:
        bits += 8
    else:
        reduced = 0
    blocks = max(ceil(Fraction(bits, 4 * (sf - reduced))), 0)
    return preamble_us(sf, bw_hz, preamble) + (HEADER_SYMBOLS + blocks * cr) * symbol_us(sf, bw_hz)
