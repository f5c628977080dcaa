"""A calibration set for people: constants with units, who, by what, until when; and the formula back to the raw value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.calibration import UNIT_SLOPE, CalibrationSet, covering, default, is_calibration, slots
from wire import channels

FORMULA = "raw = (reported - offset) / slope * (1 + kappa / 1.65 * h / (100 - h)), h: humidity in %, at most 95"

_WORDS = {
    "en": {
        "none": "{where}: no calibration",
        "head": "{where}: calibration {number}",
        "unknown": "its set is not here: who made it is not known. steiger calibrate add FILE brings it",
        "nobody": "no passport",
        "expired": "EXPIRED on {expires}",
        "holds": "until {expires}",
        "by": "{author}, {date}, {reference}",
        "other": "other settings",
        "slope": "slope",
        "offset": "offset",
        "kappa": "kappa",
        "formula": FORMULA,
    },
    "de": {
        "none": "{where}: keine Kalibrierung",
        "head": "{where}: Kalibrierung {number}",
        "unknown": "ihr Satz liegt nicht hier: wer sie machte, ist nicht bekannt. steiger calibrate add DATEI bringt ihn",
        "nobody": "kein Pass",
        "expired": "ABGELAUFEN am {expires}",
        "holds": "bis {expires}",
        "by": "{author}, {date}, {reference}",
        "other": "andere Einstellungen",
        "slope": "Steigung",
        "offset": "Versatz",
        "kappa": "Kappa",
        "formula": "Rohwert = (gemeldet - Versatz) / Steigung * (1 + Kappa / 1.65 * h / (100 - h)), h: Feuchte in %, höchstens 95",
    },
}


def described(found: CalibrationSet | None, present: Mapping[str, int], number: str, now_ms: int) -> dict[str, Any]:
    """What a set, or a board's settings without one, means; JSON can hold it."""
    values = dict(found.settings) if found is not None else dict(present)
    passports = found.passports if found is not None else ()
    rows: list[dict[str, Any]] = []
    for item, each in slots(values).items():
        base, _, instance = item.partition(":")
        channel = channels.by_name(base)
        row = {
            "item": item,
            "unit": channel.unit,
            "slope": each.slope / UNIT_SLOPE,
            "offset": each.offset / 10**channel.decimals,
            "kappa": each.kappa / 1000,
        }
        rows.append(row | _passport(covering(passports, channel.id, int(instance or 0)), now_ms))
    for number_of in range(4):
        offset = values.get(f"mic_offset_cdb.{number_of}", 0)
        passport = covering(passports, channels.id_of("laeq"), number_of)
        if offset or passport is not None:
            name = f"microphone:{number_of}" if number_of else "microphone"
            rows.append({"item": name, "unit": "dB", "offset": offset / 100} | _passport(passport, now_ms))
    named = {row["item"] for row in rows}
    for passport in passports:  # looked at, and nothing was to be changed
        for item in passport.items:
            if item not in named:
                rows.append({"item": item} | _passport(passport, now_ms))
    others = {
        name: value
        for name, value in values.items()
        if is_calibration(name) and value != default(name) and not name.startswith(("cal_", "mic_offset", "passport"))
    }
    return {
        "calibration": number,
        "known": found is not None,
        "channels": rows,
        "other_settings": others,
        "raw": FORMULA,
    }


def _passport(passport: Any, now_ms: int) -> dict[str, Any]:
    if passport is None:
        return {"passport": None}
    told = {
        name: getattr(passport, name)
        for name in ("author", "date", "expires", "reference", "method", "note", "figures")
    }
    return {"passport": {**told, "expired": now_ms > passport.expires_ms()}}


def lines(answer: Mapping[str, Any], lang: str) -> list[str]:
    """The same as text."""
    words = _WORDS[lang]
    if answer["calibration"] == "00000000":
        return [words["none"].format(where=answer["where"])]
    out = [words["head"].format(where=answer["where"], number=answer["calibration"])]
    if not answer["known"]:
        out.append(f"  ! {words['unknown']}")
    for row in answer["channels"]:
        constants = [f"{words[name]} {row[name]:g}" for name in ("slope", "offset", "kappa") if row.get(name)]
        unit = f" {row['unit']}" if row.get("offset") else ""
        passport = row["passport"]
        if passport is None:
            who = words["nobody"]
        else:
            state = words["expired" if passport["expired"] else "holds"].format(**passport)
            who = f"{words['by'].format(**passport)}; {state}"
        out.append(f"  {row['item']:14} {' '.join(constants)}{unit}  [{who}]")
    if answer["other_settings"]:
        told = " ".join(f"{name}={value}" for name, value in answer["other_settings"].items())
        out.append(f"  {words['other']}: {told}")
    if any("slope" in row for row in answer["channels"]):
        out.append(f"  {words['formula']}")
    return out
