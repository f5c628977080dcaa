"""Adaptive data rate: which spreading factor and power each node should use, by how well its best ear hears it.

Under a concentrator each node gets the lowest spreading factor, then the lowest power, that leaves the margin. Single-modem
ears hear one spreading factor, so that their nodes share it (`common_sf`, which rendezvous.py moves) and only the power is
each node's own. A rate that none of the ears that hear a node could hear is never commanded.

A command may be lost. A changed spreading factor is seen with the next uplink; a changed power shows in the level, and is
commanded again while it does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.links.ear import Ear
from wire import messages
from wire.regions import UPLINKS_HZ

Key = tuple[int, int]  # node, life

# SNR in dB at which a frame is still received (SX1261/2 data sheet, table 6-1), by spreading factor.
REQUIRED_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
SAMPLES = 12  # uplinks that a node is judged by
SAMPLES_MIN = 6  # fewer say too little: fading moves a single one by 10 dB
STEP_DB = 3  # smallest change of power that is worth a downlink
EASE_DB = 3.0  # more than the margin must be there before a node becomes faster: none swings to and fro
SHOW_SAMPLES = 4  # uplinks that show whether a new power is in force
AGAIN_MS = 60_000  # a rate is not commanded more often; twice as long after each that did not come into force
FAILURES_MAX = 10  # of these doublings: 17 h
ACTIVE_MS = 86_400_000  # a node that was not heard for a day decides nothing


class Sight(NamedTuple):
    """One uplink as its best ear heard it."""

    sf: int
    freq_hz: int
    snr_db: float
    ears: tuple[str, ...]  # all that heard it


class Rules(NamedTuple):
    """What the configuration says."""

    adr: bool = True
    margin_db: float = 10.0  # above what is just received: fading, rain, leaves
    power_max_dbm: int = 14  # of nodes: what all of them may send
    power_min_dbm: int = 2


class _Node:
    def __init__(self, power_dbm: int) -> None:
        self.snrs: deque[tuple[float, int]] = deque(maxlen=SAMPLES)  # (SNR, power it was sent with, as far as is known)
        self.power_dbm = power_dbm
        self.sf = 0
        self.freq_hz = 0
        self.channels = 0  # mask commanded last, 0: never
        self.ears: deque[tuple[str, ...]] = deque(maxlen=8)
        self.last_ms = 0
        self.gap_ms = 0  # mean time between its uplinks
        self.commanded: messages.Rate | None = None  # and not yet seen in force
        self.commanded_ms = 0
        self.switch_ms = 0  # a planned moment that it was told
        self.failures = 0  # commands in a row that did not come into force
        self.level_db = 0.0  # before that command
        self.shown: list[float] = []  # SNRs since

    def path_db(self) -> float | None:
        """SNR that 0 dBm would give; None while too little is known. A path that got worse is noticed soon, one that got
        better is waited for."""
        if len(self.snrs) < SAMPLES_MIN:
            return None
        paths = [snr - power for snr, power in self.snrs]
        return min(sum(paths) / len(paths), sum(paths[-SHOW_SAMPLES:]) / SHOW_SAMPLES)

    def level_now_db(self) -> float:
        """SNR of the latest uplinks."""
        latest = [snr for snr, _ in self.snrs][-SHOW_SAMPLES:]
        return sum(latest) / len(latest) if latest else 0.0


class Rates:
    """`common_sf` and `switch` are kept by the rendezvous; `ears` are all ears of the gateway."""

    def __init__(self, ears: Sequence[Ear], rules: Rules, common_sf: int) -> None:
        self.rules = rules
        self.common_sf = common_sf
        self.switch: tuple[int, int] | None = None  # (sf, moment in ms): the common one will be another
        self.nodes: dict[Key, _Node] = {}
        self.commands = 0
        self.confirmed = 0
        self._ears = {ear.name: ear for ear in ears}

    # -- what was heard --------------------------------------------------------------------------------------------

    def heard(self, key: Key, sight: Sight, now_ms: int, *, hello: bool) -> None:
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = _Node(self.rules.power_max_dbm)
        if node.last_ms and now_ms > node.last_ms:
            gap = now_ms - node.last_ms
            node.gap_ms = gap if not node.gap_ms else node.gap_ms + (gap - node.gap_ms) // 8
        node.last_ms = now_ms
        if hello:  # a boot begins with the settings' rate, and a node that heard nothing for long calls with all it has
            self._forget(node)
        if node.commanded is not None:
            self._look(node, sight)
        elif node.sf and sight.sf != node.sf:
            self._forget(node)  # it fell back, or was reset: what power it sends with is not known
        node.sf, node.freq_hz = sight.sf, sight.freq_hz
        node.ears.append(sight.ears)
        if node.commanded is None:
            node.snrs.append((sight.snr_db, node.power_dbm))

    def _forget(self, node: _Node) -> None:
        node.snrs.clear()
        node.commanded = None
        node.commanded_ms = 0
        node.power_dbm = self.rules.power_max_dbm  # if it is less, the path only seems worse than it is

    def _look(self, node: _Node, sight: Sight) -> None:
        """Whether what was commanded is in force."""
        wanted = node.commanded
        assert wanted is not None
        node.shown.append(sight.snr_db)
        if wanted.sf != node.sf and sight.sf == wanted.sf:
            node.shown = [sight.snr_db]
            self._in_force(node)
            return
        if len(node.shown) < SHOW_SAMPLES:
            return
        moved = sum(node.shown) / len(node.shown) - node.level_db
        if wanted.sf == node.sf and abs(moved - (wanted.power_dbm - node.power_dbm)) <= abs(moved):
            self._in_force(node)
            return
        node.failures = min(node.failures + 1, FAILURES_MAX)
        node.commanded = None

    def _in_force(self, node: _Node) -> None:
        assert node.commanded is not None
        self.confirmed += 1
        node.failures = 0
        node.power_dbm = node.commanded.power_dbm
        node.channels = node.commanded.channels
        node.snrs.clear()
        node.snrs.extend((snr, node.power_dbm) for snr in node.shown)
        node.commanded = None

    # -- what to command -------------------------------------------------------------------------------------------

    def due(self, key: Key, at_ms: int) -> messages.Rate | None:
        """What this node should be told in a downlink that begins at `at_ms`, if anything."""
        node = self.nodes.get(key)
        if node is None or not self.rules.adr:
            return None
        planned = self.switch
        if planned is not None and planned[1] > at_ms and self._single(node):
            if node.switch_ms == planned[1]:
                return None  # it knows
            return messages.Rate(
                planned[0], self._power(node, planned[0]), self._mask(node), self._in_s(planned[1], at_ms)
            )
        if node.commanded is not None or at_ms - node.commanded_ms < AGAIN_MS << node.failures:
            return None
        sf = self._wanted_sf(node)
        power = self._power(node, sf)
        mask = self._mask(node)
        changed = sf != node.sf or abs(power - node.power_dbm) >= STEP_DB
        if not changed and (self._single(node) or mask == node.channels or node.path_db() is None):
            return None
        return messages.Rate(sf, power, mask, 0)

    def proving(self, key: Key) -> bool:
        """Whether a rate is being tried: the node keeps it only if an uplink at it is answered."""
        node = self.nodes.get(key)
        return node is not None and node.commanded is not None

    def astray(self, key: Key) -> bool:
        """Whether the node sends at a spreading factor that its ears will not hear for long: it was met at the rendezvous."""
        node = self.nodes.get(key)
        return node is not None and self._single(node) and node.sf != self.common_sf

    @staticmethod
    def _in_s(moment_ms: int, at_ms: int) -> int:
        return max(0, min(0xFFFF, round((moment_ms - at_ms) / 1000)))

    def sent(self, key: Key, rate: messages.Rate, at_ms: int) -> None:
        node = self.nodes[key]
        self.commands += 1
        node.commanded_ms = at_ms
        if rate.after_s:
            node.switch_ms = self.switch[1] if self.switch is not None else 0
            return  # in force at the switch: `switched` tells
        self._await(node, rate)

    def _await(self, node: _Node, rate: messages.Rate) -> None:
        node.commanded = rate
        node.shown = []
        node.level_db = node.level_now_db()

    def switched(self) -> None:
        """The planned moment has come: who was told sends at the new common spreading factor now."""
        assert self.switch is not None
        sf, moment_ms = self.switch
        for node in self.nodes.values():
            if node.switch_ms == moment_ms:
                self._await(node, messages.Rate(sf, self._power(node, sf), self._mask(node), 0))
        self.common_sf = sf
        self.switch = None

    def _ears_of(self, node: _Node) -> list[Ear]:
        """Those by which it was heard lately."""
        names = {name for ears in node.ears for name in ears}
        return [self._ears[name] for name in names if name in self._ears]

    def _single(self, node: _Node) -> bool:
        """Whether only ears with one modem hear it."""
        return all(ear.single for ear in self._ears_of(node))

    def _wanted_sf(self, node: _Node) -> int:
        if self._single(node):
            return self.common_sf
        path = node.path_db()
        heard = self._hearable(node)
        if path is None:
            return node.sf if node.sf in heard else min(heard, default=node.sf)
        for sf in sorted(heard):
            ease = EASE_DB if sf < node.sf else 0.0
            if path + self.rules.power_max_dbm - REQUIRED_DB[sf] >= self.rules.margin_db + ease:
                return sf
        return max(heard, default=node.sf)

    def _lasting(self, node: _Node) -> list[Ear]:
        """Its ears, but for concentrators that hear nothing now: only they hear what other ears cannot."""
        return [ear for ear in self._ears_of(node) if ear.single or ear.state == "open"]

    def _hearable(self, node: _Node) -> set[int]:
        """Spreading factors that its ears hear; an ear at the rendezvous is back at the common one soon."""
        return {sf for ear in self._lasting(node) for sf in ((self.common_sf,) if ear.single else ear.sfs)}

    def _power(self, node: _Node, sf: int) -> int:
        """The lowest power that leaves the margin; while too little is known, what it has."""
        path = node.path_db()
        if path is None:
            return node.power_dbm
        need = self.rules.margin_db + REQUIRED_DB[sf] - path
        power = self.rules.power_max_dbm
        while power - STEP_DB >= max(need, self.rules.power_min_dbm):
            power -= STEP_DB
        if need - EASE_DB <= node.power_dbm < power + STEP_DB + EASE_DB:
            return node.power_dbm  # a change is not worth it
        return power

    def _mask(self, node: _Node) -> int:
        """Channels on which its ears listen."""
        freqs = {freq for ear in self._lasting(node) for freq in ear.channels} | {node.freq_hz}
        return sum(1 << bit for bit, freq in enumerate(UPLINKS_HZ) if freq in freqs) or 1

    # -- the cell --------------------------------------------------------------------------------------------------

    def best_common_sf(self, now_ms: int) -> int | None:
        """The lowest spreading factor that every node of the single-modem ears can be heard at with the margin; None
        while too little is known of one of them."""
        active = [n for n in self.nodes.values() if self._single(n) and now_ms - n.last_ms < ACTIVE_MS]
        if not active or not self.rules.adr:
            return None
        worst = None
        for node in active:
            path = node.path_db()
            if path is None:
                return None
            worst = path if worst is None else min(worst, path)
        assert worst is not None
        for sf in sorted(REQUIRED_DB):
            ease = EASE_DB if sf < self.common_sf else 0.0 if sf > self.common_sf else -EASE_DB
            if worst + self.rules.power_max_dbm - REQUIRED_DB[sf] >= self.rules.margin_db + ease:
                return sf
        return max(REQUIRED_DB)

    def slowest_gap_ms(self, now_ms: int) -> int:
        """The longest mean time between uplinks among the nodes that are heard."""
        return max((n.gap_ms for n in self.nodes.values() if now_ms - n.last_ms < ACTIVE_MS), default=0)

    def status(self, now_ms: int) -> dict[str, Any]:
        return {
            "adr": self.rules.adr,
            "common_sf": self.common_sf,
            "switch": None if self.switch is None else {"sf": self.switch[0], "in_s": (self.switch[1] - now_ms) // 1000},
            "commands": self.commands,
            "in_force": self.confirmed,
            "nodes": [
                {
                    "node": key[0],
                    "life": f"{key[1]:08x}",
                    "sf": node.sf,
                    "power_dbm": node.power_dbm,
                    "snr_db": round(node.snrs[-1][0], 1) if node.snrs else None,
                    "margin_db": None if (path := node.path_db()) is None or node.sf not in REQUIRED_DB
                    else round(path + node.power_dbm - REQUIRED_DB[node.sf], 1),
                    "ears": sorted({name for ears in node.ears for name in ears}),
                }
                for key, node in sorted(self.nodes.items())
            ],
        }  # fmt: skip
