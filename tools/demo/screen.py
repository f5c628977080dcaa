"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.models import Record
from tools.decode import pretty_unit
from tools.demo.stage import WINDOW_S

PLAIN_EVERY_S = 5.0
CLOSES = "the ledger closes: every scheduled window was delivered or has a named cause"
EVENTS = 3  # the newest
WIDTH = 100  # wider than this nothing gets clearer
OTHER_COLUMNS = 59  # all but the values, with frame and padding
FRAME_LINES = 11  # around the nodes' values: state, frame and heads, keys in two lines, events, the cursor
ROWS_IN_FULL = 6  # with more nodes each gets one line, so that a screen holds them
KEYS = (
    "[bold]c[/] cut a cable   [bold]p[/] pull a board's power   [bold]g[/] kill the gateway   "
    "[bold]q[/] or Ctrl-C end with the ledger"
)


class Row(NamedTuple):
    """One node's line."""

    node: int
    board: str
    groups: list[str]
    age_s: float | None
    seq: int | None
    completeness: str
    losses: list[str]
    state: str


def value_groups(record: Record) -> list[str]:
    """`pm1 6.3 · pm2_5 8.0 µg/m³`, `temperature 5.36 °C`, …: neighbours of one unit share it; a missing value is a dash."""
    groups: list[tuple[str, list[str]]] = []
    for channel, raw in zip(record.profile.channels if record.profile else (), record.values, strict=True):
        number = "–" if raw is None else f"{channel.shown(raw) / 10**channel.decimals:.{channel.decimals}f}"
        unit = pretty_unit(channel.unit)
        if not groups or groups[-1][0] != unit:
            groups.append((unit, []))
        groups[-1][1].append(f"{channel.name} {number}")
    return [f"{' · '.join(_shortened(items))} {unit}".rstrip() for unit, items in groups]


def _shortened(items: list[str]) -> list[str]:
    """A row of nothing but dashes (speeds of fewer than three vehicles) needs one."""
    if len(items) > 2 and all(item.endswith(" –") for item in items):
        return [f"{commonprefix([item[:-2] for item in items])}… –"]  # noqa: RUF071  # no paths
    return items


def flow(groups: Sequence[str], width: int) -> list[str]:
    """Fill lines of `width` with groups; one that is too long is broken between its values."""
    lines: list[str] = []
    for group in groups:
        parts = [group] if len(group) <= width else group.split(" · ")
        for number, part in enumerate(parts):
            space = " · " if number else "  "
            if lines and len(lines[-1]) + len(space) + len(part) <= width:
                lines[-1] += space + part
            else:
                lines.append(part)
    return lines


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
                ["waiting for its first window"] if record is None else value_groups(record),
                None if record is None else max(0.0, (now_ms - record.end_ms) / 1000),
                None if record is None else record.seq,
                share,
                [f"{cause_text(name)} {count}" for name, count in causes.items()],
                state,
            )
        )
    return out


def cause_text(name: str) -> str:
    """A cause of the ledger as people read it."""
    return name.replace("_", " ")


def table(
    data: Sequence[Row],
    gateway_up: bool,
    elapsed_s: float,
    events: Sequence[str],
    city: str,
    keys: bool,
    width: int,
    height: int = 0,
) -> Group:
    """The whole live picture, at most `width` columns and, unless 0, `height` lines."""
    width = min(width, WIDTH)
    room = max(20, width - OTHER_COLUMNS)
    blocks = [flow(row.groups, room) for row in data]
    most = _most_lines(blocks, height) if height else 0
    short = len(data) > ROWS_IN_FULL or most == 1
    if short:
        most = 1
    view = Table(width=width, header_style="bold", box=box.ROUNDED, show_lines=not short, padding=(0, 1))
    view.add_column("node", width=12, no_wrap=True)
    view.add_column("newest window", width=room, no_wrap=True)
    view.add_column("age", justify="right", width=4)
    view.add_column("seq", justify="right", width=4)
    view.add_column("complete", justify="right", width=8)
    view.add_column("losses by cause", width=15)
    for row, values in zip(data, blocks, strict=True):
        if most and len(values) > most:
            values = [*values[: most - 1], values[most - 1][: room - 2] + " …"]
        colour = {"runs": "green", "cable cut": "yellow"}.get(row.state, "red")
        name = Text(f"{row.node} {row.board}")
        if not short or row.state != "runs":
            name.append(f"{' ' if short else chr(10)}{row.state}", style=colour)
        view.add_row(
            name,
            Text("\n".join(values), style="dim" if row.seq is None else ""),
            "–" if row.age_s is None else f"{row.age_s:.0f} s",
            "–" if row.seq is None else str(row.seq),
            row.completeness,
            Text("\n".join(row.losses) or "none", style="yellow" if row.losses else "dim"),
        )
    state = "[green]gateway runs[/]" if gateway_up else "[red]gateway is dead[/]"
    head = Text.from_markup(f" {state}   {elapsed_s:.0f} s   {city}   a window is {WINDOW_S} s (a minute on a street)")
    lines: list[Any] = [head, view]
    if keys:
        lines.append(Text.from_markup(f" {KEYS}"))
    lines += [Text(f" · {event}", style="dim") for event in events[-EVENTS:]]
    return Group(*lines)


def _most_lines(blocks: Sequence[Sequence[str]], height: int) -> int:
    """How many lines each node's values may take so that all of it is seen on a screen of `height` lines."""
    left = height - FRAME_LINES - len(blocks)
    for most in range(max(map(len, blocks)), 1, -1):
        if sum(max(2, min(len(block), most)) for block in blocks) <= left:
            return most
    return 1


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

    def show(self, data: Sequence[Row], gateway_up: bool, elapsed_s: float, events: Sequence[str], city: str) -> None:
        if self._live is not None:
            width, height = self._console.width, self._console.height
            self._live.update(
                table(data, gateway_up, elapsed_s, events, city, keys=True, width=width, height=height), refresh=True
            )
            return
        for event in events[self._told :]:
            print(f"* {event}", file=self._console.file, flush=True)
        self._told = len(events)
        if time.monotonic() < self._plain_at:
            return
        self._plain_at = time.monotonic() + PLAIN_EVERY_S
        for row in data:
            age = "–" if row.age_s is None else f"{row.age_s:.0f} s"
            seq = "–" if row.seq is None else row.seq
            print(
                f"{elapsed_s:4.0f} s  node {row.node} {row.board:10} {'  '.join(row.groups)}  age {age}  seq {seq}"
                f"  complete {row.completeness}  losses: {', '.join(row.losses) or 'none'}  {row.state}",
                file=self._console.file,
                flush=True,
            )


def ledger_table(result: Mapping[str, Any]) -> Table:
    """The sum at the end, node by node."""
    title = "Ledger: scheduled = delivered + causes + pending"
    view = Table(title=title, header_style="bold", title_justify="left", box=box.ROUNDED, min_width=len(title))
    names = sorted({name for node in result["nodes"].values() for name in node["causes"]})
    for name in ("node", "scheduled", "delivered", *names, "pending"):
        view.add_column(cause_text(name), justify="right")
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
