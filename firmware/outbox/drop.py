"""What has to be told about a segment that is deleted undelivered.

"Undelivered" is what this node knows: acknowledgements that came after its last write are forgotten by a power cut, and
told again by the first answer afterwards. If the outbox overflows before any answer comes, records that the gateway holds
are counted as overwritten: at most those of one segment, for segments that are held wholly are deleted, and so
remembered, at once. The gateway keeps what it has. (A write at each acknowledgement would double the flash's wear.)
"""

from firmware.outbox import entries
from wire import BOOT, UTC
from wire.messages import OVERWRITTEN, VOID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from firmware.outbox.state import State


def gaps_of(contents: "Iterator[tuple[int, bytes, int, int]]", state: "State") -> "list[tuple[int, bytes]]":
    """GAP entries for all of a segment's entries that the gateway does not hold: records as overwritten, gaps again
    as what they said, health and events as seqs that no window had."""
    runs = _Runs(state.grids)
    for kind, body, _, _ in contents:
        if kind > 0 and not state.acked.has(*entries.span(kind, body)):
            runs.add(kind, body)
    return [(entries.GAP, entries.gap_body(*gap)) for gap in runs.found]


class _Runs:
    """Runs of what a segment holds: (first, count, cause, short, carried, time), neighbours in seq and time joined."""

    def __init__(self, grids: "dict[int, list[int]]") -> None:
        self.found: "list[tuple]" = []
        self._grids = grids

    def add(self, kind: int, body: bytes) -> None:
        if kind == entries.RECORD:
            seq, short, time = entries.unpack_record(body)[:3]
            self._join(seq, 1, OVERWRITTEN, short, 0, time)
        elif kind == entries.GAP:
            first, count, cause, short, _, time = entries.unpack_gap(body)
            self._join(first, count, cause, short, 1, time)
        elif kind == entries.HEALTH or kind == entries.EVENT:
            self._join(entries.span(kind, body)[0], 1, VOID, 0, 1, None)

    def _join(self, first: int, count: int, cause: int, short: int, carried: int, time: "tuple | None") -> None:
        if self.found:
            last = self.found[-1]
            if (last[0] + last[1], last[2], last[3], last[4]) == (first, cause, short, carried) and self._follows(
                last, time
            ):
                self.found[-1] = (last[0], last[1] + count, cause, short, carried, last[5])
                return
        self.found.append((first, count, cause, short, carried, time))

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
