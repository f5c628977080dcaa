"""The one seam through which the gateway sees time; a virtual-time event loop brings its own."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Protocol

WAIT_FOR_SERVICE_S = (
    600.0  # after the machine's start; a time service that has not set the clock by then has no network
)
SERVICES = ("/run/systemd/timesync", "/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid")
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Clock(Protocol):
    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, as the machine believes."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never jump; the same time base as the event loop's `time()`."""
        ...


class SystemClock:
    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def elapsed_s(self) -> float:
        """As monotonic_s, and it goes on while the machine is suspended, where the system can tell."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.time()

    def synchronised(self) -> bool:
        """False while a time service runs that has not set this machine's clock and may still do so."""
        if sys.platform != "linux" or not any(map(os.path.exists, SERVICES)):
            return True
        if self.elapsed_s() > WAIT_FOR_SERVICE_S:
            return True
        buffer = ctypes.create_string_buffer(256)  # struct timex, all zero: asks and changes nothing
        return ctypes.CDLL(None).adjtimex(buffer) not in (TIME_ERROR, -1)
