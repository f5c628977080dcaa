"""From the distances of one beam to vehicles: down onto a lane, or across it.

The beam ends on a surface (the road, a wall) that is learned; a vehicle is something nearer, for a plausible time.
Where nothing sends the light back the gate is open: whatever echoes is a vehicle. Glass and dark paint swallow the
light in the middle of a car, so that an echo that is missing ends no vehicle; rain echoes for single frames. Distances
in cm, times in ms of the sensor's own frames.
"""

from array import array

from firmware.drivers import const

# Instead of a distance:
DARK = -1  # too little light came back
GLARE = -2  # too much: sun, a mirror
NEAR = -3  # nearer than the sensor can measure: dirt on its window, a drop

_BIN_CM = const(5)
_BINS = const(243)  # up to 12 m, then one for darkness
_SURFACE_PCT = const(15)  # so much of the time traffic leaves the surface free
_OPEN_PCT = const(50)
_MARGIN_CM = const(30)  # less is snow, a kerb, noise
_VEHICLE_MS = const(40)  # a motorcycle at 160 km/h takes 47
_VEHICLE_FRAMES = const(3)
_SHARE_PCT = const(30)  # so much of a vehicle must echo
_GAP_MS = const(300)  # drawbars are shorter, distances between vehicles longer
_DARK_MS = const(1500)  # no part of a vehicle is dark for longer
_FAR_MS = const(5000)  # beyond the surface for so long: something stood there when it was learned
_DRIFT_FRAMES = const(512)
_HEADWAY_MAX_MS = const(3600000)
_NO_TOP = const(9999)


class Gate:
    """`frame(echo)` for each frame in turn, `skip(ms)` where some are missing; then look, then `clear()`.

    `background_cm`: None while it learns, 0 where the gate is open. `blocked`: something has been in the beam for
    `blocked_ms`, or nothing could be learned. Since `clear()`: `ended`, the vehicles that have passed, as (ms
    from the front of the one before to its front, or -1; ms that it took; height cm above the surface, or -1); `dark_ms`
    nobody could tell; `blips`, echoes too short for a vehicle.
    """

    def __init__(self, frame_ms: int, learn_ms: int, blocked_ms: int) -> None:
        self.frame_ms = frame_ms
        self._learn_frames = learn_ms // frame_ms
        self._blocked_ms = blocked_ms
        self.learn()

    def learn(self) -> None:
        """Forget the surface and what is under way."""
        self.background_cm: "int | None" = None
        self.blocked = False
        self._bins: "array[int] | None" = array("H", bytes(2 * (_BINS + 1)))
        self._left = self._learn_frames
        self._drift = self._drifted = 0
        self.restart()

    def restart(self) -> None:
        """Frames have not come for a while: the surface is the same, what was under way is not."""
        self._far_ms = 0
        self._since_ms = -1  # the front of the vehicle before
        if not self.blocked:
            self._leave()
        self.clear()

    def clear(self) -> None:
        """Begin to sum anew."""
        self.dark_ms = self.blips = 0
        self.ended: "list[tuple[int, int, int]]" = []

    def _leave(self) -> None:
        """Nothing is in the beam."""
        self._age_ms = -1  # of what is in the beam, from its front
        self._back_ms = 0  # its age at its last echo
        self._hits = 0
        self._run = 0  # echoes since the surface was seen
        self._headway_ms = -1
        self._top_cm = self._one = self._two = _NO_TOP

    def skip(self, duration_ms: int) -> None:
        """Frames are missing."""
        self._pass(duration_ms)
        if duration_ms >= _DARK_MS:
            self._close()

    def _pass(self, duration_ms: int) -> None:
        if self._since_ms >= 0:
            self._since_ms += duration_ms
            if self._since_ms > _HEADWAY_MAX_MS:
                self._since_ms = -1
        if self._age_ms >= 0 and not self.blocked:
            self._age_ms += duration_ms

    def frame(self, echo: int) -> None:
        """One more: a distance, DARK, GLARE or NEAR."""
        self._pass(self.frame_ms)
        background = self.background_cm
        if background is None:
            self._teach(echo)
        elif echo >= 0 and (not background or echo < background - _MARGIN_CM):
            self._inside(echo)
        elif echo >= 0 or (echo == DARK and not background):
            self._outside(echo, background)
        else:
            self._unseen()

    def _inside(self, echo: int) -> None:
        self._far_ms = 0
        if self._age_ms < 0:
            self._headway_ms = self._since_ms - self.frame_ms if self._since_ms >= 0 else -1
            self._age_ms = self.frame_ms
        self._run = min(self._run + 1, 2)
        if self._run < 2 and self._hits >= _VEHICLE_FRAMES:
            return  # behind a vehicle: one drop does not make it longer
        self._hits = min(self._hits + 1, 1 << 20)
        self._back_ms = self._age_ms
        # The highest point is where three frames in a row agree: a drop on its way down is one frame.
        self._top_cm = min(self._top_cm, max(self._one, self._two, echo))
        self._one, self._two = self._two, echo
        if self._hits >= _VEHICLE_FRAMES and self._age_ms >= self._blocked_ms:
            self.blocked = True

    def _outside(self, echo: int, background: int) -> None:
        self._run = 0
        self._one = self._two = _NO_TOP
        if self._age_ms >= 0:
            # Blocked, its age stands still: the first look past it is enough.
            if self._hits < _VEHICLE_FRAMES or self.blocked or self._age_ms - self._back_ms >= _GAP_MS:
                self._close()
            return
        if not background:
            return
        if echo > background + _MARGIN_CM:
            self._far_ms += self.frame_ms
            if self._far_ms >= _FAR_MS:
                self.learn()
            return
        self._far_ms = 0
        self._drift += echo - background
        self._drifted += 1
        if self._drifted == _DRIFT_FRAMES:
            self.background_cm = background + (self._drift + _DRIFT_FRAMES // 2) // _DRIFT_FRAMES
            self._drift = self._drifted = 0

    def _unseen(self) -> None:
        self._one = self._two = _NO_TOP
        dark_ms = self._age_ms - self._back_ms
        if self._age_ms < 0 or dark_ms >= _GAP_MS:  # longer than glass
            self.dark_ms += self.frame_ms
        if self._age_ms >= 0 and dark_ms >= _DARK_MS:
            self._close()

    def _close(self) -> None:
        """What was in the beam has left it."""
        if self._age_ms < 0:
            return
        lasted_ms = self._back_ms
        seen = self._hits >= _VEHICLE_FRAMES and 100 * self._hits * self.frame_ms >= _SHARE_PCT * lasted_ms
        if not seen or lasted_ms < _VEHICLE_MS:
            self.blips += 1
        elif self.blocked:
            self._since_ms = -1
        else:
            known = self.background_cm and self._top_cm < _NO_TOP
            height_cm = self.background_cm - self._top_cm if known else -1  # type: ignore[operator]
            self.ended.append((self._headway_ms, lasted_ms, height_cm))
            self._since_ms = self._age_ms
        self.blocked = False
        self._leave()

    def _teach(self, echo: int) -> None:
        bins = self._bins
        assert bins is not None
        if echo == DARK:
            bins[_BINS] += 1
        elif echo >= 0:
            bins[min(echo // _BIN_CM, _BINS - 1)] += 1
        self._left -= 1
        if self._left:
            return
        frames = self._learn_frames
        for at in range(_BINS - 1, 4, -1):  # the farthest: all else stood in front of it
            if 100 * (bins[at] + bins[at - 1]) >= _SURFACE_PCT * frames:
                if bins[at - 2] > bins[at]:
                    at -= 1
                both = bins[at] + bins[at - 1]
                self.background_cm = at * _BIN_CM + _BIN_CM * (bins[at] - bins[at - 1]) // (2 * both)
                break
        else:
            if 100 * bins[_BINS] >= _OPEN_PCT * frames:
                self.background_cm = 0
        if self.background_cm is None:
            self.learn()
            self.blocked = True  # nothing but glare and dirt
        else:
            self._bins = None
