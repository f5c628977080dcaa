"""A board with all three kinds of sensors in a heap like an ESP32's: what it takes, how soon it speaks, that it stays so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boards import board_names, load_board
from boards.radio import SerialLink
from tests.fakes.street import MIC_SLOWDOWN, Heap, Street, loaded_bytes, parse_heap
from tests.fakes.street_day import SHORT, growth_bytes, live, steady
from tests.sim.running import START_S
from tools.sim.interpreter import find

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]
BOOT_TO_HEALTH_MS = 3000
LOADED_BYTES = 45 * 1024  # bench/memory.py lists it by module
SELDOM = re.compile(r"firmware\.s\d+\Z")  # tools/firmware_bundle.py
WINDOW_S = 60
WINDOWS = ("window_s", "window_s.1", "window_s.2")


def test_all_sensors_live_through_an_outage_in_240k(tmp_path: Path) -> None:
    outcome = live(tmp_path, SHORT, "240k")
    assert not outcome.trouble
    assert outcome.summary["scheduled"] >= 3 * SHORT.hours * 60
    assert outcome.summary["causes"] == {}
    first, last = outcome.samples[0][1], outcome.samples[-1][1]
    assert first.total <= 240 * 1024
    assert last.used - first.used < 4096, "the outage is over: nothing of it is held"
    assert last.largest > 2048, "a window's histogram would still find its place"


def test_too_small_a_heap_shows_as_trouble(tmp_path: Path) -> None:
    """The scenario can fail: in 200 KiB the sensors are not set up, or the board starts again and again."""
    assert live(tmp_path, SHORT, "200k").trouble


def test_an_outbox_of_three_profiles_overflows_in_256k(tmp_path: Path) -> None:
    """Their seqs alternate: told one by one, what is overwritten would take more heap than there is."""
    with Street(
        tmp_path, heap="256k", window_s=1, mic_slowdown=MIC_SLOWDOWN, outbox_kb=16, **{"window_s.1": 1, "window_s.2": 1}
    ) as street:
        street.power_on()
        street.conductor.run(420)
        gateway = street.start_gateway()
        street.conductor.run(60)
        assert gateway.ask("drain", timeout_s=600)
        report = gateway.ask("ledger", lines=False)
        assert not street.trouble()
        summary = report["summary"]
        assert summary["causes"]["overwritten_on_node"] > 200
        assert report["closed"] and not summary["missing"]


ON_A_CABLE = [name for name in board_names() if isinstance(load_board(name).link, SerialLink)]


@pytest.mark.parametrize("board", ON_A_CABLE)
def test_boot_to_delivered_health_and_first_window(tmp_path: Path, board: str) -> None:
    """From power-on, with a gateway there: health within 3 s; the first window ends on the grid, with its coverage."""
    late_s = 23  # of the window that is open when the power comes
    with Street(tmp_path, board, start_s=START_S // WINDOW_S * WINDOW_S + late_s, window_s=WINDOW_S) as street:
        street.start_gateway()
        street.power_on()
        boot_ms = street.acknowledged_ms()
        assert 0 < boot_ms <= BOOT_TO_HEALTH_MS
        street.conductor.run(WINDOW_S)
        heap = street.heap()
        loaded = loaded_bytes(board, heap.modules)
        assert "firmware/app.mpy" in loaded
        assert sum(loaded.values()) <= LOADED_BYTES, loaded
        first = street.rows(0)[0]
        assert first["end_ms"] == (START_S // WINDOW_S + 1) * WINDOW_S * 1000
        assert first["length_ms"] == WINDOW_S * 1000
        assert 0 < first["coverage"] <= 100 * (WINDOW_S - late_s) // WINDOW_S


def test_what_runs_in_each_window_is_marked_nowhere_as_seldom(tmp_path: Path) -> None:
    """A second after windows, whose ends move against the ten seconds after which a board forgets."""
    with Street(tmp_path, mic_slowdown=MIC_SLOWDOWN, start_s=START_S // 7 * 7, **dict.fromkeys(WINDOWS, 7)) as street:
        street.start_gateway()
        street.power_on()
        street.conductor.run(4 * 7 + 1)
        for _ in range(5):
            street.conductor.run(7)
            found = [name for name in street.heap().modules if SELDOM.match(name)]
            assert not found, f"{found}: loaded for every window"


def test_what_counts_as_steady() -> None:
    def at(used: int, largest: int = 8000) -> Heap:
        return Heap(240_000, used, largest, ())

    level = [(float(hour), at(220_000 + 500 * (hour % 3))) for hour in range(1, 25)]
    assert steady(tuple(level)) == []
    growing = tuple((hour, at(220_000 + 150 * int(hour))) for hour, _ in level)
    assert growth_bytes(growing) > 2048
    assert len(steady(growing)) == 1
    torn = (*level[:-1], (24.0, at(220_000, 3000)))
    assert "hour 24" in steady(torn)[0]


def test_mem_info_is_read() -> None:
    text = "mem: total=9\nGC: total: 242816, used: 26880, free: 215936\n No. of 1-blocks: 2, max blk sz: 65, max free sz: 4608\nsys\nfirmware\n"
    assert parse_heap(text) == Heap(242816, 26880, 4608 * 32, ("sys", "firmware"))
