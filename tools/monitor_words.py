"""What the monitor says, in English and German; one table a language with the same entries."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "listening": "listening on {port} at {baudrate} baud; Ctrl-C ends",
        "tap": "{holder} holds {port}: read-only tap; Ctrl-C ends",
        "gateway": "the gateway (pid {pid})",
        "no_keys": "no keys: frames are counted, not opened (--keys FILE)",
        "sum": "{frames} frames, {good} opened; not opened: {bad}; dropped on the line: {dropped}",
        "none": "none",
        "bad": "bad: {what}",
        "not_opened": "{bytes} bytes, not opened: {reason}",
        "coverage": "coverage {percent} %",
        "no_profile": "profile {profile} not known yet: wait for its descriptor",
        "foreign": "{bytes} bytes of another protocol",
        "answer": "answer #{number}: {result}",
        "answer_sent": "sent",
        "answer_late": "not sent, its time was over when it came",
        "answer_busy": "not sent, another one has that time",
        "answer_radio": "not sent, the radio failed",
        "answer_refused": "not sent, the radio cannot do that",
        "bridge_status": "bridge: {chip} {radio}, {mhz:g} MHz SF{sf}; heard {heard}, damaged {crc}; sent {sent}, failed {failed}",
        "radio_listens": "listens",
        "radio_starts": "starts",
        "radio_dead": "does not answer",
        "tune": "listen at {mhz:g} MHz SF{sf}",
        "no_gateway": "no gateway answers: {records} on the board, safe",
        "no_gateway_closed": "no gateway answers: the board keeps its records, safe",
        "records_one": "1 record stays",
        "records_many": "{n} records stay",
        "not_answered": "the gateway does not answer this node: is its present life in the gateway's key file?",
        "silent": "nothing heard for {s} s; a board that runs speaks at least once a minute. If it stays silent: power, cable, "
        "or it was stopped at its prompt: mpremote connect {port} reset",
        "silent_tap": "nothing heard for {s} s; a board that runs speaks at least once a minute. If it stays silent: power, "
        "cable, or it was stopped at its prompt: steiger gateway release {port}, mpremote connect {port} reset, "
        "steiger gateway resume {port}",
        "prompt": "the board stands at its prompt, its program was stopped. It starts again with: mpremote connect {port} reset",
    },
    "de": {
        "listening": "höre auf {port} mit {baudrate} Baud; Strg-C beendet",
        "tap": "{holder} hält {port}: nur mitlesen; Strg-C beendet",
        "gateway": "das Gateway (pid {pid})",
        "no_keys": "ohne Schlüssel: Rahmen werden gezählt, nicht geöffnet (--keys DATEI)",
        "sum": "{frames} Rahmen, {good} geöffnet; nicht geöffnet: {bad}; auf der Leitung verworfen: {dropped}",
        "none": "keine",
        "bad": "schlecht: {what}",
        "not_opened": "{bytes} Bytes, nicht geöffnet: {reason}",
        "coverage": "Abdeckung {percent} %",
        "no_profile": "Profil {profile} noch nicht bekannt: auf seine Beschreibung warten",
        "foreign": "{bytes} Bytes eines anderen Protokolls",
        "answer": "Antwort #{number}: {result}",
        "answer_sent": "gesendet",
        "answer_late": "nicht gesendet, ihre Zeit war vorbei, als sie kam",
        "answer_busy": "nicht gesendet, eine andere hat diese Zeit",
        "answer_radio": "nicht gesendet, das Funkteil versagte",
        "answer_refused": "nicht gesendet, das Funkteil kann das nicht",
        "bridge_status": "Brücke: {chip} {radio}, {mhz:g} MHz SF{sf}; gehört {heard}, beschädigt {crc}; gesendet {sent}, "
        "nicht gesendet {failed}",
        "radio_listens": "hört",
        "radio_starts": "startet",
        "radio_dead": "antwortet nicht",
        "tune": "höre auf {mhz:g} MHz SF{sf}",
        "no_gateway": "kein Gateway antwortet: {records} auf der Platine, sicher",
        "no_gateway_closed": "kein Gateway antwortet: die Platine behält ihre Datensätze, sicher",
        "records_one": "1 Datensatz bleibt",
        "records_many": "{n} Datensätze bleiben",
        "not_answered": "das Gateway antwortet diesem Knoten nicht: steht sein jetziges Leben in der Schlüsseldatei des Gateways?",
        "silent": "seit {s} s nichts gehört; eine laufende Platine meldet sich mindestens einmal je Minute. Bleibt sie stumm: "
        "Strom, Kabel, oder sie wurde an ihrer Eingabe angehalten: mpremote connect {port} reset",
        "silent_tap": "seit {s} s nichts gehört; eine laufende Platine meldet sich mindestens einmal je Minute. Bleibt sie "
        "stumm: Strom, Kabel, oder sie wurde an ihrer Eingabe angehalten: steiger gateway release {port}, "
        "mpremote connect {port} reset, steiger gateway resume {port}",
        "prompt": "die Platine steht an ihrer Eingabe, ihr Programm wurde angehalten. Neu starten: mpremote connect {port} reset",
    },
}

# Why a frame was not opened, or bytes were dropped: the word that --json has, and what it means.
REASONS: dict[str, dict[str, str]] = {
    "en": {
        "no keys": "no keys",
        "tag": "tag (another key than in this key file)",
        "unknown node": "unknown node (not in this key file)",
        "version": "version (another protocol, or no frame)",
        "type": "type (a newer message, or no frame)",
        "short": "short (half a frame)",
        "long": "long",
        "fcs": "fcs (damaged on the line)",
    },
    "de": {
        "no keys": "keine Schlüssel",
        "tag": "tag (anderer Schlüssel als in dieser Datei)",
        "unknown node": "unbekannter Knoten (nicht in dieser Datei)",
        "version": "version (anderes Protokoll, oder kein Rahmen)",
        "type": "type (neuere Nachricht, oder kein Rahmen)",
        "short": "short (halber Rahmen)",
        "long": "long (zu lang)",
        "fcs": "fcs (auf der Leitung beschädigt)",
    },
}

# Flags and reasons of values, as docs/quality.md has them.
QUALITIES: dict[str, dict[str, str]] = {
    "en": {
        "not_evaluated": "not evaluated",
        "flat_line": "flat line",
        "rate_of_change": "rate of change",
        "warm_up": "sensor warming up",
        "sensor_status": "the sensor's status word",
        "humidity": "air humid above 80 %",
        "wind": "wind on the microphone",
        "blocked": "counter blocked",
        "calibration": "calibration missing or expired",
        "samples_lost": "samples lost",
    },
    "de": {
        "good": "gut",
        "not_evaluated": "nicht bewertet",
        "suspect": "zweifelhaft",
        "bad": "schlecht",
        "missing": "fehlt",
        "range": "außerhalb des Bereichs",
        "spike": "Ausreißer",
        "flat_line": "Wert steht still",
        "rate_of_change": "zu schnelle Änderung",
        "warm_up": "Sensor läuft warm",
        "sensor_status": "Statuswort des Sensors",
        "humidity": "Luftfeuchte über 80 %",
        "wind": "Wind am Mikrofon",
        "blocked": "Zähler verdeckt",
        "overload": "übersteuert",
        "underrange": "unter dem Eigenrauschen",
        "calibration": "Kalibrierung fehlt oder ist abgelaufen",
        "samples_lost": "Abtastwerte verloren",
        "contradiction": "Widerspruch",
    },
}


def quality_words(flag: str, why: str, lang: str = "en") -> str:
    """`suspect (air humid above 80 %)`"""
    known = QUALITIES[lang]
    return known.get(flag, flag) + (f" ({known.get(why, why)})" if why else "")


def reason(word: str, lang: str = "en") -> str:
    """A reason with its meaning."""
    return REASONS[lang].get(word, word)


def counted(counts: dict[str, int], lang: str) -> str:
    """`tag (another key …) 3, fcs (…) 1`, or "none"."""
    return ", ".join(f"{reason(word, lang)} {n}" for word, n in counts.items()) or WORDS[lang]["none"]
