"""The main job as a newcomer runs it: `steiger demo`, with and without a broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import load_keys
from tests.fakes.mosquitto import Mosquitto
from tests.waiting import wait_until
from tools.demo.stage import WINDOW_S, steiger_command

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FIRST_VALUES_S = 20.0
BUSY = 1.5  # processes a core that want to run


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder).start()
    yield broker
    broker.stop()


def run_demo(folder: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    summary = folder / "s.json"
    done = subprocess.run(
        [*steiger_command(), "demo", "--dir", str(folder), "--summary", str(summary), *args],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done, json.loads(summary.read_text()) if summary.exists() else {}


def assert_closed(result: dict[str, Any]) -> None:
    assert result["scheduled"] == result["delivered"] + sum(result["causes"].values())
    assert result["pending"] == 0
    assert result["duplicates"] == 0
    for node in result["nodes"].values():
        assert node["scheduled"] == node["delivered"] + sum(node["causes"].values())


def test_demo_closes_its_ledger(tmp_path: Path) -> None:
    done, result = run_demo(tmp_path, "--seconds", "25")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert_closed(result)
    assert len(result["nodes"]) == 3
    for node in result["nodes"].values():
        assert node["delivered"] >= 4
    # Nobody disturbed it: each grid begins on a boundary, with the board's power, and no window is missed, unless the
    # machine is too busy to start three interpreters within one.
    (run,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert all(life.provisioned_s % WINDOW_S == 0 for life in load_keys(run / "keys.json"))
    if os.getloadavg()[0] < BUSY * (os.cpu_count() or 1):
        assert result["causes"] == {}
        rows = [line for line in done.stdout.splitlines() if " complete " in line and "seq –" not in line]
        assert rows
        assert all("complete 100 %  losses: none" in row for row in rows), done.stdout
    assert "mpremote connect" in done.stdout
    assert "steiger gateway export" in done.stdout
    first = re.search(r"^ *(\d+) s  node \d .*?(pm2_5|laeq|vehicles)", done.stdout, re.MULTILINE)
    assert first, done.stdout
    assert float(first.group(1)) <= FIRST_VALUES_S


def test_a_foreign_subscriber_sees_every_delivered_id(tmp_path: Path, broker: Mosquitto) -> None:
    heard = tmp_path / "heard"
    with open(heard, "wb") as out:
        foreign = subprocess.Popen(
            [
                "mosquitto_sub",
                "-h",
                "127.0.0.1",
                "-p",
                str(broker.port),
                "-t",
                "steiger/v1/#",
                "-q",
                "1",
                "-i",
                "foreign",
            ],
            stdout=out,
        )
    try:
        wait_until(lambda: "foreign" in broker.log.read_text(), 20, "the foreign client is connected")
        began = time.monotonic()
        done, result = run_demo(tmp_path, "--seconds", "20", "--mqtt", f"mqtt://127.0.0.1:{broker.port}")
        assert done.returncode == 0, f"{done.stdout}{done.stderr} after {time.monotonic() - began:.0f} s"
        assert_closed(result)
        assert result["redelivered"] == 0
        wait_until(lambda: len(record_ids(heard)) >= result["delivered"], 20, "the foreign client has them all")
        assert len(record_ids(heard)) == result["delivered"]
    finally:
        foreign.terminate()
        foreign.wait(20)


def record_ids(heard: Path) -> set[str]:
    ids = set()
    for line in heard.read_bytes().splitlines():
        try:
            batch = json.loads(line)
        except ValueError:
            continue  # the last line may still be written
        ids |= {record["id"] for record in batch["records"] if record["kind"] == "record"}
    return ids
