"""Short names for a whole program that is linked (tools/firmware_bundle.py).

What stands at the top of the modules that became one has a name there that nothing else in the program has. What is written
behind a dot (methods, data, fields, what is asked of a module that stands alone) is renamed everywhere at once, and two such
names may become the same short one where no object can have both: no class with its relations, no tuple, no module. So a
program of a thousand names needs some hundred.

A name is left alone where somebody else may mean it: MicroPython and its modules (tools/micropython_names.txt), boot.py and
main.py, the simulator, a string that may reach `getattr` and the like, a key word of a call.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tools.errors import SteigerError
from tools.firmware_asked import Asked
from tools.firmware_link import Names
from tools.firmware_module import Function, Module, Target, fields_of, statements

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
TABLE = Path(__file__).with_name("micropython_names.txt")
BUILTINS = set(dir(builtins)) | set(keyword.kwlist)


def choose(modules: Mapping[str, Module], kept: list[str], foreign: set[str], entries: Iterable[str]) -> Names:
    """New names. `kept`: the members; `foreign`: names that others use; `entries`: modules that they import by name."""
    alone = foreign | BUILTINS | _micropython(modules) | Asked(modules).texts | _tried(modules)
    for name in entries:
        alone |= {each for each in modules[name].bound if not each.startswith("_")}
    local = _locals(modules)
    top = _top(modules, kept, alone | local)
    return Names(top, _attributes(modules, kept, alone, set(top.values()), local))


def spoken(tree: ast.AST, uses: bool = False) -> set[str]:
    """Names that a program speaks of; `uses`: of what is behind a dot, and where it is not bound."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.update((node.name, node.asname or node.name))
        elif not uses and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
    return found


def _shorts() -> Iterator[str]:
    yield from _LOWER
    yield from _UPPER
    for first in _UPPER + _LOWER:
        for second in _LOWER + "0123456789" + _UPPER:
            yield first + second


# --- names that others may mean ---


def _micropython(modules: Mapping[str, Module]) -> set[str]:
    """Names of MicroPython's modules, of which the program uses some."""
    lines = [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    known = dict(line.split(": ", 1) for line in lines)
    ours = {name.split(".")[0] for name in modules}
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                wanted = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in wanted:
                if name.split(".")[0] not in ours and name not in known and not module.name.startswith("firmware.hal."):
                    raise SteigerError(
                        f"imports {name}, whose names the build does not know",
                        where=module.name,
                        next_step=f"Add it to {TABLE.name}",
                    )
    return {name for names in known.values() for name in names.split()}


def _tried(modules: Mapping[str, Module]) -> set[str]:
    """Names that may be missing: asked for where an AttributeError is caught."""
    found: set[str] = set()
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.Try) and any(
                handler.type is None or any(word in ast.unparse(handler.type) for word in ("Attribute", "Exception"))
                for handler in node.handlers
            ):
                found |= {
                    each.attr for part in node.body for each in ast.walk(part)
                    if isinstance(each, ast.Attribute) and any("Attribute" in ast.unparse(h.type) for h in node.handlers if h.type)
                }  # fmt: skip
    return found


def _locals(modules: Mapping[str, Module]) -> set[str]:
    """Short names that functions bind: what stands at the top must not be hidden by them."""
    found: set[str] = set()
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                found.add(node.name)
            elif isinstance(node, ast.alias):
                found.add(node.asname or node.name)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
    return found


# --- what stands at the top ---


def _errors(modules: Mapping[str, Module]) -> set[str]:
    """Classes of errors: the log tells their names."""
    classes = [node for module in modules.values() for node in module.tree.body if isinstance(node, ast.ClassDef)]
    known = {name for name in BUILTINS if isinstance(getattr(builtins, name, None), type)}
    known = {name for name in known if issubclass(getattr(builtins, name), BaseException)}
    found: set[str] = set()
    while more := {
        node.name for node in classes
        if node.name not in found and any(ast.unparse(base).split(".")[-1] in known | found for base in node.bases)
    }:  # fmt: skip
        found |= more
    return found


def _top(modules: Mapping[str, Module], kept: list[str], taken: set[str]) -> dict[Target, str]:
    uses: Counter[Target] = Counter()
    same: dict[Target, str] = {}
    errors = _errors(modules)
    meant: dict[str, str] = {}
    for name in kept:
        module = modules[name]
        imports = {
            alias.asname or alias.name: ast.unparse(node).split(" as ")[0]
            for node in module.tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names
        }  # fmt: skip
        for each in module.bound:
            target = Target(name, each)
            if each in imports or each in errors or target == ("firmware.app", "main"):
                what = f"{name}.{each}" if each not in imports else each
                if meant.setdefault(each, what) != what:
                    raise SteigerError(f"{each} is also {meant[each]}", where=name, next_step="Choose another name")
                same[target] = each
            else:
                uses[target] += 1
    for name in kept:
        for node in ast.walk(modules[name].tree):
            target = Target(name, node.id) if isinstance(node, ast.Name) else Target("", "")
            target = modules[name].aliases.get(target.name, target)
            if target in uses:
                uses[target] += 1
    pool = (short for short in _shorts() if short not in taken and short not in same.values())
    return same | dict(zip(sorted(uses, key=lambda each: (-uses[each], each)), pool, strict=False))


# --- what is behind a dot ---


class _Families:
    """Which names an object can have, as far as the program tells."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self._classes: dict[str, list[ast.ClassDef]] = defaultdict(list)
        for module in modules.values():
            for node in module.nodes:
                if isinstance(node, ast.ClassDef):
                    self._classes[node.name].append(node)
        self._parent = {name: name for name in self._classes}
        for name, nodes in self._classes.items():
            for base in (base for node in nodes for base in node.bases):
                known = ast.unparse(base).split(".")[-1]
                if known in self._classes:
                    self._parent[self._head(name)] = self._head(known)
        of_self: set[int] = set()
        names: dict[str, set[str]] = defaultdict(set)
        for name, nodes in self._classes.items():
            for node in nodes:
                names[self._head(name)] |= _members_of(node, of_self)
        self.groups = [*names.values()]
        self.wild = {  # set from outside: nobody knows of which object
            node.attr for module in modules.values() for node in module.nodes
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and id(node) not in of_self
        }  # fmt: skip

    def _head(self, name: str) -> str:
        while self._parent[name] != name:
            name = self._parent[name]
        return name


def _members_of(node: ast.ClassDef, of_self: set[int]) -> set[str]:
    names: set[str] = set()
    for part in statements(node.body):
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            names.add(part.id)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(part.name)
    for method in node.body:
        if isinstance(method, Function) and method.args.args:
            me = method.args.args[0].arg
            for part in ast.walk(method):
                if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == me:
                    of_self.add(id(part))
                    names.add(part.attr)
    return names


def _attributes(
    modules: Mapping[str, Module], kept: list[str], alone: set[str], tops: set[str], local: set[str]
) -> dict[str, str]:
    families = _Families(modules)
    given: set[str] = set()
    tuples: list[set[str]] = []
    uses: Counter[str] = Counter()
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.Attribute):
                uses[node.attr] += 1
            elif isinstance(node, ast.Call):
                tuples.append(set(fields_of(node)))
                given.update(each.arg for each in node.keywords if each.arg)
    spaces = [module.known for name, module in modules.items() if name not in kept]
    every: set[str] = set().union(*families.groups, *tuples, *spaces)
    known = {name for name in every - alone - (set().union(*tuples) & given) if not name.startswith("__")}
    conflicts: dict[str, set[str]] = defaultdict(set)
    for group in (*families.groups, *tuples, *spaces):
        for name in group & known:
            conflicts[name] |= group & known
    for name in families.wild & known:
        conflicts[name] |= known
        for other in known:
            conflicts[other].add(name)
    in_modules = set().union(*spaces) if spaces else set()
    bare = _beside_bare_names(modules)
    pool = [short for short in _shorts() if short not in alone]
    new: dict[str, str] = {}
    for name in sorted(known, key=lambda each: (-uses[each], each)):
        taken = {new[other] for other in conflicts[name] if other in new}
        if name in in_modules:
            taken |= tops | local
        elif name in bare:
            taken |= tops
        new[name] = next(short for short in pool if short not in taken)
    return {name: short for name, short in new.items() if name != short}


def _beside_bare_names(modules: Mapping[str, Module]) -> set[str]:
    """Names of classes whose bodies look something of ours up: it must not be found in the class."""
    found: set[str] = set()
    for module in modules.values():
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                inside = [*statements(node.body)]
                defaults = [d for each in inside if isinstance(each, Function) for d in _defaults(each)]
                looked = [*inside, *(part for each in defaults for part in ast.walk(each))]
                if any(isinstance(part, ast.Name) and part.id in module.known for part in looked):
                    found |= _members_of(node, set())
    return found


def _defaults(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    return [*function.args.defaults, *(each for each in function.args.kw_defaults if each)]
