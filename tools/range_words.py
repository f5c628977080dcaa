"""What `steiger range-test` says, in English and German; one table a language with the same entries."""

from __future__ import annotations

from typing import Any

from tools import language

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "good": "good",
        "weak": "weak",
        "not here": "not here",
        "map": "Range test: where nodes are heard",
        "asks": "node {node}: waiting for it, for at most {wait:g} s; switched on now, it speaks within a minute",
        "waits": "node {node}: nothing heard for {s} s",
        "runs": "node {node}: {heard} of {of} frames heard, {left} s left at most",
        "deaf": "{ear} did not listen at SF{sf} all the time: not counted",
        "kept": "written to {path}",
        "silent": "nothing was heard: the place is entered as such in {path}",
        "place": "place",
        "sf": "SF",
        "ear": "ear",
        "frames": "heard",
        "margin": "margin",
        "judged": "so it is",
        "mount": "Mount it at {name}: heard by {ear}, SF{sf}, {margin:.1f} dB above what that needs.",
        "mount_weak": "Mount it at {name} if it must be one of these: heard by {ear}, SF{sf}, only {margin:.1f} dB above what "
        "that needs. Better a higher place, another antenna, or one more gateway.",
        "nowhere": "At none of these places: no ear hears the node well enough. Try higher, nearer, or with another antenna; or "
        "add a gateway.",
        "never": "Not here: {names}.",
        "computed": "SF{sf} was not tested at {name}: it follows from the SNR.",
        "single": "A single-modem ear hears one SF for all its nodes: which one, the gateway decides for the weakest.",
        "few": "Of {sent} frames, none lost still allows for {most:.0f} % lost ones (95 of 100 times less).",
        "power": "The places were tested with different powers: compared as for equal ones.",
        "unplaced": "No position, not on the map: {names}.",
        "picture": "Map: {path}",
    },
    "de": {
        "good": "gut",
        "weak": "schwach",
        "not here": "hier nicht",
        "map": "Reichweitentest: wo Knoten gehört werden",
        "asks": "Knoten {node}: warte auf ihn, höchstens {wait:g} s; jetzt eingeschaltet, meldet er sich in einer Minute",
        "waits": "Knoten {node}: seit {s} s nichts gehört",
        "runs": "Knoten {node}: {heard} von {of} Rahmen gehört, noch höchstens {left} s",
        "deaf": "{ear} hörte SF{sf} nicht die ganze Zeit: nicht gezählt",
        "kept": "geschrieben in {path}",
        "silent": "nichts wurde gehört: so steht der Ort jetzt in {path}",
        "place": "Ort",
        "sf": "SF",
        "ear": "Empfänger",
        "frames": "gehört",
        "margin": "Reserve",
        "judged": "also",
        "mount": "Hier montieren: {name}, gehört von {ear}, SF{sf}, {margin:.1f} dB über dem Nötigen.",
        "mount_weak": "Wenn es einer dieser Orte sein muss: {name}, gehört von {ear}, SF{sf}, nur {margin:.1f} dB über dem "
        "Nötigen. Besser ein höherer Ort, eine andere Antenne oder ein weiteres Gateway.",
        "nowhere": "An keinem dieser Orte: kein Empfänger hört den Knoten gut genug. Höher, näher oder mit anderer Antenne "
        "versuchen, oder ein Gateway ergänzen.",
        "never": "Hier nicht: {names}.",
        "computed": "SF{sf} wurde am Ort {name} nicht erprobt: es folgt aus dem SNR.",
        "single": "Ein Empfänger mit einem Modem hört einen SF für alle seine Knoten: welchen, entscheidet das Gateway nach dem "
        "schwächsten.",
        "few": "Bei {sent} Rahmen heißt keiner verloren immer noch: bis zu {most:.0f} % Verlust sind möglich (in 95 von 100 "
        "Fällen weniger).",
        "power": "Die Orte wurden mit verschiedener Leistung erprobt: verglichen wie bei gleicher.",
        "unplaced": "Ohne Position, nicht auf der Karte: {names}.",
        "picture": "Karte: {path}",
    },
}


def say(lang: str, word: str, **values: Any) -> str:
    """One sentence."""
    return language.say(WORDS, lang, word, **values)


def number(lang: str, value: float | None, how: str, unit: str) -> str:
    return "-" if value is None else language.number(lang, value, how) + " " + unit
