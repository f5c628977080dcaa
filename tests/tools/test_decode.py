"""The listener's decoder and `steiger wire decode`: what opens, what does not, and why."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from gateway.keys import Life, add_life
from tools import cli
from tools.decode import Decoder
from wire import UTC, messages, stream
from wire.channels import id_of
from wire.crypto import subkeys
from wire.frame import LORA, SERIAL, seal_uplink
from wire.frame_gateway import seal_downlink
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.totals import total

KEY = bytes(range(16))
OTHER = bytes(range(1, 17))
PROFILE = Profile(((11, 0), (12, 0), (13, 0)), 60)
NOW_S = int(time.time()) // 60 * 60


def life(key: bytes = KEY, profiles: tuple[str, ...] = (PROFILE.encode().hex(),)) -> Life:
    return Life(address=17, key=key, board="bme280-v1", provisioned_s=NOW_S - 3600, profiles=profiles)


def records_frame(counter: int = 5, link: int = SERIAL, key: bytes = KEY) -> bytes:
    payload = encode_records(PROFILE, [Record(3, (UTC, NOW_S), 100, (2143, 451, None), None)], None, None)
    return bytes(seal_uplink(subkeys(key), link, 17, counter, messages.RECORDS, payload))


def hello_frame(counter: int = 0x0003_0004) -> bytes:
    hello = messages.Hello(1, 900, 1, 1, 1 << 8, 0, 0, 3, messages.Totals(3, 3, 0, 0, 0, 0), (PROFILE.id,))
    code, payload = messages.encode(hello)
    return bytes(seal_uplink(subkeys(KEY), SERIAL, 17, counter, code, payload))


def test_records_open_with_units() -> None:
    decoder = Decoder([life()])
    assert decoder.decode(hello_frame())["type"] == "hello"
    item = decoder.decode(records_frame(0x0003_0005))
    assert item["ok"]
    assert item["counter"] == 0x0003_0005  # completed from the hello's
    (record,) = item["records"]
    assert record["seq"] == 3
    assert record["values"]["temperature"] == {"v": 21.43, "u": "Cel"}
    assert record["values"]["pressure"]["v"] is None


def test_a_total_is_shown_as_its_events() -> None:
    profile = Profile(tuple((id_of(name), 1) for name in ("vehicles", "vehicles_total", "vehicles_total_depart")), 60)
    payload = encode_records(profile, [Record(3, (UTC, NOW_S), 100, (2, total(5, 1234), None), None)], None, None)
    frame = bytes(seal_uplink(subkeys(KEY), SERIAL, 17, 5, messages.RECORDS, payload))
    (record,) = Decoder([life(profiles=(profile.encode().hex(),))]).decode(frame)["records"]
    assert [each["v"] for each in record["values"].values()] == [2, 1234, None]


def test_a_listener_in_the_middle_finds_the_counter() -> None:
    assert Decoder([life()]).decode(records_frame(0x0007_0005))["counter"] == 0x0007_0005


def test_profile_comes_with_its_descriptor() -> None:
    decoder = Decoder([life(profiles=())])
    assert decoder.decode(records_frame())["records"] is None
    code, payload = messages.encode(messages.DescriptorMsg(0, 0, PROFILE))
    assert decoder.decode(bytes(seal_uplink(subkeys(KEY), SERIAL, 17, 6, code, payload)))["window_s"] == 60
    assert decoder.decode(records_frame(7))["records"]


def test_a_listener_that_came_too_late_is_told_the_profile() -> None:
    decoder = Decoder([life(profiles=())])
    decoder.learn("00000000", [PROFILE.encode().hex()])
    assert decoder.decode(records_frame())["records"] is None, "of another life"
    decoder.learn(f"{subkeys(KEY).life:08x}", ["00", PROFILE.encode().hex()])
    assert decoder.decode(records_frame(7))["records"]


def test_reasons() -> None:
    assert Decoder([]).decode(records_frame())["reason"] == "no keys"
    assert Decoder([life(OTHER)]).decode(records_frame())["reason"] == "tag"
    other = Life(address=18, key=OTHER, provisioned_s=0)
    assert Decoder([other]).decode(records_frame())["reason"] == "unknown node"
    assert Decoder([life()]).decode(b"")["reason"] == "short"
    assert Decoder([life()]).decode(b"\xe2" + bytes(20))["reason"] == "version"


def test_an_older_life_still_opens() -> None:
    old = Life(address=17, key=OTHER, provisioned_s=1, until_s=2)
    assert Decoder([old, life()]).decode(records_frame(key=OTHER))["life"] == f"{old.life:08x}"


def test_downlinks_open_too() -> None:
    decoder = Decoder([life()])
    decoder.decode(hello_frame())
    code, payload = messages.encode(messages.Ack(4, 0, 0))
    frame = seal_downlink(subkeys(KEY), SERIAL, 17, 1, 99, 1, 0x0003_0004, code, bytes(payload))
    item = decoder.decode(frame)
    assert (item["ok"], item["direction"], item["cum"], item["answers"]) == (True, "down", 4, 0x0003_0004)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    add_life(path, life())
    return path


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.run(["wire", "decode", *args])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_command_decodes_a_frame(capsys: pytest.CaptureFixture[str], keys: Path) -> None:
    code, out, _ = run(capsys, records_frame().hex(), "--keys", str(keys))
    assert code == 0
    assert "temperature 21.43 °C" in out


def test_command_decodes_lora_and_streams(capsys: pytest.CaptureFixture[str], keys: Path) -> None:
    code, out, _ = run(capsys, records_frame(link=LORA).hex(" "), "--keys", str(keys), "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    code, out, _ = run(capsys, bytes(stream.encode(records_frame())).hex(), "--keys", str(keys), "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_command_without_keys_names_what_it_sees(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, records_frame().hex())
    assert code == 1
    assert "node 17" in out
    assert "no keys" in out


@pytest.mark.parametrize("text", ["", "0", "zz", "7e0"])
def test_command_refuses_what_is_no_hex(capsys: pytest.CaptureFixture[str], text: str) -> None:
    code, _, err = run(capsys, text)
    assert code == 2
    assert "Traceback" not in err


def test_command_refuses_a_readable_key_file(capsys: pytest.CaptureFixture[str], keys: Path) -> None:
    os.chmod(keys, 0o644)
    code, _, err = run(capsys, records_frame().hex(), "--keys", str(keys))
    assert code == 2
    assert "chmod 600" in err
