"""The standard modules of an ESP32 that this port lacks or has otherwise: time from 2000, wrapping ticks, machine."""

import sys
import time as _time

import micropython as _micropython
import ops
from simbus import call, check, sleep_us, uptime_ms

_HALF = ops.TICKS_HALF
_PERIOD = 2 * _HALF


class time:
    @staticmethod
    def ticks_ms():
        return (uptime_ms() - ops.TICKS_BEFORE_WRAP_MS) & (_PERIOD - 1)

    @staticmethod
    def ticks_us():
        return (call(ops.CLOCK_US) - ops.TICKS_BEFORE_WRAP_MS * 1000) & (_PERIOD - 1)

    @staticmethod
    def ticks_diff(end, start):
        return ((end - start + _HALF) & (_PERIOD - 1)) - _HALF

    @staticmethod
    def ticks_add(ticks, delta):
        return (ticks + delta) & (_PERIOD - 1)

    ticks_cpu = ticks_us

    @staticmethod
    def sleep(seconds):
        sleep_us(int(seconds * 1000000))

    @staticmethod
    def sleep_ms(duration):
        sleep_us(duration * 1000)

    sleep_us = sleep_us

    @staticmethod
    def time():
        return call(ops.CLOCK)

    @staticmethod
    def time_ns():
        return call(ops.CLOCK_MS) * 1000000

    @staticmethod
    def gmtime(seconds=None):
        return _time.gmtime((time.time() if seconds is None else seconds) + ops.EPOCH_2000)[:8]

    localtime = gmtime

    @staticmethod
    def mktime(fields):
        return _time.mktime(tuple(fields[:8]) + (0,)) - ops.EPOCH_2000


class WDT:
    def __init__(self, id=0, timeout=5000):
        call(ops.WATCHDOG, id, timeout)

    def feed(self):
        call(ops.FEED)


class RTC:
    def memory(self, data=None):
        if data is not None:
            check(call(ops.RTC_WRITE, 0, 0, data))
            return None
        buf = bytearray(2048)
        return bytes(buf[: call(ops.RTC_READ, 0, 0, None, buf)])

    def datetime(self, fields=None):
        if fields is None:
            y, mo, d, h, mi, s, wd = time.gmtime()[:7]
            return (y, mo, d, wd, h, mi, s, 0)
        y, mo, d, _, h, mi, s, _ = fields
        call(ops.CLOCK_SET, 0, time.mktime((y, mo, d, h, mi, s, 0, 0)))


class machine:
    PWRON_RESET = ops.PWRON
    HARD_RESET = ops.HARD
    WDT_RESET = ops.WDT
    DEEPSLEEP_RESET = ops.DEEPSLEEP_CAUSE
    SOFT_RESET = ops.SOFT
    WDT = WDT
    RTC = RTC

    @staticmethod
    def reset():
        call(ops.RESET)

    @staticmethod
    def soft_reset():
        sys.exit()

    @staticmethod
    def reset_cause():
        return call(ops.RESET_CAUSE)

    @staticmethod
    def unique_id():
        buf = bytearray(8)
        return bytes(buf[: call(ops.UNIQUE_ID, 0, 0, None, buf)])

    @staticmethod
    def deepsleep(duration=0):
        call(ops.DEEPSLEEP, 0, duration)

    @staticmethod
    def lightsleep(duration=0):
        sleep_us(duration * 1000)

    @staticmethod
    def idle():
        sleep_us(1000)

    @staticmethod
    def freq(hertz=None):
        return 240000000


class micropython:
    @staticmethod
    def kbd_intr(character):
        call(ops.KBD_INTR, 0, character)


for _name in dir(_micropython):
    if _name[0] != "_" and _name != "kbd_intr":
        setattr(micropython, _name, getattr(_micropython, _name))


def urandom(count):
    buf = bytearray(count)
    done = 0
    while done < count:
        done += call(ops.RANDOM, 0, min(count - done, 1024), None, memoryview(buf)[done:])
    return bytes(buf)


def install():
    sys.modules["time"] = time
    sys.modules["machine"] = machine
    sys.modules["micropython"] = micropython
