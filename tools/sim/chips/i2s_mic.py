"""I2S microphones (ICS-43434, INMP441, SPH0645) that hear the world's street.

A frame is what a receiver with 32 bits a slot finds in one of the two slots: one little-endian 32-bit word, the sample
in its upper three bytes. The SPH0645 gives 18 bits and changes its data on the other edge of the clock: a receiver then
finds each word one clock late (the first bit is what was on the line before, zero) or one clock early. Sound is cut out
of ready-made loops of noise, one for each level in steps of 0.5 dB, so that 48 kHz in real time costs almost nothing.
"""

import cmath
import math
import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import NamedTuple

from tools.sim.chance import mix
from tools.sim.chips.base import Chip
from tools.sim.world import World

_FULL_SCALE = (1 << 23) - 1
_LOOP = 1 << 15  # frames of a noise loop: 0.7 s at 48 kHz
_BLOCK_US = 50_000  # the level is constant that long
_STEPS_PER_DB = 2
_FRAME_BYTES = 4
# Loops kept ready in one process: 60 dB of levels for two models, 128 KiB each.
_LOOPS_KEPT = 240
_GAP_EVERY_US, _GAP_US = 1_000_000, 15_000


class Model(NamedTuple):
    """What tells one microphone type from another. Response: (Hz, dB relative to 1 kHz), log-linear between."""

    sensitivity_dbfs: float  # peak of a sine at 94 dB SPL, 1 kHz
    noise_dba: float  # equivalent input noise
    mute_sck: int  # clocks of silence after the clock starts (64 a frame)
    ramp_frames: int
    dc: int  # offset in steps of 24 bits
    response: tuple[tuple[float, float], ...]
    bits: int = 24
    timing: str = "standard"  # "late", "early": how a receiver finds the words


MODELS = {
    "ics43434": Model(
        -26.0,
        29.0,
        4462,
        960,
        60,
        (
            *((20, -13.0), (31.5, -8.2), (63, -3.0), (125, -0.9), (250, -0.3), (500, -0.1), (1000, 0.0)),
            *((2000, 0.1), (4000, 0.4), (8000, 1.8), (10000, 3.0), (12500, 4.9), (16000, 8.5)),
        ),
    ),
    "inmp441": Model(
        -26.0,
        33.0,
        1 << 18,
        240,
        3400,
        (
            *((20, -11.9), (31.5, -8.4), (63, -3.5), (125, -1.1), (250, -0.3), (500, -0.1), (1000, 0.0)),
            (16000, 0.0),
        ),
    ),
    # Noise and bits from the data sheet; wake-up (50 ms), offset (thousands of 18-bit steps) and response are recalled.
    "sph0645": Model(
        -26.0,
        29.0,
        153_600,
        480,
        -230_400,
        (
            *((20, -7.1), (31.5, -5.2), (63, -2.3), (125, -0.8), (250, -0.2), (500, 0.0), (1000, 0.0)),
            *((10000, 0.0), (15000, -3.0), (20000, -8.0)),
        ),
        bits=18,
        timing="late",
    ),
}


def a_weighting_db(hertz: float) -> float:
    """A-weighting of IEC 61672-1 (its analytic form)."""
    square = hertz * hertz
    top = 12194.217**2 * square * square
    bottom = (square + 20.598997**2) * (square + 12194.217**2)
    bottom *= math.sqrt((square + 107.65265**2) * (square + 737.86223**2))
    return 20.0 * math.log10(top / bottom) + 2.0


def street_db(hertz: float) -> float:
    """Spectrum of road traffic, dB a hertz: engines and tyres to about 1 kHz, falling fast above."""
    low = 10.0 * math.log10(1.0 + (500.0 / hertz) ** 2.0)
    high = -10.0 * math.log10(1.0 + (hertz / 1300.0) ** 3.0)
    return low + high - (40.0 * math.log10(35.0 / hertz) if hertz < 35.0 else 0.0)


def response_db(model: Model, hertz: float) -> float:
    """Sensitivity of a microphone at a frequency relative to 1 kHz."""
    table = model.response
    if hertz <= table[0][0]:
        return table[0][1] - 12.0 * math.log2(table[0][0] / max(hertz, 1.0))
    for (low_hz, low_db), (high_hz, high_db) in pairwise(table):
        if hertz <= high_hz:
            part = math.log(hertz / low_hz) / math.log(high_hz / low_hz)
            return low_db + (high_db - low_db) * part
    return table[-1][1]


def _inverse_fourier(values: list[complex]) -> list[complex]:
    """Sum of values[k] exp(2 pi i k n / N); N is a power of two."""
    size = len(values)
    if size == 1:
        return values
    even, odd = _inverse_fourier(values[::2]), _inverse_fourier(values[1::2])
    turned = [cmath.exp(2j * cmath.pi * k / size) * value for k, value in enumerate(odd)]
    return [a + b for a, b in zip(even, turned, strict=True)] + [a - b for a, b in zip(even, turned, strict=True)]


@lru_cache(maxsize=8)
def _noise(name: str, rate: int) -> "array[float]":
    """A seamless loop of street noise as the microphone gives it, in 24-bit steps for a true level of 0 dB(A).

    It is built from its spectrum with random phases, so its A-weighted level is exact and not estimated.
    """
    model = MODELS[name]
    chance = Random(mix(rate, len(name)))
    spectrum = [0j] * _LOOP
    weighted = 0.0
    for k in range(1, int(_LOOP * 0.45)):
        hertz = k * rate / _LOOP
        if hertz < 12.0:
            continue
        level_db = street_db(hertz)
        weighted += 0.5 * 10.0 ** ((level_db + a_weighting_db(hertz)) / 10.0)
        heard = 10.0 ** ((level_db + response_db(model, hertz)) / 20.0)
        spectrum[k] = cmath.rect(heard, chance.uniform(0.0, 2.0 * math.pi))
    scale = rms_at_db(model, 0.0) / math.sqrt(weighted)
    return array("d", (value.real * scale for value in _inverse_fourier(spectrum)))


def rms_at_db(model: Model, level_db: float) -> float:
    """Root mean square, in 24-bit steps, of a 1 kHz sine of a sound pressure level."""
    return _FULL_SCALE * math.pow(10.0, (model.sensitivity_dbfs + level_db - 94.0) / 20.0) / math.sqrt(2.0)


class Form(NamedTuple):
    """How samples stand in their words."""

    bits: int
    timing: str

    def sample(self, word: int) -> int:
        """The sample of a word, in 24-bit steps (of an early one: while it is below half of full scale)."""
        if self.timing == "late":
            word = word << 1 & 0xFFFFFFFF
        signed = word - (word >> 31 << 32)
        return signed >> (9 if self.timing == "early" else 8)


def _packed(samples: Iterable[float], dc: int, form: Form) -> bytes:
    """Samples, clipped, in little-endian 32-bit words."""
    low, high = -_FULL_SCALE - 1, _FULL_SCALE
    kept = 0xFFFFFFFF >> 32 - form.bits << 32 - form.bits
    down, up = int(form.timing == "late"), int(form.timing == "early")
    words = array(
        "I",
        [(min(high, max(low, round(value) + dc)) << 8 & kept) >> down << up & 0xFFFFFFFF for value in samples],
    )
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


_loops: OrderedDict[tuple[str, int, int, int, Form], bytes] = OrderedDict()


def _loop_at(name: str, rate: int, dc: int, step: int, form: Form) -> bytes:
    """The noise loop of a model at a level of step / 2 dB(A); shared by all microphones of the process."""
    key = (name, rate, dc, step, form)
    ready = _loops.get(key)
    if ready is None:
        gain = 10.0 ** (step / _STEPS_PER_DB / 20.0)
        ready = _packed([value * gain for value in _noise(name, rate)], dc, form)
        _loops[key] = ready
        if len(_loops) > _LOOPS_KEPT:
            _loops.popitem(last=False)
    return ready


class I2SMicrophone(Chip):
    """A microphone. Parameters: model, slot ("left" = L/R pin at GND), timing (see Model), dc, tone (Hz, dB SPL) instead of the street,
    level_db (a constant A-weighted level instead of the street), gain_db (deviation of its sensitivity).
    """

    FAULTS = {
        "silence": "the data line is dead: zeros (pull-down)",
        "open_line": "the data line is open and nothing pulls it: hum, all bits of a word mostly alike",
        "all_ones": "the data line hangs high: FF everywhere",
        "stuck": "one value for ever",
        "byte_shift": "the stream lost a byte: every word is made of two samples",
        "late_answer": "after the clock starts it is mute for 3 s more",
        "swapped_channel": "the L/R pin is wrong: the microphone drives the other slot, zeros in its own",
        "gaps": "15 ms of zeros in every second",
        "clipping": "40 dB too loud: the converter clips",
    }
    MODEL = "ics43434"

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        model: str | None = None,
        slot: str = "left",
        timing: str | None = None,
        dc: int | None = None,
        tone: tuple[float, float] | None = None,
        level_db: float | None = None,
        gain_db: float = 0.0,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.model_name = model if model is not None else self.MODEL
        self.model = MODELS[self.model_name]
        self.slot = slot
        self.form = Form(self.model.bits, timing if timing is not None else self.model.timing)
        self.dc = self.model.dc if dc is None else dc
        self.level_db = level_db
        self.gain_db = gain_db
        self.rate = 48_000
        self._tone: bytes | None = None
        self._tone_wanted = tone
        self._opened_us: int | None = None
        self._step_block = -1
        self._step = 0
        self.power_on(world.start_s * 1_000_000)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._opened_us = None

    def sound(self, tone: tuple[float, float] | None) -> None:
        """A calibrator (Hz, dB SPL) is put on, or taken off."""
        self._tone_wanted = tone
        self._tone = None

    def open(self, now_us: int, rate: int = 48_000) -> None:
        """The clocks start: frame 0 is at now_us; the microphone wakes up anew."""
        self.rate = rate
        self._opened_us = now_us
        self._step_block = -1
        self._tone = None

    def frames(self, first_frame: int, count: int, now_us: int, slot: str = "left") -> bytes:
        """`count` frames of a slot from `first_frame` on, counted from the start of the clocks.

        Without open() the first call fixes the start so that first_frame is at now_us. Frames may be skipped (an
        overflow of the receiver) or asked for again; a frame depends on its number alone.
        """
        if self._opened_us is None:
            self._opened_us = now_us - first_frame * 1_000_000 // self.rate
        faults = self.faults
        if "all_ones" in faults:
            return b"\xff" * (count * _FRAME_BYTES)
        if "open_line" in faults:
            return self._hum(first_frame, count)
        mine = (self.slot == slot) != ("swapped_channel" in faults)
        if not self.powered or not mine or "silence" in faults:
            return bytes(count * _FRAME_BYTES)
        if "stuck" in faults:
            return (0x00123400).to_bytes(4, "little") * count
        shift = 1 if "byte_shift" in faults else 0
        parts: list[bytes] = []
        at, end = first_frame, first_frame + count + shift
        while at < end:
            parts.append(self._piece(at, end))
            at += len(parts[-1]) // _FRAME_BYTES
        stream = parts[0] if len(parts) == 1 else b"".join(parts)
        return stream[1 : 1 + count * _FRAME_BYTES] if shift else stream

    # --- Pieces of the stream ------------------------------------------------------------------------------------

    def _piece(self, at: int, end: int) -> bytes:
        """The frames from `at` on, up to `end` or the end of a block or loop."""
        mute = self._mute_frames
        if at < mute:
            return bytes((min(end, mute) - at) * _FRAME_BYTES)
        block_frames = self.rate * _BLOCK_US // 1_000_000
        block = at // block_frames
        end = min(end, (block + 1) * block_frames)
        if "gaps" in self.faults:
            gap_frames, every_frames = self.rate * _GAP_US // 1_000_000, self.rate * _GAP_EVERY_US // 1_000_000
            place = at % every_frames
            if place < gap_frames:
                return bytes(min(end - at, gap_frames - place) * _FRAME_BYTES)
        settled = mute + self._settled_frames
        if at < settled:
            end = min(end, settled)
        loop = self._tone_loop() if self._tone_wanted is not None else self._noise_loop(block)
        size = len(loop) // _FRAME_BYTES
        begin = (at + (0 if self._tone_wanted is not None else self.seed)) % size
        end = min(end, at + size - begin)
        piece = loop[begin * _FRAME_BYTES : (begin + end - at) * _FRAME_BYTES]
        return self._settling(piece, at - mute) if at < settled else piece

    @property
    def _mute_frames(self) -> int:
        late = 3 * self.rate if "late_answer" in self.faults else 0
        return -(-self.model.mute_sck // 64) + late

    @property
    def _settled_frames(self) -> int:
        return self.rate * 2 // 5

    def _settling(self, piece: bytes, since: int) -> bytes:
        """The first 0.4 s after the mute: the level ramps up and the offset comes from twelve times itself (tau 60 ms)."""
        words = array("I")
        words.frombytes(piece)
        if sys.byteorder == "big":
            words.byteswap()
        form = self.form
        tau = 0.06 * self.rate
        ramp = self.model.ramp_frames
        away = 12.0 * self.dc
        samples = [
            form.sample(word) * min(1.0, (since + n) / ramp) + away * math.exp(-(since + n) / tau)
            for n, word in enumerate(words)
        ]
        return _packed(samples, 0, form)

    def _hum(self, first: int, count: int) -> bytes:
        """A floating input follows the mains: half of each 20 ms ones, half zeros, an odd word where it turns."""
        half = self.rate // 100
        words = []
        for at in range(first, first + count):
            turn, place = divmod(at, half)
            ones = turn % 2 == 1
            if place:
                words.append(0xFFFFFFFF if ones else 0)
            else:
                edge = (1 << (mix(self.seed, turn) % 31 + 1)) - 1  # the line turns in the middle of a word
                words.append(edge if ones else 0xFFFFFFFF ^ edge)
        return b"".join(word.to_bytes(_FRAME_BYTES, "little") for word in words)

    def _noise_loop(self, block: int) -> bytes:
        if block != self._step_block:
            self._step = round(self._street_db(block) * _STEPS_PER_DB)
            self._step_block = block
        loud = 40 * _STEPS_PER_DB if "clipping" in self.faults else 0
        return _loop_at(self.model_name, self.rate, self.dc, self._step + loud, self.form)

    def _street_db(self, block: int) -> float:
        """The A-weighted level of a block of 50 ms, own noise and wrong sensitivity included."""
        assert self._opened_us is not None
        if self.level_db is None:
            middle_us = self._opened_us + block * _BLOCK_US + _BLOCK_US // 2
            energy = self.world.sound_energy(middle_us, self.site)
        else:
            energy = 10.0 ** (self.level_db / 10.0)
        energy += 10.0 ** (self.model.noise_dba / 10.0)
        return 10.0 * math.log10(energy) + self.gain_db

    @property
    def tone(self) -> tuple[float, float] | None:
        """The calibrator's (Hz, dB SPL), if one is on."""
        return self._tone_wanted

    def heard_db(self, block: int) -> float:
        """What a meter makes of a block of 50 ms: its A-weighted level, whether the converter clips or not."""
        loud_db = 40.0 if "clipping" in self.faults else 0.0
        if self._tone_wanted is not None:
            hertz, level_db = self._tone_wanted
            return level_db + a_weighting_db(hertz) + response_db(self.model, hertz) + self.gain_db + loud_db
        return self._street_db(block) + loud_db

    def _tone_loop(self) -> bytes:
        """One second of a sine: seamless for whole hertz."""
        if self._tone is None:
            assert self._tone_wanted is not None
            hertz, level_db = self._tone_wanted
            level_db += response_db(self.model, hertz) + self.gain_db
            level_db += 40.0 if "clipping" in self.faults else 0.0
            peak = rms_at_db(self.model, level_db) * math.sqrt(2.0)
            turn = 2.0 * math.pi * hertz / self.rate
            self._tone = _packed([peak * math.sin(turn * n) for n in range(self.rate)], self.dc, self.form)
        return self._tone


class ICS43434(I2SMicrophone):
    """TDK ICS-43434."""

    MODEL = "ics43434"


class INMP441(I2SMicrophone):
    """TDK INMP441: 85 ms of silence after the clock starts; clones have a large offset."""

    MODEL = "inmp441"


class SPH0645(I2SMicrophone):
    """Knowles SPH0645LM4H-B: 18 bits, a large offset, and data on the other edge of the clock."""

    MODEL = "sph0645"
