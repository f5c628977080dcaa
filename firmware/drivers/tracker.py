"""From radar reports to vehicles: a vehicle is in many reports and has no name there, and counts once.

A track takes, of each report, the target that fits best where it must be by now. What is hidden for a while is waited
for until it must have left; what stood still in a queue, until it moves on. A track that ended is a vehicle when it was
seen often enough, went as far as its speed says, and did both steadily: that tells it from rain, leaves, the second
echo of a bus and a standing car. Thresholds: tests/fakes/traffic_score.py says how they were found.
Distances in cm, speeds in km/h, times in ms, angles in degrees; whole numbers throughout.
"""

from firmware.drivers import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Target = tuple[int, int, int, int]  # distance cm, direction (1 approach, 0 depart), km/h, angle deg
    Passage = tuple[int, int, int, int]  # direction, mean speed 0.01 km/h, ms within the zone, when it was there

_HITS = const(8)
_FAST_HITS = const(5)
_TRAVEL_CM = const(500)
_SLOWEST_KMH = const(8)  # slower: people on foot, a car that shakes
_FAST_KMH = const(25)  # nothing that falls or waves is so fast
_RAIN_CM = const(3000)  # the echo of drops is lost beyond
_RAINS = const(300)  # so many short tracks of late
_MISFIT_RAIN = const(170)
_GATE_CM = const(250)  # half a car and the radar's steps
_GATE_KMH = const(5)
_GATE_DEG = const(7)
_LOST_MS = const(900)  # of a track that is no vehicle yet
_FAST_LOST_MS = const(2000)
_LEFT_MS = const(1500)  # where the beam ends
_HIDDEN_MS = const(4000)  # behind a lorry
_STANDS_MS = const(120000)  # longest red light
_STANDS_KMH = const(30)  # what brakes and was last seen so slow may have stopped
_NEAR_CM = const(1200)
_EDGE_DEG = const(14)  # of a beam of 20 to each side
_AWAY_CM = const(800)
_HEIGHT = const(80000000)  # 4 m, squared and halved, in 1/1000 cm2
_TWIN_CM = const(1400)  # a bus
_TWIN_KMH = const(4)
_TWINS_KMH = const(20)  # in a queue two cars may be as close
_TURNS = const(118)  # percent of the reports, of both together
_TRACKS_MAX = const(16)  # standing ones too
_VOTES_MAX = const(64)  # on the direction, then the former ones count half
# The place where time headways are taken, and a stretch as long as a car over a loop of 2 m: both directions are in
# sight there, and most vehicles still shine.
_ZONE_CM = const(2200)
_ZONE_END_CM = const(2800)


class Track:
    """One moving thing."""

    def __init__(self, now_ms: int, target: "Target") -> None:
        self.first_cm, self.direction, speed_kmh, self.angle_deg = target
        self.distance_cm = self.last_cm = self.first_cm  # where it must be; where it was seen
        self.seen_ms = self.there_ms = now_ms
        self.moving_ms = 0
        self.zone_ms = 0
        self.speed16 = speed_kmh << 4  # of late, in 1/16 km/h
        self.fastest_kmh = speed_kmh
        self.hits = 1
        self.along_sum = 0  # of the speeds after the first, along the road, in 0.01 km/h
        self.off = 0  # sum of what did not fit: cm, and 0.01 km/h

    def comes(self) -> bool:
        """Whether it comes nearer: by its way if that tells already, else by the radar's word."""
        way_cm = self.first_cm - self.last_cm
        return way_cm > 0 if abs(way_cm) >= 200 else self.direction == 1

    def leaves(self) -> bool:
        """It is where the beam ends, beside the radar."""
        return self.comes() and (self.distance_cm < _NEAR_CM or abs(self.angle_deg) >= _EDGE_DEG)

    def stands(self) -> bool:
        """It was seen to brake, and is not just out of sight."""
        return self.speed16 <= min(_STANDS_KMH << 4, 12 * self.fastest_kmh) and not self.leaves()

    def expected_cm(self, elapsed_ms: int) -> int:
        """Where it must be by now: 1 km/h is 1/36 cm in a ms."""
        if self.stands():
            elapsed_ms = min(elapsed_ms, self.speed16 * 70 >> 4)  # braking at 2 m/s2
        way_cm = self.speed16 * elapsed_ms // 576
        return self.distance_cm - way_cm if self.comes() else self.distance_cm + way_cm

    def cost(self, elapsed_ms: int, target: "Target") -> int:
        """How badly a target fits, -1 if it cannot be the same thing."""
        distance_cm, direction, speed_kmh, angle_deg = target
        if direction != self.direction or abs(angle_deg - self.angle_deg) > _GATE_DEG + elapsed_ms // 100:
            return -1
        off_kmh = abs(speed_kmh - (self.speed16 + 8 >> 4))
        if off_kmh > _GATE_KMH + min(elapsed_ms // 150, 10) and not (
            elapsed_ms > 1000 and speed_kmh <= _STANDS_KMH and self.stands()
        ):
            return -1
        expected_cm = self.expected_cm(elapsed_ms)
        off_cm = abs(distance_cm - expected_cm)
        gate_cm = _GATE_CM + min(elapsed_ms // 5, 600)
        if self.hits < 3:
            gate_cm += 2 * abs(expected_cm - self.distance_cm)  # which way it goes is only the radar's word yet
        return -1 if off_cm > gate_cm else off_cm + 20 * off_kmh

    def follow(self, elapsed_ms: int, now_ms: int, target: "Target") -> None:
        """It was seen again."""
        distance_cm, _, speed_kmh, angle_deg = target
        if _ZONE_CM <= self.last_cm < _ZONE_END_CM:
            self.zone_ms += elapsed_ms
        if (self.last_cm < _ZONE_CM) != (distance_cm < _ZONE_CM):
            self.there_ms = now_ms
        self.seen_ms = now_ms
        self.last_cm = distance_cm
        if speed_kmh < _SLOWEST_KMH and self.stands():
            self.distance_cm = distance_cm  # it stands: what moves is in and around it
            return
        expected_cm = self.expected_cm(elapsed_ms)
        off_cm = distance_cm - expected_cm
        if elapsed_ms < 500:
            self.off += abs(off_cm) + 100 * abs(speed_kmh - (self.speed16 + 8 >> 4))
        else:
            self.off += 150  # as usual: nobody saw how it went
        self.distance_cm = expected_cm + off_cm // (2 if self.hits < 4 else 3)
        self.speed16 += ((speed_kmh << 4) - self.speed16) // 3
        self.angle_deg += (angle_deg - self.angle_deg) // 2
        self.moving_ms += min(elapsed_ms, 500)
        self.hits += 1
        self.fastest_kmh = max(self.fastest_kmh, speed_kmh)
        # The radar sees the speed times the cosine; of the beam's angle, and of its height above the road.
        away_cm = max(distance_cm, _AWAY_CM)
        lost = (angle_deg * angle_deg * 39 >> 8) + _HEIGHT // (away_cm * away_cm)  # in 1/1000
        self.along_sum += speed_kmh * (1000 + lost) // 10

    def mean_ckmh(self) -> int:
        """Its speed along the road in 0.01 km/h."""
        return self.along_sum // (self.hits - 1)

    def is_vehicle(self, travel_cm: int, rains: bool) -> bool:
        """Seen often enough, and it went on steadily: more so beside the radar when it rains."""
        hits = self.hits
        way_cm = abs(self.last_cm - self.first_cm)
        fast = self.speed16 >= _FAST_KMH << 4
        if hits < (_FAST_HITS if rains and fast else _HITS) or self.mean_ckmh() < _SLOWEST_KMH * 100:
            return False
        most = min(40 + way_cm // 5, 250 + way_cm // 50)
        if rains and not fast and max(self.first_cm, self.last_cm) < _RAIN_CM:
            most = min(_MISFIT_RAIN, way_cm >> 3)
        # How unlike a vehicle it went, in percent: unsteady, with gaps, not as far as its speed says.
        by_speed_cm = max(1, self.mean_ckmh() * self.moving_ms // 3600)
        misfit = (
            self.off // hits + 200 - 20000 * hits // (self.moving_ms + 100) + abs(100 * way_cm // by_speed_cm - 100)
        )
        return way_cm >= travel_cm and misfit < most


class Tracker:
    """`report` takes the targets of one report; `ended` gives what has passed since."""

    def __init__(self, clock: "Any", range_cm: int = 10000) -> None:  # seldom
        self._travel_cm = min(_TRAVEL_CM, range_cm // 3)
        self._range_cm = range_cm
        self._diff = clock.ticks_diff
        self._rain = 0  # sixteen for each short track, forgotten within a quarter of a minute
        self.tracks: "list[Track]" = []
        self.refused = 0  # tracks that were no vehicles
        self.agreeing = 0  # vehicles of late whose distance changed as the radar's direction says
        self.contradicting = 0
        self._ended: "list[Passage]" = []

    def report(self, now_ms: int, targets: "tuple[Target, ...]") -> None:
        """Times must not go backwards."""
        self.expire(now_ms)
        self._rain -= self._rain >> 7
        pairs = []
        for number, track in enumerate(self.tracks):
            elapsed_ms = self._diff(now_ms, track.seen_ms)
            for at, target in enumerate(targets):
                cost = track.cost(elapsed_ms, target)
                if cost >= 0:
                    pairs.append((cost, number, at))
        pairs.sort()  # the best fit first
        taken = followed = 0  # bits
        for _, number, at in pairs:
            if not (followed >> number | taken >> at) & 1:
                track = self.tracks[number]
                track.follow(self._diff(now_ms, track.seen_ms), now_ms, targets[at])
                followed |= 1 << number
                taken |= 1 << at
        for at, target in enumerate(targets):
            if not taken >> at & 1:
                if len(self.tracks) >= _TRACKS_MAX:
                    hits = [track.hits for track in self.tracks]
                    self._end(self.tracks.pop(hits.index(min(hits))))
                self.tracks.append(Track(now_ms, target))

    def expire(self, now_ms: int) -> None:
        """End what has not been seen for too long, or must have left."""
        for track in list(self.tracks):  # in the order in which they came
            elapsed_ms = self._diff(now_ms, track.seen_ms)
            if track.hits < _HITS:
                gone = elapsed_ms >= (_FAST_LOST_MS if track.speed16 >= _FAST_KMH << 4 else _LOST_MS)
            elif track.leaves():
                gone = elapsed_ms >= _LEFT_MS
            elif track.stands():
                if elapsed_ms >= _STANDS_MS:
                    self.tracks.remove(track)  # it parks: it has not passed, and counts when it does
                continue
            else:
                gone = elapsed_ms >= _HIDDEN_MS or not 0 < track.expected_cm(elapsed_ms) < self._range_cm
            if gone:
                self.tracks.remove(track)
                self._end(track)

    def _is_echo(self, track: Track) -> bool:
        """A long vehicle is two tracks that take turns, where two vehicles are in nearly each report both."""
        for other in self.tracks:
            if (
                other.direction == track.direction
                and other.hits >= _HITS
                and abs(other.speed16 - track.speed16) < _TWIN_KMH << 4
                and track.speed16 > _TWINS_KMH << 4
                and abs(other.distance_cm - track.distance_cm) < _TWIN_CM
                and track.hits * 10000 // (track.moving_ms + 100) + other.hits * 10000 // (other.moving_ms + 100)
                < _TURNS
            ):
                return True
        return False

    def _end(self, track: Track) -> None:
        rains = self._rain > _RAINS
        if not track.is_vehicle(self._travel_cm, rains) or (not rains and self._is_echo(track)):
            self.refused += 1
            if track.hits < _HITS:
                self._rain += 16
            return
        if (track.last_cm < track.first_cm) == (track.direction == 1):
            self.agreeing += 1
        else:
            self.contradicting += 1
        if self.agreeing + self.contradicting >= _VOTES_MAX:  # a radar that is turned round must be seen within a day
            self.agreeing >>= 1
            self.contradicting >>= 1
        self._ended.append((track.direction, track.mean_ckmh(), track.zone_ms, track.there_ms))

    def ended(self) -> "list[Passage]":
        """[(direction 1 approach or 0 depart, mean speed in 0.01 km/h, ms within a stretch of 6 m, ticks when it was
        there)] since the last call."""
        ended = self._ended
        self._ended = []
        return ended

    def clear(self) -> None:
        """Forget everything that has not ended."""
        self.tracks = []
        self._ended = []
