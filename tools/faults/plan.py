"""From a seed to what happens: boards, windows, and faults that overlap, in seconds since provisioning."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tools.faults.catalogue import AMBIENT, BROKER, CLOCK, DISK, FAULTS, FLASH, GATEWAY, LINE, NODE, compatible
from tools.faults.scenario import Scenario

# Of a run of 320 s; a shorter one has everything closer together.
SPAN_S = 320.0
CALM_S = 40.0  # at the start everybody boots and is heard
REST_S = 60.0  # at the end nothing disturbs any more

# Seconds before and after the instant at which the faults of a cluster meet: (earliest, latest) each.
_SPANS = {
    GATEWAY: ((4, 14), (2, 8)),
    NODE: ((1, 8), (2, 10)),
    LINE: ((12, 24), (4, 18)),
    BROKER: ((14, 24), (4, 16)),
    DISK: ((12, 20), (3, 10)),
    CLOCK: ((12, 24), (4, 20)),
    FLASH: ((12, 30), (8, 20)),
}
ON_A_NODE = (NODE, LINE, FLASH)
OUTBOX_FULL_S = 230.0
SPOOL_FULL_S = 140.0


class Planned(NamedTuple):
    """One fault. `number` feeds whatever the fault draws by itself (rates, how late, which operation)."""

    fault: str
    at_s: float
    for_s: float
    node: int  # index; of faults that hit a node or its line
    number: int

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s


class Plan(NamedTuple):
    seed: int
    boards: tuple[str, ...]
    window_s: int
    span_s: int
    faults: tuple[Planned, ...]


def faults_of(scenario: Scenario) -> list[str]:
    """The faults that a scenario draws from, in the order of the catalogue."""
    wanted = scenario.faults or tuple(FAULTS)
    only_virtual = {"spool_full", "outbox_full"}  # they need minutes, and a sum that nothing else moves
    return [
        name for name, fault in FAULTS.items()
        if name in wanted and fault.group != AMBIENT and not (scenario.time == "real" and name in only_virtual)
    ]  # fmt: skip


def make(scenario: Scenario, seed: int) -> Plan:
    """The same seed of the same scenario gives the same plan."""
    chance = Random(f"{scenario.name} {seed}")
    pace = scenario.span_s / SPAN_S
    pool = faults_of(scenario)
    turns = pool + 3 * [name for name in pool if FAULTS[name].group == "full"]  # these come by turn alone
    first = turns[seed % len(turns)] if turns else ""
    boards = [chance.choice(scenario.boards) for _ in range(scenario.nodes)]
    planned: list[Planned] = []
    if FAULTS.get(first) and FAULTS[first].group == "full":
        node = chance.randrange(scenario.nodes)
        length_s = OUTBOX_FULL_S if first == "outbox_full" else SPOOL_FULL_S
        planned.append(Planned(first, (CALM_S - 10) * pace, length_s, node, chance.randrange(1 << 16)))
        first = ""
    room_s = scenario.span_s - (CALM_S + REST_S) * pace
    for turn in range(scenario.clusters):
        step_s = room_s / scenario.clusters
        meet_s = CALM_S * pace + step_s * (turn + 0.35 + 0.4 * chance.random())
        for name in _together(chance, pool, scenario, planned, first if turn == 0 else ""):
            planned.append(_place(chance, name, meet_s, scenario, planned))
    return Plan(seed, tuple(boards), chance.choice(scenario.windows_s), scenario.span_s, tuple(planned))


def _together(chance: Random, pool: list[str], scenario: Scenario, planned: list[Planned], first: str) -> list[str]:
    """Names of faults that can happen at one time, also beside the long ones that go on meanwhile."""
    beside = [item.fault for item in planned if FAULTS[item.fault].group == "full"]
    names = [first] if first else []
    free = scenario.nodes - beside.count("outbox_full")  # nodes that a fault can be given to
    candidates = [name for name in pool if FAULTS[name].group != "full"]
    chance.shuffle(candidates)
    for name in candidates:
        if len(names) >= scenario.overlap:
            break
        if "outbox_full" in beside and FAULTS[name].group in (NODE, CLOCK):
            continue  # the number predicted would be another one
        if FAULTS[name].group in ON_A_NODE and sum(FAULTS[n].group == FAULTS[name].group for n in names) >= free:
            continue
        if all(compatible(name, other) for other in (*names, *beside)):
            names.append(name)
    return names


def _place(chance: Random, name: str, meet_s: float, scenario: Scenario, planned: list[Planned]) -> Planned:
    before, after = _SPANS[FAULTS[name].group]
    pace = scenario.span_s / SPAN_S
    at_s = round(meet_s - chance.uniform(*before) * pace, 3)
    end_s = meet_s + chance.uniform(*after) * pace
    nodes = list(range(scenario.nodes))
    full = [item.node for item in planned if item.fault == "outbox_full"]
    if FAULTS[name].group in ON_A_NODE:
        taken = {item.node for item in planned if _meets(item, name, at_s, end_s)}
        nodes = [node for node in nodes if node not in full and node not in taken] or nodes
    return Planned(name, at_s, round(end_s - at_s, 3), chance.choice(nodes), chance.randrange(1 << 16))


def _meets(item: Planned, name: str, at_s: float, end_s: float) -> bool:
    """Whether a fault of the same group is under way on its node meanwhile."""
    return FAULTS[item.fault].group == FAULTS[name].group and item.at_s < end_s and at_s < item.end_s
