"""Files as littlefs keeps them: a write is there whole once the file is closed, or not at all. In memory, with a power that
can be cut at each write."""

from __future__ import annotations

import io
import os
from types import ModuleType
from typing import Any

import pytest


class PowerCut(BaseException):
    """No code of the board runs on."""


class _Written(io.BytesIO):
    def __init__(self, flash: AtomicFlash, path: str) -> None:
        super().__init__()
        self._flash = flash
        self._path = path

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._flash.commit(self._path, data)


class AtomicFlash:
    """`cut_in`: the power goes at the so many-th write from now on, and `kept` says whether that one is kept; `refuse`:
    so many writes are refused."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.writes = 0
        self.cut_in: int | None = None
        self.kept = False
        self.refuse = 0

    def open(self, path: str, mode: str = "r", *more: Any) -> io.BytesIO:
        if "w" in mode:
            if self.refuse:
                self.refuse -= 1
                raise OSError(28, "no space")
            return _Written(self, path)
        if path not in self.files:
            raise OSError(2, os.strerror(2))
        return io.BytesIO(self.files[path])

    def commit(self, path: str, data: bytes) -> None:
        if self.cut_in is not None:
            self.cut_in -= 1
            if self.cut_in < 0:
                self.cut_in = None
                if self.kept:
                    self.files[path] = data
                raise PowerCut
        self.writes += 1
        self.files[path] = data

    def under(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
        """Let `module` open files here."""
        monkeypatch.setattr(module, "open", self.open, raising=False)
