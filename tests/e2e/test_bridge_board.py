"""A technician makes a bridge of a board, and watches it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim.running import Running
from tools.demo.stage import steiger_command
from tools.sim.interpreter import find

pytestmark = [
    pytest.mark.e2e, pytest.mark.mpremote, pytest.mark.timeout(180),
    pytest.mark.skipif(not find().is_micropython, reason="no MicroPython on this machine"),
]  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path)


def steiger(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*steiger_command(), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def test_a_bridge_gets_no_key_and_tells_what_it_hears(folder: Path) -> None:
    keys = folder / "keys.json"
    with Running(folder, "heltec-v3-bridge") as board:
        made = steiger("node", "provision", board.port, "--board", "heltec-v3-bridge")
        assert made.returncode == 0, made
        assert "without a key, its radio listens" in made.stdout
        assert not list(folder.glob("*.json"))  # nothing entered anywhere
        shown = steiger("monitor", board.port, "--seconds", "12", "--json")
        told = [json.loads(line) for line in shown.stdout.splitlines()]
        (status, *_) = [item for item in told if item.get("bridge") == "status"]
        assert (status["chip"], status["radio"], status["freq_hz"], status["sf"]) == (
            "sx1262",
            "listens",
            868_100_000,
            9,
        )
        files = board.mpremote("ls")  # and stops it
        assert not any(name in files for name in ("settings", "lease", "outbox")), files

        refused = steiger("node", "provision", board.port, "--board", "heltec-v3-bridge", "--address", "7")
        assert refused.returncode == 2
        assert "a bridge has no address" in refused.stderr
        missing = steiger("node", "provision", board.port, "--board", "heltec-v3", "--keys", keys)
        assert missing.returncode == 2
        assert "--address is missing" in missing.stderr
