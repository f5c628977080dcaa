"""What the outbox knows beside its records: next seq, totals, grid positions, what is acknowledged.

Each segment begins with it (CHECKPOINT) and its entries change it in one way, `apply`, at the time of writing and
when a boot reads the newest segment again: what flash says and what RAM says cannot differ.
"""

import struct

from firmware.outbox import entries
from firmware.outbox.acked import Acked
from wire import UTC
from wire.messages import NOT_SAMPLED, OFF, OVERWRITTEN, REFUSED

CHECKPOINT_RANGES = (
    16  # acknowledged ranges a checkpoint keeps; more are sent again after a boot, which costs air, not data
)


class State:
    """Of one life. `grids`: profile short -> [window_s, next window index, unplaced windows]."""

    def __init__(self, life: int) -> None:  # seldom
        self.life = life
        self.next_seq = 0
        self.totals = [0, 0, 0, 0, 0, 0]
        self.grids: "dict[int, list[int]]" = {}
        self.acked = Acked()
        self.dropping = -1  # number of a segment whose deletion was decided
        self._loaded = False  # from a checkpoint: what follows it has no holes

    def acked_body(self) -> bytes:
        ranges = self.acked.ranges[:CHECKPOINT_RANGES]
        out = struct.pack("<IB", self.acked.cum, len(ranges))
        for first, end in ranges:
            out += struct.pack("<II", first, end)
        return out

    def checkpoint(self, number: int) -> bytes:  # seldom
        out = struct.pack("<BIII", entries.FORMAT, self.life, number, self.next_seq)
        out += struct.pack("<IIIIII", *self.totals) + self.acked_body() + bytes([len(self.grids)])
        for short, (window_s, index, unplaced) in self.grids.items():
            out += struct.pack("<BIII", short, window_s, index, unplaced)
        return out

    def load(self, body: bytes) -> bool:  # seldom
        """Take a checkpoint's state; False if it is of another format or life."""
        form, life, _, next_seq = struct.unpack_from("<BIII", body, 0)
        if form != entries.FORMAT or life != self.life:
            return False
        self._loaded = True
        self.next_seq = next_seq
        self.totals = list(struct.unpack_from("<IIIIII", body, 13))
        at = self._load_acked(body, 37)
        self.grids = {}
        count = body[at]
        at += 1
        for _ in range(count):
            short, window_s, index, unplaced = struct.unpack_from("<BIII", body, at)
            self.grids[short] = [window_s, index, unplaced]
            at += 13
        return True

    def _load_acked(self, body: bytes, at: int) -> int:  # seldom
        acked = Acked()
        acked.cum = struct.unpack_from("<I", body, at)[0]
        end = at + 5 + 8 * body[at + 4]
        for place in range(at + 5, end, 8):
            acked.ranges.append(struct.unpack_from("<II", body, place))
        self.acked = acked
        return end

    def apply(self, kind: int, body: bytes) -> None:
        """Take over what an entry changes."""
        if kind == entries.RECORD:
            seq, short = struct.unpack_from("<IB", body, 0)
            self._reach(seq)
            self.next_seq = seq + 1
            self.totals[entries.SCHEDULED] += 1
            self.totals[entries.SEALED] += 1
            self._account(short, entries.unpack_time(body, 5)[0], 1)
        elif kind == entries.GAP:
            self._apply_gap(body)
        elif kind == entries.HEALTH or kind == entries.EVENT:
            self._reach(struct.unpack_from("<I", body, 0)[0])
            self.next_seq += 1
        elif kind == entries.ACKED:
            self._load_acked(body, 0)
        elif kind == entries.GRID:
            short, window_s, index, unplaced = struct.unpack("<BIII", body)
            if window_s:
                self.grids[short] = [window_s, index, unplaced]
            else:
                self.grids.pop(short, None)
        elif kind == entries.DROP:
            self.dropping = struct.unpack("<I", body)[0]

    def _apply_gap(self, body: bytes) -> None:
        first, count, cause, short, carried, time = entries.unpack_gap(body)
        if carried:
            return
        if cause == OVERWRITTEN:
            self.totals[entries.OVERWRITTEN] += count
            return
        self._reach(first)
        self.next_seq = first + count
        if cause == OFF:
            column = entries.OFF
        elif cause == NOT_SAMPLED:
            column = entries.NOT_SAMPLED
        elif cause == REFUSED:
            column = entries.REFUSED
        else:
            return  # VOID: seqs that no window had
        self.totals[entries.SCHEDULED] += count
        self.totals[column] += count
        self._account(short, time, count)

    def _reach(self, seq: int) -> None:
        """The next entry has this seq. What is left out before it was written once and is lost: it counts as windows,
        so that the gateway's audit sees totals that nothing matches."""
        if self._loaded and seq > self.next_seq:
            self.totals[entries.SCHEDULED] += seq - self.next_seq
        self.next_seq = max(self.next_seq, seq)

    def _account(self, short: int, time: "tuple | None", count: int) -> None:
        """`count` windows from the one at `time` on have their seqs."""
        grid = self.grids.get(short)
        if grid is None or time is None:
            return
        if time[0] == UTC:
            index = (time[1] - 1) // grid[0] + count
            if index > grid[1]:
                grid[1] = index
        else:
            grid[2] += count
