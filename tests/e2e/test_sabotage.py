"""A record is taken away behind the code's back, at each hop of a running demo: the ledger stays open and names the hop."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forgetful import ForgetfulBroker
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.stage import read_flash, short_folder
from tests.waiting import wait_until
from tools.demo.stage import steiger_command
from tools.sim import control, image
from tools.sim.flash import Flash

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(170)]

_CUT_ENTRY = """
import os
def cut(name, wanted):
    with open(name, "rb") as f:
        data = f.read()
    at = 0
    while at + 6 <= len(data):
        head = data[at] | data[at + 1] << 8
        end = at + 6 + (head & 0xFFF)
        if head >> 12 == 2 and int.from_bytes(data[at + 2 : at + 6], "little") == wanted:
            with open(name, "wb") as f:
                f.write(data[:at] + data[end:])
            return 1
        at = end
    return 0
print(sum(cut("/outbox-%s/%s" % (LIFE, n), SEQ) for n in os.listdir("/outbox-" + LIFE)))
"""


class Demo:
    """`steiger demo` as somebody runs it; `folder` is where its things lie."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder / "1"  # runs are numbered
        self.summary = folder.parent / "s.json"
        self._out = folder.parent / "demo.out"
        with open(self._out, "wb") as out:
            self.process = subprocess.Popen(
                [*steiger_command(), "demo", "--dir", str(folder), "--summary", str(self.summary), *args],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.store = self.folder / "gateway" / "spool.db"

    @property
    def text(self) -> str:
        return self._out.read_text(errors="replace")

    def board(self, address: int, verb: str, **fields: Any) -> dict[str, Any]:
        return control.call(self.folder / f"node{address}.tty.ctl", verb, **fields)

    def sql(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.store, timeout=10)) as conn, conn:
            return conn.execute(sql, arguments).fetchall()

    def rows(self, node: int) -> list[tuple[Any, ...]]:
        """(pos, life row) of a node's records, the newest first."""
        assert self.process.poll() is None, self.text
        if not self.store.exists():
            return []
        try:
            return self.sql(
                "SELECT r.pos, r.life FROM records r JOIN lives l ON l.id = r.life WHERE l.node = ? AND r.kind = 0 "
                "ORDER BY r.pos DESC",
                node,
            )
        except sqlite3.Error:
            return []  # being made

    def end(self, timeout_s: float) -> tuple[int, dict[str, Any]]:
        code = self.process.wait(timeout_s)
        return code, json.loads(self.summary.read_text())

    def close(self) -> None:
        """Only what is left if a test failed; what it said is for pytest to show then."""
        print(self.text[-4000:])
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(120)
            except subprocess.TimeoutExpired:
                self.process.kill()


@pytest.fixture
def scene() -> Iterator[tuple[Path, Mosquitto, ExitStack]]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        (folder / "broker").mkdir()
        broker = Mosquitto(folder / "broker").start()
        stack.callback(broker.stop)
        yield folder, broker, stack


def take_from_flash(demo: Demo, address: int) -> None:
    """While the board is off, one sealed record that nobody has yet is cut out of its segment."""
    demo.board(address, "cable-cut")
    flash = demo.folder / f"node{address}.flash"
    known = {
        int(seq) for (seq,) in demo.sql("SELECT r.seq FROM records r JOIN lives l ON l.id = r.life WHERE l.node = 1")
    }

    def waiting() -> list[tuple[int, int]]:
        found = [(life, seq) for life, held in read_flash(flash).items() for seq in held.sealed if seq not in known]
        return sorted(found) if len(found) >= 2 else []

    life, seq = wait_until(waiting, 25, "two records wait in the flash")[0]  # type: ignore[index]
    demo.board(address, "power-cut")
    with tempfile.TemporaryDirectory(prefix="st-") as folder:
        copied = Path(folder) / "stolen.flash"
        shutil.copyfile(flash, copied)
        opened = Flash(copied)
        try:
            cut = image.execute(opened, f"LIFE = '{life:08x}'\nSEQ = {seq}\n{_CUT_ENTRY}")
        finally:
            opened.close()
        assert cut.strip() == "1"
        with open(flash, "r+b") as out:
            os.pwrite(out.fileno(), copied.read_bytes(), 0)
    demo.board(address, "power-on")
    demo.board(address, "cable-restore")


def take_after_ack(demo: Demo, address: int) -> None:
    """As if the acknowledgement had gone out and the row had never been written."""
    pos, life = demo.rows(address)[-1]
    with closing(sqlite3.connect(demo.store, timeout=10)) as conn, conn:
        conn.execute("DELETE FROM records WHERE pos = ?", (pos,))
        conn.execute("UPDATE lives SET stored = stored - 1 WHERE id = ?", (life,))


def take_from_spool(demo: Demo, address: int, broker: Mosquitto) -> None:
    """A row disappears before the sink, which does not listen at that time, was given it."""
    broker.freeze()
    before = len(demo.rows(address))
    rows = wait_until(lambda: len(found := demo.rows(address)) > before and found, 15, "a row that waits for the sink")
    demo.sql("DELETE FROM records WHERE pos = ?", rows[0][0])  # type: ignore[index]
    broker.thaw()


def test_the_demo_names_flash_acknowledgement_and_spool(scene: tuple[Path, Mosquitto, ExitStack]) -> None:
    folder, broker, stack = scene
    demo = Demo(folder / "d", "--seconds", "28", "--mqtt", f"mqtt://127.0.0.1:{broker.port}")
    stack.callback(demo.close)
    wait_until(lambda: all(demo.rows(node) for node in (1, 2, 3)), 60, "a first record of each node")
    take_from_flash(demo, 1)
    take_after_ack(demo, 2)
    take_from_spool(demo, 3, broker)
    code, result = demo.end(100)
    text = demo.text
    assert code != 0
    assert "Traceback" not in text
    for node, hop in ((1, "node flash"), (2, "after ack"), (3, "spool")):
        lines = [
            line for line in text.splitlines() if line.strip().startswith(f"node {node}:") and f"hop: {hop}" in line
        ]
        assert lines, f"node {node}: {hop}\n{text}"
    for node in ("1", "3"):
        ours = result["nodes"][node]
        assert ours["scheduled"] == ours["delivered"] + sum(ours["causes"].values()) + 1
    assert result["duplicates"] == 0


def test_the_demo_names_the_sink(scene: tuple[Path, Mosquitto, ExitStack]) -> None:
    folder, broker, stack = scene
    front = ForgetfulBroker(broker.port)
    stack.callback(front.close)
    demo = Demo(folder / "d", "--nodes", "1", "--seconds", "12", "--mqtt", f"mqtt://127.0.0.1:{front.port}")
    stack.callback(demo.close)
    wait_until(lambda: demo.rows(1), 60, "a first record")
    while not any(record["kind"] == "record" for batch in front.forgotten for record in json.loads(batch)["records"]):
        seen = len(front.forgotten)
        front.forget = 1
        wait_until(lambda before=seen: len(front.forgotten) > before, 20, "a message is confirmed and lost")
    code, result = demo.end(100)
    text = demo.text
    assert code != 0
    assert "hop: sink" in text
    assert result["nodes"]["1"]["delivered"] < result["nodes"]["1"]["scheduled"]


def test_the_demo_names_the_archive(scene: tuple[Path, Mosquitto, ExitStack]) -> None:
    """Without a broker the archive is the sink."""
    folder, _, stack = scene
    demo = Demo(folder / "d", "--nodes", "1", "--seconds", "12")
    stack.callback(demo.close)
    wait_until(lambda: len(demo.rows(1)) >= 2, 60, "two records")
    demo.sql("DELETE FROM records WHERE pos = ?", demo.rows(1)[0][0])
    code, result = demo.end(100)
    assert code != 0
    assert "hop: spool" in demo.text
    ours = result["nodes"]["1"]
    assert ours["scheduled"] == ours["delivered"] + sum(ours["causes"].values()) + 1
