"""What a reading may cost on air, over LoRa framing: the promise of the README, on shortened runs (`make bench`: all)."""

import statistics

import pytest

from bench import formats, series, sizes
from bench.airtime import airtime_ms
from wire.crypto import subkeys
from wire.frame import LORA, seal_uplink
from wire.messages import RECORDS


@pytest.fixture(scope="module")
def days() -> list[sizes.Record]:
    return sizes.records(days=2)


def test_framing_is_nine_bytes_at_most(days: list[sizes.Record]) -> None:
    payload = sizes.payloads(days[:1], 1)[0]
    frame = seal_uplink(subkeys(bytes(16)), LORA, 1, 1, RECORDS, payload)
    assert len(frame) - len(payload) <= sizes.FRAMING == 9


def test_single_readings(days: list[sizes.Record]) -> None:
    frames = [len(payload) + sizes.FRAMING for payload in sizes.payloads(days, 1)]
    assert statistics.fmean(frames) <= 26
    assert max(frames) <= 33


@pytest.mark.parametrize("seed", [series.DEFAULT_SEED, 1, 2])
def test_ten_readings(seed: int) -> None:
    frames = [len(payload) + sizes.FRAMING for payload in sizes.payloads(sizes.records(seed, 1), 10)]
    assert statistics.fmean(frames) <= 85


def test_missing_values_and_flags_cost_little(days: list[sizes.Record]) -> None:
    broken = sizes.with_missing(days)
    single = [len(payload) + sizes.FRAMING for payload in sizes.payloads(broken, 1)]
    assert statistics.fmean(single) <= 26
    assert max(single) <= 33
    assert statistics.fmean(len(payload) + sizes.FRAMING for payload in sizes.payloads(broken, 10)) <= 85


def test_airtime_against_known_values() -> None:
    """Semtech's calculator: preamble 8, explicit header, CRC, 125 kHz, 4/5."""
    known = {
        (10, 7): 41.216,
        (51, 7): 102.656,
        (23, 9): 205.824,
        (64, 10): 698.368,
        (13, 11): 577.536,
        (222, 12): 8036.352,
    }
    for (size, sf), expected in known.items():
        assert airtime_ms(size, sf) == pytest.approx(expected)


def test_what_others_would_send() -> None:
    values = series.make(days=1)[0]
    assert len(formats.cayenne_lpp(series.START_S, values)) == 45
    assert formats.cbor({0: "a", 1: [1, -1, 500, 0.5, 1.1]}).hex() == "a2006161018501201901f4f93800fa3f8ccccd"
    assert formats.json_line(1, 2, values).startswith(b'{"id":"bo-0421","seq":1,"ts":2,"pm2_5":')
    assert len(formats.senml_cbor([(1, 2, values)])) > 100
