"""What `steiger plan airtime` says, in English and German; one table a language with the same entries."""

from __future__ import annotations

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "{board}: a record of {channels} values every {interval} s, {power} dBm",
        "frames": "{profiles} profiles: so many frames each time; bytes and airtime are those of all",
        "heads": "SF|bytes|most|airtime ms|in a frame|ms each|duty %|records/h|backlog/h|nodes, 1 ch|next|nodes, 8 ch|next",
        "unlawful": "not lawful",
        "law": "The law gives 36 s an hour (1 %). records/h: one in a frame; backlog/h: in full frames, as after a dead radio.",
        "nodes": "nodes: at most 5 of 100 frames meet another one (they are sent again); next: from so many on 10 of 100 do, and "
        "another gateway is due. 1 ch: a bridge or HAT; 8 ch: a concentrator. steiger plan city lives it through.",
        "wired": "{board} has no radio: these are the figures of a board like it that has one",
        "battery": "Battery: about {days:.0f} days at SF{sf} from {mah:.0f} mAh (mean load {load:.0f} mW; an estimate)",
        "battery_hours": "Battery: about {hours:.0f} h at SF{sf} from {mah:.0f} mAh (mean load {load:.0f} mW; an estimate)",
        "unknown": "Battery: no estimate, the supply of {sensors} is not known here",
        "none": "At no spreading factor is this lawful: choose a longer interval",
    },
    "de": {
        "title": "{board}: alle {interval} s ein Datensatz von {channels} Werten, {power} dBm",
        "frames": "{profiles} Profile: so viele Rahmen jedes Mal; Bytes und Sendezeit sind die von allen",
        "heads": "SF|Bytes|höchstens|Sendezeit ms|im Rahmen|ms je|Anteil %|Datensätze/h|Rückstand/h|Knoten, 1 K|weiteres|"
        "Knoten, 8 K|weiteres",
        "unlawful": "nicht erlaubt",
        "law": "Erlaubt sind 36 s je Stunde (1 %). Datensätze/h: einer je Rahmen; Rückstand/h: in vollen Rahmen, wie nach "
        "einem Funkausfall.",
        "nodes": "Knoten: höchstens 5 von 100 Rahmen treffen einen anderen (und werden wiederholt); weiteres: ab so vielen "
        "sind es 10 von 100, und ein weiteres Gateway ist fällig. 1 K: Bridge oder HAT; 8 K: Konzentrator. steiger plan city "
        "spielt es durch.",
        "wired": "{board} hat kein Funkmodul: das sind die Zahlen einer solchen Platine mit einem",
        "battery": "Akku: etwa {days:.0f} Tage bei SF{sf} aus {mah:.0f} mAh (mittlere Last {load:.0f} mW; eine Schätzung)",
        "battery_hours": "Akku: etwa {hours:.0f} h bei SF{sf} aus {mah:.0f} mAh (mittlere Last {load:.0f} mW; eine Schätzung)",
        "unknown": "Akku: keine Schätzung, der Verbrauch von {sensors} ist hier nicht bekannt",
        "none": "Bei keinem Spreizfaktor ist das erlaubt: ein längeres Intervall wählen",
    },
}
