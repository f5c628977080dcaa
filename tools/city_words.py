"""What `steiger plan city` says, in English and German; one table a language with the same entries."""

from __future__ import annotations

from typing import Any

from tools import language

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "{name}: nodes {nodes}, gateways {ears}, {hours:g} h",
        "delivered": "Records delivered",
        "in_time": "Records at the gateway within 15 minutes",
        "latency": "Latency: half within {p50:.0f} s, 99 of 100 within {p99:.0f} s",
        "per": "Frames lost on the air",
        "channels": "channel",
        "share": "occupied",
        "frames": "frames",
        "busiest": "Busiest channel: {mhz:.3f} MHz, {share:.1f} % of the time",
        "duty": "Nearest to its duty cycle: {who}, {share:.0f} % of what the law allows in its worst hour (band {band})",
        "answers": "Answers of the gateway: {sent}; due, but no ear was free: {missed}",
        "node": "node",
        "sf": "SF",
        "ear": "heard by",
        "margin": "margin",
        "late": "in time",
        "all": "delivered",
        "half": "half within",
        "weak": "{name} is heard too weakly ({margin:+.0f} dB): raise its antenna or add a gateway near it",
        "crowded": "The channel {mhz:.1f} MHz is crowded: spread the boards (lora_spread_s), or take an eight-channel gateway",
        "good": "The plan holds: at least 99.9 % of the records are there within 15 minutes",
        "bad": "The plan does not hold: {share:.2f} % of the records are there within 15 minutes, 99.9 % are wanted",
        "picture": "Picture: {path}",
        "legend_good": "99.9 % in time",
        "legend_fair": "95 % and more",
        "legend_bad": "less",
        "running": "living through the town's hours",
        "more": "… and {count} more nodes (--all, or --json)",
        "m": "m",
    },
    "de": {
        "title": "{name}: Knoten {nodes}, Gateways {ears}, {hours:g} h",
        "delivered": "Zugestellte Datensätze",
        "in_time": "Datensätze nach höchstens 15 Minuten am Gateway",
        "latency": "Laufzeit: die Hälfte in {p50:.0f} s, 99 von 100 in {p99:.0f} s",
        "per": "In der Luft verlorene Rahmen",
        "channels": "Kanal",
        "share": "belegt",
        "frames": "Rahmen",
        "busiest": "Vollster Kanal: {mhz:.3f} MHz, {share:.1f} % der Zeit",
        "duty": "Am nächsten an der erlaubten Sendezeit: {who}, {share:.0f} % des Erlaubten in der schlimmsten Stunde (Band "
        "{band})",
        "answers": "Antworten des Gateways: {sent}; fällig, aber kein Empfänger war frei: {missed}",
        "node": "Knoten",
        "sf": "SF",
        "ear": "gehört von",
        "margin": "Reserve",
        "late": "rechtzeitig",
        "all": "zugestellt",
        "half": "Hälfte in",
        "weak": "{name} kommt zu schwach an ({margin:+.0f} dB): Antenne höher setzen oder ein Gateway in der Nähe ergänzen",
        "crowded": "Der Kanal {mhz:.1f} MHz ist überfüllt: die Platinen verteilen (lora_spread_s) oder ein Gateway mit acht "
        "Kanälen nehmen",
        "good": "Der Plan trägt: mindestens 99,9 % der Datensätze sind nach höchstens 15 Minuten da",
        "bad": "Der Plan trägt nicht: {share:.2f} % der Datensätze sind nach höchstens 15 Minuten da, gewünscht sind 99,9 %",
        "picture": "Bild: {path}",
        "legend_good": "99,9 % rechtzeitig",
        "legend_fair": "95 % und mehr",
        "legend_bad": "weniger",
        "running": "die Stunden der Stadt vergehen",
        "more": "… und {count} weitere Knoten (--all, oder --json)",
        "m": "m",
    },
}


def say(lang: str, word: str, **values: Any) -> str:
    """One sentence."""
    return language.say(WORDS, lang, word, **values)


def percent(lang: str, share: float, decimals: int = 2) -> str:
    """Rounded down: 99.9 % is never more than it is."""
    factor = 10**decimals
    return language.number(lang, int(share * 100 * factor + 1e-9) / factor, f".{decimals}f") + " %"
