"""Fitting a sensor to a reference instrument that stood beside it: least squares over common intervals.

    reference = slope * mean(raw / C) + offset,    C = 1 + kappa / 1.65 * h / (100 - h)

C is the growth of particles by water (kappa-Koehler theory as Crilley et al. 2018, Atmos. Meas. Tech. 11, 709, write it
for optical counters, particle density 1.65 g/cm3), h the humidity in % measured with each raw value, at most 95; without
the humidity term C is 1. What is said of the fit is said of the constants as the board will hold them, and
*validated* figures come from fits that had not seen the part of the time that they are judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

from gateway.calibration import HUMID, UNIT_SLOPE, Constants
from tools.errors import SteigerError
from wire.settings import by_name

SLOPE_MIN = by_name("cal_slope").low  # less cannot be given to a board
KAPPA_MAX = 1000  # 1/1000; ambient particles lie between 0.1 and 0.9 (Petters and Kreidenweis 2007)
LAG_MAX = 3  # intervals that clocks are compared over
LAG_GAIN = 0.05  # of R2: less is no proof of shifted clocks
FOLDS = 5


class Sample(NamedTuple):
    """One value of the sensor."""

    time_s: int  # end of what it stands for, unix
    value: float
    humidity: float | None  # %


class Pair(NamedTuple):
    """One common interval."""

    end_s: int
    samples: tuple[Sample, ...]
    reference: float


class Quality(NamedTuple):
    """How a sensor agrees with the reference; rmse and bias in the channel's unit."""

    r2: float
    rmse: float
    bias: float


class Fit(NamedTuple):
    """Constants, and what they are worth."""

    constants: Constants
    pairs: tuple[Pair, ...]
    before: Quality
    after: Quality
    validated: Quality
    days: int  # on which something was compared
    left_out: int  # intervals for which one of the two had too little

    def raw(self) -> list[float]:
        return [mean_of(pair, 0) for pair in self.pairs]

    def corrected(self, decimals: int) -> list[float]:
        return [predicted(pair, self.constants, decimals) for pair in self.pairs]


def intervals(
    samples: Sequence[Sample], reference: Sequence[tuple[int, float]], interval_s: int, share: float
) -> tuple[list[Pair], int]:
    """(pairs, intervals left out): means over [i * interval, (i + 1) * interval) in which both have at least `share` of
    what they usually have in one. Times are ends of what a value stands for: one that ends on the edge is inside."""
    ours: dict[int, list[Sample]] = {}
    for sample in samples:
        ours.setdefault((sample.time_s - 1) // interval_s, []).append(sample)
    theirs: dict[int, list[float]] = {}
    for time_s, value in reference:
        theirs.setdefault((time_s - 1) // interval_s, []).append(value)
    need_ours = share * _usual([len(found) for found in ours.values()])
    need_theirs = share * _usual([len(found) for found in theirs.values()])
    pairs, left_out = [], 0
    for index in sorted(ours.keys() & theirs.keys()):
        if len(ours[index]) < need_ours or len(theirs[index]) < need_theirs:
            left_out += 1
            continue
        mean = sum(theirs[index]) / len(theirs[index])
        pairs.append(Pair((index + 1) * interval_s, tuple(ours[index]), mean))
    return pairs, left_out


def _usual(counts: list[int]) -> int:
    """How many values an interval has: what most of them have, for one that was full."""
    return sorted(counts)[len(counts) * 3 // 4] if counts else 1


def growth(kappa: int, humidity: float | None) -> float:
    """C for kappa in 1/1000."""
    if not kappa or humidity is None:
        return 1.0
    h = min(max(humidity, 0.0), HUMID / 10)
    return 1 + kappa / 1650 * h / (100 - h)


def mean_of(pair: Pair, kappa: int) -> float:
    return sum(sample.value / growth(kappa, sample.humidity) for sample in pair.samples) / len(pair.samples)


def predicted(pair: Pair, constants: Constants, decimals: int) -> float:
    offset: float = constants.offset / 10**decimals
    return constants.slope / UNIT_SLOPE * mean_of(pair, constants.kappa) + offset


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """(slope, offset, sum of squares left) of y over x."""
    count = len(x)
    mean_x, mean_y = sum(x) / count, sum(y) / count
    spread = sum((each - mean_x) ** 2 for each in x)
    if spread <= 1e-12 * max(1.0, mean_x * mean_x) * count:
        raise SteigerError(
            "the sensor's values do not differ: nothing can be fitted",
            next_step="Is it the right column, and was the sensor alive?",
        )
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    offset = mean_y - slope * mean_x
    return slope, offset, sum((b - slope * a - offset) ** 2 for a, b in zip(x, y, strict=True))


def _solve(pairs: Sequence[Pair], humidity: bool, decimals: int, step: Callable[[], None]) -> Constants:
    """The constants with the least squares, in the whole numbers that a board holds."""
    y = [pair.reference for pair in pairs]
    terms = [[(sample.value, growth(1000, sample.humidity) - 1) for sample in pair.samples] for pair in pairs]
    rests: dict[int, float] = {}

    def means(kappa: int) -> list[float]:
        share = kappa / 1000
        return [sum([value / (1 + share * wet) for value, wet in found]) / len(found) for found in terms]

    def rest(kappa: int) -> float:
        if kappa not in rests:
            step()
            rests[kappa] = _line(means(kappa), y)[2]
        return rests[kappa]

    kappa = 0
    if humidity:  # first roughly everywhere, then in the valley around the best
        rough = min(range(0, KAPPA_MAX + 1, 100), key=rest)
        low, high = max(0, rough - 100), min(KAPPA_MAX, rough + 100)
        while high - low > 2:
            third = (high - low) // 3
            if rest(low + third) <= rest(high - third):
                high -= third
            else:
                low += third
        kappa = min(range(low, high + 1), key=rest)
    x = means(kappa)
    slope = round(_line(x, y)[0] * UNIT_SLOPE)
    # The offset that belongs to the slope as it was rounded.
    offset = sum(b - slope / UNIT_SLOPE * a for a, b in zip(x, y, strict=True)) / len(x)
    return Constants(slope, round(offset * 10**decimals), kappa)


def quality(values: Sequence[float], reference: Sequence[float]) -> Quality:
    count = len(values)
    mean_v, mean_r = sum(values) / count, sum(reference) / count
    both = sum((v - mean_v) * (r - mean_r) for v, r in zip(values, reference, strict=True))
    spread = sum((v - mean_v) ** 2 for v in values) * sum((r - mean_r) ** 2 for r in reference)
    square = sum((v - r) ** 2 for v, r in zip(values, reference, strict=True)) / count
    return Quality(both * both / spread if spread > 0 else 0.0, sqrt(square), mean_v - mean_r)


def fit(
    pairs: Sequence[Pair], left_out: int, *, humidity: bool, decimals: int, step: Callable[[], None] = lambda: None
) -> Fit:
    """SteigerError if what is there cannot be fitted. `step` is called now and then."""
    if humidity and not all(sample.humidity is not None for pair in pairs for sample in pair.samples):
        raise SteigerError(
            "a humidity term needs the humidity of every raw value",
            next_step="Export humidity too, name its column with --humidity-column, or leave --humidity out",
        )
    reference = [pair.reference for pair in pairs]
    if max(reference) - min(reference) <= 1e-9:
        raise SteigerError("the reference does not change: nothing can be fitted", next_step="Is it the right column?")
    constants = _solve(pairs, humidity, decimals, step)
    if constants.slope < SLOPE_MIN:
        raise SteigerError(
            f"the reference does not rise with the sensor: a slope of {constants.slope / UNIT_SLOPE:g} says nothing",
            next_step="Look at the columns, the places and the times of both",
        )
    unseen: list[float] = []
    for fold in range(FOLDS):  # whole parts of the time, as neighbours are alike
        low, high = len(pairs) * fold // FOLDS, len(pairs) * (fold + 1) // FOLDS
        others = _solve([*pairs[:low], *pairs[high:]], humidity, decimals, step)
        unseen += [predicted(pair, others, decimals) for pair in pairs[low:high]]
    after = [predicted(pair, constants, decimals) for pair in pairs]
    return Fit(
        constants,
        tuple(pairs),
        quality([mean_of(pair, 0) for pair in pairs], reference),
        quality(after, reference),
        quality(unseen, reference),
        len({(pair.end_s - 1) // 86_400 for pair in pairs}),
        left_out,
    )


def lag(pairs: Sequence[Pair], interval_s: int) -> int:
    """By how many intervals the reference runs ahead of the sensor (behind: negative); 0 unless that is plain."""
    ours = {pair.end_s: mean_of(pair, 0) for pair in pairs}
    theirs = {pair.end_s: pair.reference for pair in pairs}

    def agreement(shift: int) -> float:
        ends = [end for end in ours if end + shift * interval_s in theirs]
        if len(ends) < len(ours) // 2:
            return 0.0
        return quality([ours[end] for end in ends], [theirs[end + shift * interval_s] for end in ends]).r2

    best = max(range(-LAG_MAX, LAG_MAX + 1), key=lambda shift: (agreement(shift), -abs(shift)))
    return best if agreement(best) > agreement(0) + LAG_GAIN else 0
