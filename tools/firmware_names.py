"""Names that only their own function or module can know are shortened before a board's sources are compiled.

MicroPython keeps every parameter's name, because a caller may use it, and every attribute's, in one table of names that
doubles when it is full. Shortened are parameters that nobody passes by name, and private data: what a module calls
`self._something`, or a variable `_something` of its own. Functions, methods and classes keep their names: a traceback tells them.
Where a name might mean anything else, it is left alone.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_PRIVATE = re.compile(r"_[A-Za-z0-9]\w*\Z")
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
    exposed = _exposed(every)
    edits: dict[str, dict[_Place, tuple[str, str]]] = {}
    for name, tree in trees.items():
        edits[name] = {}
        for function in _functions(tree):
            edits[name].update(_parameters(function, by_name))
    for family in _families(trees):
        for name, found in _private_data({each: trees[each] for each in family}, exposed).items():
            edits[name].update(found)
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


def _exposed(trees: Iterable[ast.Module]) -> set[str]:
    """Private names that somebody uses from outside, or that are defined as functions or classes, or stand in a text."""
    found: set[str] = set()
    for tree in trees:
        found |= _in_text(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                found.add(node.attr)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(re.findall(r"\w+", node.value))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update(name for alias in node.names for name in (alias.name, alias.asname or ""))
    return found


def _families(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Modules whose classes inherit from each other name their data together."""
    homes: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(name)
    family = {name: {name} for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    known = (
                        base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
                    )
                    for home in homes[known]:
                        together = family[name] | family[home]
                        for each in together:
                            family[each] = together
    return [sorted(each) for each in {id(each): each for each in family.values()}.values()]


def _private_data(trees: dict[str, ast.Module], exposed: set[str]) -> dict[str, dict[_Place, tuple[str, str]]]:
    """Attributes of `self`, and variables of a module, that begin with an underscore."""
    uses: Counter[str] = Counter()
    stored: set[str] = set()
    bound: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                uses[node.attr] += 1
                if isinstance(node.ctx, ast.Store):
                    stored.add(node.attr)
            elif isinstance(node, ast.Name):
                bound.add(node.id)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
    known = exposed | bound  # a variable of the class, too
    wanted = [name for name in stored if _PRIVATE.match(name) and len(name) > 2 and name not in known]
    wanted.sort(key=lambda name: (-uses[name], name))
    pool = (name for name in _pool() if name not in uses)
    new = dict(zip(wanted, pool, strict=False))
    edits: dict[str, dict[_Place, tuple[str, str]]] = {}
    for name, tree in trees.items():
        edits[name] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in new:
                assert node.end_lineno is not None and node.end_col_offset is not None
                start = node.end_col_offset - len(node.attr)
                edits[name][(node.end_lineno, start)] = (node.attr, new[node.attr])
    return edits


def _pool() -> Iterator[str]:
    for letter in _LETTERS:
        yield f"_{letter}"
    for first in _LETTERS:
        for second in _LETTERS:
            yield f"_{first}{second}"


def _apply(source: bytes, edits: dict[_Place, tuple[str, str]]) -> bytes:
    lines = source.splitlines(keepends=True)
    for (line, at), (old, new) in sorted(edits.items(), reverse=True):
        text = lines[line - 1]
        assert text[at : at + len(old)] == old.encode(), (text, old)
        lines[line - 1] = text[:at] + new.encode() + text[at + len(old) :]
    return b"".join(lines)
