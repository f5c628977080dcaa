"""Runs a script with the MicroPython unix port from the repository's root, so that it imports firmware/ and tests/ as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_script(script: str, *arguments: str, heap: str = "1M") -> list[str]:
    """The lines that the script (a path from the root) prints; the test is skipped where there is no MicroPython."""
    pytest.importorskip("micropython_unix")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from micropython_unix import main; main()",
            "-X",
            f"heapsize={heap}",
            script,
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": ".:.frozen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()
