"""The table of mutants (mutants.toml): read, checked against the tree, applied to a copy of it.

[[mutant]]
name = "ack before commit"           unique
promise = "…"                        what it breaks, in the words of the design
file = "gateway/store/spool.py"
old = '''…'''                        exact text, found exactly once; or `edits`, a list of [old, new]
new = '''…'''
tests = ["tests/gateway/test_session.py::test_…"]      every one of them must fail by an assertion
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutants.toml")
COPIED = ("wire", "firmware", "gateway", "tools", "boards", "tests", "docs", "bench", "pyproject.toml", "Makefile")
CODE = ("firmware/", "gateway/", "wire/", "tools/")


class Mutant(NamedTuple):
    name: str
    promise: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")

    def problems(self, root: Path) -> list[str]:
        """Why it cannot be run on the tree at `root`: text that is stale, tests that are not there."""
        found = []
        path = root / self.file
        if not self.file.startswith(CODE) or not path.is_file():
            return [f"{self.name}: {self.file} is no file of ours"]
        text = path.read_text(encoding="utf-8")
        for old, new in self.edits:
            count = text.count(old)
            if count != 1:
                line = old.strip().splitlines()[0]
                found.append(f"{self.name}: stale, its text occurs {count} times in {self.file}: {line!r}")
            if old == new:
                found.append(f"{self.name}: changes nothing")
        if not found:
            try:
                compile(self.applied(text), self.file, "exec")
            except SyntaxError as error:
                found.append(f"{self.name}: does not compile, {error}")
        if not self.tests:
            found.append(f"{self.name}: names no test")
        found += [f"{self.name}: there is no test {test}" for test in self.tests if not _there(root, test)]
        return found

    def applied(self, text: str) -> str:
        """The file's text with the mutation."""
        for old, new in self.edits:
            text = text.replace(old, new)
        return text


def _there(root: Path, test: str) -> bool:
    """Whether a test function, or a class of a state machine, of this name stands at the top of its file."""
    file, _, name = test.partition("::")
    path = root / file
    if not path.is_file() or not name.lower().startswith("test"):
        return False
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return True
    return False


def load(path: Path = TABLE) -> list[Mutant]:
    """All mutants, in the order of the table."""
    mutants = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
        edits = entry["edits"] if "edits" in entry else [[entry["old"], entry["new"]]]
        mutants.append(
            Mutant(
                entry["name"],
                entry["promise"],
                entry["file"],
                tuple([(old, new) for old, new in edits]),
                tuple(entry["tests"]),
            )
        )
    return mutants
