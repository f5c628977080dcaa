"""Parameters that nobody passes by name get short names before a board's sources are compiled.

MicroPython keeps every parameter's name, because a caller may use it. Where a name might mean anything else, it is left
alone. What stands at the top of modules and behind dots: tools/firmware_symbols.py.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Place = tuple[int, int]  # line from 1, byte in it


def shorten(sources: dict[str, bytes], callers: Iterable[bytes] = (), passed: Iterable[str] = ()) -> dict[str, bytes]:
    """The same program with shorter names; lines stay where they are.

    `sources`: all that is compiled for a board; `callers`: what else may use it, so that it is compiled alike with whatever
    it goes; `passed`: names of parameters that a description gives, as `**options`.
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    every = [*trees.values(), *map(ast.parse, callers)]
    by_name = _passed_by_name(every).union(passed)
    edits: dict[str, dict[_Place, tuple[str, str]]] = {}
    for name, tree in trees.items():
        edits[name] = {}
        for function in _functions(tree):
            edits[name].update(_parameters(function, by_name))
    return {name: _apply(source, edits[name]) for name, source in sources.items()}


def _functions(tree: ast.AST) -> Iterator[_Function]:
    """Outer ones first: an inner one's names are then those that the outer one has left."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _passed_by_name(trees: Iterable[ast.Module]) -> set[str]:
    names: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                names.update(keyword.arg for keyword in node.keywords if keyword.arg)
    return names


def _every(arguments: ast.arguments) -> list[ast.arg]:
    more = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *more]


def _parameters(function: _Function, passed: set[str]) -> Iterator[tuple[_Place, tuple[str, str]]]:
    """What becomes of a function's parameters, wherever they stand in it."""
    assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
    arguments = function.args
    kept = {each.arg for each in arguments.kwonlyargs} | passed | {"self", "cls", "_"}
    wanted = [each.arg for each in _every(arguments) if len(each.arg) > 1 and each.arg not in kept]
    nested = [
        node for node in ast.walk(function) if node is not function and isinstance(node, _Function | ast.ClassDef)
    ]
    if not wanted or nested:
        return
    inside: dict[str, list[ast.Name]] = defaultdict(list)
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                inside[node.id].append(node)
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                return
    in_text = _in_text(function)
    free = iter(
        [letter for letter in _LETTERS if letter not in inside and letter not in {a.arg for a in _every(arguments)}]
    )
    for each in _every(arguments):
        if each.arg in wanted and each.arg not in in_text:
            new = next(free, None)
            if new is None:
                return
            yield (each.lineno, each.col_offset), (each.arg, new)
            for use in inside[each.arg]:
                yield (use.lineno, use.col_offset), (each.arg, new)


def _in_text(tree: ast.AST) -> set[str]:
    """Names within f-strings: Python 3.11 does not tell where they stand."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            found |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    return found


def _apply(source: bytes, edits: dict[_Place, tuple[str, str]]) -> bytes:
    lines = source.splitlines(keepends=True)
    for (line, at), (old, new) in sorted(edits.items(), reverse=True):
        text = lines[line - 1]
        assert text[at : at + len(old)] == old.encode(), (text, old)
        lines[line - 1] = text[:at] + new.encode() + text[at + len(old) :]
    return b"".join(lines)
