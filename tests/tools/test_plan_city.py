"""`steiger plan city`: what it says, in both languages, as JSON and as a picture; and what it says of a wrong file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools import cli
from tools.city_words import WORDS, percent, say
from tools.sim.radio.capacity import WANTED
from tools.sim.radio.city import City
from tools.sim.radio.deployment import load
from tools.sim.radio.picture import Curve, curves

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "deployment.toml"
SMALL = """
name = "two streets"
hours = 0.5
[[gateway]]
name = "roof"
kind = "bridge"
x_m = 0
y_m = 0
[[node]]
name = "near"
x_m = 100
y_m = 0
[[node]]
name = "far away"
x_m = 90000
y_m = 0
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "town.toml"
    path.write_text(SMALL)
    return path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = cli.run(["plan", "city", *map(str, args)])
    return code, *capsys.readouterr()


def test_the_example_is_complete_and_planned(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    code, out, _ = run(capsys, EXAMPLE, "--hours", "0.5", "--json", "--picture", picture)
    found = json.loads(out)
    assert code == 0 and len(found["nodes"]) == 62
    assert found["records"] >= 62 * 5 and 0.9 < found["in_time"] <= found["delivered"] <= 1
    assert found["channels"][0]["share"] >= found["channels"][-1]["share"]
    svg = ET.fromstring(picture.read_text())
    assert len([e for e in svg.iter() if e.tag.endswith("circle")]) == 62 + 3, "every node, and the legend"


def test_both_languages_say_the_same(capsys: pytest.CaptureFixture[str], small: Path) -> None:
    code, english, _ = run(capsys, small)
    assert code == 0
    assert "two streets: nodes 2, gateways 1, 0.5 h" in english
    assert "far away is heard too weakly" in english and "The plan does not hold: 5" in english
    german = run(capsys, small, "--lang", "de")[1]
    assert "two streets: Knoten 2, Gateways 1, 0,5 h" in german
    assert "far away kommt zu schwach an" in german and "Der Plan trägt nicht: 5" in german
    assert len(english.splitlines()) == len(german.splitlines())
    assert WORDS["en"].keys() == WORDS["de"].keys()
    for word, text in WORDS["en"].items():
        assert text.count("{") == WORDS["de"][word].count("{"), word


def test_nobody_in_a_plan_is_louder_than_the_law_permits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What boards, bridges and HATs do with their antennas: 14 dBm e.r.p. up, 27 dBm down, 2.15 dBi being nothing."""
    path = tmp_path / "plan.toml"
    path.write_text(
        'name = "two"\nhours = 0.5\n[[gateway]]\nname = "mast"\nkind = "concentrator"\nx_m = 0\ny_m = 0\n'
        "gain_dbi = 8\npower_dbm = 27\n"
        '[[node]]\nname = "loud"\nx_m = 100\ny_m = 0\ngain_dbi = 5\npower_dbm = 22\n'
        '[[node]]\nname = "usual"\nx_m = 0\ny_m = 100\n'
    )
    code, out, _ = run(capsys, path, "--json")
    assert code == 0
    assert {node["name"]: node["power_dbm"] for node in json.loads(out)["nodes"]} == {"loud": 11, "usual": 14}
    plan = City(load(path))
    assert [ear.power_dbm for ear in plan.gateway.ears] == [21]
    plan.run()
    down = [line for line in plan.ether.log if line.who == "mast"]
    assert down and {line.power_dbm for line in down} == {21}


def test_a_share_is_never_rounded_up() -> None:
    assert percent("en", 0.99899) == "99.89 %" and percent("de", 0.999) == "99,90 %" and percent("en", 1) == "100.00 %"
    assert say("de", "bad", share=99.5).count("99,50 %") == 1


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (('kind = "bridge"', 'kind = "antenna"'), ":6", "antenna"),
        (("x_m = 100\n", ""), ":9", "a place is x_m and y_m, or lat and lon"),
        (("x_m = 100\n", "lat = 51.0\nlon = 7.0\n"), ":", "a place is x_m and y_m, or lat and lon"),
        (("x_m = 100\ny_m = 0\n", "lat = 51.0\nlon = 7.0\n"), ":", "some in degrees"),
        (('name = "near"', 'name = "roof"'), ":", "there twice"),
        (("hours = 0.5", "hours = 0.5\nour = 3"), ":", "our"),
        (("hours = 0.5", "hours = x"), "town.toml", "no valid TOML"),
        (("x_m = 100", 'x_m = "east"'), ":", "float"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    capsys: pytest.CaptureFixture[str], small: Path, change: tuple[str, str], where: str, what: str
) -> None:
    small.write_text(small.read_text().replace(*change))
    code, out, err = run(capsys, small)
    assert code == 2 and not out
    assert what in err and where in err and str(small) in err and "Traceback" not in err


def test_what_is_not_there_is_told(capsys: pytest.CaptureFixture[str], small: Path, tmp_path: Path) -> None:
    for args, what in (
        ([tmp_path / "none.toml"], "there is no such file"),
        ([small, "--lang", "fr"], "--lang fr is not en or de"),
        ([small, "--picture", tmp_path / "no" / "folder.svg"], "there is no such folder"),
        ([small, "--picture", tmp_path], "the file cannot be written: Is a directory"),
    ):
        code, _, err = run(capsys, *args)
        assert code == 2 and what in err
    assert "diese Datei gibt es nicht" in run(capsys, tmp_path / "none.toml", "--lang", "de")[2]


def test_a_curve_is_a_picture() -> None:
    lines = [
        Curve("measured", [(5, 1.0), (50, 0.9995), (500, 0.6)], "#000"),
        Curve("theory", [(5, 0.99)], "#111", True),
    ]
    svg = ET.fromstring(curves("title <1>", "nodes", "records", lines, WANTED))
    text = [element.text for element in svg.iter() if element.tag.endswith("text")]
    assert {"title <1>", "measured", "theory", "99.9 %", "50"} <= set(text)
