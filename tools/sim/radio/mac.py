"""A node and a gateway as events, without firmware: what they say, when, and what they conclude; on the same ether.

The rules are those of the link itself (firmware/links/lora.py and its session, gateway/links/cell.py): windows of one grid, a
seeded wait before each live frame, a look at the channel before each transmission, asks, one receive window after each
uplink, answers that say what is missing, resends of that, and the duty cycle. Frames have true lengths and no content: a
node's words travel as an attribute of its bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil
from random import Random

from tools.sim.radio.airtime import frame_us, symbol_us
from tools.sim.radio.ether import Ether, Key, Listening, Reception, Signal
from tools.sim.radio.law import HOUR_US, band_of, limit_us
from tools.sim.radio.propagation import Position, chance
from tools.sim.timers import Timer

BW_HZ = 125_000
SYNC_WORD = 0x12
PREAMBLE = 8
SECOND_US = 1_000_000


@dataclass(frozen=True)
class Rules:
    """What both ends go by, as firmware/links/lora*.py and gateway/links/cell.py have it. Bytes are of whole frames.

    `recent`: so many records that were sent and not answered yet are sent again with each new one.
    """

    interval_s: int = 300
    spread_s: float = 20.0
    ask_every: int = 2
    channels_hz: tuple[int, ...] = (868_100_000,)
    downlink_hz: int = 869_525_000
    rx_delay_us: int = 1_000_000
    window_early_us: int = 60_000
    window_late_us: int = 20_000  # and eight symbols
    first_bytes: int = 29  # frame with one record
    more_bytes: float = 10.5  # each further record
    health_s: int = 3600
    health_bytes: int = 63
    hello_bytes: int = 47
    ack_bytes: int = 32
    batch_max: int = 20
    recent: int = 0
    gap_s: float = 0.5
    silent: int = (
        3  # asks in a row without an answer, from which on a node calls by turns at its SF and at `rendezvous_sf`
    )
    rendezvous_sf: int = 10
    cad_tries: int = 6
    ask_age_s: int = 1800
    backlog_share: float = 2 / 3  # of the airtime is for what is old, evenly over time

    def pause_s(self, missed: int, draw: Random) -> float:
        """How long to wait after so many asks without an answer."""
        base: float = 10 * 2**missed if missed < self.silent else min(30 * 2 ** min(missed - 1, 9), 450)
        return base + draw.uniform(0, base)

    def frame_max(self, sf: int) -> int:
        """Most bytes of a frame: none is longer than 3.6 s."""
        return 231 if sf <= 8 else 124 if sf == 9 else 60

    def frame_bytes(self, records: int) -> int:
        return ceil(self.first_bytes + (records - 1) * self.more_bytes)

    def fits(self, sf: int) -> int:
        """Most records in a frame."""
        return min(self.batch_max, int((self.frame_max(sf) - self.first_bytes) // self.more_bytes) + 1)


class Words(bytes):
    """The bytes of a frame together with what they say."""

    def __new__(cls, length: int, *_: object) -> Words:
        return super().__new__(cls, length)

    def __init__(self, length: int, node: str, kind: str, seqs: Collection[int] = (), ask: bool = False) -> None:
        self.node = node
        self.kind = kind  # "records", "hello", "ack"
        self.seqs = seqs  # carried; in an answer: all that the gateway holds
        self.ask = ask
        self.counts = True  # of the hours that are judged


class Hour:
    """Time on air in the last hour, for one transmitter: exact."""

    def __init__(self) -> None:
        self._spans: dict[str, deque[tuple[int, int]]] = {}
        self._used: dict[str, int] = {}

    def wait_us(self, now_us: int, freq_hz: int, airtime_us: int) -> int:
        """How long until a frame of this length may begin."""
        band = band_of(freq_hz, BW_HZ)
        spans = self._spans.setdefault(band, deque())
        used = self._used.get(band, 0)
        while spans and spans[0][0] + HOUR_US <= now_us:
            used -= spans.popleft()[1]
        self._used[band] = used
        over = used + airtime_us - limit_us(band)
        if over <= 0:
            return 0
        for begin_us, length_us in spans:
            over -= length_us
            if over <= 0:
                return begin_us + HOUR_US - now_us
        return HOUR_US

    def take(self, now_us: int, freq_hz: int, airtime_us: int) -> None:
        """To be called when it begins; counts whole until an hour after its end."""
        band = band_of(freq_hz, BW_HZ)
        self._spans.setdefault(band, deque()).append((now_us + airtime_us, airtime_us))
        self._used[band] = self._used.get(band, 0) + airtime_us


@dataclass
class Tally:
    """What became of one node's records and frames."""

    scheduled: int = 0
    delays_s: list[float] = field(default_factory=list)  # from the end of the window to the gateway, each record once
    ends_us: list[int] = field(default_factory=list)  # of these windows
    frames: int = 0  # before the end of the windows that count
    heard: int = 0  # of these by the gateway
    airtime_us: int = 0
    asks: int = 0
    answered: int = 0


class ModelNode:
    """One node. `begin(at_us)`: power-on; windows end at multiples of the interval of true time."""

    def __init__(
        self,
        ether: Ether,
        name: str,
        place: Position,
        rules: Rules,
        *,
        sf: int,
        power_dbm: float,
        gain_dbi: float = 2.15,
    ) -> None:
        self.name = name
        self.place = place
        self.gain_dbi = gain_dbi
        self.rules = rules
        self.sf = sf
        self.power_dbm = power_dbm
        self.channels_hz = rules.channels_hz
        self.tally = Tally()
        self.born_us: dict[int, int] = {}  # seq -> end of its window, of those that count
        self.ended = False  # further windows are lived through but not counted
        self.draw: Random = chance(ether.seed, "node", name)
        self._ether = ether
        self._time = ether.time
        self._hour = Hour()
        self._hears: Listening | None = None
        self._locked = False
        self._answer: Words | None = None
        self._next_seq = 0
        self._health: set[int] = set()
        self._live: list[int] = []
        self._speak_us = 0
        self._backlog: dict[int, None] = {}  # to be sent again, the oldest first
        self._old_us = 0  # what is old waits until then
        self._in_flight: dict[int, None] = {}  # sent, and no answer has told of it
        self._hello_due = True
        self._missed = 0
        self._ask_us = 0
        self._asked_us = 0
        self._unasked = 0
        self._asks = False
        self._busy = False  # a frame or its window is under way
        self._tries = 0
        self._ready_us = 0
        self._wake: Timer | None = None
        ether.attach(self)

    # --- Measuring -------------------------------------------------------------------------------------------------------

    def begin(self, at_us: int) -> None:
        self._time.call_at(at_us, self._boot)

    def _boot(self) -> None:
        self._ask_us = self._time.now_us + self._spread_us()
        self._next_window()
        self._look()

    def _spread_us(self) -> int:
        return round(self.draw.uniform(0.0, self.rules.spread_s) * SECOND_US)

    def _next_window(self) -> None:
        interval_us = self.rules.interval_s * SECOND_US
        self._time.call_at((self._time.now_us // interval_us + 1) * interval_us, self._window)

    def _window(self) -> None:
        now_us = self._time.now_us
        self._add(now_us)
        self._next_window()
        self._look()

    def _tell_health(self) -> None:
        """First when the node has the time, that is with the first answer."""
        now_us = self._time.now_us
        self._health.add(self._next_seq)
        self._add(now_us)
        self._time.call_at(now_us + self.rules.health_s * SECOND_US, self._tell_health)
        self._look()

    def _add(self, now_us: int) -> None:
        seq = self._next_seq
        self._next_seq += 1
        if not self.ended:
            self.born_us[seq] = now_us
            self.tally.scheduled += 1
        if not self._live:
            self._speak_us = now_us + self._spread_us()
        self._live.append(seq)

    # --- Speaking --------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Send what is due, or come back when something will be."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._busy:
            return
        now_us = self._time.now_us
        due_us = self._due_us(now_us)
        if due_us is None:
            return
        due_us = max(due_us, self._ready_us)
        if due_us > now_us:
            self._wake = self._time.call_at(due_us, self._look)
            return
        self._speak(now_us)

    def _due_us(self, now_us: int) -> int | None:
        if self._hello_due:
            return self._ask_us
        due = []
        if self._live:
            due.append(self._speak_us)
        if self._missed:
            due.append(self._ask_us)
        else:
            if self._in_flight:
                due.append(self._asked_us + 2 * self.rules.ask_age_s * SECOND_US)
            if self._backlog:
                due.append(max(now_us, self._old_us))
        return min(due) if due else None

    def _speak(self, now_us: int) -> None:
        rules = self.rules
        silent = self._missed >= rules.silent
        calls = silent and now_us >= self._ask_us
        elsewhere = calls and (self._missed - rules.silent) % 2 == 1
        sf = rules.rendezvous_sf if elsewhere else self.sf  # an answer there brings commands, which bring it back
        words, old = self._compose(now_us, elsewhere)
        freq_hz = self.draw.choice(self.channels_hz)
        signal = Signal(freq_hz, BW_HZ, sf, 5, False, SYNC_WORD, PREAMBLE, self.power_dbm, words)
        airtime_us = signal.airtime_us()
        wait_us = self._hour.wait_us(now_us, freq_hz, airtime_us)
        if wait_us:
            self._ready_us = now_us + wait_us
            self._look()
            return
        if self._tries < rules.cad_tries and self._ether.busy(self, freq_hz, BW_HZ, sf, False):
            self._tries += 1
            self._ready_us = now_us + airtime_us // 4 + round(self.draw.uniform(0, airtime_us * self._tries))
            self._look()
            return
        self._tries = 0
        self._busy = True
        self._hour.take(now_us, freq_hz, airtime_us)
        if old:
            longest_us = float(frame_us(rules.frame_max(self.sf), self.sf))
            allowed = limit_us(band_of(freq_hz, BW_HZ)) / HOUR_US
            self._old_us = now_us + int(longest_us / allowed / rules.backlog_share)
        self._sent(words, airtime_us, now_us)
        end_us = self._ether.transmit(self, signal)
        symbols_us = int(8 * symbol_us(sf, BW_HZ))
        closes_us = end_us + rules.rx_delay_us + rules.window_late_us + symbols_us
        self._answer = None
        # What is new is told under silence, too, and counts as no call.
        self._asks = words.ask and (calls or not silent)
        self._time.call_at(end_us + rules.rx_delay_us - rules.window_early_us, lambda: self._open(sf, closes_us))

    def _compose(self, now_us: int, elsewhere: bool) -> tuple[Words, bool]:
        """The next frame, and whether it holds only what is old."""
        rules = self.rules
        if self._hello_due or elsewhere:
            return Words(rules.hello_bytes, self.name, "hello", (), True), False
        fits = rules.fits(self.sf)
        fresh = self._live and now_us >= self._speak_us
        source = self._live if fresh else self._backlog
        seqs: list[int] = []
        for seq in source:
            if seq in self._health:
                if seqs:
                    break
                return Words(rules.health_bytes, self.name, "health", (seq,)), not fresh
            seqs.append(seq)
            if len(seqs) == fits:
                break
        asks = bool(self._missed) or self._unasked + 1 >= rules.ask_every
        asks = asks or now_us - self._asked_us > rules.ask_age_s * SECOND_US
        if not seqs:  # an ask was not answered, or long ago: one that was sent goes again
            seqs = [seq for seq in self._in_flight if seq not in self._health][-1:]
            if not seqs:
                return Words(rules.hello_bytes, self.name, "hello", (), True), False
            asks = True
        elif not fresh:
            asks = asks or len(seqs) >= len(self._backlog)
        elif rules.recent:
            again = [seq for seq in self._in_flight if seq not in self._health][-rules.recent :]
            seqs = (again + seqs)[-fits:]
        return Words(rules.frame_bytes(len(seqs)), self.name, "records", tuple(seqs), asks), not fresh

    def _sent(self, words: Words, airtime_us: int, now_us: int) -> None:
        tally = self.tally
        words.counts = not self.ended
        if words.counts:
            tally.frames += 1
            tally.airtime_us += airtime_us
            tally.asks += words.ask
        self._unasked += 1
        if words.ask:
            self._unasked = 0
            self._asked_us = now_us
        elif self._unasked >= 2 * self.rules.ask_every:
            self._hello_due = True
        for seq in words.seqs:
            self._in_flight[seq] = None
            self._backlog.pop(seq, None)
        self._live = [seq for seq in self._live if seq not in self._in_flight]

    # --- Listening -------------------------------------------------------------------------------------------------------

    def listening(self) -> Key | None:
        return self._hears

    def _open(self, sf: int, closes_us: int) -> None:
        self._hears = Listening(self.rules.downlink_hz, BW_HZ, sf, True, SYNC_WORD)
        self._locked = False
        self._ether.changed(self)
        self._time.call_at(closes_us, self._close)

    def _close(self) -> None:
        if self._hears is not None and not self._locked:
            self._done()

    def preamble(self, begin_us: int, signal: Signal) -> None:
        self._locked = True

    def received(self, reception: Reception) -> None:
        words = reception.signal.data
        if reception.crc_ok and isinstance(words, Words) and words.node == self.name:
            self._answer = words
        self._done()

    def _done(self) -> None:
        self._hears = None
        self._ether.changed(self)
        self._busy = False
        now_us = self._time.now_us
        self._ready_us = now_us + round(self.draw.uniform(0, self.rules.gap_s) * SECOND_US)
        if self._answer is not None:
            self._take(self._answer)
        elif self._asks:
            self._missed += 1
            self._ask_us = now_us + round(self.rules.pause_s(self._missed, self.draw) * SECOND_US)
        self._look()

    def _take(self, answer: Words) -> None:
        """What the gateway holds is done; what it lacks of what was sent is sent again."""
        if not self.tally.answered and self.rules.health_s:
            self._time.call_at(self._time.now_us, self._tell_health)
        self.tally.answered += 1
        self._missed = 0
        self._hello_due = False
        held = answer.seqs
        for seq in self._in_flight:
            if seq not in held:
                self._backlog[seq] = None
        self._in_flight.clear()
        self._backlog = dict.fromkeys(seq for seq in sorted(self._backlog) if seq not in held)
