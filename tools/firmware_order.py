"""Names that are used most get the lowest numbers in a compiled module: one byte in each use instead of two."""

from __future__ import annotations

import ast
import keyword
from collections import Counter

from tools.firmware_module import bound_in

FIRST = 126  # of 128; two go to the statement itself


class _Uses(ast.NodeVisitor):
    """How often a name is written in compiled code: not what is local to a function, but its parameters once."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._local: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if not any(node.id in names for names in self._local):
            self.count[node.id] += 1

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.count[node.attr] += 1
        self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.count[node.name] += 2
        for outside in (*node.decorator_list, *node.args.defaults, *(each for each in node.args.kw_defaults if each)):
            self.visit(outside)
        given = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        self.count.update(given)
        self._local.append(bound_in(node.body) | given)
        for each in node.body:
            self.visit(each)
        self._local.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.count.update((node.name, node.name, node.name, "__module__", "__qualname__", "__name__"))
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        self.count[node.arg or ""] += 1
        self.visit(node.value)

    def visit_alias(self, node: ast.alias) -> None:
        self.count.update((node.name, node.asname or node.name))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value.isidentifier():
            self.count[node.value] += 1


def first_names(body: list[ast.stmt]) -> ast.stmt:
    """Never run: names that are used most are told first, so that they have the lowest numbers."""
    uses = _Uses()
    for statement in body:
        uses.visit(statement)
    wanted = [name for name, count in uses.count.most_common(FIRST) if count > 1 and name.isidentifier()]
    chain: ast.expr = ast.Name("__name__", ast.Load())
    for name in wanted:
        if not keyword.iskeyword(name):
            chain = ast.Attribute(chain, name, ast.Load())
    test = ast.Compare(ast.Name("__name__", ast.Load()), [ast.Eq()], [ast.Constant("")])
    return ast.If(test, [ast.Expr(chain)], [])
