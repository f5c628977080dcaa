"""Single keys from a terminal, without waiting for them."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty


class Keyboard:
    """Context manager; `key()` gives one pressed key or "". Without a terminal it gives none."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        self._before: list[object] | None = None

    def __enter__(self) -> Keyboard:
        if self._fd >= 0:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def key(self, timeout_s: float) -> str:
        """Wait up to `timeout_s` for a key."""
        ready, _, _ = select.select([self._fd] if self._fd >= 0 else [], [], [], timeout_s)
        return os.read(self._fd, 1).decode(errors="replace") if ready else ""
