"""The gateway's benchmark in small: everything sent is read back, and what can be counted stays within its bounds.

No wall clock is judged: where a bound has seconds in it, they are those that this very run took.
"""

from __future__ import annotations

import pytest

from bench import gateway, gateway_run
from bench.gateway_run import Pace, Phase, Run
from bench.peers import Result
from bench.streets import Street
from bench.watch import Used
from gateway.store.spool import GROUP_ROWS, GROUP_S

pytestmark = [pytest.mark.e2e, pytest.mark.broker]

NODES = 50
BATCH_RECORDS, BATCH_WAIT_S = 200, 0.5  # defaults of the MQTT sink
PAGE = 4096


def most_commits(phase: Phase) -> float:
    """Groups are closed by time or by count."""
    return phase.seconds / GROUP_S + phase.load["records"] / GROUP_ROWS + 2


def most_messages(phase: Phase) -> float:
    """Batches wait for company, or are full; one more may be cut while another is under way."""
    return 2 * (phase.seconds / BATCH_WAIT_S + 1) + phase.load["records"] / BATCH_RECORDS


def test_what_the_gateway_does_for_a_record() -> None:
    run = gateway_run.go(NODES, 40, 1, [Pace(rate=400, records=4)])
    [burst], [even] = run.bursts, run.paced
    assert run.stored == run.published == NODES * 44
    assert run.redelivered == 0
    for phase in (burst, even):
        assert phase.load["records"] == NODES * (40 if phase is burst else 4)
        assert 1 <= phase.commits <= most_commits(phase)
        assert 1 <= phase.messages <= most_messages(phase)
        # Three synced transactions at most for a group: its own, the cut and the confirmation of a batch of it.
        syncs = phase.commits + 2 * phase.messages
        assert phase.used.written_bytes <= 500 * phase.load["records"] + 16 * PAGE * syncs
        assert phase.used.written_bytes >= 60 * phase.load["records"]
    assert burst.load["acks"] <= NODES * (burst.commits + 1), "one acknowledgement a node and group"
    kernels = run.total.written_bytes / 1e6
    assert 0.5 * kernels <= run.status["spool"]["written_mb"] <= 2 * kernels, "it knows what it writes"
    assert run.total.rss_peak_mb <= 48
    assert run.status["dropped_frames"] == {}
    assert run.status["spool"]["duplicates_refused"] == 0


def test_a_value_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Street):
        def values(self, seq: int) -> tuple[int, ...]:
            first, *rest = super().values(seq)
            return (first + (self.address == 2 and seq == 2), *rest)

    monkeypatch.setattr(gateway_run, "Street", Other)
    with pytest.raises(RuntimeError, match=r"the archive differs at 2-.*-2: "):
        gateway_run.go(2, 3, 1, [])


def test_a_peer_is_compared_from_port_to_broker_as_it_is_measured() -> None:
    """Steiger acknowledges a record before the broker has it; of a peer there is only what the subscriber received."""
    cost = Used(4.0, 1_000_000, 40.0, 0.0)
    burst = Phase({"records": 100_000, "seconds": 2.0}, cost, cost, 4.0, 500, 95)
    pace = {"records": 600, "seconds": 60.0, "p50_ms": 50.0, "p99_ms": 100.0, "max_ms": 110.0}
    even = Phase(pace, cost, cost, 60.0, 60, 60)
    status = {"spool": {"written_mb": 1.0}}
    figures = gateway._figures(Run(50, [burst], [even, even], cost, cost, status, 100_000, 100_000, 0, 7_000_000))
    assert figures["gateway.records_per_s"] == 50_000
    assert figures["gateway.published_per_s"] == 25_000
    assert (
        "Steiger: 250.0 times the throughput" in gateway._beside("peer", Result(100, 100.0, 8.0, 0, 20.0), figures)[0]
    )
