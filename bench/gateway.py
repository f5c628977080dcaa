"""The whole gateway process, as it is shipped: 50 nodes, one record of ten channels a frame, from the byte stream to MQTT.

Default configuration: FULL sync, replay check, ledger, acknowledgements, MQTT sink to a real mosquitto with a subscriber.
"""

import os
import sys

from bench import peers
from bench.broker import QuietBroker
from bench.gateway_run import Pace, Phase, Run, folder, go

NODES = 50
BURSTS = 3
BURST_RECORDS = 2_000  # of each node: 100,000 in all
STREET = Pace(rate=10, records=12)  # one reading a minute of 600 nodes
BUSY = Pace(rate=100, records=60)
PLAIN_READINGS = 20_000
THINGSBOARD_READINGS = 4_000
THROUGH = "gateway.published_per_s"  # until the broker has confirmed them: a peer's are counted where they arrive
WITH_THINGSBOARD = os.environ.get("PEERS") == "1"

TARGETS: dict[str, tuple[str, float]] = {
    "gateway.records_per_s": (">=", 20_000),
    "gateway.cpu_s_per_100k": ("<=", 4),
    "gateway.rss_peak_mb": ("<=", 48),
    "gateway.cpu_percent_at_10": ("<=", 1),
    "gateway.ack_p99_ms_at_100": ("<=", 250),
    "gateway.redelivered": ("==", 0),
}
if WITH_THINGSBOARD:
    TARGETS |= {"gateway.times_thingsboard_throughput": (">=", 30), "gateway.times_less_cpu": (">=", 30)}


def run() -> tuple[dict[str, float], list[str]]:
    """(figures, lines of the table)."""
    _tell("gateway: three bursts, then two minutes of even load")
    measured = go(NODES, BURST_RECORDS, BURSTS, [BUSY, STREET])
    figures = _figures(measured)
    lines = _lines(measured, figures)
    with folder() as place:
        broker = QuietBroker(place).start()
        try:
            _tell("plain script")
            plain = peers.plain_script(place, broker.port, PLAIN_READINGS)
            lines += _beside("plain script", plain, figures)
            figures["gateway.times_plain_script_throughput"] = figures[THROUGH] / plain.readings_per_s
            figures["gateway.times_less_cpu_than_plain_script"] = (
                plain.cpu_s_per_100k / figures["gateway.cpu_s_per_100k"]
            )
            if WITH_THINGSBOARD:
                _tell(peers.THINGSBOARD)
                other = peers.thingsboard(place, broker.port, THINGSBOARD_READINGS)
                lines += _beside(peers.THINGSBOARD.replace("==", " "), other, figures)
                figures["gateway.times_thingsboard_throughput"] = figures[THROUGH] / other.readings_per_s
                figures["gateway.times_less_cpu"] = other.cpu_s_per_100k / figures["gateway.cpu_s_per_100k"]
            else:
                lines.append("thingsboard-gateway: not run; PEERS=1 installs it into build/ and runs it")
        finally:
            broker.kill()
    return figures, lines


def _tell(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)


def _figures(measured: Run) -> dict[str, float]:
    busy, street = measured.paced
    fastest = max(measured.bursts, key=lambda burst: burst.load["records"] / burst.load["seconds"])
    through = min(measured.bursts, key=lambda burst: burst.seconds)
    leanest = min(measured.bursts, key=lambda burst: burst.used.cpu_s)
    records = fastest.load["records"]
    return {
        "gateway.records_per_s": records / fastest.load["seconds"],
        THROUGH: through.load["records"] / through.seconds,
        "gateway.records_per_s_own_core": max(map(_with_a_core, measured.bursts)),
        "gateway.records_per_cpu_s": records / min(burst.used_to_store.cpu_s for burst in measured.bursts),
        "gateway.cpu_s_per_100k": leanest.used.cpu_s / records * 100_000,
        "gateway.rss_peak_mb": measured.total.rss_peak_mb,
        "gateway.written_bytes_per_record": max(burst.used.written_bytes for burst in measured.bursts) / records,
        "gateway.written_bytes_per_record_at_100": busy.used.written_bytes / busy.load["records"],
        "gateway.written_bytes_per_record_at_10": street.used.written_bytes / street.load["records"],
        "gateway.written_bytes_per_record_own_count": 1e6 * measured.status["spool"]["written_mb"] / measured.stored,
        "gateway.file_bytes_per_record": measured.file_bytes / measured.stored,
        "gateway.records_per_commit": records / max(burst.commits for burst in measured.bursts),
        "gateway.cpu_percent_at_10": _percent(street),
        "gateway.cpu_percent_at_100": _percent(busy),
        "gateway.ack_p50_ms_at_100": busy.load["p50_ms"],
        "gateway.ack_p99_ms_at_100": busy.load["p99_ms"],
        "gateway.records_compared": measured.stored,
        "gateway.redelivered": measured.redelivered,
    }


def _with_a_core(burst: Phase) -> float:
    """Records a second had its event loop never been kept waiting for a core by other programs; all else as it was: waiting for
    the disk, and for its own writer's thread, which may have been kept waiting as well."""
    return float(burst.load["records"] / (burst.load["seconds"] - burst.used_to_store.kept_waiting_s))


def _percent(phase: Phase) -> float:
    return 100 * phase.used.cpu_s / phase.seconds


def _lines(measured: Run, figures: dict[str, float]) -> list[str]:
    lines = ["                          records/s   CPU s/100k   acknowledged   and published   commits   messages"]
    for burst in measured.bursts:
        records = burst.load["records"]
        lines.append(
            f"burst of {records:,} records".ljust(26) + f"{records / burst.load['seconds']:9,.0f}"
            f"   {burst.used.cpu_s / records * 1e5:10.2f}   {burst.load['seconds']:10.1f} s   {burst.seconds:11.1f} s"
            f"   {burst.commits:7}   {burst.messages:8}"
        )
    for phase in measured.paced:
        rate = phase.load["records"] / phase.load["seconds"]
        lines.append(
            f"{rate:.0f} records/s for {phase.load['seconds']:.0f} s: {_percent(phase):.2f} % of a core; acknowledged after"
            f" {phase.load['p50_ms']:.0f} ms (median), {phase.load['p99_ms']:.0f} ms (99 %), {phase.load['max_ms']:.0f} ms"
            f" (most); {phase.used.written_bytes / phase.load['records']:,.0f} bytes written a record"
        )
    lines.append(
        f"{measured.nodes} nodes on {measured.nodes} ports; {measured.stored:,} records read back from the archive and"
        f" {measured.published:,} from the subscriber, each compared value by value; redelivered {measured.redelivered}."
    )
    lines.append(
        f"Memory: {measured.started.rss_peak_mb:.1f} MB once started, {figures['gateway.rss_peak_mb']:.1f} MB at the most."
        f" On disk {figures['gateway.file_bytes_per_record']:.0f} bytes a record; written in a burst"
        f" {figures['gateway.written_bytes_per_record']:.0f}, WAL and copying back included."
    )
    lines.append(
        f"Wall time: the fastest of {BURSTS} bursts, on a machine that others may use as well; without the time in which they had"
        f" the cores {figures['gateway.records_per_s_own_core']:,.0f} records/s. In one second of CPU"
        f" {figures['gateway.records_per_cpu_s']:,.0f} records are stored and acknowledged."
    )
    return [*lines, ""]


def _beside(name: str, other: peers.Result, figures: dict[str, float]) -> list[str]:
    missing = f"; {other.missing} of {other.readings} never came" if other.missing else ""
    return [
        f"{name}: {other.readings_per_s:,.0f} readings/s, {other.cpu_s_per_100k:.1f} CPU s/100k,"
        f" {other.rss_peak_mb:.0f} MB{missing}. Steiger: {figures[THROUGH] / other.readings_per_s:.1f} times the throughput"
        f" from port to broker, {figures['gateway.cpu_s_per_100k'] / other.cpu_s_per_100k:.3f} of the CPU a record."
    ]
