"""Tests of what was measured: range, spike, flat line, rate of change, cross checks, a counter that sees nothing.

The raw value is never touched. A reading is judged when the next one comes: a spike is far from both of its neighbours.
A window's last reading has one neighbour yet, and is judged by that; its value is judged against the window before.

Everything is in one array of small integers, made with the window and never again: nothing is allocated for a reading.
[0] is the number of windows closed, then comes for each item where its places begin; of these, LIMITS says where those
MEMORY places are that tests need, 0 if there are none for its channel (the others are firmware.aggregate's):
    0 low, 1 high, 2 spike, 3 share, 4 rate, 5 flat line in ms (firmware.limits)
    6, 7 the last two readings    8 how many came in this window    9 ms since the reading changed
    10 the last window's value
Behind those of a counter of vehicles is its habit: vehicles expected since the last one seen, in 1/3600; vehicles of this
hour, or -1 if not to be learned; the vehicles of 24 hours, 0 where not known.
"""

from firmware import forget
from wire import channels
from wire.quality import BAD, BLOCKED, FLAT_LINE, GOOD, HUMIDITY, RANGE, RATE, SPIKE, SUSPECT, WIND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

MEMORY = 11
LIMITS = 7
NONE = 1 << 29  # no value is so large; fits an ESP32's small integer, below zero too
HABIT = 26  # places

_BAD_AFTER = 4  # times the limit of a flat line
_EXPECTED = 60 * 3600  # vehicles by habit that did not come: blocked
_HUMID = 800  # 0.1 %
_LOW_FREQUENCY = 200  # 0.1 dB: LCeq - LAeq
_WINDY = 50  # 0.1 m/s

# Channel ids.
_PARTICLES = 10  # and below
_HUMIDITY, _LAEQ, _LCEQ, _VEHICLES, _VEHICLES_LAST, _WIND_SPEED = 12, 21, 28, 30, 32, 44

# What a reading that was refused says of the value that the others make, by firmware.drivers' reason.
OF_ERROR = b"\0\0\0\0\x13\x52\0\0\0\x33\x63\x33\0\x93\0\0"


def memory(items: "Sequence[tuple[int, int]]", window_s: int) -> "array[int]":
    """The array; the code that makes it leaves the heap again."""
    from firmware import limits

    made = limits.memory(items, window_s)
    forget("firmware.limits")
    return made


def reading(m: "array[int]", at: int, value: int, span_ms: int) -> int:
    """Take the next reading of the item whose places begin at `at`; flag | reason << 4 of it and the one before."""
    before = m[at + 7]
    flag = GOOD
    if value == before:
        same_ms = m[at + 9] = min(m[at + 9] + span_ms, NONE)
        if 0 < m[at + 5] <= same_ms:
            flag = (BAD if same_ms >= _BAD_AFTER * m[at + 5] else SUSPECT) | FLAT_LINE << 4
    else:
        m[at + 9] = 0
        if m[at + 8] and _far(m, at, 2, before, m[at + 6]) and _far(m, at, 2, before, value):
            if (before > value) == (before > m[at + 6]):
                flag = SUSPECT | SPIKE << 4
    m[at + 6] = before
    m[at + 7] = value
    m[at + 8] += 1
    return flag


def _far(m: "array[int]", at: int, limit: int, one: int, other: int) -> bool:
    """Whether two values differ by more than the limit in place `limit` and the share of the larger."""
    if not m[at + limit] or other == NONE or one == NONE:
        return False
    return abs(one - other) > m[at + limit] + max(one, other, 0) * m[at + 3] // 100


def close(
    m: "array[int]", items: "Sequence[tuple[int, int]]", values: "list[int | None]", flags: "list[int]", window_s: int
) -> None:
    """Judge a window's values, and raise `flags` (of those that are there) to what was found."""
    humid = False
    windy = 0  # a bit for each microphone; the wind speed is that of the place
    for i in range(len(items)):
        channel, value = items[i][0], values[i]
        if value is not None:
            if channel == _HUMIDITY and value > _HUMID:
                humid = True
            elif channel == _WIND_SPEED and value > _WINDY:
                windy = -1
            elif channel == _LCEQ:
                for j in range(len(items)):
                    laeq = values[j]
                    if items[j][0] == _LAEQ and items[j][1] == items[i][1] and laeq is not None:
                        windy |= (value - laeq > _LOW_FREQUENCY) << items[i][1]
    for i in range(len(items)):
        channel, value, at, reason = items[i][0], values[i], m[m[1 + i] + LIMITS], 0
        if at:
            if value is None:
                m[at + 10] = NONE
            else:
                reason = _judge(m, at, value)
                if _VEHICLES <= channel <= _VEHICLES_LAST and _blocked(m, at + MEMORY, value, flags[i], window_s):
                    reason = BLOCKED
            m[at + 8] = 0
        if humid and channel <= _PARTICLES:
            reason = reason or HUMIDITY
        elif windy >> items[i][1] & 1 and channels.by_id(channel).unit == "dB":
            reason = reason or WIND
        if reason and flags[i] & 15 < SUSPECT:
            flags[i] = SUSPECT | reason << 4
    m[0] = (m[0] + 1) % 86400  # a whole number of days


def _judge(m: "array[int]", at: int, value: int) -> int:
    """The reason against a window's value by itself, or 0."""
    before = m[at + 10]
    m[at + 10] = value
    if not m[at] <= value <= m[at + 1]:
        return RANGE
    if m[at + 8] > 1 and _far(m, at, 2, m[at + 7], m[at + 6]):
        return SPIKE
    return RATE if _far(m, at, 4, value, before) else 0


def _blocked(m: "array[int]", at: int, count: int, flag: int, window_s: int) -> bool:
    """Whether so many vehicles should have come since the last one, by the same hour of the days before.

    Hours are counted from the start on, so that no clock is needed; an hour that was blocked, or whose counts are suspect,
    teaches nothing.
    """
    slot = m[0] * window_s // 3600 % 24
    habit = at + 2 + slot
    if count:
        m[at] = 0
    else:
        m[at] = min(m[at] + m[habit] * window_s, NONE)
    blocked = m[at] >= _EXPECTED
    if blocked or flag & 15 >= SUSPECT:
        m[at + 1] = -1
    elif m[at + 1] >= 0:
        m[at + 1] += count
    if (m[0] + 1) * window_s // 3600 % 24 != slot:
        if m[at + 1] >= 0:
            found = m[at + 1] * 3600 // max(window_s, 3600)  # of an hour, though a window may be longer
            m[habit] = found if not m[habit] else (3 * m[habit] + found) // 4
        m[at + 1] = 0
    return blocked
