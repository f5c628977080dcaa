"""A gateway as events: what its ears hear becomes one frame, is held, and is answered where an answer is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from tools.sim.radio.ether import Ether, Key, Listening, Reception, Signal
from tools.sim.radio.mac import BW_HZ, PREAMBLE, SECOND_US, SYNC_WORD, Hour, ModelNode, Rules, Words
from tools.sim.radio.propagation import Position

MERGE_US = 300_000  # copies of one frame from several ears come within this time
DEMODULATORS = 16  # of an SX1302 for LoRa at 125 kHz
CONCENTRATOR_SFS = tuple(range(7, 13))


class ModelEar:
    """What hears for a gateway, and answers. `keys`: all that it listens to at once."""

    def __init__(
        self,
        ether: Ether,
        name: str,
        place: Position,
        keys: Iterable[tuple[int, int]],
        heard: Callable[[ModelEar, Reception], None],
        gain_dbi: float = 2.15,
        power_dbm: float = 14.0,
    ) -> None:
        self.name = name
        self.place = place
        self.gain_dbi = gain_dbi
        self.power_dbm = power_dbm
        self.hour = Hour()
        found = frozenset(Listening(freq_hz, BW_HZ, sf, False, SYNC_WORD) for freq_hz, sf in keys)
        self._keys: Key | frozenset[Key] = found if len(found) > 1 else next(iter(found))
        self._heard = heard
        self.dead = False
        self._ether = ether
        ether.attach(self, DEMODULATORS if len(found) > 1 else 1)

    def listening(self) -> Key | frozenset[Key] | None:
        return None if self.dead else self._keys

    def preamble(self, begin_us: int, signal: Signal) -> None:
        pass

    def received(self, reception: Reception) -> None:
        if reception.crc_ok:
            self._heard(self, reception)

    def switch(self, dead: bool) -> None:
        self.dead = dead
        self._ether.changed(self)


class ModelGateway:
    """`held`: seqs of each node. Answers one frame per uplink at most, by the ear that heard it best and may speak."""

    def __init__(self, ether: Ether, rules: Rules, nodes: dict[str, ModelNode]) -> None:
        self.held: dict[str, set[int]] = {}
        self.ears: list[ModelEar] = []
        self.downlinks = 0
        self.unanswered = 0  # answers that were due and for which no ear was free
        self._ether = ether
        self._time = ether.time
        self._rules = rules
        self._nodes = nodes
        self._copies: dict[int, list[tuple[ModelEar, Reception]]] = {}
        self._sending: dict[ModelEar, int] = {}

    def add_ear(
        self,
        name: str,
        place: Position,
        freqs_hz: Iterable[int],
        sfs: Iterable[int],
        gain_dbi: float = 2.15,
        power_dbm: float = 14.0,
    ) -> ModelEar:
        sfs = tuple(sfs)
        keys = [(freq_hz, sf) for freq_hz in freqs_hz for sf in sfs]
        ear = ModelEar(self._ether, name, place, keys, self._hear, gain_dbi, power_dbm)
        self.ears.append(ear)
        return ear

    def _hear(self, ear: ModelEar, reception: Reception) -> None:
        words = reception.signal.data
        if not isinstance(words, Words):
            return
        copies = self._copies.setdefault(id(words), [])
        copies.append((ear, reception))
        if len(copies) > 1:
            return
        node = self._nodes[words.node]
        node.tally.heard += words.counts
        held = self.held.setdefault(words.node, set())
        fresh = [seq for seq in words.seqs if seq not in held]
        now_us = self._time.now_us
        for seq in fresh:
            held.add(seq)
            if seq in node.born_us:
                node.tally.delays_s.append((now_us - node.born_us[seq]) / SECOND_US)
                node.tally.ends_us.append(node.born_us[seq])
        due = words.ask or bool(words.seqs and not fresh)  # who sends again does not know that it arrived
        self._time.call_at(now_us + MERGE_US, lambda: self._decide(words, reception, due))

    def _decide(self, words: Words, first: Reception, due: bool) -> None:
        copies = self._copies.pop(id(words))
        if not due:
            return
        rules = self._rules
        begin_us = first.end_us + rules.rx_delay_us
        words_down = Words(rules.ack_bytes, words.node, "ack")
        words_down.seqs = self.held[words.node]
        signal = Signal(rules.downlink_hz, BW_HZ, first.signal.sf, 5, True, SYNC_WORD, PREAMBLE, 0.0, words_down)
        airtime_us = signal.airtime_us()
        for ear, _ in sorted(copies, key=lambda copy: -copy[1].snr_db):
            if self._sending.get(ear, 0) <= begin_us and not ear.hour.wait_us(begin_us, rules.downlink_hz, airtime_us):
                self._sending[ear] = begin_us + airtime_us + 1
                ear.hour.take(begin_us, rules.downlink_hz, airtime_us)
                self.downlinks += 1
                self._time.call_at(begin_us, partial(self._answer, ear, signal._replace(power_dbm=ear.power_dbm)))
                return
        self.unanswered += 1

    def _answer(self, ear: ModelEar, signal: Signal) -> None:
        if not ear.dead:
            self._ether.transmit(ear, signal)
