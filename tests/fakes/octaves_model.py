"""The one-third octave bands in floats: L1 norms of every signal and state, through all halvings of the rate."""

from collections.abc import Iterator

import numpy as np
from scipy.signal import lfilter

from firmware.dsp import octaves
from tests.fakes.meter_model import Signal

FULL_SCALE = 1 << 20  # what `prepare` leaves of a sample
LENGTH = 1024  # samples of the impulse response at each rate
_WORD, _KEPT = 1 << 31, (1 << 30) - (1 << 20)


def highest(signal: Signal) -> float:
    """For any input of 24 bits."""
    return float(np.abs(signal.response).sum()) * FULL_SCALE * signal.factor


def _all_pass(numerator: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(output, what its coefficient multiplies)."""
    c = numerator / 512
    y = lfilter([c, 1], [1, c], x)
    before = np.roll(y, 1, axis=-1)
    before[..., 0] = 0
    return np.asarray(y), np.asarray(x - before)


def _halve(x: np.ndarray) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Responses to a pulse in each place of a period of the output's rate; and (coefficient, difference)."""
    late = np.roll(x, 1, axis=-1)
    late[..., 0] = 0
    both = np.concatenate([x, late])
    first, second = both[:, 0::2], both[:, 1::2]
    inner, one = _all_pass(58, second)
    upper, two = _all_pass(393, inner)
    lower, three = _all_pass(202, first)
    pad = np.zeros((len(both), LENGTH - upper.shape[1]))
    return np.concatenate([(upper + lower) / 2, pad], axis=1), [(58, one), (393, two), (202, three)]


def signals() -> Iterator[Signal]:
    """Every product and every state, of every octave; `response` holds one row a place of the pulse."""
    x = np.zeros((1, LENGTH))
    x[0, 0] = 1
    for octave in range(octaves.OCTAVES):
        yield Signal(f"octave {octave}: sample", x, 1, 1 << 24)
        for kind, coefficients in enumerate(octaves._COEFFICIENTS):
            signal = x
            for at in range(0, 9, 3):
                g, m, n = (number - 1024 for number in coefficients[at : at + 3])
                name = f"octave {octave}, band {kind}, section {at // 3}"
                y = np.asarray(lfilter([g / 512, 0, -g / 512], [1, -m / 512, -n / 512], signal))
                yield Signal(f"{name}: u", y * 512 - signal * g, 1, _KEPT)
                yield Signal(f"{name}: u and product", y * 512, 1, _WORD)
                yield Signal(f"{name}: v", y * n - signal * g, 1, _KEPT)
                yield Signal(f"{name}: feedback", y, max(abs(m), abs(n)), _WORD)
                signal = y
            yield Signal(f"octave {octave}, band {kind}: output", signal, 1, int(1.6 * (1 << 20)))
        x, differences = _halve(x)
        for coefficient, difference in differences:
            yield Signal(f"octave {octave}, halving by {coefficient}", difference, coefficient, _WORD)
