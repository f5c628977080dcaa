"""Constants become literals before a board's sources are compiled, and nothing else changes."""

from __future__ import annotations

import ast
import importlib
from typing import Any

import pytest

from boards import load_board
from firmware.drivers import DRIVERS
from tools import firmware_build
from tools.firmware_lean import lean

STREET = "street-v1"


def leaned(**sources: str) -> dict[str, str]:
    """Of modules named without their suffix, `p_m` being m.py in the package p."""
    files = {name.replace("_", "/") + ".py": text.encode() for name, text in sources.items()}
    return {name[:-3].replace("/", "_"): text.decode() for name, text in lean(files | {"p/__init__.py": b""}).items()}


def test_a_constant_is_a_literal_wherever_it_is_used() -> None:
    got = leaned(
        a="LIMIT = 1 << 4\n_LESS = LIMIT - 20\n\n\ndef f(x):\n    return x ** _LESS\n",
        b="import a\nfrom a import LIMIT\nfrom p import c\n\nx = LIMIT, a.LIMIT, c.ONE\n",
        p_c="ZERO, ONE = range(2)\n",
    )
    assert got["a"] == "\n\n\n\ndef f(x):\n    return x ** (-4)\n"
    assert got["b"] == "pass\npass\npass\n\nx = 16, 16, 1\n"
    assert got["p_c"].strip() == ""


def test_lines_stay_where_they_are() -> None:
    text = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import (\n        Any,\n    )\n\nA = (\n    5\n)\nraise E(A)\n"
    got = leaned(a=text)["a"]
    assert got.splitlines()[9] == "raise E(5)"
    assert "Any" not in got
    assert "TYPE_CHECKING" not in got


@pytest.mark.parametrize(
    "text",
    [
        "A = 1\nA = 2\nx = A\n",  # bound twice
        "A = 1\n\n\ndef f():\n    global A\n    A = 2\n    return A\n",  # bound elsewhere
        "def f(A=1):\n    return A\n",  # a parameter
        "A = 1 << 30\nx = A\n",  # an object on a board, wherever it stands
        'A = "text"\nx = A\n',
        "A = unknown()\nx = A\n",
        "a = 1\nx = a\n",  # no constant by its name
        'A = 1\nx = f"{A}"\n',  # whose place Python 3.11 does not tell
        "for A in range(3):\n    print(A)\n",
    ],
)
def test_what_may_mean_something_else_is_left_alone(text: str) -> None:
    assert leaned(a=text)["a"] == text


def test_a_local_name_hides_the_module() -> None:
    text = "import a\n\n\ndef f(a):\n    return a.LIMIT\n"
    got = leaned(a="LIMIT = 3\n", b=text)
    assert got["b"].endswith("def f(a):\n    return a.LIMIT\n")
    assert got["a"] == "LIMIT = 3\n", "somebody may mean it"


def test_what_is_looked_up_by_another_way_keeps_its_definition() -> None:
    got = leaned(a="LIMIT = 3\nOTHER = 4\n", b="import a\n\nx = a.OTHER\n\n\ndef f(known):\n    return known.LIMIT\n")
    assert got["a"] == "LIMIT = 3\n\n"
    assert "x = 4" in got["b"]


def same(before: ast.AST, after: ast.AST, names: dict[str, Any]) -> int:
    """That both trees are the same but for literals that stand for what Python finds under the name; how many."""
    if isinstance(after, ast.Pass) and isinstance(before, (ast.Import, ast.ImportFrom)):
        return 0
    if isinstance(before, ast.ImportFrom):
        assert isinstance(after, ast.ImportFrom)
        assert {ast.dump(alias) for alias in after.names} <= {ast.dump(alias) for alias in before.names}
        return 0
    if type(before) is not type(after):
        assert isinstance(before, (ast.Name, ast.Attribute)), ast.unparse(before)
        assert eval(ast.unparse(before), names) == ast.literal_eval(ast.unparse(after)), ast.unparse(before)
        return 1
    count = 0
    if isinstance(before, ast.Dict) and isinstance(after, ast.Dict) and len(after.keys) < len(before.keys):
        kept = {ast.unparse(key) for key in after.keys if key}
        rows = [(key, value) for key, value in zip(before.keys, before.values, strict=True) if key]
        assert {ast.literal_eval(key) for key, _ in rows if ast.unparse(key) not in kept} <= set(DRIVERS)
        before = ast.Dict(
            [k for k, _ in rows if ast.unparse(k) in kept], [v for k, v in rows if ast.unparse(k) in kept]
        )
    for (field, left), (_, right) in zip(ast.iter_fields(before), ast.iter_fields(after), strict=True):
        if isinstance(left, ast.AST):
            count += same(left, right, names)
        elif isinstance(left, list):
            for one, other in zip(left, right, strict=True):
                count += same(one, other, names) if isinstance(one, ast.AST) else int(one != other)
        else:
            assert left == right, (field, left, right)
    return count


def test_the_firmware_is_the_same_program() -> None:
    board = load_board(STREET)
    sources = firmware_build.source_files(board, "esp32")
    lean_sources = lean(sources)
    replaced = gone = 0
    for file, source in sources.items():
        if file.startswith("firmware/hal/"):
            continue  # imports machine
        module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        before = {node.lineno: node for node in ast.parse(source).body}
        after = {node.lineno: node for node in ast.parse(lean_sources[file]).body}
        assert set(after) <= set(before), file
        for line, node in after.items():
            replaced += same(before[line], node, vars(module))
        for line in set(before) - set(after):
            assert isinstance(before[line], (ast.Assign, ast.If)), (file, line)
            gone += 1
    assert replaced > 400
    assert gone > 200
