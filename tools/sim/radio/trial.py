"""A trial of the whole LoRa path with real firmware: many nodes, one bridge, lost frames, power cuts, a dead radio; judged by
what was on the air in true time, by the windows that the world counts, and by what the gateway's store holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.demo import account
from tools.sim.radio import city
from tools.sim.radio.deployment import Air, Deployment, GatewayAt, Link, NodesIn
from tools.sim.radio.firmware_town import START_S, FirmwareTown
from tools.sim.radio.propagation import chance

FIRST_CUT_S = 600  # the first minutes are for hellos and profiles
OFF_S = (5.0, 300.0)  # how long the power stays away
DRAIN_STEP_S, DRAIN_MAX_S = 600, 6 * 3600
PERMITTED = {"node_off", "not_sampled", "refused"}  # causes that a power cut has


@dataclass(frozen=True)
class Trial:
    """`loss`: share of frames lost besides, both ways; `cuts`: power cuts, spread over the nodes; `dead_h`: for so long, from
    a sixth of the hours on, the bridge hears nothing."""

    nodes: int = 50
    hours: float = 24.0
    seed: int = 1
    loss: float = 0.2
    cuts: int = 100
    dead_h: float = 0.0
    sf: int = 9
    interval_s: int = 300
    spread_s: int = 240
    ask_every: int = 2
    radius_m: float = 300.0

    def deployment(self) -> Deployment:
        return Deployment(
            name=f"trial {self.seed}", seed=self.seed, hours=self.hours, air=Air(frame_loss=self.loss),
            gateway=[GatewayAt(name="bridge", kind="bridge", x_m=0.0, y_m=0.0, sf=self.sf, power_dbm=20)],
            nodes=[NodesIn(count=self.nodes, radius_m=self.radius_m, x_m=0.0, y_m=0.0)],
            link=Link(interval_s=self.interval_s, spread_s=self.spread_s, ask_every=self.ask_every, adr=False),
        )  # fmt: skip

    @property
    def dead_s(self) -> tuple[float, float]:
        """From when to when the bridge is deaf."""
        begin = self.hours * 600
        return begin, begin + self.dead_h * 3600


def run(trial: Trial, folder: Path, told: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Live through it; figures, and in `against` whatever speaks against the firmware or the gateway."""
    began = time.monotonic()
    until_s = START_S + int(trial.hours * 3600)
    with FirmwareTown(folder, trial.deployment(), until_s=until_s) as town:
        ether = town.conductor.ether
        town.start_gateway()
        draw = chance(trial.seed, "cuts")
        span_s = trial.hours * 3600
        for _ in range(trial.cuts):
            at_s, name = draw.uniform(FIRST_CUT_S, span_s), draw.choice(sorted(town.nodes))
            off_s = draw.uniform(*OFF_S)
            town.conductor.at(at_s, lambda name=name, off_s=off_s: town.cut(name, off_s))  # type: ignore[misc]
        deaf_s, hears_s = trial.dead_s
        if trial.dead_h:
            town.conductor.at(deaf_s, lambda: setattr(ether, "lost", lambda sender, listener: listener == "bridge"))
            town.conductor.at(hears_s, lambda: setattr(ether, "lost", lambda sender, listener: False))
        town.run(
            span_s,
            lambda done_s: told(
                f"{done_s / 3600:.1f} h of {trial.hours:g}, {len(ether.log)} frames, {time.monotonic() - began:.0f} s"
            ),
        )
        frames, heard = town.frames()  # of the same hours as the model's
        drained_s = _drain(town, told)
        assert town.gateway is not None
        summary = town.gateway.ask("ledger", lines=False)["summary"]
        world = account.scheduled(folder / "keys.json", {}, trial.interval_s)
        counted = account.summary(world, account.archive_seen(town.store), summary)
        outcome = town.outcome(until_s)
        worst = outcome.verdicts[0]
        found = {
            **asdict(trial), "records": outcome.scheduled, "per": 1 - heard / max(1, frames), "frames": frames,
            "latency_p50_s": outcome.delay_s(0.5), "latency_p99_s": outcome.delay_s(0.99), "in_time": outcome.in_time,
            "worst_duty_cycle": worst.share, "worst_who": worst.who, "worst_band": worst.band, "drained_s": drained_s,
            "ledger": {key: summary[key] for key in ("scheduled", "delivered", "pending", "causes", "duplicates", "missing")},
            "wall_s": time.monotonic() - began,
        }  # fmt: skip
        if trial.dead_h:
            found |= _recovery(town, trial)
        found["against"] = account.faults(counted, summary) + _against(trial, summary, worst, town, drained_s, found)
        found["against"] += [
            f"node {node['node']}: the gateway takes it for answered by another one"
            for node in town.gateway.ask("status")["nodes"]
            if node["taken_age_s"] is not None
        ]
        return found


def _drain(town: FirmwareTown, told: Callable[[str], None]) -> int | None:
    """The grids have ended: go on until no node holds anything; how long that took, None: too long."""
    done = 0
    assert town.gateway is not None
    while done <= DRAIN_MAX_S:
        if not town.gateway.ask("ledger")["summary"]["pending"]:
            return done
        town.run(DRAIN_STEP_S, step_s=DRAIN_STEP_S)
        done += DRAIN_STEP_S
        told(f"draining, {done} s")
    return None


def _recovery(town: FirmwareTown, trial: Trial) -> dict[str, Any]:
    """How long it took until everything of the dead hours was there, and how late new records were meanwhile."""
    deaf_s, hears_s = (town.start_s + at_s for at_s in trial.dead_s)
    rows = [(end_s, delay_s) for address in town.addresses.values() for _, end_s, delay_s in town.rows(address)]
    last_s = max([hears_s, *(end_s + delay_s for end_s, delay_s in rows if deaf_s <= end_s < hears_s)])
    before = [delay_s for end_s, delay_s in rows if end_s < deaf_s - 1800]
    during = [delay_s for end_s, delay_s in rows if hears_s <= end_s <= last_s]
    normal, busy = city.delay_s(before, 0.5), city.delay_s(during, 0.5)
    return {"recovery_s": last_s - hears_s, "live_latency_s": busy, "normal_latency_s": normal}


def _against(
    trial: Trial, summary: dict[str, Any], worst: Any, town: FirmwareTown, drained_s: int | None, found: dict[str, Any]
) -> list[str]:
    against = []
    if worst.share > 1:
        against.append(
            f"{worst.who} was on the air for {worst.share:.1%} of what the law allows in an hour ({worst.band})"
        )
    if not summary["closed"]:
        against.append("the ledger does not close")
    for word in ("duplicates", "missing"):
        if summary[word]:
            against.append(f"{word}: {summary[word]}")
    foreign = set(summary["causes"]) - PERMITTED
    if foreign:
        against.append(f"causes that no power cut has: {sorted(foreign)}")
    if drained_s is None:
        against.append(f"records still on the nodes after {DRAIN_MAX_S} s: {summary['pending']}")
    for name, said in town.violations().items():
        against.append(f"{name}: {', '.join(said)}")
    if trial.dead_h and found["live_latency_s"] > 2 * found["normal_latency_s"]:
        against.append(f"new records take {found['live_latency_s']:.0f} s, {found['normal_latency_s']:.0f} s before")
    return against


def by_model(trial: Trial) -> dict[str, float]:
    """PER and the share in time of the same town by the model."""
    result = city.run(trial.deployment())
    return {"per": result.per, "delivered": result.delivered, "in_time": result.in_time}
