"""The duty cycle of what an ear sends, kept over restarts, kill -9 and power cuts. The law and its bytes: wire/duty.py.

Time is the machine's, counted since its boot, and named by the boot's id: a wall clock that jumps moves nothing, and a gateway
that is started again in the same boot of the machine knows exactly how much of the hour has passed. What an earlier boot sent
ended before this one began, whenever that was.

Airtime is reserved on the disk before it is used, 3.6 s at once, and ahead of its need, so that no answer waits for a disk. What
a killed gateway had reserved counts as used until this moment. A file that cannot be read: the hour is spent.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from gateway.clock import Clock
from gateway.durable import replace_file
from gateway.steady_clock import machine_boot
from wire.duty import BLOCK_US, Spent, number_of
from wire.regions import band_of

log = logging.getLogger("duty")

BEGIN_S = 3  # an answer begins so soon after `take`, rounding included
AHEAD_US = BLOCK_US // 2  # with less than that reserved the next block is written
DISK_WAIT_S = 0.2  # what `wait_s` says while a reservation is on its way to the disk
DISK_AGAIN_S = 5.0  # after a disk that refused
FILE_MAX = 4_096


class GatewayDuty:
    """Of one transmitter. `path`: its file; the folder may be made later. `boot`: names the time base of `clock.monotonic_s`."""

    def __init__(self, path: Path, clock: Clock, boot: str | None = None) -> None:
        self._path = path
        self._clock = clock
        self._boot = machine_boot() if boot is None else boot
        self._number = 0
        self._spent = Spent()
        self._writing = False
        self._again_s = 0.0
        self._load()

    def wait_s(self, freq_hz: int, airtime_us: int) -> float:
        """Seconds until a frame of this length may go; 0: now. ValueError: never."""
        wait_s = self._spent.wait_s(freq_hz, airtime_us, self._now_s())
        if wait_s:
            return float(wait_s)
        band = band_of(freq_hz)
        if self._spent.left.get(band, 0) < airtime_us and not self._writing:
            self._reserve(band)
        return 0.0 if self._spent.left.get(band, 0) >= airtime_us else DISK_WAIT_S

    def take(self, freq_hz: int, airtime_us: int) -> None:
        """Account for a frame that begins within BEGIN_S less a second; ValueError: it must not go now."""
        if self.wait_s(freq_hz, airtime_us):
            raise ValueError("duty cycle")
        band = band_of(freq_hz)
        self._spent.left[band] -= airtime_us
        self._spent.spend(band, airtime_us, self._now_s() + -(-airtime_us // 1_000_000) + BEGIN_S)
        if self._spent.left[band] < AHEAD_US and not self._writing:
            self._reserve_ahead(band)

    def _now_s(self) -> int:
        return int(self._clock.monotonic_s())

    # -- the file ------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        now_s = self._now_s()
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_MAX)
        except FileNotFoundError:
            return  # an ear that never sent
        except OSError as error:
            log.warning("duty: %s cannot be read, %s; the hour counts as spent", self._path, error)
            self._spent.spend_all(now_s)
            return
        boot, _, rest = content.partition(b"\n")
        image = rest[4:]
        number = number_of(image)
        if number < 0:
            log.warning("duty: %s is damaged; the hour counts as spent", self._path)
            self._spent.spend_all(now_s)
            return
        self._number = number
        written_s = int.from_bytes(rest[:4], "big")
        if not self._boot:
            self._spent.load(image, now_s)  # nobody knows what this clock counted before
        elif boot != self._boot.encode():
            self._spent.load(image, 0)
        else:
            self._spent.load(image, min(written_s, now_s), False)
            for band, left_us in self._spent.left.items():
                self._spent.spend(band, left_us, now_s + 1)
            self._spent.left = {}

    def _topped_up(self, band: int) -> tuple[int, bytes]:
        """(what is added, the file's content with it). What is sent while it is being written, it covers as well."""
        self._number += 1
        now_s = self._now_s()
        had_us = self._spent.left.get(band, 0)
        self._spent.left[band] = BLOCK_US
        image = self._spent.dump(self._number, 0, now_s)
        self._spent.left[band] = had_us
        return BLOCK_US - had_us, self._boot.encode() + b"\n" + now_s.to_bytes(4, "big") + image

    def _reserve(self, band: int) -> None:
        """Now, for the frame that is to go: the first one, or after a disk that was slow."""
        if self._clock.monotonic_s() < self._again_s:
            return
        more_us, content = self._topped_up(band)
        try:
            replace_file(self._path, content)
        except OSError as error:
            self._refused(error)
        else:
            self._spent.left[band] += more_us

    def _reserve_ahead(self, band: int) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._writing = True
        more_us, content = self._topped_up(band)
        done = loop.run_in_executor(None, replace_file, self._path, content)
        done.add_done_callback(lambda future: self._written(band, more_us, future))

    def _written(self, band: int, more_us: int, future: asyncio.Future[None]) -> None:
        self._writing = False
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._spent.left[band] += more_us
        elif isinstance(error, OSError):
            self._refused(error)
        else:
            raise error

    def _refused(self, error: OSError) -> None:
        self._again_s = self._clock.monotonic_s() + DISK_AGAIN_S
        log.warning("duty: %s cannot be written, %s; nothing is sent", self._path, error)
