"""Hi-Link HLK-LD2451: 24 GHz vehicle radar over UART (115200 8N1), about ten reports a second.

No frame has a checksum: header, length, footer and the fields' ranges must all fit. Some units are silent while
nothing moves, so silence is no vehicle; after a longer one the radar is asked. Counts and speeds leave this file per
vehicle, and the node only per window (firmware.aggregate holds the minimum count).
"""

from firmware.drivers import (
    BLOCKED,
    GOOD,
    NO_ANSWER,
    READY,
    REFUSED,
    SHIFTED,
    STALE,
    SUSPECT,
    WARMUP,
    SensorError,
    const,
    passages,
    seldom,
)
from firmware.drivers.tracker import Tracker
from wire.quality import CONTRADICTION, LOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

    Target = tuple[int, int, int, int, int]  # angle deg, distance m, direction, km/h, snr


CARE = "firmware.drivers.ld2451_care"
_REPORT_HEAD = b"\xf4\xf3\xf2\xf1"
_REPORT_TAIL = b"\xf8\xf7\xf6\xf5"
_ACK_HEAD = b"\xfd\xfc\xfb\xfa"
_ACK_TAIL = b"\x04\x03\x02\x01"

_TARGETS_MAX = const(5)  # the sheet says 3, units are known that send 5
_ACKS_MAX = const(4)  # answers kept; nobody asked for more, and a line with an echo gives them for ever
_ACK_MAX = const(32)  # the longest answer that this driver asks for has 14 bytes
_DISTANCE_MAX_M = const(100)
_SPEED_MAX_KMH = const(160)  # the sheet says 120; a driver in a hurry is no byte error
_BUFFER_MAX = const(256)  # a report has at most 37 bytes; what is kept beyond is the last read

_ENABLE = const(0x00FF)
_END = const(0x00FE)

_ACK_MS = const(500)
_TRIES = const(3)
_REPORT_MS = const(100)
_GAP_MS = const(500)  # a unit that always reports leaves out one or two, never five
_TICKS_MASK = const(0x3FFFFFFF)  # the port's milliseconds wrap at 2**30
_WAS_TALKING_MS = const(3000)  # a unit that reports while nothing moves is suspicious much earlier
_SHIFTED_MS = const(2000)  # bytes without a single good frame for so long
_BOTH_DIRECTIONS = const(2)
_DELAY_S = const(1)
_VOTES_MIN = const(10)  # reports with targets: one vehicle is in some forty
_VOTES_MAX = const(64)  # then the former ones count half
_STUCK_REPORTS = const(100)  # ten seconds of equal targets: what moves cannot stay where it is


def command(code: int, value: bytes = b"") -> bytes:  # seldom
    """The bytes of a command."""
    return _ACK_HEAD + (len(value) + 2).to_bytes(2, "little") + code.to_bytes(2, "little") + value + _ACK_TAIL


def decode_report(payload: bytes) -> "tuple[Target, ...] | None":
    """((angle deg, distance m, direction, km/h, snr), ...) of what stands between length and footer.

    None when count, length or a field is impossible. An empty payload is a report without targets.
    """
    if not payload:
        return ()
    count = payload[0]
    if len(payload) < 2 or len(payload) != 2 + 5 * count or count > _TARGETS_MAX or payload[1] > 1:
        return None
    targets = []
    for at in range(2, len(payload), 5):
        angle, distance, direction, speed, snr = payload[at : at + 5]
        if distance > _DISTANCE_MAX_M or direction > 1 or speed > _SPEED_MAX_KMH:
            return None
        targets.append((angle - 0x80, distance, direction, speed, snr))
    return tuple(targets)


def decode_ack(payload: bytes) -> "tuple[int, int, bytes] | None":
    """(command, status, value) of an answer; None when it is none."""
    if len(payload) < 4 or payload[1] != 0x01:
        return None
    return payload[0], payload[2] | payload[3] << 8, bytes(payload[4:])


class Parser:
    """Frames out of a byte stream, by length: header and footer patterns may stand inside. Never raises.

    `dropped` counts why bytes or frames were thrown away. `votes` outlives it: of the reports with targets of late, how many
    nobody could read and how many could be read; 1 if there was one of the first since somebody set this to 0.
    """

    def __init__(self, votes: "list[int]") -> None:  # seldom
        self._buffer = bytearray()
        self._votes = votes
        self.frames = 0
        self.dropped = {"noise": 0, "length": 0, "footer": 0, "fields": 0}

    def feed(self, chunk: bytes) -> "list[tuple[str, Any]]":
        """[("report", targets) | ("ack", (command, status, value))] that are complete now."""
        buffer = self._buffer + chunk
        found = []
        at = 0
        while True:
            start = self._head(buffer, at)
            self.dropped["noise"] += start - at
            at = start
            if len(buffer) - at < 6:
                break
            is_report = buffer[at] == 0xF4
            length = buffer[at + 4] | buffer[at + 5] << 8
            if length > (2 + 5 * _TARGETS_MAX if is_report else _ACK_MAX):
                self.dropped["length"] += 1
                at += 1
                continue
            end = at + 6 + length
            if len(buffer) < end + 4:
                break
            frame = None
            if buffer[end : end + 4] != (_REPORT_TAIL if is_report else _ACK_TAIL):
                self.dropped["footer"] += 1
                at += 1  # a byte was lost: the next header may stand inside
            else:
                payload = bytes(buffer[at + 6 : end])
                frame = decode_report(payload) if is_report else decode_ack(payload)
                if frame is None:
                    self.dropped["fields"] += 1
                else:
                    self.frames += 1
                    found.append(("report" if is_report else "ack", frame))
                at = end + 4
            if is_report and length > 2:  # there are units that tell of no targets in two bytes
                votes = self._votes
                votes[frame is not None] += 1
                votes[2] |= frame is None
                if votes[0] + votes[1] >= _VOTES_MAX:
                    votes[0] >>= 1
                    votes[1] >>= 1
        self._buffer = bytearray(buffer[at:][-_BUFFER_MAX:])
        return found

    def thrown(self) -> int:
        """How much was thrown away: grows with every damage."""
        total = 0
        for count in self.dropped.values():
            total += count
        return total

    def _head(self, buffer: bytearray, at: int) -> int:
        """Where the next header starts, or may start with the bytes yet to come."""
        size = len(buffer)
        while at < size:
            part = buffer[at : at + 4]
            if part == _REPORT_HEAD[: len(part)] or part == _ACK_HEAD[: len(part)]:
                return at
            at += 1
        return size


class LD2451:
    """See firmware.drivers for what a driver does; `read()` listens for a whole period."""

    GROUPS = passages.GROUPS
    SETTINGS = ("direction_flip", "speed_angle_deg")
    period_ms = 1000

    def __init__(  # seldom
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        max_distance_m: int = 100,
        min_speed_kmh: int = 5,
        snr_threshold: int = 0,
        flip: int = 0,
        dead_ms: int = 60000,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self._passages = passages.Passages(clock, instance)
        self.items = self._passages.items
        self._uart = bus
        self._clock = clock
        self._detection = bytes((max_distance_m, _BOTH_DIRECTIONS, min_speed_kmh, _DELAY_S))
        self._snr_threshold = snr_threshold
        self._flip_wired = flip
        self._flip = flip
        self._secant = 1000
        self._dead_ms = dead_ms
        self._votes = [0, 0, 0]
        self.parser = Parser(self._votes)
        self.tracker = Tracker(clock, max_distance_m * 100)
        self._chunk = bytearray(_BUFFER_MAX)
        self._acks: "list[tuple[int, int, bytes]]" = []
        self._talks_idle = False
        self._last_targets: "tuple[Target, ...]" = ()
        self._equal = 0
        self._owed_ms = 0
        self._read_ms = 0
        self._frame_ms = 0
        self._byte_ms = 0
        self._report_ms = 0
        self._thrown = 0  # what the parser had thrown away at the last look

    def configure(self, name: str, value: int) -> None:
        """`direction_flip` swaps the directions once more; `speed_angle_deg` is the angle between beam and road."""
        if name == "direction_flip":
            self._flip = self._flip_wired ^ value
        elif name == "speed_angle_deg":
            self._secant = seldom("firmware.drivers.secant", "secant")(value)

    async def start(self) -> None:  # seldom
        """Configure: both directions, range, least speed. SensorError NO_ANSWER, REFUSED."""
        self.state = WARMUP
        self.parser = Parser(self._votes)
        self._owed_ms = 0
        self._thrown = 0
        self.tracker.clear()
        self._passages.clear()
        self._talks_idle = False
        now_ms = self._clock.ticks_ms()
        self._frame_ms = self._byte_ms = self._report_ms = now_ms
        self.identity = await seldom(CARE, "set_up")(self.command, self._detection, self._snr_threshold)
        self._read_ms = self._clock.ticks_ms()
        self.state = READY

    async def command(self, code: int, value: bytes = b"") -> bytes:  # seldom
        """The value of the answer. SensorError NO_ANSWER or REFUSED with the command as detail."""
        clock = self._clock
        for _ in range(_TRIES):
            self._acks = []
            self._uart.write(command(code, value))
            began = clock.ticks_ms()
            left_ms = _ACK_MS
            while left_ms > 0:
                await self._listen(left_ms)
                for acked, status, answer in self._acks:
                    if acked == code:
                        if status:
                            raise SensorError(REFUSED, False, code)
                        return answer
                left_ms = _ACK_MS - clock.ticks_diff(clock.ticks_ms(), began)
        raise SensorError(NO_ANSWER, False, code, "radar")

    async def _listen(self, timeout_ms: int) -> None:
        """Take what comes within `timeout_ms`."""
        size = await self._uart.readinto(self._chunk, timeout_ms)
        if not size:
            return
        now_ms = self._clock.ticks_ms()
        self._byte_ms = now_ms
        reports = []
        for kind, frame in self.parser.feed(bytes(memoryview(self._chunk)[:size])):
            self._frame_ms = now_ms
            if kind == "ack":
                self._acks = self._acks[1 - _ACKS_MAX :] + [frame]
            else:
                reports.append(frame)
        diff = self._clock.ticks_diff
        thrown = self.parser.thrown()
        if reports:
            self._count_lost(thrown != self._thrown, diff(now_ms, self._report_ms) - _REPORT_MS * (len(reports) - 1))
            self._thrown = thrown
        for at, targets in enumerate(reports):
            # Reports that waited while the board was busy come in one piece: they are as far apart as they were sent.
            elapsed_ms = diff(now_ms, self._report_ms)
            back_ms = min(_REPORT_MS * (len(reports) - 1 - at), max(elapsed_ms, 0))
            if not targets:
                self._talks_idle = True
            self._equal = self._equal + 1 if targets and targets == self._last_targets else 0
            self._last_targets = targets
            sent_ms = (now_ms - back_ms) & _TICKS_MASK
            self.tracker.report(
                sent_ms, tuple([(far * 100, way ^ self._flip, kmh, angle) for angle, far, way, kmh, _ in targets])
            )
            self._report_ms = sent_ms

    def _count_lost(self, damaged: bool, gap_ms: int) -> None:
        """Reports are missing: the receiver overflowed while the flash was busy, or the line was disturbed. `gap_ms`:
        between the last good report and the first new one."""
        if self.state == READY and (damaged or (self._talks_idle and gap_ms >= _GAP_MS)):
            self.lost_ms += max(gap_ms - _REPORT_MS, _REPORT_MS)

    async def read(self) -> "list[Reading]":
        """Listen until a period is over; counts (0 too) and the speeds of the vehicles that have passed.

        SensorError NO_ANSWER when a silent radar does not answer either, SHIFTED when its bytes make no frames, BLOCKED.
        """
        self.covered_ms = 0
        self.lost_ms = 0
        if self.state != READY:
            raise SensorError(STALE, False)
        clock = self._clock
        while True:
            elapsed_ms = clock.ticks_diff(clock.ticks_ms(), self._read_ms)
            if elapsed_ms >= self.period_ms:
                break
            await self._listen(self.period_ms - elapsed_ms)
        now_ms = clock.ticks_ms()
        await self._check_life(now_ms)
        self.tracker.expire(now_ms)
        lost_ms = self.lost_ms + self._owed_ms
        self.lost_ms = min(lost_ms, elapsed_ms - 1)  # what was counted stands for some time
        self._owed_ms = lost_ms - self.lost_ms  # a gap longer than a period shows when it is over
        self.covered_ms = elapsed_ms - self.lost_ms
        self._read_ms = now_ms
        return self._readings()

    async def _check_life(self, now_ms: int) -> None:
        if self._equal >= _STUCK_REPORTS:
            self._read_ms = now_ms
            raise SensorError(BLOCKED, True, self._equal)
        diff = self._clock.ticks_diff
        silent_ms = diff(now_ms, self._frame_ms)
        thrown = self.parser.thrown()
        if silent_ms >= self.period_ms > diff(now_ms, self._byte_ms) and thrown != self._thrown:
            # All that came in this period was unreadable: no vehicle was counted, which does not mean that none passed.
            self._read_ms = self._report_ms = now_ms
            raise SensorError(SHIFTED, silent_ms < _SHIFTED_MS, thrown)
        if silent_ms >= (_WAS_TALKING_MS if self._talks_idle else self._dead_ms):
            self._read_ms = now_ms
            await self.command(_ENABLE, b"\x01\x00")
            await self.command(_END)

    def _readings(self) -> "list[Reading]":
        votes = self.tracker.agreeing + self.tracker.contradicting
        flag = SUSPECT | CONTRADICTION << 4 if votes >= 10 and self.tracker.contradicting * 2 > votes else GOOD
        whole = GOOD
        unread, read, lately = self._votes
        if lately and unread > read and unread + read >= _VOTES_MIN:
            # Most vehicles came in reports that nobody can read: what was counted, perhaps nothing, is not what passed.
            flag = whole = SUSPECT | LOST << 4
        self._votes[2] = 0
        passed = []
        for direction, speed, zone_ms, there_ms in self.tracker.ended():
            passed.append((direction, speed * self._secant // 1000, zone_ms, there_ms))
        return self._passages.readings(passed, flag, whole)

    async def stop(self) -> None:
        """It has no sleep; what was not finished is forgotten."""
        self.state = WARMUP
        self.tracker.clear()

    async def self_test(self) -> "list[TestRow]":
        """Answer, frames thrown away, and whether its direction agrees with its distances."""
        rows: "list[TestRow]" = await seldom(CARE, "self_test")(self.command, self.parser, self.tracker)
        return rows
