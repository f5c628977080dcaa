"""The interval grid of one profile: which window is open, when it closes, and what is told about windows that nobody
measured.

Window i of a profile with length L is [i * L, (i + 1) * L) unix UTC. Without a clock, windows of length L follow each
other from boot on and are recorded by boot and milliseconds. At the first sync the open one becomes the UTC window
that contains its start and is cut to its end. If that end is over by then, the open one was measured on both sides of it:
it is sealed by boot and milliseconds as well, and the UTC window of the present begins. Those sealed before in this boot
are, backwards, the windows before. What lies between the last window accounted for and them was OFF, less the windows
(`unplaced`) that earlier boots without a clock sealed in that time. A window has its seq when it is closed; no index is
ever used twice.
"""

import struct

from firmware.outbox import entries
from wire import BOOT, UTC
from wire.messages import NOT_SAMPLED, OFF, REFUSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from firmware.clock import Clock
    from firmware.outbox.log import Outbox
    from wire.profiles import Profile

BEHIND_MS = 10000  # a gateway's clock may be so far behind the last window that was closed and still be believed


def last_index(until_s: int, window_s: int) -> int:
    """Index of the last window of a grid that ends at `until_s`."""
    return (until_s - 1) // window_s


def grid_body(short: int, window_s: int, index: int, unplaced: int) -> bytes:
    """A GRID entry's body."""
    return struct.pack("<BIII", short, window_s, index, unplaced)


def off_gap(outbox: "Outbox", short: int, end: int) -> "list[tuple[int, bytes]]":  # seldom
    """Entries that account for all windows before index `end`, which nobody measured."""
    window_s, index, unplaced = outbox.state.grids[short]
    count = end - index - unplaced
    if count <= 0:
        return []
    time = (UTC, (index + 1) * window_s)
    return [(entries.GAP, entries.gap_body(outbox.state.next_seq, count, OFF, short, 0, time))]


def end_grid(outbox: "Outbox", short: int, ended: int) -> None:  # seldom
    """The grid of `short` ended before window `ended`: tell what is missing of it, then forget its position."""
    items = off_gap(outbox, short, ended)
    items.append((entries.GRID, grid_body(short, 0, 0, 0)))
    outbox.put(items)


class Grid:
    """Of one profile of the present life. `slot` is the profile's place in board.json; `open_window(slot, profile)` gives an
    aggregate window, which is used again."""

    def __init__(  # seldom
        self,
        slot: int,
        profile: "Profile",
        outbox: "Outbox",
        clock: "Clock",
        boot: int,
        open_window: "Callable[..., Any]",
    ) -> None:
        self.slot = slot
        self.profile = profile
        self.window: "Any" = None  # the aggregate of the open window; None when the grid has ended
        self.index: "int | None" = None  # of the open window, None without a clock
        self.until_s = 0
        self.successor: "Profile | None" = None  # a change of settings: takes over at the next window
        self.start_ms = 0
        self._outbox = outbox
        self._clock = clock
        self._boot = boot
        self._open_window = open_window
        self._aggregate: "Any" = None  # of all windows, one after the other

    def begin(self, first: int, until_s: int) -> None:  # seldom
        """Open the boot's first window. `first`: window index where the grid begins, if the outbox does not know
        better."""
        short, window_s = self.profile.short, self.profile.window_s
        if short not in self._outbox.state.grids:
            self._outbox.put([(entries.GRID, grid_body(short, window_s, first, 0))])
        self.until_s = until_s
        if not self._ended(self._next_index()):
            self.window = self._fresh()

    def _fresh(self) -> "Any":
        """The aggregate, empty."""
        if self._aggregate is None:
            self._aggregate = self._open_window(self.slot, self.profile)
        else:
            self._aggregate.clear()
        return self._aggregate

    def give_up(self) -> None:  # seldom
        """Another takes over. The aggregate goes first: the heap has no room for its histograms twice, nor for them beside
        the settings' text. `reopen` if it cannot."""
        self.window = self._aggregate = None

    def _next_index(self) -> int:
        return self._outbox.state.grids[self.profile.short][1]

    def _ended(self, index: int) -> bool:
        return self.until_s != 0 and index > last_index(self.until_s, self.profile.window_s)

    def end_s(self) -> int:  # seldom
        """End of the last window accounted for, unix s."""
        return self._next_index() * self.profile.window_s

    def deadline_ms(self) -> "int | None":
        """Uptime at which the open window closes; None when the grid has ended."""
        if self.window is None:
            return None
        if self.index is None:
            return self.start_ms + self.profile.window_s * 1000
        return self._clock.to_uptime_ms(self._window_end_s() * 1000)

    def _window_end_s(self) -> int:
        end = (self.index + 1) * self.profile.window_s  # type: ignore[operator]
        return min(end, self.until_s) if self.until_s else end

    def close_due(self) -> "list[tuple[int, int]]":
        """Close what is due; the places (segment, offset) of what was written."""
        places = []
        while self.window is not None:
            due = self.deadline_ms()
            if due is None or self._clock.uptime_ms() < due:
                break
            if self.index is not None and self.index < self._next_index():
                self.index = self._next_index()  # written, though flash reported an error
                self.reopen()
                continue
            places.append(self._close(due))
        return places

    def _close(self, due: int) -> "tuple[int, int]":
        """Seal the open window or say why not, and open the next one."""
        state, short = self._outbox.state, self.profile.short
        time: tuple
        if self.index is None:
            time = (BOOT, self._boot, due)
        else:
            time = (UTC, self._window_end_s())
        closed = self.window.close()
        if closed.cause is None:
            body = entries.record_body(state.next_seq, short, time, closed.coverage_pct, closed.values, closed.flags)
            items = [(entries.RECORD, body)]
        else:
            cause = REFUSED if closed.cause == "refused" else NOT_SAMPLED
            items = [(entries.GAP, entries.gap_body(state.next_seq, 1, cause, short, 0, time))]
        place = self._outbox.put(items)
        self.start_ms = due
        if self.index is not None:
            self.index += 1
            self._catch_up()
        self.reopen()
        return place

    def reopen(self) -> None:
        """An empty window, unless the grid has ended."""
        self.window = None
        if not self._ended(self._next_index() if self.index is None else self.index):
            self.window = self._fresh()

    def _catch_up(self) -> None:
        """The board was busy, or its clock was set forwards: whole windows that passed meanwhile were not sampled."""
        window_s = self.profile.window_s
        present = self._clock.to_utc_ms(self._clock.uptime_ms()) // (window_s * 1000)
        if self.until_s:
            present = min(present, last_index(self.until_s, window_s) + 1)
        if present > self.index:  # type: ignore[operator]
            self._not_sampled(present)

    def _not_sampled(self, present: int) -> None:  # seldom
        window_s = self.profile.window_s
        count = present - self.index  # type: ignore[operator]
        time = (UTC, (self.index + 1) * window_s)  # type: ignore[operator]
        body = entries.gap_body(self._outbox.state.next_seq, count, NOT_SAMPLED, self.profile.short, 0, time)
        self._outbox.put([(entries.GAP, body)])
        self.index = present

    def behind(self) -> bool:  # seldom
        """Whether the clock tells a time that this grid has left behind: it cannot be right, or was not before."""
        now_ms = self._clock.to_utc_ms(self._clock.uptime_ms())
        return now_ms + BEHIND_MS < (self._next_index() - 1) * self.profile.window_s * 1000

    def sync(self) -> "list[tuple[int, int]]":
        """UTC is known now: place the open window, tell what was missed since the last one; places of what was
        written."""
        return self._place() if self.index is None and self.window is not None else []

    def _place(self) -> "list[tuple[int, int]]":  # seldom
        short, window_s = self.profile.short, self.profile.window_s
        places = []
        index = max(self._clock.to_utc_ms(self.start_ms) // (window_s * 1000), self._next_index())
        up_ms = self._clock.uptime_ms()
        present = self._clock.to_utc_ms(up_ms) // (window_s * 1000)
        if index < present and not self._ended(index):
            # That window is over, and some of this was measured after it: its end would be off by as much.
            places.append(self._close(up_ms))
            index = present
        if self._ended(index):
            index = last_index(self.until_s, window_s) + 1
            self.window = None
        items = off_gap(self._outbox, short, index)
        items.append((entries.GRID, grid_body(short, window_s, index, 0)))
        self._outbox.put(items)
        self.index = index
        return places + self.close_due()

    def resume(self, start_ms: int) -> None:  # seldom
        """After a deep sleep: the window that was open, or follows, goes on; whole ones slept through were not
        sampled."""
        self.start_ms = start_ms
        if self._clock.synced and self.window is not None:
            self.index = self._next_index()
            self._catch_up()
            self.reopen()

    def unclock(self) -> None:  # seldom
        """The clock went back: go on as a boot without one; the gateway places these windows."""
        if self.index is None:
            return
        self.index = None
        self.start_ms = self._clock.uptime_ms()
        if self.window is not None:
            self.window = self._fresh()

    def set_until(self, until_s: int) -> None:  # seldom
        """End the grid at `until_s`, not before `end_s()`; 0: never."""
        self.until_s = until_s
        if self.index is None:
            return
        if self._ended(self.index):
            self.window = None
        elif self.window is None:
            self._catch_up()
            self.reopen()
