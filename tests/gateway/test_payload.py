"""The JSON of the MQTT sink: strict, the same bytes each time, never NaN; the schema file is what the code says."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.forward import payload
from gateway.forward.payload import WRITTEN_MAX, Payload, decode, encode, encode_record, iso, json_schema
from gateway.models import GAP, HEALTH, Batch, Reception, Record, encode_receptions
from tests.fakes.spool import PROFILE, event, record
from wire.quality import FLAT_LINE, GOOD, HUMIDITY, MISSING, SUSPECT

SCHEMA_FILE = Path(__file__).parents[2] / "gateway" / "forward" / "records.schema.json"


def batch(*records: Record) -> Batch:
    return Batch(3, records, False)


def one(item: Record) -> dict[str, object]:
    (message,) = encode("gw-1", batch(item), 65536)
    assert decode(message).records[0].id == item.id
    found: dict[str, object] = json.loads(message)["records"][0]
    return found


def test_a_record_in_full() -> None:
    assert one(record(15)) == {
        "id": "7-1a2b3c4d-15",
        "node": 7,
        "life": "1a2b3c4d",
        "seq": 15,
        "kind": "record",
        "start": iso(record(15).start_ms),
        "end": iso(record(15).end_ms),
        "bound_s": 2.005,
        "time_source": "clock",
        "received": iso(record(15).received_ms),
        "coverage": 100,
        "values": {
            "pm2_5": {"v": 12.3, "u": "ug/m3"},
            "temperature": {"v": -5.05, "u": "Cel"},
            "humidity": {"v": 80.1, "u": "%"},
            "vehicles": {"v": 17, "u": "1"},
        },
        "profile": "c0ffee01",
    }


def test_who_heard_a_record_over_lora_is_told_and_nothing_for_a_wire() -> None:
    stored = encode_receptions(
        (Reception("roof", 868_100_000, 9, -97, 26), Reception("mast", 867_900_000, 12, -120, -13))
    )
    heard = [
        {"ear": "roof", "mhz": 868.1, "sf": 9, "rssi_dbm": -97, "snr_db": 6.5},
        {"ear": "mast", "mhz": 867.9, "sf": 12, "rssi_dbm": -120, "snr_db": -3.25},
    ]
    usual, flagged = record(15), record(1, (None, -505, 801, 17), (9, 3, 1, 1))
    for item in (usual, flagged, event(3)):
        assert "heard" not in one(item)
        assert one(msgspec.structs.replace(item, receptions=stored)) == one(item) | {"heard": heard}


def test_missing_values_are_null_and_flags_tell_why() -> None:
    found = one(record(1, (None, -505, 801, 17), (9, 3, 1, 1)))
    assert found["values"]["pm2_5"] == {"v": None, "u": "ug/m3"}  # type: ignore[index]
    assert found["flags"] == {"pm2_5": 9, "temperature": 3}
    found = one(record(1, (None, -505, 801, 17)))
    assert found["flags"] == {"pm2_5": 9}  # a missing value is flagged even where the node sent no flags
    assert "flags" not in one(record(1, flags=(1, 1, 1, 1)))
    assert "quality" not in one(record(1, flags=(1, 1, 1, 1)))


def test_flags_and_reasons_are_told_in_words() -> None:
    found = one(
        record(1, values=(None, 5, 6, 7), flags=(MISSING | FLAT_LINE << 4, SUSPECT | HUMIDITY << 4, SUSPECT, GOOD))
    )
    names = list(found["values"])
    assert found["flags"] == {names[0]: 9, names[1]: 3, names[2]: 3}
    assert found["quality"] == {
        names[0]: {"flag": "missing", "reason": "flat_line"},
        names[1]: {"flag": "suspect", "reason": "humidity"},
        names[2]: {"flag": "suspect"},
    }


def test_other_kinds_carry_their_integers() -> None:
    found = one(record(4, kind=GAP, detail={"cause": 1, "count": 60}))
    assert (found["kind"], found["values"], found["detail"]) == ("gap", {}, {"cause": 1, "count": 60})
    assert found["profile"] == "c0ffee01"
    assert one(record(4, kind=HEALTH, detail={"supply_mv": 4980}))["detail"] == {"supply_mv": 4980}
    assert "profile" not in one(event(4))


def test_a_record_without_its_profile_is_never_sent_empty() -> None:
    with pytest.raises(LookupError, match="7-1a2b3c4d-4"):
        encode_record(msgspec.structs.replace(record(4), profile=None))


def test_times_are_utc_with_milliseconds_only_where_there_are_any() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(59_999) == "1970-01-01T00:00:59.999Z"
    assert iso(1_795_000_000_007) == "2026-11-18T11:06:40.007Z"


def test_the_same_batch_gives_the_same_bytes() -> None:
    first = list(encode("gw-1", batch(record(1), event(2), record(3, (None, 1, 2, 3))), 65536))
    again = list(encode("gw-1", Batch(3, (record(1), event(2), record(3, (None, 1, 2, 3))), True), 65536))
    assert first == again


def test_a_batch_beyond_the_size_is_split_at_records() -> None:
    records = tuple(record(seq) for seq in range(200))
    messages = list(encode("gw-1", Batch(3, records, False), 16384))
    assert len(messages) > 3
    assert max(map(len, messages)) <= 16384
    found = [item.id for message in messages for item in decode(message).records]
    assert found == [item.id for item in records]
    assert list(encode("gw-1", Batch(3, (), False), 16384)) == []


def test_values_have_the_decimals_of_their_channel_however_many_were_written_before() -> None:
    """Texts of values are kept, but no more than so many: the first is asked for again when it was forgotten."""
    for raw in [*range(-2 * WRITTEN_MAX, 2 * WRITTEN_MAX), -2 * WRITTEN_MAX]:
        text = encode_record(record(1, (raw, raw, raw, raw)))
        sign, digits = "-" if raw < 0 else "", f"{abs(raw):03d}"
        whole = f"{int(digits[:-1])}.{digits[-1]}"
        assert f'"pm2_5":{{"v":{sign}{whole},"u":"ug/m3"}}' in text
        assert f'"temperature":{{"v":{sign}{int(digits[:-2])}.{digits[-2:]},"u":"Cel"}}' in text
        assert f'"humidity":{{"v":{sign}{whole},"u":"%"}}' in text
        assert f'"vehicles":{{"v":{raw},"u":"1"}}}},"profile"' in text
    assert max(map(len, payload._written.values())) <= WRITTEN_MAX


def test_a_profile_that_took_the_place_of_another_is_written_as_it_is() -> None:
    """Rows of a store are numbered from 1 in every store; what is kept of a profile is of that very one."""
    other = msgspec.structs.replace(PROFILE, channels=PROFILE.channels[::-1], id=0xBEEF)
    for profile in (PROFILE, other, PROFILE):
        found = one(msgspec.structs.replace(record(1), profile=profile))
        assert list(found["values"]) == [channel.name for channel in profile.channels]  # type: ignore[call-overload]
        assert found["profile"] == f"{profile.id:08x}"


def test_values_that_do_not_fit_their_profile_are_not_sent_in_part() -> None:
    short = msgspec.structs.replace(record(1), values=(1, 2, 3))
    with pytest.raises(ValueError, match="shorter"):
        encode_record(short)


RAW = st.one_of(st.none(), st.integers(-(2**31) + 1, 2**31 - 1))


@given(
    st.tuples(RAW, RAW, RAW, RAW),
    st.one_of(st.none(), st.tuples(*[st.sampled_from([1, 2, 3, 4, 9])] * 4)),
)
def test_every_value_is_exact_and_both_ways_agree(
    values: tuple[int | None, ...], flags: tuple[int, ...] | None
) -> None:
    text = encode_record(record(1, values, flags))
    assert "NaN" not in text
    assert "Infinity" not in text
    found = msgspec.json.decode(text)["values"]
    for channel, raw in zip(PROFILE.channels, values, strict=True):
        value = found[channel.name]["v"]
        assert value is None if raw is None else round(value * 10**channel.decimals) == raw
    if None not in values and flags is None:
        slow = encode_record(record(1, values, (1, 1, 1, 1)))
        assert slow == text


def test_the_schema_file_is_current() -> None:
    expected = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == expected, (
        'stale: .venv/bin/python -c "import json; from gateway.forward.payload import json_schema; '
        'print(json.dumps(json_schema(), indent=2, ensure_ascii=False))" > gateway/forward/records.schema.json'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "steiger.records.v2"},
        {"records": []},
        {"extra": 1},
        {"records": [{"id": "x"}]},
        {"batch": 0},
    ],
)
def test_reading_is_strict(change: dict[str, object]) -> None:
    (message,) = encode("gw-1", batch(record(1)), 65536)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(json.loads(message) | change), type=Payload)
