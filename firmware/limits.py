"""What is plausible of each channel: the limits of the quality tests (docs/quality.md has them with their sources).

Needed when a window's memory is made, then its code leaves the heap.
"""

from array import array

from firmware.quality import HABIT, LIMITS, MEMORY, NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# For channel ids from..to: low and high of a window's value, raw; spike (readings: one decimal more); share of the
# level in % that is added to spike and rate; rate for windows of a minute and of an hour, raw; flat line in s. 0: no test.
# A high of 0 is a counter of vehicles: at most one a second passes, and it has a habit. Channels without a line have no
# tests, and take no memory.
_TABLE = (
    (1, 4, 0, 10000, 3000, 50, 1000, 1500, 1800),  # pm1 pm2_5 pm4 pm10
    (5, 9, 0, 30000, 10000, 50, 5000, 8000, 1800),  # nc0_5 nc1 nc2_5 nc4 nc10
    (10, 10, 0, 10000, 5000, 0, 500, 1000, 1800),  # typical_size
    (11, 11, -2500, 4500, 1000, 0, 300, 1200, 600),  # temperature
    (12, 12, 80, 1000, 500, 0, 150, 500, 600),  # humidity
    (13, 13, 9400, 10650, 200, 0, 20, 80, 600),  # pressure
    (14, 14, 350, 5000, 3000, 30, 200, 600, 1800),  # co2
    (15, 15, -200, 5000, 5000, 30, 500, 1500, 1800),  # no2
    (20, 20, 0, 10000, 5000, 30, 500, 1500, 1800),  # hcho
    (21, 28, 150, 1300, 0, 0, 0, 0, 120),  # laeq lafmax lafmin laf10 laf50 laf90 laf95 lceq
    (29, 29, 200, 1600, 0, 0, 0, 0, 120),  # lcpeak
    (30, 32, 0, 0, 0, 0, 0, 0, 0),  # vehicles vehicles_approach vehicles_depart
    (42, 42, -3000, 8500, 0, 0, 0, 0, 0),  # board_temperature
    (44, 45, 0, 500, 0, 0, 0, 0, 0),  # wind_speed wind_gust
    (88, 91, 150, 1300, 0, 0, 0, 0, 120),  # laeq_max laeq_min lasmax lzeq
    (92, 120, 0, 1300, 0, 0, 0, 0, 120),  # lzeq_25 … lzeq_16000
)


def memory(items: "Sequence[tuple[int, int]]", window_s: int) -> "array[int]":
    """The items' limits, and room for what firmware.quality and firmware.aggregate remember of them."""
    found = []
    at = size = 1 + (2 + LIMITS) * len(items)
    for item in items:
        row = [each for each in _TABLE if each[0] <= item[0] <= each[1]]
        found.append(row)
        if row:
            size += MEMORY if row[0][3] else MEMORY + HABIT
    m = array("i", bytes(4 * size))
    for i, row in enumerate(found):
        place = 1 + len(items) + (1 + LIMITS) * i
        m[1 + i] = place
        if row:
            _, _, low, high, spike, share, minute, hour, flat_s = row[0]
            m[place + LIMITS] = at
            m[at] = low
            m[at + 1] = high if high else max(window_s, 10)
            m[at + 2] = spike
            m[at + 3] = share
            m[at + 4] = minute + (hour - minute) * max(0, min(window_s, 3600) - 60) // 3540
            m[at + 5] = flat_s * 1000
            m[at + 6] = m[at + 7] = m[at + 10] = NONE
            at += MEMORY if high else MEMORY + HABIT
    return m
