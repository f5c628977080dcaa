"""Writes tools/micropython_names.txt anew, from the stubs of MicroPython that the environment holds."""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

MODULES = (
    "array", "asyncio", "binascii", "builtins", "collections", "cryptolib", "deflate", "errno", "esp", "esp32", "framebuf", "gc",
    "hashlib", "heapq", "io", "json", "machine", "math", "micropython", "neopixel", "network", "onewire", "os", "platform",
    "random", "re", "select", "socket", "struct", "sys", "time", "tls", "vfs",
)  # fmt: skip
TABLE = Path(__file__).resolve().parents[2] / "tools" / "micropython_names.txt"
HEAD = (
    "# Names that MicroPython's modules and their objects have: no short name of the firmware may hide them, and none of these\n"
    "# is ever shortened (tools/firmware_symbols.py). Written by tests/sim/renew_micropython_names.py.\n"
)


def _names(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found.update(each.id for each in node.targets if isinstance(each, ast.Name))
    return {name for name in found if not name.startswith("_")}


def table() -> str:
    """What the file should hold."""
    stubs = Path(sysconfig.get_path("purelib"))
    lines = []
    for module in MODULES:
        found: set[str] = set()
        for base in (stubs / module, stubs / "stdlib" / module):
            if base.with_suffix(".pyi").exists():
                found |= _names(base.with_suffix(".pyi"))
            for path in sorted(base.rglob("*.pyi")) if base.is_dir() else ():
                found |= _names(path)
        assert found, module
        lines.append(f"{module}: {' '.join(sorted(found))}\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    TABLE.write_text(table())
