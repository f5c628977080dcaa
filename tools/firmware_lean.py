"""What a board needs not keep in its heap is taken out of the sources before they are compiled.

Taken out: named whole numbers, which become literals in whatever module uses them, and what stands there for type
checkers. A name in a module costs a board an entry in a table of each module that knows it, and the name itself; a literal
costs nothing beyond the code. Lines stay where they are, so that a traceback names the line of the source.

A constant is what a module binds once, at its top level, in capitals, to a whole number of at most 30 bits that follows
from literals and other constants. Where a name might mean anything else, it is left alone.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

_NAME = re.compile(r"_?[A-Z][A-Z0-9_]*\Z")
_LIMIT = 1 << 30  # an ESP32 keeps larger numbers as objects
_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift, ast.RShift: operator.rshift, ast.BitOr: operator.or_, ast.BitAnd: operator.and_,
}  # fmt: skip


class _Edit(NamedTuple):
    """Bytes [start, end) of a source become `text`."""

    start: int
    end: int
    text: bytes


class _Module:
    """One source and what is known of its names."""

    def __init__(self, name: str, source: bytes) -> None:
        self.name = name
        self.source = source
        self.tree = ast.parse(source)
        self.constants: dict[str, int] = {}
        self.definitions: dict[str, ast.Assign] = {}
        self.modules: dict[str, str] = {}  # local name -> module that it means
        self.imported: dict[str, tuple[str, str]] = {}  # local name -> (module, name there)
        self.imports: list[ast.ImportFrom | ast.Import] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def place(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        """Where a node stands in the source."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )


def lean(sources: dict[str, bytes]) -> dict[str, bytes]:
    """The same program, with constants as literals. `sources`: all of a board's, "wire/frame.py" -> text."""
    modules = {dotted(name): _Module(dotted(name), _without_types(source)) for name, source in sources.items()}
    for module in modules.values():
        _read_imports(module, modules)
    while sum([_read_constants(module, modules) for module in modules.values()]):
        pass
    edits: dict[str, list[_Edit]] = {}
    kept: set[tuple[str, str]] = set()  # (module, name) that something still refers to; module "": any
    left: dict[str, Counter[str]] = {}
    for module in modules.values():
        uses = _Uses(module, modules)
        uses.visit(module.tree)
        edits[module.name] = uses.edits
        kept |= uses.kept
        left[module.name] = uses.left
    for module in modules.values():
        edits[module.name] += _definitions(module, kept)
        edits[module.name] += _imports(module, modules, left[module.name])
    return {name: _apply(modules[dotted(name)], edits[dotted(name)]) for name in sources}


def dotted(name: str) -> str:
    """ "wire/frame.py" -> "wire.frame"; a package is named by its folder."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _without_types(source: bytes) -> bytes:
    """Without `TYPE_CHECKING = False` and the blocks under it."""
    module = _Module("", source)
    edits = []
    for node in module.tree.body:
        is_block = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse
        if is_block or ast.unparse(node) == "TYPE_CHECKING = False":
            edits.append(_blank(module, node))
    return _apply(module, edits)


def _blank(module: _Module, node: ast.stmt, text: bytes = b"") -> _Edit:
    """`text` instead of a statement, with as many line ends as before."""
    start, end = module.place(node)
    return _Edit(start, end, text + b"\n" * module.source.count(b"\n", start, end))


def _apply(module: _Module, edits: list[_Edit]) -> bytes:
    source = module.source
    outermost: list[_Edit] = []
    for edit in sorted(edits, key=lambda each: (each.start, -each.end)):
        if not outermost or edit.start >= outermost[-1].end:
            outermost.append(edit)
    for edit in reversed(outermost):
        source = source[: edit.start] + edit.text + source[edit.end :]
    return source


def _read_imports(module: _Module, modules: dict[str, _Module]) -> None:
    """Fill `modules` and `imported`; a local name that means two things means nothing here."""
    found: dict[str, set[tuple[str, str]]] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module in modules and not node.level:
            module.imports.append(node)
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, set()).add((node.module, alias.name))
        elif isinstance(node, ast.Import) and len(node.names) == 1 and node.names[0].name in modules:
            alias = node.names[0]
            module.imports.append(node)
            found.setdefault(alias.asname or alias.name, set()).add(("", alias.name))
    for local, meanings in found.items():
        if len(meanings) == 1:
            origin, name = next(iter(meanings))
            whole = f"{origin}.{name}" if origin else name
            if whole in modules:
                module.modules[local] = whole
            else:
                module.imported[local] = origin, name


def _bound(tree: ast.AST) -> Counter[str]:
    """How often each name is bound anywhere, imports aside."""
    names: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names[node.id] += 1
        elif isinstance(node, ast.arg):
            names[node.arg] += 1
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
            names[node.name or ""] += 1
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            names.update(node.names)
    return names


def _read_constants(module: _Module, modules: dict[str, _Module]) -> int:
    """Find constants; how many that were not known before."""
    bound = _bound(module.tree)
    before = len(module.constants)
    for node in module.tree.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name):
            targets, values = [target], [node.value]
        elif isinstance(target, ast.Tuple) and all(isinstance(part, ast.Name) for part in target.elts):
            targets = [part for part in target.elts if isinstance(part, ast.Name)]
            values = _spread(node.value, len(targets))
        else:
            continue
        known = [_evaluate(value, module, modules) for value in values]
        names = [each.id for each in targets]
        if None in known or len(known) != len(names):
            continue
        if all(_NAME.match(name) and bound[name] == 1 for name in names):
            for name, value in zip(names, known, strict=True):
                if value is not None:
                    module.constants[name] = value
                    module.definitions[name] = node
    return len(module.constants) - before


def _spread(value: ast.expr, count: int) -> list[ast.expr]:
    """The parts of `0, 1, 2` or of `range(3)`."""
    if isinstance(value, ast.Tuple):
        return value.elts
    if ast.unparse(value) == f"range({count})":
        return [ast.Constant(number) for number in range(count)]
    return []


def _evaluate(node: ast.expr, module: _Module, modules: dict[str, _Module]) -> int | None:
    value: int | None = None
    if isinstance(node, ast.Constant):
        value = node.value if type(node.value) is int else None
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "const" and len(node.args) == 1:
        value = _evaluate(node.args[0], module, modules)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _evaluate(node.operand, module, modules)
        value = None if inner is None else -inner
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = (_evaluate(side, module, modules) for side in (node.left, node.right))
        if left is not None and right is not None:
            value = _OPERATIONS[type(node.op)](left, right)
    elif isinstance(node, (ast.Name, ast.Attribute)):
        value = _constant(node, module, modules)
    return value if value is not None and -_LIMIT < value < _LIMIT else None


def _constant(node: ast.expr, module: _Module, modules: dict[str, _Module]) -> int | None:
    """What a name, or `module.NAME`, stands for; None if for no constant."""
    if isinstance(node, ast.Name):
        if node.id in module.imported:
            origin, name = module.imported[node.id]
            return modules[origin].constants.get(name)
        return module.constants.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.modules:
        return modules[module.modules[node.value.id]].constants.get(node.attr)
    return None


class _Uses(ast.NodeVisitor):
    """Replaces uses by literals. `left` counts the names that are still looked up, `kept` names what they may mean."""

    def __init__(self, module: _Module, modules: dict[str, _Module]) -> None:
        self.edits: list[_Edit] = []
        self.left: Counter[str] = Counter()
        self.kept: set[tuple[str, str]] = set()
        self._module = module
        self._modules = modules
        self._bound = _bound(module.tree)
        self._locals: list[Counter[str]] = []
        self._in_text = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for outside in (*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d)):
            self.visit(outside)
        self._locals.append(_bound(ast.Module(body=[*node.body], type_ignores=[])) + _bound(node.args))
        for inside in node.body:
            self.visit(inside)
        self._locals.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Python 3.11 does not tell where the parts of such a text stand."""
        self._in_text += 1
        self.generic_visit(node)
        self._in_text -= 1

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not self._replace(node, node.id):
            self.left[node.id] += 1
            self.kept.add(self._module.imported.get(node.id, (self._module.name, node.id)))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load) and self._replace(node, node.value.id):
            return
        base = node.value.id if isinstance(node.value, ast.Name) else ""
        self.kept.add((self._module.modules.get(base, ""), node.attr))
        self.visit(node.value)

    def _replace(self, node: ast.Name | ast.Attribute, name: str) -> bool:
        value = _constant(node, self._module, self._modules)
        if value is None or self._in_text or any(name in inner for inner in self._locals):
            return False
        if name in self._module.imported and self._bound[name]:
            return False
        start, end = self._module.place(node)
        self.edits.append(_Edit(start, end, b"%d" % value if value >= 0 else b"(%d)" % value))
        return True


def _definitions(module: _Module, kept: set[tuple[str, str]]) -> Iterator[_Edit]:
    """Definitions that nobody needs are taken out."""
    for node in {id(each): each for each in module.definitions.values()}.values():
        names = [name for name, place in module.definitions.items() if place is node]
        if not kept.intersection((owner, name) for name in names for owner in (module.name, "")):
            yield _blank(module, node)


def _imports(module: _Module, modules: dict[str, _Module], left: Counter[str]) -> Iterator[_Edit]:
    """Imports of what is not looked up any more are taken out."""
    for node in module.imports:
        if isinstance(node, ast.Import):
            if not left[node.names[0].asname or node.names[0].name]:
                yield _blank(module, node, b"pass")
            continue
        names = []
        for alias in node.names:
            local = alias.asname or alias.name
            gone = alias.name in modules[node.module or ""].constants or local in module.modules or local == "const"
            if left[local] or not gone:
                names.append(ast.unparse(alias))
        if len(names) == len(node.names):
            continue
        text = f"from {node.module} import {', '.join(names)}" if names else "pass"
        yield _blank(module, node, text.encode())
