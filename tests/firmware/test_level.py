"""Decibels and energies in whole numbers against the float formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.dsp import level as module
from firmware.dsp.level import ENERGY_ONE, bit_length, centi_db, energy


@given(st.integers(1, 1 << 120), st.integers(1, 1 << 60))
def test_centi_db(numerator: int, denominator: int) -> None:
    exact = 1000 * (math.log10(numerator) - math.log10(denominator))
    assert abs(centi_db(numerator, denominator) - exact) <= 0.6


@given(st.integers(0, 20000))
def test_energy(level: int) -> None:
    assert abs(1000 * math.log10(energy(level) / ENERGY_ONE) - level) < 0.1


@given(st.integers(0, 18000))
def test_there_and_back(level: int) -> None:
    assert centi_db(energy(level), ENERGY_ONE) == level


@given(st.integers(0, 1 << 200))
def test_bit_length(number: int) -> None:
    assert bit_length(number) == number.bit_length()


def test_tables() -> None:
    assert list(module._LOG) == [round(1e5 * math.log10(1 + at / 32)) for at in range(33)]
    for scale, table in ((10, module._TENTHS), (100, module._HUNDREDTHS), (1000, module._THOUSANDTHS)):
        assert list(table) == [round(10 ** (at / scale) * 16384) for at in range(10)]


def test_steps_never_go_down() -> None:
    levels = [centi_db(number, 1000) for number in range(1000, 4000)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(("numerator", "denominator"), [(0, 1), (1, 0), (-1, 1)])
def test_level_of_nothing(numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="level of nothing"):
        centi_db(numerator, denominator)


@pytest.mark.parametrize(
    ("levels", "result"),
    [([6000, 6000, 7000], 6602), ([5000] * 59 + [8000], 6247), ([5500, 6500], 6240)],
    ids=["60 60 70", "59x50 80", "55 65"],
)
def test_worked_examples_of_the_fact_sheet(levels: list[int], result: int) -> None:
    assert centi_db(sum(map(energy, levels)), len(levels) * ENERGY_ONE) == result
