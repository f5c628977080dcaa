"""The outbox of one life: append, read, acknowledge, drop the oldest. The format is told in entries.py."""

import binascii
import os
import struct

from firmware.outbox import entries
from firmware.outbox.entries import frame_entry
from firmware.outbox.state import State
from wire.messages import VOID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SEGMENT_MAX = 16384  # bytes; what one deletion frees and one boot reads
ENOSPC = 28
BLOCK_BITS = 12  # flash is given out by 4096 bytes
CHUNK = 1024  # bytes of the one read buffer; holds any entry
SUFFIX = ".seg"


class OutboxFull(Exception):
    """Flash took nothing more although the oldest segment was dropped; retry later."""


class Outbox:
    """`free(path) -> (free blocks, all blocks)`; `leases` guards that no seq comes twice; `budget` in bytes."""

    def __init__(  # seldom
        self, path: str, life: int, leases: "Any", budget: int, free: "Callable[[str], tuple[int, int]]"
    ) -> None:
        self.path = path
        self.state = State(life)
        self.damaged = 0  # segments with bytes that no CRC fits
        self.lost = False  # seqs were given before, and no segment is left
        self.segments: "list[list[int]]" = []  # [number, first seq, size], oldest first
        self._life = life
        self._leases = leases
        self._budget = budget
        self._free = free
        self._buf = bytearray(CHUNK)
        self._file: "Any" = None
        self._closed = False
        self._acked_news = False
        self._void = 0  # seqs of a boot that was cut, never given again: a gap that flash has still to take
        self._room_at = -1  # blocks of the log when flash was last asked for its room, and had some
        self._open()

    # --- reading ---

    def _name(self, number: int) -> str:
        return "%s/%08d%s" % (self.path, number, SUFFIX)

    def _fill(self, number: int, offset: int) -> int:
        try:
            with open(self._name(number), "rb") as f:
                f.seek(offset)
                return f.readinto(self._buf)  # type: ignore[attr-defined,no-any-return]
        except OSError:
            return 0

    def _entry_at(self, at: int, size: int) -> "tuple[int, bytes, int]":
        """(kind, body, next place) in the buffer; kind 0: not whole, -1: CRC does not fit."""
        if at + entries.HEAD > size:
            return 0, b"", at
        head = self._buf[at] | self._buf[at + 1] << 8
        end = at + entries.HEAD + (head & 0xFFF)
        if head & 0xFFF > entries.BODY_MAX or head >> 12 == 0:
            return -1, b"", 0
        if end + 4 > size:
            return 0, b"", at
        body = bytes(self._buf[at + entries.HEAD : end])
        crc = struct.unpack_from("<I", self._buf, end)[0]
        if crc != binascii.crc32(body, binascii.crc32(self._buf[at : at + entries.HEAD])):
            return -1, b"", end + 4
        return head >> 12, body, end + 4

    def entries(self, number: int, offset: int = 0) -> "Iterator[tuple[int, bytes, int, int]]":
        """(kind, body, offset, offset of the next) of a segment from `offset` on. Entries whose CRC does not fit are
        passed over, and kind -1 is yielded once for them. One reader at a time: all share one buffer, none may wait
        while it reads.
        """
        while True:
            size = self._fill(number, offset)
            at = 0
            while True:
                kind, body, following = self._entry_at(at, size)
                if kind <= 0:
                    break
                yield kind, body, offset + at, offset + following
                at = following
            if kind < 0:
                yield -1, b"", offset + at, offset + at
                if not following or self._entry_at(following, size)[0] <= 0:
                    return  # no telling where the next one begins
                at = following
            elif at == 0 or size < CHUNK:
                if at < size:
                    yield -1, b"", offset + at, offset + at  # a torn tail
                return
            offset += at

    # --- opening ---

    def _open(self) -> None:  # seldom
        try:
            os.mkdir(self.path)
        except OSError:
            pass
        numbers = sorted(int(n[: -len(SUFFIX)]) for n in os.listdir(self.path) if n.endswith(SUFFIX))
        start = -1  # newest segment with a readable checkpoint: the state is rebuilt from it on
        for number in numbers:
            size = os.stat(self._name(number))[6]
            if size == 0:  # a cut between creating and syncing
                os.remove(self._name(number))
                continue
            first = -1
            for kind, body, _, _ in self.entries(number):
                if kind == entries.CHECKPOINT and State(self._life).load(body):
                    first = struct.unpack_from("<I", body, 9)[0]
                    start = len(self.segments)
                break
            if first < 0:
                self.damaged += 1
                first = self.segments[-1][1] if self.segments else 0
            self.segments.append([number, first, size])
        clean = bool(self.segments)
        for segment in self.segments[max(start, 0) :] if self.segments else []:
            for kind, body, _, _ in self.entries(segment[0]):
                if kind < 0:
                    self.damaged += 1
                    clean = False
                elif kind == entries.CHECKPOINT:
                    self.state.load(body)
                else:
                    self.state.apply(kind, body)
        if self.state.dropping >= 0:
            self._finish_drop()
        self._void = 0
        if not self.segments:
            self.lost = self._leases.seq > 0
            self.state.next_seq = self._leases.seq
        elif clean:
            self._file = open(self._name(self.segments[-1][0]), "ab")
        self._void = max(0, self._leases.seq - self.state.next_seq)
        self.state.next_seq += self._void
        try:
            if self._file is None:
                self._create()
            if self._void:
                self._append([])
        except OSError:
            pass  # flash takes nothing now: the next entry tries again, and takes the gap along

    def close(self) -> None:
        """Take nothing more; everything is synced already."""
        self._let_go()
        self._closed = True

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                pass  # the port has let go of it all the same

    # --- writing ---

    def _create(self) -> None:  # seldom
        """A new segment, which begins with the state; OSError."""
        number = self.segments[-1][0] + 1 if self.segments else 0
        self._let_go()
        self.state.next_seq -= self._void  # what flash knows
        try:
            head = frame_entry(entries.CHECKPOINT, self.state.checkpoint(number))
            file = open(self._name(number), "wb")
            try:
                file.write(head)
                file.flush()
            except OSError:
                file.close()
                raise
            self._file = file
            self.segments.append([number, self.state.next_seq, len(head)])
            self._acked_news = False
        finally:
            self.state.next_seq += self._void

    def _append(
        self, items: "list[tuple[int, bytes]]", gaps: "Callable[[], Iterator[bytes]] | None" = None
    ) -> "tuple[int, int]":
        """All of `items` by one sync, and before them what is still to be noted; (segment, offset) of the first. The
        state changes only after the sync. `gaps()`: bodies of the gaps that go before `items`, of seqs given before. OSError:
        nobody knows what of it arrived."""
        void = b""
        if self._void:
            void = entries.gap_body(self.state.next_seq - self._void, self._void, VOID, 0, 0, None)
        end = self.state.next_seq
        for kind, body in items:
            end = max(end, entries.span(kind, body)[1])
        self._leases.hold_seqs(end)
        lead = b""
        if self._acked_news:
            lead = frame_entry(entries.ACKED, self.state.acked_body())
        if void:
            lead += frame_entry(entries.GAP, void)
        size = len(lead)
        for _, body in items:
            size += entries.HEAD + len(body) + entries.TAIL
        for body in gaps() if gaps else ():
            size += entries.HEAD + len(body) + entries.TAIL
        if self._file is None or self.segments[-1][2] + size > SEGMENT_MAX:
            self._create()
        file = self._file
        file.write(lead)  # piece by piece, for the heap's sake; one sync makes all of them be
        overwritten = 0
        for body in gaps() if gaps else ():
            file.write(frame_entry(entries.GAP, body))
            overwritten += entries.overwrites(body)
        for kind, body in items:
            file.write(frame_entry(kind, body))
        file.flush()
        self.segments[-1][2] += size
        self._acked_news = False
        self._void = 0
        self.state.totals[entries.OVERWRITTEN] += overwritten
        if void:
            self.state.apply(entries.GAP, void)
        for kind, body in items:
            self.state.apply(kind, body)
        number, _, reached = self.segments[-1]
        return number, reached - size + len(lead)

    def _commit(self, items: "list[tuple[int, bytes]]") -> "tuple[int, int]":
        """`_append`; OutboxFull if flash refused. What room can be made is made, for the next try."""
        if self._closed:
            raise OutboxFull("closed")
        try:
            return self._append(items)
        except OSError as error:
            self._read_again()
            if error.errno == ENOSPC:
                self._make_room()
            raise OutboxFull(error)

    def _read_again(self) -> None:  # seldom
        """A write failed, and nobody knows what of it arrived: flash tells."""
        self._let_go()
        self.segments = []
        self.state = State(self._life)
        self._open()

    def _make_room(self) -> bool:  # seldom
        """Drop the oldest segment; False if there is none but the newest, or if flash does not even take the note."""
        if len(self.segments) < 2:
            return False
        try:
            self.drop_oldest()
        except OSError:
            self._read_again()
            return False
        return True

    def put(self, items: "list[tuple[int, bytes]]") -> "tuple[int, int]":
        """Append entries, all or none, and make room; (segment, offset) of the first. OutboxFull: nothing was
        written."""
        place = self._commit(items)
        for _ in range(len(self.segments)):  # not for ever: what is told of a dropped segment takes place, too
            if not self._over() or not self._make_room():
                break
        return place

    def _over(self) -> bool:
        total = 0
        for segment in self.segments:
            total += segment[2]
        if total > self._budget:
            return True
        if total >> BLOCK_BITS == self._room_at:
            return False  # asking walks over every block in use: not for each record, only for one that took a block
        free, blocks = self._free(self.path)
        self._room_at = -1 if free * 10 < blocks else total >> BLOCK_BITS
        return self._room_at < 0

    # --- acknowledging and dropping ---

    def acknowledge(self, cum: int, base: int, bits: int) -> bool:
        """The gateway holds these; True if that was news. Segments that it holds wholly are deleted, the newest
        stays."""
        end = self.state.next_seq
        if cum > end:
            cum = end  # an acknowledgement of what was never given is no acknowledgement
        if base + 64 > end:
            bits &= (1 << (end - base)) - 1 if end > base else 0
        if not self.state.acked.apply(cum, base, bits):
            return False
        self._acked_news = True
        refused = False
        while len(self.segments) > 1 and self._oldest_held():
            if self._acked_news and not refused:
                try:
                    self._append([])  # a boot must know that this was held before it finds it gone
                except OSError:
                    refused = True  # flash is full: what is held makes room first
            os.remove(self._name(self.segments.pop(0)[0]))
        if refused:
            acked = self.state.acked
            self._read_again()
            self.state.acked = acked
            self._acked_news = True
        return True

    def recall(self, cum: int, ranges: "list[tuple[int, int]]") -> None:  # seldom
        """These were held already before a deep sleep."""
        self.acknowledge(cum, 0, 0)
        for first, end in ranges:
            self.hold(first, end)

    def hold(self, first: int, end: int) -> None:
        """The gateway holds [first, end) of one entry, though its acknowledgement had no room for all of it."""
        if self.state.acked.add(first, min(end, self.state.next_seq)):
            self._acked_news = True

    def reopen(self, first: int, end: int) -> None:  # seldom
        """The gateway asks for [first, end) again: what of it lies in flash waits again."""
        first = max(first, self.segments[0][1])
        end = min(end, self.state.next_seq)
        if first < end:
            self.state.acked.remove(first, end)
            self._acked_news = True

    def give_up(self) -> int:  # seldom
        """What is not acknowledged is not in flash either: wait for it no longer. How many seqs that are."""
        acked, end = self.state.acked, self.state.next_seq
        lost = end - acked.cum
        for low, high in acked.ranges:
            lost -= high - low
        self.acknowledge(end, 0, 0)
        return lost

    def _oldest_held(self) -> bool:
        has = self.state.acked.has
        if not has(self.segments[0][1], self.segments[1][1]):
            return False
        for kind, body, _, _ in self.entries(self.segments[0][0]):
            if kind > 0 and not has(*entries.span(kind, body)):
                return False
        return True

    def held(self) -> int:
        """Oldest seq that is not acknowledged (next seq if there is none)."""
        return self.state.acked.cum if self.state.acked.cum < self.state.next_seq else self.state.next_seq

    def drained(self) -> bool:
        """Whether the gateway holds everything."""
        return self.state.acked.cum >= self.state.next_seq

    def drop_oldest(self) -> None:  # seldom
        """Delete the oldest segment; what of it the gateway does not hold is told by gaps, synced before. OSError."""
        from firmware.outbox.drop import gaps_of  # a board whose gateway listens never needs it

        number = self.segments[0][0]
        self._append([(entries.DROP, struct.pack("<I", number))], lambda: gaps_of(self.entries(number), self.state))
        self._finish_drop()

    def _finish_drop(self) -> None:  # seldom
        number = self.state.dropping
        self.state.dropping = -1
        for i in range(len(self.segments) - 1):
            if self.segments[i][0] == number:
                os.remove(self._name(number))
                self.segments.pop(i)
                return
