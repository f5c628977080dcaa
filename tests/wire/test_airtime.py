"""Time on air and the law of the air, beside what vendors and others compute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import regions
from wire.airtime import airtime_us
from wire.duty import BLOCK_US


@given(
    length=st.integers(0, 255),
    sf=st.integers(7, 12),  # theirs does not know the longer sync of SF5 and SF6; Semtech's own value is a vector
    bw_hz=st.sampled_from((62500, 125000, 250000, 500000)),
    cr=st.integers(5, 8),
    preamble=st.integers(6, 64),
    explicit=st.booleans(),
    crc=st.booleans(),
)
def test_time_on_air_is_what_another_package_computes(
    length: int, sf: int, bw_hz: int, cr: int, preamble: int, explicit: bool, crc: bool
) -> None:
    lora = pytest.importorskip("pamoja.lora")  # no wheel for every platform
    theirs = lora.link(sf, bw_hz, cr, preamble, explicit, crc).airtime_us(length)
    assert 0 <= airtime_us(length, sf, bw_hz, cr, preamble, explicit, crc) - theirs <= 1  # ours is rounded up


def test_a_longer_frame_never_takes_less_time() -> None:
    for sf in range(5, 13):
        times = [airtime_us(length, sf) for length in range(256)]
        assert times == sorted(times)


@pytest.mark.parametrize(
    ("freq_hz", "band", "permille"),
    [
        (863_500_000, "K", 1), (867_100_000, "L", 10), (867_900_000, "L", 10), (868_100_000, "M", 10),
        (868_300_000, "M", 10), (868_500_000, "M", 10), (868_800_000, "N", 1), (869_525_000, "P", 100),
        (869_850_000, "Q", 10),
    ],
)  # fmt: skip
def test_a_frequency_has_its_sub_band_and_duty_cycle(freq_hz: int, band: str, permille: int) -> None:
    index = regions.band_of(freq_hz)
    assert regions.BANDS[index] == band
    assert regions.duty_permille(index) == permille


@pytest.mark.parametrize(
    "freq_hz",
    [
        862_950_000,
        865_000_000,
        868_000_000,
        868_560_000,
        868_650_000,
        869_450_000,
        869_640_000,
        869_670_000,
        870_000_000,
    ],
)
def test_nothing_may_be_sent_where_a_channel_reaches_over_an_edge(freq_hz: int) -> None:
    assert regions.band_of(freq_hz) == -1
    with pytest.raises(ValueError, match="outside"):
        regions.power_limit_dbm(freq_hz, 215)


def test_every_channel_of_the_plan_lies_in_a_band() -> None:
    assert [regions.BANDS[regions.band_of(freq)] for freq in regions.UPLINKS_HZ] == list("MMMLLLLL")
    assert regions.BANDS[regions.band_of(regions.DOWNLINK_HZ)] == "P"


@pytest.mark.parametrize(
    ("freq_hz", "gain_cdbi", "limit_dbm"),
    [
        (868_100_000, 215, 14),
        (868_100_000, 400, 12),
        (868_100_000, 0, 16),
        (869_525_000, 215, 27),
        (868_100_000, 216, 13),
    ],
)
def test_power_is_limited_by_what_the_antenna_radiates(freq_hz: int, gain_cdbi: int, limit_dbm: int) -> None:
    assert regions.power_limit_dbm(freq_hz, gain_cdbi) == limit_dbm


def test_no_frame_stays_on_air_for_longer_than_a_reservation_holds() -> None:
    for sf in range(7, 13):
        assert airtime_us(regions.frame_limit(sf), sf) <= BLOCK_US
