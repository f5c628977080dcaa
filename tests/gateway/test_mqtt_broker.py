"""The MQTT sink against a real mosquitto, its records read by the reference consumer of docs/examples."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.forward.base import CONNECTED, REFUSED, WAITING
from gateway.forward.mqtt import MqttForwarder
from gateway.store import Store
from tests.fakes.archive import fill
from tests.fakes.certificates import Authority
from tests.fakes.mosquitto import Mosquitto, require_mosquitto
from tests.fakes.mqtt_sink import scenario, settings, sink
from tests.fakes.spool import record
from tests.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("broker")]

REPO = Path(__file__).parents[2]
CONSUMER = REPO / "docs" / "examples" / "consumer.py"
BOTH = pytest.mark.parametrize("version", ["3.1.1", "5"])


class Consumer:
    """docs/examples/consumer.py as a process of its own."""

    def __init__(self, broker: Mosquitto, folder: Path, *login: str) -> None:
        self._file = folder / "consumer.db"
        self._output = folder / "consumer.out"
        command = [sys.executable, str(CONSUMER), "127.0.0.1", str(broker.port), str(self._file), *login]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(lambda: "subscribed" in self.output(), 20, "the consumer has subscribed")

    def output(self) -> str:
        return self._output.read_text()

    def ids(self) -> set[str]:
        with closing(sqlite3.connect(self._file, timeout=10)) as db:
            return {row[0] for row in db.execute("SELECT id FROM records")}

    def redelivered(self) -> int:
        with closing(sqlite3.connect(self._file, timeout=10)) as db:
            return int(db.execute("SELECT coalesce(sum(redelivered), 0) FROM records").fetchone()[0])

    def changed(self) -> int:
        with closing(sqlite3.connect(self._file, timeout=10)) as db:
            return int(db.execute("SELECT coalesce(sum(changed), 0) FROM records").fetchone()[0])

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def consume(tmp_path: Path) -> Iterator[Callable[..., Consumer]]:
    made: list[Consumer] = []

    def start(broker: Mosquitto, *login: str) -> Consumer:
        made.append(Consumer(broker, tmp_path, *login))
        return made[-1]

    yield start
    for consumer in made:
        consumer.stop()


def ids(count: int) -> set[str]:
    return {record(seq).id for seq in range(count)}


def test_the_reference_consumer_is_short() -> None:
    assert len(CONSUMER.read_text().splitlines()) <= 40  # as docs/mqtt.md says


def test_a_missing_mosquitto_fails_under_ci_and_skips_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install mosquitto"):
        require_mosquitto()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception):
        require_mosquitto()


@BOTH
@scenario
async def test_every_record_arrives_once(version: str, mosquitto: Mosquitto, consume: Callable[..., Consumer]) -> None:
    consumer = consume(mosquitto.start())
    async with sink(settings(f"mqtt://127.0.0.1:{mosquitto.port}", version=version)) as made:
        made.spool.put([record(seq) for seq in range(500)])
        await made.until(lambda: consumer.ids() == ids(500), "the consumer has all")
        await made.until(lambda: len(made.spool.confirmed) == 500, "all are confirmed")
        assert (consumer.redelivered(), made.health.redelivered) == (0, 0)
        assert made.health.state == CONNECTED


@BOTH
@pytest.mark.parametrize("how", ["stop", "kill"])
@scenario
async def test_a_broker_that_goes_and_returns(
    version: str, how: str, mosquitto: Mosquitto, consume: Callable[..., Consumer]
) -> None:
    consumer = consume(mosquitto.start())
    async with sink(settings(f"mqtt://127.0.0.1:{mosquitto.port}", version=version)) as made:
        made.spool.put([record(seq) for seq in range(100)])
        await made.until(lambda: len(made.spool.confirmed) >= 10, "it is under way")
        await asyncio.to_thread(getattr(mosquitto, how))
        made.spool.put([record(seq) for seq in range(100, 300)])
        await made.until(lambda: made.health.state == WAITING, "the loss is seen")
        confirmed_ms, failures = made.health.confirmed_ms, made.health.failures  # all that the dead one had sent
        await made.until(lambda: made.health.failures > failures, "it goes on trying")
        assert made.health.confirmed_ms == confirmed_ms
        await asyncio.to_thread(mosquitto.start)
        await made.until(lambda: len(made.spool.confirmed) == 300, "all are confirmed", 30)
        if how == "stop":  # a killed mosquitto forgets what it had confirmed since its last save; that is its promise
            await made.until(lambda: consumer.ids() == ids(300), "the consumer has all", 30)
        assert made.health.redelivered <= 2 * 10
        assert consumer.changed() == 0  # the broker repeats to its subscriber too: as many as it likes, but the same
        assert len(made.spool.confirmed) == len(set(made.spool.confirmed))


@BOTH
@scenario
async def test_a_frozen_broker(version: str, mosquitto: Mosquitto, consume: Callable[..., Consumer]) -> None:
    consumer = consume(mosquitto.start())
    async with sink(settings(f"mqtt://127.0.0.1:{mosquitto.port}", version=version)) as made:
        made.spool.put([record(seq) for seq in range(50)])
        await made.until(lambda: len(made.spool.confirmed) == 50, "it is under way")
        mosquitto.freeze()
        made.spool.put([record(seq) for seq in range(50, 150)])
        await made.until(lambda: made.health.failures >= 2, "deadlines pass: PUBACK, then CONNACK")
        assert len(made.spool.confirmed) == 50
        assert made.health.state != CONNECTED
        mosquitto.thaw()
        await made.until(lambda: len(made.spool.confirmed) == 150, "all are confirmed", 30)
        await made.until(lambda: consumer.ids() == ids(150), "the consumer has all", 30)
        assert consumer.redelivered() <= made.health.connects * 2 * 10
        assert consumer.changed() == 0


@BOTH
@scenario
async def test_a_wrong_password_then_the_right_one(
    version: str, tmp_path: Path, mosquitto: Mosquitto, consume: Callable[..., Consumer]
) -> None:
    mosquitto.write(mosquitto.password("city", "right"))
    mosquitto.start()
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("right\n")
    consumer = consume(mosquitto, "city", str(file))
    file.write_text("wrong\n")
    config = settings(f"mqtt://127.0.0.1:{mosquitto.port}", version=version, username="city", password_file=file)
    async with sink(config) as made:
        made.spool.put([record(seq) for seq in range(20)])
        await made.until(lambda: made.health.state == REFUSED, "the refusal is seen")
        assert "connection refused: " in made.health.detail
        assert "password_file" in made.health.next_step
        file.write_text("right\n")
        await made.until(lambda: consumer.ids() == ids(20), "the consumer has all")


@BOTH
@scenario
async def test_tls_with_an_authority_of_our_own(version: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    ours, other = Authority(tmp_path), Authority(tmp_path, "other")
    certificate, key = ours.issue("broker", ip="127.0.0.1")
    client_certificate, client_key = ours.issue("gw-1")
    mosquitto.write(
        f"cafile {ours.file}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
        "use_identity_as_username true\nallow_anonymous false\n"
    )
    mosquitto.start()
    url = f"mqtts://127.0.0.1:{mosquitto.port}"
    mine = {"cert_file": client_certificate, "key_file": client_key, "version": version}
    async with sink(settings(url, ca_file=ours.file, **mine)) as made:
        made.spool.put([record(1)])
        await made.until(lambda: made.spool.confirmed, "it is confirmed")
    async with sink(settings(url, ca_file=other.file, **mine)) as made:
        await made.until(lambda: made.health.state == REFUSED, "the foreign certificate is seen")
        assert "certificate" in made.health.detail
        assert "ca_file" in made.health.next_step
    async with sink(settings(url.replace("127.0.0.1", "localhost"), ca_file=ours.file, **mine)) as made:
        await made.until(lambda: made.health.state == REFUSED, "the wrong name is seen")
        assert "localhost" in made.health.detail
    async with sink(settings(url, ca_file=ours.file, version=version)) as made:
        made.spool.put([record(1)])
        await made.until(lambda: made.health.failures >= 2, "no certificate of ours, no entry")
        assert made.spool.confirmed == []
    async with sink(settings(url, ca_file=tmp_path / "none.pem", **mine)) as made:
        await made.until(lambda: made.health.state == "misconfigured", "the missing file is seen")
        assert "ca_file" in made.health.detail


@scenario
async def test_mqtt_5_tells_what_an_access_list_forbids(tmp_path: Path, mosquitto: Mosquitto) -> None:
    (tmp_path / "acl").write_text("topic read #\n")
    mosquitto.write(f"allow_anonymous true\nacl_file {tmp_path / 'acl'}\n")
    mosquitto.start()
    async with sink(settings(f"mqtt://127.0.0.1:{mosquitto.port}", version="5")) as made:
        made.spool.put([record(1)])
        await made.until(lambda: made.health.state == REFUSED, "the refusal is seen")
        assert made.health.detail == "message refused: Not authorized"
        assert made.spool.confirmed == []


PUBLISHER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from gateway.clock import SystemClock
from gateway.forward.mqtt import MqttForwarder
from gateway.forward.mqtt import MqttForwarder
from gateway.store import Store
from tests.fakes.mqtt_sink import settings

async def main():
    store = Store(Path(sys.argv[2]), SystemClock())
    await store.open()
    await store.add_sink("mqtt")
    forwarder = MqttForwarder(settings(sys.argv[3], batch_records=2), "gw-1", SystemClock())
    await forwarder.run(store, asyncio.Event())
asyncio.run(main())
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_of_publishing(
    tmp_path: Path, mosquitto: Mosquitto, consume: Callable[..., Consumer]
) -> None:
    """The real store, a publisher killed five times: all arrive, repeats are identical and within the window."""
    consumer = consume(mosquitto.start())
    spool = tmp_path / "spool.db"
    expected = asyncio.run(fill(spool, 3000))
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        command = [sys.executable, "-c", PUBLISHER, str(REPO), str(spool), f"mqtt://127.0.0.1:{mosquitto.port}"]
        with subprocess.Popen(command) as publisher:
            wanted = share * len(expected)
            wait_until(lambda wanted=wanted: confirmed(spool) >= wanted, 30, f"{share} of all")  # type: ignore[misc]
            publisher.kill()
        assert confirmed(spool) < len(expected), "it was killed too late to show anything"
    asyncio.run(finish(spool, f"mqtt://127.0.0.1:{mosquitto.port}"))
    wait_until(lambda: consumer.ids() == expected, 30, "the consumer has all")
    assert consumer.redelivered() <= 5 * 2 * 2  # kills, batches under way, records in each
    assert consumer.changed() == 0
    with closing(sqlite3.connect(spool)) as db:
        sums = db.execute("SELECT confirmed, refused, dropped FROM sinks WHERE name = 'mqtt'").fetchone()
    assert sums == (3000, 0, 0)


def confirmed(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return int(db.execute("SELECT confirmed FROM sinks WHERE name = 'mqtt'").fetchone()[0])


async def finish(path: Path, url: str) -> None:
    store = Store(path, SystemClock())
    await store.open()
    stop = asyncio.Event()
    forwarder = MqttForwarder(settings(url), "gw-1", SystemClock())
    running = asyncio.create_task(forwarder.run(store, stop))
    await wait_until_async(lambda: forwarder.health.confirmed_records and store.backlog("mqtt") == 0, 30, "the end")
    stop.set()
    await running
    await store.close()
