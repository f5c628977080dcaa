"""`steiger node traceback`: where in the sources the short names of a board's error message come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools.errors import UsageError

LINE = 'File "'  # of a traceback


def traceback(
    board: Annotated[str, typer.Argument(help="Name of the board, or path of its board.toml")],
    file: Annotated[Path | None, typer.Argument(help="What the board printed; absent: standard input")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Tell the places in the sources behind each line of a board's traceback. The board has to run this version of Steiger."""
    from boards.loading import load_board
    from tools.firmware_build import readable

    try:
        data = sys.stdin.buffer.read() if file is None else file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file)) from None
    text = data.decode("utf-8", "replace")
    if LINE not in text:
        raise UsageError(
            "there is no traceback in this text",
            where="standard input" if file is None else str(file),
            next_step="Copy the lines from 'Traceback (most recent call last)' on out of the monitor or mpremote",
        )
    told = readable(load_board(board), text)
    print(json.dumps({"board": board, "traceback": told.splitlines()}) if as_json else told.rstrip())
