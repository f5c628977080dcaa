"""A sound level meter's inner loop in 32-bit whole numbers: response correction, weightings Z, C and A, energies, time
weightings F and S, C peak, histogram of F. What it costs and why it is so: docs/adr/0032, bench/level_meter.py.

Viper's integers have 32 bits on an ESP32 and wrap silently, so nothing here may need more; on a computer they have 64
and would hide it. tests/firmware/test_meter_bounds.py shows the bounds of every signal and state for any input of 24
bits (L1 norm of its impulse response), and runs this very source with integers that refuse to overflow.

Every section has one real pole, low += a * (x - low), and a coefficient short enough for one product. In order:
    response    taps c, 1 - 2c, c against the resonance of the ICS-43434 above 4 kHz; two equal shelves, x - low + g * low,
                where the microphone rolls off below 100 Hz. This is Z, with the constant offset that the microphone
                has: its energy is taken out of the sum afterwards.
    C           two high-passes at 20.6 Hz, two low-passes at 12194 Hz (IEC 61672-1 annex E). The low-passes have a zero
                as well (5/32 of each step is held back), which makes up for the sampling.
    A           high-passes at 107.7 and 737.9 Hz behind C.
Energies are exact sums of squares of Z/16, C/2 and A.

Time weighting once per part of 47 samples with its mean energy m: F e += (m - e) / 128, tau = 47 / 48000 / ln(128/127)
= 124.8 ms; S e += (m - e) / 1024, tau 1.002 s.
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
        """32-bit items; states are kept >= 0: a 64-bit viper reads without sign, one of 32 bits with it."""
        return memoryview(buffer).cast("B").cast("i")


RATE_HZ = 48000
PART = 47  # samples that share one step of the time weightings; blocks are whole parts
FULL_SCALE = 1 << 23
BINS = 321  # of the histogram of LAF: 0 to 160 dB in steps of 0.5 dB, each in the middle of its bin


@micropython.viper
def run(x: int, h: int, low: int, samples, state, histogram):  # type: ignore[no-untyped-def]
    """`x` samples (int32 little endian, 24 bits left-justified; a multiple of PART) into `state` and `histogram`.

    `h` and `low` come as 0: viper keeps its first arguments in registers, so these are the signals of the chain in turn.
    A sum stands behind the product that it takes: the other order costs three instructions.
    """
    p = ptr32(samples)
    s = ptr32(state)
    before1 = s[0] - 0x3FFFFFFF
    before2 = s[1] - 0x3FFFFFFF
    shelf1 = s[2] - 0x3FFFFFFF
    shelf2 = s[3] - 0x3FFFFFFF
    low1 = s[4] - 0x3FFFFFFF
    low2 = s[5] - 0x3FFFFFFF
    smooth1 = s[6] - 0x3FFFFFFF
    smooth2 = s[7] - 0x3FFFFFFF
    low3 = s[8] - 0x3FFFFFFF
    low4 = s[9] - 0x3FFFFFFF
    top = s[10]
    bottom = 0 - s[11]
    peak = s[12]
    tip = s[36]
    pole = s[37]
    gain = s[38]
    at = 0
    end = x
    while at < end:
        a_high = 0
        a_mid = 0
        a_low = 0
        c_high = 0
        c_mid = 0
        c_low = 0
        z_high = 0
        z_mid = 0
        z_low = 0
        z_sum = 0
        changed = 0
        first = p[at] >> 8
        if first > 0x7FFFFF:  # only where integers have 64 bits
            first -= 0x1000000
        part = at + 47
        while at < part:
            x = p[at] >> 8
            if x > 0x7FFFFF:
                x -= 0x1000000
            at += 1
            changed = x ^ first | changed
            if x > top:
                top = x
            elif x < bottom:
                bottom = x
            # response above 4 kHz
            h = x - before1 - before1 + before2
            before2 = before1
            before1 = x
            x = ((h * tip) >> 7) + before2
            # response below 100 Hz: two shelves, states with 6 and 4 more bits
            h = shelf1 >> 6
            x -= h
            shelf1 = ((x * pole) >> 9) + shelf1
            x = ((h * gain) >> 3) + x
            h = shelf2 >> 4
            x -= h
            shelf2 = ((x * pole) >> 11) + shelf2
            x = ((h * gain) >> 3) + x
            # Z: sum and energy
            h = x >> 4
            z_sum = h + z_sum
            low = h >> 12
            h &= 4095
            z_low = h * h + z_low
            z_mid = h * low + z_mid
            h = low
            z_high = h * h + z_high
            # 20.6 Hz twice, states with 2 and 4 more bits
            h = low1 >> 2
            x -= h
            low1 = ((x * 22) >> 11) + low1
            h = low2 >> 4
            x -= h
            low2 = ((x * 22) >> 9) + low2
            # 12194 Hz twice, with a zero
            x = ((x - smooth1) * 27) >> 5
            h = ((x * 27) >> 5) + smooth1
            smooth1 = x + smooth1
            h = ((h - smooth2) * 27) >> 5
            x = ((h * 27) >> 5) + smooth2
            smooth2 = h + smooth2
            # C: peak and energy
            if x > peak:
                peak = x
            elif x + peak < 0:
                peak = 0 - x
            h = x >> 1
            low = h >> 12
            h &= 4095
            c_low = h * h + c_low
            c_mid = h * low + c_mid
            h = low
            c_high = h * h + c_high
            # 107.7 Hz, state with 5 more bits
            h = low3 >> 5
            x -= h
            low3 = ((x * 57) >> 7) + low3
            # 737.9 Hz, state with 4 more bits
            h = low4 >> 4
            x -= h
            low4 = ((x * 94) >> 6) + low4
            # A: energy
            h = x >> 12
            x &= 4095
            a_high = h * h + a_high
            a_mid = h * x + a_mid
            a_low = x * x + a_low
        if changed == 0:
            s[13] = s[13] + 1
        # Each energy: high * 2**24 + low. It joins its sum of three words in base 2**24.
        c_low += (c_mid & 2047) << 13
        c_high += (c_mid >> 11) + (c_low >> 24)
        h = s[20] + (c_low & 0xFFFFFF)
        s[20] = h & 0xFFFFFF
        h = s[19] + (c_high & 0xFFFFFF) + (h >> 24)
        s[19] = h & 0xFFFFFF
        s[18] = s[18] + (c_high >> 24) + (h >> 24)
        z_low += (z_mid & 2047) << 13
        z_high += (z_mid >> 11) + (z_low >> 24)
        h = s[23] + (z_low & 0xFFFFFF)
        s[23] = h & 0xFFFFFF
        h = s[22] + (z_high & 0xFFFFFF) + (h >> 24)
        s[22] = h & 0xFFFFFF
        s[21] = s[21] + (z_high >> 24) + (h >> 24)
        h = s[25] + (z_sum & 0xFFFFFF)
        s[25] = h & 0xFFFFFF
        s[24] = s[24] + (z_sum >> 24) + 64 + (h >> 24)  # 64 a part too much: never negative
        a_low += (a_mid & 2047) << 13
        a_high += (a_mid >> 11) + (a_low >> 24)
        a_low &= 0xFFFFFF
        h = s[17] + a_low
        s[17] = h & 0xFFFFFF
        h = s[16] + (a_high & 0xFFFFFF) + (h >> 24)
        s[16] = h & 0xFFFFFF
        s[15] = s[15] + (a_high >> 24) + (h >> 24)
        # time weighting S
        h = a_high - s[28]
        low = s[29] + ((h & 1023) << 14) + ((a_low - s[29] + 512) >> 10)
        h = s[28] + (h >> 10) + (low >> 24)
        low &= 0xFFFFFF
        s[28] = h
        s[29] = low
        if h > s[30]:
            s[30] = h
            s[31] = low
        elif h == s[30]:
            if low > s[31]:
                s[31] = low
        # time weighting F
        h = a_high - s[26]
        low = s[27] + ((h & 127) << 17) + ((a_low - s[27] + 64) >> 7)
        h = s[26] + (h >> 7) + (low >> 24)
        low &= 0xFFFFFF
        s[26] = h
        s[27] = low
        if h > s[32]:
            s[32] = h
            s[33] = low
        elif h == s[32]:
            if low > s[33]:
                s[33] = low
        if h < s[34]:
            s[34] = h
            s[35] = low
        elif h == s[34]:
            if low < s[35]:
                s[35] = low
        # Its level: octave and 10 bits of the logarithm, one a squaring.
        x = 47
        if h == 0:
            h = low
            low = 0
            x = 23
        while h > 0xFFFFFF:
            low = (low >> 1) + ((h & 1) << 23)
            h >>= 1
            x += 1
        if h == 0:
            x = 0
        else:
            while h < 0x800000:
                low <<= 1
                h = (h << 1) + (low >> 24)
                low &= 0xFFFFFF
                x -= 1
        low = h >> 9  # 1.0 is 2**14
        h = 10
        while h > 0:
            low = low * low >> 14
            x <<= 1
            if low > 0x7FFF:
                low >>= 1
                x += 1
            h -= 1
        h = (x * 12330 + s[39] - 0x3FFFFFFF) >> 21  # 6.0206 bins an octave
        if h < 0:
            h = 0
        elif h > s[40]:
            h = s[40]
        b = ptr16(histogram)
        b[h] = b[h] + 1
    s[0] = before1 + 0x3FFFFFFF
    s[1] = before2 + 0x3FFFFFFF
    s[2] = shelf1 + 0x3FFFFFFF
    s[3] = shelf2 + 0x3FFFFFFF
    s[4] = low1 + 0x3FFFFFFF
    s[5] = low2 + 0x3FFFFFFF
    s[6] = smooth1 + 0x3FFFFFFF
    s[7] = smooth2 + 0x3FFFFFFF
    s[8] = low3 + 0x3FFFFFFF
    s[9] = low4 + 0x3FFFFFFF
    s[10] = top
    s[11] = 0 - bottom
    s[12] = peak


@micropython.viper
def merge(source, target, count: int):  # type: ignore[no-untyped-def]
    """Add `count` items of 16 bits to items of 32."""
    p = ptr16(source)
    s = ptr32(target)
    at = 0
    while at < count:
        s[at] = s[at] + p[at]
        at += 1


FLAT = (0, 0, 8, 0)  # a response: firmware.drivers.i2s_mic.MODELS

# Level of a sine of amplitude 420426 (-26 dBFS) at 1 kHz is 94 dB: 94 - 20*log10(297286.27), less the gain of the
# filters at 1 kHz. In 0.01 dB, added to 10*log10(mean square). [fact sheet: microphones; computed in the test]
_OFFSET_A = -1398
_OFFSET_C = -941
_OFFSET_Z = 862
_OFFSET_PEAK = -1543
_PART_CDB = 1672  # 10*log10(PART)

_BIAS = 0x3FFFFFFF  # states are kept with this added: never negative

# Places in the state, as `run` knows them: ten filter states, then
_TOP, _BOTTOM, _PEAK, _CONSTANT = 10, 11, 12, 13
_A, _C, _Z, _Z_SUM = 15, 18, 21, 24  # three words in base 2**24, of the sum two
_F, _S, _S_MAX, _F_MAX, _F_MIN = 26, 28, 30, 32, 34  # high * 2**24 + low
_TIP, _POLE, _GAIN, _SCALE, _LAST = 36, 37, 38, 39, 40
_SIZE = 41
_UNSET = (1 << 30) - 1


class Meter:
    """Feed it blocks, then ask for the levels since `clear`; the filters go on. `offset_cdb` is added to every level.

    `response`: c * 128 of the taps, a * 2**15 and g * 8 of the shelves, and what that does to 1 kHz in 0.01 dB. `bins`: of
    the histogram; 1 where nobody asks for it.
    """

    def __init__(self, response: "tuple[int, ...]" = FLAT, offset_cdb: int = 0, bins: int = BINS) -> None:  # seldom
        state = array("i", bytes(4 * _SIZE))
        for at in range(10):
            state[at] = _BIAS
        state[_TIP], state[_POLE], state[_GAIN], self._at_1khz = response
        state[_LAST] = bins - 1
        self.state = state
        self.histogram = Histogram(bins)
        self.samples = 0
        self.set_offset(offset_cdb)
        self.clear()

    def set_offset(self, offset_cdb: int) -> None:  # seldom
        """Of what is fed from now on; what the histogram holds stays where it is."""
        self.offset_cdb = offset_cdb - self._at_1khz
        middle = self.offset_cdb + _OFFSET_A - _PART_CDB + 25
        self.state[_SCALE] = _BIAS + (middle << 21) // 50

    def feed(self, block: "Any", samples: int) -> None:
        """The first `samples` of a buffer (a multiple of PART). Allocates nothing."""
        if samples % PART:
            raise ValueError("block")
        run(samples, 0, 0, block, self.state, self.histogram.bins)
        self.samples += samples

    def clear(self) -> None:
        """Start a new period; filters and time weightings keep their memory."""
        state = self.state
        for at in range(_TOP, _TIP):
            if not _F <= at < _S_MAX:
                state[at] = 0
        state[_F_MIN] = _UNSET
        self.histogram.clear()
        self.samples = 0

    def settled(self) -> None:
        """What came before was a microphone's start: S forgets it as F has, eight times faster."""
        self.state[_S], self.state[_S + 1] = self.state[_F], self.state[_F + 1]

    def level_cdb(self, name: str) -> "int | None":
        """Level since `clear`, 0.01 dB; None when there was no energy at all. `name`: laeq, lceq, lzeq (of what was no
        constant), lafmax, lafmin, lasmax, lcpeak."""
        state = self.state
        samples = PART
        offset = _OFFSET_A
        if name == "lcpeak":
            energy = state[_PEAK] * state[_PEAK]
            samples, offset = 1, _OFFSET_PEAK
        elif name.startswith("la") and name != "laeq":
            at = _S_MAX if name == "lasmax" else _F_MIN if name == "lafmin" else _F_MAX
            energy = (state[at] << 24) + state[at + 1] if self.samples else 0
        else:
            at = _A
            if name == "lceq":
                at, offset = _C, _OFFSET_C
            elif name == "lzeq":
                at, offset = _Z, _OFFSET_Z
            energy = (state[at] << 48) + (state[at + 1] << 24) + state[at + 2]
            if at == _Z:  # less that of the mean
                total = (state[_Z_SUM] << 24) + state[_Z_SUM + 1] - (self.samples // PART << 30)
                energy -= total * total // max(1, self.samples)
            samples = self.samples - self.constant_samples
        return centi_db(energy, samples) + offset + self.offset_cdb if energy > 0 and samples else None

    @property
    def peak(self) -> int:
        """Highest magnitude of a sample, 0 to 2**23."""
        return max(self.state[_TOP], self.state[_BOTTOM])

    @property
    def constant_samples(self) -> int:
        """Samples in parts (a millisecond) in which all were the same: a live microphone has noise."""
        return self.state[_CONSTANT] * PART


class Histogram:
    """How often LAF was in each half decibel since `clear`, once a millisecond; below 65 s a bin cannot run over."""

    def __init__(self, bins: int) -> None:
        self.bins = array("H", bytes(2 * bins))

    def clear(self) -> None:
        """Empty."""
        bins = self.bins
        for at in range(len(bins)):
            bins[at] = 0

    def add_to(self, bins: "array[int]") -> None:
        """Add it to a longer one's bins of 32 bits."""
        merge(self.bins, bins, len(self.bins))
