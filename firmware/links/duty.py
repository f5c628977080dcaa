"""The duty cycle of a node's own transmissions, kept across resets and power cuts: whatever the board lives through, no
sliding hour of any sub-band exceeds what EN 300 220 permits.

Airtime is reserved in flash before it is used, at most 3.6 s at once: a boot takes what was reserved for used, at that very
moment, for nobody knows how long it was off. Time without power counts as none, unless a gateway's authenticated time
proves more. In two files, `<stem>.a` and `.b` (wire/duty.py), written one after the other and read back.

Nothing is sent before both copies name its reservation, so that any one of them will do. Neither readable: the hour is spent.
"""

from firmware.leases import read_back, write_back
from wire.duty import BLOCK_US, Spent, number_of
from wire.regions import band_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEGIN_MS = 1000  # a frame begins so soon after `take`
NOTE_FIRST_MS = 60000  # how far the hour has passed is noted while a frame waits for it: so long after a boot at first,
NOTE_MAX_MS = 1200000  # then ever later; a board that resets again and again loses at most half of its time
UTC_ERROR_S = 60  # what two times of a gateway may be wrong by together, node's clock and rounding included
UTC_AGE_MS = 86400000  # a clock that was set longer ago than that tells no time to prove anything by
UTC_SLACK_MS = 20000


class DutyLedger:
    """`stem`: path of the two files without their endings; `clock`: firmware.clock.Clock."""

    def __init__(self, stem: str, clock: "Any") -> None:
        self._paths = (stem + ".a", stem + ".b")
        self._clock = clock
        self._spent = Spent()
        self._begun_s = now_s = clock.uptime_ms() // 1000
        self._noted_ms = clock.uptime_ms()
        self._pause_ms = NOTE_FIRST_MS
        self._given_us = 0
        self._utc_s = 0  # of the writing that this boot began with
        self._number = -1
        self.repaired = False
        newest = b""
        for path in self._paths:
            data = read_back(path)
            number = number_of(data)
            if number < 0:
                self.repaired = True
            elif number > self._number:
                self._number = number
                newest = data
        if newest:
            self._utc_s = int.from_bytes(newest[8:12], "little")
            self._spent.load(newest, now_s)
        else:
            self._number = 0
            self._spent.spend_all(now_s + 1)

    def wait_ms(self, freq_hz: int, airtime_us: int) -> int:
        """Milliseconds until a frame of this length may go; 0: now. ValueError: never. Who waits asks again every minute or
        so: each time is also an opportunity to note how much of the hour has passed."""
        now_ms = self._clock.uptime_ms()
        wait_s = self._spent.wait_s(freq_hz, airtime_us, now_ms // 1000)
        if wait_s and now_ms - self._noted_ms >= self._pause_ms:
            self._pause_ms = min(2 * self._pause_ms, NOTE_MAX_MS)
            try:
                self._store()
            except OSError:
                pass  # a reset would wait anew for what has passed
        return wait_s * 1000

    def free_us(self, freq_hz: int) -> int:
        """Airtime that may be spent now in the sub-band of this frequency."""
        return self._spent.free_us(band_of(freq_hz), self._clock.uptime_ms() // 1000)

    def take(self, freq_hz: int, airtime_us: int) -> None:
        """Account for a frame that begins within BEGIN_MS. ValueError: it must not go now; OSError: flash refuses, and it must
        not go either."""
        now_ms = self._clock.uptime_ms()
        band = band_of(freq_hz)
        if self._spent.wait_s(freq_hz, airtime_us, now_ms // 1000):
            raise ValueError("spent")
        left = self._spent.left
        had_us = left.get(band, 0)
        if had_us < airtime_us:
            # As much as this boot has had already: one that never lives long reserves no more than it sends.
            block_us = max(airtime_us, min(BLOCK_US, self._given_us))
            left[band] = block_us
            try:
                self._store()
            except OSError:
                left[band] = had_us
                raise
            self._given_us += block_us
        left[band] -= airtime_us
        end_ms = self._clock.uptime_ms() + BEGIN_MS + airtime_us // 1000
        self._spent.spend(band, airtime_us, end_ms // 1000 + 2)

    def proven(self, now_utc_s: int) -> None:
        """A gateway's authenticated time: what was spent before this boot began may lie further back than was known."""
        if self._utc_s:
            begun_utc_s = now_utc_s - (self._clock.uptime_ms() // 1000 - self._begun_s)
            passed_s = begun_utc_s - self._utc_s - UTC_ERROR_S
            if passed_s > 0:
                self._spent.age(self._begun_s, passed_s)
            self._utc_s = 0

    def image(self) -> bytes:
        """What is written, as it is now: after a deep sleep `recall` goes on with it."""
        clock = self._clock
        now_ms = clock.uptime_ms()
        told = clock.slack_ms <= UTC_SLACK_MS and clock.set_since(now_ms - UTC_AGE_MS)
        return self._spent.dump(self._number, clock.utc_s() if told else 0, now_ms // 1000)

    def recall(self, image: bytes, slept_ms: int) -> None:
        """The boot goes on after a deep sleep of at least `slept_ms`; ignored unless flash holds the same writing. An image
        must be taken away from where it was kept before this is called: it is right only once."""
        if number_of(image) == self._number and not self.repaired:
            self._spent.load(image, self._begun_s - slept_ms // 1000, False)
            self._given_us = BLOCK_US
            self._utc_s = 0  # aged already

    def _store(self) -> None:
        self._number += 1
        data = self.image()
        for path in self._paths:
            write_back(path, data)
        self._noted_ms = self._clock.uptime_ms()
