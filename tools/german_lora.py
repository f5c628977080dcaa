"""What the planning of LoRa says goes wrong, in German: a part of the table in tools/german.py."""

from __future__ import annotations

GERMAN = {
    "docs/lora-planning.md has one": "docs/lora-planning.md hat eine",
    "docs/lora-planning.md has the keys": "docs/lora-planning.md nennt die Schlüssel",
    "there is no such file": "diese Datei gibt es nicht",
    "there is no such folder": "diesen Ordner gibt es nicht",
    "Make it first": "Zuerst anlegen",
    "the file cannot be read: {}": "die Datei lässt sich nicht lesen: {}",
    "Check its path and mode": "Pfad und Rechte prüfen",
    "no valid TOML: {}": "kein gültiges TOML: {}",
    "Correct that line": "Diese Zeile berichtigen",
    "object contains unknown field `{}`": "unbekannter Schlüssel '{}'",
    "object missing required field `{}`": "es fehlt '{}'",
    "expected `{}`, got `{}`": "erwartet wird {}, da steht {}",
    "invalid enum value '{}'": "ungültiger Wert '{}'",
    "there are no nodes: give [[node]] or [[nodes]]": "es gibt keine Knoten: [[node]] oder [[nodes]] angeben",
    "a place is x_m and y_m, or lat and lon": "ein Ort ist x_m und y_m, oder lat und lon",
    "some places are in metres and some in degrees: use one of them": "manche Orte stehen in Metern und manche in Grad: eines "
    "davon nehmen",
    "more than {} nodes": "mehr als {} Knoten",
    "the name '{}' is there twice": "den Namen '{}' gibt es zweimal",
}
