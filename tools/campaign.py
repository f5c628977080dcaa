"""Many runs: their results in a file, a line a run; what is kept of one; what it cost."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

R = TypeVar("R", bound=msgspec.Struct)


def results_in(path: Path, kind: type[R]) -> Iterator[R]:
    """What earlier calls left; half a line at the end is a run that was interrupted."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError:
            continue


def append_result(path: Path, result: msgspec.Struct) -> None:
    """One more line, written at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, msgspec.json.encode(result) + b"\n")
    finally:
        os.close(fd)


def keep_folder(folder: Path, keep: Path, name: str) -> None:
    """Copy a run's folder to `keep`/`name`, sockets left out."""
    keep.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, keep / name, dirs_exist_ok=True, ignore=_no_sockets)


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not os.path.isfile(f"{folder}/{name}") and not os.path.isdir(f"{folder}/{name}")]


def cpu_s() -> float:
    """Of this process and of those that it has waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )
