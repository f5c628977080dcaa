"""How long the flash of a node lasts: erases of each block on a simulated day at one record a minute, the log full.

The real firmware on a real littlefs, which counts nothing itself: the simulated chip does. The day runs twelve times as
fast as it is: windows of 5 s instead of 60, and health, waiting times and retries shortened alike, so that every record
costs what it costs. Wear is levelled as MicroPython's littlefs does by itself on a board (metadata moves on after a
hundred erases, blocks are taken in turn): nothing is set that a board would not have. Its sensors are read once a window,
which costs the flash nothing and the simulation most of its time. A third of the day is lived through and counted three times:
thirds being alike, a day's most-erased block has at most three times the erases of a third's.
"""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.fakes.apart import execute_apart
from tests.powercut.ear import Ear
from tests.sim.running import PROVISION, START_S, key_of
from tools.sim.conductor import Conductor
from tools.sim.flash import BLOCK, Operation

CYCLES = 100_000  # erases that a block endures: W25Q32JV and GD25Q32C data sheets
DAY_WINDOWS = 1440
PARTS = 3  # a third of the day is lived through, and counted so often
FAST = 12
WINDOW_S = 60 // FAST
BOARD = "air-v1"
SETTLE_WINDOWS = 30
SEGMENTS_AT_ONCE = 8  # of one snippet
NAME = "n1"
OUTBOX_KB = 512  # the default

# Fills the log with records of the windows before now, many in one write, until the oldest has been dropped.
_FILL = """
from firmware import hal, settings
from firmware.life import Life
from firmware.outbox import entries
stored = settings.load("", hal.unique_id())
life = Life("", stored.payload, None, 0, stored.get("outbox_kb") * 1024)
outbox = life.outbox
from firmware.profiles import wanted, fresh
from firmware.grid import grid_body
import json
profile = fresh(wanted(json.load(open("/board.json")), stored, False)[0], stored.payload)
short, window_s, index = profile.short, profile.window_s, %d
if short in outbox.state.grids:
    index = outbox.state.grids[short][1]
else:
    outbox.put([(7, grid_body(short, window_s, index, 0))])
while outbox.segments[0][0] == 0 and outbox.segments[-1][0] < %d:
    items = []
    for i in range(20):
        index += 1
        values = tuple([300 + (index + place) %% 40 for place in range(len(profile.items))])
        body = entries.record_body(outbox.state.next_seq + i, short, (1, index * window_s), 100, values, None)
        items.append((2, body))  # RECORD, and above GRID: names of constants are not on the board
    outbox.put(items)
outbox.close()
print(index * window_s, outbox.segments[0][0])
"""


class FullLog(NamedTuple):
    """A board's flash whose log has just begun to drop its oldest records."""

    image: Path
    ended_s: int  # of the newest record


class Wear(NamedTuple):
    """Of one day."""

    most: int  # erases of the most-erased block, at most
    total: int
    blocks: int  # that were erased at all
    records: int
    written_kb: int

    def years(self) -> float:
        return CYCLES / self.most / 365.25


TARGETS: dict[str, tuple[str, float]] = {"firmware.flash_life_years": (">=", 10)}


def fill(folder: Path, outbox_kb: int) -> FullLog:
    """Make a board whose log is full of records of the time before it starts."""
    values = {
        "window_s.0": WINDOW_S,
        "sample_ms": WINDOW_S * 1000,
        "health_s": 3600 // FAST,
        "outbox_kb": outbox_kb,
        "retry_max_ms": 60_000 // FAST,
    }
    new = {"address": 1, "key": key_of(1).hex(), "provisioned_s": START_S, "values": values}
    with Conductor(folder, seed=1, start_s=START_S) as conductor:
        node = conductor.add_node(NAME, BOARD, prepare=PROVISION.format(json.dumps(new)), power=False)
        ended_s, dropped, segments = 0, 0, 0
        while not dropped:
            segments += SEGMENTS_AT_ONCE
            snippet = _FILL % (START_S // WINDOW_S, segments)
            said = execute_apart(node.flash, BOARD, snippet, interpreter=conductor.interpreter, uid=node.board.uid)
            ended_s, dropped = map(int, said.split()[-2:])
        return FullLog(node.flash.path, ended_s)


def day(folder: Path, log: FullLog, acknowledged: bool) -> Wear:
    """Count a day's erases with the log full. `acknowledged`: a gateway answers from then on, else nobody does."""
    folder.mkdir()
    shutil.copyfile(log.image, folder / log.image.name)
    with Conductor(folder, seed=1, start_s=log.ended_s + 2) as conductor:
        node = conductor.add_node(NAME, BOARD, power=False)
        ear = Ear(conductor, node, [(1, key_of(1))])
        erases: Counter[int] = Counter()
        written = 0

        def watch(operation: Operation) -> None:
            nonlocal written
            if operation.kind == "erase":
                erases[operation.address // BLOCK] += 1
            else:
                written += operation.length

        ear.connected = True
        node.board.power_on()
        conductor.run(3 * WINDOW_S)  # the clock is set
        ear.connected = acknowledged
        conductor.run(SETTLE_WINDOWS * WINDOW_S)
        before = ear.last[next(iter(ear.last))].next_seq
        node.flash.watch = watch
        conductor.run(DAY_WINDOWS // PARTS * WINDOW_S)
        node.flash.watch = None
        ear.connected = True
        conductor.run(2 * WINDOW_S)
        after = ear.last[next(iter(ear.last))].next_seq if not acknowledged else max(seq for _, seq in ear.stored)
        return Wear(
            PARTS * max(erases.values()),
            PARTS * sum(erases.values()),
            len(erases),
            PARTS * (after - before),
            PARTS * written // 1024,
        )


def measure(outbox_kb: int, name: str) -> tuple[Wear, list[str]]:
    """(the worse of a day without and a day with a gateway that answers, lines of the table)."""
    lines = [
        "log                            gateway  most-erased block  erases a day  blocks  written KB  years at 100,000"
    ]
    print(lines[0], flush=True)
    worst = None
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        log = fill(Path(folder), outbox_kb)
        for acknowledged in (False, True):
            wear = day(Path(folder) / str(acknowledged), log, acknowledged)
            if worst is None or wear.most > worst.most:
                worst = wear
            lines.append(
                f"{name:<30} {'answers' if acknowledged else 'silent':<8} {wear.most:>17} {wear.total:>13} {wear.blocks:>7}"
                f" {wear.written_kb:>11} {wear.years():>17.1f}"
            )
            print(lines[-1], flush=True)  # each takes a minute
    assert worst is not None
    lines.append("")
    lines.append(
        "The most of one day: blocks take their turn as segments go and come, so that over years each has less."
    )
    return worst, lines


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table). The largest log: bench/flash_largest.py."""
    wear, lines = measure(OUTBOX_KB, f"{OUTBOX_KB} KB, the default")
    return {"firmware.flash_erases_per_day": wear.most, "firmware.flash_life_years": wear.years()}, lines
