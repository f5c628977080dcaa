"""Leases, settings and outbox under the real MicroPython on a real littlefs, its power cut before programs and
erases."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEP = int(os.environ.get("STEIGER_CUT_STEP", "61"))  # every k-th write; 1 is all of them (make soak)


def micropython() -> str:
    found = Path(sys.executable).with_name("micropython")
    binary = str(found) if found.exists() else shutil.which("micropython")
    if binary is None:
        pytest.skip("needs the MicroPython interpreter")
    return binary


@pytest.mark.slow
def test_power_cuts_on_a_real_littlefs_lose_nothing_and_repeat_no_number() -> None:
    script = ROOT / "tests" / "firmware" / "run_on_board_flash.py"
    run = subprocess.run(
        [micropython(), "-X", "heapsize=4m", str(script), str(ROOT), str(STEP)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and lines[-1] == "done", run.stdout + run.stderr
    assert lines[-2].endswith("failed 0"), run.stdout
    assert int(lines[-2].split()[1]) >= 20
