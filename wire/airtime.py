"""LoRa time on air, in integers (Semtech SX1261/2 datasheet 6.1.4; the same for SX1276 at SF7 to SF12)."""


def airtime_us(
    length: int, sf: int, bw_hz: int = 125000, cr: int = 5, preamble: int = 8, explicit: int = 1, crc: int = 1
) -> int:
    """Time on air of `length` bytes in us, rounded up.

    `sf` 5 to 12 (5 and 6 as an SX126x sends them), `cr` 5 to 8 (4/5 to 4/8), `explicit` 0 without header, `crc` 0
    without CRC. Low data rate optimization is on where a symbol takes 16 ms or more, as both chips ask for it.
    """
    # numerator of the datasheet's fraction, then symbols after preamble and sync word, in quarters with both
    bits = 8 * length - 4 * sf + 16 * crc + 20 * explicit
    width = 4 * sf
    if sf > 6:
        bits += 8
        quarters = 17
        if 1000 << sf >= 16 * bw_hz:
            width -= 8
    else:
        quarters = 25
    if bits > 0:
        quarters += (bits + width - 1) // width * cr * 4
    quarters += 4 * (preamble + 8)
    return -(-(quarters * 250000 << sf) // bw_hz)
