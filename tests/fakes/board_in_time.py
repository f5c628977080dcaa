"""A board that lives through true time with its duty ledger: power cuts at any write, resets, deep sleep, crystals that are
wrong, a gateway's time now and then. What it sends goes to a judge who knows true time alone."""

from __future__ import annotations

import pytest

from firmware import leases
from firmware.links.duty import DutyLedger
from tests.fakes.air_judge import Judge
from tests.fakes.atomic_flash import AtomicFlash, PowerCut
from wire.airtime import airtime_us
from wire.duty import Spent

S_US = 1_000_000
START_UTC_S = 1_790_000_000
STEM = "/duty"


class _Crystal:
    """What a firmware.clock.Clock tells, `ppm` fast. Uptime goes on from `from_ms`."""

    def __init__(self, board: BoardInTime, ppm: int, from_ms: int = 0) -> None:
        self.slack_ms = 0
        self._board = board
        self._ppm = ppm
        self._from_ms = from_ms
        self._began_us = board.now_us
        self._offset_ms: int | None = None
        self._set_ms = 0

    def uptime_ms(self) -> int:
        passed_us = self._board.now_us - self._began_us
        return self._from_ms + (passed_us + passed_us * self._ppm // 1_000_000) // 1000

    def hear(self, error_ms: int) -> None:
        """A gateway tells the time."""
        self._set_ms = self.uptime_ms()
        self.slack_ms = 0
        self._offset_ms = START_UTC_S * 1000 + self._board.now_us // 1000 + error_ms - self._set_ms

    def utc_s(self) -> int | None:
        return None if self._offset_ms is None else (self.uptime_ms() + self._offset_ms) // 1000

    def set_since(self, uptime_ms: int) -> bool:
        return self._offset_ms is not None and self._set_ms >= uptime_ms

    def sleep(self, estimate_ms: int, slack_ms: int) -> None:
        """Deep sleep took some true time, and the board believes that it was `estimate_ms`."""
        self._from_ms += estimate_ms
        self._began_us = self._board.now_us
        self.slack_ms += slack_ms


class BoardInTime:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_us = 0
        self.judge = Judge()
        self.flash = AtomicFlash()
        self.frames = 0
        self.flash.under(monkeypatch, leases)
        empty = Spent().dump(0, 0, 0)
        self.flash.files = {STEM + ".a": empty, STEM + ".b": empty}  # as provisioning leaves it
        self.boot()

    def boot(self, ppm: int = 0, off_s: float = 0.0) -> None:
        """The power was away for so long, or it is a mere reset."""
        self.now_us += round(off_s * S_US)
        self.crystal = _Crystal(self, ppm)
        self.ledger = DutyLedger(STEM, self.crystal)

    def pass_s(self, seconds: float) -> None:
        self.now_us += round(seconds * S_US)

    def deep_sleep(self, seconds: float, error_ppm: int) -> None:
        """The sleep's oscillator is wrong by less than the 5 % that the board allows for."""
        image = self.ledger.image()
        uptime_ms = self.crystal.uptime_ms()
        self.pass_s(seconds)
        told_ms = round(seconds * 1000 * (1 + error_ppm / 1e6))
        slack_ms = told_ms // 20 + 1
        assert self.crystal.uptime_ms() >= uptime_ms
        self.crystal._from_ms = uptime_ms
        self.crystal.sleep(told_ms, slack_ms)
        self.ledger = DutyLedger(STEM, self.crystal)
        self.ledger.recall(image, told_ms - slack_ms)

    def hear_time(self, error_ms: int = 0) -> None:
        self.crystal.hear(error_ms)
        utc_s = self.crystal.utc_s()
        assert utc_s is not None
        self.ledger.proven(utc_s)

    def may_send(self, freq_hz: int, length: int, sf: int) -> bool:
        return self.ledger.wait_ms(freq_hz, airtime_us(length, sf)) == 0

    def send(self, freq_hz: int, length: int, sf: int, delay_us: int = 0, radio_ppm: int = 0, cut: float = 1.0) -> bool:
        """One frame, if the ledger lets it go; `cut`: the power goes when so much of it is on air."""
        airtime = airtime_us(length, sf)
        if self.ledger.wait_ms(freq_hz, airtime):
            return False
        try:
            self.ledger.take(freq_hz, airtime)
        except OSError:
            return False
        self.now_us += delay_us
        begin_us = self.now_us
        self.now_us += round(airtime * (1 + radio_ppm / 1e6) * cut)
        self.judge.heard(freq_hz, begin_us, self.now_us)
        self.frames += 1
        return True

    def greedy(
        self, seconds: float, freq_hz: int, length: int, sf: int, radio_ppm: int = 0, most: int = 50_000
    ) -> None:
        """Send all that is allowed, the very moment that it is."""
        until_us = self.now_us + round(seconds * S_US)
        most += self.frames
        while self.now_us < until_us and self.frames < most:
            wait_ms = self.ledger.wait_ms(freq_hz, airtime_us(length, sf))
            if wait_ms or not self.send(freq_hz, length, sf, radio_ppm=radio_ppm):
                self.now_us += max(S_US, min(wait_ms * 1000, 60 * S_US))

    def cut_at_write(self, count: int, kept: bool) -> None:
        self.flash.cut_in, self.flash.kept = count, kept

    def send_and_die(self, freq_hz: int, length: int, sf: int, count: int, kept: bool) -> None:
        """Send until the power goes at the `count`-th write, or the law stops it."""
        self.cut_at_write(count, kept)
        try:
            while self.send(freq_hz, length, sf):
                pass
        except PowerCut:
            pass
        self.flash.cut_in = None
