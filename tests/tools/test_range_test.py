"""`steiger range-test`: the file, the recommendation, the map, and what the command says when something is in the way."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.control import ControlServer
from gateway.errors import GatewayError
from tools import cli
from tools.commands.range_test import lost_at_most
from tools.range_places import GOOD, NOT_HERE, WEAK, Row, append, judge, load, load_track
from tools.range_words import WORDS
from tools.svg_map import step_m

REQUIRED_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}


def row(
    place: str, snr_db: float | None, heard: int = 20, sf: int = 9, *, sent: int = 20, ear: str = "roof", power: int = 14,
    time: str = "2026-05-01T10:00:00Z", at: tuple[float, float] | None = None, rssi_dbm: float = -100, node: int = 12,
) -> Row:  # fmt: skip
    lat, lon = at or (None, None)
    margin = None if snr_db is None else snr_db - REQUIRED_DB[sf]
    return Row(
        time, place, lat, lon, node, power, sf, ear, sent, heard, None if snr_db is None else rssi_dbm, snr_db, margin
    )


def silent(place: str) -> Row:
    return Row("2026-05-01T10:00:00Z", place, None, None, 12, None, 0, "", 0, 0, None, None, None)


# -- the recommendation --------------------------------------------------------------------------------------------------


def test_the_best_place_and_the_fastest_sf_that_it_allows() -> None:
    found = judge([row("a", -6), row("b", 3), row("c", -11), row("d", -4)])
    assert [place.name for place in found] == ["b", "d", "a", "c"]
    assert [place.verdict for place in found[:3]] == [GOOD] * 3
    assert [place.sf for place in found[:3]] == [7, 10, 11]  # 10 dB above -7.5, -15 and -17.5


@pytest.mark.parametrize(
    ("snr_db", "verdict", "sf"),
    [(2.5, GOOD, 7), (2.25, GOOD, 8), (-10, GOOD, 12), (-10.25, WEAK, 12), (-17, WEAK, 12), (-17.25, NOT_HERE, 0)],
)
def test_where_the_margin_decides(snr_db: float, verdict: str, sf: int) -> None:
    (place,) = judge([row("a", snr_db, sf=12)])
    assert (place.verdict, place.sf) == (verdict, sf)


def test_a_loss_outweighs_any_signal_for_who_arrives_is_the_luckiest() -> None:
    (place,) = judge([row("a", 8, heard=17)])
    assert (place.verdict, place.best, place.sf) == (NOT_HERE, None, 0)
    (place,) = judge([row("a", 8, heard=18)])
    assert (place.verdict, place.sf) == (GOOD, 7)
    (place,) = judge([row("a", 8, heard=17)], per_max=0.15)
    assert place.verdict == GOOD


def test_an_sf_that_was_tested_and_lost_too_many_is_not_proposed() -> None:
    rows = [row("a", 3, heard=9, sf=7), row("a", 3, sf=8), row("a", 3, sf=9)]
    (place,) = judge(rows)
    assert (place.verdict, place.sf) == (GOOD, 8)
    (place,) = judge([*rows, row("a", 4, sf=7, ear="mast")])  # another ear hears it
    assert (place.sf, place.best.ear if place.best else "") == (7, "mast")


def test_silence_and_nothing_heard_are_places_too() -> None:
    found = judge([silent("cellar"), row("yard", None, heard=0), row("lamp", 0)])
    assert [(place.name, place.verdict) for place in found] == [
        ("lamp", GOOD),
        ("cellar", NOT_HERE),
        ("yard", NOT_HERE),
    ]


def test_different_powers_are_compared_as_equal_ones_and_strong_signals_by_rssi() -> None:
    assert [place.name for place in judge([row("loud", -2, power=14), row("soft", -6, power=2)])] == ["soft", "loud"]
    found = judge([row("near", 9, rssi_dbm=-60), row("nearer", 8.5, rssi_dbm=-50)])
    assert [place.name for place in found] == ["nearer", "near"], "a chip's SNR ends at about 10 dB"


def test_of_a_place_the_last_test_counts() -> None:
    old, new = row("a", 5, time="2026-05-01T10:00:00Z"), row("a", -30, heard=1, time="2026-05-01T11:00:00Z")
    (place,) = judge([old, row("a", 5, sf=7), new, row("a", None, 0, sf=7, time="2026-05-01T11:00:00Z")])
    assert (place.verdict, len(place.rows)) == (NOT_HERE, 2)


def test_what_no_loss_says_is_an_honest_bound() -> None:
    assert lost_at_most(row("a", 0, sent=20)) == pytest.approx(0.139, abs=0.001)
    assert (1 - lost_at_most(row("a", 0, sent=7))) ** 7 == pytest.approx(0.05)


# -- the file ------------------------------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "range.csv"
    rows = [row('lamp "12", corner', -6.25, at=(51.4818, -7.2162)), silent("b"), row("c", None, 0)]
    append(path, rows[:1])
    append(path, rows[1:])
    assert load(path) == rows
    assert path.read_text().count("place") == 1


@pytest.mark.parametrize(
    "line",
    [
        "t,a,,,12,14,9,roof,20,21,-100,3,9",  # more heard than sent
        "t,a,51,,12,14,9,roof,20,20,-100,3,9",
        "t,a,91,7,12,14,9,roof,20,20,-100,3,9",
        "t,a,nan,7,12,14,9,roof,20,20,-100,3,9",
        "t,a,,,12,14,9,roof,20,20,-100,,",
        "t,a,,,12,14,9,roof,20,20",
        "t,a,,,12,14,nine,roof,20,20,-100,3,9",
        "t,a,,,12,14,13,roof,20,20,-100,3,9",
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    path = tmp_path / "range.csv"
    append(path, [row("a", 3)])
    with path.open("a") as file:
        file.write(line + "\n")
    assert cli.run(["range-test", "report", str(path)]) == 2
    assert f"this line is no result of a range test — {path}:3." in capsys.readouterr().err


def test_files_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, words in (
        ("none", None, "there is no such file"),
        ("empty", b"", "this is no file of range tests"),
        ("other", b"a,b\n1,2\n", "this is no file of range tests"),
        ("binary", b"\xff\xfe\x00", "the file cannot be read"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        assert cli.run(["range-test", "report", str(path)]) == 2
        assert words in capsys.readouterr().err


def test_a_phones_track_places_by_name_then_by_time(tmp_path: Path) -> None:
    gpx = tmp_path / "walk.gpx"
    gpx.write_text(
        '<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1"><wpt lat="51.5" lon="7.5"><name>lamp</name></wpt>'
        '<trk><trkseg><trkpt lat="51.1" lon="7.1"><time>2026-05-01T10:00:30Z</time></trkpt>'
        '<trkpt lat="51.2" lon="7.2"><time>2026-05-01T10:01:40Z</time></trkpt></trkseg></trk></gpx>'
    )
    track = load_track(gpx)
    assert track.find("lamp", "2026-05-01T10:00:00Z") == (51.5, 7.5)
    assert track.find("other", "2026-05-01T10:01:00Z") == (51.1, 7.1)
    assert track.find("other", "2026-05-01T10:01:20Z") == (51.2, 7.2)
    assert track.find("other", "2026-05-01T10:05:00Z") is None
    table = tmp_path / "walk.csv"
    table.write_text("time,lat,lon\n2026-05-01T12:00:00+02:00,51.3,7.3\n")
    assert load_track(table).find("x", "2026-05-01T10:00:00Z") == (51.3, 7.3)


def test_no_track(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = tmp_path / "range.csv", tmp_path / "walk"
    append(path, [row("a", 3)])
    for text in ("<gpx", "<!DOCTYPE a><gpx/>", "lat\n51\n", "lat,lon,time\n51,7,yesterday\n", "lat,lon\n99,7\n"):
        file.write_text(text)
        assert cli.run(["range-test", "report", str(path), "--track", str(file)]) == 2
        assert "no track can be read from this file" in capsys.readouterr().err


# -- report --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path: Path) -> Path:
    path = tmp_path / "range.csv"
    append(path, [
        row("lamp 12", 3, at=(51.4818, 7.2162)), row("wall <3>", -11, at=(51.4818, 7.2234)), silent("cellar"),
        row("bridge", None, 0, at=(51.4908, 7.2162)),
    ])  # fmt: skip
    return path


def test_report_has_a_table_and_says_where_to_mount(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["range-test", "report", str(town)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"lamp 12 +9 +roof +20/20 +0 % +-100 dBm +\+3.0 dB +\+15.5 dB +good", out)
    assert re.search(r"bridge +9 +roof +0/20 +100 % +- +- +- +not here", out)
    assert "Mount it at lamp 12: heard by roof, SF7, 10.5 dB above what that needs." in out
    assert "SF7 was not tested at lamp 12" in out and "A single-modem ear hears one SF" in out
    assert "Of 20 frames, none lost still allows for 14 % lost ones" in out
    assert "Not here: cellar, bridge." in out


def test_report_in_german_and_for_programs(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["range-test", "report", str(town), "--lang", "de"]) == 0
    out = capsys.readouterr().out
    assert "Hier montieren: lamp 12, gehört von roof, SF7, 10,5 dB über dem Nötigen." in out and "+15,5 dB" in out
    assert cli.run(["range-test", "report", str(town), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["mount"], told["sf"], told["ear"], told["margin_db"]) == ("lamp 12", 7, "roof", 10.5)
    assert [place["verdict"] for place in told["places"]] == [GOOD, WEAK, NOT_HERE, NOT_HERE]


def test_report_when_no_place_will_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "range.csv"
    append(path, [silent("a"), row("b", -10, heard=4)])
    assert cli.run(["range-test", "report", str(path)]) == 0
    assert "At none of these places" in capsys.readouterr().out
    assert cli.run(["range-test", "report", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mount"] is None
    append(path, [row("c", -11)])
    assert cli.run(["range-test", "report", str(path)]) == 0
    assert "Mount it at c if it must be one of these: heard by roof, SF12, only 9.0 dB" in capsys.readouterr().out


def test_the_map_is_true_to_scale_and_needs_no_network(town: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.svg"
    assert cli.run(["range-test", "report", str(town), "--map", str(path), "--gateway", "51.4863,7.2162"]) == 0
    text = path.read_text()
    root = ET.fromstring(text)
    assert re.findall(r"https?://", text) == ["http://"], "the namespace alone"
    places = {
        (circle[0].text or "").partition(":")[0]: (float(circle.get("cx", 0)), float(circle.get("cy", 0)), circle.get("fill"))
        for circle in root.iter("{http://www.w3.org/2000/svg}circle")
        if len(circle)
    }  # fmt: skip
    assert set(places) == {"lamp 12", "wall <3>", "bridge"} and "cellar" not in text
    lamp, wall, bridge = (places[name] for name in ("lamp 12", "wall <3>", "bridge"))
    assert (lamp[2], wall[2], bridge[2]) == ("#2e7d4f", "#d9a400", "#b5392f")
    assert bridge[1] < lamp[1] and wall[0] > lamp[0], "north is up, east is right"
    found = re.search(r'd="M70,720h([\d.]+)"', text)
    assert found is not None and "500 m" in text
    m_per_px = 500 / float(found[1])
    assert (lamp[1] - bridge[1]) * m_per_px == pytest.approx(1001.9, abs=2)  # 0.009 degrees of 111,320 m
    assert (wall[0] - lamp[0]) * m_per_px == pytest.approx(499.2, abs=2)  # 0.0072 degrees at 51.5 degrees north
    for x, y, _ in places.values():
        assert 70 <= x <= 830 and 70 <= y <= 690


def test_a_scale_bar_is_round_and_fits() -> None:
    for span_m in (50, 99, 100, 730, 12_345, 99_999):
        assert str(round(step_m(span_m))).rstrip("0") in "125" and 0.19 < step_m(span_m) / span_m <= 0.5


def test_a_single_place_and_none_with_a_position(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "range.csv"
    append(path, [row("a", 3)])
    assert cli.run(["range-test", "report", str(path), "--map", str(tmp_path / "map.svg")]) == 2
    assert "no place has a position" in capsys.readouterr().err
    append(path, [row("b", 3, at=(0, 180))])
    assert (
        cli.run(["range-test", "report", str(path), "--map", str(tmp_path / "map.svg"), "--gateway", "0,-179.999"]) == 0
    )
    out = capsys.readouterr().out
    assert "No position, not on the map: a." in out and ET.parse(tmp_path / "map.svg")


def test_both_languages_say_the_same() -> None:
    fields = {
        lang: {key: set(re.findall(r"{(\w+)", text)) for key, text in words.items()} for lang, words in WORDS.items()
    }
    assert fields["en"] == fields["de"]
    same = {key for key, text in WORDS["en"].items() if text == WORDS["de"][key]}
    assert same == {"sf"}


# -- place: the command against a control socket ---------------------------------------------------------------------------


@contextmanager
def gateway(folder: Path, steps: Callable[[dict[str, Any]], AsyncGenerator[Any, None]]) -> Iterator[Path]:
    """A control socket whose range tests are `steps`; its gateway.toml."""
    config = folder / "gateway.toml"
    config.write_text(
        '[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "d"\n[[bridge]]\nport = "/dev/none"\nchannel = 868.1\n'
    )
    up, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        server = ControlServer(folder / "d")
        server.register_stream("range-test-live", steps)
        await server.start()
        up.set()
        await stop.wait()
        await server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield config
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


RESULT = {
    "node": 12, "sfs": [9], "power_dbm": 14, "deaf": [],
    "rows": [{
        "sf": 9, "ear": "roof", "sent": 20, "heard": 19, "per": 0.05, "rssi_dbm": -101.0, "snr_db": -2.5, "snr_min_db": -4.0,
        "margin_db": 10.0,
    }],
}  # fmt: skip


def place(config: Path, out: Path, *more: str) -> list[str]:
    return ["range-test", "place", "12", "--config", str(config), "--name", "lamp 12", "--out", str(out), *more]


def test_a_place_is_tested_and_entered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    async def steps(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        asked.append(request)
        yield {"waits": 1}
        yield {"heard": 3, "of": 20, "left_s": 40}
        yield {"result": RESULT}

    out = tmp_path / "range.csv"
    with gateway(tmp_path, steps) as config:
        more = ("--position", "51.4818,7.2162", "--count", "20", "--sf", "9", "--power", "14", "--wait", "60")
        assert cli.run(place(config, out, *more)) == 0
        told = capsys.readouterr()
        assert "node 12: waiting for it, for at most 60 s" in told.err
        assert re.search(r"lamp 12 +9 +roof +19/20 +5 % +-101 dBm +-2.5 dB +\+10.0 dB +good", told.out)
        assert cli.run(place(config, out, "--json")) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == RESULT["rows"]
    first, second = load(out)
    assert (first.place, first.lat, first.lon, first.node, first.sf, first.heard) == (
        "lamp 12",
        51.4818,
        7.2162,
        12,
        9,
        19,
    )
    assert second.lat is None
    wanted = {"do": "range-test-live", "node": 12, "count": 20, "sfs": [9], "power_dbm": 14, "timeout_s": 60}
    assert asked[0] == wanted and asked[1] == wanted | {"sfs": [], "power_dbm": None, "timeout_s": 600}


def test_a_silent_node_is_an_error_and_an_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def steps(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        yield {"waits": 1}
        raise GatewayError("no answer within 60 s", where="node 12", next_step="Is it on, and in reach?", exit_code=3)

    out = tmp_path / "range.csv"
    with gateway(tmp_path, steps) as config:
        assert cli.run(place(config, out, "--wait", "60", "--lang", "de")) == 3
        assert "Knoten 12 schweigt" in capsys.readouterr().err
    assert [(row.place, row.sf, row.sent) for row in load(out)] == [("lamp 12", 0, 0)]


def test_errors_enter_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def steps(request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        yield {"waits": 1}
        raise GatewayError("this node knows no range test", where="node 12", next_step="Is it a LoRa board?")

    out = tmp_path / "range.csv"
    with gateway(tmp_path, steps) as config:
        assert cli.run(place(config, out)) == 1
        assert "this node knows no range test — node 12. Is it a LoRa board?" in capsys.readouterr().err
    assert cli.run(place(config, out)) == 3
    assert "no gateway is running" in capsys.readouterr().err
    for more, words in (
        (("--position", "51.48"), "51.48 is no position"),
        (("--position", "nan,7"), "nan,7 is no position"),
        (("--position", "1,2", "--track", "x"), "--position and --track"),
        (("--lang", "fr"), "--lang fr is not en or de"),
    ):
        assert cli.run(place(config, out, *more)) == 2
        assert words in capsys.readouterr().err
    assert not out.exists()
    out.write_text("a,b\n")
    assert cli.run(place(config, out)) == 2, "before the test, and not after it"
    assert "this is no file of range tests" in capsys.readouterr().err and out.read_text() == "a,b\n"
