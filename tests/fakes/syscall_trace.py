"""strace around a process, and its output as calls: when each began, when it had returned, on which file, with which bytes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CALLS = "read,write,writev,pwrite64,pwritev,fsync,fdatasync"
BYTES_SHOWN = 8_192  # of a buffer: a WAL's frame is 4096 and its header
_CALL = re.compile(r'^(\w+)\((?:\d+<((?:\\x[0-9a-f]{2})*)>)?(?:, "((?:\\x[0-9a-f]{2})*)")?.*\) += (-?\d+)')


class Call(NamedTuple):
    """`began` and `returned` are line numbers of the trace: a smaller one was earlier."""

    name: str
    path: str
    data: bytes
    result: int
    began: int
    returned: int


def command(output: Path, paths: Iterable[Path]) -> list[str]:
    """What to put before a process's command line. `paths`: calls on others are not looked at; they need not exist yet."""
    strace = shutil.which("strace")
    assert strace is not None
    chosen = [word for path in paths for word in ("-P", str(path))]
    shown = ["-y", "-xx", "-s", str(BYTES_SHOWN)]
    return [strace, "-f", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}", *shown, "-o", str(output), *chosen]


def calls(output: Path) -> Iterator[Call]:
    """Finished calls in the order in which they returned."""
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(output.read_text().splitlines()):
        pid, _, text = line.partition(" ")
        text = text.strip()
        began = number
        if text.startswith("<... "):
            began, before = begun.pop(pid)
            text = before + text.partition(" resumed>")[2]
        if text.endswith("<unfinished ...>"):
            begun[pid] = (number, text.removesuffix("<unfinished ...>"))
            continue
        found = _CALL.match(text)
        if found:
            name, path, data, result = found.groups()
            yield Call(name, _bytes(path).decode(), _bytes(data), int(result), began, number)


def _bytes(shown: str | None) -> bytes:
    return bytes.fromhex((shown or "").replace("\\x", ""))
