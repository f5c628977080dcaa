"""A node and a gateway as events, without firmware: what they say, when, and what they conclude; on the same ether.

The rules are those of docs/adr/0082 and of the link itself (firmware/links/lora.py, firmware/session.py,
gateway/links/cell.py): windows of one grid, a seeded wait before each live frame, a look at the channel before each
transmission, asks, one receive window after each uplink, acknowledgements with a bitmap, resends of what is missing, and the
duty cycle. Frames have true lengths and no content: a node's words travel as an attribute of its bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil
from random import Random

from tools.sim.radio.airtime import symbol_us
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
    """What both ends go by. Bytes are of whole frames."""

    interval_s: int = 300
    spread_s: float = 20.0
    ask_every: int = 4
    channels_hz: tuple[int, ...] = (868_100_000,)
    downlink_hz: int = 869_525_000
    downlink_dbm: float = 20.0
    rx_delay_us: int = 1_000_000
    window_symbols: int = 16  # how long a node searches for a preamble
    first_bytes: int = 29  # frame with one record
    more_bytes: float = 10.5  # each further record
    health_s: int = 3600
    health_bytes: int = 63
    hello_bytes: int = 34
    ack_bytes: int = 34
    batch_max: int = 20
    recent: int = 1  # records that wait and are sent again with each live one, while they fit
    answer_s: float = 2.5  # when an ask counts as unanswered
    retry_s: float = 30.0  # first wait after an unanswered hello or ask, doubled up to retry_max_s
    retry_max_s: float = 600.0
    cad_tries: int = 8
    backoff_s: float = 1.0

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
    frames: int = 0
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
        self._ether = ether
        self._time = ether.time
        self.draw: Random = chance(ether.seed, "node", name)
        self._hour = Hour()
        self._hears: Listening | None = None
        self._next_seq = 0
        self._live: list[int] = []
        self._waiting: dict[int, None] = {}  # to be sent, oldest first
        self._unsure: dict[int, None] = {}  # sent, not answered yet
        self._health: set[int] = set()
        self._greeted = False
        self._since_ask = 0
        self._backlog = False
        self._asked = 0  # asks in a row that nobody answered
        self._busy = False
        self._wake: Timer | None = None
        self._answer: Words | None = None
        self._expects = False
        self._locked = False
        ether.attach(self)

    # --- Measuring -------------------------------------------------------------------------------------------------------

    def begin(self, at_us: int) -> None:
        self._time.call_at(at_us, self._boot)

    def _boot(self) -> None:
        self._next_window()
        self._speak_in(self.draw.uniform(0.5, 2.0))

    def _next_window(self) -> None:
        interval_us = self.rules.interval_s * SECOND_US
        due_us = (self._time.now_us // interval_us + 1) * interval_us
        self._time.call_at(due_us, self._window)

    def _window(self) -> None:
        now_us = self._time.now_us
        self._add(now_us)
        if self.rules.health_s and now_us // SECOND_US % self.rules.health_s < self.rules.interval_s:
            self._health.add(self._next_seq)
            self._add(now_us)
        self._next_window()
        self._speak_in(self.draw.uniform(0.0, self.rules.spread_s))

    def _add(self, now_us: int) -> None:
        seq = self._next_seq
        self._next_seq += 1
        if not self.ended:
            self.born_us[seq] = now_us
            self.tally.scheduled += 1
        self._live.append(seq)

    # --- Speaking --------------------------------------------------------------------------------------------------------

    def _speak_in(self, wait_s: float) -> None:
        due_us = self._time.now_us + round(wait_s * SECOND_US)
        if self._wake is not None:
            if self._wake.call is not None and self._time.now_us < self._wake.due_us <= due_us:
                return
            self._wake.cancel()
        self._wake = self._time.call_at(due_us, self._speak)

    def _speak(self) -> None:
        self._wake = None
        if not self._busy:
            self._try(0)

    def _compose(self) -> Words | None:
        rules = self.rules
        if not self._greeted:
            return Words(rules.hello_bytes, self.name, "hello", (), True)
        fits = rules.fits(self.sf)
        live = [seq for seq in self._live if seq not in self._health]
        if live:
            seqs = live[-fits:]
            again = [seq for seq in self._unsure if seq not in self._health][-rules.recent :] if rules.recent else []
            seqs = (again + seqs)[-fits:]
        elif self._live:
            return self._words(rules.health_bytes, (self._live[0],))
        else:
            seqs = []
            for seq in self._waiting:
                if seq in self._health:
                    if not seqs:
                        return self._words(rules.health_bytes, (seq,))
                    break
                seqs.append(seq)
                if len(seqs) == fits:
                    break
        return self._words(rules.frame_bytes(len(seqs)), tuple(seqs)) if seqs else None

    def _words(self, length: int, seqs: tuple[int, ...]) -> Words:
        left = len(self._waiting) + len(self._live) - len(seqs)
        drained = self._backlog and left <= 0
        ask = self._asked > 0 or drained or self._since_ask + 1 >= self.rules.ask_every
        return Words(length, self.name, "records", seqs, ask)

    def _try(self, tries: int) -> None:
        words = self._compose()
        if words is None:
            return
        now_us = self._time.now_us
        freq_hz = self.draw.choice(self.channels_hz)
        signal = Signal(freq_hz, BW_HZ, self.sf, 5, False, SYNC_WORD, PREAMBLE, self.power_dbm, words)
        airtime_us = signal.airtime_us()
        wait_us = self._hour.wait_us(now_us, freq_hz, airtime_us)
        if wait_us:
            self._speak_in(wait_us / SECOND_US)
            return
        if tries < self.rules.cad_tries and self._ether.busy(self, freq_hz, BW_HZ, self.sf, False):
            self._busy = True
            wait_s = self.draw.uniform(0.1, self.rules.backoff_s * (1 + tries))
            self._time.call_at(now_us + round(wait_s * SECOND_US), lambda: self._again(tries + 1))
            return
        self._busy = True
        self._hour.take(now_us, freq_hz, airtime_us)
        self._sent(words, airtime_us)
        end_us = self._ether.transmit(self, signal)
        symbols = symbol_us(self.sf, BW_HZ)
        opens_us = end_us + self.rules.rx_delay_us - int(symbols * (self.rules.window_symbols - PREAMBLE) / 2)
        self._answer = None
        self._expects = words.ask
        self._time.call_at(opens_us, lambda: self._open(opens_us + int(symbols * self.rules.window_symbols)))

    def _again(self, tries: int) -> None:
        self._busy = False
        self._try(tries)

    def _sent(self, words: Words, airtime_us: int) -> None:
        tally = self.tally
        tally.frames += 1
        tally.airtime_us += airtime_us
        self._since_ask += 1
        if words.ask:
            tally.asks += 1
            self._since_ask = 0
        for seq in words.seqs:
            self._unsure[seq] = None
            self._waiting.pop(seq, None)
        self._live = [seq for seq in self._live if seq not in self._unsure]

    # --- Listening -------------------------------------------------------------------------------------------------------

    def listening(self) -> Key | None:
        return self._hears

    def _open(self, closes_us: int) -> None:
        self._hears = Listening(self.rules.downlink_hz, BW_HZ, self.sf, True, SYNC_WORD)
        self._locked = False
        self._ether.changed(self)
        self._time.call_at(closes_us, self._close)

    def _close(self) -> None:
        if self._hears is not None and not self._locked:
            self._done()

    def _done(self) -> None:
        self._hears = None
        self._ether.changed(self)
        self._busy = False
        answer = self._answer
        if answer is not None:
            self._take(answer)
        elif self._expects:
            self._asked += 1
        self._on()

    def preamble(self, begin_us: int, signal: Signal) -> None:
        self._locked = True

    def received(self, reception: Reception) -> None:
        words = reception.signal.data
        if reception.crc_ok and isinstance(words, Words) and words.node == self.name:
            self._answer = words
        self._done()

    def _take(self, answer: Words) -> None:
        """What the gateway holds is done; what it lacks of what was sent is sent again."""
        self.tally.answered += 1
        self._asked = 0
        self._greeted = True
        held = answer.seqs
        for seq in list(self._unsure):
            if seq not in held:
                self._waiting[seq] = None
                self._backlog = True
        self._unsure.clear()
        self._waiting = dict.fromkeys(seq for seq in sorted(self._waiting) if seq not in held)
        if not self._waiting:
            self._backlog = False

    def _on(self) -> None:
        """What comes next, if anything is to be said now."""
        rules = self.rules
        if self._asked and (not self._greeted or self._waiting):
            wait_s = min(rules.retry_s * 2 ** (self._asked - 1), rules.retry_max_s)
            self._speak_in(self.draw.uniform(0.5, 1.0) * wait_s)
        elif self._live and self._wake is None:
            self._speak_in(self.draw.uniform(0.1, 1.0))
        elif self._waiting and not self._asked:
            self._speak_in(self.draw.uniform(0.5, 3.0))
