"""One-third octave bands, 25 Hz to 16 kHz, unweighted, in 32-bit whole numbers: loaded only by boards that want them.

Three bands of sixth order (Butterworth) serve every octave: 16 kHz, 12.5 kHz and 10 kHz at 48 kHz, then the same after
each halving of the rate. So centres are in base 2 around 1 kHz, at most 1.3 % off those of IEC 61260-1 (base 10). An octave
away a band lets 40 dB less through, and halving folds back 57 dB less. The microphone's response is taken out of a band
by one number.

A block of samples is copied and worked on in place: a band reads it, `halve` makes half as many of it. Signals are kept
with 2**24 added and stay below 2**22, sections are kept with 2**30 - 1 added (tests/firmware/test_octaves.py: L1 norms).
"""

from array import array

from firmware.dsp.level import centi_db

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import micropython
except ImportError:
    from firmware.dsp.meter import micropython, ptr32  # type: ignore[attr-defined,no-redef,assignment]

BANDS = 29
OCTAVES = 10
SAMPLES_MAX = 752  # of a block: so many squares do not run over
_PAUSE_FROM = 200  # samples: a longer piece of work is followed by a chance for others

# Per band: g * 512, minus a1 * 512 and minus a2 * 512 of its three sections g * (1 - z**-2) / (1 + a1 / z + a2 / z**2).
# scipy.signal.butter(3, …) at 16, 12.699 and 10.079 kHz, lowest Q first; all with 1024 added.
_COEFFICIENTS = (
    (1124, 591, 715, 1124, 732, 633, 1124, 388, 607),
    (1104, 935, 679, 1104, 1085, 602, 1104, 773, 599),
    (1088, 1240, 649, 1088, 1129, 586, 1088, 1375, 582),
)
_OFFSETS_CDB = (446, 501, 540)  # to 94 dB at the centre of a band, for its three kinds [computed in the test]

# What a microphone's response takes from each band, 0.1 dB, upwards from 25 Hz; 0 for those that are not here.
_GAINS = {
    "ics43434": (106, 83, 62, 44, 31, 21, 14, 9, 6, 4, 2, 2, 1, 1, 0, 0, 0, 0, -1, -1, -2, -3, -5, -8, -13, -20, -33, -53, -87),
    "inmp441": (104, 85, 67, 50, 36, 25, 17, 11, 7, 4, 3, 2, 1, 1),
    "sph0645": (66, 54, 42, 31, 22, 15, 10, 7, 4, 3, 2, 1, 1),
}  # fmt: skip

_BIAS = 0x3FFFFFFF
_BAND = 9  # places of a band in the state: six of sections, three words of energy in base 2**20
_HALF = 7  # of a halving: five of its sections, a sample that waits for another, whether one does


@micropython.viper
def prepare(x: int, h: int, received, samples):  # type: ignore[no-untyped-def]
    """`x` samples as the receiver gives them: the upper 21 bits, with 2**24 added. `h` comes as 0."""
    p = ptr32(received)
    s = ptr32(samples)
    while h < x:
        s[h] = ((p[h] >> 11) & 0x1FFFFF ^ 0x100000) + 0xF00000
        h += 1


@micropython.viper
def band(x: int, h: int, samples, coefficients, kind: int, state, at: int):  # type: ignore[no-untyped-def]
    """`x` samples through a band of a kind (place of its coefficients) whose state begins at `at`. `h` comes as 0:
    viper keeps its first arguments in registers, so both are signals."""
    p = ptr32(samples)
    c = ptr32(coefficients)
    s = ptr32(state)
    g1 = c[kind] - 1024
    m1 = c[kind + 1] - 1024
    n1 = c[kind + 2] - 1024
    g2 = c[kind + 3] - 1024
    m2 = c[kind + 4] - 1024
    n2 = c[kind + 5] - 1024
    g3 = c[kind + 6] - 1024
    m3 = c[kind + 7] - 1024
    n3 = c[kind + 8] - 1024
    u1 = s[at] - 0x3FFFFFFF
    v1 = s[at + 1] - 0x3FFFFFFF
    u2 = s[at + 2] - 0x3FFFFFFF
    v2 = s[at + 3] - 0x3FFFFFFF
    u3 = s[at + 4] - 0x3FFFFFFF
    v3 = s[at + 5] - 0x3FFFFFFF
    high = 0
    mid = 0
    low = 0
    place = 0
    end = x
    while place < end:
        x = p[place] - 0x1000000
        place += 1
        h = x * g1
        x = (h + u1) >> 9
        u1 = x * m1 + v1
        v1 = x * n1 - h
        h = x * g2
        x = (h + u2) >> 9
        u2 = x * m2 + v2
        v2 = x * n2 - h
        h = x * g3
        x = (h + u3) >> 9
        u3 = x * m3 + v3
        v3 = x * n3 - h
        h = x >> 10
        x &= 1023
        high = h * h + high
        mid = h * x + mid
        low = x * x + low
    low += (mid & 511) << 11
    high += (mid >> 9) + (low >> 20)
    h = s[at + 8] + (low & 0xFFFFF)
    s[at + 8] = h & 0xFFFFF
    h = s[at + 7] + (high & 0xFFFFF) + (h >> 20)
    s[at + 7] = h & 0xFFFFF
    s[at + 6] = s[at + 6] + (high >> 20) + (h >> 20)
    s[at] = u1 + 0x3FFFFFFF
    s[at + 1] = v1 + 0x3FFFFFFF
    s[at + 2] = u2 + 0x3FFFFFFF
    s[at + 3] = v2 + 0x3FFFFFFF
    s[at + 4] = u3 + 0x3FFFFFFF
    s[at + 5] = v3 + 0x3FFFFFFF


@micropython.viper
def halve(x: int, h: int, samples, state, at: int):  # type: ignore[no-untyped-def]
    """Half as many of `x` samples, in place; one without a partner waits for the next block. `h` comes as 0.

    Half-band filter of two chains of all-passes at the lower rate: 58/512 and 393/512, and 202/512.
    """
    p = ptr32(samples)
    s = ptr32(state)
    a = s[at] - 0x3FFFFFFF
    b = s[at + 1] - 0x3FFFFFFF
    d = s[at + 2] - 0x3FFFFFFF
    e = s[at + 3] - 0x3FFFFFFF
    f = s[at + 4] - 0x3FFFFFFF
    first = s[at + 5] - 0x3FFFFFFF
    waits = s[at + 6]
    place = 0
    out = 0
    end = x
    if waits == 0:
        first = p[0] - 0x1000000
        waits = 1
        place = 1
    while place < end:
        x = p[place] - 0x1000000
        place += 1
        h = (((x - b) * 58) >> 9) + a
        a = x
        x = (((h - d) * 393) >> 9) + b
        b = h
        d = x
        h = (((first - f) * 202) >> 9) + e
        e = first
        f = h
        p[out] = ((x + h) >> 1) + 0x1000000
        out += 1
        waits = 0
        if place < end:
            first = p[place] - 0x1000000
            place += 1
            waits = 1
    s[at] = a + 0x3FFFFFFF
    s[at + 1] = b + 0x3FFFFFFF
    s[at + 2] = d + 0x3FFFFFFF
    s[at + 3] = e + 0x3FFFFFFF
    s[at + 4] = f + 0x3FFFFFFF
    s[at + 5] = first + 0x3FFFFFFF
    s[at + 6] = waits


class Bands:
    """Feed it blocks, then ask for the levels since `clear`; the filters go on.

    `response`: a model of firmware.drivers.i2s_mic, or flat; `offset_cdb` is added to every level.
    """

    def __init__(self, response: str = "flat", offset_cdb: int = 0) -> None:
        self.offset_cdb = offset_cdb
        self._gains = _GAINS.get(response, ())
        self._coefficients = array("i", [number for kind in _COEFFICIENTS for number in kind])
        self.state = array("i", bytes(4 * _BAND * BANDS))
        self.halves = array("i", bytes(4 * _HALF * OCTAVES))
        for at in range(_BAND * BANDS):
            if at % _BAND < 6:
                self.state[at] = _BIAS
        for at in range(_HALF * OCTAVES):
            if at % _HALF < 6:
                self.halves[at] = _BIAS
        self._counts = array("i", bytes(4 * OCTAVES))
        self._samples = array("i", bytes(4 * SAMPLES_MAX))

    def set_offset(self, offset_cdb: int) -> None:
        """Of the levels that are asked for from now on."""
        self.offset_cdb = offset_cdb

    def clear(self) -> None:
        """Start a new period; the filters keep their memory."""
        for at in range(_BAND * BANDS):
            if at % _BAND >= 6:
                self.state[at] = 0
        for octave in range(OCTAVES):
            self._counts[octave] = 0

    async def feed(self, block: "Any", samples: int, clock: "Any") -> None:
        """The first `samples` of a buffer, at most SAMPLES_MAX; between pieces of work others have their turn."""
        work = self._samples
        prepare(samples, 0, block, work)
        for octave in range(OCTAVES):
            if not samples:
                break
            self._counts[octave] += samples
            for kind in range(3):
                at = _BAND * (BANDS - 1 - 3 * octave - kind)
                if at >= 0:
                    band(samples, 0, work, self._coefficients, 9 * kind, self.state, at)
                    if samples >= _PAUSE_FROM:
                        await clock.sleep_ms(0)
            waiting = self.halves[_HALF * octave + 6]
            halve(samples, 0, work, self.halves, _HALF * octave)
            samples = (samples + waiting) >> 1

    def levels_cdb(self) -> "list[int | None]":
        """Equivalent level of each band, upwards from 25 Hz, 0.01 dB; None when there was no energy at all."""
        state = self.state
        levels: "list[int | None]" = []
        for number in range(BANDS):
            octave, kind = divmod(BANDS - 1 - number, 3)
            at = _BAND * number + 6
            energy = (state[at] << 40) + (state[at + 1] << 20) + state[at + 2]
            count = self._counts[octave]
            if not energy or not count:
                levels.append(None)
                continue
            gain = self._gains[number] if number < len(self._gains) else 0
            levels.append(centi_db(energy, count) + _OFFSETS_CDB[kind] + 10 * gain + self.offset_cdb)
        return levels
