"""What the monitor says about the state of a line, and that it says it in both languages."""

from __future__ import annotations

import os
import re
import tty
from pathlib import Path

import pytest

from gateway.keys import Life
from tools import cli
from tools.decode import Decoder
from tools.monitor_advice import NEVER_HEARD_S, SILENT_S, Watch
from tools.monitor_text import frame_lines
from tools.monitor_words import QUALITIES, REASONS, WORDS
from wire import UTC
from wire.channels import id_of
from wire.crypto import subkeys
from wire.frame import SERIAL, seal_uplink
from wire.messages import HELLO, RECORDS
from wire.profiles import Profile
from wire.quality import FLAG_NAMES, HUMIDITY, MISSING, REASON_NAMES, SUSPECT
from wire.records import Record, encode_records
from wire.stream import encode

HELLO_ITEM = {"direction": "up", "type": "hello", "node": 7, "ok": True, "oldest_seq": 4, "next_seq": 9}


def test_silence_is_told_twice_and_again_after_a_word() -> None:
    watch = Watch(100.0, tap=False)
    assert watch.silence(100 + NEVER_HEARD_S - 0.1) is None
    told = watch.silence(100 + NEVER_HEARD_S)
    assert told is not None
    assert (told.code, told.facts) == ("silent", {"s": 15})
    assert watch.silence(100 + NEVER_HEARD_S + 1) is None
    assert watch.silence(100 + SILENT_S) is not None
    assert watch.silence(1e6) is None
    watch.heard(1e6)  # a board that reports once a minute is not silent in between
    assert watch.silence(1e6 + SILENT_S - 1) is None
    assert watch.silence(1e6 + SILENT_S) is not None


def test_a_hello_on_a_port_of_our_own_says_what_the_board_keeps() -> None:
    watch = Watch(0.0, tap=False)
    told = watch.frame(HELLO_ITEM)
    assert told is not None
    assert (told.code, told.facts) == ("no_gateway", {"n": 5})
    closed = watch.frame({"type": "hello", "node": 7, "ok": False, "reason": "no keys"})
    assert closed is not None
    assert closed.code == "no_gateway_closed"
    assert watch.frame({"ok": False, "reason": "short"}) is None


def test_beside_a_gateway_only_a_second_hello_without_an_answer_is_a_sign() -> None:
    watch = Watch(0.0, tap=True)
    assert watch.frame(HELLO_ITEM) is None
    assert watch.frame({"direction": "down", "type": "ack", "node": 7, "ok": True}) is None
    assert watch.frame(HELLO_ITEM) is None
    told = watch.frame(HELLO_ITEM)
    assert told is not None
    assert told.code == "not_answered"
    assert watch.text(">>> ") is not None
    assert watch.text("INFO clock: set") is None


def test_both_languages_say_everything_with_the_same_facts() -> None:
    english, german = WORDS["en"], WORDS["de"]
    assert english.keys() == german.keys()
    for code, text in english.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", german[code])), code
        assert code == "tap" or text != german[code]
    assert REASONS["en"].keys() == REASONS["de"].keys()
    words = [*FLAG_NAMES.values(), *filter(None, REASON_NAMES)]
    german = QUALITIES["de"]
    assert set(german) == set(words)
    assert set(QUALITIES["en"]) <= set(words)
    assert len({*german.values()}) == len(words)


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", "suspect (air humid above 80 %): pm1, pm2_5; missing: humidity"),
     ("de", "zweifelhaft (Luftfeuchte über 80 %): pm1, pm2_5; fehlt: humidity")],
)  # fmt: skip
def test_a_record_says_what_is_not_good_and_why(lang: str, words: str) -> None:
    air = Profile(tuple((id_of(name), 0) for name in ("pm1", "pm2_5", "humidity")), 60)
    life = Life(address=7, key=bytes(16), board="air-v1", provisioned_s=0, profiles=(air.encode().hex(),))
    flags = (SUSPECT | HUMIDITY << 4, SUSPECT | HUMIDITY << 4, MISSING)
    payload = encode_records(air, [Record(3, (UTC, 1_760_000_040), 100, (80, 120, None), flags)], None, None)
    item = Decoder([life]).decode(seal_uplink(subkeys(bytes(16)), SERIAL, 7, 1, RECORDS, payload))
    assert item["records"][0]["flags"] == [3, 3, 9]
    (line,) = frame_lines({"kind": "frame", **item}, lang)
    assert line.endswith(words)


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", ["no gateway answers: the board keeps its records, safe", "stands at its prompt", "not opened: no keys"]),
     ("de", ["kein Gateway antwortet: die Platine behält ihre", "steht an ihrer Eingabe", "nicht geöffnet: keine Schlüssel"])],
)  # fmt: skip
def test_the_command_says_it(capsys: pytest.CaptureFixture[str], lang: str, words: list[str]) -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        os.write(ours, encode(seal_uplink(subkeys(bytes(16)), SERIAL, 7, 1, HELLO, b"whatever")) + b"\r\n>>> \r\n")
        assert cli.run(["monitor", os.ttyname(theirs), "--seconds", "1", "--lang", lang]) == 0
    finally:
        os.close(ours)
        os.close(theirs)
    said = capsys.readouterr()
    for word in words:
        assert word in said.out, said.out


def test_a_wrong_language_names_the_right_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["monitor", "/dev/null"], ["node", "provision", "/dev/null", "--board", "air-v1", "--address", "7"]):
        assert cli.run([*args, "--lang", "fr"]) == 2
        assert "--lang en or --lang de" in capsys.readouterr().err
