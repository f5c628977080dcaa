"""What has to be told about a segment that is deleted undelivered.

"Undelivered" is what this node knows: acknowledgements that came after its last write are forgotten by a power cut, and
told again by the first answer afterwards. If the outbox overflows before any answer comes, records that the gateway holds
are counted as overwritten: at most those of one segment, for segments that are held wholly are deleted, and so
remembered, at once. The gateway keeps what it has. (A write at each acknowledgement would double the flash's wear.)

The seqs of several profiles alternate. Told one by one, gaps would take as much flash as the records, and more heap than
there is. So within a stretch of seqs of which the gateway knows none, lost windows change places: first all of one
profile, one gap, then all of the next. What the ledger needs, how many windows of which profile at which time, stays
exact. The first UNSURE seqs above what is acknowledged keep theirs: the gateway may hold some of them.
"""

from firmware.outbox import entries
from wire import BOOT, UTC
from wire.messages import OVERWRITTEN, VOID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware.outbox.state import State


UNSURE = 16  # what is sent as it is sealed, and not answered at once; each is a gap in the heap


def gaps_of(contents: "Iterator[tuple[int, bytes, int, int]]", state: "State") -> "Iterator[bytes]":
    """Bodies of GAP entries for all of a segment's entries that the gateway does not hold: records as overwritten, gaps
    again as what they said, health and events as seqs that no window had. One after the other: a board's heap does not
    hold all of them."""
    runs = _Runs(state.grids, state.acked.cum + UNSURE)
    for kind, body, _, _ in contents:
        if kind > 0 and not state.acked.has(*entries.span(kind, body)):
            runs.add(kind, body)
            while runs.told:
                yield entries.gap_body(*runs.told.pop(0))
    runs.finish()
    while runs.told:
        yield entries.gap_body(*runs.told.pop(0))


class _Runs:
    """Runs of what a segment holds: (first, count, cause, short, carried, time), windows that follow each other joined;
    `told` takes those that are complete. `_stretch`: those of seqs that follow each other, which are still to be
    numbered, one for each (cause, short, carried)."""

    def __init__(self, grids: "dict[int, list[int]]", sure: int) -> None:
        self.told: "list[tuple]" = []
        self._last: "tuple | None" = None  # may go on
        self._grids = grids
        self._sure = sure
        self._stretch: "list[tuple]" = []
        self._end = 0

    def add(self, kind: int, body: bytes) -> None:
        if kind == entries.RECORD:
            seq, short, time = entries.unpack_record(body)[:3]
            self._gather(seq, 1, OVERWRITTEN, short, 0, time)
        elif kind == entries.GAP:
            first, count, cause, short, _, time = entries.unpack_gap(body)
            self._gather(first, count, cause, short, 1, time)
        elif kind == entries.HEALTH or kind == entries.EVENT:
            self._gather(entries.span(kind, body)[0], 1, VOID, 0, 1, None)

    def _gather(self, first: int, count: int, cause: int, short: int, carried: int, time: "tuple | None") -> None:
        if first != self._end or first < self._sure:
            self._flush()
        at = len(self._stretch)
        for place, run in enumerate(self._stretch):
            if run[2:5] == (cause, short, carried):
                at = place
        if at < len(self._stretch):
            run = self._stretch[at]
            if self._follows(run, time):
                self._stretch[at] = (run[0], run[1] + count) + run[2:]
                self._end = first + count
                return
            self._flush()
        self._stretch.append((first, count, cause, short, carried, time))
        self._end = first + count

    def _flush(self) -> None:
        """Give the stretch its seqs, run after run."""
        stretch, self._stretch = self._stretch, []
        if stretch:
            first = stretch[0][0]
            for _, count, cause, short, carried, time in stretch:
                self._join(first, count, cause, short, carried, time)
                first += count

    def _join(self, first: int, count: int, cause: int, short: int, carried: int, time: "tuple | None") -> None:
        last = self._last
        if last is not None:
            if (last[0] + last[1], last[2], last[3], last[4]) == (first, cause, short, carried) and self._follows(
                last, time
            ):
                self._last = (last[0], last[1] + count, cause, short, carried, last[5])
                return
            self.told.append(last)
        self._last = (first, count, cause, short, carried, time)

    def finish(self) -> None:
        """Nothing more comes."""
        self._flush()
        if self._last is not None:
            self.told.append(self._last)
            self._last = None

    def _follows(self, last: tuple, time: "tuple | None") -> bool:
        """Whether `time` is the window after those of `last`."""
        before, window_s = last[5], self._grids.get(last[3], (0,))[0]
        if before is None or time is None:
            return before is time
        if before[0] != time[0] or not window_s:
            return False
        if time[0] == UTC:
            return (before[1] - 1) // window_s + last[1] == (time[1] - 1) // window_s
        return before[0] == BOOT and before[1] == time[1] and time[2] - before[2] == last[1] * window_s * 1000
