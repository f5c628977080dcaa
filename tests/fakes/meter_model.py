"""The meter's chain in floats: impulse response of every signal and every kept state, from which their bounds follow."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from tests.firmware.run_meter import RESPONSES

LENGTH = 60_000  # samples; the slowest pole is 9 Hz


class Signal(NamedTuple):
    """One signal of the chain."""

    name: str
    response: np.ndarray
    factor: int  # what it is multiplied by before anything is dropped: kept bits, or a coefficient
    limit: int  # what the product must stay below

    def highest(self) -> float:
        """For any input of 24 bits."""
        return float(np.abs(self.response).sum()) * (1 << 23) * self.factor


def _low(x: np.ndarray, a: float) -> np.ndarray:
    """What a one-pole section has kept when the sample comes."""
    return np.asarray(lfilter([0, a], [1, a - 1], x))


def signals(response: str) -> Iterator[Signal]:
    """Every difference with its coefficient, every state with its spare bits, everything that is squared or summed."""
    tip, pole, gain, _ = RESPONSES[response]
    word = 1 << 31
    kept = (1 << 30) - (1 << 20)  # states are stored with 2**30 - 1 added
    x = np.zeros(LENGTH)
    x[0] = 1.0
    bent = np.convolve(x, (1, -2, 1))[:LENGTH]
    yield Signal("response: bend", bent, max(tip, 1), word)
    x = np.roll(x, 1) + bent * tip / 128
    for number, spare in ((1, 6), (2, 4)):
        low = _low(x, pole / 2**15)
        yield Signal(f"shelf {number}: difference", x - low, max(pole, 1), word)
        yield Signal(f"shelf {number}: state", low, 1 << spare, kept)
        yield Signal(f"shelf {number}: product", low, gain, word)
        x = x - low + low * gain / 8
    yield Signal("Z, squared by 16", x, 1, 1 << 28)
    for number, spare in ((1, 2), (2, 4)):
        low = _low(x, 22 / 2**13)
        yield Signal(f"20.6 Hz {number}: state", low, 1 << spare, kept)
        x = x - low
        yield Signal(f"20.6 Hz {number}: difference", x, 22, word)
    for number in (1, 2):
        low = _low(x, 27 / 32)
        yield Signal(f"12194 Hz {number}: state", low, 1, kept)
        yield Signal(f"12194 Hz {number}: difference", x - low, 27, word)
        x = low + 27 / 32 * 27 / 32 * (x - low)
    yield Signal("C, squared by 2", x, 1, 1 << 25)
    for name, a, coefficient, spare in (("107.7 Hz", 57 / 2**12, 57, 5), ("737.9 Hz", 94 / 2**10, 94, 4)):
        low = _low(x, a)
        yield Signal(f"{name}: state", low, 1 << spare, kept)
        x = x - low
        yield Signal(f"{name}: difference", x, coefficient, word)
    yield Signal("A, squared", x, 1, 1 << 24)


def worst_input(response: np.ndarray, length: int) -> np.ndarray:
    """Of `length` samples of full scale, those that drive the signal furthest at their end."""
    return np.where(response[:length][::-1] >= 0, (1 << 23) - 1, -(1 << 23))
