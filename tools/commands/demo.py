"""`steiger demo`: the main job, here and now, without hardware."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.errors import SteigerError, UsageError

app = typer.Typer(help="Run the main job here.", add_completion=False)

NODES_MAX = 20  # processes; each takes some 5 % of a core
SOCKET_PATH_MAX = 92  # a unix socket's path is short; node links live in this folder


class _Ended(KeyboardInterrupt):
    """A person, or SIGTERM, ended the show; the drain follows."""


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(help="End after so long (default: Ctrl-C ends it)", min=5)] = None,
    nodes: Annotated[int, typer.Option(help="Boards: air, noise, traffic, air, …", min=1, max=NODES_MAX)] = 3,
    mqtt: Annotated[str | None, typer.Option(help="Forward to this broker too, mqtt://HOST[:PORT]")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write the result as JSON to this file")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated city")] = 1,
    city_time: Annotated[
        str, typer.Option(help="The simulated city's time at the start: HH:MM of a working day, or now")
    ] = "07:45",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where everything lies (default: a temporary folder)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, nothing else on stdout")] = False,
) -> None:
    """Simulated boards with real firmware, a real gateway, the ledger. Exit code 0 only if the sum holds."""
    from rich.console import Console

    from tools.demo import account, city, play, screen
    from tools.demo.stage import Stage
    from tools.demo.subscriber import Subscriber, broker_of

    out = sys.stderr if as_json else sys.stdout
    console = Console(file=out)

    def said(line: str) -> None:
        print(line, file=out, flush=True)

    shift_s = city.shift_s(city_time, int(time.time()))
    broker = broker_of(mqtt) if mqtt else None
    if summary is not None:
        _check_writable(summary)
    base = folder or play.own_folder()
    if folder is None:
        play.clear_old(base)
    here = play.fresh_folder(base.absolute())
    if len(str(here)) > SOCKET_PATH_MAX:
        raise UsageError("the path is too long for sockets", where=str(here), next_step="Choose a shorter --dir")
    subscriber = Subscriber(broker, "steiger/v1/demo/records") if broker else None
    signal.signal(signal.SIGTERM, _end)
    stage = Stage(here, nodes, seed, str(broker) if broker else None, shift_s)
    try:
        if subscriber is not None:
            subscriber.start()
        said("Steiger demo: starting (the first start compiles the firmware)")
        stage.start(said)
        for line in play.first_screen(stage, broker):
            said(line)
        said("")
        course = play.Play(stage, subscriber)
        with screen.Screen(console) as view:
            try:
                course.run(view, seconds)
            except KeyboardInterrupt:
                pass
        signal.signal(signal.SIGINT, signal.default_int_handler)
        result = course.drain(said)
        problems = account.faults(result, course.ledger)
    finally:
        stage.close()
        if subscriber is not None:
            subscriber.close()
    _report(result, problems, stage, console, summary, as_json, screen)


def _check_writable(file: Path) -> None:
    """The result would be lost after the whole run: said before it."""
    try:
        with open(file, "a"):
            pass
    except OSError as error:
        raise UsageError(
            f"--summary: this file cannot be written: {error.strerror}", where=str(file), next_step="Name another file"
        ) from None


def _end(*_: object) -> None:
    raise _Ended


def _report(
    result: dict[str, Any],
    problems: list[str],
    stage: Any,
    console: Any,
    summary: Path | None,
    as_json: bool,
    screen: Any,
) -> None:
    from tools.demo import play

    if summary is not None:
        summary.write_text(json.dumps(result, indent=1) + "\n")
    if as_json:
        print(json.dumps(result))
    else:
        console.print(screen.ledger_table(result))
        print(f"duplicates {result['duplicates']}, redelivered {result['redelivered']}")
        print(f"archive: {stage.gateway.store}")
        print(
            f"export:  {play.typed('steiger')} gateway export --config {stage.gateway.config} --format csv --output readings.csv"
        )
    if problems:
        raise SteigerError("the ledger does not close:\n  " + "\n  ".join(problems), where=str(stage.folder))
    if not as_json:
        print(screen.CLOSES)
