"""One module of a board's program written anew, so that it can stand in one file with others (tools/firmware_bundle.py).

What an imported name means is followed to where it is defined; there it has a new name, and whoever speaks of it says that
name. What is local to a function stays.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import NamedTuple

from tools.errors import SteigerError
from tools.firmware_module import APP, Module, Target, bound_in, fields_of, imported


class Names:
    """The new names. `top[module, name]` of what stands at the top of a member, `attribute[name]` of all that is written
    behind a dot; what is in neither keeps its name."""

    def __init__(self, top: dict[Target, str], attribute: dict[str, str]) -> None:
        self.top = top
        self.attribute = attribute

    def behind_dot(self, name: str) -> str:
        return self.attribute.get(name, name)


class _Scope(NamedTuple):
    is_class: bool
    bound: set[str]
    aliases: dict[str, Target]


class Rewriter(ast.NodeTransformer):
    """Writes one module anew. `needed` are the new names of members that it refers to."""

    def __init__(self, module: Module, modules: dict[str, Module], kept: list[str], names: Names) -> None:
        self._module = module
        self._modules = modules
        self._members = set(kept)
        self._names = names
        self._scopes: list[_Scope] = []
        self._classes: list[str] = []  # and functions, on the way to what is visited
        self.needed: set[str] = set()

    def run(self) -> list[ast.stmt]:
        """The statements of the new module."""
        body: list[ast.stmt] = []
        for node in self._module.tree.body:
            new = self.visit(node)
            body += new if isinstance(new, list) else [new] if new is not None else []
        return body

    # --- what a name means ---

    def origin(self, target: Target) -> Target:
        """Where a thing is defined that a module may only have imported itself."""
        while target.name and target.module in self._modules:
            module = self._modules[target.module]
            if target.name in module.bound:
                return target
            if target.name not in module.aliases:
                raise SteigerError(f"there is no {target.name} in {target.module}", where=self._module.name)
            target = module.aliases[target.name]
        return target

    def _meaning(self, name: str) -> tuple[str, Target | None]:
        """("local" | "class" | "top" | "other", the target if it is one of ours)."""
        for depth, scope in enumerate(reversed(self._scopes)):
            if scope.is_class and depth:
                continue
            if name in scope.aliases:
                return "ours", scope.aliases[name]
            if name in scope.bound:
                return ("class" if scope.is_class else "local"), None
        if name in self._module.aliases:
            return "ours", self._module.aliases[name]
        return ("top" if name in self._module.bound else "other"), None

    def _top(self, name: str) -> str:
        """The new name of what this module binds at its top."""
        if self._module.name in self._members:
            new = self._names.top[Target(self._module.name, name)]
            self.needed.add(new)
            return new
        return self._names.behind_dot(name)

    def _refer(self, target: Target, node: ast.expr) -> ast.expr | None:
        """An expression for one of ours; None: it is as it was imported."""
        target = self.origin(target)
        if target.module not in self._members:
            return None
        if not target.name:
            raise SteigerError(
                f"module {target.module} is used as an object, which it is not on a board",
                where=f"{self._module.name}, line {node.lineno}",
            )
        new = self._names.top[target]
        self.needed.add(new)
        return ast.copy_location(ast.Name(new, ast.Load()), node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        kind, target = self._meaning(node.id)
        if target is not None:
            return self._refer(target, node) or self._imported_as(node)
        if kind == "class":
            node.id = self._names.behind_dot(node.id)
        elif kind == "top":
            node.id = self._top(node.id)
        return node

    def _imported_as(self, node: ast.Name) -> ast.Name:
        if not any(node.id in scope.aliases for scope in self._scopes) and self._module.name not in self._members:
            node.id = self._names.behind_dot(node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            _, target = self._meaning(node.value.id)
            if target is not None and not target.name and target.module in self._members:
                found = self._refer(Target(target.module, node.attr), node)
                if found is not None:
                    assert isinstance(found, ast.Name)
                    found.ctx = node.ctx
                    return found
        node.attr = self._names.behind_dot(node.attr)
        self.generic_visit(node)
        return node

    # --- imports ---

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module not in self._modules or node.level:
            return self._bind_external(node)
        left = []
        at_top = not self._scopes
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            local = alias.asname or alias.name
            if whole in self._modules:
                if whole in self._members:
                    continue
                new = self._names.behind_dot(local) if at_top else local
                left.append(ast.alias(alias.name, new if new != alias.name else None))
                continue
            origin = Target(node.module, alias.name)
            if alias.name in self._modules[node.module].known:
                origin = self.origin(origin)
            elif node.module in self._members:  # the gateway's half of a module: not on a board
                left.append(alias)
                continue
            if origin.module in self._members:
                continue
            there = self._names.behind_dot(alias.name)
            new = self._names.behind_dot(local) if at_top else local
            left.append(ast.alias(there, new if new != there else None))
        node.names = left
        return node if left else (None if at_top else ast.copy_location(ast.Pass(), node))

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        node.names = [alias for alias in node.names if alias.name not in self._members]
        return self._bind_external(node) if node.names else (None if not self._scopes else ast.Pass())

    def _bind_external(self, node: ast.Import | ast.ImportFrom) -> ast.AST:
        if not self._scopes:
            for alias in node.names:
                local = alias.asname or alias.name
                new = self._top(local)
                alias.asname = new if new != alias.name else None
        return node

    # --- scopes ---

    def _inside(self, scope: _Scope, nodes: list[ast.stmt]) -> list[ast.stmt]:
        self._scopes.append(scope)
        new = [self.visit(node) for node in nodes]
        self._scopes.pop()
        return [node for node in new if not isinstance(node, ast.Pass)] or [ast.Pass()]

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._classes.append(node.name)
        node.origin = (self._module.name, ".".join(self._classes), node.lineno)  # type: ignore[union-attr]
        node.name = self._bind(node.name)
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        self._arguments(node.args)
        node.body = self._inside(self._function(node, node.body), node.body)
        self._classes.pop()
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._arguments(node.args)
        self._scopes.append(self._function(node, [node.body]))
        node.body = self.visit(node.body)
        self._scopes.pop()
        return node

    def _arguments(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(each) for each in arguments.defaults]
        arguments.kw_defaults = [each and self.visit(each) for each in arguments.kw_defaults]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: Iterable[ast.AST]) -> _Scope:
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *(a for a in (given.vararg, given.kwarg) if a)]
        body = list(body)
        aliases = imported(body, self._modules)
        given_names = {each.arg for each in every}
        for name in sorted(set(aliases) & (bound_in(body, imports=False) | given_names)):
            if self.origin(aliases.pop(name)).module in self._members:
                raise SteigerError(f"{name} is imported and bound otherwise in one function", where=self._module.name)
        return _Scope(False, bound_in(body) | given_names, aliases)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._classes.append(node.name)
        node.name = self._bind(node.name)
        node.bases = [self.visit(each) for each in node.bases]
        node.decorator_list = [self.visit(each) for each in node.decorator_list]
        node.body = self._inside(_Scope(True, bound_in(node.body), {}), node.body)
        self._classes.pop()
        return node

    def _bind(self, name: str) -> str:
        """The new name of a function or class that is defined here."""
        if not self._scopes:
            return self._top(name)
        return self._names.behind_dot(name) if self._scopes[-1].is_class else name

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> ast.AST:
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        self._scopes.append(_Scope(False, bound_in(each.target for each in node.generators), {}))
        for number, generator in enumerate(node.generators):
            generator.target = self.visit(generator.target)
            if number:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(each) for each in generator.ifs]
        if isinstance(node, ast.DictComp):
            node.key, node.value = self.visit(node.key), self.visit(node.value)
        else:
            node.elt = self.visit(node.elt)
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Tuple(self, node: ast.Tuple) -> ast.AST:
        """A row of a table, ("module", "name") of what is loaded by its name: it is in the one module now."""
        self.generic_visit(node)
        words = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len(words) == len(node.elts) == 2 and words[0] in self._members:
            target = Target(words[0], words[1])
            if target in self._names.top:
                node.elts = [ast.Constant(APP), ast.Constant(self._names.top[target])]
        return node

    def visit_Delete(self, node: ast.Delete) -> ast.AST | None:
        """What was imported from a member has no name of its own here that could go."""
        node.targets = [each for each in node.targets if not self._is_of_member(each)]
        self.generic_visit(node)
        return node if node.targets else (None if not self._scopes else ast.copy_location(ast.Pass(), node))

    def _is_of_member(self, node: ast.expr) -> bool:
        target = self._meaning(node.id)[1] if isinstance(node, ast.Name) else None
        return target is not None and self.origin(target).module in self._members

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._top(name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name and not self._scopes:
            node.name = self._top(node.name)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        fields = fields_of(node)
        if fields:
            node.args = [ast.Constant("_"), ast.Constant(" ".join(self._names.behind_dot(name) for name in fields))]
        return node
