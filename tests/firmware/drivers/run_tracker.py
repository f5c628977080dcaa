"""Counts the vehicles of a radar's reports, on any interpreter: run_tracker.py FILE.

The file holds, per report, ms and length as 4 and 2 bytes, then the report. Prints each vehicle, and last how many bytes of
heap the second half of the reports left behind.
"""

import gc
import sys

from firmware.drivers.ld2451 import Parser
from firmware.drivers.tracker import Tracker

REST_MS = 130000  # after this nothing is waited for


class Clock:
    """What the tracker needs of a clock."""

    @staticmethod
    def ticks_diff(later_ms, earlier_ms):
        return later_ms - earlier_ms


def passages(reports, flip=0):
    """Of (ms, bytes), (ms when it was told, direction, 0.01 km/h, ms in the zone, ms when it was there) of each vehicle."""
    parser, tracker = Parser([0, 0, 0]), Tracker(Clock)
    found = []
    now_ms = 0
    for now_ms, data in reports:
        for _, targets in parser.feed(data):
            tracker.report(now_ms, tuple([(far * 100, way ^ flip, kmh, angle) for angle, far, way, kmh, _ in targets]))
        found += [(now_ms,) + each for each in tracker.ended()]
    for later_ms in range(now_ms, now_ms + REST_MS, 100):
        tracker.expire(later_ms)
        found += [(later_ms,) + each for each in tracker.ended()]
    assert not tracker.tracks
    return found


def unpack(data):
    """(ms, bytes) of a file."""
    reports = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 6], "big")
        reports.append((int.from_bytes(data[at : at + 4], "big"), data[at + 6 : at + 6 + size]))
        at += 6 + size
    return reports


def main(name):
    with open(name, "rb") as f:
        reports = unpack(f.read())
    for found in passages(reports):
        print(*found)
    tracker, parser = Tracker(Clock), Parser([0, 0, 0])
    used = []
    for number, (now_ms, data) in enumerate(reports):
        for _, targets in parser.feed(data):
            tracker.report(now_ms, tuple([(far * 100, way, kmh, angle) for angle, far, way, kmh, _ in targets]))
        tracker.ended()
        if number in (len(reports) // 2, len(reports) - 1):
            tracker.clear()
            gc.collect()
            used.append(gc.mem_alloc())
    print("grown", used[1] - used[0])


if __name__ == "__main__":
    main(sys.argv[1])
