"""The demo's sum: it closes when it should, and names the hop when it does not."""

from __future__ import annotations

import json
from typing import Any

from tools.demo.account import MessageCounter, Seen, faults, summary


def ledger(delivered: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "nodes": {"1": {"scheduled": 10, "delivered": delivered, "causes": {}, "pending": 0}},
        "redelivered": 0,
        **more,
    }


def test_a_closed_sum_has_no_faults() -> None:
    result = summary({1: 10}, Seen({1: 10}, set(), 0, 0), ledger())
    assert result == {
        "scheduled": 10,
        "delivered": 10,
        "causes": {},
        "pending": 0,
        "duplicates": 0,
        "redelivered": 0,
        "nodes": {"1": {"scheduled": 10, "delivered": 10, "causes": {}, "pending": 0}},
    }
    assert faults(result, ledger()) == []


def test_causes_close_the_sum() -> None:
    booked = ledger(8)
    booked["nodes"]["1"]["causes"] = {"node off": 2, "not sampled": 0}
    result = summary({1: 10}, Seen({1: 8}, set(), 0, 0), booked)
    assert result["causes"] == {"node off": 2}
    assert faults(result, booked) == []


def test_what_the_sink_does_not_hold_is_named_there() -> None:
    result = summary({1: 10}, Seen({1: 9}, set(), 0, 0), ledger(10))
    (line,) = faults(result, ledger(10))
    assert "hop: sink" in line


def test_what_the_audit_found_is_named() -> None:
    booked = ledger(9, hops=[{"node": 1, "what": "rows missing", "count": 1, "hop": "spool"}])
    result = summary({1: 10}, Seen({1: 9}, set(), 0, 0), booked)
    assert any("hop: spool" in line for line in faults(result, booked))


def test_pending_and_duplicates_are_faults() -> None:
    booked = ledger(9)
    booked["nodes"]["1"]["pending"] = 1
    booked["pending_states"] = {"on_node": 1, "in_spool": 0}
    result = summary({1: 10}, Seen({1: 9}, set(), 2, 0), booked)
    lines = faults(result, booked)
    assert len(lines) == 2
    assert "on_node" in lines[0]


def test_more_than_scheduled_is_a_fault_too() -> None:
    assert faults(summary({1: 9}, Seen({1: 10}, set(), 0, 0), ledger()), ledger())


def message(*records: dict[str, Any]) -> bytes:
    return json.dumps({"records": records}).encode()


def record(seq: int, value: int = 1, start: str = "") -> dict[str, Any]:
    return {
        "id": f"1-0badcafe-{seq}", "node": 1, "life": "0badcafe", "seq": seq, "kind": "record",
        "start": start or f"t{seq}", "values": {"x": {"v": value}},
    }  # fmt: skip


def test_repeats_are_redelivered_and_changed_repeats_are_duplicates() -> None:
    counter = MessageCounter()
    counter.add(message(record(1), record(2)))
    counter.add(message(record(1)))
    assert counter.seen() == Seen({1: 2}, {"1-0badcafe-1", "1-0badcafe-2"}, 0, 1)
    counter.add(message(record(1, value=2)))
    assert counter.seen().duplicates == 1


def test_one_window_under_two_ids_is_a_duplicate() -> None:
    counter = MessageCounter()
    counter.add(message(record(1, start="t"), record(2, start="t")))
    assert counter.seen().duplicates == 1


def test_a_window_without_a_clock_may_end_when_another_one_does() -> None:
    """Its end was worked out to the millisecond: it meets a boundary of the grid by chance, one time in some thousands."""
    counter = MessageCounter()
    counter.add(message(record(1, start="t"), {**record(2, start="t"), "time_source": "anchor"}))
    assert counter.seen() == Seen({1: 2}, {"1-0badcafe-1", "1-0badcafe-2"}, 0, 0)
    counter.add(message({**record(3, start="t"), "time_source": "clock"}))
    assert counter.seen().duplicates == 1


def test_other_kinds_do_not_count() -> None:
    counter = MessageCounter()
    counter.add(message({**record(1), "kind": "health"}))
    assert counter.seen().delivered == {}
