"""Every fault that the laboratory knows: its name, what it hits, and what counts as "it fired"."""

from __future__ import annotations

from typing import NamedTuple

GATEWAY, NODE, LINE, BROKER, DISK, CLOCK, FLASH, FULL, AMBIENT = (
    "gateway", "node", "line", "broker", "disk", "clock", "flash", "full", "ambient"
)  # fmt: skip
POINTS = tuple(
    f"{side}_{what}" for what in ("receive", "commit", "ack", "publish", "puback") for side in ("before", "after")
)


class Fault(NamedTuple):
    """`group`: what it hits; two of one group never overlap (node and line faults: never on one node)."""

    name: str
    group: str
    fired: str  # what is observed before it counts


_KILLS = tuple(
    Fault(f"killed_{point}", GATEWAY, f"the gateway reached the instant '{point.replace('_', ' ')}' and got SIGKILL there")
    for point in POINTS
)  # fmt: skip

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("gateway_killed", GATEWAY, "a running gateway got SIGKILL at a random instant"),
        *_KILLS,
        Fault("power_cut", NODE, "a running board lost its power; one in two in the middle of a flash operation"),
        Fault("power_cut_twice", NODE, "power lost, and again within seconds of coming back"),
        Fault("line_drops", LINE, "bytes were taken out of a serial line in bursts"),
        Fault("line_duplicates", LINE, "bytes were doubled in bursts"),
        Fault("line_corrupts", LINE, "bytes were changed in bursts"),
        Fault("line_delays", LINE, "bytes were kept back and came in a burst"),
        Fault("port_vanishes", LINE, "a port was gone while its board or the gateway sent, and came back"),
        Fault("broker_stopped", BROKER, "a connection to the broker broke or was refused by nobody listening"),
        Fault("broker_frozen", BROKER, "a message or a connection got no answer from a broker that stood still"),
        Fault("broker_refuses", BROKER, "the broker refused a login"),
        Fault("broker_slow", BROKER, "a message was confirmed late"),
        Fault("broker_forgets", BROKER, "the broker was restarted without its sessions"),
        Fault("disk_full", DISK, "SQLite was refused a write: disk full"),
        Fault("disk_read_only", DISK, "SQLite was refused a write: read-only"),
        Fault("clock_ahead", CLOCK, "the gateway read a clock that was a day ahead"),
        Fault("clock_back", CLOCK, "the gateway read a clock that was a day behind"),
        Fault("node_without_clock", CLOCK, "a record was sealed without a clock, since a board booted with nobody to tell the time"),
        Fault("flash_stalls", FLASH, "an erase took up to two seconds instead of 45 ms"),
        Fault("outbox_full", FULL, "a board overwrote its oldest records, exactly as many as were predicted"),
        Fault("spool_full", FULL, "the spool's budget dropped records, exactly as many as were predicted"),
        Fault("ticks_wrap", AMBIENT, "a board's 30-bit millisecond counter wrapped while it ran"),
    )
}  # fmt: skip

# Faults that keep each other from happening.
_SILENT_BROKER = ("broker_stopped", "broker_frozen", "broker_refuses", "broker_forgets", "spool_full")
_SINK_KILLS = tuple(f"killed_{point}" for point in POINTS if "publish" in point or "puback" in point)
_STORE_KILLS = tuple(
    f"killed_{point}" for point in POINTS if "commit" in point or ("ack" in point and "puba" not in point)
)
EXCLUSIVE = {
    frozenset((kill, other)) for kill in _SINK_KILLS for other in (*_SILENT_BROKER, "disk_full", "disk_read_only")
}
EXCLUSIVE |= {frozenset((kill, other)) for kill in _STORE_KILLS for other in ("disk_full", "disk_read_only")}
EXCLUSIVE |= {frozenset(("spool_full", name)) for name, fault in FAULTS.items() if fault.group in (BROKER, DISK)}
EXCLUSIVE |= {frozenset(("outbox_full", "spool_full"))}
EXCLUSIVE |= {frozenset(("node_without_clock", name)) for name, fault in FAULTS.items() if fault.group == GATEWAY}

# After these a message may come again: it was on its way, and nobody knows whether it arrived.
REDELIVERING = tuple(
    name for name, fault in FAULTS.items() if fault.group in (GATEWAY, BROKER, DISK) or name == "node_without_clock"
)  # the last: its gateway is killed


def compatible(one: str, other: str) -> bool:
    """Whether both can happen at the same time."""
    first, second = FAULTS[one], FAULTS[other]
    if first.group == second.group and first.group not in (NODE, LINE):
        return False
    return one != other and frozenset((one, other)) not in EXCLUSIVE
