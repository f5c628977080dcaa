"""`steiger plan city`: a town's LoRa lived through before a single board hangs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import UsageError, writing
from tools.language import check_lang

if TYPE_CHECKING:
    from tools.sim.radio.city import Result

WANTED = 0.999
CROWDED = 0.18  # of the time: where pure ALOHA carries the most
WEAK_DB = 3.0
ROWS = 20


def city(
    deployment: Annotated[Path, typer.Argument(help="DEPLOYMENT.toml: gateways, nodes, link (docs/lora-planning.md)")],
    picture: Annotated[Path | None, typer.Option(help="Write the plan as a picture (SVG) here")] = None,
    hours: Annotated[float | None, typer.Option(help="Instead of the file's hours", min=0.1, max=240)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Instead of the file's seed: another draw of air and places", min=0)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every node, not the weakest alone")] = False,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Live through a deployment's hours on a simulated ether: what arrives, how late, and what is too full or too far.

    \b
    steiger plan city docs/examples/deployment.toml --picture plan.svg
    """
    from tools.city_words import WORDS, say
    from tools.sim.radio import city as cities
    from tools.sim.radio.deployment import load
    from tools.sim.radio.picture import town

    check_lang(lang)
    plan = load(deployment)
    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(picture.parent), next_step="Make it first")
    if hours is not None:
        plan.hours = hours
    if seed is not None:
        plan.seed = seed
    result = cities.run(plan, _progress(say(lang, "running"), as_json))
    lines = summary(result, lang)
    if picture is not None:
        with writing(picture):
            picture.write_text(town(result, WORDS[lang], _title(result, lang), lines), encoding="utf-8")
    if as_json:
        print(json.dumps(facts(result) | {"picture": str(picture) if picture else None}))
        return
    print(_title(result, lang))
    print("\n".join(lines))
    print()
    print("\n".join(table(result, lang, None if every else ROWS)))
    print()
    print("\n".join(advice(result, lang)))
    if picture is not None:
        print(say(lang, "picture", path=picture))


def _progress(words: str, quiet: bool) -> Callable[[float], None]:
    """A line on stderr, from two seconds on."""
    start = time.monotonic()
    shown = False

    def told(share: float) -> None:
        nonlocal shown
        if not quiet and sys.stderr.isatty() and time.monotonic() - start > 2:
            shown = share < 1
            print(f"\r{words}: {share * 100:3.0f} %", end="" if shown else "\n", file=sys.stderr, flush=True)

    return told


def _title(result: Result, lang: str) -> str:
    from tools.city_words import say

    return say(lang, "title", name=result.name, nodes=len(result.nodes), ears=len(result.ears), hours=result.hours)


def summary(result: Result, lang: str) -> list[str]:
    """What matters of the town."""
    from tools.city_words import percent, say

    lines = [
        f"{say(lang, 'in_time')}: {percent(lang, result.in_time)}",
        f"{say(lang, 'delivered')}: {percent(lang, result.delivered)}; "
        f"{say(lang, 'per')}: {percent(lang, result.per, 1)}",
        say(lang, "latency", p50=result.delay_s(0.5), p99=result.delay_s(0.99)),
    ]
    busiest = result.channels[0] if result.channels else None
    if busiest is not None:
        lines.append(say(lang, "busiest", mhz=busiest.freq_hz / 1e6, share=busiest.share * 100))
    if result.verdicts:
        worst = result.verdicts[0]
        lines.append(say(lang, "duty", who=worst.who, share=worst.share * 100, band=worst.band))
    lines.append(say(lang, "answers", sent=result.downlinks, missed=result.unanswered))
    return lines


def table(result: Result, lang: str, rows: int | None) -> list[str]:
    """Node by node, the worst first."""
    from tools.city_words import percent, say
    from tools.sim.radio.city import delay_s
    from tools.text_table import aligned

    heads = [say(lang, word) for word in ("node", "ear", "sf", "margin", "late", "all", "half")]
    nodes = sorted(result.nodes, key=lambda node: (node.in_time, node.margin_db))
    body = []
    for node in nodes[:rows]:
        delays_s = node.tally.delays_s
        half = f"{delay_s(delays_s, 0.5):.0f} s" if delays_s else "-"
        body.append([
            node.name, node.ear, str(node.sf), f"{node.margin_db:+.0f} dB", percent(lang, node.in_time),
            percent(lang, node.delivered), half,
        ])  # fmt: skip
    lines = aligned([heads, *body], left=(0, 1))
    if rows is not None and len(nodes) > rows:
        lines.append(say(lang, "more", count=len(nodes) - rows))
    return lines


def advice(result: Result, lang: str) -> list[str]:
    """Whether the plan holds, and what to do about it where it does not."""
    from tools.city_words import say

    lines = [say(lang, "good") if result.in_time >= WANTED else say(lang, "bad", share=result.in_time * 100)]
    lines += [
        say(lang, "weak", name=node.name, margin=node.margin_db)
        for node in sorted(result.nodes, key=lambda node: node.margin_db)[:5]
        if node.margin_db < WEAK_DB
    ]
    for channel in result.channels:
        if channel.share > CROWDED:
            lines.append(say(lang, "crowded", mhz=channel.freq_hz / 1e6))
    return lines


def facts(result: Result) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": result.name,
        "hours": result.hours,
        "records": result.scheduled,
        "delivered": result.delivered,
        "in_time": result.in_time,
        "holds": result.in_time >= WANTED,
        "per": result.per,
        "latency_s": {"p50": result.delay_s(0.5), "p99": result.delay_s(0.99)},
        "channels": [channel.__dict__ for channel in result.channels],
        "duty": [verdict._asdict() for verdict in result.verdicts[:10]],
        "downlinks": result.downlinks,
        "unanswered": result.unanswered,
        "nodes": [
            {
                "name": node.name, "x_m": node.place.x_m, "y_m": node.place.y_m, "ear": node.ear, "sf": node.sf,
                "power_dbm": node.power_dbm, "margin_db": node.margin_db, "records": node.tally.scheduled,
                "delivered": node.delivered, "in_time": node.in_time, "frames": node.tally.frames,
                "frames_heard": node.tally.heard, "airtime_s": node.tally.airtime_us / 1e6,
            }
            for node in result.nodes
        ],
    }  # fmt: skip
