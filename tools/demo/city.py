"""The simulated city's clock: a demonstration at night shows the morning, when something happens."""

from __future__ import annotations

import time

from tools.errors import UsageError
from tools.sim.weather import local_time

SHOWN = "07:45"  # the morning rush of a working day
DAY_MIN = 24 * 60
SATURDAY = 5


def shift_s(text: str, now_s: int) -> int:
    """Seconds from now to the city's next working day at `text` (HH:MM, Bochum); `now` is 0."""
    if text == "now":
        return 0
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise UsageError(f"--city-time {text} is not HH:MM or now")
    wanted_min = int(hours) * 60 + int(minutes)
    for day in range(8):  # each day lies within an hour of a multiple of 24 h from now (summer time)
        begun_min = int(local_time(now_s).hour * 60)
        shift = ((wanted_min - begun_min) % DAY_MIN + day * DAY_MIN) * 60
        there = local_time(now_s + shift)
        shift += (wanted_min - int(there.hour * 60)) * 60
        if local_time(now_s + shift).weekday < SATURDAY:
            return shift
    raise AssertionError("a week has working days")


def clock_text(shift: int) -> str:
    """What the city's clock shows."""
    if not shift:
        return "the city's clock is yours"
    hour = local_time(time.time() + shift).hour
    return f"city time {int(hour):02d}:{int(hour * 60) % 60:02d}"
