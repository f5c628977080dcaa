"""The board's program: runs under MicroPython 1.29 on the board and, for unit tests, under CPython."""

import sys


def forget(*names: str) -> None:
    """Modules whose code is not needed for long: it may leave the heap, and is loaded again when somebody asks for it."""
    for name in names:
        if name in sys.modules:
            package, _, leaf = name.rpartition(".")
            del sys.modules[name]
            delattr(sys.modules[package], leaf)


def forget_seldom() -> None:
    """Code that was marked as seldom needed, and was loaded since this was called, leaves the heap (tools/firmware_bundle.py)."""
    for name in list(sys.modules):
        if name.startswith("firmware.s") and name[10:].isdigit():
            forget(name)
