"""From the speeds of a Doppler radar without distances to vehicles: each counts once.

A track takes, of each report, the speed next to its own. Two vehicles that follow each other at one speed look like one;
the strength of the signal tells them apart: what comes nearer grows stronger until it leaves the beam, and then the next
one begins weak; what goes away begins strong. It is a vehicle when it was seen often and long enough and its speed was
steady: rain and leaves are not. Speeds in 0.01 km/h, times in ms, whole numbers throughout. The surface is that of
firmware.drivers.tracker, with strengths in the place of distances.
"""

from firmware.drivers import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MIN_HITS = const(5)
_MIN_MS = const(600)
_MIN_WAY_CM = const(500)
_ROUGH = const(130)  # mean change of the change from report to report: a car brakes, but evenly
_LOST_MS = const(1200)
_GATE = const(400)  # 4 km/h between two reports, and what a car brakes and gains: 7 km/h a second
_GAIN = const(700)
_UNLIKE = const(200)  # a signal of quite another strength is worth 2 km/h
_RATIO = const(3)  # a strength that changes more than by fading
_ODD = const(3)  # reports in a row
_TRACKS_MAX = const(8)


class Track:
    """One moving thing."""

    def __init__(self, now_ms: int, strength: int, direction: int, speed: int) -> None:
        self.direction = direction  # 1 approach, 0 depart
        self.strength = strength  # smoothed
        self.speed = self.last = speed  # smoothed, and as it came
        self.change = 0
        self.first_ms = self.seen_ms = now_ms
        self.lasted_ms = 0
        self.hits = 1
        self.total = speed
        self.rough = 0
        self.odd: "list[tuple[int, int, int, int]]" = []  # reports that would fit the next vehicle better

    def cost(self, elapsed_ms: int, target: tuple[int, int, int]) -> int:
        """How badly a target (strength, direction, speed) fits, -1 if it cannot be the same thing."""
        off = abs(target[2] - self.speed)
        if target[1] != self.direction or off > _GATE + _GAIN * elapsed_ms // 1000:
            return -1
        stronger = max(target[0], self.strength, 1)
        return off + _UNLIKE * abs(target[0] - self.strength) // stronger

    def follow(self, elapsed_ms: int, now_ms: int, target: tuple[int, int, int]) -> "Track | None":
        """It was seen again; a track of its own if that was the vehicle behind it."""
        strength, direction, speed = target
        if strength and self.strength:
            nearer, farther = (self.strength, strength) if direction else (strength, self.strength)
            if nearer > _RATIO * farther:
                self.odd.append((now_ms, strength, speed, elapsed_ms))
                if len(self.odd) >= _ODD:
                    return self._behind()
            else:
                self.odd = []
                self.strength = (self.strength + strength + 1) // 2
        change = speed - self.last
        self.rough += abs(change - self.change)
        self.last, self.change = speed, change
        self.speed = (self.speed + speed + 1) // 2
        self.lasted_ms += elapsed_ms
        self.seen_ms = now_ms
        self.hits += 1
        self.total += speed
        return None

    def _behind(self) -> "Track":
        track = Track(self.odd[0][0], self.odd[0][1], self.direction, self.odd[0][2])
        for at in range(1, len(self.odd)):
            now_ms, strength, speed, elapsed_ms = self.odd[at]
            track.lasted_ms += elapsed_ms - self.odd[at - 1][3]  # since one instant: ticks wrap, this does not
            track.seen_ms = now_ms
            track.strength = (track.strength + strength + 1) // 2
            track.speed = (track.speed + speed + 1) // 2
            track.last = speed
            track.hits += 1
            track.total += speed
        # What was taken for this one, up to the last of them.
        self.hits -= _ODD - 1
        for _, _, speed, _ in self.odd[:-1]:
            self.total -= speed
        return track

    def is_vehicle(self) -> bool:
        """Seen often and long enough, and steady."""
        if self.hits < _MIN_HITS or self.lasted_ms < _MIN_MS:
            return False
        way_cm = self.total // self.hits * self.lasted_ms // 3600  # 0.01 km/h is 1/3600 cm in a ms
        return way_cm >= _MIN_WAY_CM and self.rough <= _ROUGH * (self.hits - 1)


class SpeedTracks:
    """`report` takes the targets of one report; `ended` gives what has passed since."""

    def __init__(self, clock: "Any") -> None:
        self._diff = clock.ticks_diff
        self.tracks: "list[Track]" = []
        self.refused = 0  # tracks that were no vehicles
        self._ended: "list[tuple[int, int, int]]" = []

    def report(self, now_ms: int, targets: "tuple[tuple[int, int, int], ...]") -> None:
        """Targets are (strength, direction, speed); times must not go backwards."""
        self.expire(now_ms)
        pairs = []
        for number, track in enumerate(self.tracks):
            elapsed_ms = self._diff(now_ms, track.seen_ms)
            for at, target in enumerate(targets):
                cost = track.cost(elapsed_ms, target)
                if cost >= 0:
                    pairs.append((cost, number, at))
        pairs.sort()  # the best fit first
        taken = set()
        followed = set()
        for _, number, at in pairs:
            if number not in followed and at not in taken:
                followed.add(number)
                taken.add(at)
                track = self.tracks[number]
                behind = track.follow(self._diff(now_ms, track.seen_ms), now_ms, targets[at])
                if behind is not None:
                    self._end(track)
                    self.tracks[number] = behind
        for at, target in enumerate(targets):
            if at not in taken:
                if len(self.tracks) >= _TRACKS_MAX:
                    self._end(self.tracks.pop(0))
                self.tracks.append(Track(now_ms, *target))

    def expire(self, now_ms: int) -> None:
        """End what has not been seen for too long."""
        alive = []
        for track in self.tracks:
            if self._diff(now_ms, track.seen_ms) >= _LOST_MS:
                self._end(track)
            else:
                alive.append(track)
        self.tracks = alive

    def _end(self, track: Track) -> None:
        if track.is_vehicle():
            # It is beside the radar when it leaves the beam, or when it comes into it.
            beside_ms = track.seen_ms if track.direction else track.first_ms
            self._ended.append((track.direction, track.total // track.hits, beside_ms))
        else:
            self.refused += 1

    def ended(self) -> "list[tuple[int, int, int]]":
        """[(direction 1 approach or 0 depart, mean speed in 0.01 km/h, when it was beside the radar)] since the last call."""
        ended = self._ended
        self._ended = []
        return ended

    def clear(self) -> None:
        """Forget everything that has not ended."""
        self.tracks = []
        self._ended = []
