"""A laboratory that is killed takes everything along that it had started: boards, gateways, broker, its folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.fakes.mosquitto import require_mosquitto
from tests.waiting import wait_until
from tools.sim.interpreter import find

MARK = "STEIGER_TEST_MARK"
SCENARIO = 'title = "calm"\ntime = "real"\nnodes = 1\nspan_s = 60\nclusters = 0\nwindows_s = [5]\n'

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.broker,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]


def marked(mark: str) -> dict[int, str]:
    """Processes of this test, whatever became of their parents: pid -> command."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # ended meanwhile
    return found


def tree(root: int) -> dict[tuple[int, str], str]:
    """All that descends from a process: (pid, time of its start) -> command. A board has an environment of its own, without
    our mark."""
    children: dict[int, list[tuple[int, str]]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append((int(folder.name), fields[19]))
    found, ahead = {}, [root]
    while ahead:
        for pid, start in children.get(ahead.pop(), ()):
            ahead.append(pid)
            try:
                found[pid, start] = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


def lives(pid: int, start: str) -> bool:
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == start and fields[0] != "Z"


@pytest.mark.parametrize(("jobs", "by"), [(2, signal.SIGKILL), (1, signal.SIGTERM)])
def test_nothing_outlives_a_laboratory(tmp_path: Path, jobs: int, by: signal.Signals) -> None:
    require_mosquitto()
    (tmp_path / "calm.toml").write_text(SCENARIO)
    with tempfile.TemporaryDirectory(prefix="st") as place:  # names of sockets are short
        mark = f"{os.getpid()}-{tmp_path.name}"
        started: dict[tuple[int, str], str] = {}
        command = [str(Path(sys.executable).with_name("steiger")), "sim", "faults", str(tmp_path / "calm.toml")]
        laboratory = subprocess.Popen(
            [*command, "--runs", "8", "--jobs", str(jobs)],
            env=os.environ | {MARK: mark, "TMPDIR": place},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            words = ("micropython_run", "mosquitto.conf", "mosquitto_sub")

            def everything_runs() -> bool:
                started.update(tree(laboratory.pid))
                commands = [command for one, command in started.items() if lives(*one)]
                return all(sum(word in each for each in commands) >= jobs for word in words)

            wait_until(everything_runs, 120, "boards and broker of all runs")
            laboratory.send_signal(by)
            laboratory.wait(60)
            wait_until(
                lambda: not marked(mark) and not any(lives(*one) for one in started),
                60,
                "the end of all that it started",
            )
            assert not list(Path(place).glob("st-*")), "its folders"
        finally:
            for pid in [*marked(mark), *(pid for pid, start in started if lives(pid, start))]:
                os.kill(pid, signal.SIGKILL)
            laboratory.wait(20)
