"""Cuts the power of recorded lives at many operations, by several processes.

    .venv/bin/python tests/powercut/campaign.py               every operation of every chapter, torn in one way; the
                                                              structural ones in all ways
    .venv/bin/python tests/powercut/campaign.py --every 7     every seventh and the structural ones, as in `make test`

A run that was stopped goes on where it was, unless the lives are other ones meanwhile. The sum lies in
build/powercut.json, and after a run over every operation in build/bench.json. Exit code 1: something failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # started as a program: tests/ is not part of the installed application

from tests.powercut.check import Bench  # noqa: E402
from tests.powercut.life import Chapter, record  # noqa: E402
from tests.powercut.reader import Reader  # noqa: E402
from tests.powercut.tear import PROG  # noqa: E402

KINDS = ("mains", "sleep")
SLICE = 40  # cuts that one process does in a row
BUILD = ROOT / "build"


@dataclass
class Outcome:
    """Of a run. `failures`: (life, chapter, operation, what was not kept)."""

    operations: int = 0
    cuts: int = 0
    second_cuts: int = 0
    structural: int = 0
    failures: list[tuple[str, str, int, str]] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.cuts += other.cuts
        self.second_cuts += other.second_cuts
        self.failures += other.failures


def chosen(chapter: Chapter, every: int) -> list[int]:
    """Operations to cut at, rising."""
    picked = set(range(0, len(chapter.operations), every)) | chapter.structural
    return sorted(picked)


def cut_all(kind: str, chapter: Chapter, operations: list[int], folder: Path, seed: int = 0) -> Outcome:
    """Cut at each of these operations of a chapter."""
    outcome = Outcome()
    reader = Reader()
    try:
        bench = Bench(chapter, folder, reader, seed)
        for k in operations:
            why = bench.cut(k)
            outcome.cuts += 1
            if why is not None:
                outcome.failures.append((kind, chapter.name, k, why))
        outcome.second_cuts = bench.second_cuts
    finally:
        reader.close()
    return outcome


def digest(chapter: Chapter) -> str:
    """Names a chapter by all that was written in it."""
    text = repr([(op.kind, op.address, op.length, op.data) for op in chapter.operations])
    return hashlib.sha256(chapter.base + text.encode()).hexdigest()[:16]


_chapters: list[tuple[str, Chapter]] = []  # for the processes, which are forked


def _work(number: int, operations: list[int], seed: int) -> Outcome:
    kind, chapter = _chapters[number]
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        return cut_all(kind, chapter, operations, Path(folder), seed)


def _slices(every: int, seed: int) -> Iterator[tuple[int, list[int], int]]:
    """(number of the chapter, operations, seed). A run over every operation tears the structural ones in each way there is."""
    for number, (_, chapter) in enumerate(_chapters):
        turns = [(seed, chosen(chapter, every))]
        if every == 1:
            turns += [(seed + more, sorted(chapter.structural)) for more in range(1, len(PROG))]
        for turn, operations in turns:
            for at in range(0, len(operations), SLICE):
                yield number, operations[at : at + SLICE], turn


def run(every: int, workers: int, seed: int = 0, say: Callable[[str], None] = lambda line: None) -> Outcome:
    """Record the lives and cut them; goes on with what build/ remembers of the same run."""
    _chapters.clear()
    with tempfile.TemporaryDirectory(prefix="steiger-") as folder:
        for kind in KINDS:
            say(f"recording the life of a board on {kind}")
            _chapters.extend((kind, chapter) for chapter in record(Path(folder) / kind, kind))
    total = Outcome(sum(len(chapter.operations) for _, chapter in _chapters))
    total.structural = sum(len(chapter.structural) for _, chapter in _chapters)
    for kind, chapter in _chapters:
        say(f"  {kind}: {chapter.name}: {len(chapter.operations)} operations, {len(chapter.structural)} structural")
    BUILD.mkdir(exist_ok=True)
    notes = BUILD / "powercut-done.jsonl"
    done = _remembered(notes)
    slices = list(_slices(every, seed))
    todo = []
    for number, operations, turn in slices:
        name = f"{digest(_chapters[number][1])} {turn} {every} {operations[0]} {len(operations)}"
        if name in done:
            total.add(done[name])
        else:
            todo.append((name, number, operations, turn))
    planned = sum(len(operations) for _, operations, _ in slices)
    began = time.monotonic()
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool, notes.open("a") as file:
        futures = {pool.submit(_work, number, operations, turn): name for name, number, operations, turn in todo}
        for future in as_completed(futures):
            outcome = future.result()
            total.add(outcome)
            if not outcome.failures:
                file.write(json.dumps([futures[future], outcome.cuts, outcome.second_cuts]) + "\n")
                file.flush()
            for kind, chapter, k, why in outcome.failures:
                say(f"FAILED {kind}: {chapter}: operation {k}: {why}")
            say(f"{total.cuts} of {planned} cuts, {len(total.failures)} failed, {time.monotonic() - began:.0f} s")
    return total


def _remembered(notes: Path) -> dict[str, Outcome]:
    if not notes.exists():
        return {}
    found = {}
    for line in notes.read_text().splitlines():
        name, cuts, second = json.loads(line)
        found[name] = Outcome(cuts=cuts, second_cuts=second)
    return found


def figures_of(outcome: Outcome) -> dict[str, float]:
    """By the names that `make bench` knows."""
    return {
        "powercut.operations": outcome.operations,
        "powercut.cuts": outcome.cuts + outcome.second_cuts,
        "powercut.cuts_in_recovery": outcome.second_cuts,
        "powercut.structural": outcome.structural,
        "powercut.failures": len(outcome.failures),
    }


def keep(outcome: Outcome, every: int) -> None:
    """Write the sum where `make soak` and `make bench` keep theirs."""
    figures = figures_of(outcome)
    _write(BUILD / "powercut.json", {"every": every} | figures)
    if every == 1:
        bench = BUILD / "bench.json"
        known = json.loads(bench.read_text()) if bench.exists() else {}
        _write(bench, dict(sorted((known | figures).items())))


def _write(path: Path, content: dict[str, float]) -> None:
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(new, path)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut a simulated board's power at recorded flash operations.")
    parser.add_argument("--every", type=int, default=1, help="each so-many-th operation (1: all)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--seed", type=int, default=0, help="chooses how each operation is torn")
    options = parser.parse_args()
    if options.every < 1 or options.workers < 1:
        parser.error("--every and --workers are 1 or more")
    outcome = run(options.every, options.workers, options.seed, lambda line: print(line, flush=True))
    keep(outcome, options.every)
    print(
        f"{outcome.cuts} cuts at {outcome.operations} operations, {outcome.second_cuts} cut again in recovery:"
        f" {len(outcome.failures)} failed"
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
