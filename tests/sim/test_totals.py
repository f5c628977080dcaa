"""Totals of vehicles from the real firmware of street-v1 to the archive: over windows that the node overwrote, and a restart."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path

import pytest

from boards import load_board
from gateway.models import RECORD, Record
from gateway.store.reader import Reader
from tests.fakes.street import MIC_SLOWDOWN, Street
from tests.sim.running import START_S
from tests.sim.test_conductor import whole
from tools.sim.interpreter import find
from wire import totals

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]

TRAFFIC = load_board("street-v1").profiles[2]
AT_S = START_S + 3600  # the rush hour of a Tuesday
WINDOW_S = 5
OUTAGE_S = 420  # two windows a second of air and noise overwrite what the outbox of 16 KB held of traffic
DIRECTIONS = ("approach", "depart")


def traffic(street: Street) -> list[Record]:
    """The records of vehicles, in order."""
    (path,) = (street.folder / "data").glob("*.db")
    with Reader(path) as reader:
        found = [record for record in reader.records() if record.kind_code == RECORD]
    names = [item.partition(":")[0] for item in TRAFFIC.items]
    return sorted(
        (each for each in found if each.profile and [one.name for one in each.profile.channels] == names),
        key=lambda each: each.seq,
    )


def value_of(record: Record, item: str) -> int:
    value = record.values[TRAFFIC.items.index(item)]
    assert value is not None, (item, record)
    return value


def difference(before: Record, after: Record, direction: str) -> tuple[int, bool]:
    item = f"vehicles_total_{direction}"
    return totals.difference(value_of(before, item), value_of(after, item))


def test_totals_heal_what_was_overwritten_and_begin_anew_with_the_board(tmp_path: Path) -> None:
    with Street(
        tmp_path, heap="256k", start_s=AT_S, window_s=1, mic_slowdown=MIC_SLOWDOWN, outbox_kb=16,
        **{"window_s.1": 1, "window_s.2": WINDOW_S},
    ) as street:  # fmt: skip
        gateway = street.start_gateway()
        street.power_on()
        street.conductor.run(60)
        street.node.cable(False)
        street.conductor.run(OUTAGE_S)
        assert not street.trouble()
        street.node.cable(True)
        street.conductor.run(30)
        street.node.board.power_off()
        street.conductor.run(10)
        street.power_on()
        street.conductor.run(60)
        assert gateway.ask("drain", timeout_s=600)
        report = gateway.ask("ledger", lines=False)
        whole(report)
        assert report["summary"]["causes"]["overwritten_on_node"] > 200
        records = traffic(street)
        told = differences(street)
    boots = [list(of) for _, of in groupby(records, lambda each: value_of(each, "vehicles_total_depart") >> 24)]
    assert [len(of) >= 10 for of in boots] == [True, True], "one mark a boot"
    before, after = boots
    assert counts_and_totals_agree(street, before) >= 20
    for direction in DIRECTIONS:
        since, began_anew = difference(before[-1], after[0], direction)
        assert began_anew
        assert since == value_of(after[0], f"vehicles_{direction}"), "nothing but what it counted since"
    assert counts_and_totals_agree(street, after) == 0
    for direction in DIRECTIONS:  # the gateway tells each once, that of the hole and that of the restart too
        expected = [(one.end_ms, other.end_ms, *difference(one, other, direction)) for one, other in pairwise(records)]
        assert told[f"vehicles_total_{direction}"] == expected


def differences(street: Street) -> dict[str, list[tuple[int, int, int, bool]]]:
    """What the gateway took of each total: since, until, events, whether counting began anew."""
    found: dict[str, list[tuple[int, int, int, bool]]] = {}
    with Reader(next((street.folder / "data").glob("*.db"))) as reader:
        for record in reader.records():
            for one in record.counted:
                found.setdefault(one.name, []).append((one.since_ms, one.until_ms, one.events, one.restarted))
    return {name: sorted(each) for name, each in found.items()}


def counts_and_totals_agree(street: Street, records: list[Record]) -> int:
    """Of windows side by side to the vehicle. Over those that are lost, the radar has told of what there was in the street.
    How many were lost."""
    missing = 0
    for before, after in pairwise(records):
        lost = (after.end_ms - before.end_ms) // (WINDOW_S * 1000) - 1
        missing += lost
        for direction in DIRECTIONS:
            counted, began_anew = difference(before, after, direction)
            assert not began_anew
            if not lost:
                assert counted == value_of(after, f"vehicles_{direction}")
            else:
                world = street.conductor.world.vehicles(before.end_ms * 1000, after.end_ms * 1000)
                passed = sum(vehicle.approaching == (direction == "approach") for vehicle in world)
                assert counted == pytest.approx(passed, rel=0.1, abs=3)
                assert counted > 5 * value_of(after, f"vehicles_{direction}"), "and not of its own window alone"
    return missing
