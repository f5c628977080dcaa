"""Which names a program may ask for by a text: those it hands to `getattr` and the like (tools/firmware_symbols.py)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tools.errors import SteigerError
from tools.firmware_module import Function, Module

_BY_TEXT = ("getattr", "hasattr", "setattr", "delattr")
_PARTS = {"split", "rpartition", "partition", "strip"}  # of texts: their parts come from the same place
_WORD = re.compile(r"[A-Za-z_]\w*")


class Asked:
    """Texts that may reach `getattr` and the like, followed from there backwards through variables and parameters to what the
    program writes down. `texts` are what was found; everything, where the way is lost."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.texts: set[str] = set()
        self._tables: dict[str, list[ast.expr]] = defaultdict(list)
        self._calls: dict[str, list[tuple[ast.Call, _Code]]] = defaultdict(list)
        self._codes: dict[str, list[_Code]] = defaultdict(list)
        self._seen: set[tuple[int, int]] = set()
        self._every = [module.tree for module in modules.values()]
        for module in modules.values():
            for node in module.tree.body:
                if isinstance(node, ast.Assign):
                    for target in node.targets:
                        self._tables[ast.unparse(target)].append(node.value)
            self._read(module.tree, _Code("", None, False), False)
        for name in _BY_TEXT:
            for call, code in self._calls[name]:
                self._source(call.args[1], code)

    def _read(self, node: ast.AST, code: _Code, in_class: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inner = code
            if isinstance(child, Function):
                inner = _Code(child.name, child, in_class)
                self._codes[child.name].append(inner)
            elif isinstance(child, ast.Call):
                called = child.func.id if isinstance(child.func, ast.Name) else getattr(child.func, "attr", "")
                self._calls[called].append((child, code))
            self._read(child, inner, isinstance(child, ast.ClassDef))

    def _source(self, node: ast.expr, code: _Code) -> None:
        """Where the text comes from that `node`, in a function, stands for."""
        if (id(node), id(code)) in self._seen:
            return
        self._seen.add((id(node), id(code)))
        if isinstance(node, (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set)):
            self.texts |= _texts(node)
        elif isinstance(node, ast.Name):
            self._variable(node.id, code)
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            for tree in self._every:  # out of a description, or of what the program keeps in this way
                self.texts |= {
                    word for each in ast.walk(tree) if isinstance(each, ast.Dict) for word in _texts(*each.values)
                }
        elif isinstance(node, ast.Subscript):
            self._source(node.value, code)
        elif isinstance(node, ast.IfExp):
            self._source(node.body, code)
            self._source(node.orelse, code)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PARTS:
            self._source(node.func.value, code)
        elif ast.unparse(node) == "list(sys.modules)":
            pass  # names of modules stay
        elif isinstance(node, ast.Attribute) and node.attr in self._tables:
            for value in self._tables[node.attr]:
                self._source(value, code)
        elif isinstance(node, (ast.BinOp, ast.JoinedStr, ast.Call)):
            raise SteigerError(
                f"a name is put together and asked for: {ast.unparse(node)}; it would be another one on a board",
                where=f"{code.name}, line {node.lineno}",
                next_step="Take it from a table of names",
            )
        else:
            self.texts |= _texts(*self._every)

    def _variable(self, name: str, code: _Code) -> None:
        found = False
        if code.node is not None:
            given = code.node.args
            every = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            if given.vararg and given.vararg.arg == name:
                found = True
                for call, caller in self._calls[code.name]:
                    for each in call.args:
                        self._source(each.value if isinstance(each, ast.Starred) else each, caller)
            if name in every:
                found = True
                self._parameter(code, name, every.index(name))
            for node in ast.walk(code.node):
                for target, value in _binds(node):
                    if any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(target)):
                        found = True
                        self._source(value, code)
        if not found:
            found = name in self._tables
            for value in self._tables.get(name, ()):
                self._source(value, _Code("", None, False))
        if not found:
            self.texts |= _texts(*self._every)

    def _parameter(self, code: _Code, name: str, place: int) -> None:
        assert code.node is not None
        for call, caller in self._calls[code.name]:
            places = (place, place - 1) if code.in_class else (place,)
            found = [
                call.args[at]
                for at in places
                if 0 <= at < len(call.args) and not isinstance(call.args[at], ast.Starred)
            ]
            found += [word.value for word in call.keywords if word.arg == name]
            for each in found:
                self._source(each, caller)
            for each in call.args:
                if isinstance(each, ast.Starred):
                    self._source(each.value, caller)
            if any(word.arg is None for word in call.keywords):
                self.texts |= _texts(*self._every)


class _Code(NamedTuple):
    """A function; node None: the top of a module."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | None
    in_class: bool


def _binds(node: ast.AST) -> Iterator[tuple[ast.AST, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        yield node.target, node.iter
    elif isinstance(node, (ast.NamedExpr, ast.AugAssign)):
        yield node.target, node.value


def _texts(*trees: ast.AST) -> set[str]:
    """Names within texts."""
    return {
        word for tree in trees for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) for word in _WORD.findall(node.value)
    }  # fmt: skip
