"""Power that goes at a chosen change of the file system, for firmware under CPython.

As littlefs does it: what is written to a file is there when the file is closed, all of it or nothing; a name changes at
once.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

CHANGES = ("rename", "remove", "mkdir", "rmdir")


class Cut(BaseException):
    """The power goes."""


class _Written(io.BytesIO):
    def __init__(self, fuse: Fuse, path: str, text: bool) -> None:
        super().__init__()
        self._fuse = fuse
        self._path = path
        self._text = text

    def write(self, data: Any) -> int:
        return super().write(data.encode() if self._text else data)

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            super().close()
            self._fuse.step(f"write {self._path}")
            with builtins.open(self._path, "wb") as f:
                f.write(content)


class Fuse:
    """`left`: so many changes still happen; None: all of them. `seen` names them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, modules: Iterable[ModuleType]) -> None:
        self.left: int | None = None
        self.seen: list[str] = []
        for module in modules:
            monkeypatch.setattr(module, "open", self._open, raising=False)
            if hasattr(module, "os"):
                monkeypatch.setattr(module, "os", self)

    def step(self, what: str) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Cut(what)
            self.left -= 1
        self.seen.append(what)

    def _open(self, path: str, mode: str = "r", *more: Any) -> Any:
        return _Written(self, path, "b" not in mode) if "w" in mode else builtins.open(path, mode, *more)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGES:
            return real

        def change(*arguments: Any) -> Any:
            self.step(f"{name} {arguments[0]}")
            return real(*arguments)

        return change
