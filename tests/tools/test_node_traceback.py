"""`steiger node traceback`: short names lead back to the sources; what is no traceback is said to be none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.loading import load_board
from tools import cli, firmware_build
from tools.commands import node


@pytest.fixture(scope="module")
def printed() -> tuple[str, str]:
    """(what a board printed, a place that has to be told)."""
    origins = firmware_build.origins_of(load_board("bme280-v1"), "xtensawin", "esp32")
    (file, name), places = next((key.split(), places) for key, places in origins.items() if "outbox/log" in str(places))
    text = f'Traceback (most recent call last):\n  File "{file}", line 1, in {name}\nOSError: 28\n'
    return text, places[0]


def test_each_line_gets_its_places(printed: tuple[str, str], tmp_path: Path) -> None:
    text, place = printed
    file = tmp_path / "said.txt"
    file.write_text("I (12) boot: noise\n" + text)
    for call in (["bme280-v1", str(file)], ["bme280-v1"]):
        done = CliRunner().invoke(node.app, ["traceback", *call], input=text)
        assert done.exit_code == 0, done.output
        assert place in done.output
        assert "OSError: 28" in done.output
    done = CliRunner().invoke(node.app, ["traceback", "bme280-v1", "--json"], input=text)
    assert place in json.loads(done.output)["traceback"][1]


@pytest.mark.parametrize("text", [b"", b"\xff\xfe no such thing\n"])
def test_what_is_no_traceback_is_told(text: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "said.txt"
    file.write_bytes(text)
    assert cli.run(["node", "traceback", "bme280-v1", str(file)]) == 2
    said = capfd.readouterr().err
    assert "no traceback" in said and str(file) in said
    assert cli.run(["node", "traceback", "bme280-v1", str(tmp_path / "away")]) == 2
    assert "No such file" in capfd.readouterr().err
