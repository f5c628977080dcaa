"""Every message of a technician's tools has both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools.messages_in_source import errors_and_progress
from tools import cli
from tools.german import GERMAN, german, german_place

TECHNICIANS = (
    "tools/provision.py", "tools/handover.py", "tools/board_link.py", "tools/listen.py", "tools/commands/monitor.py", "gateway/links/port.py",
    "gateway/keys.py", "gateway/owner.py", "gateway/calibration.py", "tools/passports.py", "tools/calibrate_node.py",
    "tools/colocation.py", "tools/colocation_csv.py", "tools/commands/calibrate.py", "tools/commands/node_calibrate.py",
    "tools/commands/node_command.py", "tools/commands/node_setting.py", "tools/ask_node.py", "tools/commands/node_bridge.py", "tools/language.py",
    "tools/mic_calibrator.py", "tools/sim/radio/deployment.py", "tools/commands/plan_city.py",
    "tools/commands/range_test.py", "tools/range_places.py", "gateway/range_test.py", "tools/errors.py",
)  # fmt: skip
# Of the command's file, what `retire` and `list` say stays English: they have no --lang. Of the rest, what no person
# ever sees, or what is a value inside another message.
NOT_FOR_A_TECHNICIAN = {
    "unreachable", "a key has 16 bytes", "the life does not belong to the key", "lives[{}] (node {}): {}", "{}: {}",
    "lives[{}] (node {}): the same key stands there twice", "lives[{}] (node {}): until_s lies before provisioned_s",
}  # fmt: skip
RETIRE = (
    "has ended already", "is not in the key file", "node {} {}", "steiger node list", "--until", "node {} refuses",
    "It has no time yet", "node {} is silent", "Look at its supply",
)  # fmt: skip


@pytest.mark.parametrize("module", [*TECHNICIANS, "tools/commands/node.py"])
def test_every_message_is_there_in_german(module: str) -> None:
    said = set(errors_and_progress(module)) - NOT_FOR_A_TECHNICIAN
    if module.endswith("node.py"):
        said = {text for text in said if not text.startswith(RETIRE)}
    assert said, module
    missing = sorted(text for text in said if text not in GERMAN)
    assert missing == [], "give these an entry in tools/german.py"


def test_a_new_message_would_be_missed(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        'def f(said, n):\n    said(f"{n}: a new line")\n    raise BoardError(f"new {n}", next_step="Do it")\n'
    )
    assert set(errors_and_progress(str(source))) == {"{}: a new line", "new {}", "Do it"}


def test_a_place_is_named_in_german_too() -> None:
    assert german_place("node 7, /dev/x") == "Knoten 7, /dev/x"
    assert german_place("/dev/node 7") == "/dev/node 7"


def test_both_have_the_same_values_and_differ() -> None:
    for english, translated in GERMAN.items():
        assert english.count("{}") == len(re.findall(r"{\d?}", translated)), english
        assert english != translated


def test_messages_are_found_by_their_template() -> None:
    assert german("/dev/ttyUSB0: copying 31 files to slot b") == "/dev/ttyUSB0: 31 Dateien werden nach Platz b kopiert"
    assert german("port is used by picocom /dev/x (pid 7)") == "der Anschluss wird von picocom /dev/x benutzt (pid 7)"
    assert german("/dev/x: the board does not answer on its REPL, try 2 of 3") == (
        "/dev/x: die Platine antwortet nicht auf ihrer REPL, Versuch 2 von 3"
    )
    assert german("a sentence that nobody knows") == "a sentence that nobody knows"
    for english, translated in GERMAN.items():
        if "{" not in english:
            assert german(english) == translated


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["monitor", "/none/tty"], ["diesen Anschluss gibt es nicht — /none/tty", "Ist die Platine eingesteckt?"]),
        (["monitor", "/"], ["das ist ein Ordner, kein Anschluss"]),
        (["node", "provision", "/none/tty", "--board", "air-v1", "--address", "7"], ["diesen Anschluss gibt es nicht"]),
        (["node", "provision", "/none/tty", "--board", "air-v9", "--address", "7"], ["air-v9: diese Platine gibt es nicht"]),
        (["node", "provision", "/none/tty", "--address", "7"], ["die Option '--board' fehlt", "--help zeigt, wie es geht"]),
        (["node", "provision", "/none/tty", "--board", "air-v1", "--address", "7", "--set", "a=b"], ["ist nicht NAME=ZAHL"]),
    ],
)  # fmt: skip
def test_errors_of_the_commands(capsys: pytest.CaptureFixture[str], args: list[str], words: list[str]) -> None:
    assert cli.run([*args, "--lang", "de"]) in (2, 3)
    err = capsys.readouterr().err
    assert err.startswith("Fehler: ")
    for word in words:
        assert word in err
    assert cli.run([*args, "--lang=de", "--json"]) in (2, 3)  # a script reads one language
    assert "error: " in capsys.readouterr().err
