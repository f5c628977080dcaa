"""`steiger sim`: simulated boards."""

from __future__ import annotations

import json
import secrets
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from tools.commands.sim_faults import faults
from tools.commands.sim_lora import lora
from tools.commands.sim_week import week
from tools.errors import UsageError

app = typer.Typer(
    help="Simulated boards on a port of their own; stock mpremote works on them.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _noun() -> None:
    """Simulated boards on a port of their own; stock mpremote works on them."""


app.command()(faults)
app.command()(lora)
app.command()(week)


@app.command()
def node(
    board: Annotated[str, typer.Argument(help="Name of a board (boards/), or path of a board.toml")],
    flash: Annotated[Path, typer.Option(help="File that is the board's flash; made at the first start, kept after")],
    port: Annotated[Path, typer.Option(help="The board's serial port: becomes a link to its pty")],
    seed: Annotated[int | None, typer.Option(help="Seed of world, chips and crystal; random if not given")] = None,
    site: Annotated[int, typer.Option(help="Street of the simulated city", min=0)] = 0,
    city_shift: Annotated[int, typer.Option(help="The city's clock is so many seconds ahead of this machine's")] = 0,
    baudrate: Annotated[int, typer.Option(help="Speed of the serial line; 0: as fast as this machine can")] = 115_200,
    speed: Annotated[int, typer.Option(min=1, help="So many times faster than real time")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """Run one simulated board until Ctrl-C. Killing it at any instant is a power cut.

    \b
    steiger sim node air-v1 --flash air.flash --port /tmp/air
    mpremote connect /tmp/air repl
    """
    from boards import BoardError, load_board
    from tools.sim.interpreter import find
    from tools.sim.node import Node

    def say(line: str) -> None:
        text = json.dumps({"event": "said", "text": line}) if as_json else line
        print(text, flush=True)

    try:
        description = load_board(board)
    except BoardError as error:
        step = (
            f"Correct {board}; docs/boards.md has the keys" if Path(board).is_file() else "Or name your own board.toml"
        )
        raise UsageError(str(error), next_step=step) from None
    for path in (flash, port):
        if not path.parent.is_dir():
            raise UsageError("there is no such folder", where=str(path.parent), next_step="Make it first")
    if seed is None:
        seed = secrets.randbits(32)
    running = Node(
        description, flash=flash, port=port.absolute(), seed=seed, interpreter=find(), baudrate=baudrate, speed=speed,
        said=say, site=site, city_shift_s=city_shift,
    )  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: running.stop())
    if as_json:
        print(json.dumps({"event": "ready", "seed": seed} | running.about()), flush=True)
    else:
        print(f"{description.name}: {description.title}")
        print(f"  runs on  {running.interpreter}, the real firmware, simulated chips (seed {seed})")
        print(f"  flash    {flash}")
        how = (
            f"(mpremote connect {port} repl)" if running.interpreter.is_micropython else "(mpremote needs MicroPython)"
        )
        print(f"  port     {port}   {how}")
        print(f"  control  {running.control.path}", flush=True)
    running.run()
    say("ended: the board's power is off, its flash is kept")
    sys.stdout.flush()
