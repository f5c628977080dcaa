"""Plantower PMS5003 particle sensor on a UART (manual V2.3; facts in words of our own).

Big endian words, a sum of 16 bits at the end of each frame. It wakes in active mode and counts particles larger than
each size.
"""

import math
from collections.abc import Iterable

from tools.sim.chips.serial_chip import LINE_FAULTS, RECEIVE_CAP, SerialChip, noisy
from tools.sim.world import World

_SECOND_US = 1_000_000
_STABLE_US = 2_300_000
_CHANGING_US = 800_000
_CHANGING_PART = 0.25  # of PM2.5, since the frame before


def framed(words: Iterable[int]) -> bytes:
    """Words as a frame: head, length, words, sum of all that."""
    body = b"".join(word.to_bytes(2, "big") for word in words)
    frame = b"BM" + (len(body) + 2).to_bytes(2, "big") + body
    return frame + (sum(frame) % 65536).to_bytes(2, "big")


class PMS5003(SerialChip):
    """A PMS5003. Parameters: version. `fixed`: 12 words to be sent instead of the world's, for trials."""

    FAULTS = LINE_FAULTS | {
        "stuck": "the values stay what they are",
        "dead_laser": "nothing is counted: all words zero",
        "error_code": "the error byte says 4",
        "no_answers": "commands are obeyed, but never answered",
    }

    def __init__(
        self, world: World, seed: int, *, site: int = 0, faults: Iterable[str] = (), version: int = 0x97
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.version = version
        self.fixed: tuple[int, ...] | None = None
        self.power_on(world.start_s * _SECOND_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._received = b""
        self._wake(now_us)

    def _wake(self, now_us: int) -> None:
        self.asleep = False
        self.passive = False
        self._woken_us = now_us
        self._report_us = now_us + _STABLE_US
        self._words: tuple[int, ...] = ()
        self._before = 0.0

    # --- Commands ----------------------------------------------------------------------------------------------

    def hear(self, data: bytes, now_us: int) -> None:
        """Commands: 42 4D, command, data high and low, sum."""
        self._received = (self._received + data)[-RECEIVE_CAP:]
        while len(self._received) >= 7:
            head = self._received[:7]
            if head[:2] != b"BM" or sum(head[:5]) != int.from_bytes(head[5:], "big"):
                self._received = self._received[1:]
                continue
            self._received = self._received[7:]
            self._obey(head[2], head[4], now_us)

    def _obey(self, code: int, value: int, now_us: int) -> None:
        if self.asleep:
            if code == 0xE4 and value == 1:
                self._wake(now_us)
                self._received = b""  # what follows at once is lost
            return
        if code == 0xE2 and self.passive:
            self.answer(self._data(now_us), now_us)
            return
        if code == 0xE1:
            self.passive = value == 0
            self._report_us = now_us + _CHANGING_US
        elif code == 0xE4:
            self.asleep = value == 0
            if not self.asleep:
                return  # awake already: data frames are its answer
        else:
            return
        if "no_answers" not in self.faults:
            self.answer(framed((code << 8 | value,)), now_us)

    # --- Frames ------------------------------------------------------------------------------------------------

    def next_report_us(self) -> int | None:
        return None if self.asleep or self.passive else self._report_us

    def report(self, at_us: int) -> bytes:
        frame = self._data(at_us)
        now = self.world.air(at_us / 1e6, self.site).pm2_5_ugm3
        changing = abs(now - self._before) > _CHANGING_PART * now
        self._before = now
        pace_us = _CHANGING_US if changing else _STABLE_US
        self._report_us = at_us + pace_us * (3 if "late_answer" in self.faults else 1)
        return frame

    def skip_reports(self, before_us: int) -> None:
        self._report_us = max(self._report_us, before_us)

    def _data(self, at_us: int) -> bytes:
        if "stuck" not in self.faults or not self._words:
            self._words = self._measure(at_us)
        error = 4 if "error_code" in self.faults else 0
        return framed((*self._words, self.version << 8 | error))

    def _measure(self, at_us: int) -> tuple[int, ...]:
        if "dead_laser" in self.faults:
            return (0,) * 12
        if self.fixed is not None:
            return self.fixed
        air = self.world.air(at_us / 1e6, self.site)
        gain = (1.0 - math.exp(-(at_us - self._woken_us) / 4e6)) * noisy(self.seed, at_us, 1.0, 0.05)
        atmospheric = [round(mass * gain) for mass in (air.pm1_ugm3, air.pm2_5_ugm3, air.pm10_ugm3)]
        standard = [mass if mass < 30 else round(mass * 1.4) for mass in atmospheric]  # they part in dirty air
        below = (0.0, air.nc0_5_cm3, air.nc1_cm3, air.nc2_5_cm3, air.nc4_cm3)
        larger = [round((air.nc10_cm3 - count) * gain * 100) for count in below]  # per 0.1 L
        return (*standard, *atmospheric, *larger, larger[-1] // 10)
