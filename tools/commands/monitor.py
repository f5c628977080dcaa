"""`steiger monitor`: watch a port live. Without keys it counts good and bad frames; with keys it shows values."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import UsageError

app = typer.Typer(help="Watch a port live.", add_completion=False)

_WORDS = {
    "en": {
        "listening": "listening on {port} at {baudrate} baud; Ctrl-C ends",
        "tap": "{holder} holds {port}: read-only tap; Ctrl-C ends",
        "no_keys": "no keys: frames are counted, not opened (--keys FILE)",
        "sum": "{frames} frames, {good} opened; not opened: {bad}; dropped on the line: {dropped}",
        "none": "none",
    },
    "de": {
        "listening": "höre auf {port} mit {baudrate} Baud; Strg-C beendet",
        "tap": "{holder} hält {port}: nur mitlesen; Strg-C beendet",
        "no_keys": "ohne Schlüssel: Rahmen werden gezählt, nicht geöffnet (--keys DATEI)",
        "sum": "{frames} Rahmen, {good} geöffnet; nicht geöffnet: {bad}; auf der Leitung verworfen: {dropped}",
        "none": "keine",
    },
}


@app.command()
def monitor(
    port: Annotated[str, typer.Argument(help="Serial port, or the link of a simulated board")],
    keys: Annotated[Path | None, typer.Option(help="Key file (mode 0600): values are shown")] = None,
    config: Annotated[Path | None, typer.Option(help="gateway.toml of the gateway that may hold the port")] = None,
    baudrate: Annotated[int, typer.Option(help="Baud rate")] = 115200,
    seconds: Annotated[float | None, typer.Option(help="End after so long")] = None,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """Live decode of a port: time, node, type, seq, values with units, bad frames by reason, text logs."""
    from gateway.keys import load_keys
    from tools.decode import Decoder
    from tools.listen import statistics
    from tools.monitor_text import frame_lines
    from wire.stream import Parser

    if lang not in _WORDS:
        raise UsageError(f"--lang {lang} is not en or de")
    words = _WORDS[lang]
    lives = load_keys(keys) if keys is not None else []
    decoder = Decoder(lives)
    parsers: dict[str, Parser] = {"up": Parser(), "down": Parser()}
    opened = {"good": 0}
    seen: dict[str, dict[str, int]] = {"up": {}, "down": {}}
    begun = False
    if not as_json and keys is None:
        print(words["no_keys"], file=sys.stderr)
    try:
        for direction, data in _source(port, config, baudrate, seconds, words, as_json):
            begun = True
            for kind, content in parsers[direction].feed(data):
                item: dict[str, Any]
                if kind == "text":
                    item = {"kind": "text", "text": content.decode(errors="replace").rstrip("\r\n")}
                    lines: list[str] = [f"  {item['text']}"]
                else:
                    item = {"kind": "frame", **decoder.decode(content)}
                    key = "good" if item["ok"] else item["reason"]
                    opened[key] = opened.get(key, 0) + 1
                    lines = list(frame_lines(item))
                _show(item, lines, as_json)
            dropped = parsers[direction].dropped
            if dropped != seen[direction]:
                new = {reason: count - seen[direction].get(reason, 0) for reason, count in dropped.items()}
                text = ", ".join(f"{reason} ×{count}" for reason, count in new.items() if count)
                _show({"kind": "bad", **{k: v for k, v in new.items() if v}}, [f"  bad: {text}"], as_json)
                seen[direction] = dict(dropped)
    except KeyboardInterrupt:
        pass
    finally:
        total = statistics(parsers, opened)
        if as_json and begun:
            print(json.dumps({"kind": "end", **total}), flush=True)
        elif begun:
            bad = ", ".join(f"{k} {v}" for k, v in opened.items() if k != "good") or words["none"]
            lost = ", ".join(f"{k} {v}" for k, v in total["dropped"].items()) or words["none"]
            print(
                words["sum"].format(frames=total["frames"], good=opened["good"], bad=bad, dropped=lost), file=sys.stderr
            )


def _source(
    port: str, config: Path | None, baudrate: int, seconds: float | None, words: dict[str, str], quiet: bool
) -> Iterator[tuple[str, bytes]]:
    """The port itself, or the tap of the gateway that holds it."""
    from gateway.links.port import PortBusy
    from tools import listen

    until = None if seconds is None else time.monotonic() + seconds
    chunks = listen.port_chunks(port, baudrate, until)
    try:
        first = next(chunks, None)
    except PortBusy as busy:
        holder = listen.config_of_holder(busy)
        if config is not None:
            from gateway.config import load

            holder = load(config)
        if holder is None:
            raise
        if not quiet:
            print(words["tap"].format(holder=f"the gateway (pid {busy.pid})", port=port), file=sys.stderr)
        yield "up", b""
        yield from listen.tap_chunks(Path(holder.gateway.data_dir), port, until)
        return
    if not quiet:
        print(words["listening"].format(port=port, baudrate=baudrate), file=sys.stderr)
    if first is not None:
        yield first
    yield from chunks


def _show(item: dict[str, Any], lines: list[str], as_json: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps({"received": now.isoformat(timespec="milliseconds"), **item}, ensure_ascii=False), flush=True)
        return
    clock = now.astimezone().strftime("%H:%M:%S")
    for line in lines:
        print(f"{clock} {line}", flush=True)
