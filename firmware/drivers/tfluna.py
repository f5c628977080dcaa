"""Benewake TF-Luna: LiDAR with one beam over UART (115200 8N1), as a gate across or above a lane.

It sends a frame of nine bytes 50 to 250 times a second; firmware.drivers.gate makes vehicles of them. Frames and
answers end in a sum. Settings are lost at power-off (they are not saved on purpose: flash wears), so a chip that was
without power is set up anew. Which signal counts is the maker's rule: strength 100 to 32767, else there is no distance.
"""

from firmware.drivers import (
    BAD_CRC,
    BLOCKED,
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    READY,
    REFUSED,
    SHIFTED,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    SensorError,
    const,
)
from firmware.drivers.gate import DARK, GLARE, NEAR, Gate
from wire import channels
from wire.quality import STATUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

_VERSION = const(0x01)
_RATE = const(0x03)
_FORMAT = const(0x05)
_OUTPUT = const(0x07)

_FRAME = const(9)
_ANSWER_MAX = const(32)
_STRENGTH_MIN = const(100)
_STRENGTH_MAX = const(32767)
_NEAR_CM = const(20)  # nearer it does not measure
_FAR_CM = const(1200)  # 8 m by the sheet; its firmware's limit is 12 m

_ANSWER_MS = const(300)
_TRIES = const(3)
_TURN_MS = const(50)  # between two looks: the receiver keeps twenty times as much
_CHUNKS = const(64)  # taken in one look: a line that floats is never silent
_STUCK_MS = const(30000)  # to the bit the same: a live one has noise
_BAD_SUMS = const(5)  # a second: more than a stream out of step finds by chance
_CLOCKS_PCT = const(5)
_DARK_PCT = const(50)  # beyond it nothing is told, until it is below the next
_LIGHT_PCT = const(10)
_HEADWAY_MAX = const(6000)  # 0.01 s: longer ones are at least that
_DOUBT_PCT = const(20)  # of the last eight seconds
_BLIP_PCT = const(10)  # what one short echo a second counts as: rain has two and more


def command(code: int, value: bytes = b"") -> bytes:
    """The bytes of a command, with the sum that the chip does not ask for."""
    out = bytes((0x5A, len(value) + 4, code)) + value
    return out + bytes((sum(out) & 0xFF,))


def decode_frame(frame: bytes) -> "tuple[int, int, int] | None":
    """(distance cm, strength, 0.01 Cel) of nine bytes; None when their sum is wrong."""
    if len(frame) != 9 or frame[0] != 0x59 or frame[1] != 0x59 or sum(frame[:8]) & 0xFF != frame[8]:
        return None
    return frame[2] | frame[3] << 8, frame[4] | frame[5] << 8, (frame[6] | frame[7] << 8) * 25 // 2 - 25600


def decode_answer(frame: bytes) -> "tuple[int, bytes] | None":
    """(command, value) of an answer; None when length or sum is wrong."""
    if len(frame) < 4 or frame[0] != 0x5A or frame[1] != len(frame) or sum(frame[:-1]) & 0xFF != frame[-1]:
        return None
    return frame[2], bytes(frame[3:-1])


def echo(distance_cm: int, strength: int) -> int:
    """The distance if it is one, else DARK, GLARE or NEAR."""
    if strength > _STRENGTH_MAX:
        return GLARE
    if strength < _STRENGTH_MIN:
        return DARK
    if distance_cm < _NEAR_CM:
        return NEAR
    return min(distance_cm, _FAR_CM)


class Parser:
    """Frames and answers out of a byte stream: 59 59 may stand inside, so the sum decides. Never raises."""

    def __init__(self) -> None:
        self._buffer = b""
        self.frames = 0
        self.bad_sums = 0
        self.noise = 0  # bytes thrown away
        self.answers: "list[tuple[int, bytes]]" = []

    def feed(self, chunk: bytes) -> "list[tuple[int, int, int]]":
        """The frames that are complete now, decoded; answers go to `answers` (the last four)."""
        buffer = self._buffer + chunk
        size = len(buffer)
        found = []
        at = 0
        while at < size:
            length = _FRAME
            if buffer[at] == 0x5A:
                if at + 1 == size:
                    break
                length = buffer[at + 1]
            elif buffer[at] != 0x59 or (at + 1 < size and buffer[at + 1] != 0x59):
                length = 0
            if not 4 <= length <= _ANSWER_MAX:
                self.noise += 1
                at += 1
                continue
            if at + length > size:
                break
            part = buffer[at : at + length]
            frame: "Any" = decode_frame(part) if part[0] == 0x59 else decode_answer(part)
            if frame is None:
                self.bad_sums += 1
                self.noise += 1
                at += 1
                continue
            if part[0] == 0x59:
                self.frames += 1
                found.append(frame)
            else:
                self.answers = self.answers[-3:] + [frame]
            at += length
        self._buffer = buffer[at:]
        return found


class TFLuna:
    """See firmware.drivers for what a driver does; `read()` listens for a whole period."""

    CHANNELS = (
        "vehicles",
        "vehicles_low",
        "vehicles_high",
        "occupancy_approach",
        "occupancy_depart",
        "headway_median_approach",
        "headway_median_depart",
    )
    SETTINGS = ()
    period_ms = 1000

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        mount: str = "overhead",
        lane: str = "approach",
        rate_hz: int = 100,
        high_cm: int = 210,
        learn_s: int = 10,
        blocked_s: int = 180,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._uart = bus
        self._clock = clock
        self._overhead = mount == "overhead"
        self._way = int(lane == "depart")
        self._rate = rate_hz.to_bytes(2, "little")
        self._high_cm = high_cm
        self._gate = Gate(1000 // rate_hz, learn_s * 1000, blocked_s * 1000)
        self._parser = Parser()
        self._chunk = bytearray(256)
        self._last = (0, 0, 0)
        self._equal = 0
        self._read_ms = 0  # until when frames were counted
        self._running = False
        self._dark = False
        self._doubt = 0  # eight times the doubtful percentage

    def configure(self, name: str, value: int) -> None:
        """No setting concerns it."""

    async def start(self) -> None:
        """Identify, nine bytes in cm, rate, output on; the first time it then learns. SensorError NO_ANSWER, REFUSED."""
        self.state = WARMUP
        self._running = False
        self._parser = Parser()
        version = await self._ask(_VERSION)
        if len(version) < 3:
            raise SensorError(REFUSED, retry=False, detail=_VERSION)
        self.identity = "TF-Luna firmware %d.%d.%d" % (version[2], version[1], version[0])
        for code, value in ((_FORMAT, b"\x01"), (_RATE, self._rate), (_OUTPUT, b"\x01")):
            if (await self._ask(code, value))[:2] != value:
                raise SensorError(REFUSED, retry=False, detail=code)
        self._gate.restart()
        self._doubt = self._equal = 0
        self._read_ms = self._clock.ticks_ms()
        self._running = True

    async def _ask(self, code: int, value: bytes = b"") -> bytes:
        """The value of the answer; frames that come meanwhile are not counted. SensorError NO_ANSWER."""
        clock = self._clock
        for _ in range(_TRIES):
            self._parser.answers = []
            self._uart.write(command(code, value))
            began = clock.ticks_ms()
            left_ms = _ANSWER_MS
            while left_ms > 0:
                await self._listen(left_ms)
                for answered, answer in self._parser.answers:
                    if answered == code:
                        return answer
                left_ms = _ANSWER_MS - clock.ticks_diff(clock.ticks_ms(), began)
        raise SensorError(NO_ANSWER, retry=False, detail=code, text="LiDAR")

    async def _listen(self, timeout_ms: int) -> "list[tuple[int, int, int]]":
        """The frames that come within `timeout_ms`, or that wait already."""
        frames: "list[tuple[int, int, int]]" = []
        for _ in range(_CHUNKS):
            size = await self._uart.readinto(self._chunk, timeout_ms)
            if not size:
                break
            frames += self._parser.feed(bytes(memoryview(self._chunk)[:size]))
            timeout_ms = 1  # what waits behind it
        return frames

    async def read(self) -> "list[Reading]":
        """Listen until a period is over; vehicles (0 too), how long they took, headways of those that have passed.

        SensorError WARMING_UP while it learns; NO_ANSWER, BAD_CRC, SHIFTED or CHIP_FAULT when less than half of the frames
        come, STUCK; BLOCKED when something has covered the beam for too long, or nobody could tell for half of the time.
        """
        self.covered_ms = self.lost_ms = 0
        if not self._running:
            raise SensorError(STALE, retry=False)
        clock, gate, parser = self._clock, self._gate, self._parser
        bad_sums, noise = parser.bad_sums, parser.noise
        seen_ms = 0
        while True:
            now_ms = clock.ticks_ms()
            elapsed_ms = clock.ticks_diff(now_ms, self._read_ms)
            if elapsed_ms >= self.period_ms:
                break
            await clock.sleep_ms(min(_TURN_MS, self.period_ms - elapsed_ms))
            for frame in await self._listen(_TURN_MS):
                self._equal = self._equal + 1 if frame == self._last else 0
                self._last = frame
                seen_ms += gate.frame_ms
                gate.frame(echo(frame[0], frame[1]))
        self._read_ms = now_ms
        missing_ms = elapsed_ms - seen_ms
        if 2 * abs(missing_ms) > elapsed_ms:
            gate.skip(elapsed_ms)
            gate.clear()
            if parser.bad_sums - bad_sums >= _BAD_SUMS:
                raise SensorError(BAD_CRC, detail=parser.bad_sums)
            if parser.noise > noise:
                raise SensorError(SHIFTED, detail=parser.noise)
            if seen_ms:  # it was without power, and has its maker's rate
                raise SensorError(CHIP_FAULT, retry=False, detail=seen_ms // gate.frame_ms)
            raise SensorError(NO_ANSWER, retry=False, text="LiDAR")
        if 100 * missing_ms <= _CLOCKS_PCT * elapsed_ms:
            missing_ms = 0  # the chip's clock and the board's
        else:
            gate.skip(missing_ms)
        try:
            return self._readings(elapsed_ms, missing_ms)
        finally:
            gate.clear()

    def _readings(self, elapsed_ms: int, missing_ms: int) -> "list[Reading]":
        gate = self._gate
        # What drives over a road that cannot be seen would fill all of the time that can.
        self._dark = 100 * gate.dark_ms > (_LIGHT_PCT if self._dark else _DARK_PCT) * elapsed_ms
        if gate.blocked or self._dark:
            raise SensorError(BLOCKED, detail=self._last[0])
        self.state = WARMUP if gate.background_cm is None else READY
        if self.state == WARMUP:
            raise SensorError(WARMING_UP)
        if self._equal * gate.frame_ms >= _STUCK_MS and echo(self._last[0], self._last[1]) > 0:
            raise SensorError(STUCK, detail=self._equal)
        self.lost_ms = min(missing_ms + gate.dark_ms, elapsed_ms - 1)  # what was counted stands for some time
        self.covered_ms = elapsed_ms - self.lost_ms
        self._doubt += 100 * gate.dark_ms // elapsed_ms + _BLIP_PCT * gate.blips - self._doubt // 8
        flag = SUSPECT | STATUS << 4 if self._doubt >= 8 * _DOUBT_PCT else GOOD
        items = self.items
        readings = [items[0] + (len(gate.ended), flag)]
        classes = [0, 0]
        for headway_ms, lasted_ms, height_cm in gate.ended:
            if height_cm >= 0:
                classes[height_cm >= self._high_cm] += 1
            readings.append(items[3 + self._way] + (lasted_ms, flag))
            if headway_ms >= 0:
                readings.append(items[5 + self._way] + (min(headway_ms // 10, _HEADWAY_MAX), flag))
        if self._overhead and gate.background_cm:
            readings.append(items[1] + (classes[0], flag))
            readings.append(items[2] + (classes[1], flag))
        return readings

    async def stop(self) -> None:
        """Output off: its sheet has no deeper rest that it would confirm."""
        self.state = WARMUP
        self._running = False
        self._uart.write(command(_OUTPUT, b"\x00"))

    async def self_test(self) -> "list[TestRow]":
        """Answer, frames with wrong sums, signal strength, and where the beam ends (0: nowhere, -1: not yet known)."""
        rows = []
        try:
            await self._ask(_VERSION)
            rows.append(("answers", True, self._parser.frames))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        parser = self._parser
        rows.append(("bad checksums", 100 * parser.bad_sums <= parser.frames, parser.bad_sums))
        rows.append(("signal strength", _STRENGTH_MIN <= self._last[1] <= _STRENGTH_MAX, self._last[1]))
        background_cm = self._gate.background_cm
        known = background_cm is not None and not self._gate.blocked
        rows.append(("beam ends at cm", known, -1 if background_cm is None else background_cm))
        return rows
