"""What a board keeps loaded becomes one module, `firmware.app`; what it seldom needs becomes files beside it.

Each module costs a board an object, a table of its names and of those that it imports, and each .mpy repeats the names that it
speaks of. So the modules that a board keeps are written one after the other into one, where everything at their top has a
name of its own (tools/firmware_link.py, tools/firmware_symbols.py), and

- a definition that nobody refers to is left out;
- a function that only code on demand refers to goes there;
- a method that only code on demand calls, and any function marked `# seldom` where it is defined, leaves a line that
  loads it from `firmware/s<number>.mpy`, runs it and forgets it;
- what somebody imports by its name, or asks for by a string, is a file that leads to it.

Sources stay as they are.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tools.errors import SteigerError
from tools.firmware_link import Names, Rewriter
from tools.firmware_module import APP, Function, Module, Target, bound_at_top, is_native, members
from tools.firmware_order import first_names
from tools.firmware_symbols import choose, spoken

# What others import by its name: the tools' snippets. All its public names stay; of the hal one.
ENTRIES = (
    "firmware.settings", "firmware.slots", "firmware.provisioning", "firmware.calibrating", "firmware.drivers.radio_test",
)  # fmt: skip
OF_HAL = {"unique_id"}
_LOAD = "_0"  # (number of the file, number of the function): how it is found
SMALL = 24  # nodes of a method that is not worth a file's line
_MARK = re.compile(rb"^\s*(?:async def|def|class) .*# seldom\b")
_HAL = re.compile(r"firmware\.hal\.([a-z0-9]+)(_\w+)?\Z")


class Linked(NamedTuple):
    """Sources to be compiled, "firmware/app.py" -> text; and by "module name" of a compiled function, as a traceback tells
    it, where it may have been written."""

    sources: dict[str, bytes]
    origins: dict[str, list[str]]


def link(
    sources: Mapping[str, bytes], drivers: Iterable[str], callers: Iterable[bytes], port: str, *, parts: Iterable[str] = (),
    described: Iterable[str] = (), native: bool = True,
) -> Linked:  # fmt: skip
    """`sources`: all of a board's, with the hal of every port, that names become the same with each; `drivers`: modules that
    it surely loads by a name in its description; `parts`: others that it imports later, and keeps; `callers`: what else
    speaks to the program; `described`: words of a board's description, which may be names; `native`: whether machine code
    can be loaded."""
    there = {_dotted(name) for name in sources}
    modules = {_dotted(name): Module(_dotted(name), source, there) for name, source in sources.items()}
    for name, source in sources.items():
        _mark(modules[_dotted(name)], source)
    for module in modules.values():
        module.read_imports(modules)
    drivers = [name for name in drivers if name in modules]
    kept = members(modules, drivers, parts, _asked(modules), native)
    others = [name for name in modules if name not in kept]
    trees = [ast.parse(caller) for caller in callers]
    foreign = OF_HAL.union(described, *(spoken(tree) for tree in trees))
    _choose_seldom(modules, kept, foreign)
    entries = [name for name in modules if name in ENTRIES]
    names = choose(modules, kept, foreign, entries)
    app = _App(modules, kept, names)
    files = {name: _File.of(modules[name], modules, kept, names) for name in others}
    files.update(app.outlined())
    for name in kept:
        if name in drivers or name in ENTRIES:
            files[name] = _facade(modules[name], names, _asked(modules) if name in drivers else None)
    app.settle(files)
    return Linked(_texts(app, files, port, sources), _origins(app, files))


def _origins(app: _App, files: Mapping[str, _File]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for module, body in ((APP, app.body), *((name, file.body) for name, file in files.items())):
        where = "firmware.hal" if _HAL.match(module) else module
        for node in (node for statement in body for node in ast.walk(statement)):
            if isinstance(node, Function) and hasattr(node, "origin"):
                name, path, line = node.origin
                found.setdefault(f"{where} {node.name}", []).append(f"{name.replace('.', '/')}.py:{line} {path}")
    return found


def _dotted(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _asked(modules: Mapping[str, Module]) -> set[str]:
    """Strings of the program."""
    return {
        node.value for module in modules.values() for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }  # fmt: skip


# --- what is seldom needed ---


def _mark(module: Module, source: bytes) -> None:
    lines = source.splitlines()
    for node in ast.walk(module.tree):
        if isinstance(node, (Function, ast.ClassDef)) and _MARK.match(lines[node.lineno - 1]):
            node.seldom = True  # type: ignore[union-attr]


def _is_seldom(node: ast.AST) -> bool:
    return getattr(node, "seldom", False)


def _choose_seldom(modules: Mapping[str, Module], kept: list[str], foreign: set[str]) -> None:
    """Mark methods that nobody calls but code on demand; take out those that nobody calls at all. What somebody may hold
    on to stays where it is: coroutines, which may run for ever, and methods that are handed on."""
    texts = _asked(modules)
    handed_on = set().union(*(_handed_on(module.tree) for module in modules.values())) | texts
    everywhere = set().union(*(spoken(module.tree, uses=True) for module in modules.values())) | texts | foreign
    while True:
        used = set(foreign)
        for name in kept:
            used |= _uses(modules[name].tree)
        found = False
        for name in kept:
            for node in modules[name].tree.body:
                for method in list(node.body) if isinstance(node, ast.ClassDef) else []:
                    if not isinstance(method, Function) or method.name.startswith("__") or _is_seldom(method):
                        continue
                    if method.name not in everywhere:
                        node.body.remove(method)  # type: ignore[attr-defined]
                        if not node.body:  # type: ignore[attr-defined]
                            node.body.append(ast.Pass())  # type: ignore[attr-defined]
                        found = True
                    elif (
                        method.name not in used | handed_on and isinstance(method, ast.FunctionDef) and _can_leave(method)
                        and sum(1 for _ in ast.walk(method)) > SMALL
                    ):  # fmt: skip
                        method.seldom = True  # type: ignore[attr-defined]
                        found = True
        if not found:
            return


def _uses(node: ast.AST) -> set[str]:
    """Names behind dots, and strings, but for those within what is seldom needed."""
    found: set[str] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Attribute):
            found.add(each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            found.add(each.value)
        if not _is_seldom(each):
            todo += ast.iter_child_nodes(each)
    return found


def _handed_on(tree: ast.AST) -> set[str]:
    """Names behind dots that are not just called there."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and id(node) not in called}


def _can_leave(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function may stand in another module."""
    return all(ast.unparse(each) == "staticmethod" for each in node.decorator_list) and not any(
        isinstance(each, ast.Global) or (isinstance(each, ast.Name) and each.id in ("super", "__class__"))
        for each in ast.walk(node)
    )


# --- modules as they become ---


class _File:
    """A module beside the app: its statements, and the app's names that it refers to."""

    def __init__(self, body: list[ast.stmt], needed: set[str]) -> None:
        self.body = body
        self.needed = needed

    @classmethod
    def of(cls, module: Module, modules: dict[str, Module], kept: list[str], names: Names) -> _File:
        rewriter = Rewriter(module, modules, kept, names)
        return cls(rewriter.run(), rewriter.needed)

    def text(self) -> str:
        imports = [ast.ImportFrom(APP, [ast.alias(name) for name in sorted(self.needed)], 0)] if self.needed else []
        return _unparsed([*imports, *self.body])


def _unparsed(body: list[ast.stmt]) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"


def _facade(module: Module, names: Names, only: set[str] | None) -> _File:
    """A file that leads to what somebody imports from `module`: to its public names, or to those in `only`."""
    body: list[ast.stmt] = []
    needed = set()
    for name in sorted(module.bound):
        short = names.top[Target(module.name, name)]
        if not name.startswith("_") and (only is None or name in only) and not _is_external(module, name):
            needed.add(short)
            if short != name:
                body.append(ast.Assign([ast.Name(name, ast.Store())], ast.Name(short, ast.Load())))
    return _File(body, needed)


def _is_external(module: Module, name: str) -> bool:
    return any(
        isinstance(node, (ast.Import, ast.ImportFrom)) and any((a.asname or a.name) == name for a in node.names)
        for node in module.tree.body
    )


class _App:
    """The statements of `firmware.app`."""

    def __init__(self, modules: dict[str, Module], kept: list[str], names: Names) -> None:
        self.body: list[ast.stmt] = []
        self._names = names
        self._groups: dict[str, list[ast.stmt]] = {}
        self._rewriters: dict[str, Rewriter] = {}
        seen: set[str] = set()
        for name in kept:
            for node in Rewriter(modules[name], modules, kept, names).run():
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    text = ast.unparse(node)
                    if text in seen:
                        continue
                    seen.add(text)
                elif isinstance(node, ast.ClassDef):
                    node.body = [self._outline(name, each) for each in node.body]
                elif isinstance(node, Function):
                    node = self._outline(name, node)
                self.body.append(node)
        if self._groups:
            text = f"def {_LOAD}(a, b):\n c = 'f%d' % b\n return getattr(__import__('firmware.s%d' % a, None, None, (c,)), c)"
            self.body += ast.parse(text).body
        self.body.sort(key=lambda node: not isinstance(node, (ast.Import, ast.ImportFrom)))
        self._defined = bound_at_top(self.body)

    def _outline(self, module: str, node: ast.stmt) -> ast.stmt:
        """A line that loads the function, if it is marked."""
        if not isinstance(node, Function) or not _is_seldom(node):
            return node
        if not _can_leave(node):
            raise SteigerError(f"{node.name} cannot be loaded on demand: super, global or a decorator", where=module)
        group = self._groups.setdefault(module, [])
        number = list(self._groups).index(module) + 1
        given = node.args
        every = [*given.posonlyargs, *given.args]
        values: list[ast.expr] = [ast.Name(each.arg, ast.Load()) for each in every]
        if given.vararg:
            values.append(ast.Starred(ast.Name(given.vararg.arg, ast.Load()), ast.Load()))
        words = [ast.keyword(each.arg, ast.Name(each.arg, ast.Load())) for each in given.kwonlyargs]
        if given.kwarg:
            words.append(ast.keyword(None, ast.Name(given.kwarg.arg, ast.Load())))
        short = f"f{len(group)}"
        found = ast.Call(ast.Name(_LOAD, ast.Load()), [ast.Constant(number), ast.Constant(len(group))], [])
        stub = ast.FunctionDef(
            node.name, given, [ast.Return(ast.Call(found, values, words))], node.decorator_list, None
        )
        free = ast.arguments(
            given.posonlyargs,
            given.args,
            given.vararg,
            given.kwonlyargs,
            [None] * len(given.kwonlyargs),
            given.kwarg,
            [],
        )
        moved = type(node)(short, free, node.body, [], None)
        moved.origin = stub.origin = node.origin  # type: ignore[attr-defined,union-attr]
        group.append(moved)
        return ast.copy_location(stub, node)

    def outlined(self) -> dict[str, _File]:
        """The files of what is seldom needed."""
        return {
            f"firmware.s{number}": _File(body, _free(body) & self._defined)
            for number, body in enumerate(self._groups.values(), 1)
        }

    def settle(self, files: dict[str, _File]) -> None:
        """Leave out what nobody refers to, and move to `files` what only they refer to."""
        reached = self._closure({"main"}, always=True)
        self._looked, self._called = _only_so([self.body, *(file.body for file in files.values())])
        while True:
            held = {
                name for file in files.values() for name in self._closure(file.needed) - reached
                if not all(self._can_move(self.body[place]) for place in self._places(name))
            }  # fmt: skip
            if not held:
                break
            reached |= self._closure(held)
        for file in files.values():
            moved = self._closure(file.needed) - reached
            external = {
                name for name in file.needed | self._refers(moved) for place in self._places(name)
                if isinstance(self.body[place], (ast.Import, ast.ImportFrom))
            }  # fmt: skip
            places = sorted({place for name in moved | external for place in self._places(name)})
            file.body[:0] = [self.body[place] for place in places]
            file.needed = (file.needed | self._refers(moved)) - moved - external
        self.body = [node for node in self.body if (names := defines(node)) is None or names & reached]

    def _can_move(self, node: ast.stmt) -> bool:
        """Whether a definition may stand in several modules at once, and only for a while: functions without a state that
        are called and no more, what nobody changes, classes that are marked and that nobody asks for."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return True
        if isinstance(node, Function):
            lasts = isinstance(node, ast.AsyncFunctionDef) or node.name not in self._called
            return not lasts and not is_native(node) and not node.decorator_list and not _has_global(node)
        if isinstance(node, ast.ClassDef):
            return _is_seldom(node) and node.name in self._called and not node.bases and not _has_global(node)
        allowed: tuple[type[ast.AST], ...] = (
            ast.Constant,
            ast.Tuple,
            ast.Name,
            ast.expr_context,
            ast.UnaryOp,
            ast.BinOp,
            ast.operator,
            ast.unaryop,
        )
        if (defines(node) or {""}) <= self._looked:
            allowed += (ast.Dict, ast.List)
        return isinstance(node, ast.Assign) and all(isinstance(each, allowed) for each in ast.walk(node.value))

    def _places(self, name: str) -> list[int]:
        if not hasattr(self, "_at"):
            self._at: dict[str, list[int]] = {}
            for place, node in enumerate(self.body):
                for each in defines(node) or ():
                    self._at.setdefault(each, []).append(place)
        return self._at.get(name, [])

    def _refers(self, names: set[str]) -> set[str]:
        return (
            set().union(*(_free([self.body[place]]) for name in names for place in self._places(name))) & self._defined
        )

    def _closure(self, names: set[str], always: bool = False) -> set[str]:
        found: set[str] = set()
        todo = [*names]
        if always:
            todo += [name for node in self.body if defines(node) is None for name in _free([node])]
        while todo:
            name = todo.pop()
            if name not in found and name in self._defined:
                found.add(name)
                todo += self._refers({name})
        return found

    def text(self) -> str:
        return _unparsed([first_names(self.body), *self.body])


def _free(body: Iterable[ast.stmt]) -> set[str]:
    """Names that may be looked up at the top of the module."""
    found: set[str] = set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Global):
                found.update(node.names)
    return found


def defines(node: ast.stmt) -> set[str] | None:
    """Names that a statement defines, and nothing else; None: it does more."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign) and _is_plain(node.value):
        targets = [part for each in node.targets for part in (each.elts if isinstance(each, ast.Tuple) else [each])]
        if all(isinstance(each, ast.Name) for each in targets):
            return {each.id for each in targets if isinstance(each, ast.Name)}
    return None


_MAKERS = {"namedtuple", "bytes", "bytearray", "tuple", "array", "dict", "len"}


def _is_plain(node: ast.AST) -> bool:
    """Whether computing an expression does nothing else."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and not (isinstance(each.func, ast.Name) and each.func.id in _MAKERS):
            return False
        if isinstance(each, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
    return True


def _has_global(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Global) for each in ast.walk(node))


def _only_so(bodies: list[list[ast.stmt]]) -> tuple[set[str], set[str]]:
    """Names that are only looked into (x[…], … in x), and names that are only called."""
    looked: Counter[str] = Counter()
    called: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for statement in (statement for body in bodies for statement in body):
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                every[node.id] += 1
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                called[node.func.id] += 1
            elif (
                isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load)
            ):
                looked[node.value.id] += 1
            elif isinstance(node, ast.Compare) and all(isinstance(each, (ast.In, ast.NotIn)) for each in node.ops):
                looked.update(each.id for each in node.comparators if isinstance(each, ast.Name))
    only_looked = {name for name in looked if looked[name] == every[name]}
    for statement in (statement for body in bodies for statement in body):
        if isinstance(statement, ast.Assign) and (defines(statement) or {""}) <= only_looked:
            held = statement.value.values if isinstance(statement.value, ast.Dict) else []
            called.update(each.id for each in held if isinstance(each, ast.Name))
    return only_looked, {name for name in called if called[name] == every[name]}


def _texts(app: _App, files: dict[str, _File], port: str, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    packages = {_dotted(name) for name in sources if name.endswith("/__init__.py")}
    made = {"firmware/app.py": app.text().encode()}
    for name, file in files.items():
        found = _HAL.match(name)
        if name == "firmware.hal" or (found and found[1] != port):
            continue
        if found and not found[2]:  # the package itself, instead of one that shows all of another
            name = "firmware.hal"
        stem = name.replace(".", "/")
        made[f"{stem}/__init__.py" if name in packages else f"{stem}.py"] = file.text().encode()
    return {name: text for name, text in sorted(made.items()) if text.strip()}
