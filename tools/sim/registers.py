"""The requests that only look at the chip's registers: identity, clocks, RTC memory, random numbers, supply."""

from __future__ import annotations

import errno
import os
from random import Random

from tools.sim.periphery import Answer, Carry
from tools.sim.stub import ops
from tools.sim.timers import Time

RTC_BYTES = 2048
SUPPLY_MV = 3300
TEMPERATURE_CDEG = 4200
SECOND_US = 1_000_000


class Registers:
    """`cause`: of the last reset. RTC memory and calendar clock outlive resets, not a power cut."""

    def __init__(self, time: Time, uid: bytes, seed: int) -> None:
        self.uid = uid
        self.cause = ops.PWRON
        self._time = time
        self._chance = Random(f"board {seed} {uid.hex()}")
        self._rtc = b""
        self._calendar_us = 0  # when the calendar clock showed 2000-01-01

    def power_on(self) -> None:
        self._rtc = b""
        self._calendar_us = self._time.now_us

    def requests(self) -> dict[int, Carry]:
        """Operation -> what carries it out."""
        return {
            ops.RESET_CAUSE: lambda handle, argument, data: (self.cause, b""),
            ops.UNIQUE_ID: lambda handle, argument, data: (len(self.uid), self.uid),
            ops.SUPPLY: lambda handle, argument, data: (SUPPLY_MV, b""),
            ops.TEMPERATURE: lambda handle, argument, data: (TEMPERATURE_CDEG, b""),
            ops.RTC_READ: lambda handle, argument, data: (len(self._rtc), self._rtc),
            ops.RANDOM: self._random,
            ops.RTC_WRITE: self._rtc_write,
            ops.CLOCK: self._calendar,
            ops.CLOCK_SET: self._set_calendar,
            ops.CLOCK_MS: self._calendar_ms,
        }

    def _random(self, handle: int, count: int, data: bytes) -> Answer:
        return count, self._chance.randbytes(count) if self._time.virtual else os.urandom(count)

    def _rtc_write(self, handle: int, argument: int, data: bytes) -> Answer:
        if len(data) > RTC_BYTES:
            return -errno.EINVAL, b""
        self._rtc = data
        return len(data), b""

    def _calendar(self, handle: int, argument: int, data: bytes) -> Answer:
        return (self._time.now_us - self._calendar_us) // SECOND_US, b""

    def _calendar_ms(self, handle: int, argument: int, data: bytes) -> Answer:
        return (self._time.now_us - self._calendar_us) // 1000, b""

    def overslept(self, duration_us: int) -> None:
        """The oscillator that times deep sleep ran slow by so much: the calendar clock counted with it."""
        self._calendar_us += duration_us

    def _set_calendar(self, handle: int, seconds: int, data: bytes) -> Answer:
        self._calendar_us = self._time.now_us - seconds * SECOND_US
        return 0, b""
