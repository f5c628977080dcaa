"""A board on its flash image instead of behind mpremote: what the tools send runs in the real MicroPython, on the real
littlefs, while the board is off. The connection and the supply fail where a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools.board_link import MARK, BoardError
from tools.errors import NoConnection, SteigerError
from tools.sim import image
from tools.sim.flash import Flash


class ImageLink:
    """In place of tools.board_link.BoardLink.

    `lose_before`, `lose_after`: asked with each piece of code; True: the cable drops before it runs, or before its answer
    is back; nothing is heard any more until `plug_in`. `flash.cut_at` cuts the power; it stays off until `plug_in`.
    """

    def __init__(self, flash: Flash, uid: bytes) -> None:
        self.port = "/dev/ttyTEST"
        self.flash = flash
        self.said: list[str] = []
        self.lose_before: Callable[[str], bool] = lambda code: False
        self.lose_after: Callable[[str], bool] = lambda code: False
        self.ran: list[str] = []
        self.resets = 0
        self.cut = False
        self._uid = uid
        self._gone = False

    def __call__(self, port: str, said: Callable[[str], None]) -> ImageLink:
        """The tool connects."""
        return self

    def plug_in(self) -> None:
        """Cable and supply are whole again."""
        self.lose_before = self.lose_after = lambda code: False
        self.flash.cut_at = None
        self.cut = self._gone = False

    def execute(self, code: str, files: dict[str, bytes] | None = None) -> str:
        if self._gone or self.cut or self.lose_before(code):
            self._gone = True
            raise NoConnection("the port is missing or in use", where=self.port)
        self.ran.append(code)
        try:
            text = image.execute(self.flash, code, files=files, uid=self._uid)
        except SteigerError as error:
            done = self.flash.counts["progs"] + self.flash.counts["erases"]
            if self.flash.cut_at is not None and done + 1 >= self.flash.cut_at:
                self.cut = True
                raise NoConnection("the board did not answer within 60 s", where=self.port) from None
            raise BoardError(f"the board said: {error.what.partition('failed: ')[2]}", where=self.port) from None
        if self.lose_after(code):
            self._gone = True
            raise NoConnection("the board did not answer within 60 s", where=self.port)
        return text

    def ask(self, code: str) -> Any:
        return self.ask_and_read(code)[0]

    def ask_and_read(self, code: str) -> tuple[Any, str]:
        text = self.execute(f"{code}\nimport json\nprint({MARK!r} + json.dumps(answer))\n")
        printed, _, told = text.rpartition(MARK)
        return json.loads(told), printed

    def copy(self, folder: Path, names: Sequence[str], done: Callable[[int], None]) -> None:
        self.execute(image._INSTALL, {f"/{name}": (folder / name).read_bytes() for name in names})
        done(len(names))

    def reset(self) -> None:
        self.resets += 1
