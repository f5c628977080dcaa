"""What a board's heap holds: micropython.mem_info() after a collection, as the simulated board prints it."""

from __future__ import annotations

import re
from typing import NamedTuple

BLOCK_BYTES = 32  # what the 64-bit collector hands out
STREET_HEAP = "240k"  # objects of a 64-bit port are twice an ESP32's, which has 110 to 160 KB
WARM_H = 2  # tracks, windows, batches: everything has been there once
# The live set breathes: vehicles in sight, frames on their way, ranges acknowledged out of order, a list entry for each
# segment of the outbox. 2 KB are 64 objects; a leak of one object an hour's 60 windows would show as 40 KB.
BREATH_BYTES = 2048


class Heap(NamedTuple):
    """After a collection; bytes."""

    total: int
    used: int
    largest: int  # free block
    modules: tuple[str, ...]


def parse_heap(text: str) -> Heap:
    """What the board printed (tools.sim.board.Board.ask_heap)."""
    numbers = re.search(r"GC: total: (\d+), used: (\d+), free: \d+\n.*max free sz: (\d+)\n", text)
    assert numbers is not None, text
    total, used, largest = (int(number) for number in numbers.groups())
    return Heap(total, used, largest * BLOCK_BYTES, tuple(text[numbers.end() :].split()))
