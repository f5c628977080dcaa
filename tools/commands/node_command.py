"""`steiger node command`: have a node do something, through the gateway that hears it."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer

from tools.errors import NoConnection, SteigerError
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
    from gateway.config import load
    from tools.ask_node import ask
    from tools.german import german

    check_lang(lang)

    def tell(line: str, out: TextIO = sys.stdout) -> None:
        if not as_json:
            print(german(line) if lang == "de" else line, file=out, flush=True)

    data_dir = Path(load(config).gateway.data_dir)
    tell(f"node {address}: asking it, for at most {wait_s:g} s", sys.stderr)
    silent = NoConnection(
        f"node {address} is silent: no answer within {wait_s:g} s",
        where=str(config),
        next_step="Look at its supply and cable and try again",
    )
    answer = ask(data_dir, "command", wait_s, silent, node=address, command=order.value, arg=sensor)
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
