"""Where LoRa may transmit, how loud and for how long: EU868 (ETSI EN 300 220-2 V3.2.1, annex B).

The sub-bands K to Q by ascending frequency; a duty cycle holds for a whole sub-band, in any 3,600 s. Frequencies in Hz,
bandwidth 125 kHz.
"""

BANDS = "KLMNPQ"

UPLINKS_HZ = (868100000, 868300000, 868500000, 867100000, 867300000, 867500000, 867700000, 867900000)
DOWNLINK_HZ = 869525000
SYNC_WORD = 0x12  # private networks; 0x34 is LoRaWAN's

# of each sub-band: low and high edge in 50 kHz above 863 MHz, duty cycle in permille, effective radiated power in dBm
_TABLE = (
    b"\x00\x28\x01\x0e"  # 863.0-865.0
    b"\x28\x64\x0a\x0e"  # 865.0-868.0
    b"\x64\x70\x0a\x0e"  # 868.0-868.6
    b"\x72\x7c\x01\x0e"  # 868.7-869.2
    b"\x80\x85\x64\x1b"  # 869.4-869.65
    b"\x86\x8c\x0a\x0e"  # 869.7-870.0: 25 mW with a duty cycle; 5 mW would be free
)


def band_of(freq_hz: int) -> int:
    """Index in `BANDS` of the sub-band that holds the whole channel around `freq_hz`; -1: no transmission there."""
    above = freq_hz - 863000000
    for index in range(6):
        if _TABLE[4 * index] * 50000 + 62500 <= above <= _TABLE[4 * index + 1] * 50000 - 62500:
            return index
    return -1


def duty_permille(band: int) -> int:
    """Part of any hour that may be spent transmitting in the sub-band with this index."""
    return _TABLE[4 * band + 2]


def power_limit_dbm(freq_hz: int, gain_cdbi: int) -> int:
    """Highest transmitter power at `freq_hz`, whole dBm. `gain_cdbi`: antenna gain less cable loss, in hundredths of dBi.

    The limit is radiated power against a dipole: power + gain - 2.15 dB. ValueError where nothing may be sent.
    """
    band = band_of(freq_hz)
    if band < 0:
        raise ValueError("outside of EU868")
    return (_TABLE[4 * band + 3] * 100 + 215 - gain_cdbi) // 100


def frame_limit(sf: int) -> int:
    """Most bytes of a whole frame at this spreading factor: none stays on air for longer than 3.6 s."""
    return 60 if sf > 9 else 124 if sf == 9 else 231
