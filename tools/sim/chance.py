"""Chance that is a pure function of its keys: the same keys give the same value in every process and every run."""

import math

_MASK = 0xFFFF_FFFF_FFFF_FFFF


def mix(*keys: int) -> int:
    """Hash integers (negative ones too) to 64 bits; neighbours come out unrelated (finaliser of SplitMix64)."""
    state = 0x9E37_79B9_7F4A_7C15
    for key in keys:
        state = (state + (key & _MASK) + 0x9E37_79B9_7F4A_7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        state ^= state >> 31
    return state


def uniform(*keys: int) -> float:
    """A number in [0, 1)."""
    return (mix(*keys) >> 11) / 9007199254740992.0


def gauss(*keys: int) -> float:
    """A number of mean 0 and standard deviation 1, cut at about 3 (sum of four uniforms: cheap and bounded)."""
    bits = mix(*keys)
    total = (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48)
    return (total / 65536.0 - 2.0) * 1.7320508


def wave(time_s: float, period_s: float, *keys: int) -> float:
    """A smooth random curve between -1 and 1 that forgets itself after about one period."""
    place = time_s / period_s
    left = math.floor(place)
    part = place - left
    low = uniform(left, *keys) * 2.0 - 1.0
    high = uniform(left + 1, *keys) * 2.0 - 1.0
    return low + (high - low) * part * part * (3.0 - 2.0 * part)
