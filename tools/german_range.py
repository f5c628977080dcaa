"""What range tests say goes wrong, in German: a part of the table in tools/german.py."""

from __future__ import annotations

GERMAN = {
    "--name is empty": "--name ist leer",
    "Give the place a name": "Dem Ort einen Namen geben",
    "--position and --track both say where this is": "--position und --track sagen beide, wo das ist",
    "Give one of them": "Eines davon angeben",
    "Give --position, or leave it away and give the track to range-test report later": "--position angeben, oder weglassen und "
    "den Track später an range-test report geben",
    "Give --track, or enter lat and lon in the file": "--track angeben, oder lat und lon in der Datei eintragen",
    "Is it on? Then it is not heard at this place": "Ist er an? Dann wird er an diesem Ort nicht gehört",
    "Start it and try again": "Es starten und noch einmal versuchen",
    "Try again; steiger gateway status shows them": "Noch einmal versuchen; steiger gateway status zeigt sie",
    "no ear listened all the time": "kein Empfänger hörte die ganze Zeit zu",
    "no place has a position: there is nothing to draw": "kein Ort hat eine Position: es gibt nichts zu zeichnen",
    "the file cannot be written: {}": "die Datei lässt sich nicht schreiben: {}",
    "the gateway ended before the test did": "das Gateway endete vor dem Test",
    "the track has no point of this name or time": "der Track hat keinen Punkt mit diesem Namen oder dieser Zeit",
    "Give degrees as LAT,LON, with points: 51.4818,7.2162": "Grad als BREITE,LÄNGE mit Punkten angeben: 51.4818,7.2162",
    "It takes GPX, or CSV with the columns lat, lon and name or time": "Es geht GPX, oder CSV mit den Spalten lat, lon und name "
    "oder time",
    "Its head is {}": "Ihr Kopf ist {}",
    "it has a DOCTYPE": "sie hat einen DOCTYPE",
    "no track can be read from this file: {}": "aus dieser Datei lässt sich kein Track lesen: {}",
    "steiger range-test place adds one": "steiger range-test place fügt eines hinzu",
    "steiger range-test place makes it": "steiger range-test place legt sie an",
    "there is no result in this file": "in dieser Datei steht kein Ergebnis",
    "this is no file of range tests": "das ist keine Datei von Reichweitentests",
    "this line is no result of a range test": "diese Zeile ist kein Ergebnis eines Reichweitentests",
    "{} is no position": "{} ist keine Position",
    "Ask for fewer frames (--count), or wait up to an hour": "Weniger Rahmen verlangen (--count), oder bis zu einer Stunde warten",
    "Is it a LoRa board, with the newest firmware?": "Ist es eine LoRa-Platine mit der neuesten Firmware?",
    "They hear SF{}; a bridge or a HAT hears one at a time": "Sie hören SF{}; eine Bridge oder ein HAT hört einen auf einmal",
    "Try again in a minute": "In einer Minute noch einmal versuchen",
    "Wait for its end": "Sein Ende abwarten",
    "a range test of this node runs already": "ein Reichweitentest dieses Knotens läuft schon",
    "no ear hears SF{} now": "kein Empfänger hört jetzt SF{}",
    "no ear hears anything now": "kein Empfänger hört jetzt etwas",
    "steiger gateway status says why": "steiger gateway status sagt, warum",
    "the law leaves the node {} s of airtime now, too little for this test": "das Gesetz lässt dem Knoten jetzt {} s Sendezeit, "
    "zu wenig für diesen Test",
    "the node has no time yet": "der Knoten hat noch keine Zeit",
    "this gateway has no LoRa ear": "dieses Gateway hat keinen LoRa-Empfänger",
    "Enter one in gateway.toml: docs/lora-gateway.md": "Einen in gateway.toml eintragen: docs/lora-gateway.md",
    "this node knows no range test": "dieser Knoten kennt keinen Reichweitentest",
}
