"""A sound level meter's inner loop: A weighting, energy and time weighting F, in 32-bit whole numbers.

Viper's integers have 32 bits on an ESP32 and wrap silently, so nothing here may need more; on a computer they have 64
and would hide it. tests/firmware/test_meter.py runs this very source with integers that refuse to overflow, and
shows the bounds: with |x| <= 2**23 every signal between two sections stays below 2.33 * 2**23 (L1 norm of the impulse
response), every kept state below 2**30, every product below 2**31.

A weighting has real poles only (IEC 61672-1 annex E): two high-passes at 20.6 Hz, one at 107.7 and one at 737.9 Hz,
two low-passes at 12194 Hz, each one pole: low += a * (x - low), high-pass output x - low. The low-passes have a zero
as well (part 5/32 of each step is held back), which makes up for the sampling: within 0.2 dB of the curve up to
20 kHz. A product of a 25-bit difference and a 16-bit coefficient is made in two parts of 10 and 15 bits.

Time weighting F: e += (m - e) / 128 for the energy m of each 47 samples, tau = 47 / 48000 / ln(128/127) = 124.8 ms.
"""

from array import array

from firmware.dsp.level import centi_db

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:  # CPython: the same source, slowly

    class micropython:  # type: ignore[no-redef]
        """What of the module is used here."""

        @staticmethod
        def viper(function: "Any") -> "Any":
            """Leave it as it is."""
            return function

    def ptr16(buffer: "Any") -> "Any":
        """Unsigned 16-bit items, little endian as on every machine that this runs on."""
        return memoryview(buffer).cast("B").cast("H")

    def ptr32(buffer: "Any") -> "Any":
        """32-bit items; only values >= 0 are kept in them: a 64-bit viper reads them without sign."""
        return memoryview(buffer)


RATE_HZ = 48000
PART = 47  # samples that share one step of the time weighting; blocks are whole parts
FULL_SCALE = 1 << 23

# Level of a sine of amplitude 420426 (-26 dBFS) at 1 kHz is 94 dB: 94 - 20*log10(297286.27), less the gain of the
# filters at 1 kHz. In 0.01 dB, added to 10*log10(mean square). [fact sheet: microphones; computed in the test]
OFFSET_CDB = -1397

_BIAS = 0x3FFFFFFF  # states are kept with this added: never negative

# Places in the state.
_LOW1, _LOW2, _LOW3, _LOW4, _SMOOTH1, _SMOOTH2 = 0, 1, 2, 3, 4, 5
_F_HIGH, _F_LOW, _MAX_HIGH, _MAX_LOW = 6, 7, 8, 9  # energies: high * 2**24 + low
_SUM_HIGH, _SUM_MID, _SUM_LOW = 10, 11, 12  # energy since `clear`: base 2**24
_TOP, _CONSTANT, _BOTTOM = 13, 14, 15
_SIZE = 16


@micropython.viper
def run(samples, count: int, state):  # type: ignore[no-untyped-def]
    """`count` samples (int32 little endian, 24 bits left-justified; a multiple of PART) into `state`."""
    p = ptr16(samples)
    s = ptr32(state)
    low1 = s[0] - 0x3FFFFFFF
    low2 = s[1] - 0x3FFFFFFF
    low3 = s[2] - 0x3FFFFFFF
    low4 = s[3] - 0x3FFFFFFF
    smooth1 = s[4] - 0x3FFFFFFF
    smooth2 = s[5] - 0x3FFFFFFF
    f_high = s[6]
    f_low = s[7]
    top = s[13]
    bottom = 0 - s[15]
    at = 0
    end = count * 2
    while at < end:
        squares_high = 0
        squares_mid = 0
        squares_low = 0
        changed = 0
        first = ((p[at + 1] ^ 32768) - 32768) * 256 + (p[at] >> 8)
        part = at + 94
        while at < part:
            x = ((p[at + 1] ^ 32768) - 32768) * 256 + (p[at] >> 8)
            at += 2
            changed |= x ^ first
            if x > top:
                top = x
            elif x < bottom:
                bottom = x
            # 20.6 Hz, 20.6 Hz: a = 0.0026928, states with 6 more bits
            x -= low1 >> 6
            low1 += ((x >> 10) * 45177 + (((x & 1023) * 45177) >> 10)) >> 8
            x -= low2 >> 6
            low2 += ((x >> 10) * 45177 + (((x & 1023) * 45177) >> 10)) >> 8
            # 107.7 Hz: a = 0.013993
            x -= low3 >> 6
            low3 += ((x >> 10) * 58690 + (((x & 1023) * 58690) >> 10)) >> 6
            # 737.9 Hz: a = 0.092068, state with 4 more bits
            x -= low4 >> 4
            low4 += ((x >> 10) * 48270 + (((x & 1023) * 48270) >> 10)) >> 5
            # 12194 Hz twice: a = 0.84 with a zero
            x -= smooth1
            x = ((x >> 10) * 27525 + (((x & 1023) * 27525) >> 10)) >> 5
            smooth1 += x
            x = smooth1 - ((x * 5) >> 5)
            x -= smooth2
            x = ((x >> 10) * 27525 + (((x & 1023) * 27525) >> 10)) >> 5
            smooth2 += x
            x = smooth2 - ((x * 5) >> 5)
            # |x| < 2**24; x * x = high * 2**24 + mid * 2**13 + low, each sum below 2**30 for 47 samples
            h = x >> 12
            x &= 4095
            squares_high += h * h
            squares_mid += h * x
            squares_low += x * x
        squares_low += (squares_mid & 2047) << 13
        squares_high += (squares_mid >> 11) + (squares_low >> 24)
        squares_low &= 0xFFFFFF
        if changed == 0:
            s[14] = s[14] + 1
        # time weighting F
        h = squares_high - f_high
        f_low += ((h & 127) << 17) + ((squares_low - f_low) >> 7)
        f_high += (h >> 7) + (f_low >> 24)
        f_low &= 0xFFFFFF
        if f_high > s[8]:
            s[8] = f_high
            s[9] = f_low
        elif f_high == s[8]:
            if f_low > s[9]:
                s[9] = f_low
        # energy of everything
        h = s[12] + squares_low
        s[12] = h & 0xFFFFFF
        h = s[11] + (squares_high & 0xFFFFFF) + (h >> 24)
        s[11] = h & 0xFFFFFF
        s[10] = s[10] + (squares_high >> 24) + (h >> 24)
    s[0] = low1 + 0x3FFFFFFF
    s[1] = low2 + 0x3FFFFFFF
    s[2] = low3 + 0x3FFFFFFF
    s[3] = low4 + 0x3FFFFFFF
    s[4] = smooth1 + 0x3FFFFFFF
    s[5] = smooth2 + 0x3FFFFFFF
    s[6] = f_high
    s[7] = f_low
    s[13] = top
    s[15] = 0 - bottom


class Meter:
    """Feed it blocks, then ask for the levels since `clear`; the filters go on."""

    def __init__(self) -> None:
        self.state = array("i", bytes(4 * _SIZE))
        for at in range(6):
            self.state[at] = _BIAS
        self.samples = 0

    def feed(self, block: "Any", samples: int) -> None:
        """The first `samples` of a buffer (a multiple of PART)."""
        if samples % PART:
            raise ValueError("block")
        run(block, samples, self.state)
        self.samples += samples

    def clear(self) -> None:
        """Start a new period; filters and time weighting keep their memory."""
        for at in range(_MAX_HIGH, _SIZE):
            self.state[at] = 0
        self.samples = 0

    def laeq_cdb(self) -> "int | None":
        """Equivalent level, 0.01 dB, of what was no constant; None when there was no energy at all."""
        state = self.state
        energy = (state[_SUM_HIGH] << 48) + (state[_SUM_MID] << 24) + state[_SUM_LOW]
        samples = self.samples - self.constant_samples
        return centi_db(energy, samples) + OFFSET_CDB if energy and samples else None

    def lafmax_cdb(self) -> "int | None":
        """Highest F-weighted level, 0.01 dB; None when there was no energy at all."""
        energy = (self.state[_MAX_HIGH] << 24) + self.state[_MAX_LOW]
        return centi_db(energy, PART) + OFFSET_CDB if energy else None

    @property
    def peak(self) -> int:
        """Highest magnitude of a sample, 0 to 2**23."""
        return max(self.state[_TOP], self.state[_BOTTOM])

    @property
    def one_sided(self) -> bool:
        """Loud and yet never on one side of zero: words of two samples, not sound."""
        state = self.state
        if state[_TOP] and state[_BOTTOM]:
            return False
        energy = (state[_SUM_HIGH] << 48) + (state[_SUM_MID] << 24) + state[_SUM_LOW]
        return energy * 64 > self.peak * self.peak * self.samples

    @property
    def constant_samples(self) -> int:
        """Samples in parts (a millisecond) in which all were the same: a live microphone has noise."""
        return self.state[_CONSTANT] * PART
