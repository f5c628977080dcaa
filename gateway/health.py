"""How the gateway is: what a person, `steiger gateway status` and the metrics see. All of it is counters and ages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gateway.calibration_check import CalibrationCheck
from gateway.clock import Clock
from gateway.forward.base import MISCONFIGURED, REFUSED
from gateway.store.spool import Store
from gateway.uplink import Uplinks
from wire.profiles import Profile

if TYPE_CHECKING:
    from gateway.forward.base import Forwarder
    from gateway.links.cell import Cell

SINK_LATE_MS = 120_000  # something waits for a sink that has confirmed nothing for so long
NODE_SILENT_MS = 7_200_000  # two health intervals
FLOOD_TOLD_S = 3_600.0
BARREN = 3  # windows without any reading: no warm-up takes so long
BUDGET_WARN = 0.9
BEAT_LATE_S = 90.0  # three times the longest wait of any of our tasks (its disk, mostly)
DAY_MS = 86_400_000


class LinkLike(Protocol):
    name: str
    state: str


def status(
    clock: Clock,
    store: Store,
    uplinks: Uplinks,
    links: Sequence[Any],
    sinks: Sequence[Forwarder],
    tasks: dict[str, int],
    cell: Cell | None = None,
) -> dict[str, Any]:
    """`problems` is empty when all is well; each entry is one sentence for a person."""
    now_ms = clock.wall_ms()
    report: dict[str, Any] = {
        "now_ms": now_ms,
        "spool": _spool(store, now_ms),
        "sinks": [_sink(store, sink, now_ms) for sink in sinks],
        "links": [_link(link) for link in links],
        "nodes": [_node(key, uplinks, now_ms) for key in sorted(uplinks.sessions)],
        "dropped_frames": dict(uplinks.dropped),
        "accepted_frames": uplinks.accepted,
        "throttled": [
            {"ear": ear, "node": node, "frames": frames, "age_s": (now_ms - last_ms) / 1000}
            for (ear, node), (frames, last_ms) in sorted(uplinks.throttled.items())
        ],
        "restarted_tasks": tasks,
        "beats_s": _beats(clock, store, uplinks, links),  # since each task's last turn
    }
    if cell is not None:
        report["lora"] = cell.status()
        report["beats_s"]["lora"] = round(clock.monotonic_s() - cell.beat_s, 3)
    report["problems"] = _problems(report)
    return report


def _spool(store: Store, now_ms: int) -> dict[str, Any]:
    age_days = max((now_ms - store.opened_ms) / DAY_MS, 1 / 1440)
    written_mb = store.written_bytes / 1e6
    growth = max(store.used_bytes - store.used_at_open, 0) / age_days
    left = max(store.budget.max_bytes - store.used_bytes, 0)
    return {
        "path": str(store.path),
        "failing": store.failing,
        "used_mb": round(store.used_bytes / 1e6, 3),
        "budget_mb": round(store.budget.max_bytes / 1e6, 3),
        "days_left": round(left / growth, 1) if growth else None,  # until the oldest records go
        "written_mb": round(written_mb, 3),  # since start
        "written_mb_per_day": round(written_mb / age_days, 3),
        "records_stored": store.rows_stored,
        "commits": store.commits,
        "duplicates_refused": store.duplicates,
        "pending_jobs": store.pending_jobs,
    }


def _sink(store: Store, sink: Forwarder, now_ms: int) -> dict[str, Any]:
    health = sink.health
    known = sink.name in store.sink_names()
    confirmed_ms = store.confirmed_ms(sink.name) if known else 0
    return {
        "name": sink.name,
        "state": health.state,
        "detail": health.detail,
        "next_step": health.next_step,
        "target": health.target,
        "confirmed_age_s": (now_ms - confirmed_ms) / 1000 if confirmed_ms else None,
        "confirmed_records": health.confirmed_records,
        "confirmed_batches": health.confirmed_batches,
        "redelivered": health.redelivered,
        "backlog": store.backlog(sink.name) if known else 0,
    }


def _link(link: Any) -> dict[str, Any]:
    parser = getattr(link, "parser", None)
    return {
        "port": link.name,
        "state": link.state,
        "opens": getattr(link, "opens", 0),
        "resets_by_our_open": getattr(link, "resets_ours", 0),
        "frames": parser.frames if parser else 0,
        "bad": dict(parser.dropped) if parser else {},
        "bytes_in": getattr(link, "bytes_in", 0),
        "bytes_out": getattr(link, "bytes_out", 0),
        "downlinks_dropped": getattr(link, "out_dropped", 0),
        "taps": len(getattr(link, "taps", ())),
    }


def _node(key: tuple[int, int], uplinks: Uplinks, now_ms: int) -> dict[str, Any]:
    session, life = uplinks.sessions[key], uplinks.lives[key]
    memory, decoder = session.memory, session.decoder
    return {
        "node": key[0],
        "life": f"{key[1]:08x}",
        "name": life.name,
        "board": life.board,
        "until_s": life.until_s,
        "age_s": (now_ms - memory.last_ms) / 1000 if memory.last_ms else None,
        "link": session.link.name if session.link else None,
        "boot": memory.boot,
        "boots_seen": session.boots_seen,
        "frames": session.frames,
        "on_air": memory.on_air,
        "taken_by_another_gateway": memory.taken,
        "taken_age_s": (now_ms - memory.taken_ms) / 1000 if memory.taken_ms else None,
        "next_seq": memory.next_seq,
        "missing_seqs": sum(end - start for start, end in memory.received.missing(memory.floor, memory.next_seq)),
        "duplicates": decoder.duplicates,
        "clock": not decoder.clockless,
        "time_unresolved": decoder.unresolved,
        "awaiting_profile": decoder.undecoded,
        "barren_windows": decoder.barren,
        **_calibration(decoder.profiles.present(), uplinks.check, now_ms),
        "alarm": session.alarm,
        "alarms": memory.alarms,
    }


def _calibration(profiles: list[Profile], check: CalibrationCheck | None, now_ms: int) -> dict[str, str | None]:
    """Which one a node has, and what is wrong with it."""
    problems = [check.problem(profile, now_ms) for profile in profiles] if check is not None else []
    return {
        "calibration": f"{profiles[-1].calibration:08x}" if profiles and profiles[-1].calibration else None,
        "calibration_problem": "; ".join(dict.fromkeys(problem for problem in problems if problem)) or None,
    }


def _beats(clock: Clock, store: Store, uplinks: Uplinks, links: Sequence[Any]) -> dict[str, float]:
    now_s = clock.monotonic_s()
    beats = {"spool": now_s - store.beat_s, "held": now_s - uplinks.beat_s}
    for link in links:
        if link.state == "open" and hasattr(link, "beat_s"):
            beats[link.name] = now_s - link.beat_s
    return {name: round(age_s, 3) for name, age_s in beats.items()}


def _problems(report: dict[str, Any]) -> list[str]:
    out = []
    spool = report["spool"]
    if spool["failing"]:
        out.append(f"the spool cannot be written: {spool['failing']}; nodes keep their records until it can")
    if spool["used_mb"] > BUDGET_WARN * spool["budget_mb"]:
        out.append(f"the spool is {spool['used_mb'] / spool['budget_mb']:.0%} full; the oldest records go first")
    for sink in report["sinks"]:
        age_s = sink["confirmed_age_s"]
        if sink["state"] in (REFUSED, MISCONFIGURED):  # a person has to act, whether anything waits or not
            out.append(f"sink {sink['name']} is {sink['state']}: {sink['detail']}")
        elif sink["backlog"] and (age_s is None or age_s * 1000 > SINK_LATE_MS):
            since = "nothing yet" if age_s is None else f"nothing for {age_s:.0f} s"
            out.append(
                f"sink {sink['name']} confirmed {since}, {sink['backlog']} records wait: {sink['detail'] or sink['state']}"
            )
    for link in report["links"]:
        if link["state"] not in ("open", "released"):
            out.append(f"port {link['port']}: {link['state']}")
    ports = {link["port"]: link["state"] for link in report["links"]}
    for ear in report.get("lora", {}).get("ears", []):
        if ear["state"] != "open" and ports.get(ear.get("port"), "open") == "open":  # else the port's problem is told
            out.append(f"ear {ear['name']}: {ear['state']}")
        if ear.get("mute"):
            out.append(f"ear {ear['name']}: {ear['mute']}")
        if ear["duty_wait_s"] >= 1:
            out.append(f"ear {ear['name']}: its lawful airtime is spent, no answers for {ear['duty_wait_s']:.0f} s")
    for one in report["throttled"]:
        if one["age_s"] < FLOOD_TOLD_S:
            out.append(
                f"ear {one['ear']}: somebody floods it with the address of node {one['node']}, {one['frames']} frames were not "
                "verified; the node's own are sent again, late"
            )
    answers = report.get("lora", {}).get("answers", False)
    for name, age_s in report["beats_s"].items():
        if age_s > BEAT_LATE_S:
            out.append(f"task {name}: no sign of life for {age_s:.0f} s")
    for node in report["nodes"]:
        if node["alarm"]:
            out.append(f"node {node['node']}: {node['alarm']}")
        if answers and node["on_air"] and node["taken_age_s"] is not None and node["taken_age_s"] * 1000 < DAY_MS:
            out.append(
                f"node {node['node']}: forgot what was not acknowledged here, {node['taken_age_s'] / 3600:.1f} h ago: does another "
                "gateway answer it, too? Only one may: answer = false in [lora] of all others; else its flash lost it"
            )
        if not node["until_s"] and node["calibration_problem"]:
            out.append(f"node {node['node']}: {node['calibration_problem']}")
        if not node["until_s"] and node["barren_windows"] >= BARREN:
            out.append(
                f"node {node['node']} measures nothing: {node['barren_windows']} windows without a reading; "
                f"are its sensors connected, and is it really a {node['board'] or 'board of that kind'}?"
            )
        if not node["until_s"] and node["age_s"] is not None and node["age_s"] * 1000 > NODE_SILENT_MS:
            out.append(f"node {node['node']}: silent for {node['age_s'] / 3600:.1f} h")
    return out
