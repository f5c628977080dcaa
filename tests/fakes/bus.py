"""A clock and buses for drivers, with fault knobs. Runs under CPython and MicroPython alike; nothing waits for real.

No chip is here: scenes give theirs as objects with `write(data)` and `read(size)` (I2C) or a function (UART).
"""

from firmware.drivers import SensorError

TICKS = 1 << 30  # the port's milliseconds wrap here
ENODEV = 19
ETIMEDOUT = 116


class FakeClock:
    """Time that passes only while somebody waits. It starts 2 s before the wrap, so that every scene crosses it."""

    def __init__(self, start_ms=TICKS - 2000):
        self.now_ms = start_ms  # never wraps: for the scenes
        self.longest_ms = 0  # longest single wait
        self.turns = 0  # how often others had theirs without a wait

    def ticks_ms(self):
        return self.now_ms % TICKS

    def ticks_diff(self, a, b):
        return ((a - b + TICKS // 2) % TICKS) - TICKS // 2

    async def sleep_ms(self, duration_ms):
        assert duration_ms >= 0
        self.longest_ms = max(self.longest_ms, duration_ms)
        self.turns += duration_ms == 0
        self.now_ms += duration_ms


class FakeI2c:
    """An I2C bus. Knobs: `absent` (addresses that do not answer), `hangs` (until `recover`), `stall_ms` per transfer."""

    def __init__(self, clock, chips):
        self.clock = clock
        self.chips = chips
        self.absent = set()
        self.hangs = False
        self.stall_ms = 0
        self.recovered = 0

    def _chip(self, address):
        self.clock.now_ms += self.stall_ms
        if self.hangs:
            raise OSError(ETIMEDOUT)
        if address in self.absent or address not in self.chips:
            raise OSError(ENODEV)
        return self.chips[address]

    def writeto(self, address, data):
        self._chip(address).write(bytes(data))

    def readfrom_into(self, address, buffer):
        answer = self._chip(address).read(len(buffer))
        for at in range(len(buffer)):
            buffer[at] = answer[at]

    def recover(self):
        self.hangs = False
        self.recovered += 1


class FakeUart:
    """A serial line. `answer(data) -> [(delay_ms, bytes)]` plays the other end; `send(delay_ms, data)` queues more.

    Knob: `chunk`, at most so many bytes at a time.
    """

    def __init__(self, clock, answer=None):
        self.clock = clock
        self.answer = answer
        self.chunk = 10000
        self.queue = []
        self.written = []

    def send(self, delay_ms, data):
        at_ms = self.clock.now_ms + delay_ms
        place = len(self.queue)
        while place and self.queue[place - 1][0] > at_ms:
            place -= 1
        self.queue.insert(place, (at_ms, bytes(data)))

    def write(self, data):
        self.written.append(bytes(data))
        for delay_ms, answer in self.answer(bytes(data)) if self.answer else ():
            self.send(delay_ms, answer)
        return len(data)

    async def readinto(self, buffer, timeout_ms):
        until_ms = self.clock.now_ms + timeout_ms
        if not self.queue or self.queue[0][0] > until_ms:
            self.clock.now_ms = until_ms
            return 0
        self.clock.now_ms = max(self.clock.now_ms, self.queue[0][0])
        due = b""
        while self.queue and self.queue[0][0] <= self.clock.now_ms:
            due += self.queue.pop(0)[1]
        size = min(len(due), len(buffer), self.chunk)
        if due[size:]:
            self.queue.insert(0, (self.clock.now_ms, due[size:]))
        buffer[:size] = due[:size]
        return size


class FakeI2s:
    """A 48 kHz receiver with 5888 frames of buffer, which overwrites the oldest. `source(first, count) -> bytes`.

    `right(first, count)` is what the other slot has.
    Knobs: `silent` (the receiver gives nothing), `clock.now_ms += n` before a read (the board was busy).
    """

    CAPACITY = 5888
    DMA = 256  # frames come in such pieces

    def __init__(self, clock, source):
        self.clock = clock
        self.source = source
        self.right = lambda first, count: bytes(4 * count)
        self.both = False
        self.opened = 1
        self.silent = False
        self.began_ms = clock.now_ms
        self.taken = 0
        self.lost = 0

    def _waiting(self):
        made = (self.clock.now_ms - self.began_ms) * 48 // self.DMA * self.DMA
        if made - self.taken > self.CAPACITY:
            self.lost += made - self.CAPACITY - self.taken
            self.taken = made - self.CAPACITY
        return made - self.taken

    async def readinto(self, buffer, timeout_ms):
        until_ms = self.clock.now_ms + timeout_ms
        while self.silent or not self._waiting():
            if self.clock.now_ms >= until_ms:
                return 0
            self.clock.now_ms += 1
        size = 8 if self.both else 4
        frames = min(self._waiting(), len(buffer) // size)
        data = self.source(self.taken, frames)
        if self.both:
            other = self.right(self.taken, frames)
            pairs = []
            for at in range(0, 4 * frames, 4):
                pairs.append(data[at : at + 4])
                pairs.append(other[at : at + 4])
            data = b"".join(pairs)
        buffer[: size * frames] = data
        self.taken += frames
        return size * frames

    def slots(self, count):
        """Begin anew: the clocks stop, what waits is gone."""
        self.both = count == 2
        self.opened += 1
        self.taken = 0
        self.began_ms = self.clock.now_ms


async def fails(awaitable, reason, retry=None):
    """The SensorError that an awaitable raises; it must have that reason."""
    try:
        await awaitable
    except SensorError as raised:
        error = raised
    else:
        raise AssertionError("no error")
    assert error.reason == reason, error
    assert retry is None or error.retry == retry, error
    return error
