"""`steiger plan`: LoRa on paper before it is on poles."""

from __future__ import annotations

import typer

from tools.commands.plan_airtime import airtime
from tools.commands.plan_city import city

app = typer.Typer(
    help="Plan a LoRa deployment: what arrives, how late, and what is too full or too far.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _noun() -> None:
    """Plan a LoRa deployment: what arrives, how late, and what is too full or too far."""


app.command()(airtime)
app.command()(city)
