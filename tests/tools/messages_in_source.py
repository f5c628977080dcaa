"""The messages that stand in our source, as templates with `{}` where a value goes: for tests of translations and documents."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOLD_BY = ("said", "_said", "tell")  # progress lines


def template(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may give, with `{}` for each value in them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield "".join(parts)
    elif isinstance(node, ast.IfExp):
        yield from template(node.body)
        yield from template(node.orelse)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left in template(node.left):
            for right in template(node.right):
                yield left + right


def _name(func: ast.expr) -> str:
    if isinstance(func, ast.Attribute):
        return "super" if isinstance(func.value, ast.Call) and func.attr == "__init__" else func.attr
    return func.id if isinstance(func, ast.Name) else ""


def errors_and_progress(path: str) -> Iterator[str]:
    """What a module says to a person: first argument and next step of its errors, and its progress lines."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "_next_step":
            for part in ast.walk(node):
                if isinstance(part, ast.Return):
                    yield from template(part.value)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("_MEANINGS", "step", "what", "hint"):
            if isinstance(node.value, ast.Tuple):
                for row in node.value.elts:
                    if isinstance(row, ast.Tuple):
                        yield from template(row.elts[1])
            else:
                yield from template(node.value)
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        if name in TOLD_BY:
            yield from template(node.args[0] if node.args else None)
        elif name.endswith(("Error", "Missing", "Denied", "Busy", "NoConnection", "NoAnswer", "super", "_damaged")):
            if node.args:
                yield from template(node.args[-1] if name == "_damaged" else node.args[0])
            for keyword in node.keywords:
                if keyword.arg == "next_step":
                    yield from template(keyword.value)


def all_texts(*folders: str) -> set[str]:
    """Every text in the source below `folders`, as templates: what code can print is among them."""
    found: set[str] = set()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.expr) and id(node) not in docstrings:
                    found.update(template(node))
    return found
