"""The system calls of a real gateway on a real terminal: the sync of what holds a record has returned before the record's
acknowledgement is written to the port."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import control
from gateway.keys import Life, add_life
from gateway.store.rows import pack_values
from tests.fakes import syscall_trace
from tests.fakes.node import FakeNode, PtyNode
from tests.waiting import wait_until
from wire import messages
from wire.frame import SERIAL, open_downlink
from wire.stream import Parser

CI = os.environ.get("CI") == "true"
pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None and not CI, reason="needs strace (Debian)"),
    pytest.mark.slow,
]

PROVISIONED_S = 1_790_000_040
ALONE, TOGETHER = 10, 120  # records that wait for their acknowledgement one by one; then many at once
START = "import sys; from tools.commands.gateway_run import main; sys.exit(main(sys.argv[1:]))"
# The same gateway without a sync at each commit: what the test must be able to see.
UNSYNCED = """
from gateway.store import spool
true_connect = spool.connect
def connect(path, *options):
    conn = true_connect(path, *options)
    conn.execute("PRAGMA synchronous=NORMAL")
    return conn
spool.connect = connect
"""


class Story(NamedTuple):
    """What the trace showed. `late`: seqs acknowledged before the sync that covers them had returned."""

    acknowledged: list[int]
    late: list[int]
    synced_directories: set[str]  # before the first acknowledgement
    data_dir: Path


def run(folder: Path, prelude: str = "") -> Story:
    """Let a traced gateway receive records from a node on a pty, and read its trace."""
    folder = folder.resolve()
    data_dir = folder / "new" / "data"
    node = FakeNode(7)
    life = Life(address=7, key=node.key, provisioned_s=PROVISIONED_S, profiles=(node.profile.encode().hex(),))
    add_life(folder / "keys.json", life)
    port = PtyNode(node, folder / "port")
    port.RESEND_S = 5.0  # nothing is sent twice while we wait for an answer
    config = folder / "gateway.toml"
    config.write_text(
        f'[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "{data_dir}"\nkeys = "keys.json"\n[[serial]]\nport = "{port.path}"\n'
    )
    trace = folder / "trace"
    looked_at = [port.path.resolve(), data_dir / "spool.db", data_dir / "spool.db-wal"]
    looked_at += [data_dir, data_dir.parent, folder]
    words = syscall_trace.command(trace, looked_at)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, sys.executable, "-c", prelude + START, "--config", str(config)], stderr=log, stdout=log
        )
        try:
            wait_until(lambda: _answers(data_dir) or process.poll() is not None, 60, "the gateway answers")
            assert process.poll() is None, (folder / "log").read_text()
            values = _converse(port)
            os.kill(int((data_dir / control.LOCK_NAME).read_text()), signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            port.stop()
            if process.poll() is None:
                process.kill()
                process.wait(20)
    return _read(trace, node, values, data_dir)


def _answers(data_dir: Path) -> bool:
    try:
        control.call(data_dir, "status")
    except control.ControlError:
        return False
    return True


def _converse(port: PtyNode) -> dict[int, bytes]:
    """Records whose values occur nowhere else, as they lie in the database, by seq."""
    chance = random.Random(5)
    stored = {}

    def seal(count: int) -> None:
        with port.lock:
            for _ in range(count):
                values = tuple(chance.randrange(-200, 900) for _ in port.node.profile.items)
                seq = port.node.seal(PROVISIONED_S // 60 + len(port.node.sealed), values)
                stored[seq] = pack_values(values, None)
            port.node.send_outbox()

    port.start()
    wait_until(lambda: port.node.downlinks, 30, "an answer to the hello")
    for _ in range(ALONE):
        seal(1)
        wait_until(lambda: not port.node.outbox, 60, "acknowledged")
    for _ in range(4):
        seal(TOGETHER // 4)
    wait_until(lambda: not port.node.outbox, 60, "acknowledged")
    return stored


def _read(trace: Path, node: FakeNode, stored: dict[int, bytes], data_dir: Path) -> Story:
    written: dict[int, int] = {}  # seq -> when the write to the WAL that holds it had returned
    synced: dict[int, int] = {}  # seq -> when the first sync that began afterwards had returned
    parser = Parser()
    acknowledged: list[int] = []
    late: list[int] = []
    directories = set()
    for call in syscall_trace.calls(trace):
        if call.name in ("fsync", "fdatasync"):
            if call.path.endswith("spool.db-wal"):
                for seq, at in written.items():
                    if call.began > at and call.result == 0:
                        synced.setdefault(seq, call.returned)
            elif not acknowledged:
                directories.add(call.path)
        elif call.path.endswith("spool.db-wal") and call.name.startswith("pwrite"):
            for seq, data in stored.items():
                if seq not in written and data in call.data:
                    written[seq] = call.returned
        elif "/pts/" in call.path and call.name.startswith("write"):
            for what, frame in parser.feed(call.data[: call.result]):
                for seq in _acknowledges(node, frame) if what == "frame" else []:
                    if seq in stored and seq not in acknowledged:
                        acknowledged.append(seq)
                        if synced.get(seq, call.began) >= call.began:
                            late.append(seq)
    return Story(acknowledged, late, directories, data_dir)


def _acknowledges(node: FakeNode, frame: bytes) -> list[int]:
    """Seqs that a downlink frame acknowledges."""
    downlink = open_downlink(node.keys, SERIAL, frame, list(range(node.counter)), node.address)
    if isinstance(downlink, str):
        return []
    message = messages.decode(downlink.type, downlink.payload)
    if not isinstance(message, messages.Ack | messages.AckTime):
        return []
    window = [message.base + bit for bit in range(64) if message.bits >> bit & 1]
    return [*range(message.cum), *window]


def test_each_acknowledgement_leaves_after_the_sync_of_what_it_acknowledges(tmp_path: Path) -> None:
    story = run(tmp_path)
    assert sorted(story.acknowledged) == list(range(ALONE + TOGETHER)), "the trace shows all of it"
    assert story.late == []


def test_the_names_of_a_new_data_directory_are_synced_before_anything_is_acknowledged(tmp_path: Path) -> None:
    story = run(tmp_path)
    wanted = {str(story.data_dir), str(story.data_dir.parent), str(story.data_dir.parent.parent)}
    assert wanted <= story.synced_directories


def test_the_trace_would_show_an_acknowledgement_without_a_sync(tmp_path: Path) -> None:
    story = run(tmp_path, UNSYNCED)
    assert len(story.acknowledged) == ALONE + TOGETHER
    assert len(story.late) >= ALONE
