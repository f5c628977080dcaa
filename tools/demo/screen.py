"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.models import RECORD, Record
from tools.decode import pretty_unit

PLAIN_EVERY_S = 5.0


class Row(NamedTuple):
    """One node's line."""

    node: int
    board: str
    values: str
    age_s: float | None
    seq: int | None
    completeness: str
    losses: str
    state: str


def value_text(record: Record) -> str:
    """`pm2_5 12.3 µg/m³  temperature 8.21 °C`: every value, missing ones as a dash."""
    parts = []
    for channel, raw in zip(record.profile.channels if record.profile else (), record.values, strict=True):
        if raw is None:
            parts.append(f"{channel.name} –")
            continue
        number = f"{raw / 10**channel.decimals:.{channel.decimals}f}"
        parts.append(f"{channel.name} {number} {pretty_unit(channel.unit)}".rstrip())
    return "  ".join(parts)


def rows(nodes: Sequence[Any], newest: Mapping[int, Record], ledger: Mapping[str, Any], now_ms: int) -> list[Row]:
    """One row a node, from the newest records and the ledger's figures."""
    out = []
    for node in nodes:
        record = newest.get(node.address)
        booked = ledger.get("nodes", {}).get(str(node.address), {})
        causes = {name: count for name, count in booked.get("causes", {}).items() if count}
        ended = booked.get("scheduled", 0)
        share = f"{100 * booked.get('delivered', 0) / ended:.0f} %" if ended else "–"
        state = "no power" if node.powered_at is not None else "cable cut" if node.uncut_at is not None else "runs"
        out.append(
            Row(
                node.address,
                node.board,
                value_text(record)
                if record is not None and record.kind_code == RECORD
                else "waiting for the first window",
                None if record is None else max(0.0, (now_ms - record.end_ms) / 1000),
                None if record is None else record.seq,
                share,
                ", ".join(f"{name} {count}" for name, count in causes.items()) or "none",
                state,
            )
        )
    return out


def table(data: Sequence[Row], gateway_up: bool, elapsed_s: float, events: Sequence[str], keys: bool) -> Group:
    """The whole live picture."""
    view = Table(expand=True, title=None, header_style="bold")
    for name in ("node", "board", "newest window", "age", "seq", "complete", "losses by cause", "state"):
        view.add_column(name, justify="right" if name in ("node", "age", "seq", "complete") else "left")
    for row in data:
        age = "–" if row.age_s is None else f"{row.age_s:.0f} s"
        style = "" if row.state == "runs" else "yellow"
        view.add_row(
            str(row.node), row.board, row.values, age, "–" if row.seq is None else str(row.seq), row.completeness,
            row.losses, row.state, style=style,
        )  # fmt: skip
    state = "[green]gateway runs[/]" if gateway_up else "[red]gateway is dead[/]"
    head = Text.from_markup(f"{state}   {elapsed_s:.0f} s   a window is 5 s here (a minute on a street)")
    lines: list[Any] = [head, view]
    if keys:
        lines.append(
            Text("c cut a cable   p pull a board's power   g kill the gateway   q or Ctrl-C end", style="bold")
        )
    lines += [Text(f"· {event}", style="dim") for event in events[-4:]]
    return Group(*lines)


class Screen:
    """Live on a terminal, else one line a node every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._plain_at = 0.0
        self._told = 0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, data: Sequence[Row], gateway_up: bool, elapsed_s: float, events: Sequence[str]) -> None:
        if self._live is not None:
            self._live.update(table(data, gateway_up, elapsed_s, events, keys=True), refresh=True)
            return
        for event in events[self._told :]:
            print(f"* {event}", flush=True)
        self._told = len(events)
        if time.monotonic() < self._plain_at:
            return
        self._plain_at = time.monotonic() + PLAIN_EVERY_S
        for row in data:
            age = "–" if row.age_s is None else f"{row.age_s:.0f} s"
            seq = "–" if row.seq is None else row.seq
            print(
                f"{elapsed_s:4.0f} s  node {row.node} {row.board:10} {row.values}  age {age}  seq {seq}"
                f"  complete {row.completeness}  losses: {row.losses}  {row.state}",
                flush=True,
            )


def ledger_table(result: Mapping[str, Any]) -> Table:
    """The sum at the end, node by node."""
    view = Table(title="Ledger: scheduled = delivered + causes + pending", header_style="bold", title_justify="left")
    names = sorted({name for node in result["nodes"].values() for name in node["causes"]})
    for name in ("node", "scheduled", "delivered", *names, "pending"):
        view.add_column(name, justify="right")
    for address, node in result["nodes"].items():
        view.add_row(
            address, str(node["scheduled"]), str(node["delivered"]), *(str(node["causes"].get(n, 0)) for n in names),
            str(node["pending"]),
        )  # fmt: skip
    view.add_row(
        "all", str(result["scheduled"]), str(result["delivered"]), *(str(result["causes"].get(n, 0)) for n in names),
        str(result["pending"]), style="bold",
    )  # fmt: skip
    return view
