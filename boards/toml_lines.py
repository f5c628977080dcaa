"""The line of a TOML text at which a key path stands, for error messages (tomllib keeps no positions)."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")
_INLINE_KEY = re.compile(r"[{,]\s*([A-Za-z0-9_-]+)\s*=")
_INLINE_TABLE = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}")


def find_line(text: str, path: Path) -> int:
    """The line (from 1) of `path`; failing that of the longest part of it that is there, failing that 1."""
    lines = key_lines(text)
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def key_lines(text: str) -> dict[Path, int]:
    """Line of each table and key; elements of arrays of tables are counted from 0. For text that tomllib has accepted."""
    lines: dict[Path, int] = {}
    table: Path = ()
    array: Path = ()  # inside a list of inline tables that goes over several lines
    element = 0
    for number, line in enumerate(text.splitlines(), 1):
        if array:
            for inline in _INLINE_TABLE.findall(line):
                _inline((*array, element), inline, number, lines)
                element += 1
            if line.lstrip().startswith("]"):
                array = ()
        elif header := _HEADER.match(line):
            table = _table(_names(header.group(2)), header.group(1) == "[[", lines)
            for length in range(1, len(table) + 1):
                lines.setdefault(table[:length], number)
        elif assignment := _ASSIGNMENT.match(line):
            path = table + _names(assignment.group(1))
            value = line[assignment.end() :].strip()
            lines.setdefault(path, number)
            if value.startswith("["):
                for element, inline in enumerate(_INLINE_TABLE.findall(value)):
                    _inline((*path, element), inline, number, lines)
                array, element = (() if "]" in value else path), 0
            else:
                _inline(path, value, number, lines)
    return lines


def _inline(path: Path, inline: str, number: int, lines: dict[Path, int]) -> None:
    """An inline table and its keys."""
    lines.setdefault(path, number)
    for key in _INLINE_KEY.findall(inline):
        lines.setdefault((*path, key), number)


def _names(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _table(names: Path, is_array: bool, lines: dict[Path, int]) -> Path:
    """The path of a header, with the index of each array of tables that it passes."""
    path: Path = ()
    for at, name in enumerate(names):
        path = (*path, name)
        count = 0
        while (*path, count) in lines:
            count += 1
        if at == len(names) - 1 and is_array:
            return (*path, count)
        if count:
            path = (*path, count - 1)
    return path
