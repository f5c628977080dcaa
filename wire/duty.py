"""What one transmitter spent of each sub-band's duty cycle, and what it may still spend. No clock, no storage: both ends have
their own around it (firmware/links/duty.py, gateway/links/duty.py).

All times are whole seconds of one clock that counts no more than goes by, but for the 277 ppm that HOUR_S and BUDGET_US leave
to the crystals of board and radio. What was spent ages as a whole from the end of its transmission: no sliding hour holds
more than the budget, wherever it begins.

Bytes that are kept, little endian:
    "SDu1" | u32 number of the writing | u32 unix time or 0 | for each sub-band that was used: u8 band | u8 count
    | u16 reserved | count times (u16 age_s | u16 spent), the youngest first | u32 crc32       (reserved, spent: 10 ms)
"""

import binascii
import struct

from wire.regions import band_of, duty_permille

HOUR_S = 3601  # an hour of a clock that is 100 ppm fast, and a second for rounding
BUDGET_US = 3599000  # for each permille
BLOCK_US = 3599000  # most that is reserved at once, and no frame is longer
SLOT_S = 90  # what ended within one of these ages together: 40 pairs of numbers hold an hour
BUCKET_S = 515  # the same in what is kept: 8 of them; three sub-bands fit into littlefs's inline files (128 bytes)
_UNIT_US = 10000


def number_of(data: bytes) -> int:
    """Number of the writing that these bytes keep; -1 if they cannot be what was written."""
    if len(data) < 16 or data[:4] != b"SDu1" or int.from_bytes(data[-4:], "little") != binascii.crc32(data[:-4]):
        return -1
    return int.from_bytes(data[4:8], "little")


class Spent:
    """By index of the sub-band: `left`, airtime in us that is reserved and was not used, and what was used when."""

    def __init__(self) -> None:
        self.left: "dict[int, int]" = {}
        self._spent: "dict[int, list[int]]" = {}  # end_s, us, end_s, us, …, the oldest first

    def free_us(self, band: int, now_s: int) -> int:
        """What may be spent now."""
        free = duty_permille(band) * BUDGET_US
        spent = self._spent.get(band, [])
        while spent and now_s - spent[0] >= HOUR_S:
            spent.pop(0)
            spent.pop(0)
        for at in range(1, len(spent), 2):
            free -= spent[at]
        return free

    def wait_s(self, freq_hz: int, airtime_us: int, now_s: int) -> int:
        """Seconds until a frame of this length may go; ValueError if it never may."""
        band = band_of(freq_hz)
        if band < 0 or airtime_us > BLOCK_US:
            raise ValueError("never")
        lack = airtime_us - self.free_us(band, now_s)
        wait = 0
        spent = self._spent.get(band, [])
        for at in range(0, len(spent), 2):
            if lack <= 0:
                break
            wait = spent[at] + HOUR_S - now_s
            lack -= spent[at + 1]
        return wait

    def spend(self, band: int, airtime_us: int, end_s: int) -> None:
        """This airtime ends at `end_s`, rounded up."""
        spent = self._spent.setdefault(band, [])
        if spent and spent[-2] // SLOT_S == end_s // SLOT_S:
            spent[-2] = max(spent[-2], end_s)
            spent[-1] += airtime_us
        else:
            spent.append(end_s)
            spent.append(airtime_us)

    def spend_all(self, end_s: int) -> None:
        """Every sub-band may have been used for its whole hour until `end_s`."""
        for band in range(6):
            self.spend(band, duty_permille(band) * BUDGET_US, end_s)

    def age(self, until_s: int, by_s: int) -> None:
        """What ended up to `until_s` ended `by_s` seconds earlier than was known."""
        for spent in self._spent.values():
            for at in range(0, len(spent), 2):
                if spent[at] <= until_s:
                    spent[at] -= by_s

    def dump(self, number: int, utc_s: int, now_s: int) -> bytes:
        out = bytearray(b"SDu1") + struct.pack("<II", number, utc_s)
        for band in range(6):
            left = self.left.get(band, 0)
            self.free_us(band, now_s)
            spent = self._spent.get(band, [])
            if not spent and not left:
                continue
            pairs: "list[list[int]]" = []
            bucket = 0  # by the clock: by age, what is kept again and again would gather at its youngest
            for at in range(len(spent) - 2, -1, -2):
                if not pairs or spent[at] // BUCKET_S != bucket:
                    bucket = spent[at] // BUCKET_S
                    pairs.append([max(now_s - spent[at], 0), 0])
                pairs[-1][1] += spent[at + 1]
            out += struct.pack("<BBH", band, len(pairs), -(-left // _UNIT_US))
            for age_s, us in pairs:
                out += struct.pack("<HH", age_s, -(-us // _UNIT_US))
        return bytes(out + struct.pack("<I", binascii.crc32(out)))

    def load(self, data: bytes, now_s: int, used: bool = True) -> None:
        """Take over what `dump` wrote, as if no time had passed since. `used`: what was reserved then may have been used
        since, up to this moment, and ends a second after it."""
        self.left = {}
        self._spent = {}
        at = 12
        while at < len(data) - 4:
            band, count, left = struct.unpack_from("<BBH", data, at)
            spent = self._spent[band] = []
            for place in range(at + 4 * count, at, -4):
                age_s, us = struct.unpack_from("<HH", data, place)
                spent.append(now_s - age_s)
                spent.append(us * _UNIT_US)
            at += 4 + 4 * count
            if used:  # after all that is known to have ended
                spent.append(now_s + 1)
                spent.append(left * _UNIT_US)
            else:
                self.left[band] = left * _UNIT_US
