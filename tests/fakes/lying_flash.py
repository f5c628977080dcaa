"""A flash that keeps something else than it was given: one file of it, in one way."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda data: data[:6] + bytes((data[6] ^ 0x10,)) + data[7:],
    "short": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\xff",
}


class _Kept(io.BytesIO):
    """An open file whose content is damaged when it is closed."""

    def __init__(self, path: str, damage: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._path = path
        self._damage = damage

    def close(self) -> None:
        if not self.closed:
            with builtins.open(self._path, "wb") as f:
                f.write(self._damage(self.getvalue()))
        super().close()


def lie_about(monkeypatch: pytest.MonkeyPatch, module: ModuleType, ending: str, damage: str) -> None:
    """From now on what `module` writes to files whose path ends so is kept damaged, until `monkeypatch.undo()`."""

    def lying(path: str, mode: str = "r", *more: Any) -> Any:
        if "w" in mode and path.endswith(ending):
            return _Kept(path, DAMAGES[damage])
        return builtins.open(path, mode, *more)

    monkeypatch.setattr(module, "open", lying, raising=False)
