"""docs/img/demo.svg: a real demo, its live table and its final ledger, as the terminal shows them. Run by `make picture`.

The picture is of a run of its own each time, so it is not compared by a test; the city's seed and hour are fixed.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tools.demo import account, city, play, screen
from tools.demo.stage import Stage
from tools.sim.interpreter import find

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "img" / "demo.svg"
SHOWN_S = 42.0  # some windows, one power cut and its return
POWER_AT_S = 12.0
SEED = 1


class Shot:
    """Stands in for the screen: keeps the newest picture."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last: object = ""

    def show(
        self, data: Sequence[screen.Row], gateway_up: bool, elapsed_s: float, events: Sequence[str], city: str
    ) -> None:
        self.last = screen.table(data, gateway_up, elapsed_s, events, city, keys=True, width=screen.WIDTH)


def main() -> int:
    """Write the picture; 1 if the ledger did not close."""

    def said(line: str) -> None:
        print(line, file=sys.stderr)

    console = Console(record=True, width=screen.WIDTH, file=io.StringIO(), force_terminal=True)
    if not find().is_micropython:
        said("the picture is taken with MicroPython, and there is none here")
        return 1
    with tempfile.TemporaryDirectory(prefix="sd-") as folder:
        stage = Stage(Path(folder), 3, SEED, None, city.shift_s(city.SHOWN, int(time.time())))
        try:
            stage.start(said)
            course = play.Play(stage, None)
            shot = Shot(console)
            course.run(shot, POWER_AT_S)
            stage.nodes[0].pull_power(time.monotonic())
            stage.happened.append(f"{stage.nodes[0].name}: power pulled (SIGKILL)")
            course.run(shot, SHOWN_S - POWER_AT_S)
            result = course.drain(said)
            problems = account.faults(result, course.ledger)
        finally:
            stage.close()
    console.print("$ .venv/bin/steiger demo", style="bold")
    console.print()
    console.print(shot.last)
    console.print()
    console.print(screen.ledger_table(result))
    console.print(screen.CLOSES if not problems else "\n".join(problems))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(console.export_svg(title="steiger demo"), encoding="utf-8")
    print(TARGET)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
