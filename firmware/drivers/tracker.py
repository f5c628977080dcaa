"""From radar reports to vehicles: a vehicle is in many reports and has no name there, and counts once.

A track takes, of each report, the target nearest to where it must be by now. It is a vehicle when it was seen often
enough and its way fits its speed: that tells it from rain, leaves and a standing car. It is told once, when it ended.
Distances in cm, speeds in km/h, times in ms; whole numbers throughout.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MIN_HITS = 8
MIN_TRAVEL_CM = 1000  # what rain and leaves pretend to move is less
STEPS_CM = 200  # first and last distance, each in steps of 1 m
LOST_MS = 1500  # a report in ten is missing, and a lorry hides a car for a second
GATE_CM = 400  # half a car and the radar's steps
SPEED_GATE_KMH = 12
TRACKS_MAX = 12  # the radar tells at most five targets at a time; more are remains of clutter


def travel_cm(speed_kmh: int, duration_ms: int) -> int:
    """The way at a speed: 1 km/h is 1/36 cm in a ms."""
    return speed_kmh * duration_ms // 36


class Track:
    """One moving thing."""

    def __init__(self, now_ms: int, distance_cm: int, direction: int, speed_kmh: int) -> None:
        self.direction = direction  # as the radar says, 1 or 0
        self.first_cm = self.distance_cm = distance_cm
        self.seen_ms = now_ms
        self.duration_ms = 0
        self.speed_kmh = speed_kmh
        self.hits = 1
        self.speed_sum = speed_kmh

    def sign(self) -> int:
        """-1 when it comes nearer, 1 when it goes, by its way if that tells already, else by the radar's word."""
        way = self.distance_cm - self.first_cm
        if abs(way) >= 200:
            return 1 if way > 0 else -1
        return -1 if self.direction else 1

    def expected_cm(self, elapsed_ms: int) -> int:
        """Where it must be by now."""
        return self.distance_cm + self.sign() * travel_cm(self.speed_kmh, elapsed_ms)

    def cost(self, elapsed_ms: int, target: tuple[int, int, int]) -> int:
        """How badly a target (distance cm, direction, km/h) fits, -1 if it cannot be the same thing."""
        distance_cm, direction, speed_kmh = target
        off_kmh = abs(speed_kmh - self.speed_kmh)
        if direction != self.direction or off_kmh > SPEED_GATE_KMH + elapsed_ms // 100:
            return -1
        off_cm = abs(distance_cm - self.expected_cm(elapsed_ms))
        gate_cm = GATE_CM + travel_cm(SPEED_GATE_KMH, elapsed_ms)
        if self.hits < 3:
            gate_cm += 2 * travel_cm(speed_kmh, elapsed_ms)  # which way it goes is only the radar's word yet
        return -1 if off_cm > gate_cm else off_cm + 20 * off_kmh

    def follow(self, elapsed_ms: int, now_ms: int, target: tuple[int, int, int]) -> None:
        """It was seen again."""
        expected_cm = self.expected_cm(elapsed_ms)
        self.distance_cm = target[0] if self.hits < 3 else (expected_cm + target[0]) // 2
        self.speed_kmh = (3 * self.speed_kmh + target[2] + 2) // 4
        self.duration_ms += elapsed_ms
        self.seen_ms = now_ms
        self.hits += 1
        self.speed_sum += target[2]

    def is_vehicle(self, min_travel_cm: int = MIN_TRAVEL_CM) -> bool:
        """Seen often enough, and it went as far as its speed says (within a half)."""
        way_cm = abs(self.distance_cm - self.first_cm)
        if self.hits < MIN_HITS or way_cm < min_travel_cm:
            return False
        by_speed_cm = travel_cm(self.speed_sum, self.duration_ms) // self.hits
        return 2 * by_speed_cm // 3 - STEPS_CM <= way_cm <= 3 * by_speed_cm // 2 + STEPS_CM


class Tracker:
    """`report` takes the targets of one report; `ended` gives what has passed since."""

    def __init__(self, clock: "Any", range_cm: int = 10000) -> None:
        self._min_travel_cm = min(MIN_TRAVEL_CM, range_cm // 3)
        self._diff = clock.ticks_diff
        self.tracks: "list[Track]" = []
        self.refused = 0  # tracks that were no vehicles
        self.agreeing = 0  # vehicles whose distance changed as the radar's direction says
        self.contradicting = 0
        self._ended: "list[tuple[int, int]]" = []

    def report(self, now_ms: int, targets: tuple[tuple[int, int, int], ...]) -> None:
        """Targets are (distance cm, direction, km/h); times must not go backwards."""
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
                track = self.tracks[number]
                track.follow(self._diff(now_ms, track.seen_ms), now_ms, targets[at])
                followed.add(number)
                taken.add(at)
        for at, target in enumerate(targets):
            if at not in taken:
                if len(self.tracks) >= TRACKS_MAX:
                    self._end(self.tracks.pop(0))
                self.tracks.append(Track(now_ms, *target))

    def expire(self, now_ms: int) -> None:
        """End what has not been seen for too long, or must have left."""
        alive = []
        for track in self.tracks:
            elapsed_ms = self._diff(now_ms, track.seen_ms)
            if elapsed_ms >= LOST_MS or track.expected_cm(elapsed_ms) < -GATE_CM:
                self._end(track)
            else:
                alive.append(track)
        self.tracks = alive

    def _end(self, track: Track) -> None:
        if not track.is_vehicle(self._min_travel_cm):
            self.refused += 1
            return
        if (track.distance_cm < track.first_cm) == (track.direction == 1):
            self.agreeing += 1
        else:
            self.contradicting += 1
        self._ended.append((track.direction, track.speed_sum * 100 // track.hits))

    def ended(self) -> "list[tuple[int, int]]":
        """[(direction 1 approach or 0 depart, mean speed in 0.01 km/h)] since the last call."""
        ended = self._ended
        self._ended = []
        return ended

    def clear(self) -> None:
        """Forget everything that has not ended."""
        self.tracks = []
        self._ended = []
