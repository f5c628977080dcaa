"""A serial line: bytes take their time, and can be damaged on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tools.sim.timers import Time

BITS_PER_BYTE = 10  # start, eight, stop
CHUNK = 32  # bytes that arrive as one event at 115200 baud: what the chip's receiver collects before it tells
CHUNK_BAUDRATE = 115_200  # faster lines have longer chunks, of the same time
HELD_MAX = 4096  # bytes waiting for the line before the writer is stopped


KINDS = ("corrupt", "drop", "duplicate")  # what may happen to a byte that is hit


class Noise:
    """Damage to bytes: independent ones, and bursts that hit one byte in two. Rates are shares of all bytes.

    What happens to a byte that is hit is drawn from `kinds`. `hit` of `seen` bytes were hit so far.
    """

    MEAN_BURST = 8

    def __init__(
        self, seed: int, independent: float = 0.0, burst: float = 0.0, kinds: Sequence[str] = ("corrupt",)
    ) -> None:
        if not kinds or not set(kinds) <= set(KINDS):
            raise ValueError(f"kinds of noise are {', '.join(KINDS)}")
        self.independent = independent
        self.burst = burst
        self._kinds = tuple(kinds)
        self._chance = Random(seed)
        self._left = 0
        self.seen = 0
        self.hit = 0

    def damage(self, data: bytes) -> bytes:
        self.seen += len(data)
        if not self.independent and not self.burst:
            return data
        out = bytearray()
        chance = self._chance
        start = self.burst / self.MEAN_BURST
        for byte in data:
            if self._left:
                self._left -= 1
                wrong = chance.random() < 0.5
            elif start and chance.random() < start:
                self._left = chance.randrange(1, 2 * self.MEAN_BURST)
                wrong = True
            else:
                wrong = chance.random() < self.independent
            if not wrong:
                out.append(byte)
                continue
            self.hit += 1
            kind = self._kinds[0] if len(self._kinds) == 1 else chance.choice(self._kinds)
            if kind == "corrupt":
                out.append(byte ^ chance.randrange(1, 256))
            elif kind == "duplicate":
                out += bytes((byte, byte))
        return bytes(out)


class Line:
    """One direction. `deliver(chunk)` is called when the last byte of a chunk has arrived."""

    def __init__(self, time: Time, baudrate: int, deliver: Callable[[bytes], None], chunk: int = CHUNK) -> None:
        self._time = time
        self._deliver = deliver
        self._chunk = max(chunk, chunk * baudrate // CHUNK_BAUDRATE) if baudrate else 4096
        self.byte_ns = BITS_PER_BYTE * 1_000_000_000 // baudrate if baudrate else 0  # 0: no limit
        self._free_ns = 0
        self.held = 0  # bytes on their way
        self.bytes = 0
        self.connected = True
        self.noise: Noise | None = None
        self.lost = 0  # bytes that came while nothing was connected
        self.late = 0  # bytes that were kept back
        self._kept_ns = 0

    def keep_back(self, until_us: int) -> None:
        """What is sent from now on arrives at `until_us` at the earliest, in its order: a hub or a driver that pauses."""
        self._kept_ns = until_us * 1000

    def send(self, data: bytes) -> int:
        """Put bytes on the line; returns when (us) the last one is over."""
        now_ns = self._time.now_us * 1000
        at_ns = max(now_ns, self._free_ns)
        for start in range(0, len(data), self._chunk):
            part = data[start : start + self._chunk]
            at_ns += len(part) * self.byte_ns
            self._later(at_ns, part)
        self._free_ns = at_ns
        return at_ns // 1000

    def _later(self, at_ns: int, part: bytes) -> None:
        self.held += len(part)
        if at_ns < self._kept_ns:
            at_ns = self._kept_ns
            self.late += len(part)

        def arrive() -> None:
            self.held -= len(part)
            if not self.connected:
                self.lost += len(part)
                return
            self.bytes += len(part)
            self._deliver(self.noise.damage(part) if self.noise is not None else part)

        self._time.call_at(-(-at_ns // 1000), arrive)

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return self.held >= HELD_MAX
