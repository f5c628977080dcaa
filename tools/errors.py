"""Errors that the command line shows: what happened, to which board or port, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_NO_CONNECTION = 3


class SteigerError(Exception):
    """Shown as `error: what — where. next step` on stderr; ends the command with `exit_code`, never a traceback."""

    exit_code = EXIT_FAILURE

    def __init__(self, what: str, *, where: str = "", next_step: str = "", exit_code: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        text = f"{self.what} — {self.where}" if self.where else self.what
        if not self.next_step:
            return text
        return f"{text} {self.next_step}" if text.endswith((".", "?", "!")) else f"{text}. {self.next_step}"


class UsageError(SteigerError):
    """The command was called wrongly, or a file it was given is wrong (exit code 2)."""

    exit_code = EXIT_USAGE


class NoConnection(SteigerError):
    """A port, a board, a gateway or a broker could not be reached (exit code 3)."""

    exit_code = EXIT_NO_CONNECTION


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A file that a person named is written: UsageError if the disk, its path or its mode forbid it."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"the file cannot be written: {error.strerror or error}",
            where=str(path),
            next_step="Check its path and mode",
        ) from None
