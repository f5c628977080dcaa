"""A technician's day on a simulated board: provisioning under a running gateway and without one, and the monitor."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import load_keys
from tests.waiting import wait_until
from tools.demo.stage import GatewayProcess, NodeProcess, steiger_command
from tools.sim.interpreter import find

pytestmark = [pytest.mark.e2e, pytest.mark.mpremote, pytest.mark.timeout(180)]

WINDOW = ["--set", "window_s.0=5"]
needs_micropython = pytest.mark.skipif(not find().is_micropython, reason="no MicroPython on this machine")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def board(folder: Path) -> Iterator[NodeProcess]:
    node = NodeProcess(folder, 1, "air-v1", seed=5)
    node.start()
    node.wait_ready()
    yield node
    node.stop()


@pytest.fixture
def gateway(folder: Path, board: NodeProcess) -> Iterator[GatewayProcess]:
    process = GatewayProcess(folder, [board.port], None)
    process.start()
    wait_until(lambda: port_state(process) == "open", 20, f"the gateway holds the port (see {process.log_path})")
    yield process
    process.stop()


def port_state(gateway: GatewayProcess) -> str:
    if not (gateway.data_dir / "control.sock").exists():
        return ""
    return str(gateway.call("status")["links"][0]["state"])


def steiger(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*steiger_command(), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def monitor(*args: str | Path) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """What `steiger monitor --json` said in 12 s: two windows at least."""
    done = steiger("monitor", *args, "--seconds", "12", "--json")
    assert done.returncode == 0, done
    return [json.loads(line) for line in done.stdout.splitlines()], done


@needs_micropython
def test_a_held_port_is_lent_and_handed_back(board: NodeProcess, gateway: GatewayProcess) -> None:
    said = steiger("node", "provision", board.port, "--board", "air-v1", "--address", "7", *WINDOW)
    assert said.returncode == 0, said
    assert "lent by the gateway" in said.stderr
    assert "node 7 (air-v1)" in said.stdout
    assert "board answers, port handed back to the gateway" in said.stdout
    (life,) = load_keys(gateway.keys)
    assert (life.address, life.board) == (7, "air-v1")
    assert life.key.hex() not in said.stdout + said.stderr
    assert port_state(gateway) == "open"

    # a tap, with keys: values; the gateway goes on
    told, _ = monitor(board.port, "--keys", gateway.keys)
    records = [item for item in told if item.get("type") == "records"]
    assert records
    assert records[-1]["records"][0]["values"]["temperature"]["u"] == "Cel"
    assert {item["direction"] for item in told if item["kind"] == "frame"} == {"up", "down"}
    assert told[-1]["kind"] == "end"
    assert told[-1]["opened"] == {"good": told[-1]["frames"]}
    # the same without keys: counted, nothing shown
    told, _ = monitor(board.port)
    assert told[-1]["opened"]["no keys"] == told[-1]["frames"] > 0
    assert not any("records" in item for item in told)
    done = steiger("monitor", board.port, "--seconds", "1")
    assert "read-only tap" in done.stderr
    assert "no keys: frames are counted" in done.stderr

    # a second time, in German and as JSON: a new life, the old one ends; the firmware is there already
    began_s = int(time.time())
    args = ["--board", "air-v1", "--address", "7", *WINDOW, "--config", gateway.config]
    again = steiger("node", "provision", board.port, *args, "--lang", "de")
    assert again.returncode == 0, again
    assert "eingerichtet" in again.stdout
    assert "Anschluss an das Gateway zurückgegeben" in again.stdout
    assert "die Firmware ist schon da" in again.stderr
    old, new = load_keys(gateway.keys)
    assert old.until_s >= began_s
    assert (new.address, new.until_s) == (7, 0)
    third = steiger("node", "provision", board.port, *args, "--json")
    told_once = json.loads(third.stdout)
    assert (told_once["node"], told_once["answers"], told_once["handed_back"]) == (7, True, True)
    assert third.stderr == ""
    rows = [json.loads(line) for line in steiger("node", "list", "--keys", gateway.keys, "--json").stdout.splitlines()]
    assert [row["life"] for row in rows][-1] == told_once["life"]
    assert all("key" not in row for row in rows)


@needs_micropython
def test_without_a_gateway(board: NodeProcess, folder: Path) -> None:
    keys = folder / "mine.json"
    key_file = folder / "key"
    key_file.touch(0o600)
    key_file.write_text("000102030405060708090a0b0c0d0e0f\n")
    args = ["--board", "air-v1", "--address", "300", "--keys", keys, *WINDOW]
    said = steiger("node", "provision", board.port, *args, "--key-file", key_file, "--name", "Kortumstr. 12")
    assert said.returncode == 0, said
    assert "board answers" in said.stdout
    assert keys.stat().st_mode & 0o777 == 0o600
    assert load_keys(keys)[0].key == bytes(range(16))
    assert "000102030405" not in said.stdout + said.stderr
    assert "Kortumstr. 12" in steiger("node", "list", "--keys", keys).stdout
    # nobody answers the board, which the monitor explains: it says hello, less and less often, and keeps its records
    told, _ = monitor(board.port, "--keys", keys)
    hellos = [item for item in told if item.get("type") == "hello"]
    assert hellos, told
    advice = [item for item in told if item["kind"] == "advice"]
    assert [item["code"] for item in advice] == ["no_gateway"] * len(hellos)
    assert advice[-1]["n"] == hellos[-1]["next_seq"] - hellos[-1]["oldest_seq"]
    assert {item["life"] for item in hellos} == {f"{load_keys(keys)[0].life:08x}"}
    assert told[-1]["opened"] == {"good": told[-1]["frames"]}
    board.control({"do": "reset"})
    shown = steiger("monitor", board.port, "--keys", keys, "--seconds", "6", "--lang", "de")
    assert "hello" in shown.stdout
    assert "Rahmen" in shown.stderr


def test_a_board_on_shims_needs_micropython(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEIGER_MICROPYTHON", "none")
    node = NodeProcess(folder, 1, "air-v1", seed=5)
    node.start()
    try:
        node.wait_ready()
        assert "shims" in node.interpreter
        keys = folder / "k.json"
        done = steiger("node", "provision", node.port, "--board", "air-v1", "--address", "7", "--keys", keys)
        assert done.returncode == 3, done
        assert "needs MicroPython" in done.stderr
        assert str(node.port) in done.stderr
        assert not keys.exists()
    finally:
        node.stop()


@needs_micropython
def test_a_cable_that_is_pulled_at_the_switch(board: NodeProcess, folder: Path) -> None:
    """Whenever it happens, no key is lost, the message says what to do, and that helps."""
    keys = folder / "keys.json"
    command = [
        "node",
        "provision",
        str(board.port),
        "--board",
        "air-v1",
        "--address",
        "7",
        "--keys",
        str(keys),
        *WINDOW,
    ]
    first = subprocess.Popen([*steiger_command(), *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stderr is not None
    told = ""
    while "writing settings and key" not in told:
        line = first.stderr.readline()
        assert line, told
        told += line
    wait_until(lambda: keys.exists(), 60, "the key is in the file")
    board.control({"do": "cable-cut"})
    told += first.communicate(timeout=120)[1]
    assert first.returncode == 3, told
    assert "Traceback" not in told
    # On a machine that was slow to pull it, the board has its settings already.
    assert "run the same command again" in told or "took its settings" in told
    assert "steiger monitor" in told
    (life,) = load_keys(keys)
    assert life.until_s == 0
    assert life.key.hex() not in told
    board.control({"do": "cable-restore"})
    again = steiger(*command)
    assert again.returncode == 0, again
    assert "board answers" in again.stdout
    lives = [entry for entry in load_keys(keys) if not entry.void]
    # The last one is the board's; were there another, it would have to be one that the board holds as well.
    assert f"life {lives[-1].life:08x}" in again.stdout
    assert lives[0].life in (life.life, lives[-1].life)


ROOT = Path(__file__).resolve().parents[2]


def shape(line: str, port: str) -> str:
    """A line without its values: what a page quotes and what a run prints are to be alike."""
    line = line.replace(port, "PORT").replace("home", "ID").replace("demo", "ID")
    line = re.sub(r"  coverage \d+ %| \(pid \d+\)", "", line)
    line = re.sub(r"\b[0-9a-f]{8}\b", "H", line)
    return " ".join(re.sub(r"[-\d.:,]*\d", "N", line.replace("records stay", "record stays")).split())


@needs_micropython
def test_what_the_pages_show_is_what_a_board_shows(folder: Path) -> None:
    quoted = []
    for page in ("README.md", "docs/field-guide.md"):
        for block in re.findall(r"```text\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
            quoted += [shape(line, "/dev/ttyUSB0") for line in block.splitlines() if line.strip()]
    assert len(quoted) > 10
    board = NodeProcess(folder, 1, "bme280-v1", seed=3)
    gateway = GatewayProcess(folder, [board.port], None)
    seen: list[str] = []
    try:
        board.start()
        board.wait_ready()
        args = ["--board", "bme280-v1", "--address", "1", "--config", gateway.config, *WINDOW]
        for done in (
            steiger("node", "provision", board.port, *args),
            steiger("monitor", board.port, "--keys", gateway.keys, "--seconds", "8"),
        ):
            assert done.returncode == 0, done
            seen += (done.stdout + done.stderr).splitlines()
        gateway.start()
        wait_until(lambda: port_state(gateway) == "open", 20, f"the gateway holds the port (see {gateway.log_path})")
        command = [*steiger_command(), "monitor", str(board.port), "--keys", str(gateway.keys), "--seconds", "25"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tap:
            assert tap.stderr is not None
            seen.append(tap.stderr.readline())
            assert "read-only tap" in seen[-1]
            board.control({"do": "reset"})  # the tap sees its greeting, and the answer
            seen += "".join(tap.communicate(timeout=60)).splitlines()
    finally:
        gateway.stop()
        board.stop()
    seen += gateway.log_path.read_text().splitlines()
    shapes = {shape(line, str(board.port)) for line in seen}
    for line in quoted:
        begin = line.removesuffix("…").rstrip()
        assert line in shapes or (begin != line and any(one.startswith(begin) for one in shapes)), (
            line,
            sorted(shapes),
        )
