"""Particle sensors on serial lines and an NO2 cell on a whole board in virtual time: real firmware, real gateway. Values
arrive; warm-up, bad checksums, silence, shifted streams and stuck values each end in the right place of the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.models import Record
from gateway.store.reader import Reader
from tests.fakes.street import Street
from tests.sim.running import START_S
from tools.sim.interpreter import find
from wire.messages import NOT_SAMPLED, REFUSED

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]

WINDOW_S = 10
PHASE_S = 5 * WINDOW_S  # the first window of a phase holds the change; recovery may take a backoff of half a minute
BOARD = Path(__file__).parents[1] / "data" / "serial_air.toml"
PLANTOWER = """\
name = "plantower-test"
title = "Two PMS5003, one asked and one that speaks by itself"
mcu = "esp32"
image = "ESP32_GENERIC"

[buses.uart1]
kind = "uart"
id = 1
tx = 26
rx = 25
baudrate = 9600

[buses.uart2]
kind = "uart"
id = 2
tx = 17
rx = 16
baudrate = 9600

[[sensors]]
driver = "pms5003"
bus = "uart1"
params = { mode = "passive", warmup_ms = 12000, stuck_reads = 6 }

[[sensors]]
driver = "pms5003"
bus = "uart2"
instance = 1
params = { warmup_ms = 12000, stuck_reads = 6 }

[[profiles]]
items = ["pm2_5", "nc0_5"]
window_setting = 0

[[profiles]]
items = ["pm2_5:1", "nc0_5:1"]
window_setting = 1

[simulation]
chips = [{ chip = "pms5003", bus = "uart1" }, { chip = "pms5003", bus = "uart2" }]
"""
# Phases: which faults are on (of those that a chip knows), and the cause of a window that has nothing then.
PHASES: list[tuple[tuple[str, ...], int | None]] = [
    ((), None),
    (("bad_checksum", "open_we"), REFUSED),
    (("byte_shift", "open_ae"), REFUSED),
    (("silence",), NOT_SAMPLED),
    ((), None),
    (("stuck",), REFUSED),
]


class Window(NamedTuple):
    """One window of a profile as the gateway holds it. `cause`: of a gap, else 0."""

    start_s: int
    cause: int
    coverage: int
    values: tuple[int | None, ...]
    flags: tuple[int, ...] | None


def windows(records: list[Record], item: str) -> list[Window]:
    """Those of the profile that begins with a channel, from the start of the world on."""
    found = []
    for record in records:
        if record.profile is None or not record.profile.channels:
            continue
        if record.profile.channels[0].name != item:
            continue
        start_s = record.start_ms // 1000 - START_S
        cause = record.detail["cause"] if record.detail and record.kind == "gap" else 0
        count = record.detail["count"] if record.detail and cause else 1
        for number in range(count):
            found.append(Window(start_s + number * WINDOW_S, cause, record.coverage, record.values, record.flags))
    return sorted(found)


def play(street: Street) -> tuple[list[Record], dict[str, Any]]:
    """All phases, then everything that the gateway holds."""
    gateway = street.start_gateway()
    street.power_on()
    chips = [entry.chip for entry in street.node.board.chips]
    for faults, _ in PHASES:
        for chip in chips:
            for fault in list(chip.faults):
                chip.switch(fault, False)
            for fault in faults:
                if fault in chip.FAULTS and not (fault == "byte_shift" and not hasattr(chip, "output")):
                    chip.switch(fault)
        street.conductor.run(PHASE_S)
    assert street.trouble() == []
    street.conductor.run(5)
    assert gateway.ask("drain", timeout_s=60)
    report = gateway.ask("ledger", lines=False)
    (path,) = (street.folder / "data").glob("*.db")
    with Reader(path) as reader:
        records = list(reader.records())
    gateway.stop()
    return records, report


def judged(found: list[Window], warms_up: bool) -> list[Window]:
    """The windows that were measured; asserts what each phase must show."""
    good = []
    for number, (faults, cause) in enumerate(PHASES):
        begin_s = number * PHASE_S
        inner = [w for w in found if begin_s + WINDOW_S <= w.start_s and w.start_s + WINDOW_S <= begin_s + PHASE_S]
        assert len(inner) == PHASE_S // WINDOW_S - 1
        if not faults:
            assert inner[-1].coverage == 100, (number, inner)
            good.append(inner[-1])
        elif faults == ("stuck",):  # it is started anew now and then, and warms up
            assert {w.cause for w in inner} <= {REFUSED, NOT_SAMPLED}, inner
            assert REFUSED in {w.cause for w in inner}
        elif "byte_shift" in faults:  # without its first or last mark a frame of the SPS30 is whole
            assert {w.cause for w in inner} <= {cause, 0}, inner
            assert all(w.coverage <= 20 for w in inner), inner
        else:
            assert [w.cause for w in inner] == [cause] * len(inner), (faults, inner)
    assert (found[0].cause == NOT_SAMPLED) == warms_up, "nothing is measured while it warms up"
    return good


def test_particles_over_serial_lines_and_no2(tmp_path: Path) -> None:
    more = {"window_s.1": WINDOW_S, "window_s.2": WINDOW_S}
    with Street(tmp_path, BOARD, window_s=WINDOW_S, **more) as street:
        records, report = play(street)
        assert report["closed"] and not report["summary"]["missing"]
        world = street.conductor.world
    for item, warms_up in (("pm2_5", True), ("pm2_5_1", True), ("no2", False)):
        for window in judged(windows(records, item), warms_up):
            middle_s = START_S + window.start_s + WINDOW_S / 2
            exact = world.no2_ppb(middle_s) if item == "no2" else world.air(middle_s).pm2_5_ugm3
            assert window.flags is None
            assert window.values[0] is not None
            assert window.values[0] / 10 == pytest.approx(exact, rel=0.1, abs=1.5), (item, window)


def test_plantower_in_both_modes(tmp_path: Path) -> None:
    board = tmp_path / "board.toml"
    board.write_text(PLANTOWER)
    with Street(tmp_path / "run", board, window_s=WINDOW_S, **{"window_s.1": WINDOW_S}) as street:
        records, report = play(street)
        assert report["closed"] and not report["summary"]["missing"]
        world = street.conductor.world
    for item in ("pm2_5", "pm2_5_1"):
        for window in judged(windows(records, item), True):
            air = world.air(START_S + window.start_s + WINDOW_S / 2)
            assert window.values[0] is not None and window.values[1] is not None
            assert window.values[0] / 10 == pytest.approx(air.pm2_5_ugm3, rel=0.1, abs=1.0)
            assert window.values[1] / 10 == pytest.approx(air.nc0_5_cm3, rel=0.1)
