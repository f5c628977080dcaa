"""The duty ledger under the real MicroPython on a real littlefs: power cut before each program and erase, and wear."""

from __future__ import annotations

from tests.firmware.interpreter import ROOT, run_script

SCRIPT = "tests/firmware/run_duty_on_flash.py"


def test_a_power_cut_before_any_write_takes_no_airtime_back() -> None:
    last = run_script(SCRIPT, str(ROOT), "cuts", "1", heap="4M")
    assert last[-1].endswith("failed 0"), last
    assert int(last[-1].split()[1]) >= 30


def test_a_day_costs_flash_little() -> None:
    rows = [line.split() for line in run_script(SCRIPT, str(ROOT), "day", heap="4M")]
    days = {name: [int(value) for value in values] for name, *values in rows}
    assert days["usual"][0] <= 40 and days["full"][0] <= 400  # writings of both copies
    assert 100_000 / days["full"][3] / 365 > 10  # years, if it always were the same block
