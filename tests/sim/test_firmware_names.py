"""Shortened names: the program does what it did, and what others may name keeps its name."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from boards import load_board
from tests.fakes.street import STREET
from tools import firmware_build
from tools.firmware_lean import lean
from tools.firmware_names import shorten

MODULE = b"""
def scale(value, factor, base=0):
    return [value * factor + base for _ in range(2)]

def told(speed, *, unit="km/h", extra=1):
    return f"{speed} {unit}", extra

def outer(amount):
    def inner(amount):
        return amount + 1
    return inner(amount)

class Meter:
    _shared = 5
    def __init__(self, first, **options):
        self._total_of_all = first
        self._shown_in_text = 3
        self._seen_by_others = 4
        self.public = options
    def _add(self, amount):
        self._total_of_all += amount
        return self._total_of_all
    def text(self):
        return f"{self._shown_in_text}"
"""
OTHER = b"""
from module import Meter, scale
def use(meter):
    return meter._seen_by_others, scale(2, 3, base=1)
class Finer(Meter):
    def __init__(self):
        super().__init__(10, window_s=60)
        self._own_number = 100
    def both(self):
        return self._total_of_all, self._own_number
"""


def _run(sources: dict[str, bytes]) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "both"}
    for source in sources.values():
        exec(source.replace(b"from module import Meter, scale", b""), space)
    return space


def test_the_program_does_what_it_did() -> None:
    plain = {"module.py": MODULE, "other.py": OTHER}
    results = []
    for sources in (plain, shorten(plain)):
        space = _run(sources)
        meter = space["Finer"]()
        results.append((
            space["scale"](2, 3), space["told"](50, extra=2), space["outer"](1), meter._add(5), meter.text(), meter.both(),
            space["use"](meter), meter.public, meter._shared,
        ))  # fmt: skip
    assert results[0] == results[1]


def test_what_is_shortened_and_what_is_not() -> None:
    short = shorten({"module.py": MODULE, "other.py": OTHER})
    text = b"".join(short.values()).decode()
    for gone in ("value", "factor"):
        assert gone not in text, gone
    # passed by name; in an f-string; no parameters; told by a nested function
    for kept in ("base", "unit", "extra", "speed", "_total_of_all", "_add", "_shared", "amount"):
        assert kept in text, kept
    assert short["module.py"].count(b"\n") == MODULE.count(b"\n")


def test_names_of_a_description_and_of_callers_are_kept() -> None:
    source = {"module.py": b"def connect(scl, sda, timeout_ms):\n    return scl + sda + timeout_ms\n"}
    text = shorten(source, callers=[b"connect(1, 2, timeout_ms=3)"], passed=["scl"])["module.py"].decode()
    assert "scl" in text and "timeout_ms" in text and "sda" not in text


def _pairs(before: ast.AST, after: ast.AST, names: list[tuple[str, str]], attributes: list[tuple[str, str]]) -> None:
    """Walk both; they differ in names alone. Those of parameters and variables, and those of attributes, are gathered."""
    assert type(before) is type(after)
    for (field, left), (_, right) in zip(ast.iter_fields(before), ast.iter_fields(after), strict=True):
        if isinstance(left, ast.AST):
            _pairs(left, right, names, attributes)
        elif isinstance(left, list):
            for one, other in zip(left, right, strict=True):
                if isinstance(one, ast.AST):
                    _pairs(one, other, names, attributes)
                else:
                    assert one == other
        elif isinstance(before, ast.Attribute):
            attributes.append((left, right))
        elif (isinstance(before, ast.Name) and field == "id") or (isinstance(before, ast.arg) and field == "arg"):
            names.append((left, right))
        else:
            assert left == right, (field, left, right)


def _one_to_one(pairs: list[tuple[str, str]]) -> bool:
    return len(set(pairs)) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


@pytest.mark.slow
def test_the_firmware_is_the_same_program() -> None:
    """Within a function each name became one other name, and no two became the same; attributes in the whole module."""
    sources = lean(firmware_build.source_files(load_board(STREET), "esp32"))
    short = shorten(sources)
    changed = 0
    for name, source in sources.items():
        attributes: list[tuple[str, str]] = []
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        for before, after in zip(ast.walk(ast.parse(source)), ast.walk(ast.parse(short[name])), strict=True):
            if isinstance(before, functions):
                names: list[tuple[str, str]] = []
                _pairs(before, after, names, attributes)
                assert _one_to_one(names), (name, ast.unparse(before), names)
                changed += sum(one != other for one, other in set(names))
        _pairs(ast.parse(source), ast.parse(short[name]), [], attributes)
        assert _one_to_one(attributes), name
        changed += sum(one != other for one, other in set(attributes))
    assert changed > 300
