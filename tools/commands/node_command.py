"""`steiger node command`: have a node do something, through the gateway that hears it."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tools.errors import SteigerError
from tools.language import check_lang


class Order(StrEnum):
    """What a node does when it is told to."""

    RESTART = "restart"
    SELF_TEST = "self-test"
    IDENTIFY = "identify"
    FAN_CLEAN = "fan-clean"
    SEND_HEALTH = "send-health"


def command(
    address: Annotated[int, typer.Argument(help="Address of the node", min=1, max=65535)],
    order: Annotated[Order, typer.Argument(help="What it shall do")],
    config: Annotated[Path, typer.Option(help="gateway.toml of the node's gateway")],
    sensor: Annotated[int, typer.Option(help="Place of the sensor in board.toml, from 0", min=0, max=15)] = 0,
    wait_s: Annotated[
        float, typer.Option("--wait", help="How many seconds to wait for the node", min=1, max=3600)
    ] = 30,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Have a node test a sensor, clean a fan, show itself, tell its health, or start again. It does so at most once."""
    from tools.ask_node import ask_aloud
    from tools.german import teller

    check_lang(lang)

    tell = teller(lang, as_json, sys.stdout)
    answer = ask_aloud(config, "command", wait_s, teller(lang, as_json), node=address, command=order.value, arg=sensor)
    if answer["result"] != "done":
        raise SteigerError(
            f"node {address} does not do it ({answer['result']})",
            where=f"{order.value}, sensor {sensor}",
            next_step="Is there such a sensor at this place? It is the order of [[sensors]] in board.toml, from 0",
        )
    if as_json:
        print(json.dumps({"node": address, "sensor": sensor} | answer))
    tell(f"node {address}: {order.value}, done")
    if order is Order.SELF_TEST:
        tell("what was tested, row by row, is in the board's log: steiger monitor PORT")
    elif order is Order.FAN_CLEAN:
        tell("values are not valid while the fan cleans itself: 12 s")
