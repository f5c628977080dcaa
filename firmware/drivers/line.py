"""What chips on a serial line share: frames cut out of a byte stream, answers waited for, and how a reading is judged.

A lost or damaged byte costs the frame that it stood in: the next header is looked for behind it, nothing is reset.
"""

from firmware.drivers import (
    BAD_CRC,
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    SHIFTED,
    STALE,
    STUCK,
    WARMING_UP,
    WARMUP,
    Covered,
    Repeats,
    SensorError,
    const,
)
from wire import channels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from firmware.drivers import Reading

    Cut = Callable[[bytes, int], tuple[int, bytes | None, int]]

_CHUNK = const(64)  # bytes taken at a time; a frame of these chips has at most 95
_FAILED_MAX = const(5)  # readings in a row without any answer, then it is started anew


class Line:
    """Frames of one chip. `cut(buffer, at) -> (next, frame, reason)` looks at the bytes from `at` on: a frame that ends
    before `next`; or None and why those bytes are thrown away (BAD_CRC, SHIFTED, 0: they may stand there); `next == at`:
    the frame is not complete.

    `reason`: what was wrong since the last question (NO_ANSWER: nothing came); `frames`, `dropped` count.
    """

    def __init__(self, uart: "Any", clock: "Any", cut: "Cut") -> None:
        self.frames = 0
        self.dropped = 0
        self.reason = NO_ANSWER
        self._uart = uart
        self._clock = clock
        self._cut = cut
        self._chunk = bytearray(_CHUNK)
        self._buffer = b""
        self._before = 0  # bytes of it that came before the question

    def write(self, data: bytes) -> None:
        """Send; nothing is waited for."""
        self._uart.write(data)

    def feed(self, chunk: bytes) -> None:
        """Take bytes of the stream."""
        self._buffer += chunk

    def waiting(self) -> "bytes | None":
        """The next good frame of what has come; None: more bytes are needed."""
        buffer = self._buffer
        at = 0
        frame = None
        while frame is None and at < len(buffer):
            end, frame, reason = self._cut(buffer, at)
            if end == at:
                break
            if reason:
                self.dropped += 1
                if reason == BAD_CRC or self.reason == NO_ANSWER:  # what is left of a damaged frame looks shifted
                    self.reason = reason
            at = end
        self._buffer = buffer[at:]
        if frame is not None:
            self.frames += 1
        return frame

    async def frame(self, prefix: bytes, timeout_ms: int) -> "bytes | None":
        """The next good frame that begins with `prefix`; None at the deadline."""
        clock = self._clock
        began = clock.ticks_ms()
        while True:
            frame = self.waiting()
            while frame is not None:
                if frame.startswith(prefix):
                    return frame
                frame = self.waiting()
            left_ms = timeout_ms - clock.ticks_diff(clock.ticks_ms(), began)
            if left_ms <= 0:
                return None
            size = await self._uart.readinto(self._chunk, left_ms)
            if size:
                self.feed(bytes(memoryview(self._chunk)[:size]))

    async def newest(self, prefix: bytes, timeout_ms: int) -> bytes:
        """The last such frame of what has come by then: while the board was busy several may have.

        SensorError NO_ANSWER, BAD_CRC, SHIFTED.
        """
        self._begin()
        found = await self.frame(prefix, timeout_ms)
        if found is None:
            raise self._failure()
        frame: "bytes | None" = found
        while frame is not None:
            if frame.startswith(prefix):
                found = frame
            frame = self.waiting()
        return found

    async def ask(self, data: bytes, prefix: bytes, timeout_ms: int, tries: int = 2) -> bytes:
        """Send, and the answer. SensorError as `newest`."""
        self._begin()
        for _ in range(tries):
            self._uart.write(data)
            frame = await self.frame(prefix, timeout_ms)
            if frame is not None:
                return frame
        raise self._failure()

    def _begin(self) -> None:
        self.reason = NO_ANSWER
        self._before = len(self._buffer)

    def _failure(self) -> SensorError:
        """Why there is no frame; `detail`: how much was thrown away so far."""
        if self.reason == NO_ANSWER and len(self._buffer) > self._before:
            self.reason = SHIFTED  # the rest of a frame never came
        return SensorError(self.reason, detail=self.dropped)


class LineSensor:
    """A particle sensor that tells all its values in one frame; a class for a chip says how to get and decode it."""

    CHANNELS: "tuple[str, ...]" = ()
    SETTINGS: "tuple[str, ...]" = ()
    period_ms = 1000

    def __init__(
        self, line: Line, clock: "Any", instance: int, warmup_ms: int, stuck_reads: int, span_ms: int = 1000
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._line = line
        self._clock = clock
        self._warmup_ms = warmup_ms
        self._repeats = Repeats(stuck_reads)
        self._covered = Covered(clock, span_ms)
        self._running = False
        self._started_ms = 0
        self._failed = 0

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least 1000: the chip has nothing new sooner."""
        if name == "sample_ms":
            self.period_ms = self._covered.period_ms = max(value, 1000)

    async def _report(self) -> bytes:
        """The newest frame with values. SensorError."""
        raise NotImplementedError

    def _decoded(self, frame: bytes) -> "tuple[int, ...] | None":
        """Its values, None if they cannot be; SensorError CHIP_FAULT."""
        raise NotImplementedError

    def _begin(self) -> None:
        """The chip works from now on."""
        self._started_ms = self._clock.ticks_ms()
        self._failed = 0
        self._covered.restart()
        self._running = True

    async def read(self) -> "list[Reading]":
        """The newest values. SensorError NO_ANSWER, BAD_CRC, SHIFTED, WARMING_UP, RANGE, STUCK, CHIP_FAULT."""
        self.covered_ms = 0
        if not self._running:
            raise SensorError(STALE, retry=False)
        try:
            frame = await self._report()
        except SensorError as error:
            # Damaged frames stop when the line is good again; a silent chip may have to be woken.
            self._failed = self._failed + 1 if error.reason == NO_ANSWER else 0
            error.retry = self._failed < _FAILED_MAX
            raise error
        self._failed = 0
        if self.state == WARMUP:
            if self._clock.ticks_diff(self._clock.ticks_ms(), self._started_ms) < self._warmup_ms:
                raise SensorError(WARMING_UP)
            self.state = READY
        values = self._decoded(frame)
        if values is None:
            raise SensorError(RANGE)
        if self._repeats.seen(frame):
            raise SensorError(STUCK, retry=self._repeats.worth_waiting())
        self.covered_ms = self._covered.reading()
        return [self.items[at] + (value, GOOD) for at, value in enumerate(values)]
