"""A co-location is fitted: what was put into the data comes out, gaps or not; what cannot be fitted is said."""

from __future__ import annotations

import json
import math
import random
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.calibration import Constants, Passport, make_set, reported, write_set
from tools import cli
from tools.colocation import Sample, fit, intervals, lag
from tools.colocation_csv import Columns, parse_zone, read_series
from tools.passports import load_passport

START_S = 1_790_000_000 // 86_400 * 86_400
STEP_S = 600
SLOPE, OFFSET, KAPPA = 0.82, 1.3, 0.41
EXPIRES = "2027-09-30"
WHO = ["--author", "A. Kowalski", "--reference", "EDM 180, 18A19042", "--expires", EXPIRES]


def world(days: int, seed: int = 3, noise: float = 0.3) -> list[tuple[int, float, float, float]]:
    """(end, true, raw, humidity %) every ten minutes: a sensor whose droplets grow with the humidity."""
    chance = random.Random(seed)
    out, slow = [], 0.0
    for at in range(days * 86_400 // STEP_S):
        end_s = START_S + (at + 1) * STEP_S
        hour = end_s % 86_400 / 3600
        slow = 0.99 * slow + chance.gauss(0, 0.6)
        true = max(1.0, 14 + 6 * math.sin(hour / 24 * 2 * math.pi) + 2 * slow)
        humidity = min(99.0, max(25.0, 68 + 24 * math.cos((hour - 5) / 24 * 2 * math.pi) + 1.5 * slow))
        h = min(humidity, 95.0)
        raw = (true - OFFSET) / SLOPE * (1 + KAPPA / 1.65 * h / (100 - h)) + chance.gauss(0, noise)
        out.append((end_s, true, raw, humidity))
    return out


def iso(end_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end_s))


def write_raw(path: Path, rows: list[tuple[int, float, float, float]]) -> Path:
    path.write_text("time,pm2_5,humidity\n" + "".join(f"{iso(t)},{raw:.1f},{h:.1f}\n" for t, _, raw, h in rows))
    return path


def write_reference(path: Path, rows: list[tuple[int, float, float, float]]) -> Path:
    """Hourly means, as a station of the state publishes them: local time, its beginning, comma and semicolon."""
    hours: dict[int, list[float]] = {}
    for end_s, true, _, _ in rows:
        hours.setdefault((end_s - 1) // 3600, []).append(true)
    lines = ["Zeit;Wert"]
    for hour, values in sorted(hours.items()):
        local = time.strftime("%Y-%m-%d %H:%M", time.gmtime(hour * 3600 + 3600))
        lines.append(f"{local};{sum(values) / len(values):.2f}".replace(".", ","))
    path.write_text("\n".join(lines) + "\n")
    return path


GERMAN_STATION = ["--reference-zone", "+01:00", "--reference-starts"]


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    code = cli.run([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


@pytest.mark.slow
def test_what_was_put_in_comes_out_and_the_passport_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = world(20)
    raw, reference = write_raw(tmp_path / "raw.csv", rows), write_reference(tmp_path / "ref.csv", rows)
    output = tmp_path / "passport.toml"
    code, out, err = run(
        capsys, "calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, "--humidity", *GERMAN_STATION,
        "--output", output, "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["pairs"] == 20 * 24
    assert told["slope"] == pytest.approx(SLOPE, abs=0.02)
    assert told["offset"] == pytest.approx(OFFSET, abs=0.35)
    assert told["kappa"] == pytest.approx(KAPPA, abs=0.03)
    assert told["rmse_before"] > 5 * told["rmse_after"]
    assert abs(told["bias_after"]) < 0.06 < abs(told["bias_before"])
    assert told["rmse_after"] <= told["rmse_validated"] < 2 * told["rmse_after"]
    wish = load_passport(output)
    assert wish.constants == {
        "pm2_5": Constants(round(told["slope"] * 10000), round(told["offset"] * 10), round(told["kappa"] * 1000))
    }
    assert (wish.passport.author, wish.passport.expires, wish.passport.items) == ("A. Kowalski", EXPIRES, ("pm2_5",))
    assert wish.passport.date == time.strftime("%Y-%m-%d", time.gmtime(rows[-1][0] - 1))
    assert wish.passport.figures["r2_after"] == told["r2_after"] > 0.95
    picture = ET.parse(tmp_path / "passport.svg").getroot()
    dots = picture.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 2 * told["pairs"]
    words = "".join(text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert "EDM 180" in words and f"R² {told['r2_after']:.3f}"[:7] in words and "480 intervals on 20 days" in words


def test_without_the_humidity_term_the_rest_is_larger(tmp_path: Path) -> None:
    samples = [Sample(t, raw, h) for t, _, raw, h in world(10)]
    pairs, _ = intervals(samples, [(t, true) for t, true, _, _ in world(10)], 3600, 0.75)
    dry = fit(pairs, 0, humidity=False, decimals=1)
    wet = fit(pairs, 0, humidity=True, decimals=1)
    assert dry.constants.kappa == 0 < wet.constants.kappa
    assert wet.after.rmse < 0.7 * dry.after.rmse
    assert abs(dry.after.bias) <= 0.051, "the offset is rounded to a tenth, no more"


@pytest.mark.slow
def test_gaps_leave_intervals_out_and_the_line_where_it_is() -> None:
    rows = world(20)
    chance = random.Random(8)
    whole = [Sample(t, raw, h) for t, _, raw, h in rows]
    reference = [(t, true) for t, true, _, _ in rows]
    # Days without the sensor, hours without the reference, and single values missing everywhere.
    torn = [s for s in whole if not 4 <= (s.time_s - START_S) // 86_400 < 7 and chance.random() > 0.05]
    torn_reference = [(t, v) for t, v in reference if t // 3600 % 7]
    pairs, left_out = intervals(torn, torn_reference, 3600, 0.75)
    days = {(pair.end_s - 1 - START_S) // 86_400 for pair in pairs}
    assert days == set(range(20)) - {4, 5, 6}
    assert all(len(pair.samples) >= 5 for pair in pairs)
    assert left_out > 5
    full = fit(intervals(whole, reference, 3600, 0.75)[0], 0, humidity=True, decimals=1).constants
    part = fit(pairs, left_out, humidity=True, decimals=1).constants
    assert part.slope == pytest.approx(full.slope, rel=0.02)
    assert part.kappa == pytest.approx(full.kappa, abs=25)


def test_a_value_on_the_edge_belongs_to_the_interval_that_it_ends() -> None:
    samples = [Sample(START_S + 3600, 1.0, None), Sample(START_S + 3601, 5.0, None)]
    pairs, _ = intervals(samples, [(START_S + 1, 2.0), (START_S + 7200, 3.0)], 3600, 0.1)
    assert [(pair.end_s, [s.value for s in pair.samples], pair.reference) for pair in pairs] == [
        (START_S + 3600, [1.0], 2.0),
        (START_S + 7200, [5.0], 3.0),
    ]


@pytest.mark.parametrize("shift", [-2, -1, 0, 1, 3])
def test_clocks_that_differ_are_seen(shift: int) -> None:
    rows = world(10)
    reference = [(t + shift * 3600, true) for t, true, _, _ in rows]
    pairs, _ = intervals([Sample(t, raw, h) for t, _, raw, h in rows], reference, 3600, 0.75)
    assert lag(pairs, 3600) == shift


def test_a_wrong_time_zone_is_refused_and_too_few_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = world(10)
    raw, reference = write_raw(tmp_path / "raw.csv", rows), write_reference(tmp_path / "ref.csv", rows)
    common = ["calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, "--output", tmp_path / "p.toml"]
    code, _, err = run(capsys, *common)
    assert code == 0, "beginning in winter time is end in UTC, by chance"
    (tmp_path / "p.toml").unlink()
    code, _, err = run(capsys, *common, "--reference-zone", "-02:00")
    assert code == 1 and "clocks differ" in err and "--reference-zone" in err
    code, _, err = run(capsys, *common, "--min-pairs", "241")
    assert code == 1 and "240 common intervals of 1h are too few: 241" in err
    code, _, err = run(capsys, *common, "--reference-zone", "+01:00", "--lang", "de", "--min-pairs", "5000")
    assert code == 1 and "zu wenige" in err
    assert not (tmp_path / "p.toml").exists()


@pytest.mark.slow
def test_an_export_that_was_calibrated_is_led_back_to_raw_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = world(10)
    constants = Constants(9000, -15, 300)
    old = Passport(author="B", date="2026-01-01", expires="2026-12-31", reference="R", items=("pm2_5",))
    settings = {"cal_item.0": 32, "cal_slope.0": 9000, "cal_offset.0": -15, "cal_kappa.0": 300}
    made = make_set(settings, (old,))
    lines = ["station_id,sensor,quantity,time_from,time_to,value,unit,quality,record_id,calibration"]
    for at, (end_s, _, raw, humidity) in enumerate(rows):
        h = round(humidity * 10)
        value = reported(round(raw * 10), constants, h) / 10
        middle = len(rows) // 2
        shown, number = (value, made.number) if at >= middle else (round(raw * 10) / 10, "")
        for quantity, told, named in (("pm2_5", shown, number), ("humidity", h / 10, number), ("pm10", 5.0, number)):
            lines.append(f"gw-7,air-v1,{quantity},{iso(end_s - 600)},{iso(end_s)},{told:.1f},x,good,7-{at},{named}")
    export = tmp_path / "export.csv"
    export.write_text("\r\n".join(lines))
    reference = write_reference(tmp_path / "ref.csv", rows)
    sets = tmp_path / "calibrations"
    args = ["calibrate", "fit", export, reference, "--channel", "pm2_5", *WHO, *GERMAN_STATION, "--humidity", "--json"]
    args += ["--output", tmp_path / "p.toml", "--calibrations", sets]
    code, _, err = run(capsys, *args)
    assert code == 1 and made.number in err and "--config" in err
    write_set(sets, made)
    code, out, err = run(capsys, *args)
    assert (code, err) == (0, "")
    assert json.loads(out)["slope"] == pytest.approx(SLOPE, abs=0.03)
    assert json.loads(out)["kappa"] == pytest.approx(KAPPA, abs=0.05)


@pytest.mark.parametrize(
    ("head", "form"),
    [
        ("Datum;Zeit;µg;Wert", "%d.%m.%Y;%H:%M"),
        ("Datum;Wert", "'%d.%m.%Y %H:%M'"),
        ("datum;Uhrzeit;Wert", "%Y-%m-%d;%H:%M:%S"),
    ],
)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig"])
def test_tables_of_german_stations_are_read_as_they_come(tmp_path: Path, head: str, form: str, encoding: str) -> None:
    """The end of a day is its 24:00; the header has a micro sign that UTF-8 writes in two bytes."""
    lines = [head]
    for hour in range(1, 49):
        day, clock = (START_S + (hour - 1) // 24 * 86_400, (hour - 1) % 24 + 1)
        text = time.strftime(form, time.gmtime(day)).replace("00:00", f"{clock:02}:00", 1)
        lines.append(text + (";x;" if "µg" in head else ";") + f"{hour},5")
    path = tmp_path / "station.csv"
    path.write_bytes("\r\n".join(lines).encode(encoding))
    found = read_series(path, Columns(zone=parse_zone("+01:00")), ["pm2_5"])
    assert found == [(START_S + hour * 3600 - 3600, hour + 0.5) for hour in range(1, 49)]


def cut(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


@pytest.mark.parametrize(
    ("change", "args", "code", "what"),
    [
        (lambda path: path.unlink(), [], 2, "cannot be read"),
        (cut(""), [], 2, "no header"),
        (cut("time,co2\n2026-01-01T00:00Z,5\n"), [], 2, "no column for the value"),
        (cut("when,pm2_5\n2026-01-01T00:00Z,5\n"), [], 2, "no column for the time"),
        (cut("time,pm2_5\nyesterday,5\n"), [], 2, "'yesterday' is no time"),
        (cut("time,pm2_5\n31.02.2026 10:00,5\n"), [], 2, "'31.02.2026 10:00' is no time"),
        (cut("time,pm2_5\n2026-01-01T00:00Z,five\n"), [], 2, "'five' is no number"),
        (lambda path: path.write_bytes("time,pm2_5\n1,1\n".encode("utf-16")), [], 2, "UTF-8"),
        (cut("time,pm2_5\n2026-01-01T00:00Z,1e308\n"), [], 2, "'1e308' is no value of an instrument"),
        (cut("time,pm2_5\n2026-01-01T00:00Z,NaN\n"), [], 2, "no number in its column 'pm2_5'"),
        (cut("when,pm2_5\n2026-01-01T00:00Z,5\n"), ["--lang", "de"], 2, "keine Spalte für die Zeit"),
        (None, ["--interval", "7y"], 2, "no interval"),
        (None, ["--raw-zone", "CET"], 2, "no offset from UTC"),
        (None, ["--raw-column", "pm11"], 2, "no column for the value"),
        (None, ["--channel", "vehicles"], 2, "nothing to calibrate"),
        (None, ["--channel", "laeq"], 2, "sound level"),
        (None, ["--channel", "microphone"], 2, "sound calibrator"),
        (None, ["--channel", "temperature", "--humidity"], 2, "particle masses"),
        (None, ["--expires", "soon"], 2, "no day"),
        (None, ["--expires", "2020-01-01", "--date", "2021-01-01"], 2, "before its date"),
        (None, ["--author", " "], 2, "'author'"),
    ],
)
def test_what_cannot_be_fitted_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, args: list[str], code: int, what: str
) -> None:
    rows = world(4)
    raw, reference = write_raw(tmp_path / "raw.csv", rows), write_reference(tmp_path / "ref.csv", rows)
    if change is not None:
        change(raw)
    given = ["calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, "--output", tmp_path / "p.toml", *args]
    got, out, err = run(capsys, *given)
    assert (got, out) == (code, ""), err
    assert what in err and err.startswith("Fehler: " if "de" in args else "error: ")
    assert "— --channel" not in err, "what is wrong is not looked for there"


def test_a_reference_that_falls_as_the_sensor_rises_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = world(5)
    raw = write_raw(tmp_path / "raw.csv", rows)
    reference = write_reference(tmp_path / "ref.csv", [(t, 50 - true, each, h) for t, true, each, h in rows])
    given = ["calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, *GERMAN_STATION]
    code, out, err = run(capsys, *given, "--output", tmp_path / "p.toml")
    assert (code, out) == (1, "") and "does not rise with the sensor" in err, err
    assert not (tmp_path / "p.toml").exists()


def test_an_export_without_the_channel_names_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = tmp_path / "raw.csv"
    export.write_text(
        "station_id,sensor,quantity,time_from,time_to,value,unit,quality,record_id,calibration\n"
        "gw-1,air-v2:1,co2,2026-11-26T01:00:00Z,2026-11-26T01:01:00Z,420,ppm,good,1-a-1,\n"
    )
    reference = write_reference(tmp_path / "ref.csv", world(1))
    given = ["calibrate", "fit", export, reference, "--channel", "co2", *WHO, "--output", tmp_path / "p.toml"]
    code, out, err = run(capsys, *given)
    assert (code, out) == (2, "") and "no values of co2" in err and "It has: co2:1" in err, err


@pytest.mark.parametrize("flat", ["raw", "reference"])
def test_values_that_do_not_differ_cannot_be_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flat: str
) -> None:
    rows = [(t, 5.0, raw, h) if flat == "reference" else (t, true, 5.0, h) for t, true, raw, h in world(5)]
    raw, reference = write_raw(tmp_path / "raw.csv", rows), write_reference(tmp_path / "ref.csv", rows)
    code, _, err = run(
        capsys, "calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, "--output", tmp_path / "p.toml"
    )
    assert code == 1 and "nothing can be fitted" in err


def test_humidity_that_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = world(5)
    raw = tmp_path / "raw.csv"
    raw.write_text("time,value\n" + "".join(f"{iso(t)},{value:.1f}\n" for t, _, value, _ in rows))
    reference = write_reference(tmp_path / "ref.csv", rows)
    code, _, err = run(
        capsys, "calibrate", "fit", raw, reference, "--channel", "pm10", *WHO, "--humidity",
        "--output", tmp_path / "p.toml",
    )  # fmt: skip
    assert code == 1 and "--humidity-column" in err


def test_the_picture_speaks_german(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = world(4)
    raw, reference = write_raw(tmp_path / "raw.csv", rows), write_reference(tmp_path / "ref.csv", rows)
    given = ["calibrate", "fit", raw, reference, "--channel", "pm2_5", *WHO, *GERMAN_STATION, "--lang", "de"]
    code, out, _ = run(capsys, *given, "--output", tmp_path / "p.toml")
    assert code == 0, out
    picture = (tmp_path / "p.svg").read_text()
    for word in ("vorher", "nachher", "Referenz", "Abweichung", "Intervalle an 4 Tagen"):
        assert word in picture, word
    for word in ("before", "after", "bias", "intervals"):
        assert f">{word}" not in picture and f" {word} " not in picture, word


@pytest.mark.parametrize("number", ["+1234567", "0x123456", "1_234567", " 1234567", "123", "١٢٣٤٥٦٧٨"])
def test_a_number_of_a_calibration_has_eight_digits(capsys: pytest.CaptureFixture[str], number: str) -> None:
    code, _, err = run(capsys, "calibrate", "show", number, "--calibrations", "/none")
    assert code == 2 and "8 hexadecimal digits" in err
