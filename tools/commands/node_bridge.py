"""`steiger node provision` of a bridge board: its program, no address and no key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boards import Board
from tools import listen
from tools import provision as job
from tools.errors import NoConnection, UsageError
from wire import bridge

ANSWER_TIMEOUT_S = 30.0  # boot, and the radio's calibration; the program speaks every 10 s
_WORDS = {
    "en": {
        "done": "bridge ({board}) on {port}: provisioned, without a key, {answer}",
        "listens": "its radio listens",
        "silent": "no word from it yet",
        "returned": "port handed back to the gateway",
        "next": "next: name the port in gateway.toml, [[bridge]]; what it hears: steiger monitor {port}",
    },
    "de": {
        "done": "Brücke ({board}) an {port}: eingerichtet, ohne Schlüssel, {answer}",
        "listens": "ihr Funkteil hört",
        "silent": "noch kein Wort von ihr",
        "returned": "Anschluss an das Gateway zurückgegeben",
        "next": "weiter: den Anschluss in gateway.toml nennen, [[bridge]]; was sie hört: steiger monitor {port}",
    },
}


def refuse_what_a_bridge_has_not(**given: object) -> None:
    """UsageError if an option was given that only a node has."""
    for name, value in given.items():
        if value:
            raise UsageError(
                f"a bridge has no {name.replace('_', ' ')}: it hands on what others seal",
                next_step=f"Leave out --{name.replace('_', '-')}",
            )


def provision_bridge(
    port: str,
    board: Board,
    *,
    data_dir: Path | None,
    lent: Callable[[], bool],
    hand_back: Callable[[], None],
    said: Callable[[str], None],
    progress: Callable[[int, int], None],
    wait: bool,
    lang: str,
    as_json: bool,
) -> None:
    """`lent` asks a gateway for the port, and tells whether it gave it; `hand_back` gives it back."""
    borrowed = lent()
    try:
        done = job.provision_bridge(port, board, said=said, progress=progress)
    finally:
        if borrowed:
            hand_back()
    radio: int | None = None
    if wait and borrowed and data_dir is not None:
        radio = listen.gateway_hears_bridge(data_dir, port, ANSWER_TIMEOUT_S)
    elif wait:
        radio = listen.hears_bridge(port, ANSWER_TIMEOUT_S)
    words = _WORDS[lang]
    listens = radio == bridge.RADIO_LISTENS
    if as_json:
        told: dict[str, Any] = {
            "port": port, "board": done.board, "bridge": True, "slot": done.slot, "files_copied": done.copied,
            "answers": radio is not None, "radio_listens": listens, "handed_back": borrowed,
        }  # fmt: skip
        print(json.dumps(told))
    else:
        answer = words["listens" if listens else "silent"] + (f", {words['returned']}" if borrowed else "")
        print(words["done"].format(board=done.board, port=port, answer=answer))
        print(words["next"].format(port=port))
    if wait and not listens:
        what = "it took its program but does not speak" if radio is None else "its radio does not answer"
        raise NoConnection(what, where=port, next_step=f"Look at its log: steiger monitor {port}")
