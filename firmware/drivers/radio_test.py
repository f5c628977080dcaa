"""For whoever stands beside a board: is its radio all right? At the REPL, or from a computer:

mpremote exec "from firmware.drivers.radio_test import run; run()"
"""

import asyncio
import json

from firmware.drivers.radio import open_radio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


async def _rows(hal: "Any", clock: "Any", root: str) -> list:
    try:
        with open(root + "/board.json") as f:
            board = json.load(f)
        if "radio" not in board:
            return [("this board has no radio", False, 0)]
        radio = await open_radio(board, hal, clock)
    except OSError as error:
        return [(str(error.args[-1]), False, error.args[0])]
    rows: list = await radio.self_test()
    return rows


def run(root: str = "") -> bool:
    """Print a line for each thing that was tried; whether all are well."""
    from firmware import hal
    from firmware.clock import Clock

    hal.prepare_loop()
    rows = asyncio.run(_rows(hal, Clock(hal), root))
    for what, passed, number in rows:
        print("%-4s %s (%d)" % ("ok" if passed else "FAIL", what, number))
    return not [what for what, passed, _ in rows if not passed]
