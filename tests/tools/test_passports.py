"""A passport as it is written, what it makes of a board's calibration, and how a board is given it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.calibration import CalibrationError, Constants, Passport, find_set, make_set, slots, write_set
from tools import cli
from tools.calibrate_node import calibrate
from tools.commands import node_calibrate
from tools.errors import SteigerError, UsageError
from tools.passports import Wish, changes, load_passport, merged, passport_text, wish
from wire.calibration import calibration
from wire.settings import by_id

HEAD = {"author": 'A. "Kow" Łukasz\\', "date": "2026-11-20", "expires": "2027-11-20", "reference": "EDM 180, 18A19042"}


def of(**named: dict[str, float]) -> Wish:
    return wish({**HEAD, "channels": {name.replace("__", ":"): table for name, table in named.items()}}, "here")


PM = of(pm2_5={"slope": 0.8731, "offset": 1.24, "kappa": 0.38}, pm10={"slope": 1.1})
CLIMATE = of(temperature__1={"offset": -1.4}, microphone={"offset": 0.42}, microphone__1={"offset": -3})


def test_a_passport_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "passport.toml"
    path.write_text(passport_text(HEAD, {"pm2_5": {"slope": 0.8731, "kappa": 0.38}}, {"r2_after": 0.98}))
    found = load_passport(path)
    assert found.constants == {"pm2_5": Constants(8731, 0, 380)}
    assert found.passport.author == HEAD["author"]
    assert found.passport.figures == {"r2_after": 0.98}
    path.write_text(path.read_text().replace('"2026-11-20"', "2026-11-20"))
    assert load_passport(path) == found, "a date of TOML is one, too"


def test_numbers_become_what_a_board_holds() -> None:
    assert PM.constants == {"pm2_5": Constants(8731, 12, 380), "pm10": Constants(11000, 0, 0)}
    assert CLIMATE.constants == {"temperature:1": Constants(10000, -140, 0)}
    assert CLIMATE.microphones == {0: 42, 1: -300}
    assert CLIMATE.passport.items == ("microphone", "microphone:1", "temperature:1")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"author": None}, "no 'author'"),
        ({"author": "  "}, "'author'"),
        ({"author": 5}, "'author'"),
        ({"expires": "2027-02-30"}, "no day"),
        ({"expires": "20270228"}, "no day"),
        ({"expires": "2027-W13-3"}, "no day"),
        ({"figures": {"r2": float("nan")}}, "figures"),
        ({"figures": {"r2": 10**400}}, "figures"),
        ({"figures": {"r2": True}}, "figures"),
        ({"expires": "2026-11-19"}, "before its date"),
        ({"serial": "x"}, "unknown key 'serial'"),
        ({"channels": {}}, "calibrates no channel"),
        ({"channels": {"pm2_5": 5}}, "no table"),
        ({"channels": {"pm2_5": {}}}, "no slope"),
        ({"channels": {"pm2_5": {"gain": 1}}}, "unknown key 'gain'"),
        ({"channels": {"pm2_5": {"slope": "1"}}}, "no number"),
        ({"channels": {"pm2_5": {"slope": float("nan")}}}, "no number"),
        ({"channels": {"pm2_5": {"slope": 0.0}}}, "slope of pm2_5 is 0, not 0.01 to 100"),
        ({"channels": {"temperature": {"kappa": 0.3}}}, "particle masses"),
        ({"channels": {"pm2_5:16": {"slope": 1.1}}}, "instance 0 to 15"),
        ({"channels": {"microphone:4": {"offset": 1.0}}}, "instance 0 to 3"),
        ({"channels": {"microphone": {"offset": 31.0}}}, "not -30 to 30"),
        ({"channels": {"microphone": {"slope": 1.0}}}, "offset in dB"),
        ({"channels": {"lcpeak": {"offset": 1.0}}}, "sound level"),
        ({"channels": {"vehicles": {"slope": 1.1}}}, "nothing to calibrate"),
        ({"channels": {"vehicles_total": {"offset": 1.0}}}, "nothing to calibrate"),
        ({"channels": {"speed_mean": {"slope": 1.1}}}, "nothing to calibrate"),
        ({"channels": {"pm2.5": {"slope": 1.1}}}, "no channel 'pm2.5'"),
        ({"channels": {"pm2_5": {"slope": 1.1}, "pm2_5:0": {"slope": 1.2}}}, "twice"),
        ({"figures": {"r2": "good"}}, "figures"),
    ],
)
def test_what_is_wrong_in_a_passport_is_said(change: dict[str, Any], what: str) -> None:
    tree = {**HEAD, "channels": {"pm2_5": {"slope": 1.1}}, **change}
    with pytest.raises(UsageError, match=what):
        wish({key: value for key, value in tree.items() if value is not None}, "here")


def test_files_that_are_no_passport(tmp_path: Path) -> None:
    for text, what in (
        (b"author = ", "TOML"),
        (b"\xff", "TOML"),
        (b"version = 2", "version"),
        (b"#" * 2_000_000, "long"),
    ):
        (tmp_path / "p.toml").write_bytes(text)
        with pytest.raises(UsageError, match=what):
            load_passport(tmp_path / "p.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        load_passport(tmp_path)


def test_what_a_passport_does_not_name_stays() -> None:
    hangs = {"direction_flip.1": 1, "min_count": 5, "health_s": 600}
    first = merged(hangs, None, PM, replace=False)
    assert slots(first.settings) == PM.constants
    assert (first.settings["direction_flip.1"], first.settings["min_count"]) == (1, 5)
    assert "health_s" not in first.settings
    second = merged(first.settings, first, CLIMATE, replace=False)
    assert slots(second.settings) == {**PM.constants, **CLIMATE.constants}
    assert (second.settings["mic_offset_cdb.0"], second.settings["mic_offset_cdb.1"]) == (42, -300)
    assert [passport.items for passport in second.passports] == [PM.passport.items, CLIMATE.passport.items]
    third = merged(second.settings, second, of(pm10={"slope": 1.2}), replace=False)
    assert slots(third.settings)["pm10"] == Constants(12000) and slots(third.settings)["pm2_5"] == PM.constants["pm2_5"]
    assert [passport.items for passport in third.passports] == [("pm2_5",), CLIMATE.passport.items, ("pm10",)]
    checked = merged(third.settings, third, of(pm2_5={"slope": 1.0}), replace=False)
    assert "pm2_5" not in slots(checked.settings), "found right as it is: no constants, but a passport"
    assert checked.passports[-1].items == ("pm2_5",)
    anew = merged(checked.settings, None, of(co2={"offset": -20}), replace=True)
    assert slots(anew.settings) == {"co2": Constants(offset=-20)}
    assert "mic_offset_cdb.0" not in anew.settings and anew.settings["direction_flip.1"] == 1
    assert len(anew.passports) == 1


def test_what_nobody_can_explain_is_not_built_upon() -> None:
    first = merged({}, None, PM, replace=False)
    for present in (first.settings, {"mic_offset_cdb.0": 5}, {"passport": 7}):
        with pytest.raises(SteigerError, match="not known here") as told:
            merged(present, None, CLIMATE, replace=False)
        assert "--replace" in told.value.next_step


def test_seventeen_channels_are_one_too_many() -> None:
    many = {f"pm2_5:{instance}": {"slope": 1.1} for instance in range(16)}
    full = merged({}, None, wish({**HEAD, "channels": many}, ""), replace=False)
    assert len(slots(full.settings)) == 16
    with pytest.raises(UsageError, match="16 channels, these are 17"):
        merged(full.settings, full, of(co2={"offset": 1}), replace=False)


def applied(present: dict[str, int], chosen: tuple[tuple[int, int, int], ...]) -> dict[str, int]:
    """What a board makes of it."""
    out = dict(present)
    for number, instance, value in chosen:
        row = by_id(number)
        out[f"{row.name}.{instance}" if row.instances > 1 else row.name] = value
    return out


@pytest.mark.parametrize(
    "present", [{}, {"health_s": 5}, {"cal_item.0": 9, "cal_item.1": 8, "cal_kappa.1": 5, "passport": 1}]
)
def test_the_changes_lead_to_the_number(present: dict[str, int]) -> None:
    new = merged(present, None, PM, replace=True)
    after = applied(present, changes(present, new))
    assert f"{calibration(after):08x}" == new.number
    assert after.get("health_s") == present.get("health_s")
    assert changes(after, new) == ()


class Board:
    """A board that tells something else than it has, until it is asked closely."""

    where = "node 7"

    def __init__(self, told: dict[str, int], really: dict[str, int]) -> None:
        self.told, self.really = told, really
        self.asked = 0

    def present(self) -> dict[str, int]:
        self.asked += 1
        return self.told

    def look_closer(self) -> bool:
        better, self.told = self.told != self.really, self.really
        return better

    def give(self, number: int, chosen: tuple[tuple[int, int, int], ...]) -> bool:
        after = applied(self.really, chosen)
        if calibration(after) != number:
            return False
        self.really = after
        return True


def test_a_board_that_was_changed_behind_our_back_is_asked_closely(tmp_path: Path) -> None:
    board = Board({}, {"min_count": 9})
    done = calibrate(board, tmp_path, PM, replace=False)
    assert (board.asked, done.changed, board.really["min_count"]) == (2, True, 9)
    assert f"{calibration(board.really):08x}" == done.new.number
    assert find_set(tmp_path, calibration(board.really)) == done.new
    again = calibrate(Board(board.really, board.really), tmp_path, PM, replace=False)
    assert not again.changed and again.new == done.new, "the same passport for another board"


def test_what_is_in_force_is_not_there_already_when_another_one_waits(tmp_path: Path) -> None:
    first = calibrate(Board({}, {}), tmp_path, PM, replace=False)
    now = dict(first.new.settings)
    other = calibrate(Board(now, now), tmp_path, CLIMATE, replace=True)
    board = Board(now, dict(other.new.settings))  # its records still name the first one
    done = calibrate(board, tmp_path, PM, replace=True)
    assert done.changed and done.new.number == first.new.number
    assert calibration(board.really) == int(first.new.number, 16)


@pytest.mark.parametrize(("expires", "said"), [("2027-11-20", False), ("2026-11-21", True)])
def test_a_passport_that_has_expired_is_given_with_a_word(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    expires: str,
    said: bool,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_795_700_000.0)  # 2026-11-26
    wanted = wish({**HEAD, "expires": expires, "channels": {"pm2_5": {"slope": 1.1}}}, "here")
    board = Board({}, {})
    board.address = 7  # type: ignore[attr-defined]
    answer = node_calibrate._done(board, tmp_path, wanted, False) | {"handed_over": True}
    assert (answer["expires"], answer["expired"]) == (expires, said)
    for lang, word in (("en", "expired on 2026-11-21"), ("de", "am 2026-11-21 abgelaufen")):
        node_calibrate._print(answer, node_calibrate._WORDS[lang], lang, False)
        assert (word in capsys.readouterr().out) is said


def test_a_board_that_refuses_is_told_of(tmp_path: Path) -> None:
    class Stubborn(Board):
        def give(self, number: int, chosen: tuple[tuple[int, int, int], ...]) -> bool:
            return False

    with pytest.raises(SteigerError, match="refuses calibration"):
        calibrate(Stubborn({}, {}), tmp_path, PM, replace=False)


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    code = cli.run([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


WHO = ["--author", "A", "--reference", "R", "--expires", "2030-01-01"]


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (["17"], 2, "nothing to do"),
        (["17", "--channel", "pm2_5", "--slope", "1.1"], 2, "--author is missing"),
        (["17", "--channel", "pm2_5", "--slope", "1.1", *WHO], 2, "no gateway is named"),
        (["17", "--channel", "pm2_5", *WHO], 2, "no slope"),
        (["17", "--passport", "p.toml", "--slope", "1.1"], 2, "says it all"),
        (["17", "--passport", "p.toml"], 2, "cannot be read"),
        (["17", "--show", "--channel", "pm2_5"], 2, "changes nothing"),
        (["17", "--show", "--author", "A. Kowalski"], 2, "changes nothing"),
        (["17", "--show", "--replace"], 2, "changes nothing"),
        (["17", "--show", "--config", "nowhere.toml"], 2, "no such file"),
        (["/dev/nowhere", "--show"], 3, "no such port"),
        (["17", "--show", "--lang", "fr"], 2, "not en or de"),
        (["17", "--calibrator", "114", *WHO], 2, "114 dB is not known"),
        (["17", "--calibrator", "94"], 2, "--author is missing"),
        (["17", "--calibrator", "94", "--offset", "1", *WHO], 2, "measures the offset"),
        (["17", "--calibrator", "94", "--channel", "pm2_5", *WHO], 2, "is for a microphone"),
        (["17", "--calibrator", "94", *WHO], 2, "no gateway is named"),
        ([".", "--calibrator", "94", *WHO], 2, "through the gateway"),
        (["17", "--lang", "de"], 2, "nichts zu tun"),
    ],
)
def test_wrong_usage_of_node_calibrate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    code: int,
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, out, err = run(capsys, "node", "calibrate", *args)
    assert (got, out) == (code, "") and what in err, err


def test_a_calibrators_offset_is_the_boards_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []

    class Node:
        address, where = 17, "node 17"

        def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
            asked.append((verb, fields))
            assert fields["node"] == 17 and fields["arg"] == 2
            return {"result": "done", "value": -137}

        def said(self, text: str) -> None:
            asked.append(("said", text))

    monkeypatch.setattr(time, "sleep", lambda seconds: asked.append(("sleep", seconds)))
    wanted = node_calibrate._listened(of(microphone__1={"offset": 0.0}), Node(), 2)
    assert wanted.microphones == {1: -137}
    assert wanted.passport.items == ("microphone:1",)
    assert [fields["command"] for verb, fields in asked if verb == "command"] == ["calibrate_mic", "mic_offset"]
    new = merged({}, None, wanted, replace=False)
    assert new.settings["mic_offset_cdb.1"] == -137


def test_without_a_running_gateway_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nid = "x"\nnumber = 1\ndata_dir = "data"\n')
    code, out, err = run(capsys, "node", "calibrate", "17", "--show", "--config", config)
    assert (code, out) == (3, "") and "no gateway is running" in err


def test_sets_are_shown_and_handed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nid = "x"\nnumber = 1\ndata_dir = "data"\n')
    code, out, _ = run(capsys, "calibrate", "show", "--config", config)
    assert code == 0 and "no calibration yet" in out
    board = Board({"min_count": 5}, {"min_count": 5})
    made = calibrate(board, tmp_path / "laptop", PM, replace=False)
    code, _, err = run(capsys, "calibrate", "show", made.new.number, "--config", config)
    assert code == 1 and "not known here" in err and "calibrate add" in err
    code, _, err = run(capsys, "calibrate", "show", "12345", "--config", config, "--lang", "de")
    assert code == 2 and "keine Nummer" in err
    code, out, _ = run(capsys, "calibrate", "add", made.kept, "--config", config)
    assert code == 0 and made.new.number in out
    code, out, _ = run(capsys, "calibrate", "show", made.new.number, "--config", config)
    for word in ("pm2_5", "slope 0.8731 offset 1.2 kappa 0.38 ug/m3", "until 2027-11-20", "min_count=5", "raw = "):
        assert word in out, out
    code, out, _ = run(capsys, "calibrate", "show", "--config", config, "--json")
    (told,) = json.loads(out)
    assert (told["calibration"], told["known"], told["other_settings"]) == (made.new.number, True, {"min_count": 5})
    made.kept.write_text(made.kept.read_text().replace("2027-11-20", "2037-11-20"))
    code, _, err = run(capsys, "calibrate", "add", made.kept, "--config", config)
    assert code == 2 and "not what its number says" in err
    head = {**HEAD, "date": "2019-01-01", "expires": "2020-01-01"}
    old = make_set({"mic_offset_cdb.0": 42}, (Passport(**head, items=("microphone",)),))
    path = write_set(tmp_path / "old", old)
    run(capsys, "calibrate", "add", path, "--config", config)
    code, out, _ = run(capsys, "calibrate", "show", old.number, "--config", config)
    assert "microphone" in out and "offset 0.42 dB" in out and "EXPIRED on 2020-01-01" in out and "raw = " not in out


def test_a_passport_may_hold_to_the_last_day_there_is() -> None:
    """No later than a gateway can reckon: it judges each record by that day."""
    found = wish({**HEAD, "expires": "9999-12-31", "channels": {"pm10": {"slope": 1.1}}}, "here")
    assert found.passport.expires_ms() == 253_402_300_800_000


def test_a_set_that_nobody_could_read_again_is_not_written(tmp_path: Path) -> None:
    passport = Passport(
        author="A",
        date="2026-01-01",
        expires="2027-01-01",
        reference="R",
        items=("pm10",),
        figures={"r2": float("inf")},
    )
    with pytest.raises(CalibrationError, match="calibration set"):
        write_set(tmp_path / "calibrations", make_set({"cal_item.0": 64}, (passport,)))
    assert not list(tmp_path.glob("**/*.json"))
