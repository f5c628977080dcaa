"""A board with a Doppler radar and a beam in virtual time: values arrive, and what goes wrong is in the right bucket."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.models import GAP, RECORD, Record
from gateway.store.reader import Reader
from tests.fakes.street import Street
from tests.sim.running import START_S
from tools.sim.interpreter import find
from wire.messages import NOT_SAMPLED, REFUSED
from wire.totals import difference

LANE = Path(__file__).resolve().parents[1] / "data" / "lane.toml"
WINDOW_S = 10
RADAR, BEAM = 0, 1  # profiles by their window settings
GOOD_WINDOWS = 3

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]


class Lane:
    """The board and its records by window. Faults are switched on the grid, so that a window has one throughout."""

    def __init__(self, folder: Path) -> None:
        # The rush hour of a Tuesday; the first window begins with the board's power.
        self.street = Street(folder, LANE, start_s=START_S + 3600, window_s=WINDOW_S, **{"window_s.1": WINDOW_S})
        self.street.start_gateway()
        self.street.power_on()
        self.windows = 0
        self.first_of: dict[str, int] = {}

    def run(self, name: str, windows: int, *faults: tuple[int, str]) -> None:
        """Let so many windows pass with faults (chip, name); they are called `name` from then on."""
        for chip, fault in faults:
            self.chip(chip).switch(fault)
        self.first_of[name] = self.windows
        self.street.conductor.run(windows * WINDOW_S)
        self.windows += windows
        for chip, fault in faults:
            self.chip(chip).switch(fault, False)

    def chip(self, number: int) -> Any:
        return self.street.node.board.chips[number].chip

    def window(self, profile: int, name: str, number: int = 0) -> Record:
        """The record, or the gap, of a window."""
        end_ms = (START_S + 3600 + (self.first_of[name] + number + 1) * WINDOW_S) * 1000
        (found,) = [
            record
            for record in self.records
            if self.of(record) == profile and record.start_ms < end_ms <= record.end_ms
        ]
        return found

    @staticmethod
    def of(record: Record) -> int:
        assert record.profile is not None
        return BEAM if record.profile.channels[0].name == "vehicles_1" else RADAR

    def cause(self, profile: int, name: str, number: int = 0) -> int:
        """Why a window has no record."""
        record = self.window(profile, name, number)
        assert record.kind_code == GAP and record.detail is not None, record
        return record.detail["cause"]

    def finish(self) -> None:
        gateway = self.street.conductor.gateway
        assert gateway is not None
        self.street.conductor.run(2)  # the last window's record is on its way
        assert gateway.ask("drain", timeout_s=600)
        self.report = gateway.ask("ledger", lines=False)
        self.said = bytes(self.street.node.said)
        with Reader(next((self.street.folder / "data").glob("*.db"))) as reader:
            self.records = [record for record in reader.records() if record.kind_code in (RECORD, GAP)]


def test_a_lane_through_good_and_bad_times(tmp_path: Path) -> None:
    """Three minutes; one board for both sensors, for a board that boots costs more than a sensor on it."""
    lane = Lane(tmp_path)
    with lane.street:
        lane.run("start", 1)
        lane.run("good", GOOD_WINDOWS)
        lane.run("shifted", 1, (RADAR, "byte_shift"), (BEAM, "lost_bytes"))
        lane.run("bad", 2, (RADAR, "half_lines"), (BEAM, "bad_checksum"))
        lane.run("better", 2)
        lane.run("blocked", 3, (RADAR, "brown_out"), (BEAM, "parked"))
        lane.run("free", 2)
        lane.run("silent", 2, (RADAR, "silence"), (BEAM, "silence"))
        lane.run("back", 3)
        lane.finish()
        nothing_is_lost_and_nothing_restarts(lane)
        the_beam_and_its_buckets(lane)
        the_radar_and_its_buckets(lane)
        totals_go_on_over_all_of_it(lane)


def vehicles(lane: Lane, name: str, windows: int) -> list[Any]:
    begin_us = (START_S + 3600 + lane.first_of[name] * WINDOW_S) * 1_000_000
    return lane.street.conductor.world.vehicles(begin_us, begin_us + windows * WINDOW_S * 1_000_000)


def nothing_is_lost_and_nothing_restarts(lane: Lane) -> None:
    assert not lane.street.trouble()
    assert lane.report["closed"] and not lane.report["summary"]["missing"]
    assert set(lane.report["summary"]["causes"]) == {"not_sampled", "refused_by_sensor_check"}
    assert lane.report["summary"]["scheduled"] >= 2 * lane.windows
    for text in (b"started, OPS243 serial 0A1B2C3D firmware 1.3.2", b"started, TF-Luna firmware 3.2.0"):
        assert text in lane.said


def the_beam_and_its_buckets(lane: Lane) -> None:
    assert 40 <= lane.window(BEAM, "start").coverage <= 85, "it learned the road for three seconds"
    good = [lane.window(BEAM, "good", number) for number in range(GOOD_WINDOWS)]
    assert all(record.coverage >= 99 and record.flags is None for record in good)
    passed = [vehicle for vehicle in vehicles(lane, "good", GOOD_WINDOWS) if vehicle.approaching]
    assert sum(record.values[0] or 0 for record in good) == pytest.approx(len(passed), abs=1)
    assert len(passed) >= 3
    assert all(record.values[0] == (record.values[1] or 0) + (record.values[2] or 0) for record in good), "low and high"
    assert 85 <= lane.window(BEAM, "shifted").coverage < 100
    assert lane.cause(BEAM, "bad", 1) == REFUSED
    assert lane.window(BEAM, "better", 1).coverage >= 99
    stood = lane.window(BEAM, "blocked", 0)
    assert stood.values[0] == 0 and stood.coverage >= 95, "a car that stands may be traffic for a while"
    assert lane.cause(BEAM, "blocked", 2) == REFUSED
    assert lane.window(BEAM, "free", 1).coverage >= 99
    assert lane.cause(BEAM, "silent", 1) == NOT_SAMPLED
    assert lane.window(BEAM, "back", 2).coverage >= 90


def the_radar_and_its_buckets(lane: Lane) -> None:
    good = [lane.window(RADAR, "good", number) for number in range(GOOD_WINDOWS)]
    assert all(record.coverage >= 99 for record in good)
    counted = sum((record.values[0] or 0) + (record.values[1] or 0) for record in good)
    assert counted == pytest.approx(len(vehicles(lane, "good", GOOD_WINDOWS)), abs=2)
    assert lane.window(RADAR, "shifted").coverage < 99
    assert lane.cause(RADAR, "bad", 1) == REFUSED
    assert lane.window(RADAR, "better", 1).coverage >= 99
    told = [lane.window(RADAR, "blocked", number).coverage for number in range(3)]
    assert min(told) < 90, "it forgot its settings"
    assert lane.cause(RADAR, "silent", 1) == NOT_SAMPLED
    assert lane.window(RADAR, "back", 2).coverage >= 90


def totals_go_on_over_all_of_it(lane: Lane) -> None:
    """Of the beam beside its count, of the radar's directions together without one. No window that was lost tears them."""
    for profile, count, so_far in (
        (BEAM, "vehicles_1", "vehicles_total_1"),
        (RADAR, "vehicles_approach", "vehicles_total_approach"),
    ):
        values = of_each(lane, profile, count, so_far)
        assert 10 <= len(values) < lane.windows
        taken = [difference(before[1], after[1]) for before, after in pairwise(values)]
        assert taken == [(counted, False) for counted, _ in values[1:]]
        assert sum(counted for counted, _ in taken) >= 3
    both = of_each(lane, RADAR, "vehicles_approach", "vehicles_depart", "vehicles_total")
    taken = [difference(before[2], after[2]) for before, after in pairwise(both)]
    assert taken == [(one + other, False) for one, other, _ in both[1:]]


def of_each(lane: Lane, profile: int, *names: str) -> list[tuple[int, ...]]:
    """The values of these channels of each window that has them."""
    found = []
    for record in lane.records:
        if record.kind_code == RECORD and lane.of(record) == profile and record.profile is not None:
            known = dict(zip((channel.name for channel in record.profile.channels), record.values, strict=True))
            values = [known[name] for name in names]
            assert None not in values
            found.append((record.end_ms, tuple(value or 0 for value in values)))
    return [values for _, values in sorted(found)]
