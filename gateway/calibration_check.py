"""Whether a value's calibration holds: judged once, when the record is stored, by the time of its observation.

A value is *not evaluated* (reason: calibration) if its channel is one that the configuration wants calibrated and no
passport speaks of it, if it was changed by constants that no passport speaks of, or if this gateway does not know what its
calibration's number stands for. It is *suspect* (reason: calibration) if it was observed after the passport's last day.
A flag that is as bad already stays as it is, with its own reason. The value is never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from gateway.calibration import CalibrationError, CalibrationSet, changed, covering, find_set, item_name
from gateway.store.rows import pack_values, unpack_values
from wire import channels
from wire.profiles import Profile
from wire.quality import CALIBRATION, GOOD, MISSING, NOT_EVALUATED, SUSPECT

log = logging.getLogger("calibration")

NONE = 0  # instead of an end: there is no calibration where there ought to be one
FOR_EVER = 1 << 62
SOON_MS = 14 * 86_400_000


class Ends(NamedTuple):
    """Until when (unix ms) the calibration of each of a profile's values holds."""

    soonest: int
    items: tuple[int, ...]


class CalibrationCheck:
    """Knows the sets of one folder. `required`: names of channels that must have a passport."""

    def __init__(self, folder: Path, required: Collection[str] = ()) -> None:
        self.folder = folder
        self._required = frozenset(required)
        self._ends: dict[int, Ends] = {}
        self._unknown: dict[int, int] = {}  # number -> state of the folder when it was not there
        self._sets: dict[int, CalibrationSet] = {}

    def find(self, number: int) -> CalibrationSet | None:
        """The set with this number; None: not here, or not usable (which is logged once)."""
        known = self._sets.get(number)
        if known is not None:
            return known
        state = self._state()
        if self._unknown.get(number) == state:
            return None
        try:
            found = find_set(self.folder, number)
        except CalibrationError as error:
            log.warning("calibration: %08x, %s", number, error)
            found = None
        if found is None:
            if number not in self._unknown:
                log.warning("calibration: %08x is not known here; its values are flagged", number)
            self._unknown[number] = state
            return None
        self._sets[number] = found
        return found

    def _state(self) -> int:
        try:
            return self.folder.stat().st_mtime_ns
        except OSError:
            return 0

    def ends(self, profile: Profile) -> Ends:
        """Remembered as soon as the set is known: a set never changes."""
        ends = self._ends.get(profile.id)
        if ends is None:
            found = self.find(profile.calibration)
            items = tuple(self._end(found, *item) for item in profile.items)
            ends = Ends(min(items), items)
            if found is not None:
                self._ends[profile.id] = ends
        return ends

    def _end(self, found: CalibrationSet | None, channel_id: int, instance: int) -> int:
        channel = channels.by_id(channel_id)
        if channel.kind in (channels.COUNT, channels.SUM, channels.TOTAL) and channel.name not in self._required:
            return FOR_EVER
        if found is None:
            return NONE
        passport = covering(found.passports, channel_id, instance)
        if passport is not None:
            return passport.expires_ms()
        wanted = channel.name in self._required or changed(found.settings, channel_id, instance)
        return NONE if wanted else FOR_EVER

    def problem(self, profile: Profile, now_ms: int) -> str:
        """What a person should do something about; "" if there is nothing."""
        if self.find(profile.calibration) is None:
            return f"calibration {profile.calibration:08x} is not known here; steiger calibrate add brings its set"
        ends = self.ends(profile)
        for word, low, high in (
            ("expired", NONE + 1, now_ms),
            ("is missing", NONE, NONE),
            ("expires soon", now_ms, now_ms + SOON_MS),
        ):
            names = [
                item_name(*item) for item, end in zip(profile.items, ends.items, strict=True) if low <= end <= high
            ]
            if names:
                return f"calibration of {', '.join(names)} {word}"
        return ""

    def judged(self, profile: Profile, end_ms: int, data: bytes) -> bytes:
        """`data` of a record as it is stored, with what its calibrations are worth at `end_ms`."""
        ends = self.ends(profile)
        if end_ms <= ends.soonest:
            return data
        values, before = unpack_values(data)
        flags = list(before) if before is not None else [MISSING if value is None else GOOD for value in values]
        for place, end in enumerate(ends.items):
            flag = NOT_EVALUATED if end == NONE else SUSPECT if end_ms > end else GOOD
            if values[place] is not None and flag > flags[place] & 15:
                flags[place] = flag | CALIBRATION << 4
        if before is None and all(flag in (GOOD, MISSING) for flag in flags):
            return data
        return pack_values(values, tuple(flags))
