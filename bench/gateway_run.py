"""One run of the whole gateway: a load on pseudo-terminals, `steiger gateway run` as it is shipped, a real broker.

Everything that was sent is read back, from the archive and from the subscriber, and compared value by value.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import series
from bench.broker import QuietBroker, Subscriber
from bench.streets import Street
from bench.watch import Used, used
from gateway import control
from gateway.keys import Life, add_life
from gateway.models import RECORD
from gateway.store import Reader
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
STEIGER = Path(sys.executable).parent / "steiger"
TOPIC = "steiger/v1/+/records"
LOOK_S = 0.25  # how often the gateway is asked: each answer costs it some milliseconds
LAST_BATCH_S = 1.5  # an even load's last records wait for company before they go out: not asked before


class Pace(NamedTuple):
    """A stretch of even load."""

    rate: int  # records a second, of all nodes together
    records: int  # of each node


class Phase(NamedTuple):
    """What a stretch of load needed, until its last record was confirmed by the broker."""

    load: dict[str, Any]  # what the load generator says
    used_to_store: Used  # by the gateway, until the last acknowledgement
    used: Used  # by the gateway, until the last confirmation
    seconds: float
    messages: int  # MQTT
    commits: int


class Run(NamedTuple):
    """Of one gateway process, from its start to its orderly stop."""

    nodes: int
    bursts: list[Phase]
    paced: list[Phase]
    total: Used
    started: Used  # what it took to start
    status: dict[str, Any]
    stored: int  # records of the archive, each equal to what was sent
    published: int  # records that the subscriber has, each equal to what was sent
    redelivered: int
    file_bytes: int


@contextmanager
def folder() -> Iterator[Path]:
    """On the disk of the repository, not in memory: syncs have to cost what they cost."""
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="gateway-", dir=base))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Generator:
    """bench/load.py as a process."""

    def __init__(self, nodes: int, records: int, start_s: int) -> None:
        command = [sys.executable, str(ROOT / "bench" / "load.py"), str(nodes), str(records), str(start_s)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports: list[str] = self._answer()["ports"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def do(self, what: str, **order: float) -> dict[str, Any]:
        """Give an order and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if answer["refused"]:
            raise RuntimeError(f"nodes refused downlinks: {answer['refused']}")
        return answer

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


class Process:
    """`steiger gateway run` with the default configuration, an MQTT sink and one port a node."""

    def __init__(self, place: Path, streets: list[Street], ports: list[str], broker_port: int) -> None:
        self.data = place / "data"
        self.config = place / "gateway.toml"
        self._log = place / "gateway.log"
        lines = ["[gateway]", 'id = "gw-bench"', "number = 1", f'data_dir = "{self.data}"']
        lines += ["[mqtt]", f'url = "mqtt://127.0.0.1:{broker_port}"']
        for port in ports:
            lines += ["[[serial]]", f'port = "{port}"']
        self.config.write_text("\n".join(lines) + "\n")
        for street in streets:
            descriptor = street.profile.encode().hex()
            life = Life(
                address=street.address,
                key=street.key,
                board="bench",
                provisioned_s=street.start_s,
                profiles=(descriptor,),
            )
            add_life(place / "keys.json", life)
        command = [str(STEIGER), "gateway", "run", "--config", str(self.config)]
        self._process = subprocess.Popen(command, stderr=self._log.open("wb"))
        wait_until(self._ready, 60, "the gateway has opened its ports and reached the broker")

    @property
    def pid(self) -> int:
        """Of the one process."""
        return self._process.pid

    def status(self) -> Any:
        """As `steiger gateway status --json` tells it."""
        return control.call(self.data, "status")

    def _ready(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the gateway ended: {self._log.read_text()[-2000:]}")
        try:
            status = self.status()
        except control.NotRunning:
            return False
        return all(link["state"] == "open" for link in status["links"]) and status["sinks"][0]["state"] == "connected"

    def drained(self, records: int, *, even: bool = False) -> Any:
        """The status once the broker has confirmed `records` since the start."""
        if even:
            time.sleep(LAST_BATCH_S)
        deadline_s = time.monotonic() + 300
        while (status := self.status())["sinks"][0]["confirmed_records"] < records:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the broker has not confirmed everything: {status['sinks']}")
            time.sleep(LOOK_S)
        return status

    def stop(self) -> None:
        """In order; raises when it does not end so."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60):
            raise RuntimeError(f"the gateway failed: {self._log.read_text()[-2000:]}")

    def close(self) -> None:
        """Whatever happened."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(20)


def go(nodes: int, records: int, bursts: int, paces: list[Pace]) -> Run:
    """`records` of each node at once, `bursts` times, then the paces.

    RuntimeError if anything sent is not there, or is not the same.
    """
    total = bursts * records + sum(pace.records for pace in paces)
    start_s = int(time.time()) // series.WINDOW_S * series.WINDOW_S - total * series.WINDOW_S
    streets = [Street(address, start_s) for address in range(1, nodes + 1)]
    with folder() as place, ExitStack() as stack:
        broker = QuietBroker(place).start()
        stack.callback(broker.kill)
        subscriber = Subscriber(broker.port, TOPIC, place / "received.jsonl")
        stack.callback(subscriber.close)
        generator = Generator(nodes, total, start_s)
        stack.callback(generator.close)
        process = Process(place, streets, generator.ports, broker.port)
        stack.callback(process.close)
        generator.do("hello")
        started = used(process.pid)
        sent = [_phase(process, lambda: generator.do("send", records=records)) for _ in range(bursts)]
        paced = [
            _phase(process, lambda pace=pace: generator.do("pace", rate=pace.rate, records=pace.records))
            for pace in paces
        ]
        status, totals = process.status(), used(process.pid)
        process.stop()
        size = (process.data / "spool.db").stat().st_size
        stored = _compare_archive(process.data / "spool.db", streets, total)
        wait_until(lambda: _settled(subscriber), 60, "the subscriber has everything")
        published, redelivered = _compare_messages(subscriber, streets, total)
    return Run(nodes, sent, paced, totals, started, status, stored, published, redelivered, size)


def _phase(process: Process, load: Any) -> Phase:
    status, before = process.status(), used(process.pid)
    began_s = time.monotonic()
    said = load()
    stored = used(process.pid).since(before)
    ended = process.drained(status["sinks"][0]["confirmed_records"] + said["records"], even="p99_ms" in said)
    seconds = time.monotonic() - began_s
    return Phase(
        said,
        stored,
        used(process.pid).since(before),
        seconds,
        ended["sinks"][0]["confirmed_batches"] - status["sinks"][0]["confirmed_batches"],
        ended["spool"]["commits"] - status["spool"]["commits"],
    )


def _settled(subscriber: Subscriber) -> bool:
    size = subscriber.size()
    time.sleep(LOOK_S)
    return subscriber.size() == size


def _compare_archive(path: Path, streets: list[Street], total: int) -> int:
    by_node = {street.address: street for street in streets}
    seen: set[tuple[int, int]] = set()
    with Reader(path) as reader:
        for record in reader.records():
            street = by_node[record.node]
            expected = (street.life, RECORD, street.end_s(record.seq) * 1000, 100, street.values(record.seq), None)
            found = (record.life, record.kind_code, record.end_ms, record.coverage, record.values, record.flags)
            if found != expected:
                raise RuntimeError(f"the archive differs at {record.id}: {found}, sent {expected}")
            if (record.node, record.seq) in seen:
                raise RuntimeError(f"the archive has {record.id} twice")
            seen.add((record.node, record.seq))
    if len(seen) != total * len(streets):
        raise RuntimeError(f"the archive has {len(seen)} records, sent were {total * len(streets)}")
    return len(seen)


def _compare_messages(subscriber: Subscriber, streets: list[Street], total: int) -> tuple[int, int]:
    by_node = {street.address: street for street in streets}
    scales = [10**decimals for decimals in series.DECIMALS]
    seen: set[str] = set()
    redelivered = 0
    for message in subscriber.messages():
        for record in message["records"]:
            street = by_node[record["node"]]
            values = tuple(
                round(record["values"][name]["v"] * scale) for name, scale in zip(series.CHANNELS, scales, strict=True)
            )
            if (
                values != street.values(record["seq"])
                or record["id"] != f"{street.address}-{street.life:08x}-{record['seq']}"
            ):
                raise RuntimeError(f"the subscriber got {record}, sent {street.values(record['seq'])}")
            redelivered += record["id"] in seen
            seen.add(record["id"])
    if len(seen) != total * len(streets):
        raise RuntimeError(f"the subscriber has {len(seen)} records, sent were {total * len(streets)}")
    return len(seen), redelivered
