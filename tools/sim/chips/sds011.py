"""Nova SDS011 particle sensor on a UART (control protocol V1.3; facts in words of our own).

Reports of 10 bytes, commands of 19. Mode and working period outlive power cuts; while it sleeps it hears a wake-up and
nothing else.
"""

import math
from collections.abc import Iterable

from tools.sim.chips.serial_chip import LINE_FAULTS, RECEIVE_CAP, SerialChip, noisy
from tools.sim.world import World

_SECOND_US = 1_000_000
_WORK_US = 30 * _SECOND_US
_TO_ALL = b"\xff\xff"


def seal(kind: int, six: bytes) -> bytes:
    """A frame from the sensor: head, kind, six bytes, their sum, tail."""
    total = 0
    for byte in six:
        total = (total + byte) % 256
    return bytes([0xAA, kind, *six, total, 0xAB])


class SDS011(SerialChip):
    """An SDS011. Parameters: ident (two bytes), firmware (year, month, day), query (left in that mode), period_min."""

    CHECKSUM_AT = 8
    FAULTS = LINE_FAULTS | {
        "stuck": "the values stay what they are",
        "dead_fan": "no air comes in: both values 0.0",
        "deaf": "commands are not heard (its RX is open)",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        ident: tuple[int, int] = (0xA1, 0x60),
        firmware: tuple[int, int, int] = (18, 11, 16),
        query: bool = False,
        period_min: int = 0,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.ident = bytes(ident)
        self.firmware = bytes(firmware)
        self.query = query
        self.period_min = period_min
        self.fixed: tuple[float, float] | None = None  # (PM2.5, PM10) in ug/m3 instead of the world's; for trials
        self.power_on(world.start_s * _SECOND_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._received = b""
        self._last: tuple[int, int] | None = None
        self._wake(now_us)

    def _wake(self, now_us: int) -> None:
        self.asleep = False
        self._woken_us = now_us
        self._report_us = now_us + (_WORK_US if self.period_min else _SECOND_US)

    @property
    def resting(self) -> bool:
        """Asleep by itself, within a working period: as of the last report."""
        return bool(self.period_min) and self._report_us - self._woken_us > _WORK_US

    # --- Commands ----------------------------------------------------------------------------------------------

    def hear(self, data: bytes, now_us: int) -> None:
        """Commands: AA B4, thirteen bytes, the target's id, sum, AB."""
        if "deaf" in self.faults:
            return
        self._received = (self._received + data)[-RECEIVE_CAP:]
        while len(self._received) >= 19:
            head = self._received[:19]
            total = 0
            for byte in head[2:17]:
                total = (total + byte) % 256
            if head[:2] != b"\xaa\xb4" or head[18] != 0xAB or head[17] != total:
                self._received = self._received[1:]
                continue
            self._received = self._received[19:]
            if head[15:17] in (_TO_ALL, self.ident):
                self._obey(head[2], head[3], head[4], head[13:15], now_us)

    def _obey(self, code: int, setting: int, value: int, new_ident: bytes, now_us: int) -> None:
        resting = self.resting and now_us < self._report_us - _WORK_US
        if code == 6 and setting == 1 and value == 1:
            if self.asleep or resting:
                self._wake(now_us)
        elif self.asleep or resting:
            return
        if code == 4:
            if self.query:
                self.answer(seal(0xC0, self._values(now_us)), now_us)
            return
        if code == 2 and setting:
            self.query = value == 1
            self._report_us = now_us + _SECOND_US
        elif code == 5:
            self.ident = new_ident
        elif code == 8 and setting:
            if value > 30:
                return
            self.period_min = value
            self._wake(now_us)
        elif code == 6 and setting:
            self.asleep = value == 0
        shown = {2: int(self.query), 6: int(not self.asleep), 8: self.period_min}.get(code, 0)
        three = self.firmware if code == 7 else bytes((setting if code != 5 else 0, shown, 0))
        self.answer(seal(0xC5, bytes((code,)) + three + self.ident), now_us)

    # --- Reports -----------------------------------------------------------------------------------------------

    def next_report_us(self) -> int | None:
        return None if self.asleep or (self.query and not self.period_min) else self._report_us

    def report(self, at_us: int) -> bytes:
        frame = seal(0xC0, self._values(at_us))
        self._report_us += self._pace_us()
        return frame

    def _pace_us(self) -> int:
        if self.period_min:
            return self.period_min * 60 * _SECOND_US
        return 3 * _SECOND_US if "late_answer" in self.faults else _SECOND_US

    def skip_reports(self, before_us: int) -> None:
        if self._report_us < before_us:
            pace_us = self._pace_us()
            self._report_us += -(-(before_us - self._report_us) // pace_us) * pace_us

    def _values(self, at_us: int) -> bytes:
        if "stuck" not in self.faults or self._last is None:
            self._last = self._measure(at_us)
        return self._last[0].to_bytes(2, "little") + self._last[1].to_bytes(2, "little") + self.ident

    def _measure(self, at_us: int) -> tuple[int, int]:
        if "dead_fan" in self.faults:
            return 0, 0
        if self.fixed is not None:
            return round(self.fixed[0] * 10), round(self.fixed[1] * 10)
        worked_s = _WORK_US / 1e6 if self.period_min else (at_us - self._woken_us) / 1e6
        run_in = 1.0 - math.exp(-worked_s / 4.0) if worked_s > 2.0 else 0.0  # zeros right after the start
        air = self.world.air(at_us / 1e6, self.site)
        gain = run_in * noisy(self.seed, at_us, 1.0, 0.04)
        return min(9999, round(air.pm2_5_ugm3 * gain * 10)), min(9999, round(air.pm10_ugm3 * gain * 10))
