"""What sections of the bench found, kept in build/bench/ until they are measured again; their table and their document."""

from __future__ import annotations

import json
import operator
import os
from pathlib import Path
from typing import NamedTuple

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


class Section(NamedTuple):
    """A section as it is kept: what it found, and when, of what and where."""

    found: Measured
    facts: dict[str, str]


class Kept:
    """One file a section in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, found: Measured, facts: list[tuple[str, str]]) -> None:
        """In place of what was kept of this section before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(found.section)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_text(json.dumps(found._asdict() | {"facts": dict(facts)}, indent=1) + "\n", encoding="utf-8")
        new.replace(path)

    def get(self, section: str) -> Section | None:
        """None: never measured here."""
        try:
            fields = json.loads(self._path(section).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        facts = fields.pop("facts")
        fields["targets"] = {name: (op, value) for name, (op, value) in fields["targets"].items()}
        return Section(Measured(**fields), facts)

    def is_of(self, section: str, version: str) -> bool:
        """Whether it was measured with this version of Steiger."""
        kept = self.get(section)
        return kept is not None and kept.facts.get("Steiger") == version

    def _path(self, section: str) -> Path:
        return self._folder / f"{section}.json"


def table(results: list[Measured]) -> list[str]:
    """Every figure with its target and the command that measures it."""
    rows = [("figure", "value", "target", "", "command")]
    rows += [(*row, result.command) for result in results for row in result.rows()]
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def document(sections: list[Section], never: list[str]) -> str:
    """docs/benchmarks.md; `never` was not measured yet."""
    machine = sections[-1].facts
    varies = [name for name in machine if any(section.facts.get(name) != machine[name] for section in sections)]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench ARGS=--write-docs` (with `PEERS=1`, beside thingsboard-gateway), never by hand. Ratios are of",
        "one run on one machine; sizes and counts are the same on every machine. CPU is user + system of the whole process.",
        "",
        "| | |",
        "|---|---|",
        *[f"| {name} | {value} |" for name, value in machine.items() if name not in varies],
        *([f"| not measured here | {', '.join(f'`{name}`' for name in never)} |"] if never else []),
        "",
        "## Figures",
        "",
        "| figure | measured | target | | command |",
        "|---|---:|---|---|---|",
        *[
            f"| {' | '.join((f'`{row[0]}`', *row[1:], f'`{found.command}`'))} |"
            for found, _ in sections
            for row in found.rows()
        ],
    ]
    for found, facts in sections:
        told = "; ".join(f"{name} {facts[name]}" for name in varies if name in facts)
        lines += ["", f"## {found.section}", "", found.about, *(["", f"*{told}*"] if told else [])]
        lines += ["", "```", *found.lines, "```"]
    return "\n".join(lines) + "\n"
