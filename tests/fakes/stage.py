"""A street for tests of the whole path: boards, gateway, broker and consumer as processes, and sums that others make.

What was scheduled is counted by the world, what was sealed by an independent reader of the flash images, what was
delivered by the reference consumer or by plain SQL. The gateway's ledger only gives causes and pending.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from boards import load_board
from gateway import keys as key_file
from gateway.errors import GatewayError
from tests.fakes.mosquitto import Mosquitto
from tests.waiting import wait_until
from tools import provision
from tools.demo import account
from tools.demo.stage import GatewayProcess, NodeProcess
from tools.faults.outbox_reader import Contents, read_flash
from tools.sim import image
from tools.sim.flash import Flash

CONSUMER = Path(__file__).resolve().parents[2] / "docs" / "examples" / "consumer.py"
CLOSE_IN_S = 3  # the boards must know the end of their grid before it comes
SETTLED_S = 6.0  # a sum that does not close and has not changed for so long will not


class StreetNode(NodeProcess):
    """A board of the street. `sealed`: every record that was ever found in its flash, (life, seq)."""

    def __init__(self, folder: Path, address: int, board: str, seed: int) -> None:
        super().__init__(folder, address, board, seed)
        self.sealed: set[tuple[int, int]] = set()
        self.overwritten: set[tuple[int, int]] = set()

    def look_into_flash(self) -> dict[int, Contents]:
        """The outboxes as a power cut at this instant would leave them; remembered in `sealed`."""
        with tempfile.TemporaryDirectory(prefix="st-") as folder:
            copy = Path(folder) / "seen.flash"
            if self.running:
                assert self._process is not None
                self._process.send_signal(signal.SIGSTOP)
                try:
                    shutil.copyfile(self.flash, copy)
                finally:
                    self._process.send_signal(signal.SIGCONT)
            else:
                shutil.copyfile(self.flash, copy)
            found = read_flash(copy)
        for life, contents in found.items():
            self.sealed |= {(life, seq) for seq in contents.sealed}
            for first, count, cause in contents.gaps:
                if cause == 4:  # overwritten, a cause of its own
                    self.overwritten |= {(life, seq) for seq in range(first, first + count)}
        return found

    def edit_flash(self, code: str) -> str:
        """Run a snippet on the flash while the board is off."""
        assert not self.running
        opened = Flash(self.flash)
        try:
            return image.execute(opened, code)
        finally:
            opened.close()

    def restart(self) -> None:
        self.start()
        self.wait_ready()

    def noise(self, **rates: Any) -> None:
        """Line damage, see tools/sim/line.py; without rates none."""
        answer = self.control({"do": "noise", "seed": self.address, **rates})
        assert answer["ok"], answer

    def noise_seen(self) -> list[tuple[int, int]]:
        """(bytes hit, bytes that passed) for each direction since `noise`."""
        return [tuple(pair) for pair in self.control({"do": "stats"})["noise"] if pair]


class Consumer:
    """The reference consumer of docs/mqtt.md as a process, on a session that the broker keeps."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.db = folder / "consumer.db"
        self._log = folder / "consumer.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(CONSUMER), "127.0.0.1", str(broker.port), str(self.db)], stdout=log, stderr=log
            )
        wait_until(lambda: b"subscribed" in self._log.read_bytes(), 20, "the consumer has subscribed")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as conn:
            return conn.execute(sql).fetchall()

    def seen(self) -> account.Seen:
        """Distinct windows by node, and repeats."""
        counter = account.MessageCounter()
        for (body,) in self.rows("SELECT body FROM records"):
            counter.add(b'{"records":[' + body.encode() + b"]}")
        redelivered, changed = self.rows(
            "SELECT coalesce(sum(redelivered), 0), coalesce(sum(changed), 0) FROM records"
        )[0]
        seen = counter.seen()
        return account.Seen(seen.delivered, seen.ids, seen.duplicates + changed, redelivered)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)


class Street:
    """`boards`: one for each address from 1. Windows of `window_s`; with `broker`, MQTT and a consumer beside it."""

    def __init__(
        self, folder: Path, boards: Sequence[str], *, window_s: int = 1, broker: Mosquitto | None = None,
        mqtt_lines: str = "batch_records = 20\nbackoff_max_s = 2\n", **values: int,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.window_s = window_s
        self.values = {"window_s.0": window_s, "health_s": 30, "log_level": 2, **values}
        self.nodes = [StreetNode(folder, n + 1, board, n + 1) for n, board in enumerate(boards)]
        self.gateway = GatewayProcess(
            folder, [node.port for node in self.nodes], f"mqtt://127.0.0.1:{broker.port}" if broker else None
        )
        if broker:
            self.gateway.config.write_text(self.gateway.config.read_text() + mqtt_lines)
        self.sink = "mqtt" if broker else "archive"
        self.consumer = Consumer(folder, broker) if broker else None

    # --- Running -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        for node in self.nodes:
            self.provision(node)
        self.gateway.start()

    def provision(self, node: StreetNode) -> int:
        """A fresh life, quickly: the snippet of provisioning runs on the flash between two boots. Its number."""
        return provision.provision_shims(
            node.control, load_board(node.board), node.address,
            keys=self.gateway.keys, now_s=lambda: int(time.time()), values=self.values,
        ).life  # fmt: skip

    def restart_gateway(self) -> None:
        """SIGKILL and start."""
        self.gateway.kill(0.0)
        self.gateway.start()

    def close(self) -> None:
        for node in self.nodes:
            node.stop()
        self.gateway.stop()
        if self.consumer is not None:
            self.consumer.stop()

    # --- Looking -----------------------------------------------------------------------------------------------------

    def archive(self) -> account.Seen:
        """By plain SQL; empty before there is a file."""
        try:
            return account.archive_seen(self.gateway.store)
        except sqlite3.Error:
            return account.Seen({}, set(), 0, 0)

    def delivered(self) -> account.Seen:
        return self.archive() if self.consumer is None else self.consumer.seen()

    def wait_delivered(self, more: int, timeout_s: float = 30.0) -> None:
        """Until each node has delivered so many windows more than now."""
        before = self.delivered().delivered
        wait_until(
            lambda: all(
                self.delivered().delivered.get(node.address, 0) >= before.get(node.address, 0) + more
                for node in self.nodes
            ),
            timeout_s, f"{more} more windows of each node",
        )  # fmt: skip

    def wait_sealed(self, node: StreetNode, count: int, timeout_s: float = 30.0) -> int:
        """Until so many undelivered records lie in a node's flash (there is nobody to take them); how many there are."""

        def enough() -> int:
            confirmed = self.delivered().ids
            waiting = sum(
                f"{node.address}-{life:08x}-{seq}" not in confirmed
                for life, contents in node.look_into_flash().items()
                for seq in contents.sealed
            )
            return waiting if waiting >= count else 0

        return int(wait_until(enough, timeout_s, f"{count} records wait in the flash of {node.name}"))  # type: ignore[call-overload]

    def ledger(self) -> dict[str, Any]:
        """The summary for the sink; empty while the gateway does not answer."""
        try:
            answer: dict[str, Any] = self.gateway.call("ledger", sink=self.sink, lines=False)["summary"]
        except (GatewayError, OSError):
            return {"nodes": {}}
        return answer

    # --- The sum -----------------------------------------------------------------------------------------------------

    def end_grids(self) -> int:
        """Say to boards and key file when the last window ends; that second."""
        for node in self.nodes:
            if not node.running:
                node.restart()
        if not self.gateway.running:
            self.gateway.start()
        begun_ms = time.time() * 1000
        wait_until(lambda: self.heard_since(begun_ms), 40, "each node was heard")
        close_in_s = CLOSE_IN_S
        while True:
            until_s = int(time.time()) + close_in_s
            for node in self.nodes:
                self.gateway.call("set-setting", node=node.address, name="grid_until_s", instance=0, value=until_s)
            if time.time() < until_s:
                break
            close_in_s *= 2  # heard too late: all go on until a later second
        for node in self.nodes:
            key_file.end_life(self.gateway.keys, node.address, until_s)
        self.gateway.call("reload-keys")
        return until_s

    def heard_since(self, begun_ms: float) -> bool:
        try:
            status = self.gateway.call("status")
        except (GatewayError, OSError):
            return False
        heard = [
            int(node["node"])
            for node in status["nodes"]  # one entry for each life
            if node["age_s"] is not None and status["now_ms"] - node["age_s"] * 1000 > begun_ms
        ]
        return {node.address for node in self.nodes} <= set(heard)

    def sum_up(self, timeout_s: float = 60.0) -> tuple[dict[str, Any], list[str]]:
        """End the grids, drain, add up: (result, what does not hold). Ends early when nothing changes any more."""
        until_s = self.end_grids()
        world = account.scheduled(self.gateway.keys, {}, self.window_s)
        deadline = time.monotonic() + timeout_s
        last: Any = None
        since = 0.0

        def settled() -> tuple[dict[str, Any], list[str]] | None:
            nonlocal last, since
            if time.time() <= until_s:
                return None
            ledger = self.ledger()
            result = account.summary(world, self.delivered(), ledger)
            problems = account.faults(result, ledger)
            now = time.monotonic()
            if last != problems:
                last, since = problems, now
            if not ledger["nodes"]:
                return None
            if not problems or now - since > SETTLED_S or now > deadline:
                return result, problems
            return None

        found = wait_until(settled, timeout_s + 10, "the ledger answers")
        assert isinstance(found, tuple)
        return found

    def lost(self) -> set[str]:
        """Ids that lay sealed in a flash, that the sink never confirmed, and that have no cause."""
        confirmed = self.delivered().ids
        return {
            f"{node.address}-{life:08x}-{seq}"
            for node in self.nodes
            for life, seq in node.sealed - node.overwritten
            if f"{node.address}-{life:08x}-{seq}" not in confirmed
        }

    def assert_nothing_lost(self, redelivered_at_most: int = 0) -> dict[str, Any]:
        """The whole promise: 0 lost, 0 duplicates, the sum closes; the result, for printing."""
        began = time.monotonic()
        result, problems = self.sum_up()
        for node in self.nodes:
            node.look_into_flash()
        text = f"{result}\n{problems}"
        assert not self.lost(), f"lost: {sorted(self.lost())[:10]}\n{text}"
        assert result["duplicates"] == 0, text
        assert not problems, text
        assert result["pending"] == 0, text
        assert result["scheduled"] == result["delivered"] + sum(result["causes"].values()), text
        for node in self.nodes:  # what the node counted by itself is the same again
            ours = result["nodes"][str(node.address)]
            assert ours["scheduled"] == ours["delivered"] + sum(ours["causes"].values()), text
        assert self.archive().duplicates == 0, text
        assert result["redelivered"] <= redelivered_at_most, text
        print(
            f"scheduled {result['scheduled']}, delivered {result['delivered']}, causes {result['causes']}, "
            f"redelivered {result['redelivered']}, seen sealed {sum(len(n.sealed) for n in self.nodes)}, "
            f"closed and drained in {time.monotonic() - began:.1f} s"
        )
        return result


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a name short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def running(street: Street) -> Callable[[], bool]:
    """Whether the gateway answers."""
    return lambda: bool(street.ledger()["nodes"])
