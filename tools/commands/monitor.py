"""`steiger monitor`: watch a port live. Without keys it counts good and bad frames; with keys it shows values."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import UsageError

app = typer.Typer(help="Watch a port live.", add_completion=False)


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
    from tools.monitor_advice import Advice
    from tools.monitor_bridge import BridgeDecoder, bridge_lines, is_bridge
    from tools.monitor_text import frame_lines
    from tools.monitor_words import WORDS, counted, reason
    from wire.stream import Parser

    if lang not in WORDS:
        raise UsageError(f"--lang {lang} is not en or de", next_step="Give --lang en or --lang de")
    words = WORDS[lang]
    lives = load_keys(keys) if keys is not None else []
    decoder, bridge = Decoder(lives), BridgeDecoder(lives)
    parsers: dict[str, Parser] = {"up": Parser(), "down": Parser()}
    opened = {"good": 0}
    seen: dict[str, dict[str, int]] = {"up": {}, "down": {}}
    begun = False

    def advise(advice: Advice | None) -> None:
        if advice is not None:
            facts = {"port": port, **advice.facts}
            if "n" in facts:
                facts["records"] = words["records_one" if facts["n"] == 1 else "records_many"].format(n=facts["n"])
            text = words[advice.code].format(**facts)
            _show({"kind": "advice", "code": advice.code, **advice.facts, "text": text}, [f"! {text}"], as_json)

    source = Source(port, config, baudrate, seconds, words, as_json)

    def learn(life: str, profiles: list[str]) -> None:
        decoder.learn(life, profiles)
        bridge.learn(life, profiles)

    source.learn = learn
    try:
        for direction, data in source:
            if not begun and not as_json and keys is None:
                print(words["no_keys"], file=sys.stderr)
            begun = True
            now_s = time.monotonic()
            if data and direction == "up":
                source.watch.heard(now_s)
            else:
                advise(source.watch.silence(now_s))
            for kind, content in parsers[direction].feed(data):
                item: dict[str, Any]
                if kind == "text":
                    item = {"kind": "text", "text": content.decode(errors="replace").rstrip("\r\n")}
                    lines: list[str] = [f"  {item['text']}"]
                    advice = source.watch.text(item["text"])
                else:
                    bridged = is_bridge(content)
                    item = {"kind": "frame", **(bridge if bridged else decoder).decode(content)}
                    key = "good" if item["ok"] else item["reason"]
                    opened[key] = opened.get(key, 0) + 1
                    lines = list((bridge_lines if bridged else frame_lines)(item, lang))
                    advice = None if bridged else source.watch.frame(item)
                _show(item, lines, as_json)
                advise(advice)
            dropped = parsers[direction].dropped
            if dropped != seen[direction]:
                new = {reason: count - seen[direction].get(reason, 0) for reason, count in dropped.items()}
                what = ", ".join(f"{reason(word, lang)} ×{count}" for word, count in new.items() if count)
                line = f"  {words['bad'].format(what=what)}"
                _show({"kind": "bad", **{k: v for k, v in new.items() if v}}, [line], as_json)
                seen[direction] = dict(dropped)
    except KeyboardInterrupt:
        pass
    finally:
        total = statistics(parsers, opened)
        if as_json and begun:
            print(json.dumps({"kind": "end", **total}), flush=True)
        elif begun:
            bad = counted({word: count for word, count in opened.items() if word != "good"}, lang)
            lost = counted(total["dropped"], lang)
            print(
                words["sum"].format(frames=total["frames"], good=opened["good"], bad=bad, dropped=lost), file=sys.stderr
            )


class Source:
    """The port itself, or the tap of the gateway that holds it; iterated once. `watch` judges what is heard."""

    def __init__(
        self, port: str, config: Path | None, baudrate: int, seconds: float | None, words: dict[str, str], quiet: bool
    ) -> None:
        from tools.monitor_advice import Watch

        self._port, self._config, self._baudrate = port, config, baudrate
        self._until = None if seconds is None else time.monotonic() + seconds
        self._words, self._quiet = words, quiet
        self._watch_of = Watch
        self.learn: Callable[[str, list[str]], None] = lambda life, profiles: None  # of a decoder
        self.watch = Watch(time.monotonic(), tap=False)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        from gateway.config import load
        from gateway.links.port import PortBusy
        from tools import listen

        chunks = listen.port_chunks(self._port, self._baudrate, self._until)
        try:
            first = next(chunks, None)
        except PortBusy as busy:
            holder = listen.config_of_holder(busy) if self._config is None else load(self._config)
            if holder is None:
                raise
            self.watch = self._watch_of(time.monotonic(), tap=True)
            self._say("tap", holder=self._words["gateway"].format(pid=busy.pid))
            for life in listen.tap_profiles(Path(holder.gateway.data_dir)):
                self.learn(life["life"], life["profiles"])
            yield "up", b""
            yield from listen.tap_chunks(Path(holder.gateway.data_dir), self._port, self._until)
            return
        self._say("listening", baudrate=self._baudrate)
        yield "up", b""
        if first is not None:
            yield first
        yield from chunks

    def _say(self, code: str, **facts: Any) -> None:
        if not self._quiet:
            print(self._words[code].format(port=self._port, **facts), file=sys.stderr)


def _show(item: dict[str, Any], lines: list[str], as_json: bool) -> None:
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps({"received": now.isoformat(timespec="milliseconds"), **item}, ensure_ascii=False), flush=True)
        return
    clock = now.astimezone().strftime("%H:%M:%S")
    for line in lines:
        print(f"{clock} {line}", flush=True)
