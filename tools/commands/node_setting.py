"""`steiger node setting`: read or change a setting of a node that hangs already, through the gateway that hears it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import SteigerError, UsageError
from tools.language import check_lang

# What has a command of its own, which writes down what is to be known of it as well.
ELSEWHERE = {
    "grid_until_s": "steiger node retire ends a node",
    "passport": "steiger node calibrate does that",
    "mic_offset_cdb": "steiger node calibrate does that",
}
AT_START = ("lora_sf", "lora_power_dbm", "lora_channels")  # a boot begins with them; then a gateway commands


def setting(
    address: Annotated[int, typer.Argument(help="Address of the node", min=1, max=65535)],
    name: Annotated[str, typer.Argument(help="Setting, e.g. lora_spread_s or window_s.0 (docs/wire-protocol.md)")],
    config: Annotated[Path, typer.Option(help="gateway.toml of the node's gateway")],
    value: Annotated[int | None, typer.Argument(help="Its new value; without one it is read")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", help="Seconds to wait for the node; over LoRa it listens after it sent", min=1, max=3600)
    ] = 600,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:  # fmt: skip
    """Read a setting of a node, or change it. The node keeps it over restarts.

    \b
    steiger node setting 12 lora_spread_s 240 --config gateway.toml
    """
    from tools.ask_node import ask_aloud
    from tools.german import teller

    check_lang(lang)
    _check(name, value)

    tell = teller(lang, as_json, sys.stdout)
    fields: dict[str, Any] = {"name": name} | ({} if value is None else {"value": value})
    verb = "get-setting" if value is None else "set-setting"
    answer = ask_aloud(config, verb, wait_s, teller(lang, as_json), node=address, **fields)
    if not answer["ok"]:
        raise SteigerError(
            f"node {address} does not take it" if value is not None else f"node {address} has no such setting",
            where=name,
            next_step="Only provisioning changes some settings, and not every board has all: docs/wire-protocol.md",
        )
    if as_json:
        print(json.dumps({"node": address} | answer))
    tell(f"node {address}: {name} = {answer['value']}")
    if value is not None and name in AT_START:
        tell("a start begins with it; what a gateway commanded holds until then")


def _check(name: str, value: int | None) -> None:
    """What needs no node to be found wrong. UsageError."""
    from wire.settings import SETTINGS, by_name

    base = name.partition(".")[0]
    try:
        row = by_name(base)
    except KeyError:
        known = ", ".join(each.name for each in SETTINGS)
        raise UsageError("no such setting", where=name, next_step=f"There are: {known}") from None
    if value is None:
        return
    if base in ELSEWHERE or base.startswith("cal_"):
        raise UsageError(
            "this setting is not changed alone", where=name, next_step=ELSEWHERE.get(base, ELSEWHERE["passport"])
        )
    if not row.writable:
        raise UsageError(
            "only provisioning changes this setting",
            where=name,
            next_step=f"steiger node provision --set {name}={value}",
        )
    if not row.low <= value <= row.high:
        raise UsageError(
            f"{value} is out of range", where=name, next_step=f"It takes {row.low} to {row.high} {row.unit}"
        )
