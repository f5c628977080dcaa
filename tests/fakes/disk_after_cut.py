"""What may be on a disk when the power went at an operation of a trace: what was synced, and of the rest whatever the
disk likes.

Kept whole, lost whole, or any part of it in any combination: a page torn at a sector or at a byte, with rubbish where it
was interrupted; a file grown, its data not written; a truncation done or not; a name made, removed or moved, or not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fakes.disk_trace import CREATE, REMOVE, RENAME, SYNC, SYNC_DIRECTORY, TRUNCATE, WRITE, Op

SECTOR = 512
KEPT, LOST, TORN = "kept", "lost", "torn"  # else "mixed <seed>"
Image = dict[str, bytes]  # by name


class Disk:
    """Follows a trace; at every point it gives the images that a cut may leave."""

    def __init__(self, before: Image) -> None:
        self._durable: dict[int, bytes] = dict(enumerate(before[name] for name in sorted(before)))
        self._names = {name: number for number, name in enumerate(sorted(before))}
        self._pending: dict[int, list[Op]] = {}
        self._names_pending: list[Op] = []

    @property
    def unsynced(self) -> int:
        """Operations that a cut now might undo."""
        return sum(map(len, self._pending.values())) + len(self._names_pending)

    def apply(self, op: Op) -> None:
        if op.what in (WRITE, TRUNCATE):
            self._pending.setdefault(op.file, []).append(op)
        elif op.what == SYNC:
            content = bytearray(self._durable.get(op.file, b""))
            for done in self._pending.pop(op.file, []):
                _apply(content, done)
            self._durable[op.file] = bytes(content)
        elif op.what == SYNC_DIRECTORY:
            for done in self._names_pending:
                _rename(self._names, done)
            self._names_pending = []
        else:
            self._names_pending.append(op)

    def image(self, variant: str) -> Image:
        """The files as the cut leaves them."""
        if variant == LOST:
            return {name: self._durable.get(file, b"") for name, file in self._names.items()}
        if variant == KEPT:
            return self._with(lambda _: True, None)
        if variant == TORN:
            return self._with(lambda _: True, random.Random(f"torn {self.unsynced}"), last_only=True)
        chance = random.Random(variant)
        share = chance.choice((0.15, 0.5, 0.85))
        return self._with(lambda _: chance.random() < share, chance)

    def _with(self, keeps, chance: random.Random | None, last_only: bool = False) -> Image:  # type: ignore[no-untyped-def]
        names = dict(self._names)
        for op in self._names_pending:
            if keeps(op):
                _rename(names, op)
        image = {}
        for name, file in names.items():
            content = bytearray(self._durable.get(file, b""))
            pending = self._pending.get(file, [])
            for number, op in enumerate(pending):
                kept = keeps(op)
                if chance is None or op.what == TRUNCATE:
                    if kept:
                        _apply(content, op)
                elif last_only:
                    _apply(content, op) if number < len(pending) - 1 else _tear(content, op, chance)
                elif not kept:
                    if chance.random() < 0.3 and len(content) < op.at + len(op.data):
                        grown = op.at + len(op.data) - len(content)  # the size is there, the data is not
                        content += bytes(grown) if chance.random() < 0.5 else chance.randbytes(grown)
                elif chance.random() < 0.25:
                    _tear(content, op, chance)
                else:
                    _apply(content, op)
            image[name] = bytes(content)
        return image


def _rename(names: dict[str, int], op: Op) -> None:
    if op.what == CREATE:
        names[op.name] = op.file
    elif op.what == REMOVE:
        names.pop(op.name, None)
    elif op.what == RENAME and op.name in names:
        names[op.to] = names.pop(op.name)


def _apply(content: bytearray, op: Op) -> None:
    if op.what == TRUNCATE:
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))
        return
    if len(content) < op.at:
        content.extend(bytes(op.at - len(content)))
    content[op.at : op.at + len(op.data)] = op.data


def _tear(content: bytearray, op: Op, chance: random.Random) -> None:
    """Some sectors of it arrive, in any order; or a part up to some byte, and rubbish up to the end of that sector."""
    if op.what == TRUNCATE:
        return
    if chance.random() < 0.5:
        for at in range(0, len(op.data), SECTOR):
            if chance.random() < 0.5:
                _apply(content, op._replace(at=op.at + at, data=op.data[at : at + SECTOR]))
        return
    done = chance.randrange(len(op.data) + 1)
    rubbish = chance.randbytes(min(SECTOR, len(op.data) - done))
    _apply(content, op._replace(data=op.data[:done] + rubbish))


def write(image: Image, folder: Path) -> None:
    """Lay the image out in an empty folder."""
    for name, content in image.items():
        (folder / name).write_bytes(content)


def structural(ops: Sequence[Op]) -> Iterator[int]:
    """The cuts around whatever is no plain write: just before it and just after."""
    for at, op in enumerate(ops):
        if op.what != WRITE:
            yield at
            yield at + 1
