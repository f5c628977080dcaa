"""`make bench`: print the tables and write build/bench.json.

    bench/run.py [SECTION …] [--check] [--write-docs]

A section is a module of bench/ with `run() -> (figures, lines)`: figures by their names, and the lines of its table. It may
have `TARGETS`, the figures it promises as name -> (operator, value): a target that is missed, or was not measured, is
marked, and ends `--check` with 1. Figures of earlier runs that this run did not measure stay in build/bench.json.
`--write-docs` writes docs/benchmarks.md from this run, which then must be one of all sections.
"""

import argparse
import json
import operator
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # bench/ is not part of the installed application

from bench import machine  # noqa: E402  needs the path above

SECTIONS = (
    "sizes",
    "level_meter",
    "sound_level",
    "traffic",
    "gateway",
    "flash",
    "powercut_gateway",
    "time_bounds",
    "memory",
    "quality",
    "lora",
)
OUT = ROOT / "build" / "bench.json"
DOCS = ROOT / "docs" / "benchmarks.md"
OPERATORS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}

Targets = dict[str, tuple[str, float]]


class Measured(NamedTuple):
    """What one section found."""

    section: str
    about: str  # first line of the module's docstring
    figures: dict[str, float]
    lines: list[str]
    targets: Targets

    @property
    def command(self) -> str:
        """How to measure this section's figures again."""
        return f"make bench ARGS={self.section}"

    def missed(self) -> list[str]:
        """The names of the targets that do not hold, or were not measured."""
        return [name for name in self.targets if not self.holds(name)]

    def holds(self, name: str) -> bool:
        """Whether the figure meets its target; true for one without a target."""
        if name not in self.targets:
            return True
        op, limit = self.targets[name]
        return name in self.figures and bool(OPERATORS[op](self.figures[name], limit))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(figure, value, target, verdict) of each figure, and of each target that has none."""
        out = []
        for name in sorted(self.figures.keys() | self.targets.keys()):
            value = number(self.figures[name]) if name in self.figures else "not measured"
            target = " ".join((self.targets[name][0], number(self.targets[name][1]))) if name in self.targets else ""
            out.append((name, value, target, "" if not target else "ok" if self.holds(name) else "MISSED"))
        return out


def number(value: float) -> str:
    """At most three decimals, none that say nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def measure(name: str) -> Measured:
    """Run one section."""
    module = import_module(f"bench.{name}")
    figures, lines = module.run()
    about = (module.__doc__ or "").strip().splitlines()[0]
    return Measured(name, about, figures, lines, getattr(module, "TARGETS", {}))


def table(results: list[Measured]) -> list[str]:
    """Every figure with its target and the command that measures it."""
    rows = [("figure", "value", "target", "", "command")]
    rows += [(*row, result.command) for result in results for row in result.rows()]
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def document(results: list[Measured], facts: list[tuple[str, str]]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench ARGS=--write-docs` (with `PEERS=1`, beside thingsboard-gateway), never by hand. Ratios are of",
        "one run on one machine; sizes and counts are the same on every machine. CPU is user + system of the whole process.",
        "",
        "| | |",
        "|---|---|",
        *[f"| {name} | {value} |" for name, value in facts],
        "",
        "## Figures",
        "",
        "| figure | measured | target | | command |",
        "|---|---:|---|---|---|",
        *[f"| {' | '.join((f'`{row[0]}`', *row[1:], f'`{r.command}`'))} |" for r in results for row in r.rows()],
    ]
    for result in results:
        lines += ["", f"## {result.section}", "", result.about, "", "```", *result.lines, "```"]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run the sections named, or all; 0, 1 (a target is missed, with --check) or 2 (wrong arguments)."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Figures of Steiger")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"one or more of {' '.join(SECTIONS)}")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCS.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    names = options.sections or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(f"error: no section {unknown[0]} — bench. Choose from: {' '.join(SECTIONS)}", file=sys.stderr)
        return 2
    if options.write_docs and set(names) != set(SECTIONS):
        print("error: the document is that of one run of all sections — bench. Name none", file=sys.stderr)
        return 2
    facts = machine.facts()  # before the work: the load is that of others
    results = []
    for name in names:
        print(f"— {name} —", flush=True)
        results.append(measure(name))
        print("\n".join(results[-1].lines))
        print(flush=True)
    print("\n".join(table(results)))
    save([result.figures for result in results])
    if options.write_docs:
        DOCS.write_text(document(results, facts), encoding="utf-8")
        print(f"written: {DOCS.relative_to(ROOT)}")
    missed = [name for result in results for name in result.missed()]
    if missed:
        print(f"missed: {', '.join(missed)}")
    return 1 if missed and options.check else 0


def save(measured: list[dict[str, float]]) -> None:
    """Put the figures into build/bench.json, beside those that other runs left there."""
    figures: dict[str, float] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for each in measured:
        figures.update(each)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({key: round(figures[key], 3) for key in sorted(figures)}, indent=2) + "\n")
    print(f"figures: {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
