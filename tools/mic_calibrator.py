"""With a sound calibrator (94 dB, 1 kHz) on a board's microphone: have the board listen, and get the value that its setting
`mic_offset_cdb` should have. Setting it, with who did it and by what, is another matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.errors import SteigerError

LISTENS_S = 5  # the board; it begins after the reading under way
TRIES = 6  # beyond that, every two seconds
_WHY = {  # wire.names.MIC_REASONS: what happened, what to do
    "not_yet": ("the microphone is not ready", "Wait until the board reports levels, then try again"),
    "no_sound": ("the microphone hears nothing at all", "See what its self test says"),
    "samples_lost": ("the board lost samples while it listened", "Try again"),
    "overloaded": ("the microphone is overloaded", "Use a calibrator of 94 dB, not 114 dB"),
    "unsteady": ("the level moves by more than 0.2 dB", "Seat the calibrator tightly, wait ten seconds, try again"),
    "impure": ("there is other sound beside the tone", "Seat the calibrator tightly, go where it is quieter"),
    "not_1khz": ("the tone is not one of 1 kHz", "Set the calibrator to 1 kHz"),
    "not_94_db": (
        "the level is more than 6 dB away from 94 dB",
        "Set the calibrator to 94 dB and look at its battery; else the microphone is broken",
    ),
}


def microphone_offset(
    ask: Callable[..., Any],
    node: int,
    sensor: int = 0,
    *,
    sleep: Callable[[float], object],
    said: Callable[[str], object],
) -> int:
    """The value for `mic_offset_cdb`, 0.01 dB, in place of the one that the board has now.

    `ask(verb, **fields)` asks the gateway (gateway.control.call on its data folder); `sensor` is the microphone's place on the
    board. SteigerError: the board cannot do it, or takes what it hears for no calibrator.
    """
    where = f"node {node}, sensor {sensor}"
    begun = ask("command", node=node, command="calibrate_mic", arg=sensor)
    if begun["result"] != "done":
        raise SteigerError(
            f"the board did not begin to listen ({begun['result']})",
            where=where,
            next_step="Is there an I2S microphone at this place? It is the order of [[sensors]] in board.toml, from 0; a "
            "DNMS module is read by eye, and given --channel microphone --offset",
        )
    said(f"{where}: listening to the calibrator for {LISTENS_S} s")
    sleep(LISTENS_S + 1)
    reason = "not_yet"
    for _ in range(TRIES):
        answer = ask("command", node=node, command="mic_offset", arg=sensor)
        if answer["result"] == "done":
            return int(answer["value"])
        reason = mic_reason(answer["value"])
        if reason != "not_yet":
            break
        sleep(2)
    what, next_step = _WHY.get(reason, (f"no calibration ({reason})", "Update this program"))
    raise SteigerError(what, where=where, next_step=next_step)


def mic_reason(number: int) -> str:
    """The name of a reason of wire.messages; its number if it is newer than this program."""
    from wire.names import MIC_REASONS

    return MIC_REASONS[number - 1] if 0 < number <= len(MIC_REASONS) else str(number)
