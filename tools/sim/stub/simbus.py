"""The bus to the host as MicroPython sees it.

Buffers are allocated once, a request allocates nothing. A KeyboardInterrupt may cut a request short anywhere; the next
one then finds the stream's place again by SYNC.
"""

import array
import asyncio.core as core
import gc
import os
import sys

import micropython
import ops
import uctypes

_fds = os.getenv("STEIGER_BUS").split(",")
_in = open("/dev/fd/" + _fds[0], "rb", 0)
_out = open("/dev/fd/" + _fds[1], "wb", 0)
_image = open("/dev/fd/" + _fds[2], "rb", 0) if len(_fds) > 2 else None
_HEADER = ops.REQUEST_HEADER
# Words of 64 bits; an "l" that has as many is read without an object being made of it.
_WORD = "l" if len(bytes(array.array("l", (0,)))) == 8 else "q"
_fields = array.array(_WORD, bytes(_HEADER + ops.REQUEST_MAX))  # four words, then room for the payload
_frame = uctypes.bytearray_at(uctypes.addressof(_fields), _HEADER + ops.REQUEST_MAX)
_payload = uctypes.bytearray_at(uctypes.addressof(_fields) + _HEADER, ops.REQUEST_MAX)
_reply = array.array(_WORD, bytes(_HEADER))
_busy = False
_uses = 0  # how often the last uptime may be used again

# The loop's own time: C code stamps tasks that are ready with the machine's clock, so that timers must lie beyond it.
LOOP_BASE = 1 << 50
BLOCK = 4096  # erase block of the flash


def _gone():
    """The host is dead: so is the board."""
    while True:
        os.system("kill -9 $PPID")


def _resync():
    global _busy
    one = bytearray(1)
    while True:
        try:
            _fields[0] = ops.SYNC
            _fields[3] = 0
            _out.write(_frame, _HEADER)
            run = 0
            while True:
                if _in.readinto(one) != 1:
                    _gone()
                if one[0] == ops.SYNC_BYTE:
                    run += 1
                elif one[0] == ops.SYNC_END and run >= ops.SYNC_RUN:
                    _busy = False
                    return
                else:
                    run = 0
        except KeyboardInterrupt:
            pass


def call(op, handle=0, argument=0, data=None, into=None):
    """Ask the host; returns the reply's value. `data` goes with the request, the reply's payload into `into`."""
    global _busy, _uses
    if _busy:
        _resync()
    _busy = True
    fields = _fields
    fields[0] = op
    fields[1] = handle
    fields[2] = argument
    if data is None:
        fields[3] = 0
        _out.write(_frame, _HEADER)
    else:
        count = len(data)
        if count > ops.REQUEST_MAX:
            raise ValueError("%d bytes in one request" % count)
        fields[3] = count
        _payload[0:count] = data
        _out.write(_frame, _HEADER + count)
    reply = _reply
    if _in.readinto(reply) != _HEADER:
        _gone()
    count = reply[3]
    if count:
        _in.readinto(into, count)
    _busy = False
    flags = reply[1]
    _uses = flags >> ops.FLAG_FREE_SHIFT
    if flags & ops.FLAG_INTERRUPT:
        raise KeyboardInterrupt
    if flags & ops.FLAG_HEAP:
        value = reply[0]
        gc.collect()
        micropython.mem_info()
        for name in sys.modules:
            print(name)
        call(ops.HEAP)
        return value
    return reply[0]


def call_whole(op, handle, argument, data=None, into=None):
    """As `call`, for what must not be left half done (flash): a KeyboardInterrupt waits until it is over."""
    interrupted = False
    while True:
        try:
            value = call(op, handle, argument, data, into)
            break
        except KeyboardInterrupt:
            interrupted = True
    while interrupted:
        try:
            call(ops.INTERRUPT_LATER)
            interrupted = False
        except KeyboardInterrupt:
            pass
    return value


def check(value):
    """A negative value of a reply is an errno."""
    if value < 0:
        raise OSError(-value)
    return value


def uptime_ms():
    """Milliseconds since the start; the host says how often a known value may be used again."""
    global _uses
    if _uses > 0:
        _uses -= 1
    else:
        call(ops.TIME)
    return _reply[2]


def sleep_us(duration):
    """The whole program stands still."""
    if duration > 0:
        call(ops.SLEEP, 0, duration)


class IOQueue:
    """asyncio's waiting point: one request to the host instead of a poll. `map`: handle -> waiting task."""

    def __init__(self):
        self.map = {}
        self.mask = 0
        self.seen_ms = -1  # uptime when the host last told what is ready

    def forget(self, handle):
        self.map.pop(handle, None)
        self.mask &= ~(1 << handle)

    def remove(self, task):
        for handle in list(self.map):
            if self.map[handle] is task:
                self.forget(handle)

    def wait_io_event(self, dt):
        global _uses
        if dt == 0 and _uses > 0 and _reply[2] == self.seen_ms:  # nothing comes in while no time passes
            _uses -= 1
            return
        ready = call(ops.WAIT, self.mask, -1 if dt < 0 else _reply[2] + dt)
        self.seen_ms = _reply[2]
        handle = 0
        while ready:
            if ready & 1 and handle in self.map:
                task = self.map[handle]
                self.forget(handle)
                core._task_queue.remove(task)
                core._task_queue.push(task)
            ready >>= 1
            handle += 1


async def ready(handle, timeout_ms):
    """Return when `handle` has something to read, or after `timeout_ms`."""
    queue = core._io_queue
    queue.map[handle] = core.cur_task
    queue.mask |= 1 << handle
    try:
        await core.sleep_ms(timeout_ms)
    finally:
        queue.forget(handle)


def _loop_ticks():
    return LOOP_BASE + uptime_ms()


def patch_asyncio():
    """Let asyncio take time and readiness from the host."""
    core.ticks = _loop_ticks
    core.ticks_add = lambda ticks, delta: ticks + delta
    core.ticks_diff = lambda end, start: end - start
    core.IOQueue = IOQueue
    core._io_queue = IOQueue()


class Flash:
    """The block device under littlefs. Reads go past the host, to the image itself, where it was given."""

    def __init__(self):
        self._blocks = call(ops.FLASH_BLOCKS)
        self._image = _image

    def readblocks(self, block, buf, offset=0):
        if self._image is None:
            call_whole(ops.FLASH_READ, len(buf), block * BLOCK + offset, None, buf)
            return
        interrupted = False
        while True:
            try:
                self._image.seek(block * BLOCK + offset)
                self._image.readinto(buf)
                break
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            call_whole(ops.INTERRUPT_LATER, 0, 0)

    def writeblocks(self, block, buf, offset=0):
        call_whole(ops.FLASH_PROG, 0, block * BLOCK + offset, buf)

    def ioctl(self, op, argument):
        if op == 4:
            return self._blocks
        if op == 5:
            return BLOCK
        if op == 6:
            call_whole(ops.FLASH_ERASE, 0, argument)
            return 0
