"""The board's program: runs under MicroPython 1.29 on the board and, for unit tests, under CPython."""

import sys


def forget(*names: str) -> None:
    """Modules whose code is not needed for long: it may leave the heap, and is loaded again when somebody asks for it."""
    for name in names:
        if name in sys.modules:
            package, _, leaf = name.rpartition(".")
            del sys.modules[name]
            delattr(sys.modules[package], leaf)
