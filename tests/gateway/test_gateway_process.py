"""The gateway as a process, with fake nodes on pseudo-terminals: killed in the middle, stopped in order, asked by socket."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import control
from gateway.keys import Life, add_life
from gateway.store import Reader
from tests.fakes.node import FakeNode, PtyNode, key_of
from tests.waiting import wait_until
from wire import settings_radio

PROVISIONED_S = 1_790_000_040
W0 = PROVISIONED_S // 60


class Process:
    def __init__(self, folder: Path, ports: list[Path]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.spool = self.data / "spool.db"
        self.config = folder / "gateway.toml"
        lines = ["[gateway]", 'id = "gw-test"', "number = 1", f'data_dir = "{self.data}"', 'keys = "keys.json"']
        for port in ports:
            lines += ["[[serial]]", f'port = "{port}"']
        self.config.write_text("\n".join(lines) + "\n")
        self.popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        code = "import sys; from tools.commands.gateway_run import main; sys.exit(main(sys.argv[1:]))"
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code, "--config", str(self.config)], stderr=(self.folder / "log").open("ab")
        )

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.popen is not None
        self.popen.send_signal(number)
        return self.popen.wait(20)

    def ask(self, do: str, **fields: Any) -> Any:
        return control.call(self.data, do, **fields)

    def answers(self) -> bool:
        try:
            self.ask("status")
        except control.ControlError:
            return False
        return True


@pytest.fixture
def setup(tmp_path: Path) -> Any:
    nodes = []
    ports = []
    for address in (7, 8):
        node = FakeNode(address, key_of(address), seed=address)
        add_life(
            tmp_path / "keys.json",
            Life(
                address=address,
                key=node.key,
                board="air-v1",
                provisioned_s=PROVISIONED_S,
                profiles=(node.profile.encode().hex(),),
            ),
        )
        ports.append(tmp_path / f"port-{address}")
        nodes.append(PtyNode(node, ports[-1]))
    process = Process(tmp_path, ports)
    yield process, nodes
    for node in nodes:
        if not node.stopping.is_set():
            node.stop()
    if process.popen is not None and process.popen.poll() is None:
        process.kill()


def seal(node: PtyNode, count: int) -> None:
    with node.lock:
        for _ in range(count):
            node.node.seal(W0 + len(node.node.sealed))


@pytest.mark.slow
def test_killed_again_and_again_what_was_acknowledged_is_there_once(setup: Any) -> None:
    process, nodes = setup
    chance = random.Random(11)
    for node in nodes:
        node.RESEND_S = 0.05
        node.node.faults.lose_down = 0.1
        node.node.faults.repeat_up = 0.1
        node.start()
    for _ in range(5):
        process.start()
        wait_until(process.answers, 20, "the gateway answers")
        for node in nodes:
            seal(node, 150)
        goal = len(nodes[0].node.sealed) - chance.randrange(20, 140)
        wait_until(
            lambda goal=goal: len(nodes[0].node.sealed) - len(nodes[0].node.outbox) >= goal or not nodes[0].node.outbox,
            20,
            "some of it is acknowledged",
        )
        process.kill()
        with nodes[0].lock, nodes[1].lock:
            acknowledged = {
                node.node.id_of(seq) for node in nodes for seq in node.node.sealed if seq not in node.node.outbox
            }
        stored = read_ids(process.spool)
        lost = acknowledged - set(stored)
        assert not lost, f"acknowledged and not stored: {sorted(lost)}"
        assert len(stored) == len(set(stored))
    process.start()
    wait_until(process.answers, 20, "the gateway answers")
    wait_until(lambda: not any(node.node.outbox for node in nodes), 30, "all is acknowledged")
    assert process.kill(signal.SIGTERM) == 0
    stored = read_ids(process.spool)
    assert sorted(stored) == sorted(node.node.id_of(seq) for node in nodes for seq in node.node.sealed)


def read_ids(path: Path) -> list[str]:
    with Reader(path) as reader:
        return list(reader.ids())


def test_verbs_of_the_control_socket(setup: Any) -> None:
    process, nodes = setup
    for node in nodes:
        node.start()
    process.start()
    wait_until(process.answers, 20, "the gateway answers")
    seal(nodes[0], 10)
    wait_until(lambda: nodes[0].node.sealed and not nodes[0].node.outbox, 20, "acknowledged")

    status = process.ask("status")
    assert {node["node"] for node in status["nodes"]} == {7, 8}
    assert [link["state"] for link in status["links"]] == ["open", "open"]
    assert status["spool"]["records_stored"] == 10

    ledger = process.ask("ledger", node=7)
    assert ledger["closed"], ledger["findings"]
    assert ledger["summary"]["delivered"] == 10
    assert [life["node"] for life in ledger["lives"]] == [7]

    answer = process.ask("set-setting", node=7, name="window_s.0", value=30, timeout_s=10)
    assert (
        answer == {"name": "window_s", "instance": 0, "value": 30, "ok": True} | {"do": answer.get("do")}
        or answer["ok"]
    )
    assert nodes[0].node.settings == {(1, 0): 30}
    nodes[0].node.without = {row[0] for row in settings_radio.ROWS}
    answer = process.ask("set-setting", node=7, name="lora_spread_s", value=240, timeout_s=10)
    assert (answer["ok"], nodes[0].node.settings) == (False, {(1, 0): 30}), "a board without a radio says so at once"
    assert process.ask("command", node=7, command="identify", arg=2, timeout_s=10)["result"] == "done"
    with pytest.raises(Exception, match="out of range"):
        process.ask("set-setting", node=7, name="window_s.0", value=0)
    with pytest.raises(Exception, match="no such node"):
        process.ask("command", node=99, command="identify")

    port = str(process.folder / "port-7")
    process.ask("release", port=port)
    assert [link["state"] for link in process.ask("status")["links"] if link["port"] == port] == ["released"]
    seal(nodes[0], 5)
    process.ask("resume", port=port)
    wait_until(lambda: not nodes[0].node.outbox, 20, "acknowledged after the port came back")
    assert "steiger_records_stored_total 15.0" in process.ask("metrics")["text"]
    assert process.ask("drain", timeout_s=5)["drained"] is True

    chunks = control.stream(process.data, "tap", port=port)
    seal(nodes[0], 1)
    directions = set()
    for chunk in chunks:
        directions.add(chunk["dir"])
        assert bytes.fromhex(chunk["hex"])
        if directions == {"up", "down"}:
            break
    chunks.close()
    assert process.kill(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_life_entered_while_it_runs_is_heard(setup: Any) -> None:
    process, nodes = setup
    old = nodes[0]
    old.start()
    process.start()
    wait_until(process.answers, 20, "the gateway answers")
    seal(old, 5)
    wait_until(lambda: old.node.sealed and not old.node.outbox, 20, "acknowledged")
    old.stop()
    new = PtyNode(FakeNode(7, key_of(7, 1)), old.path)
    cut_s = PROVISIONED_S + 600
    add_life(
        process.folder / "keys.json",
        Life(address=7, key=new.node.key, provisioned_s=cut_s, profiles=(new.node.profile.encode().hex(),)),
    )
    for i in range(3):
        new.node.seal(cut_s // 60 + i)
    new.start()
    try:
        wait_until(lambda: not new.node.outbox, 20, "the new life is acknowledged")
    finally:
        new.stop()
    assert process.kill(signal.SIGTERM) == 0
    assert len(set(read_ids(process.spool))) == 8


def test_a_second_gateway_on_the_directory_is_refused(setup: Any) -> None:
    process, _ = setup
    process.start()
    wait_until(process.answers, 20, "the gateway answers")
    second = Process(process.folder, [])
    second.start()
    assert second.popen is not None
    assert second.popen.wait(20) != 0
    assert process.answers()


def test_the_process_is_small(setup: Any) -> None:
    process, nodes = setup
    nodes[0].start()
    process.start()
    wait_until(process.answers, 20, "the gateway answers")
    seal(nodes[0], 500)
    wait_until(lambda: not nodes[0].node.outbox, 30, "acknowledged")
    with open(f"/proc/{process.popen.pid}/status") as file:
        rss_kb = int(next(line for line in file if line.startswith("VmRSS")).split()[1])
    assert rss_kb <= 48 * 1024
    assert os.stat(process.spool).st_mode & 0o077 == 0, "readable by its owner alone"
