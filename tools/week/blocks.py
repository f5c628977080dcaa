"""Block results: what the meter's loop leaves after half a second of sound, told from levels instead of samples.

Levels come from where the simulated microphone takes them (the world's street, its own gain and noise), twenty a second;
between them F and S run on as exponentials do. Whether there is sound at all, how its words stand and how loud a clipping
converter is, is read from the microphone's words of the block's end, which the driver looks at itself as well. Frequency is
not known here: C is a street's 5 dB above A, or a tone's own difference.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

from tools.sim.board import Board
from tools.sim.chance import gauss
from tools.sim.chips.i2s_mic import a_weighting_db, rms_at_db
from tools.sim.devices import I2S
from tools.sim.stub import ops
from tools.week.block_slot import ASK, BLOCKS, PAIRS, STATE

PART = 47  # samples that share a step of the time weightings
STEP_FRAMES = 2400  # 50 ms: the microphone's level is constant that long
FULL_SCALE = 1 << 23
SCALE_A_DB, SCALE_C_DB, SCALE_PART_DB = 13.98, 9.41, 10.0 * math.log10(PART)  # of the meter's energies: 0 dB SPL
STREET_C_DB = 5.0  # LCeq - LAeq of the simulated street's noise
CREST = 4.2  # peak of a second of noise over its root mean square
PIECES = 3  # of a step, for the histogram
SPREAD_DB = 0.3  # of noise in 50 ms: no second is quite like the one before
GAPS_SHARE = 0.015  # of the fault `gaps`
BITS_24, BIAS_PART = (1 << 24) - 1, 64

# Places in the meter's state (firmware/dsp/meter.py).
TOP, BOTTOM, PEAK, CONSTANT, A, C, Z, Z_SUM, F, S, S_MAX, F_MAX, F_MIN = (
    10,
    11,
    12,
    13,
    15,
    18,
    21,
    24,
    26,
    28,
    30,
    32,
    34,
)
LAST = 40


class LongReceiver(I2S):
    """A receiver whose blocks stand for BLOCKS times as much sound: the words given are those of its end."""

    def __init__(self, owner: Any, handle: int, chips: list[Any]) -> None:
        super().__init__(owner, handle, chips)
        self.first, self.count = 0, 1  # frames of the last block

    def open(self, rate: int, ibuf: int, slots: int = 1) -> None:
        super().open(rate, ibuf, slots)
        self._kept = 3 * rate // 2

    def want(self, wanted: int) -> None:
        super().want(wanted * BLOCKS)

    def read(self, count: int) -> bytes:
        if not self._rate:
            return b""
        self._drop()
        frames = count // (4 * self._slots)
        if self._captured() - self._next < frames * BLOCKS:
            return b""
        self.first, self.count = self._next, frames * BLOCKS
        self._next += frames * (BLOCKS - 1)
        return super().read(count)


class Blocks:
    """Answers a board's questions for block results; `count` of them so far. Made before the board has power."""

    def __init__(self, board: Board) -> None:
        self.count = 0
        (entry,) = [entry for entry in board.chips if entry.bus.startswith("i2s")]
        number = int(entry.bus.removeprefix("i2s"))
        self.chip: Any = entry.chip
        self.receiver = LongReceiver(board, ops.I2S + number, [entry.chip])
        board.i2s[number] = self.receiver
        board.carry_out(ASK, self._answer)

    def _answer(self, handle: int, samples: int, data: bytes) -> tuple[int, bytes]:
        self.count += 1
        state = array("i")
        state.frombytes(data)
        assert len(state) == STATE
        bins = self._add(state, samples)
        pairs = array("H")
        for place, count in sorted(bins.items())[:PAIRS]:
            pairs.extend((place, count))
        return len(pairs) // 2, state.tobytes() + pairs.tobytes()

    def _add(self, state: array[int], samples: int) -> dict[int, int]:
        """Put a block into the state; the histogram's bins with their counts."""
        parts = samples // PART
        constant, top, bottom = self._words()
        if "gaps" in self.chip.faults:  # wherever the block ends
            constant = GAPS_SHARE
        levels = self._levels() if constant < 0.5 else []
        step_parts = parts / max(1, len(levels))
        energies = [10.0 ** ((level_db + SCALE_A_DB) / 10.0) for level_db in levels]  # a sample
        total = sum(energies) * step_parts * PART
        c_over_a_db = self._c_over_a_db()
        _add_words(state, A, 3, round(total * (1.0 - constant)))
        _add_words(state, C, 3, round(total * 10.0 ** ((c_over_a_db + SCALE_C_DB - SCALE_A_DB) / 10.0)))
        _add_words(state, Z, 3, round(total))
        state[Z_SUM] += BIAS_PART * parts
        state[CONSTANT] += round(parts * constant)
        if levels:
            heard_db = max(levels) + c_over_a_db
            peak = CREST * rms_at_db(self.chip.model, min(heard_db, 140.0))
            offset = self.chip.dc
            top = max(top, min(FULL_SCALE - 1, round(peak + offset)))
            bottom = max(bottom, min(FULL_SCALE, round(peak - offset)))
            state[PEAK] = max(state[PEAK], min(FULL_SCALE, round(peak)))
        state[TOP] = max(state[TOP], top)
        state[BOTTOM] = max(state[BOTTOM], bottom)
        return self._time_weighted(state, energies or [0.0], parts)

    def _time_weighted(self, state: array[int], energies: list[float], parts: int) -> dict[int, int]:
        fast, slow = _pair(state, F), _pair(state, S)
        highest, lowest, slowest = _pair(state, F_MAX), _pair(state, F_MIN), _pair(state, S_MAX)
        bins: dict[int, int] = {}
        left = parts
        steps = len(energies) * PIECES
        for number in range(steps):
            count = left // (steps - number)
            left -= count
            wanted = energies[number // PIECES] * PART
            fast = wanted + (fast - wanted) * (127.0 / 128.0) ** count
            slow = wanted + (slow - wanted) * (1023.0 / 1024.0) ** count
            highest, lowest, slowest = max(highest, fast), min(lowest, fast), max(slowest, slow)
            level_db = 10.0 * math.log10(fast) - SCALE_A_DB - SCALE_PART_DB if fast >= 1.0 else 0.0
            place = min(state[LAST], max(0, round(2.0 * level_db)))
            bins[place] = bins.get(place, 0) + count
        for place, value in ((F, fast), (S, slow), (F_MAX, highest), (F_MIN, lowest), (S_MAX, slowest)):
            whole = round(value)
            state[place], state[place + 1] = whole >> 24, whole & BITS_24
        return bins

    def _levels(self) -> list[float]:
        """A levels of the block's steps, dB SPL as the microphone gives them, as far as its converter goes."""
        receiver, chip = self.receiver, self.chip
        first, last = receiver.first // STEP_FRAMES, (receiver.first + receiver.count - 1) // STEP_FRAMES
        found = [chip.heard_db(step) + SPREAD_DB * gauss(chip.seed, step, 71) for step in range(first, last + 1)]
        limit_db = 94.0 - chip.model.sensitivity_dbfs
        return [min(level_db, limit_db) for level_db in found]

    def _c_over_a_db(self) -> float:
        tone = self.chip.tone
        return STREET_C_DB if tone is None else -a_weighting_db(tone[0])

    def _words(self) -> tuple[float, int, int]:
        """(share of the parts in which all words are alike, highest, lowest below zero) of the block's end."""
        words = array("i")
        words.frombytes(self.chip.frames(self.receiver.first + self.receiver.count - 752, 752, self.receiver.now_us()))
        alike = [len(set(words[at : at + PART])) == 1 for at in range(0, 752, PART)]
        return sum(alike) / len(alike), max(words) >> 8, -(min(words) >> 8)


def _pair(state: array[int], place: int) -> float:
    return float((state[place] << 24) + state[place + 1])


def _add_words(state: array[int], place: int, count: int, amount: int) -> None:
    """Add to a sum of words in base 2**24, the highest first."""
    total = amount
    for at in range(place, place + count):
        total += state[at] << 24 * (count - 1 - (at - place))
    for at in range(place + count - 1, place - 1, -1):
        state[at] = total & BITS_24
        total >>= 24
