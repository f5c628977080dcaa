"""Errors that a person has to act on. They carry facts; the command line prints them, never a traceback."""

from __future__ import annotations


class GatewayError(Exception):
    """What happened, to which file, board or port, and what to do next.

    `exit_code` is what a command ends with: 1 failure, 2 wrong usage or configuration, 3 no connection.
    """

    exit_code = 1

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
