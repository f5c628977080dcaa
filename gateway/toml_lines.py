"""Where a key stands in a TOML file: the parser of the standard library does not tell.

Only used to point at a line in an error, on text that has already parsed (so its structure is known to be valid).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_KEY_PART = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([A-Za-z0-9_-]+))\s*')
_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(?:#.*)?$")


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line (from 1) of `path`, or of the nearest table above it; 1 when nothing of it is in the text."""
    best, depth = 1, 0
    for line, found in _keys(text):
        common = 0
        for left, right in zip(found, path, strict=False):
            if left != right:
                break
            common += 1
        if common > depth and common == min(len(found), len(path)):
            best, depth = line, common
    return best


def _keys(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    """Each header and each key of the text with its line; elements of arrays of tables are counted."""
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    skip_until = ""  # inside a multi-line string: what ends it
    depth = 0  # inside a multi-line array
    for number, line in enumerate(text.splitlines(), 1):
        if skip_until:
            if skip_until in line:
                skip_until = ""
            continue
        if depth > 0:
            depth += _brackets(line)
            continue
        header = _HEADER.match(line)
        if header:
            parts = tuple(_parts(header.group(2)))
            if header.group(1) == "[[":
                counts[parts] = counts.get(parts, -1) + 1
                table = (*parts, counts[parts])
            else:
                table = (*parts[:-1], counts[parts[:-1]], parts[-1]) if parts[:-1] in counts else parts
            yield number, table
            continue
        key, equals, value = line.partition("=")
        if not equals or key.lstrip().startswith("#"):
            continue
        parts = tuple(_parts(key))
        if parts:
            yield number, (*table, *parts)
            for inner in re.finditer(r"[{,]\s*([A-Za-z0-9_-]+)\s*=", value):  # an inline table on this line
                yield number, (*table, *parts, inner.group(1))
        value = value.strip()
        for quotes in ('"""', "'''"):
            if value.startswith(quotes) and quotes not in value[3:]:
                skip_until = quotes
        if not skip_until:
            depth = _brackets(value)


def _parts(key: str) -> Iterator[str | int]:
    position = 0
    while position < len(key):
        part = _KEY_PART.match(key, position)
        if not part:
            return
        yield next(group for group in part.groups() if group is not None)
        position = part.end()
        if position < len(key) and key[position] == ".":
            position += 1


def _brackets(line: str) -> int:
    """Opened minus closed brackets outside strings and comments."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "", line).split("#")[0]
    return bare.count("[") - bare.count("]")
