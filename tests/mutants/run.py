"""`make mutants`: break the code on purpose, one named way after the other, and see that the named tests notice.

Each mutant is applied to a copy of the tree; every test that it names must fail there by an assertion, and pass on the
unchanged copy. Writes mutants.caught and mutants.total into build/bench.json. Exit 0 if all were caught, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # tests/ is not part of the installed application

from tests.mutants import verdict  # noqa: E402
from tests.mutants.table import COPIED, Mutant, load  # noqa: E402

BENCH = ROOT / "build" / "bench.json"
TIMEOUT_S = 300  # of one mutant's tests; a mutant may make a wait endless


class Outcome(NamedTuple):
    state: str  # verdict.CAUGHT, or what was wrong
    detail: str
    cpu_s: float
    run_s: float


class Tree:
    """A copy of the tree that mutants are applied to, one at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
            elif source.exists():
                shutil.copy2(source, root / name)

    def write(self, file: str, text: str) -> None:
        """Replace a file's text; no byte code of the old one may live on."""
        path = self.root / file
        path.write_text(text, encoding="utf-8")
        for old in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            old.unlink()

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        before = (self.root / mutant.file).read_text(encoding="utf-8")
        self.write(mutant.file, mutant.applied(before))
        try:
            yield
        finally:
            self.write(mutant.file, before)

    def test(self, tests: list[str], module: str = "") -> tuple[dict[str, str], dict[str, str], str, float]:
        """How each test ended, what was raised, pytest's own last words, and CPU seconds."""
        out = self.root / "verdict.json"
        out.unlink(missing_ok=True)
        base = self.root / "tmp"
        env = dict(os.environ, PYTHONPATH=str(self.root), HYPOTHESIS_PROFILE="mutants", TMPDIR=str(self.root))
        env[verdict.OUT], env[verdict.MODULE] = str(out), module
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.verdict", "-p", "no:cacheprovider"]
        command += ["-p", "no:xdist", "--basetemp", str(base), "--durations=0", "--no-header", *tests]
        with (self.root / "output").open("w+b") as output:
            process = subprocess.Popen(
                command, cwd=self.root, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            cpu_s = _wait(process, TIMEOUT_S)
            output.seek(0)
            words = output.read().decode("utf-8", "replace")[-2000:]
        shutil.rmtree(base, ignore_errors=True)
        if not out.exists():
            return {}, {}, words, cpu_s
        found = json.loads(out.read_text())
        return found["worst"], found["texts"], words, cpu_s


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> float:
    """Wait for the end, or end it and what it started; CPU seconds used."""
    overdue = threading.Timer(timeout_s, os.killpg, (process.pid, signal.SIGKILL))
    overdue.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    finally:
        overdue.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def run_one(tree: Tree, mutant: Mutant) -> Outcome:
    began_s = time.monotonic()
    with tree.mutated(mutant):
        worst, texts, words, cpu_s = tree.test(list(mutant.tests), mutant.module)
    run_s = time.monotonic() - began_s
    if not worst:
        return Outcome("broken", "nothing ran: " + words.strip()[-300:], cpu_s, run_s)
    for test in mutant.tests:
        ended = worst.get(test, "not run")
        if ended == verdict.PASSED:
            return Outcome("SURVIVED", f"{test} passed", cpu_s, run_s)
        if ended != verdict.ASSERTED:
            return Outcome("unclear", f"{test}: {ended}, {texts.get(test, '')}", cpu_s, run_s)
    return Outcome(verdict.CAUGHT, texts[mutant.tests[0]].splitlines()[0][:100], cpu_s, run_s)


def _baseline(pool: ThreadPoolExecutor, trees: SimpleQueue[Tree], mutants: list[Mutant]) -> list[str]:
    """The named tests on the unchanged copy; what does not pass."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    files = sorted({test.partition("::")[0] for test in tests})

    def some(wanted: list[str]) -> list[str]:
        tree = trees.get()
        try:
            worst, texts, words, _ = tree.test(wanted)
        finally:
            trees.put(tree)
        if not worst:
            return [f"nothing ran: {words[-300:]}"]
        return [
            f"{t}: {worst.get(t, 'not run')} without any mutant. {texts.get(t, '')}"
            for t in wanted
            if worst.get(t) != verdict.PASSED
        ]

    parts = [[test for test in tests if test.partition("::")[0] == file] for file in files]
    return [line for lines in pool.map(some, parts) for line in lines]


def _merge(caught: int, total: int) -> None:
    figures = json.loads(BENCH.read_text()) if BENCH.exists() else {}
    figures.update({"mutants.caught": caught, "mutants.total": total})
    BENCH.parent.mkdir(exist_ok=True)
    BENCH.write_text(json.dumps({key: figures[key] for key in sorted(figures)}, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Break the code on purpose; tests must notice.")
    parser.add_argument("names", nargs="*", help="parts of names of mutants; default: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    asked = parser.parse_args(arguments)
    everything = load()
    mutants = [m for m in everything if not asked.names or any(name in m.name for name in asked.names)]
    if not mutants:
        print(f"error: no mutant is named like {' '.join(asked.names)} — tests/mutants/mutants.toml", file=sys.stderr)
        return 2
    stale = [problem for mutant in mutants for problem in mutant.problems(ROOT)]
    if stale:
        print("\n".join(stale), file=sys.stderr)
        return 1
    say = sys.stderr if asked.json else sys.stdout
    with tempfile.TemporaryDirectory(prefix="steiger-mutants-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(asked.jobs):
            (Path(folder) / str(number)).mkdir()
            trees.put(Tree(Path(folder) / str(number)))
        print(f"the named tests without any mutant, {asked.jobs} at a time …", file=say, flush=True)
        red = _baseline(pool, trees, mutants)
        if red:
            print("\n".join(red), file=sys.stderr)
            return 1

        def one(mutant: Mutant) -> Outcome:
            tree = trees.get()
            try:
                return run_one(tree, mutant)
            finally:
                trees.put(tree)

        outcomes: dict[str, Outcome] = {}
        for number, (mutant, outcome) in enumerate(zip(mutants, pool.map(one, mutants), strict=True), 1):
            outcomes[mutant.name] = outcome
            line = f"{number:3}/{len(mutants)}  {outcome.state:8}  {outcome.run_s:5.1f} s  {mutant.name}"
            print(line if outcome.state == verdict.CAUGHT else f"{line}\n     {outcome.detail}", file=say, flush=True)
    caught = sum(outcome.state == verdict.CAUGHT for outcome in outcomes.values())
    cpu_s = sum(outcome.cpu_s for outcome in outcomes.values())
    if len(mutants) == len(everything):
        _merge(caught, len(mutants))
    if asked.json:
        facts = {name: outcome._asdict() for name, outcome in outcomes.items()}
        print(json.dumps({"caught": caught, "total": len(mutants), "mutants": facts}, indent=2))
    print(f"mutants.caught {caught}   mutants.total {len(mutants)}   ({cpu_s:.0f} s CPU)", file=say)
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
