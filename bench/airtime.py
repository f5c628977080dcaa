"""LoRa time on air: 125 kHz, coding rate 4/5, eight preamble symbols, explicit header, CRC (Semtech AN1200.13)."""

LOW_DATA_RATE_SF = 11  # symbols of 16 ms and more need the low data rate optimisation


def airtime_ms(size: int, sf: int) -> float:
    """Milliseconds on air of a frame of `size` bytes at spreading factor `sf` (7..12)."""
    optimised = 2 if sf >= LOW_DATA_RATE_SF else 0
    bits = 8 * size - 4 * sf + 28 + 16
    symbols = 8 + max(-(-bits // (4 * (sf - optimised))), 0) * 5
    return (8 + 4.25 + symbols) * (1 << sf) / 125


def frames_airtime_ms(sizes: list[int], sf: int) -> float:
    """The same for several frames."""
    return sum(airtime_ms(size, sf) for size in sizes)
