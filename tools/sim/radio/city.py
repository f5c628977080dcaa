"""A town's LoRa through its hours, by the model: what arrives, how late, and which channel is the busiest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.sim.radio.deployment import UPLINKS_HZ, Deployment, GatewayAt, NodeAt
from tools.sim.radio.ether import Ether
from tools.sim.radio.law import Verdict, judge, most_dbm
from tools.sim.radio.mac import BW_HZ, SECOND_US, ModelNode, Rules, Tally
from tools.sim.radio.model_gateway import CONCENTRATOR_SFS, ModelEar, ModelGateway
from tools.sim.radio.propagation import SNR_LIMIT_DB, Position
from tools.sim.timers import VirtualTime

LATE_S = 900.0  # a record that takes longer is late
CHIP_MOST_DBM = 22  # of an SX1262
DRAIN_S = 3600  # for which the town goes on after its last window that counts
START_US = 7_200 * SECOND_US  # windows lie on a grid of true time: not at its first instant
BOOT_SPREAD_US = 120 * SECOND_US


def delay_s(delays_s: Sequence[float], share: float) -> float:
    """The latency that so large a share of the records did not exceed; 0 with none."""
    return sorted(delays_s)[min(len(delays_s) - 1, int(share * len(delays_s)))] if delays_s else 0.0


@dataclass(frozen=True)
class NodeResult:
    """`margin_db`: of the mean strength at the ear that hears it best over what its SF needs."""

    name: str
    place: Position
    sf: int
    power_dbm: float
    ear: str
    margin_db: float
    tally: Tally

    @property
    def delivered(self) -> float:
        return len(self.tally.delays_s) / self.tally.scheduled if self.tally.scheduled else 1.0

    @property
    def in_time(self) -> float:
        if not self.tally.scheduled:
            return 1.0
        return sum(delay <= LATE_S for delay in self.tally.delays_s) / self.tally.scheduled


@dataclass(frozen=True)
class Channel:
    """`share` of the time on which somebody of the town spoke there."""

    freq_hz: int
    share: float
    frames: int


@dataclass(frozen=True)
class Result:
    """What `steiger plan city` tells."""

    name: str
    hours: float
    nodes: list[NodeResult]
    ears: list[tuple[str, str, Position]]  # name, kind, place
    channels: list[Channel]  # the busiest first
    verdicts: list[Verdict]  # the worst first
    downlinks: int
    unanswered: int
    counts: dict[str, int]

    @property
    def scheduled(self) -> int:
        return sum(node.tally.scheduled for node in self.nodes)

    @property
    def delivered(self) -> float:
        return sum(len(node.tally.delays_s) for node in self.nodes) / max(1, self.scheduled)

    @property
    def in_time(self) -> float:
        """Share of all records that were at the gateway within LATE_S."""
        good = sum(delay <= LATE_S for node in self.nodes for delay in node.tally.delays_s)
        return good / max(1, self.scheduled)

    @property
    def per(self) -> float:
        """Share of the frames sent that no ear received."""
        sent = sum(node.tally.frames for node in self.nodes)
        return 1 - sum(node.tally.heard for node in self.nodes) / max(1, sent)

    def delay_s(self, share: float) -> float:
        """Of the delivered records."""
        return delay_s([delay for node in self.nodes for delay in node.tally.delays_s], share)


class City:
    """A deployment on the air, before its first event."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.time = VirtualTime()
        self.ether = Ether(self.time, deployment.seed, deployment.model())
        self.nodes: dict[str, ModelNode] = {}
        self.margins: dict[str, tuple[str, float]] = {}
        link = deployment.link
        self.rules = Rules(
            interval_s=link.interval_s, spread_s=link.spread_s, ask_every=link.ask_every,
            first_bytes=link.first_bytes, more_bytes=link.more_bytes,
        )  # fmt: skip
        self.gateway = ModelGateway(self.ether, self.rules, self.nodes)
        self._ears = [(self._ear(entry), entry) for entry in deployment.gateway]
        places = deployment.places()
        for node, place in places:
            self._add(node, place)

    def _ear(self, entry: GatewayAt) -> ModelEar:
        place = self.deployment.position(entry)
        many = entry.kind == "concentrator"
        freqs = UPLINKS_HZ if many else (UPLINKS_HZ[entry.channel],)
        sfs = CONCENTRATOR_SFS if many else (entry.sf,)
        power_dbm = min(entry.power_dbm, most_dbm(self.rules.downlink_hz, BW_HZ, entry.gain_dbi))
        if not many:
            power_dbm = min(power_dbm, CHIP_MOST_DBM)
        return self.gateway.add_ear(entry.name, place, freqs, sfs, entry.gain_dbi, power_dbm)

    def _add(self, entry: NodeAt, place: Position) -> None:
        """A node at the rate that its best ear hears: of a bridge the bridge's own, of a concentrator the fastest with the
        margin, as adaptive data rate ends up with."""
        power_dbm = min(entry.power_dbm, most_dbm(UPLINKS_HZ[0], BW_HZ, entry.gain_dbi))  # boards do not exceed it
        node = ModelNode(
            self.ether, entry.name, place, self.rules, sf=7, power_dbm=power_dbm, gain_dbi=entry.gain_dbi
        )  # fmt: skip
        link = self.deployment.link
        noise = self.ether.model.noise_dbm(BW_HZ)

        def margin_db(ear: ModelEar, sf: int) -> float:
            mean = power_dbm + self.ether.link_db(node, ear, UPLINKS_HZ[0])
            return mean - noise - SNR_LIMIT_DB[sf]

        ear, kind = max(
            self._ears, key=lambda pair: margin_db(pair[0], pair[1].sf if pair[1].kind != "concentrator" else 12)
        )
        if kind.kind == "concentrator":
            wanted = [sf for sf in CONCENTRATOR_SFS if margin_db(ear, sf) >= link.margin_db]
            node.sf = entry.sf or (wanted[0] if link.adr and wanted else 12 if link.adr else 9)
            node.channels_hz = UPLINKS_HZ
        else:
            node.sf = entry.sf or kind.sf
            node.channels_hz = (UPLINKS_HZ[kind.channel],)
        self.nodes[entry.name] = node
        self.margins[entry.name] = ear.name, margin_db(ear, node.sf)

    def run(self, told: Callable[[float], None] = lambda share: None) -> Result:
        """Live through it. `told` hears how much of it is done, from time to time."""
        deployment = self.deployment
        end_us = START_US + round(deployment.hours * 3600) * SECOND_US
        for node in self.nodes.values():
            node.begin(START_US + round(node.draw.uniform(0, BOOT_SPREAD_US)))
        self.time.call_at(end_us, self._end)
        last_us = end_us + DRAIN_S * SECOND_US
        told_us = START_US
        while (next_us := self.time.next_us()) is not None and next_us < last_us:
            self.time.now_us = next_us
            self.time.pop()()
            if next_us - told_us > 600 * SECOND_US:
                told_us = next_us
                told(min(1.0, (next_us - START_US) / (last_us - START_US)))
        return self._result(last_us)

    def _end(self) -> None:
        for node in self.nodes.values():
            node.ended = True

    def _result(self, last_us: int) -> Result:
        on_air: dict[int, list[int]] = {}
        for line in self.ether.log:
            on_air.setdefault(line.freq_hz, []).append(line.end_us - line.begin_us)
        duration_us = round(self.deployment.hours * 3600) * SECOND_US
        channels = [Channel(freq, sum(spans) / duration_us, len(spans)) for freq, spans in on_air.items()]
        return Result(
            name=self.deployment.name,
            hours=self.deployment.hours,
            nodes=[
                NodeResult(node.name, node.place, node.sf, node.power_dbm, *self.margins[node.name], node.tally)
                for node in self.nodes.values()
            ],
            ears=[(ear.name, entry.kind, ear.place) for ear, entry in self._ears],
            channels=sorted(channels, key=lambda channel: -channel.share),
            verdicts=judge(self.ether.log),
            downlinks=self.gateway.downlinks,
            unanswered=self.gateway.unanswered,
            counts=dict(self.ether.counts),
        )


def run(deployment: Deployment, told: Callable[[float], None] = lambda share: None) -> Result:
    """The town of a deployment."""
    return City(deployment).run(told)
