"""What calibrations say, in German: a part of the table in tools/german.py."""

from __future__ import annotations

GERMAN = {
    # passports
    "docs/calibration.md shows a passport": "docs/calibration.md zeigt einen Pass",
    "docs/calibration.md has examples": "docs/calibration.md hat Beispiele",
    "this is no passport: it is too long": "das ist kein Pass: zu lang",
    "the passport cannot be read: {}": "der Pass lässt sich nicht lesen: {}",
    "the passport is no valid TOML: {}": "der Pass ist kein gültiges TOML: {}",
    "the passport has a version that is not 1": "die Version des Passes ist nicht 1",
    "the passport has an unknown key '{}'": "der Pass hat einen unbekannten Schlüssel '{}'",
    "the passport has no '{}'": "dem Pass fehlt '{}'",
    "the passport expires on {}, before its date {}": "der Pass läuft am {} ab, vor seinem Datum {}",
    "the passport calibrates no channel": "der Pass kalibriert keine Messgröße",
    "the passport names a channel twice": "der Pass nennt eine Messgröße zweimal",
    "figures of a passport are numbers": "Kennzahlen eines Passes sind Zahlen",
    "'{}' of the passport is no text of 1 to {} characters": "'{}' des Passes ist kein Text von 1 bis {} Zeichen",
    "'{}' of the passport is no day: {}": "'{}' des Passes ist kein Tag: {}",
    "Write it as 2027-03-31": "So schreiben: 2027-03-31",
    "there is no channel '{}'": "es gibt keine Messgröße '{}'",
    "docs/wire-protocol.md lists them; or: microphone": "docs/wire-protocol.md nennt sie; oder: microphone",
    "'{}' has no instance 0 to {}": "'{}' hat keine Instanz von 0 bis {}",
    "{} is a sound level: all levels of a microphone are calibrated together": "{} ist ein Schallpegel: alle Pegel eines Mikrofons "
    "werden zusammen kalibriert",
    "Name it microphone, or microphone:1 for the second one": "microphone nennen, oder microphone:1 für das zweite",
    "{} rests on counted events: there is nothing to calibrate": "{} beruht auf gezählten Ereignissen: da ist nichts zu "
    "kalibrieren",
    "'{}' is no table": "'{}' ist keine Tabelle",
    "'{}' has an unknown key '{}'": "'{}' hat einen unbekannten Schlüssel '{}'",
    "{} of {} is no number": "{} von {} ist keine Zahl",
    "{} of {} is {}, not {} to {}": "{} von {} ist {}, nicht {} bis {}",
    "{} has an offset in dB and nothing else": "{} hat einen Versatz (offset) in dB und sonst nichts",
    "{} has no slope, offset or kappa": "{} hat weder slope noch offset noch kappa",
    "kappa is for particle masses, not for {}": "kappa gilt für Feinstaubmassen, nicht für {}",
    "the board's calibration {} is not known here: who made it would be lost": "die Kalibrierung {} der Platine ist hier nicht "
    "bekannt: wer sie machte, ginge verloren",
    "Give the --config of its gateway, or the --calibrations folder where it was made, or --replace to begin anew": "--config "
    "ihres Gateways angeben, oder den Ordner --calibrations, wo sie entstand, oder mit --replace neu beginnen",
    "a board holds constants of {} channels, these are {}": "eine Platine fasst Konstanten von {} Messgrößen, das sind {}",
    # boards
    "{}: asking the board for its calibration": "{}: die Platine wird nach ihrer Kalibrierung gefragt",
    "{}: asking it for each of its constants": "{}: er wird nach jeder seiner Konstanten gefragt",
    "the board's firmware is older than calibrations": "die Firmware der Platine ist älter als Kalibrierungen",
    "Provision it anew: steiger node provision": "Neu einrichten: steiger node provision",
    "the board has changed so often that it must first deliver its records": "die Platine wurde so oft geändert, dass sie zuerst "
    "ihre Datensätze abliefern muss",
    "Connect it to its gateway and calibrate it through that": "Mit ihrem Gateway verbinden und durch dieses kalibrieren",
    "{} settings would change, a message carries {}": "{} Einstellungen würden sich ändern, eine Nachricht trägt {}",
    "Split the passport into two, or calibrate over the cable": "Den Pass teilen, oder über das Kabel kalibrieren",
    "the board refuses calibration {}: it has another one than it told, or changed too often": "die Platine lehnt Kalibrierung {} "
    "ab: sie hat eine andere, als sie sagte, oder wurde zu oft geändert",
    "Let it deliver its records, then try again: steiger gateway status": "Ihre Datensätze abliefern lassen, dann noch einmal: "
    "steiger gateway status",
    "no answer within {} s": "keine Antwort in {} s",
    "Look at its supply and cable; one that sleeps needs a longer --wait; one whose firmware is older than calibrations is "
    "provisioned anew": "Versorgung und Kabel ansehen; ein schlafender braucht ein längeres --wait; einer, dessen Firmware älter "
    "als Kalibrierungen ist, wird neu eingerichtet",
    "the board is not provisioned": "die Platine ist nicht eingerichtet",
    "First: steiger node provision": "Zuerst: steiger node provision",
    # fits
    "the sensor's values do not differ: nothing can be fitted": "die Werte des Sensors sind alle gleich: da lässt sich nichts "
    "anpassen",
    "Is it the right column, and was the sensor alive?": "Ist es die richtige Spalte, und lebte der Sensor?",
    "a humidity term needs the humidity of every raw value": "für Kappa braucht es die Feuchte zu jedem Rohwert",
    "Export humidity too, name its column with --humidity-column, or leave --humidity out": "Auch die Feuchte exportieren, ihre "
    "Spalte mit --humidity-column nennen, oder --humidity weglassen",
    "the reference does not change: nothing can be fitted": "die Referenz ändert sich nicht: da lässt sich nichts anpassen",
    "Is it the right column?": "Ist es die richtige Spalte?",
    "the table has no column for {}": "die Tabelle hat keine Spalte für {}",
    "It has {}: name one of them": "Sie hat {}: eine davon nennen",
    "It has {}: call one of them time": "Sie hat {}: eine davon in der Kopfzeile zeit nennen",
    "the time": "die Zeit",
    "the value": "den Wert",
    "'{}' is no value of an instrument": "'{}' ist kein Wert eines Messgeräts",
    "the table has no number in its column '{}'": "die Tabelle hat keine Zahl in ihrer Spalte '{}'",
    "the export has no values of {}": "der Export hat keine Werte von {}",
    "It has: {}": "Er hat: {}",
    "the reference does not rise with the sensor: a slope of {} says nothing": "die Referenz steigt nicht mit dem Sensor: eine "
    "Steigung von {} sagt nichts",
    "Look at the columns, the places and the times of both": "Spalten, Orte und Zeiten von beiden ansehen",
    "the export has {}{} of several stations: {}": "der Export hat {}{} von mehreren Stationen: {}",
    "Export one: steiger gateway export --node N": "Eine exportieren: steiger gateway export --node N",
    "the values were made by calibration {}, which is not known here": "die Werte machte Kalibrierung {}, die hier nicht bekannt "
    "ist",
    "Give the --config of their gateway, or its --calibrations folder": "--config ihres Gateways angeben, oder dessen Ordner "
    "--calibrations",
    "'{}' is no offset from UTC": "'{}' ist kein Abstand von UTC",
    "Write it as +01:00": "So schreiben: +01:00",
    "the table has no header with a time and a value": "die Tabelle hat keine Kopfzeile mit Zeit und Wert",
    "the table cannot be read: {}": "die Tabelle lässt sich nicht lesen: {}",
    "the table is not UTF-8 text": "die Tabelle ist kein Text in UTF-8",
    "Save it as UTF-8": "Als UTF-8 speichern",
    "the table has more than {} rows": "die Tabelle hat mehr als {} Zeilen",
    "'{}' is no time": "'{}' ist keine Zeit",
    "Times are ISO 8601 (2026-11-26 14:00), 26.11.2026 14:00 or unix seconds": "Zeiten sind ISO 8601 (2026-11-26 14:00), "
    "26.11.2026 14:00 oder Unix-Sekunden",
    "'{}' is no number": "'{}' ist keine Zahl",
    "'{}' is no interval": "'{}' ist kein Intervall",
    "Write it as 10min, 1h or 1d": "So schreiben: 10min, 1h oder 1d",
    "a microphone is calibrated with a sound calibrator, not beside another one": "ein Mikrofon wird mit einem Schallkalibrator "
    "kalibriert, nicht neben einem anderen",
    "steiger node calibrate TARGET --channel microphone --offset DB": "steiger node calibrate ZIEL --channel microphone "
    "--offset DB",
    "--humidity is for particle masses, not for {}": "--humidity gilt für Feinstaubmassen, nicht für {}",
    "{} common intervals of {} are too few: {} are needed": "{} gemeinsame Intervalle von {} sind zu wenige: nötig sind {}",
    "Measure longer side by side; or the times do not meet: see --raw-zone and --reference-zone": "Länger nebeneinander messen; "
    "oder die Zeiten treffen sich nicht: siehe --raw-zone und --reference-zone",
    "the clocks differ: the reference is late by {} × {}": "die Uhren gehen verschieden: die Referenz geht um {} × {} nach",
    "the clocks differ: the reference is early by {} × {}": "die Uhren gehen verschieden: die Referenz geht um {} × {} vor",
    "Check time zones and whether times are beginnings: --reference-zone, --reference-starts": "Zeitzonen prüfen, und ob Zeiten "
    "Anfänge sind: --reference-zone, --reference-starts",
    # sets
    "'{}' is no number of a calibration": "'{}' ist keine Nummer einer Kalibrierung",
    "It has 8 hexadecimal digits": "Sie hat 8 hexadezimale Ziffern",
    "calibration {} is not known here": "Kalibrierung {} ist hier nicht bekannt",
    "steiger calibrate add FILE brings it from where it was made": "steiger calibrate add DATEI bringt sie von dort, wo sie "
    "entstand",
    "version {} is not 1": "Version {} ist nicht 1",
    "was changed: it is not what its number says": "wurde verändert: es ist nicht, was seine Nummer sagt",
    "Copy it again from where it was made": "Noch einmal von dort kopieren, wo es entstand",
    "holds the set {}": "enthält den Satz {}",
    "Name it by its number": "Nach seiner Nummer benennen",
    "is no calibration set: {}": "ist kein Kalibriersatz: {}",
    "Copy it again": "Noch einmal kopieren",
    "cannot be read: {}": "lässt sich nicht lesen: {}",
    "cannot be written: {}": "lässt sich nicht schreiben: {}",
    "the calibration cannot be kept: {}": "die Kalibrierung lässt sich nicht aufbewahren: {}",
    # a sound calibrator
    "the board did not begin to listen ({})": "die Platine begann nicht zu hören ({})",
    "Is there an I2S microphone at this place? It is the order of [[sensors]] in board.toml, from 0; a DNMS module is read by "
    "eye, and given --channel microphone --offset": "Ist an dieser Stelle ein I2S-Mikrofon? Es ist die Reihenfolge von "
    "[[sensors]] in board.toml, ab 0; ein DNMS-Modul wird abgelesen und bekommt --channel microphone --offset",
    "{}: listening to the calibrator for {} s": "{}: hört den Kalibrator {} s lang",
    "the microphone is not ready": "das Mikrofon ist nicht bereit",
    "Wait until the board reports levels, then try again": "Warten, bis die Platine Pegel meldet, dann noch einmal",
    "the microphone hears nothing at all": "das Mikrofon hört gar nichts",
    "See what its self test says": "Ansehen, was sein Selbsttest sagt",
    "the board lost samples while it listened": "der Platine gingen beim Hören Abtastwerte verloren",
    "the microphone is overloaded": "das Mikrofon ist übersteuert",
    "Use a calibrator of 94 dB, not 114 dB": "Einen Kalibrator mit 94 dB nehmen, nicht mit 114 dB",
    "the level moves by more than {} dB": "der Pegel bewegt sich um mehr als {} dB",
    "Seat the calibrator tightly, wait ten seconds, try again": "Den Kalibrator dicht aufsetzen, zehn Sekunden warten, noch einmal",
    "there is other sound beside the tone": "neben dem Ton ist anderer Schall",
    "Seat the calibrator tightly, go where it is quieter": "Den Kalibrator dicht aufsetzen, dorthin gehen, wo es leiser ist",
    "the tone is not one of 1 kHz": "der Ton hat nicht 1 kHz",
    "Set the calibrator to 1 kHz": "Den Kalibrator auf 1 kHz stellen",
    "the level is more than 6 dB away from 94 dB": "der Pegel liegt mehr als 6 dB neben 94 dB",
    "Set the calibrator to 94 dB and look at its battery; else the microphone is broken": "Den Kalibrator auf 94 dB stellen und "
    "seine Batterie ansehen; sonst ist das Mikrofon defekt",
    "no calibration ({})": "keine Kalibrierung ({})",
    "Update this program": "Dieses Programm erneuern",
    # usage
    "--show changes nothing: leave out --passport and --channel": "--show ändert nichts: --passport und --channel weglassen",
    "nothing to do": "nichts zu tun",
    "Give --passport FILE, or --channel NAME with its constants, or --show": "--passport DATEI angeben, oder --channel NAME mit "
    "seinen Konstanten, oder --show",
    "{} is the address of a node, and no gateway is named": "{} ist die Adresse eines Knotens, und kein Gateway ist genannt",
    "Give its --config, or a port": "Dessen --config angeben, oder einen Anschluss",
    "a --passport says it all: leave out --channel and what belongs to it": "ein --passport sagt alles: --channel und was dazu "
    "gehört weglassen",
    "--{} is missing": "--{} fehlt",
    "--calibrator measures the offset: leave out --passport, --show and constants": "--calibrator misst den Versatz: "
    "--passport, --show und Konstanten weglassen",
    "a calibrator of {} dB is not known": "ein Kalibrator mit {} dB ist nicht bekannt",
    "Set it to 94 dB and 1 kHz": "Auf 94 dB und 1 kHz stellen",
    "a sound calibrator is for a microphone, not for {}": "ein Schallkalibrator gilt einem Mikrofon, nicht {}",
    "a microphone listens while its board runs: it is calibrated through the gateway": "ein Mikrofon hört, während seine Platine "
    "läuft: es wird durch das Gateway kalibriert",
    "Give the address of its node and --config": "Die Adresse seines Knotens und --config angeben",
    "A calibration says who, with what, and until when": "Eine Kalibrierung sagt, wer, womit und bis wann",
}
