"""The bus to the host as CPython sees it; the same requests as tools/sim/stub/simbus.py."""

import asyncio
import os
import selectors
from struct import Struct

import ops

_HEADER = Struct("<qqqq")
_in, _out = (int(fd) for fd in os.environ["STEIGER_BUS"].split(",")[:2])
_busy = False
_uses = 0
_uptime_ms = 0


def _read(count):
    parts = []
    while count:
        part = os.read(_in, count)
        if not part:
            os._exit(1)  # the host is dead: so is the board
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _resync():
    global _busy
    while True:
        try:
            os.write(_out, _HEADER.pack(ops.SYNC, 0, 0, 0))
            run = 0
            while True:
                byte = _read(1)[0]
                if byte == ops.SYNC_BYTE:
                    run += 1
                elif byte == ops.SYNC_END and run >= ops.SYNC_RUN:
                    _busy = False
                    return
                else:
                    run = 0
        except KeyboardInterrupt:
            pass


def call(op, handle=0, argument=0, data=None, into=None):
    """Ask the host; returns the reply's value. `data` goes with the request, the reply's payload into `into`."""
    global _busy, _uses, _uptime_ms
    if _busy:
        _resync()
    payload = b"" if data is None else bytes(data)
    if len(payload) > ops.REQUEST_MAX:
        raise ValueError(f"{len(payload)} bytes in one request")
    _busy = True
    os.write(_out, _HEADER.pack(op, handle, argument, len(payload)) + payload)
    value, flags, _uptime_ms, count = _HEADER.unpack(_read(_HEADER.size))
    if count:
        into[:count] = _read(count)
    _busy = False
    _uses = flags >> ops.FLAG_FREE_SHIFT
    if flags & ops.FLAG_INTERRUPT:
        raise KeyboardInterrupt
    return value


def check(value):
    """A negative value of a reply is an errno."""
    if value < 0:
        raise OSError(-value, os.strerror(-value))
    return value


def uptime_ms():
    """Milliseconds since the start; the host says how often a known value may be used again."""
    global _uses
    if _uses > 0:
        _uses -= 1
    else:
        call(ops.TIME)
    return _uptime_ms


def sleep_us(duration):
    """The whole program stands still."""
    if duration > 0:
        call(ops.SLEEP, 0, duration)


class _Waiting(selectors.BaseSelector):
    """asyncio's waiting point: one request to the host instead of a poll."""

    def __init__(self):
        self.tasks = {}  # handle -> future
        self._keys = {}

    def select(self, timeout=None):
        mask = 0
        for handle in self.tasks:
            mask |= 1 << handle
        deadline = -1 if timeout is None else uptime_ms() + max(0, round(timeout * 1000 + 0.499))
        ready = call(ops.WAIT, mask, deadline)
        for handle in list(self.tasks):
            if ready >> handle & 1 and not self.tasks[handle].done():
                self.tasks[handle].set_result(None)
        return []

    def register(self, fileobj, events, data=None):
        key = selectors.SelectorKey(fileobj, 0, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj):
        return self._keys.pop(fileobj)

    def get_map(self):
        return self._keys


class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.waiting = _Waiting()
        super().__init__(self.waiting)
        self._clock_resolution = 1e-4  # whole milliseconds as floats must not miss each other

    def time(self):
        return uptime_ms() / 1000


async def ready(handle, timeout_ms):
    """Return when `handle` has something to read, or after `timeout_ms`."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.waiting.tasks[handle] = future
    try:
        await asyncio.wait_for(future, timeout_ms / 1000)
    except TimeoutError:
        pass
    finally:
        if loop.waiting.tasks.get(handle) is future:
            del loop.waiting.tasks[handle]


def _run(coroutine):
    loop = Loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def patch_asyncio():
    """Let asyncio take time and readiness from the host, and give it what MicroPython's has more."""
    asyncio.run = _run
    asyncio.sleep_ms = lambda duration: asyncio.sleep(duration / 1000)
    asyncio.wait_for_ms = lambda awaitable, timeout: asyncio.wait_for(awaitable, timeout / 1000)
