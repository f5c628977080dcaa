"""OmniPreSense OPS243-A: 24 GHz Doppler radar over UART (19200 8N1, text lines), speeds without distances.

Two letters are a command; its settings are lost at power-off. It is set to m/s, its maker's unit, so that a radar that
was without power for a moment does not change the scale, and to JSON lines, so that this shows: it then sends plain
ones. No line has a checksum: a line counts only if all of it can be read. Firmware versions differ in what they write
as numbers and what as strings, one value or a list, a sign or a word for the direction: all are read.
"""

from firmware.drivers import (
    CHIP_FAULT,
    NO_ANSWER,
    READY,
    REFUSED,
    SHIFTED,
    STALE,
    STUCK,
    WARMUP,
    WRONG_CHIP,
    SensorError,
    const,
    passages,
    seldom,
)
from firmware.drivers.speed_tracks import SpeedTracks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

    Target = tuple[int, int]  # strength, 0.01 of the unit (positive: approach)

_LINE_MAX = const(240)  # nine targets with strengths have 200
_SPEED_MAX = const(25000)  # 250 km/h
_ANSWER_MS = const(700)
_TRIES = const(3)
_PAUSE_MS = const(20)  # between commands
_GAP_MS = const(1000)  # a radar that tells when nothing moves is never silent for so long
_FORGOT_MS = const(4000)
_SHIFTED_MS = const(2000)
_STUCK_LINES = const(50)
_TICKS_MASK = const(0x3FFFFFFF)

# 0.01 km/h in 10000 of a hundredth of the unit; units as the radar spells them.
_UNITS = ((b"m-per-sec", 36000), (b"km-per-hr", 10000), (b"mph", 16093), (b"cm-per-sec", 360), (b"ft-per-sec", 10973))


def hundredths(text: bytes) -> "int | None":
    """`-5.28` -> -528, exactly; None if it is no decimal number."""
    negative = text[:1] == b"-"
    whole, _, rest = text[1 if negative else 0 :].partition(b".")
    digits = whole + (rest + b"00")[:2]
    if not whole or len(whole) > 6 or not digits.isdigit() or (rest and not rest.isdigit()):
        return None
    value = int(digits)
    if len(rest) > 2 and rest[2] >= 0x35:
        value += 1
    return -value if negative else value


def values_of(line: bytes, name: bytes) -> "list[bytes]":
    """What a JSON line says for a name: one value or the items of its list, without quotation marks; [] if nothing."""
    at = line.find(b'"' + name + b'"')
    if at < 0:
        return []
    rest = line[at + len(name) + 2 :].lstrip()
    if rest[:1] != b":":
        return []
    rest = rest[1:].lstrip()
    if rest[:1] == b"[":
        end = rest.find(b"]")
        body = rest[1:end] if end > 0 else b"?"
    else:
        body = rest.split(b",")[0].rstrip(b"}")
    return [item.strip().strip(b'"') for item in body.split(b",")]


def decode_line(line: bytes) -> "tuple[str, Any] | None":
    """("speeds", ((strength, 0.01 unit), ...)) of a JSON line, "plain" for one without JSON, ("status", line) for any
    other JSON line; None if it cannot be read. A speed of 0 is no target."""
    if line[:1] == b"{":
        if line[-1:] != b"}" or line.count(b'"') % 2:
            return None
        speeds = values_of(line, b"speed")
        if not speeds:
            return "status", line
        strengths = values_of(line, b"magnitude") or [b"0"] * len(speeds)
        outbound = values_of(line, b"direction") == [b"outbound"]
        kind = "speeds"
    else:
        # A unit in quotation marks may stand first, then the time, which has a point; the speed is the last.
        parts = [part.strip() for part in line.split(b",")]
        speeds = parts[-1:]
        before = parts[-2:-1]
        strengths = before if before and before[0].isdigit() else [b"0"]
        outbound = False
        kind = "plain"
    if len(strengths) != len(speeds):
        return None
    targets = []
    for at, text in enumerate(speeds):
        speed, strength = hundredths(text), hundredths(strengths[at])
        if speed is None or strength is None or strength < 0:
            return None
        if speed:
            targets.append((strength // 100, -abs(speed) if outbound else speed))
    return kind, tuple(targets)


class Lines:
    """Lines out of a byte stream; never raises. `dropped` counts lines that nobody can read."""

    def __init__(self) -> None:
        self._buffer = b""
        self._whole = False  # the first one began before we listened
        self.lines = 0
        self.dropped = 0

    def feed(self, chunk: bytes) -> "list[tuple[str, Any]]":
        """What the lines say that are complete now."""
        parts = (self._buffer + chunk).replace(b"\r", b"\n").split(b"\n")
        self._buffer = parts.pop()
        found = []
        for part in parts:
            line = part.strip()
            if line and (self._whole or line[:1] == b"{"):
                said = decode_line(line)
                if said is None:
                    self.dropped += 1
                else:
                    self.lines += 1
                    found.append(said)
            self._whole = True
        if len(self._buffer) > _LINE_MAX:
            self._buffer = b""
            self._whole = False
            self.dropped += 1
        return found


class OPS243A:
    """See firmware.drivers for what a driver does; `read()` listens for a whole period."""

    GROUPS = passages.GROUPS[:2] + passages.GROUPS[3:]  # without distances there is no place to occupy
    SETTINGS = ("direction_flip", "speed_angle_deg")
    period_ms = 1000

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        min_speed_kmh: int = 8,
        min_strength: int = 0,
        targets: int = 4,
        flip: int = 0,
        ask_ms: int = 15000,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self._passages = passages.Passages(clock, instance)
        self.items = self._passages.items[:12]
        self._uart = bus
        self._clock = clock
        self._min_speed = min_speed_kmh * 100
        self._min_strength = min_strength
        self._targets = targets
        self._flip_wired = flip
        self._flip = flip
        self._secant = 1000
        self._ask_every_ms = ask_ms
        self._lines = Lines()
        self._tracks = SpeedTracks(clock)
        self._chunk = bytearray(256)
        self._status: "list[bytes]" = []
        self._factor = 36000
        self._talks_idle = False
        self._json = False  # it was seen to send what it was told to
        self._lost_setup = False
        self._last: "Any" = ()
        self._equal = 0
        self._read_ms = 0
        self._line_ms = 0
        self._counted_ms = 0  # the same, or the end of a period that was refused
        self._byte_ms = 0
        self._asked_ms = 0
        self._dropped = 0

    def configure(self, name: str, value: int) -> None:
        """`direction_flip` swaps the directions; `speed_angle_deg` is the angle between beam and road."""
        if name == "direction_flip":
            self._flip = self._flip_wired ^ value
        elif name == "speed_angle_deg":
            self._secant = seldom("firmware.drivers.secant", "secant")(value)

    async def start(self) -> None:
        """Wake, identify, set up. SensorError NO_ANSWER, WRONG_CHIP, REFUSED (an unknown unit)."""
        self.state = WARMUP
        self._lines = Lines()
        self._dropped = 0
        self._tracks.clear()
        self._talks_idle = self._json = self._lost_setup = False
        self._equal = 0
        self._passages.clear()
        await self._send(b"\r")  # ends what noise began
        await self._send(b"PA")
        product = await self._ask(b"?P", b"Product")
        if product[:5] != b"OPS24":
            raise SensorError(WRONG_CHIP, retry=False, text=_text(product))
        version = await self._ask(b"?V", b"Version", 1)
        serial = await self._ask(b"?U", b"UID", 1)
        self.identity = "%s serial %s firmware %s" % (_text(product), _text(serial), _text(version))
        speed_min = b"R>%d\r" % (self._min_speed // 360)  # whole m/s; the rest is left out here
        strength_min = b"M>%d\r" % self._min_strength
        for words in (b"OJ", b"OM", b"F2", b"O%d" % self._targets, b"SX", b"R|", speed_min, strength_min, b"BZ", b"UM"):
            await self._send(words)
        await self._check_unit()
        self._read_ms = self._line_ms = self._counted_ms = self._byte_ms = self._clock.ticks_ms()
        self.lost_ms = 0
        self.state = READY

    async def _send(self, words: bytes) -> None:
        self._uart.write(words)
        await self._listen(_PAUSE_MS)

    async def _ask(self, words: bytes, key: bytes, tries: int = _TRIES) -> bytes:
        """The value of `key` in the answer; SensorError NO_ANSWER, or b"" if only one try was worth it."""
        clock = self._clock
        for _ in range(tries):
            self._status = []
            self._uart.write(words)
            began = clock.ticks_ms()
            left_ms = _ANSWER_MS
            while left_ms > 0:
                await self._listen(left_ms)
                for line in self._status:
                    found = values_of(line, key)
                    if found:
                        return found[0]
                left_ms = _ANSWER_MS - clock.ticks_diff(clock.ticks_ms(), began)
        if tries == 1:
            return b""
        raise SensorError(NO_ANSWER, retry=False, text="radar")

    async def _check_unit(self) -> None:
        unit = await self._ask(b"U?", b"Units")
        self._asked_ms = self._clock.ticks_ms()
        for name, factor in _UNITS:
            if unit == name:
                if self.state == READY and factor != self._factor:
                    self._lost_setup = True
                self._factor = factor
                return
        raise SensorError(REFUSED, retry=False, text=_text(unit))

    async def _listen(self, timeout_ms: int) -> None:
        """Take what comes within `timeout_ms`."""
        size = await self._uart.readinto(self._chunk, timeout_ms)
        if not size:
            return
        now_ms = self._clock.ticks_ms()
        self._byte_ms = now_ms
        for kind, said in self._lines.feed(bytes(memoryview(self._chunk)[:size])):
            if kind == "status":
                self._status = self._status[-7:] + [said]
                continue
            if self.state == READY:
                self._count_lost(now_ms)
            self._line_ms = self._counted_ms = now_ms
            if kind == "speeds":
                self._json = True
            elif self._json:
                self._lost_setup = True
            self._take(now_ms, said)

    def _take(self, now_ms: int, said: "tuple[Target, ...]") -> None:
        if not said:
            self._talks_idle = True
        self._equal = self._equal + 1 if said and said == self._last else 0
        self._last = said
        targets = []
        for strength, speed in said:
            kmh = abs(speed) * self._factor // 10000
            if self._min_speed <= kmh <= _SPEED_MAX and strength >= self._min_strength:
                targets.append((strength, (1 if speed > 0 else 0) ^ self._flip, kmh))
        self._tracks.report(now_ms, tuple(targets))

    def _count_lost(self, now_ms: int) -> None:
        """Lines are missing: the receiver overflowed while the flash was busy, or the line was disturbed."""
        diff = self._clock.ticks_diff
        damaged = self._lines.dropped != self._dropped
        self._dropped = self._lines.dropped
        if damaged or (self._talks_idle and diff(now_ms, self._line_ms) >= _GAP_MS):
            self.lost_ms += diff(now_ms, self._counted_ms)

    async def read(self) -> "list[Reading]":
        """Listen until a period is over; counts (0 too) and the speeds of the vehicles that have passed.

        SensorError NO_ANSWER, STALE when one that always tells has not, SHIFTED when its bytes make no lines, STUCK,
        CHIP_FAULT when it has lost its settings.
        """
        self.covered_ms = 0
        self.lost_ms = 0
        if self.state != READY:
            raise SensorError(STALE, retry=False)
        clock = self._clock
        while True:
            now_ms = clock.ticks_ms()
            elapsed_ms = clock.ticks_diff(now_ms, self._read_ms)
            if elapsed_ms >= self.period_ms:
                break
            await self._listen(self.period_ms - elapsed_ms)
        self._read_ms = now_ms
        await self._check_life(now_ms)
        if self._talks_idle and clock.ticks_diff(now_ms, self._line_ms) >= elapsed_ms:
            self._counted_ms = now_ms
            self._passages.clear()
            raise SensorError(STALE)
        self._tracks.expire(now_ms)
        self.lost_ms = min(self.lost_ms, elapsed_ms - 1)  # what was counted stands for some time
        self.covered_ms = elapsed_ms - self.lost_ms
        return self._readings()

    async def _check_life(self, now_ms: int) -> None:
        diff = self._clock.ticks_diff
        silent_ms = diff(now_ms, self._line_ms)
        if self._equal >= _STUCK_LINES:
            raise SensorError(STUCK, detail=self._equal)
        if diff(now_ms, self._byte_ms) < _SHIFTED_MS <= silent_ms and self._lines.dropped != self._dropped:
            raise SensorError(SHIFTED, detail=self._lines.dropped)
        if diff(now_ms, self._asked_ms) >= self._ask_every_ms or (self._talks_idle and silent_ms >= _GAP_MS):
            await self._check_unit()
        # It told that nothing moves, answers, and tells no more: it does not know that it should.
        if self._lost_setup or (self._talks_idle and silent_ms >= _FORGOT_MS):
            raise SensorError(CHIP_FAULT, retry=False, text="settings lost")

    def _readings(self) -> "list[Reading]":
        passed = []
        for direction, speed, beside_ms in self._tracks.ended():
            passed.append((direction, speed * self._secant // 1000, -1, beside_ms))
        return self._passages.readings(passed)

    async def stop(self) -> None:
        """Idle: it transmits no more; what was not finished is forgotten."""
        self.state = WARMUP
        self._tracks.clear()
        self._uart.write(b"PI")

    async def self_test(self) -> "list[TestRow]":
        """Answer, unit, lines that nobody could read, settings still there."""
        rows = []
        try:
            await self._check_unit()
            rows.append(("answers", True, self._lines.lines))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        dropped = self._lines.dropped
        rows.append(("lines dropped", dropped * 100 <= self._lines.lines, dropped))
        rows.append(("settings kept", not self._lost_setup, self._factor))
        return rows


def _text(raw: bytes) -> str:
    """As far as a technician can read it."""
    return "".join([chr(byte) for byte in raw if 32 <= byte < 127]) or "unknown"
