"""When the group that is open is to be closed: by its time, or because it is full.

Where few records come it waits longer: each commit costs the card some pages, and a processor's time, for one record or for
five. A node waits seconds for its acknowledgement before it sends again. What is read meanwhile waits with it, undecoded: a
processor that was asleep takes as long for one frame as for the four that follow it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("spool")

GROUP_S = 0.1  # longest wait for company before a commit
SPARSE_TIMES = 5  # so much longer where few come
SPARSE_PER_S = 40  # fewer records a second than this are few
WINDOW_TIMES = 2.5  # longest wait of what is answered in a window that begins a second after it (LoRa)
PATIENCE_TIMES = 1.3  # of a wait: the next group is closed within this, if its first record comes soon
LATER_BYTES = 768  # waiting undecoded; more are not few: about 20 records, each in a frame of its own
GROUP_ROWS = 512  # closes a group early: about 25 ms at 20,000 records a second, and a quarter of a megabyte


class GroupTimer:
    """Belongs to one event loop. `due` is set when the group is to be closed."""

    def __init__(self, group_s: float) -> None:
        self.due = asyncio.Event()
        self.running = False  # something came for the open group
        self.sparse = False  # few came lately
        self.awaited = 0  # answers of nodes that somebody waits for: nothing waits undecoded then
        self._group_s = group_s
        self._later: list[Callable[[], None]] = []
        self._later_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def wait_s(self) -> float:
        """How long a group waits for company now."""
        return self._group_s * (SPARSE_TIMES if self.sparse else 1)

    @property
    def patience_s(self) -> float:
        """How long something else may wait to be written with a group."""
        return self.wait_s * PATIENCE_TIMES

    @property
    def few(self) -> int:
        """So many rows at once are not few."""
        return int(SPARSE_PER_S * SPARSE_TIMES * GROUP_S)

    def start(self) -> None:
        """Something came; what comes until the group is closed goes with it."""
        if not self.running:
            self.running = True
            self._timer = asyncio.get_running_loop().call_later(self.wait_s, self.due.set)

    def hurry(self) -> None:
        """Of what came something is to be answered in a window."""
        within_s = self._group_s * WINDOW_TIMES
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() > loop.time() + within_s:
            self._timer.cancel()
            self._timer = loop.call_later(within_s, self.due.set)

    def holds(self, rows: int) -> None:
        """The open group has so many."""
        if rows >= (self.few if self.sparse else GROUP_ROWS):
            self.due.set()

    def later(self, take: Callable[[], None], size: int) -> bool:
        """Whether `take` will be called before the group is closed, for so many bytes; False: it is to be called now."""
        if not self.sparse or self.awaited or self._later_bytes >= LATER_BYTES:
            return False
        self._later.append(take)
        self._later_bytes += size
        self.start()
        if self._later_bytes >= LATER_BYTES:
            self.due.set()
        return True

    def gather(self) -> None:
        """Call what waits."""
        later, self._later = self._later, []
        self._later_bytes = 0
        for take in later:
            try:
                take()
            except Exception:  # the boundary to a link: told in full, and what the others read is taken all the same
                log.exception("spool: input not taken")

    def forget(self) -> None:
        self._later.clear()
        self._later_bytes = 0

    def stop(self, rows: int) -> None:
        """The group is closed with so many rows."""
        self.sparse = rows < SPARSE_PER_S * self.wait_s
        self.running = False
        self.due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
