"""Whose the bytes of a linked program are: of firmware/app.mpy by the module that they were written in."""

from __future__ import annotations

import ast
from collections import defaultdict

from boards import Board
from tools import firmware_build

APP = "firmware/app.py"
ARCH, PORT = "xtensawin", "esp32"


def by_module(board: Board) -> dict[str, int]:
    """Bytes by which firmware/app.mpy is smaller without the functions and classes of each module.

    The rest of the file, "(shared)", are names and constants that several modules use, and statements that are none of both.
    """
    text = firmware_build.linked_sources(board, ARCH, PORT)[APP]
    body = ast.parse(text).body
    origins = firmware_build.origins_of(board, ARCH, PORT)
    places: dict[str, set[int]] = defaultdict(set)
    for number, node in enumerate(body):
        module = _module_of(node, origins)
        if module:
            places[module].add(number)
    whole = _size(body)
    found = {
        module: whole - _size([node for number, node in enumerate(body) if number not in out])
        for module, out in places.items()
    }
    return found | {"(shared)": whole - sum(found.values())}


def _module_of(node: ast.stmt, origins: dict[str, list[str]]) -> str:
    """Where a function, or a class by all of its methods, was written; "" where that cannot be told."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _only({place for place in _places(node.name, origins) if not place[1]})
    if not isinstance(node, ast.ClassDef):
        return ""
    methods = [each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    every = [{place for place in _places(name, origins) if place[1]} for name in methods]
    return _only(set.intersection(*every)) if every else ""


def _places(name: str, origins: dict[str, list[str]]) -> set[tuple[str, str]]:
    """(module, class or "") of what is called so in the linked program."""
    found = set()
    for each in origins.get(f"firmware.app {name}", ()):
        where, _, path = each.partition(" ")
        found.add((where.rpartition(":")[0], path.rpartition(".")[0]))
    return found


def _only(places: set[tuple[str, str]]) -> str:
    return next(iter(places))[0] if len(places) == 1 else ""


def _size(body: list[ast.stmt]) -> int:
    text = ast.unparse(ast.Module(body, []))
    return len(firmware_build.compiled(APP, text.encode(), ARCH))
