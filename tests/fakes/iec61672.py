"""IEC 61672-1:2013 in floats, from the standard's pole frequencies and time constants: what the meter is measured against.

It shares nothing with firmware/dsp. Limits are those of class 1; where the fact sheet recalls rather than quotes them
they agree with the 2002 edition less the largest uncertainty.
"""

import math

import numpy as np
from scipy import signal

RATE_HZ = 384_000  # of signals in time: the warping of the bilinear transform stays below 0.06 dB up to 20 kHz
_F1, _F2, _F3, _F4 = (2 * math.pi * hertz for hertz in (20.598997, 107.65265, 737.86223, 12194.217))
_POLES = {"A": (_F1, _F1, _F2, _F3, _F4, _F4), "C": (_F1, _F1, _F4, _F4)}
_ZEROS = {"A": 4, "C": 2}
TAU_S = {"F": 0.125, "S": 1.0}

# Nominal frequency, limits above and below in dB; the exact ones are 1000 * 10**(n/10), n = -20 … 13.
CLASS_1 = (
    (10, 3.0, math.inf), (12.5, 2.5, math.inf), (16, 2.0, 4.0), (20, 2.0, 2.0), (25, 2.0, 1.5), (31.5, 1.5, 1.5),
    (40, 1.0, 1.0), (50, 1.0, 1.0), (63, 1.0, 1.0), (80, 1.0, 1.0), (100, 1.0, 1.0), (125, 1.0, 1.0), (160, 1.0, 1.0),
    (200, 1.0, 1.0), (250, 1.0, 1.0), (315, 1.0, 1.0), (400, 1.0, 1.0), (500, 1.0, 1.0), (630, 1.0, 1.0),
    (800, 1.0, 1.0), (1000, 0.7, 0.7), (1250, 1.0, 1.0), (1600, 1.0, 1.0), (2000, 1.0, 1.0), (2500, 1.0, 1.0),
    (3150, 1.0, 1.0), (4000, 1.0, 1.0), (5000, 1.5, 1.5), (6300, 1.5, 2.0), (8000, 1.5, 2.5), (10000, 2.0, 3.0),
    (12500, 2.0, 5.0), (16000, 2.5, 16.0), (20000, 3.0, math.inf),
)  # fmt: skip

# Tone burst in ms, response relative to steady F and S (None: the standard has none), limits above and below in dB.
BURSTS = (
    (1000, 0.0, -2.0, 0.5, 0.5), (500, -0.1, -4.1, 0.5, 0.5), (200, -1.0, -7.4, 0.5, 0.5), (100, -2.6, -10.2, 1.0, 1.0),
    (50, -4.8, -13.1, 1.0, 1.0), (20, -8.3, -17.0, 1.0, 1.0), (10, -11.1, -20.0, 1.0, 1.0), (5, -14.1, -23.0, 1.0, 1.0),
    (2, -18.0, -27.0, 1.0, 1.5), (1, -21.0, None, 1.0, 2.0), (0.5, -24.0, None, 1.0, 2.5), (0.25, -27.0, None, 1.0, 3.0),
)  # fmt: skip
BURST_HZ = 4000
LINEARITY_DB, STEP_DB = 0.8, 0.3


def exact_hz(nominal: float) -> float:
    """The band's centre that a nominal frequency stands for."""
    return float(1000 * 10 ** (round(10 * math.log10(nominal / 1000)) / 10))


def weighting_db(name: str, hertz: float) -> float:
    """A or C weighting relative to 1 kHz; 0 for Z."""
    if name == "Z":
        return 0.0
    zeros, poles = np.zeros(_ZEROS[name]), -np.array(_POLES[name])
    _, response = signal.freqs_zpk(zeros, poles, 1.0, 2 * np.pi * np.array([hertz, 1000.0]))
    return float(20 * np.log10(abs(response[0] / response[1])))


def weighted(name: str, samples: np.ndarray) -> np.ndarray:
    """A signal at RATE_HZ through the weighting, unity at 1 kHz."""
    zeros, poles = np.zeros(_ZEROS[name]), -np.array(_POLES[name])
    sections = signal.zpk2sos(*signal.bilinear_zpk(zeros, poles, 1.0, RATE_HZ))
    _, at_1khz = signal.sosfreqz(sections, [1000.0], fs=RATE_HZ)
    return np.asarray(signal.sosfilt(sections, samples) / abs(at_1khz[0]))


def time_weighted(name: str, samples: np.ndarray) -> np.ndarray:
    """Exponential mean of the square of a signal at RATE_HZ, from rest."""
    share = 1 - math.exp(-1 / (RATE_HZ * TAU_S[name]))
    return np.asarray(signal.lfilter([share], [1, share - 1], samples**2))


def burst_db(time_weighting: str, burst_ms: float) -> float:
    """Highest time-weighted A level of a 4 kHz tone burst relative to the steady tone."""
    n = np.arange(round((burst_ms + 50) * RATE_HZ / 1000))
    tone = np.sin(2 * np.pi * BURST_HZ * n / RATE_HZ) * (n < burst_ms * RATE_HZ / 1000)
    steady = 10 ** (weighting_db("A", BURST_HZ) / 10) / 2
    return float(10 * np.log10(time_weighted(time_weighting, weighted("A", tone)).max() / steady))


def peak_db(hertz: float, cycles: float) -> float:
    """C peak of whole or half cycles relative to the steady tone's C level."""
    n = np.arange(round((cycles / hertz + 0.2) * RATE_HZ))
    tone = np.sin(2 * np.pi * hertz * n / RATE_HZ) * (n < cycles / hertz * RATE_HZ)
    steady_db = weighting_db("C", hertz) - 10 * math.log10(2)
    return float(20 * np.log10(abs(weighted("C", tone)).max()) - steady_db)
