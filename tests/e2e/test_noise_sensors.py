"""Noise boards in virtual time, with the real firmware and a real gateway: the world's levels arrive, and each fault of a
sensor is in the ledger under its cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.models import RECORD, Record
from gateway.store.reader import Reader
from tests.fakes.street import Street
from tests.sim.running import START_S
from tests.sim.test_conductor import whole
from tools.sim.interpreter import find

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]
WINDOW_S = 5
REFUSED, NOT_SAMPLED = "refused_by_sensor_check", "not_sampled"
# fault, how long it lasts, the windows' cause. Thirty equal readings make a stuck value.
DNMS_FAULTS = (
    ("bad_crc", 15, REFUSED),
    ("nonsense", 15, REFUSED),
    ("stuck", 50, REFUSED),
    ("silence", 15, NOT_SAMPLED),
    ("never_ready", 15, NOT_SAMPLED),
    ("restarts", 30, NOT_SAMPLED),
)


def stored(folder: Path, since_s: float) -> list[Record]:
    """The gateway's records of windows that began since then."""
    (path,) = (folder / "data").glob("*.db")
    with Reader(path) as reader:
        return [record for record in reader.records(kinds={RECORD}) if record.start_ms >= since_s * 1000]


def counted(ask: Callable[[], dict[str, int]], before: dict[str, int]) -> dict[str, int]:
    """Windows by cause since `before`."""
    return {cause: n - before.get(cause, 0) for cause, n in ask().items() if n > before.get(cause, 0)}


def test_a_dnms_is_heard_and_its_faults_are_told(tmp_path: Path) -> None:
    with Street(tmp_path, "noise-v2", window_s=WINDOW_S) as street:
        conductor = street.conductor
        chip = street.node.board.chips[0].chip
        gateway = street.start_gateway()
        street.power_on()

        def causes() -> dict[str, int]:
            found: dict[str, int] = gateway.ask("ledger", lines=False)["summary"]["causes"]
            return found

        conductor.run(42)  # faults begin within a window
        assert b"started, DNMS Version 5.9.1" in street.node.said
        good = stored(tmp_path, START_S + 10)
        assert len(good) >= 5
        for record in good:
            laeq, highest, lowest = (value / 10 for value in record.values)  # type: ignore[operator]
            truth_db, fast_db = conductor.world.sound_truth(record.start_ms * 1000, record.end_ms * 1000)
            assert laeq == pytest.approx(truth_db, abs=1.0), "a second's interval overlaps a window's edge"
            assert lowest <= laeq <= highest < fast_db + 4
            assert record.coverage == 100
            assert record.flags is None
        assert set(causes()) <= {NOT_SAMPLED}, "the Teensy's start and its warm-up"
        for fault, lasts_s, cause in DNMS_FAULTS:
            before = causes()
            began_s = conductor.now_s
            chip.switch(fault)
            conductor.run(lasts_s)
            chip.switch(fault, False)
            conductor.run(25)
            told = counted(causes, before)
            assert set(told) == {cause}, (fault, told)
            shares = [record.coverage for record in stored(tmp_path, began_s)]
            assert min(shares) < 100, fault
            assert shares[-1] == 100, fault
            assert sum(100 - share for share in shares) * WINDOW_S / 100 + told[cause] * WINDOW_S > lasts_s / 5, fault
        board = street.node.board
        before, began_s = causes(), conductor.now_s
        recoveries = board.i2c[0].recoveries  # of a silent chip's bus, too: nobody can tell it from one that is held
        chip.switch("bus_held")
        conductor.run(4 * WINDOW_S)
        assert board.i2c[0].recoveries == recoveries + 1, "nine clocks freed the bus"
        assert counted(causes, before) == {}
        assert sum(100 - record.coverage for record in stored(tmp_path, began_s - WINDOW_S)) <= 40, "a second or two"
        board.power_off()
        chip.switch("wrong_chip")
        board.power_on()
        conductor.run(3 * WINDOW_S)
        assert b"wrong chip: no DNMS at 0x55" in street.node.said
        before = causes()
        conductor.run(2 * WINDOW_S)
        assert counted(causes, before) == {NOT_SAMPLED: 2}
        chip.switch("wrong_chip", False)
        conductor.run(60)
        assert stored(tmp_path, conductor.now_s - 20)
        assert gateway.ask("drain", timeout_s=60)
        conductor.run(WINDOW_S)
        whole(gateway.ask("ledger"))


def test_a_microphone_in_the_other_slot_is_named(tmp_path: Path) -> None:
    with Street(tmp_path, "noise-v1", window_s=WINDOW_S, log_level=3) as street:
        chip = street.node.board.chips[0].chip
        chip.switch("swapped_channel")
        gateway = street.start_gateway()
        street.power_on()
        street.conductor.run(4 * WINDOW_S)
        assert b"lost, no sound: the right slot has it, see the L/R pin" in street.node.said, bytes(
            street.node.said[-3000:]
        )
        summary = gateway.ask("ledger", lines=False)["summary"]
        assert summary["causes"].get(REFUSED, 0) >= 1, summary
        chip.switch("swapped_channel", False)
        street.conductor.run(4 * WINDOW_S)
        levels = [record.values[0] for record in stored(tmp_path, START_S)]
        assert levels and all(level is not None and level > 250 for level in levels)
        whole(gateway.ask("ledger"))
