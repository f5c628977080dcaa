"""How many nodes one gateway carries: by the model, beside pure ALOHA's theory.

A node counts as carried while the town's records are at the gateway within 15 minutes, WANTED of them. Every node is within
reach (MARGIN_DB): what limits is what the others say, not distance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tools.sim.radio.airtime import frame_us
from tools.sim.radio.city import City
from tools.sim.radio.deployment import UPLINKS_HZ, Deployment, GatewayAt, Link, NodeAt
from tools.sim.radio.propagation import SNR_LIMIT_DB, Model, Position, chance

WANTED = 0.999
MARGIN_DB = 10.0
TRIES = 3  # of one record within 15 minutes, at records every 5
MASTS_M = 24.0
MASTS_DBM = 20  # the sub-band of answers permits more
STEPS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280)


@dataclass(frozen=True)
class Setup:
    """A gateway and how its nodes are set. `radius_m`: within which the nodes stand."""

    name: str
    eight: bool
    sf: int = 9
    radius_m: float = 1500.0
    link: Link | None = None

    def deployment(self, count: int, seed: int, hours: float) -> Deployment:
        """So many nodes, all of them within reach of the gateway at the rates that it hears."""
        kind: Literal["bridge", "concentrator"] = "concentrator" if self.eight else "bridge"
        gateway = GatewayAt(
            name="gateway", kind=kind, x_m=0.0, y_m=0.0, height_m=MASTS_M, sf=self.sf, power_dbm=MASTS_DBM
        )
        town = Deployment(name=self.name, gateway=[gateway], seed=seed, hours=hours, link=self.link or Link())
        town.node = _within_reach(town, count, self.radius_m, 12 if self.eight else self.sf)
        return town


def _within_reach(town: Deployment, count: int, radius_m: float, sf: int) -> list[NodeAt]:
    draw = chance(town.seed, "capacity")
    model: Model = town.model()
    mast = Position(0.0, 0.0, MASTS_M)
    found: list[NodeAt] = []
    number = 0
    while len(found) < count:
        away_m, angle = radius_m * math.sqrt(draw.random()), draw.uniform(0, 2 * math.pi)
        number += 1
        node = NodeAt(name=f"n{number}", x_m=away_m * math.cos(angle), y_m=away_m * math.sin(angle))
        loss = model.path_loss_db(Position(node.x_m or 0.0, node.y_m or 0.0, node.height_m), mast, UPLINKS_HZ[0])
        shadow = model.shadow_db(town.seed, node.name, "gateway")
        snr = node.power_dbm + 2 * node.gain_dbi - loss - shadow - model.noise_dbm(125_000)
        if snr - SNR_LIMIT_DB[sf] >= MARGIN_DB:
            found.append(node)
    return found


def aloha(nodes_by_sf: Counter[int], channels: int, link: Link, tries: int = 1) -> float:
    """Pure ALOHA: the share of records of which one of `tries` frames meets no other frame of its channel and SF."""
    good = 0.0
    for sf, count in nodes_by_sf.items():
        load = (count - 1) * float(frame_us(link.first_bytes, sf)) / 1e6 / link.interval_s / channels
        good += count * (1 - (1 - math.exp(-2 * load * tries)) ** tries)
    return good / sum(nodes_by_sf.values())


@dataclass(frozen=True)
class Point:
    """`in_time`: mean over the seeds; `theory`: pure ALOHA, one try and TRIES."""

    nodes: int
    in_time: float
    delivered: float
    per: float
    theory: float
    theory_tries: float


def curve(
    setup: Setup, *, hours: float, seeds: Sequence[int], steps: Sequence[int] = STEPS, told: Callable[[Point], None]
) -> list[Point]:
    """Points with more and more nodes, until far too many records are late."""
    points = []
    link = setup.link or Link()
    for count in steps:
        results = [City(setup.deployment(count, seed, hours)).run() for seed in seeds]
        records = sum(result.scheduled for result in results)
        sfs = Counter(node.sf for node in results[0].nodes)
        channels = len(UPLINKS_HZ) if setup.eight else 1
        point = Point(
            count,
            sum(result.in_time * result.scheduled for result in results) / records,
            sum(result.delivered * result.scheduled for result in results) / records,
            sum(result.per for result in results) / len(results),
            aloha(sfs, channels, link),
            aloha(sfs, channels, link, TRIES),
        )
        points.append(point)
        told(point)
        if point.in_time < 0.9:
            break
    return points


def carried(points: Sequence[Point], share: Callable[[Point], float] = lambda point: point.in_time) -> float:
    """The number of nodes at which the share falls below WANTED, between the points on the scale of what is lost."""
    before: Point | None = None
    for point in points:
        if share(point) < WANTED:
            if before is None:
                return 0.0
            low, high = math.log(max(1e-6, 1 - share(before))), math.log(1 - share(point))
            part = (math.log(1 - WANTED) - low) / (high - low)
            return before.nodes * math.exp(part * math.log(point.nodes / before.nodes))
        before = point
    return float(before.nodes) if before else 0.0


def aloha_carried(link: Link, sf: int, tries: int = 1) -> float:
    """Nodes on one channel and SF at which pure ALOHA falls below WANTED."""
    per_try = 1 - (1 - WANTED) ** (1 / tries)
    load = -math.log(per_try) / 2 / tries
    return 1 + load * link.interval_s / (float(frame_us(link.first_bytes, sf)) / 1e6)
