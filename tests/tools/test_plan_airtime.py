"""`steiger plan airtime`: real bytes, the ether's airtime, the law; both languages, JSON, clear errors."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise

import pytest

from bench import series, sizes
from boards import board_names, load_board
from tools import cli
from tools.airtime_words import WORDS
from tools.plan_airtime import ANSWER_BYTES, FRAME, HEALTH_BYTES, SFS, plan, profiles_of, records_of
from tools.sim.radio.airtime import frame_us
from wire.channels import id_of
from wire.profiles import Profile
from wire.records import encode_records
from wire.records_gateway import decode_records
from wire.regions import frame_limit
from wire.totals import difference


def test_bytes_are_those_of_records_that_a_gateway_reads_back() -> None:
    for name in board_names():
        for profile in profiles_of(load_board(name), 300):
            records = records_of(profile, 30, 1)
            for record in records:
                payload = encode_records(profile, [record], record.time[1], 40_000)
                (back,) = decode_records(payload, profile, 40_000, record.time[1])
                assert back.values == record.values
            columns = list(zip(*(record.values for record in records), strict=True))
            assert sum(len(set(column)) > 1 for column in columns) >= 0.7 * len(columns)  # a few are nearly always 0


def test_drawn_totals_add_up_their_counts() -> None:
    """Beside their counts and alone: a difference costs what some vehicles cost, not what their mark does."""
    count, so_far, other = ((id_of(name), 0) for name in ("vehicles", "vehicles_total", "vehicles_total_depart"))
    records = records_of(Profile((count, so_far, other), 300), 300, 2)
    for before, after in pairwise(records):
        assert difference(before.values[1], after.values[1]) == (after.values[0], False)
        assert difference(before.values[2], after.values[2])[0] < 100
    assert len({record.values[1] >> 24 for record in records}) == 1
    assert 20 < statistics.fmean(record.values[0] for record in records) < 40


def test_drawn_values_cost_what_a_street_costs() -> None:
    """The same profile with the week of the bench, whose values come from elsewhere: within a tenth, never cheaper by more."""
    declared = sizes.profile()
    drawn = [len(encode_records(declared, [one], one.time[1], 40_000)) for one in records_of(declared, 600, 3)]
    week = [len(payload) for payload in sizes.payloads(sizes.records(series.DEFAULT_SEED, 1), 1)]
    assert 0.95 < statistics.fmean(drawn) / statistics.fmean(week) < 1.2


def test_figures_follow_from_bytes_and_the_law() -> None:
    found = plan(load_board("heltec-v3"), 300)
    assert [rate.sf for rate in found.rates] == list(SFS)
    (profile,) = profiles_of(load_board("heltec-v3"), 300)
    frames = [len(encode_records(profile, [one], one.time[1], 40_000)) + FRAME for one in records_of(profile, 240, 5)]
    for rate in found.rates:
        airtime_us = statistics.fmean(float(frame_us(size, rate.sf)) for size in frames)
        assert rate.airtime_ms == pytest.approx(airtime_us / 1000, abs=0.002)
        hour_us = 12 * airtime_us + float(frame_us(HEALTH_BYTES, rate.sf))
        assert rate.duty_percent == pytest.approx(hour_us / 3.6e7, abs=0.001)
        assert rate.records_per_hour == int(36e6 // airtime_us)
        assert rate.batch_bytes <= frame_limit(rate.sf) and rate.batch > 1
        assert rate.lawful and rate.batch_records_per_hour > 2 * rate.records_per_hour
        load = (hour_us + 6 * float(frame_us(ANSWER_BYTES, rate.sf))) / 3.6e9
        assert math.exp(-2 * load * rate.nodes_one_channel) >= 0.95
        assert math.exp(-2 * load * (rate.next_one_channel + 1)) < 0.9 + 0.01
        assert 8 * rate.nodes_one_channel <= rate.nodes_eight_channels < rate.next_eight_channels
    assert found.power_dbm == 14 and found.on_air and found.battery_days is not None


def test_a_short_interval_is_not_lawful_everywhere() -> None:
    rates = plan(load_board("heltec-v3"), 60).rates
    assert [rate.lawful for rate in rates] == [True] * 4 + [False] * 2
    fast = plan(load_board("heltec-v3"), 10)
    assert not fast.rates[-1].lawful and fast.rates[0].lawful


def test_table_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert WORDS["en"].keys() == WORDS["de"].keys()
    assert all(len(words["heads"].split("|")) == 13 for words in WORDS.values())
    assert cli.run(["plan", "airtime", "--board", "heltec-v3"]) == 0
    english = capsys.readouterr().out
    assert "heltec-v3: a record of 9 values every 300 s, 14 dBm" in english and "Battery: about" in english
    assert cli.run(["plan", "airtime", "--board", "air-v1", "--interval", "60", "--lang", "de"]) == 0
    german = capsys.readouterr().out
    assert "nicht erlaubt" in german and "hat kein Funkmodul" in german and "Akku" in german
    assert len(german.splitlines()) == len(english.splitlines()) + 1


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plan", "airtime", "--board", "t3-s3", "--interval", "600", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["interval_s"] == 600 and [rate["sf"] for rate in found["rates"]] == list(SFS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--board", "nope"], "there is no such board"),
        (["--board", "heltec-v3-bridge"], "measures nothing"),
        (["--board", "heltec-v3", "--lang", "fr"], "not en or de"),
        (["--board", "heltec-v3", "--interval", "5"], "interval"),
        ([], "--board"),
    ],
)
def test_what_cannot_be_planned(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plan", "airtime", *arguments]) == 2
    assert expected in capsys.readouterr().err
