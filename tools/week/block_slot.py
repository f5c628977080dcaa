"""The slot of a board whose sound comes as block results: the product's files, but for the loop that takes every sample.

A week of 48 kHz sample by sample takes a computer hours. What stands behind the DSP (the driver's judgement, levels,
percentiles, windows, flags) costs little, so there a block of half a second is one question to the host: same interface as
the meter's loop, `run(samples, 0, 0, block, state, histogram)`, with the state that it leaves. The host answers from the
world's sound and the microphone's own words (`tools.week.blocks`). The changes are made to sources, before they are
compiled as the product is; one that no longer fits is an error.
"""

from __future__ import annotations

from collections.abc import Callable

from boards import Board
from tools.errors import SteigerError
from tools.sim import image
from tools.sim.interpreter import Interpreter

# Of 752 samples in one go: half a second, two to a reading. One would be too few: the driver takes sound for lost when it
# never once caught up with the clock within a reading, and a flash that is busy delays a block.
BLOCKS = 32
ASK = 90  # the request, beside those of tools.sim.stub.ops
STATE = 41  # words of the meter's state
PAIRS = 160  # bins of a second's histogram at most

METER, DRIVER, CARE = "firmware/dsp/meter.py", "firmware/drivers/i2s_mic.py", "firmware/drivers/i2s_care.py"

_LOOP = f'''
from array import array

_answer = array("i", bytes({4 * STATE + 4 * PAIRS}))
_call = getattr(__import__("simbus"), "call")  # by words: the linker knows no name of the laboratory


def run(x, h, low, samples, state, histogram):
    """Ask the host what `x` samples make of `state` and `histogram`; nothing is left for the collector by the hundred."""
    pairs = _call({ASK}, 0, x, bytes(state), _answer)
    for at in range({STATE}):
        state[at] = _answer[at]
    for at in range({STATE}, {STATE} + pairs):
        histogram[_answer[at] & 0xFFFF] += _answer[at] >> 16 & 0xFFFF

'''

_CHANGES = (
    (DRIVER, "_SILENCE_MS = const(500)", "_SILENCE_MS = const(5000)"),
    (
        DRIVER,
        "        return samples\n\n    async def _settle",
        f"        return samples * {BLOCKS}\n\n    async def _settle",
    ),
    (CARE, "_BLOCKS = const(40)", "_BLOCKS = const(1)"),
)


def files(
    board: Board, interpreter: Interpreter, change: Callable[[dict[str, bytes]], dict[str, bytes]] | None = None
) -> dict[str, bytes]:
    """All files of a fresh flash; `change`: of the sources, before they are compiled. Without it the loop is exchanged."""
    return image.board_files(board, interpreter, change or changed)


def changed(sources: dict[str, bytes]) -> dict[str, bytes]:
    """The product's sources with another loop."""
    found = dict(sources)
    for name, before, after in _CHANGES:
        found[name] = _replaced(name, found[name].decode(), before, after).encode()
    meter = found[METER].decode()
    begin, end = "@micropython.viper\ndef run(", "@micropython.viper\ndef merge("
    if meter.count(begin) != 1 or meter.count(end) != 1:
        raise SteigerError("the meter's loop is not where it was", where=METER)
    found[METER] = (meter[: meter.index(begin)] + _LOOP + meter[meter.index(end) :]).encode()
    return found


def _replaced(name: str, text: str, before: str, after: str) -> str:
    if text.count(before) != 1:
        raise SteigerError(f"{before.strip()!r} is not there once", where=name)
    return text.replace(before, after)
