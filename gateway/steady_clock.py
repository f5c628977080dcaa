"""The machine's clock as the gateway uses it: it does not jump with a jump that may be wrong, and says when it tells nothing.

While we run, a clock that only counts tells better than the wall clock how much time went by. A wall clock that leaps is followed
at once only if the former time could not be right, or was never set by the machine's time service and now is; else when
it has insisted for STEP_AFTER_S, as nodes do. A machine that was off without a battery for its clock begins at the time of
its last shutdown: until its time service has set it, nobody is told the time, and nothing is dated by it.

What is believed is kept in a file: a gateway that is killed and started while the clock is wrong knows it by that.
"""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.clock import Clock
from wire import UTC_HIGH_S, UTC_LOW_S

log = logging.getLogger("clock")

STEP_MS = 1_000  # less is a time service at work
STEP_AFTER_S = 3_600.0
KEEP_AGAIN_S = 5.0  # the folder may be missing yet, or the disk full
MACHINE_BOOT = Path("/proc/sys/kernel/random/boot_id")  # elapsed time counts from there, across processes


class SteadyClock:
    """A `Clock` on another one. `source.synchronised()`, if it has that, tells whether a time service has set it, or that
    none will; `source.elapsed_s()`, if it has that, goes on while the machine sleeps."""

    def __init__(self, source: Clock, file: Path | None = None) -> None:
        self._source = source
        self._synchronised = getattr(source, "synchronised", None)
        self._elapsed_s = getattr(source, "elapsed_s", source.monotonic_s)
        self._file = file
        kept_ms = self._load()
        self._kept = kept_ms is not None
        self._keep_at_s = 0.0
        # wall less elapsed, as believed
        self._offset_ms = self._raw_offset_ms(self._elapsed_s()) if kept_ms is None else kept_ms
        self._set = self._is_set()
        self._strange_ms: int | None = None  # an offset that the wall clock insists on
        self._strange_since_s = 0.0

    def monotonic_s(self) -> float:
        return self._source.monotonic_s()

    def wall_ms(self) -> int:
        elapsed_s = self._elapsed_s()
        self._look(elapsed_s)
        return round(elapsed_s * 1000) + self._offset_ms

    @property
    def trusted(self) -> bool:
        """Whether this clock may tell a node the time, and date a boot."""
        at_ms = self.wall_ms()
        return self._set and UTC_LOW_S * 1000 <= at_ms < UTC_HIGH_S * 1000

    def _raw_offset_ms(self, elapsed_s: float) -> int:
        return self._source.wall_ms() - round(elapsed_s * 1000)

    def _is_set(self) -> bool:
        return self._synchronised is None or bool(self._synchronised())

    def _look(self, now_s: float) -> None:
        offset_ms = self._raw_offset_ms(now_s)
        step_ms = offset_ms - self._offset_ms
        if not self._set:
            self._set = self._is_set()
            self._offset_ms, self._strange_ms = offset_ms, None
            if abs(step_ms) > STEP_MS:
                log.info("clock: set by %+.0f s", step_ms / 1000)
            return
        if abs(step_ms) <= STEP_MS:
            self._offset_ms, self._strange_ms = offset_ms, None
            if not self._kept:
                self._keep(now_s)
            return
        if self._strange_ms is None or abs(offset_ms - self._strange_ms) > STEP_MS:
            self._strange_ms, self._strange_since_s = offset_ms, now_s
            log.warning("clock: jumped by %+.0f s, not followed for now", step_ms / 1000)
        believed_ms = round(now_s * 1000) + self._offset_ms
        possible = UTC_LOW_S * 1000 <= believed_ms < UTC_HIGH_S * 1000
        if not possible or now_s - self._strange_since_s >= STEP_AFTER_S:
            log.warning("clock: followed by %+.0f s", step_ms / 1000)
            self._offset_ms, self._strange_ms = offset_ms, None
            self._kept = False

    # -- over a restart ----------------------------------------------------------------------------------------------

    def _keep(self, now_s: float) -> None:
        """A few bytes, once: written by the loop itself. A restart before that believes what it finds."""
        if now_s < self._keep_at_s:
            return
        self._keep_at_s = now_s + KEEP_AGAIN_S
        boot = machine_boot()
        if self._file is None or not boot:
            self._kept = True
            return
        half = self._file.with_name(self._file.name + ".part")
        try:
            half.write_text(f"{boot} {self._offset_ms}\n")
            half.replace(self._file)
            self._kept = True
        except OSError as err:
            log.debug("clock: not kept, %s", err)

    def _load(self) -> int | None:
        """What was believed in this boot of the machine."""
        try:
            boot, offset = self._file.read_text().split() if self._file else ("", "")
            return int(offset) if boot and boot == machine_boot() else None
        except (OSError, ValueError):
            return None


def machine_boot() -> str:
    """Names the boot that elapsed time counts from; "" where it may begin anew with each process."""
    try:
        return MACHINE_BOOT.read_text().strip()
    except OSError:
        return ""
