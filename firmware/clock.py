"""Time on a board: milliseconds since boot that never wrap, and UTC as told by a gateway. No float anywhere.

`ticks_ms` of the port wraps at 2^30 ms (12.4 days); `uptime_ms` follows it as long as it is asked once in 6 days. The
port's own calendar (epoch 2000 on an ESP32, 1970 elsewhere) is never asked.

Within a boot the crystal is trusted more than a gateway: an offer that differs by more than drift can explain is
refused, and only one that is repeated without contradiction for STEP_AFTER_MS is followed, as a step.
"""

from wire import UTC_HIGH_S, UTC_LOW_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROUND_TRIP_MAX_MS = 4000  # half of it is what the offer may be wrong by: 2 s, what DESIGN promises
DRIFT_PPM = 100  # twice what a board's crystal does over its temperature range
STEP_TOLERANCE_MS = 2000
STEP_AFTER_MS = 3600000

REFUSED = 0
FIRST = 1
ADJUSTED = 2
STEPPED = 3


class Clock:
    """`port` has ticks_ms, ticks_diff, sleep_ms (firmware.hal); drivers get this object."""

    def __init__(self, port: "Any") -> None:  # seldom
        self.ticks_ms = port.ticks_ms
        self.ticks_diff = port.ticks_diff
        self.sleep_ms = port.sleep_ms
        self._ticks = port.ticks_ms()
        self._uptime_ms = 0
        self._offset_ms: "int | None" = None  # UTC less uptime
        self._round_trip_ms = 0  # of the offer that set it
        self._set_at_ms = 0
        self._strange_ms: "int | None" = None  # an offset that a gateway insists on
        self._strange_since_ms = 0
        self.step_ms = 0  # of the last step, forwards positive
        self.moved_ms = 0  # sum of what offers have changed
        self.slack_ms = 0  # what deep sleep since the last offer may have added to the error

    def uptime_ms(self) -> int:
        """Milliseconds since this object was made, at boot."""
        now = self.ticks_ms()
        self._uptime_ms += self.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms

    @property
    def synced(self) -> bool:
        """Whether UTC is known in this boot."""
        return self._offset_ms is not None

    def utc_ms(self) -> "int | None":
        """Unix UTC in ms, None while it is not known."""
        return None if self._offset_ms is None else self.uptime_ms() + self._offset_ms

    def utc_s(self) -> "int | None":
        """Unix UTC in whole seconds, None while it is not known."""
        return None if self._offset_ms is None else (self.uptime_ms() + self._offset_ms) // 1000

    def to_utc_ms(self, uptime_ms: int) -> int:
        """UTC of an uptime of this boot; only when synced."""
        return uptime_ms + (self._offset_ms or 0)

    def to_uptime_ms(self, utc_ms: int) -> int:
        """Uptime of a UTC time; only when synced."""
        return utc_ms - (self._offset_ms or 0)

    def keep(self) -> "list[int | None]":  # seldom
        """What `resume` needs to go on after a deep sleep."""
        kept = [self.uptime_ms(), self._offset_ms, self._round_trip_ms, self._set_at_ms]
        return kept + [self._strange_ms, self._strange_since_ms, self.slack_ms]

    def resume(self, kept: "list[int | None]", slept_ms: int, slack_ms: int) -> None:  # seldom
        """Go on where `keep` was called, `slept_ms` ago, which may be wrong by `slack_ms`."""
        uptime, self._offset_ms, self._round_trip_ms, self._set_at_ms = kept[:4]  # type: ignore[assignment]
        self._strange_ms, self._strange_since_ms, self.slack_ms = kept[4:]  # type: ignore[assignment]
        self._uptime_ms = uptime + slept_ms  # type: ignore[operator]
        self.slack_ms += slack_ms
        self._ticks = self.ticks_ms()

    def set_since(self, uptime_ms: int) -> bool:
        """Whether a gateway's time was taken since then."""
        return self._offset_ms is not None and self._set_at_ms >= uptime_ms

    def forget(self) -> None:
        """Go on without UTC, for what a gateway told cannot be true."""
        self._offset_ms = None

    def offer(self, unix_ms: int, held_ms: int, sent_uptime_ms: int) -> int:
        """A gateway's time in answer to an uplink sent at `sent_uptime_ms`, which it held for `held_ms`.

        REFUSED, FIRST, ADJUSTED or STEPPED. The answer travelled at most the round trip less `held_ms`; half of it is
        assumed.
        """
        now = self.uptime_ms()
        round_trip = now - sent_uptime_ms - held_ms
        if round_trip < 0:
            round_trip = 0
        if round_trip > ROUND_TRIP_MAX_MS or not UTC_LOW_S * 1000 <= unix_ms < UTC_HIGH_S * 1000:
            return REFUSED
        offset = unix_ms + round_trip // 2 - now
        if self._offset_ms is None:
            self._take(offset, round_trip, now)
            return FIRST
        drift = (now - self._set_at_ms) * DRIFT_PPM // 1000000 + self.slack_ms
        difference = offset - self._offset_ms
        if abs(difference) <= STEP_TOLERANCE_MS + drift:
            self._strange_ms = None
            # a slow answer says less than the crystal unless the crystal had time to drift further than it is wrong
            if round_trip <= self._round_trip_ms or round_trip // 2 < drift + self._round_trip_ms // 2:
                self._take(offset, round_trip, now)
            return ADJUSTED
        if self._strange_ms is None or abs(offset - self._strange_ms) > STEP_TOLERANCE_MS:
            self._strange_ms = offset
            self._strange_since_ms = now
        if now - self._strange_since_ms < STEP_AFTER_MS:
            return REFUSED
        self.step_ms = difference
        self._take(offset, round_trip, now)
        return STEPPED

    def _take(self, offset: int, round_trip: int, now: int) -> None:
        if self._offset_ms is not None:
            self.moved_ms += offset - self._offset_ms
        self._offset_ms = offset
        self.slack_ms = 0
        self._round_trip_ms = round_trip
        self._set_at_ms = now
        self._strange_ms = None
