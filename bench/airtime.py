"""LoRa time on air of uplinks: 125 kHz, coding rate 4/5, eight preamble symbols, explicit header, CRC."""

from wire.airtime import airtime_us


def airtime_ms(size: int, sf: int) -> float:
    """Milliseconds on air of a frame of `size` bytes at spreading factor `sf` (7..12)."""
    return airtime_us(size, sf) / 1000


def frames_airtime_ms(sizes: list[int], sf: int) -> float:
    """The same for several frames."""
    return sum(airtime_ms(size, sf) for size in sizes)
