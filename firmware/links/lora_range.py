"""A range test: numbered frames that carry nothing new, at each spreading factor that was asked for, by turns, so that all of
them meet the same moments. Loaded when a gateway asks for one, and forgotten at its end. No I/O.

`arg` of the command: bits 0..7 frames at each SF; 8..13 mask of SF7..12, 0: the present one; 16..21 power in dBm + 10, 0: the
present one. Each frame is a CommandResult PROBE; its value: number from 0 | sf << 8 | power + 10 << 16.
"""

from firmware import forget
from wire import frame, messages, regions
from wire.airtime import airtime_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COUNT_MAX = 100
POWER_ZERO = 10  # added to powers, which may be negative
LENGTH = frame.UPLINK_HEAD + 9 + 4  # of a frame: head, CommandResult, tag


class RangeTest:
    """The rest of a test. `rate.test` is where it stands until it is over."""

    def __init__(self, number: int, count: int, sfs: "list[int]", power_dbm: int) -> None:
        self._number = number
        self._count = count
        self._sfs = sfs
        self._power_dbm = power_dbm
        self._at = 0

    def held(self, session: "Any", rate: "Any", now_ms: int) -> "tuple[Any, ...] | None":
        """The next frame with what it goes out at, as in LoraLink; None: the session has something to say first, or all
        have been sent."""
        number, sf = self._at // len(self._sfs), self._sfs[self._at % len(self._sfs)]
        if number >= self._count:
            rate.test = None
            forget("firmware.links.lora_range")
            return None
        value = number | sf << 8 | self._power_dbm + POWER_ZERO << 16
        data = session.probe(messages.CommandResult(self._number, messages.PROBE, value), now_ms)
        if data is None:
            return None
        self._at += 1
        return session, data, sf, self._power_dbm, rate.present()[2]


def begin(number: int, arg: int, rate: "Any", ledger: "Any", gain_cdbi: int) -> "tuple[int, int]":
    """(result, value) of the command with this number: DONE, and the test stands at `rate.test`; FAILED with the airtime in
    ms that the law leaves now: too little, or 0: no such test."""
    sf, power_dbm, channels = rate.present()
    sfs = [each for each in range(7, 13) if arg >> each + 1 & 1] or [sf]
    if arg >> 16 & 63:
        power_dbm = (arg >> 16 & 63) - POWER_ZERO
    power_dbm = min(power_dbm, regions.power_limit_dbm(regions.UPLINKS_HZ[0], gain_cdbi))  # the same on all of them
    count = arg & 255
    if not 0 < count <= COUNT_MAX or power_dbm < -9 or arg >> 22:
        return messages.FAILED, 0
    needed_us = count * sum([airtime_us(LENGTH, each) for each in sfs])
    free_us = max([ledger.free_us(freq_hz) for i, freq_hz in enumerate(regions.UPLINKS_HZ) if channels >> i & 1])
    if needed_us > free_us:
        return messages.FAILED, free_us // 1000
    rate.test = RangeTest(number, count, sfs, power_dbm)
    return messages.DONE, 0
