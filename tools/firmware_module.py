"""The modules of a board's program as trees: what their names mean, what they import, which of them a board keeps.

A board keeps what its start and its drivers import at their top, directly or through others (tools/firmware_bundle.py).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tools.errors import SteigerError

APP = "firmware.app"
# Boot code that leaves the heap: what it imports at its top stays.
BOOT = ("firmware.begin", "firmware.sensors")
NATIVE = ("native", "viper", "asm_xtensa", "asm_thumb")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Target(NamedTuple):
    """What an imported name means: `name` of `module`, or the module itself."""

    module: str
    name: str  # "": the module


class Module:
    """One source: its tree, without docstrings and types, and what its names mean."""

    def __init__(self, name: str, source: bytes, there: set[str]) -> None:
        """`there`: names of all the modules that a board may get."""
        self.name = name
        self.tree = ast.parse(source)
        self.aliases: dict[str, Target] = {}
        _Strip().visit(self.tree)
        self.tree.body = list(_flat(self.tree.body, there))
        self.nodes = [*ast.walk(self.tree)]  # as they were read
        self.known = bound_at_top(self.tree.body)  # at the top
        self.bound: set[str] = set()  # the same, imports of ours aside

    def read_imports(self, modules: dict[str, Module]) -> None:
        """Fill `aliases` and `bound`."""
        self.aliases = imported(self.tree.body, modules)
        self.bound = self.known - set(self.aliases)

    @property
    def is_native(self) -> bool:
        return any(is_native(node) for node in self.nodes if isinstance(node, Function))


def is_native(node: ast.AST) -> bool:
    """Whether a function is machine code: its annotations count."""
    decorators = node.decorator_list if isinstance(node, Function) else []
    return any(isinstance(each, ast.Attribute) and each.attr in NATIVE for each in decorators)


class _Strip(ast.NodeTransformer):
    """Takes out docstrings and annotations, but those of machine code."""

    def _body(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = node.body  # type: ignore[attr-defined]
        kept = [each for each in body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
        node.body = kept or ([ast.Pass()] if not isinstance(node, ast.Module) else [])  # type: ignore[attr-defined]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if not is_native(node):
            node.returns = None
            arguments = node.args
            for each in (
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
                arguments.vararg,
                arguments.kwarg,
            ):
                if each is not None:
                    each.annotation = None
        return self._body(node)

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = _body
    visit_Module = _body

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return ast.copy_location(ast.Assign([node.target], node.value), node)


PRESENT = {"micropython", "cryptolib"}  # in every MicroPython that the firmware runs on


def _flat(body: list[ast.stmt], there: set[str]) -> Iterator[ast.stmt]:
    """Without `pass`, with what is run of `try: import … except ImportError: …`, and without what only hosts ask for."""
    for node in body:
        taken = _taken(node, there) if isinstance(node, ast.Try) else None
        if taken is not None:
            yield from _flat(taken, there)
        elif not isinstance(node, ast.Pass) and not (isinstance(node, Function) and node.name == "__getattr__"):
            yield node


def _taken(node: ast.Try, there: set[str]) -> list[ast.stmt] | None:
    """What a board runs of it; None: that is not known."""
    if [ast.unparse(each.type) for each in node.handlers if each.type] != ["ImportError"] or node.finalbody:
        return None
    names = []
    for each in node.body:
        if isinstance(each, ast.Import):
            names += [alias.name for alias in each.names]
        elif isinstance(each, ast.ImportFrom) and each.module:
            names.append(each.module)
        elif not isinstance(each, ast.Pass):
            return None
    if set(names) <= PRESENT:
        return [*node.body, *node.orelse]
    if all(name in there for name in names):
        return [*node.body, *node.orelse]
    if any(name.startswith(("wire.", "firmware.")) and name not in there for name in names):
        return node.handlers[0].body
    return None


def imported(body: Iterable[ast.AST], modules: dict[str, Module]) -> dict[str, Target]:
    """What the imports of ours in `body` (not in functions within) mean."""
    found: dict[str, Target] = {}
    for node in statements(body):
        if isinstance(node, ast.ImportFrom) and node.module in modules and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in modules:
                    found[alias.asname or alias.name] = Target(whole, "")
                elif alias.name in modules[node.module].known:
                    found[alias.asname or alias.name] = Target(node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in modules:
                    if not alias.asname:
                        raise SteigerError(f"import {alias.name} without a name of its own", where=alias.name)
                    found[alias.asname] = Target(alias.name, "")
    return found


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of a scope, but those of scopes within it (which begin: a function, a class, a lambda)."""
    for node in body:
        yield node
        if not isinstance(node, (Function, ast.ClassDef, ast.Lambda)):
            yield from statements(ast.iter_child_nodes(node))
        elif not isinstance(node, ast.Lambda):
            yield from statements(node.decorator_list)


def bound_in(body: Iterable[ast.AST], imports: bool = True) -> set[str]:
    """Names that a function or class binds. Those of a comprehension are counted, too: they are nobody else's."""
    return _bound(statements(body), imports)


def bound_at_top(body: Iterable[ast.AST]) -> set[str]:
    """Names that a module binds: those of a comprehension are none of them."""
    nodes = [*statements(body)]
    inner = (each for node in nodes if isinstance(node, ast.comprehension) for each in ast.walk(node.target))
    of_comprehensions = {id(each) for each in inner}
    return _bound((node for node in nodes if id(node) not in of_comprehensions), True)


def _bound(nodes: Iterable[ast.AST], imports: bool) -> set[str]:
    names: set[str] = set()
    elsewhere: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (Function, ast.ClassDef, ast.ExceptHandler)):
            names.add(node.name or "")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name.split(".")[0]) for alias in node.names if imports)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
    return names - elsewhere - {"*", ""}


def top_imports(module: Module, modules: dict[str, Module]) -> list[str]:
    """Modules of ours that `module` loads when it is loaded itself, in order."""
    found: list[str] = []
    for target in module.aliases.values():
        if target.module not in found:
            found.append(target.module)
    return [name for name in found if name in modules]


def members(
    modules: dict[str, Module], drivers: Iterable[str], parts: Iterable[str], asked: set[str], with_native: bool
) -> list[str]:
    """The modules that a board keeps, each after those that it imports. `asked`: names of modules that stand in strings."""
    apart = {name for name in modules if name.startswith("firmware.hal")} | (asked - set(drivers) - {"firmware"})
    if not with_native:
        apart |= {name for name, module in modules.items() if module.is_native}
        while more := {
            name for name, module in modules.items()
            if name not in apart and name in drivers and apart.intersection(_closure(name, modules))
        }:  # fmt: skip
            apart |= more
    found: list[str] = []
    roots = [APP, *drivers, *parts]
    roots += [name for boot in BOOT if boot in modules for name in top_imports(modules[boot], modules)]

    def take(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            raise SteigerError(f"modules import each other: {' -> '.join((*way, name))}", where=name)
        if name in found:
            return
        for other in top_imports(modules[name], modules):
            if other in apart:
                raise SteigerError(f"imports {other}, which is loaded on demand, at its top", where=name)
            take(other, (*way, name))
        found.append(name)

    for root in roots:
        if root not in apart:
            take(root, ())
    found.remove(APP)
    return [*found, APP]


def _closure(name: str, modules: dict[str, Module]) -> set[str]:
    found: set[str] = set()
    todo = [name]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += top_imports(modules[each], modules)
    return found


def fields_of(node: ast.AST) -> list[str]:
    """The fields of a `namedtuple("Name", "one two")`, else []."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2 and not node.keywords:
        text = node.args[1]
        if isinstance(node.args[0], ast.Constant) and node.func.id == "namedtuple":
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                return text.value.split()
            if isinstance(text, ast.Tuple):
                return [str(each.value) for each in text.elts if isinstance(each, ast.Constant)]
    return []
