"""What hears LoRa nodes and answers them: a bridge board, an SX1262 HAT, a concentrator. All are alike to `cell.py`.

An ear has a clock of its own, 32 bits of microseconds that wrap every 71 minutes; the end of each uplink is told by it and
the beginning of each downlink is ordered by it, so that what lies between ear and gateway (a port, a network) moves nothing.

An ear is made with `on_heard`, which it calls in the event loop, once for each frame whose check sequence is right. It
looks into no frame: what is no frame of ours is dropped and counted behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

CLOCK_MASK = 0xFFFF_FFFF  # of an ear's clock


class Heard(NamedTuple):
    """One frame as one ear heard it."""

    ear: str
    frame: bytes
    freq_hz: int
    sf: int
    rssi_dbm: float
    snr_db: float
    freq_error_hz: int | None  # sender's carrier against ours, positive: it is too high; None: this ear cannot tell
    end_us: int  # end of the frame on air, by the ear's clock (0..CLOCK_MASK)
    received_ms: int  # the same instant by the gateway's clock (wall_ms), as near as the ear can tell
    fresh: bool = True  # heard now, not read from some buffer: received_ms may be trusted as a time


class Downlink(NamedTuple):
    """One frame to be sent: 125 kHz, CR 4/5, preamble 8, explicit header, CRC on, sync word 0x12 as the uplinks."""

    frame: bytes
    freq_hz: int
    sf: int
    power_dbm: int  # at the transmitter, before antenna and cable
    at_us: int  # when its preamble begins, by the ear's clock
    inverted: bool = True  # nodes listen to inverted IQ alone


HeardSink = Callable[[Heard], None]


class Ear(Protocol):
    """`run` for as long as the gateway lives; it comes back by itself from whatever can come back."""

    @property
    def name(self) -> str:
        """Unique among the ears of a gateway; travels with the records it heard."""
        ...

    @property
    def state(self) -> str:
        """ "open" while it hears, else why it does not and what to do, as one sentence."""
        ...

    @property
    def single(self) -> bool:
        """One modem: one channel and one SF at once, both set by `tune`."""
        ...

    @property
    def channels(self) -> tuple[int, ...]:
        """Hz, heard at once now."""
        ...

    @property
    def sfs(self) -> tuple[int, ...]:
        """Heard at once now on each channel."""
        ...

    @property
    def power_max_dbm(self) -> int:
        """At the transmitter, for a downlink in the 10 % band: what configuration, chip, antenna and law allow."""
        ...

    async def run(self) -> None: ...

    async def send(self, downlink: Downlink) -> str:
        """Send at `at_us`; returns once that is known, within 3 s after `at_us`: "" when it was sent, else the reason in
        one word: "late", "busy", "closed", "radio", "refused", "unanswered". It never raises for what may happen."""
        ...

    def tune(self, freq_hz: int, sf: int) -> None:
        """Hear this from now on, and after each loss of the connection again. Called for single ears alone."""
        ...


def after(at_us: int, by_us: int) -> int:
    """A later instant of an ear's clock."""
    return (at_us + by_us) & CLOCK_MASK


def apart(a_us: int, b_us: int) -> int:
    """a - b of one ear's clock, positive when a is later; right while they are less than 35 minutes apart."""
    return ((a_us - b_us + 0x8000_0000) & CLOCK_MASK) - 0x8000_0000
