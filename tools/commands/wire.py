"""`steiger wire`: frames of the wire protocol, by hand."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import UsageError

app = typer.Typer(help="Frames of the wire protocol, by hand.", no_args_is_help=True, add_completion=False)


@app.callback()
def _noun() -> None:
    """Frames of the wire protocol, by hand."""


@app.command()
def decode(
    hexadecimal: Annotated[
        str, typer.Argument(metavar="HEX", help="A frame, or the bytes of a serial line with 7E flags")
    ],
    keys: Annotated[Path | None, typer.Option(help="Key file (mode 0600)")] = None,
    link: Annotated[str, typer.Option(help="serial, lora, or auto")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a frame")] = False,
) -> None:
    """Say what a frame is; with keys, what it holds. Exit code 1 if any frame could not be opened."""
    from tools.decode import LINKS, Decoder
    from tools.monitor_text import frame_lines
    from wire.stream import Parser

    digits = "".join(c for c in hexadecimal if c not in " :\n\t")
    if len(digits) % 2 or not digits or any(c not in string.hexdigits for c in digits):
        raise UsageError(
            "HEX is not a whole number of hexadecimal bytes",
            where=hexadecimal[:40],
            next_step="Two digits a byte, spaces and colons may stand between: 7E 01 02 …",
        )
    if link not in (*LINKS, "auto"):
        raise UsageError(f"--link {link} is not serial, lora or auto")
    data = bytes.fromhex(digits)
    lives = []
    if keys is not None:
        from gateway.keys import load_keys

        lives = load_keys(keys)
    decoder = Decoder(lives, list(LINKS.values()) if link == "auto" else [LINKS[link]])
    frames = [data]
    dropped: dict[str, int] = {}
    if data[0] == 0x7E:
        parser = Parser()
        frames = [content for kind, content in parser.feed(data) if kind == "frame"]
        dropped = parser.dropped
    found: list[dict[str, Any]] = [decoder.decode(frame) for frame in frames]
    for item in found:
        if as_json:
            print(json.dumps(item, ensure_ascii=False))
        else:
            for line in frame_lines(item):
                print(line)
    for reason, count in dropped.items():
        print(
            json.dumps({"ok": False, "reason": reason, "count": count}) if as_json else f"dropped: {count} ({reason})"
        )
    if not found and not dropped:
        what = {"ok": False, "reason": "no whole frame", "bytes": len(data)}
        print(json.dumps(what) if as_json else f"no whole frame in {len(data)} bytes: a frame ends with 7E")
    if not found or dropped or not all(item["ok"] for item in found):
        raise typer.Exit(1)
