"""How strong a frame arrives: distance, buildings, fading, noise; and what strength a receiver needs.

Path loss and shadowing: Petäjäjärvi et al., "On the coverage of LPWANs" (2015), measured in a city at 868 MHz with the
base station's antenna 24 m up. Rejection between spreading factors: Croce et al., "Impact of LoRa imperfect orthogonality"
(2018), measured on SX1272. Capture at one spreading factor: 6 dB (Semtech AN1200.22 and Goursaud and Gorce 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import NamedTuple

THERMAL_DBM_HZ = -174.0
SNR_LIMIT_DB = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
CAPTURE_DB = 6.0
# Row: SF of the frame wanted; column: SF of the one that disturbs it; dB by which the wanted one must be stronger.
REJECTION_DB = (
    (CAPTURE_DB, -8, -9, -9, -9, -9),
    (-11, CAPTURE_DB, -11, -12, -13, -13),
    (-15, -13, CAPTURE_DB, -13, -14, -15),
    (-19, -18, -17, CAPTURE_DB, -17, -18),
    (-22, -22, -21, -20, CAPTURE_DB, -20),
    (-25, -25, -25, -24, -23, CAPTURE_DB),
)
_LIGHT_M_S = 299_792_458.0


class Position(NamedTuple):
    """Metres east and north of some corner of the town, and above ground."""

    x_m: float = 0.0
    y_m: float = 0.0
    height_m: float = 2.0


@dataclass(frozen=True)
class Model:
    """A town's air. `rician_k_db` None: no fading; very low: Rayleigh. `loss`: share of frames that each listener loses
    besides, whatever their strength (tests); `cad_miss`: share of channel activity that a look at the channel misses."""

    loss_at_1km_db: float = 128.95
    exponent: float = 2.32
    shadowing_db: float = 7.8
    rician_k_db: float | None = 8.0
    noise_figure_db: float = 6.0
    crystal_ppm: float = 5.0
    loss: float = 0.0
    cad_miss: float = 0.05

    def path_loss_db(self, a: Position, b: Position, freq_hz: int) -> float:
        """Without shadowing. Never less than in free space; a higher mast sees over more roofs (Hata's 13.82 log h)."""
        distance_m = max(1.0, math.dist(a, b))
        free = 20 * math.log10(4 * math.pi * distance_m * freq_hz / _LIGHT_M_S)
        height_m = max(3.0, a.height_m, b.height_m)
        town = (
            self.loss_at_1km_db + 10 * self.exponent * math.log10(distance_m / 1000) - 13.82 * math.log10(height_m / 24)
        )
        return max(free, town)

    def shadow_db(self, seed: int, a: str, b: str) -> float:
        """What stands between two places: the same both ways and for good."""
        if not self.shadowing_db:
            return 0.0
        first, second = sorted((a, b))
        return chance(seed, "shadow", first, second).gauss(0.0, self.shadowing_db)

    def fade_db(self, draw: Random) -> float:
        """Of one frame on one link."""
        if self.rician_k_db is None:
            return 0.0
        k = 10 ** (self.rician_k_db / 10)
        sigma = math.sqrt(0.5 / (k + 1))
        power = (math.sqrt(k / (k + 1)) + draw.gauss(0, sigma)) ** 2 + draw.gauss(0, sigma) ** 2
        return 10 * math.log10(max(power, 1e-6))

    def noise_dbm(self, bw_hz: int) -> float:
        return THERMAL_DBM_HZ + 10 * math.log10(bw_hz) + self.noise_figure_db


CLEAR = Model(shadowing_db=0.0, rician_k_db=None, crystal_ppm=0.0, cad_miss=0.0)
"""Air without chance: for tests of chips and drivers."""


def chance(seed: int, *what: object) -> Random:
    """Random numbers that belong to one event alone, whatever else was drawn before."""
    text = "|".join(map(str, (seed, *what))).encode()
    return Random(int.from_bytes(blake2b(text, digest_size=8).digest(), "little"))


def needed_db(wanted_sf: int, wanted_inverted: bool, sf: int, inverted: bool) -> float:
    """By how much a frame must be stronger than one that disturbs it. Chirps of the other direction (inverted IQ) of the same
    SF are as foreign to each other as those of neighbouring SFs."""
    row, column = max(0, wanted_sf - 7), max(0, sf - 7)
    if row == column and wanted_inverted != inverted:
        column = row - 1 if row else 1
    return REJECTION_DB[row][column]


def sum_dbm(powers: list[float]) -> float:
    """Powers added up; -inf for none."""
    return 10 * math.log10(sum(10 ** (power / 10) for power in powers)) if powers else -math.inf
