"""A seeded mutational fuzzer: genuine inputs, changed a little or much. The same seed gives the same inputs everywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

SIZE_MAX = 4096  # bytes of an input
AWKWARD = (0x00, 0x01, 0x03, 0x04, 0x20, 0x7D, 0x7E, 0x7F, 0x80, 0xA3, 0xB0, 0xFF)


class Mutator:
    """`make()` gives the next input: a member of the corpus after a few changes, now and then noise."""

    def __init__(self, seed: int, corpus: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._random = random.Random(seed)
        self._corpus = list(corpus)
        self._words = list(words)
        self._ways: list[Callable[[bytearray], None]] = [
            self._flip, self._flip, self._set, self._insert, self._delete, self._repeat, self._splice, self._cut,
        ]  # fmt: skip
        if words:
            self._ways += [self._word] * 3

    def make(self) -> bytes:
        chance = self._random
        if chance.random() < 0.03:
            return chance.randbytes(chance.randrange(300))
        data = bytearray(chance.choice(self._corpus))
        for _ in range(1 if chance.random() < 0.4 else chance.randrange(2, 9)):
            chance.choice(self._ways)(data)
        return bytes(data[:SIZE_MAX])

    def _place(self, data: bytearray) -> int:
        return self._random.randrange(len(data) + 1)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] = self._random.choice(AWKWARD)

    def _insert(self, data: bytearray) -> None:
        at = self._place(data)
        data[at:at] = self._random.randbytes(self._random.randrange(1, 5))

    def _delete(self, data: bytearray) -> None:
        at = self._place(data)
        del data[at : at + self._random.randrange(1, 9)]

    def _repeat(self, data: bytearray) -> None:
        at = self._place(data)
        piece = data[at : at + self._random.randrange(1, 9)]
        data[at:at] = piece * self._random.choice((1, 2, 7, 200))

    def _splice(self, data: bytearray) -> None:
        other = self._random.choice(self._corpus)
        at, there = self._place(data), self._random.randrange(len(other) + 1)
        data[at:] = other[there:]

    def _cut(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def _word(self, data: bytearray) -> None:
        """In the middle, or where a line begins."""
        word, at = self._random.choice(self._words), self._place(data)
        if word.endswith(b"\n") or self._random.random() < 0.2:
            at = data.rfind(b"\n", 0, at) + 1
            data[at:at] = word
        else:
            data[at : at + self._random.choice((0, 0, 1, 8))] = word
