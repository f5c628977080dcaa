"""Log lines as text on the console, between frames: `I who: what, value, reason`.

A level that is off costs one call of an empty function. A line holds no '~' (0x7E would end a frame) and never a key.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

ERROR = 1
WARNING = 2
INFO = 3
DEBUG = 4
LINE_MAX = 200  # characters; a longer line is cut, so that text never crowds out frames


def _silent(who: str, text: str, *args: "Any") -> None:
    """A level that is off."""


class Log:
    """`write` takes raw bytes; it is replaced when the console opens."""

    def __init__(self, write: "Callable[[bytes], Any]", level: int = INFO) -> None:
        self._write = write
        self.set_level(level)

    def set_level(self, level: int) -> None:  # seldom
        """Lines above `level` become no-ops."""
        self.error = self._error if level >= ERROR else _silent
        self.warning = self._warning if level >= WARNING else _silent
        self.info = self._info if level >= INFO else _silent
        self.debug = self._debug if level >= DEBUG else _silent

    def _line(self, mark: str, who: str, text: str, args: tuple) -> None:
        line = "%s %s: %s" % (mark, who, text % args if args else text)
        self._write(line[:LINE_MAX].replace("~", "-").encode() + b"\r\n")

    def _error(self, who: str, text: str, *args: "Any") -> None:
        self._line("E", who, text, args)

    def _warning(self, who: str, text: str, *args: "Any") -> None:
        self._line("W", who, text, args)

    def _info(self, who: str, text: str, *args: "Any") -> None:
        self._line("I", who, text, args)

    def _debug(self, who: str, text: str, *args: "Any") -> None:
        self._line("D", who, text, args)
