"""From readings to the values of one window, in whole numbers.

Readings come with one decimal more than their channel (COUNT and SUM: as they are) and with the time they cover.
What a channel's kind means here:
    MEAN        weighted by covered time; of event statistics (channels with a minimum count) the mean over events
    ENERGY      level of the mean energy: energies are weighted by covered time, never levels averaged
    MAX         highest reading (`lafmin`, `laeq_min`: lowest)
    PERCENTILE  from a histogram with bins of half a unit; `laf10` is exceeded in 10 % of the time, so it is the 90th
                percentile; `speed_v85` is not exceeded by 85 % of the vehicles. Levels that a sensor samples too often
                for readings come as a histogram of their own, an object with `add_to(bins)`; all percentiles of one
                instance's level share one histogram here, into which each reading goes once for each
    COUNT, SUM  the sum; 0 is a value. A sum in % is a share of the window: its readings are the ms that it took
    TOTAL       the events of its count (`partner`), this window's and those of all windows before it of this object, given
                or not: a window that was refused, cut, not sampled or lost on its way is in the next value. It has no
                readings: what the count's do to a window's value (missing, coverage, flags of readings) they do to the
                total's, whether the count is carried or not; where it is, the total has its flag in all.
Coverage is the covered share of the window of the worst channel that has a value (event statistics rest on their
counts and do not matter). Readings do not fall on the window's edges: up to one reading's time that nobody reported
as lost counts as covered.
"""

from array import array
from collections import namedtuple

from firmware import quality
from firmware.drivers import NOT_MEASURED, RANGE
from firmware.dsp.level import ENERGY_ONE, centi_db, energy
from wire import channels, totals
from wire.quality import BAD, GOOD, MISSING, OVERLOAD, SUSPECT

NOT_SAMPLED = "not sampled"  # nothing was measured: sensor silent, warming up, or not asked
REFUSED = "refused"  # there were readings, and the sensor check refused them

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# values: raw in the channel's units, or None, per item; coverage_pct 0..100; flags: None when all are GOOD, else per
# item the worst flag and its reason (wire.quality); cause: None when at least one value is valid, else NOT_SAMPLED or REFUSED.
Closed = namedtuple("Closed", "values coverage_pct flags cause")

_PERCENTS = (("laf10", 90), ("laf50", 50), ("laf90", 10), ("laf95", 5), ("speed_v85", 85))
_BIN = 50  # hundredths: half a dB, half a km/h
_SHARE = 86400  # readings of a share per raw unit of 0.1 %, at most: 86,400,000 ms are the longest window
_BIN_MAX = 65535  # a bin is 16 bits: 65,535 readings alike in one window, a day of one a second


# Small integers of an item lie in one array of the window, at `at`: an object's attributes take three times the room.
_WEIGHT, _COUNT, _EXTREME, _COVERED_MS, _LOST_MS, _SPAN_MS, _FLAG = 0, 1, 2, 3, 4, 5, 6


class _Item:
    """What one channel of one sensor gathers during a window; used again for the next one."""

    def __init__(self, channel: channels.Channel, at: int, bins: "array[int] | None") -> None:
        self.channel = channel
        self.at = at
        self.total = 0
        self.bins = bins  # 1.2 KB for a speed: a heap in pieces may not have it later
        if bins is None and channel.kind == channels.PERCENTILE:
            size = (channel.high - channel.low) * 10 // _BIN + 2
            self.bins = array("I", bytes(4 * size)) if channel.unit == "dB" else array("H", bytes(2 * size))

    def clear(self, m: "array[int]") -> None:
        """Begin a window."""
        self.total = 0
        for at in range(self.at, self.at + _FLAG):
            m[at] = 0
        m[self.at + _FLAG] = GOOD
        bins = self.bins
        if bins is not None:
            for at in range(len(bins)):
                bins[at] = 0

    def scale(self) -> int:
        """Readings per raw unit."""
        if self.channel.kind == channels.SUM and self.channel.unit == "%":
            return _SHARE
        return 1 if self.channel.kind in (channels.COUNT, channels.SUM) else 10

    def add(self, m: "array[int]", value: "Any", span_ms: int) -> None:
        channel = self.channel
        kind = channel.kind
        here = self.at
        if kind == channels.ENERGY:
            self.total += energy(value) * span_ms
        elif kind == channels.MAX:
            lowest = channel.name.endswith("min")
            if not m[here + _COUNT] or (value < m[here + _EXTREME]) == lowest:
                m[here + _EXTREME] = value
        elif self.bins is not None:
            if isinstance(value, int):
                at = (value - channel.low * 10 + _BIN // 2) // _BIN  # whole and half units are in the middle of a bin
                if self.bins[at] < _BIN_MAX:
                    self.bins[at] += 1
            else:
                value.add_to(self.bins)
        elif kind == channels.MEAN and not channel.min_count:
            self.total += value * span_ms
        else:
            self.total += value
        m[here + _WEIGHT] += 1 if channel.min_count else span_ms
        m[here + _COUNT] += 1
        m[here + _COVERED_MS] += span_ms
        m[here + _SPAN_MS] = max(m[here + _SPAN_MS], span_ms)

    def result(self, m: "array[int]", window_ms: int, min_count: int) -> "int | None":
        """Raw value, or None where there is nothing or the privacy rule forbids it."""
        channel = self.channel
        weight = m[self.at + _WEIGHT]
        if not weight or window_ms < channel.min_window_s * 1000:
            return None
        if channel.min_count and m[self.at + _COUNT] < max(channel.min_count, min_count):
            return None
        kind = channel.kind
        if kind == channels.ENERGY:
            value = centi_db(self.total, weight * ENERGY_ONE)
        elif kind == channels.MAX:
            value = m[self.at + _EXTREME]
        elif kind == channels.PERCENTILE:
            value = self._percentile()
        elif kind == channels.MEAN:
            return _rounded(self.total, weight * self.scale())
        else:
            total = self.total * 1000 // window_ms if self.scale() == _SHARE else self.total
            return min(total, channel.high)  # a count above the table's range is at least that many
        return _rounded(value, self.scale())

    def _percentile(self) -> int:
        bins = self.bins or array("H", (1,))
        percent = 50
        for prefix, share in _PERCENTS:
            if self.channel.name.startswith(prefix):
                percent = share
        total = sum(bins)
        rank = max(1, -(-total * percent // 100))  # nearest rank: the smallest value that covers the share
        at = 0
        below = 0
        while below + bins[at] < rank:
            below += bins[at]
            at += 1
        count = bins[at]
        # Within the bin the readings are taken as evenly spread.
        within = _BIN * (2 * (rank - below) - 1) // (2 * count) - _BIN // 2
        low, high = self.channel.low * 10, self.channel.high * 10
        return min(max(low + at * _BIN + within, low), high)

    def coverage_pct(self, m: "array[int]", window_ms: int) -> int:
        covered = min(m[self.at + _COVERED_MS], window_ms)
        unreported = window_ms - covered - m[self.at + _LOST_MS]
        if 0 < unreported <= m[self.at + _SPAN_MS]:
            covered += unreported
        return 100 * covered // window_ms


class _Counter(_Item):
    """A count that a total adds up: `before` are the events of the windows before, modulo 2**24, so a small integer."""

    before = 0

    def clear(self, m: "array[int]") -> None:
        self.before = self.before + self.total & totals.EVENTS_MASK
        _Item.clear(self, m)


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient, halves upwards."""
    return (2 * numerator + denominator) // (2 * denominator)


class Window:
    """One window of one profile: `items` are its (channel id, instance), in order. `mark`: of its totals (wire.totals)."""

    def __init__(  # seldom
        self, items: tuple[tuple[int, int], ...], window_ms: int, min_count: int = 3, mark: int = 0
    ) -> None:
        self.items = tuple(items)
        self.window_ms = window_ms
        self.min_count = min_count
        self.refused = 0  # readings that the check refused
        self.correction: "Any" = None  # firmware.correction, of boards whose calibration has constants for values
        self.mark = mark
        self._slots: "dict[tuple[int, int], Any]" = {}  # by the readings' (channel id, instance)
        self._counts = {}  # of each total, the (channel id, instance) that it adds up
        self._memory = quality.memory(self.items, window_ms // 1000)
        for channel_id, instance in self.items:
            channel = channels.by_id(channel_id)
            if channel.kind == channels.TOTAL:
                self._counts[channel_id, instance] = (channel.partner, instance)
        bins: "dict[int, Any]" = {}  # of each instance's level: its percentiles share them, and each adds the same to them
        for at, carried in enumerate(self.items):
            item = self._counts.get(carried, carried)
            if item is not carried and item in self.items:
                continue  # the count's own place: that one has room for its quality tests
            channel = channels.by_id(item[0])
            level = channel.kind == channels.PERCENTILE and channel.unit == "dB"
            make = _Counter if item in self._counts.values() else _Item
            slot = self._slots[item] = make(channel, self._memory[1 + at], bins.get(item[1]) if level else None)
            if level:
                bins[item[1]] = slot.bins
        self.clear()

    def clear(self) -> None:
        """Begin the next window; nothing is allocated, so that a year of windows leaves the heap as it was."""
        self.refused = 0
        for slot in self._slots.values():
            slot.clear(self._memory)

    def add(self, channel_id: int, instance: int, value: "Any", span_ms: int, flag: int = GOOD) -> bool:
        """Take one reading; one outside the channel's range is refused. False if it was not taken.

        Readings that this profile does not carry are ignored: a sensor may feed several profiles.
        """
        slot = self._slots.get((channel_id, instance))
        if slot is None or span_ms <= 0:
            return False
        scale = slot.scale()
        one = isinstance(value, int)
        if flag & 15 >= BAD or one and not slot.channel.low * scale <= value <= slot.channel.high * scale:
            if flag > 15:
                self._mark(slot.at, SUSPECT | flag & 0xF0)
            self.refuse(RANGE, span_ms, ((channel_id, instance),))
            return False
        m = self._memory
        slot.add(m, value, span_ms)
        self._mark(slot.at, flag)
        limits = m[slot.at + quality.LIMITS]
        if limits and one:
            found = quality.reading(m, limits, value, span_ms)
            if flag >> 4 != OVERLOAD:  # at the end of what a sensor takes the readings are alike
                self._mark(slot.at, found)
        return True

    def _mark(self, at: int, flag: int) -> None:
        """The worst flag stays, of equal ones the first."""
        if flag & 15 > self._memory[at + _FLAG] & 15:
            self._memory[at + _FLAG] = flag

    def refuse(self, reason: int, span_ms: int = 0, items: tuple[tuple[int, int], ...] | None = None) -> None:
        """A reading that should have covered `span_ms` is not there: SensorError.reason says why.

        `items`: the (channel id, instance) it would have given; None = all.
        """
        if reason not in NOT_MEASURED:
            self.refused += 1
        self.missed(span_ms, items, quality.OF_ERROR[reason])

    def missed(self, span_ms: int, items: tuple[tuple[int, int], ...] | None = None, flag: int = 0) -> None:
        """Nobody measured during `span_ms`; `flag` is what that says of the values."""
        for item in self._slots if items is None else items:
            slot = self._slots.get(item)
            if slot is not None:
                self._memory[slot.at + _LOST_MS] += span_ms
                self._mark(slot.at, flag)

    def close(self) -> Closed:
        """The window's values; the coverage of a window that was cut is that of its full length."""
        window_ms = self.window_ms
        values = []
        flags = []
        coverage = 100
        rests = False  # on time that was covered
        for item in self.items:
            count = self._counts.get(item, item)
            slot = self._slots[count]
            value = slot.result(self._memory, window_ms, self.min_count)
            if count is not item and value is not None:
                value = totals.total(self.mark, slot.before + slot.total)
            values.append(value)
            flag = self._memory[slot.at + _FLAG]
            if value is None:
                flag = MISSING if slot.channel.min_count else MISSING | flag & 0xF0
            elif not slot.channel.min_count:
                rests = True
                coverage = min(coverage, slot.coverage_pct(self._memory, window_ms))
            flags.append(flag)
        quality.close(self._memory, self.items, values, flags, window_ms // 1000)
        for item, count in self._counts.items():
            if count in self.items:  # whose tests say whether anything was seen
                flags[self.items.index(item)] = flags[self.items.index(count)]
        if self.correction:
            self.correction.apply(values, flags)
        valid = False
        usual = True
        for at, value in enumerate(values):
            valid = valid or value is not None
            usual = usual and flags[at] == (MISSING if value is None else GOOD)
        if not valid:
            return Closed(tuple(values), 0, None, REFUSED if self.refused else NOT_SAMPLED)
        return Closed(tuple(values), coverage if rests else 0, None if usual else tuple(flags), None)
