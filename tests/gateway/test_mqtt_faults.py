"""The MQTT sink against a broker with knobs: what a real one does only on its worst days."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.forward.base import CONNECTED, MISCONFIGURED, REFUSED, WAITING, Backoff
from gateway.forward.mqtt import MqttForwarder
from gateway.forward.mqtt_connection import Connection
from gateway.forward.payload import decode
from gateway.models import Batch
from tests.fakes.mosquitto import free_port
from tests.fakes.mqtt_broker import FakeBroker
from tests.fakes.mqtt_sink import scenario, settings, sink
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, rig
from tests.fakes.spool import record
from tests.fakes.virtual_time import run_virtual

BOTH = pytest.mark.parametrize("version", ["3.1.1", "5"])


@asynccontextmanager
async def fake_broker() -> AsyncIterator[FakeBroker]:
    broker = await FakeBroker().start()
    try:
        yield broker
    finally:
        await broker.stop()


@BOTH
@scenario
async def test_batches_arrive_in_order_and_the_cursor_follows(version: str) -> None:
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", version=version)) as made:
        made.spool.put([record(seq) for seq in range(95)])
        await made.until(lambda: len(made.spool.confirmed) == 95, "all are confirmed")
        assert {topic for topic, _ in broker.messages} == {"steiger/v1/gw-1/records"}
        found = [item.id for _, message in broker.messages for item in decode(message).records]
        assert found == [record(seq).id for seq in range(95)]
        assert broker.most_outstanding <= 2
        assert made.health.state == CONNECTED
        assert (made.health.confirmed_records, made.health.redelivered, made.health.failures) == (95, 0, 0)
        assert made.health.confirmed_ms > 0


@BOTH
@scenario
async def test_without_puback_nothing_is_confirmed_and_the_repeat_is_identical(version: str) -> None:
    quick = {"version": version, "confirm_timeout_s": 0.2}
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", **quick)) as made:
        broker.withhold = True
        made.spool.put([record(seq) for seq in range(50)])
        await made.until(lambda: broker.connects >= 3, "it connects again after the deadline")
        assert made.spool.confirmed == []
        assert broker.most_outstanding <= 2
        assert made.health.detail == "the broker did not confirm within 0.2 s"
        broker.withhold = False
        await made.until(lambda: len(made.spool.confirmed) == 50, "all are confirmed")
        bodies: dict[int, set[bytes]] = {}
        for _, message in broker.messages:
            bodies.setdefault(decode(message).batch, set()).add(message)
        assert {number: len(each) for number, each in bodies.items()} == dict.fromkeys(range(1, 6), 1)
        repeats = len(broker.messages) - len(bodies)
        assert made.health.redelivered == 10 * repeats
        assert made.health.detail == ""


@BOTH
@scenario
async def test_a_line_that_drops_before_puback(version: str) -> None:
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", version=version)) as made:
        for after in (1, 4, 7):
            broker.drop_after = after
            made.spool.put([record(after * 100 + n) for n in range(20)])
            await made.until(lambda: not broker.drop_after, "the line dropped")
        await made.until(lambda: len(made.spool.confirmed) == 60, "all are confirmed")
        assert len(set(made.spool.confirmed)) == 60
        redelivered = sum(len(decode(message).records) for _, message in broker.messages) - 60
        assert redelivered <= 3 * 2 * 10  # three faults, two batches of ten under way


@scenario
async def test_an_mqtt_5_puback_that_says_no_confirms_nothing() -> None:
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", version="5")) as made:
        broker.puback = 0x87
        made.spool.put([record(1)])
        await made.until(lambda: made.health.state == REFUSED, "the refusal is seen")
        assert made.health.detail == "message refused: Not authorized"
        assert "lets this user publish" in made.health.next_step
        assert made.spool.confirmed == []
        broker.puback = 0x10  # nobody has subscribed: the broker took it all the same
        await made.until(lambda: made.spool.confirmed, "it is confirmed")


@pytest.mark.parametrize(
    ("version", "code", "detail", "next_step"),
    [
        ("3.1.1", 4, "connection refused: Bad user name or password", "password_file"),
        ("3.1.1", 5, "connection refused: Not authorized", "password_file"),
        ("3.1.1", 2, "connection refused: Client identifier not valid", "client_id"),
        ("5", 0x84, "connection refused: Unsupported protocol version", 'version = "5"'),
        ("5", 0x86, "connection refused: Bad user name or password", "password_file"),
        ("5", 0x8A, "connection refused: Banned", "operator"),
    ],
)
@scenario
async def test_a_refused_connection_is_a_state_and_no_end(version: str, code: int, detail: str, next_step: str) -> None:
    async with fake_broker() as broker:
        broker.connack = code
        async with sink(settings(f"mqtt://127.0.0.1:{broker.port}", version=version, username="u")) as made:
            made.spool.put([record(1)])
            await made.until(lambda: broker.connects >= 3, "it goes on trying")
            assert (made.health.state, made.health.detail) == (REFUSED, detail)
            assert next_step in made.health.next_step
            broker.connack = 0
            await made.until(lambda: made.spool.confirmed, "it recovers by itself")


@BOTH
@pytest.mark.parametrize("knob", ["silent", "hang_up"])
@scenario
async def test_a_broker_without_connack_is_left_and_tried_again(version: str, knob: str) -> None:
    async with fake_broker() as broker:
        setattr(broker, knob, True)
        async with sink(settings(f"mqtt://127.0.0.1:{broker.port}", version=version, connect_timeout_s=0.2)) as made:
            made.spool.put([record(1)])
            await made.until(lambda: broker.connects >= 2 and made.health.state != CONNECTED, "it tries again")
            assert made.health.failures >= 1
            expected = "no answer in time" if knob == "silent" else "the broker closed the connection without an answer"
            assert made.health.detail == expected
            setattr(broker, knob, False)
            await made.until(lambda: made.spool.confirmed, "it recovers by itself")


@scenario
async def test_a_broker_that_does_not_speak_3_1_1() -> None:
    async with fake_broker() as broker:
        broker.connack = 1
        async with sink(settings(f"mqtt://127.0.0.1:{broker.port}")) as made:
            await made.until(
                lambda: made.health.failures >= 2 and "version" in made.health.next_step,
                "it goes on trying and says why",
            )


@scenario
async def test_the_next_broker_of_the_list_is_tried_without_a_pause() -> None:
    async with fake_broker() as broker:
        urls = [f"mqtt://127.0.0.1:{free_port()}", f"mqtt://127.0.0.1:{broker.port}"]
        async with sink(settings(urls, backoff_max_s=60)) as made:
            made.spool.put([record(1)])
            await made.until(lambda: made.spool.confirmed, "it arrives at the second", timeout_s=5)
            assert made.health.target == urls[1]
            assert made.health.failures == 1


@scenario
async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    async with sink(settings(f"mqtt://127.0.0.1:{port}")) as made:
        await made.until(lambda: made.health.failures >= 3 and made.health.state == WAITING, "it goes on trying")
        assert made.health.detail == "Connection refused"
        assert f"port {port}" in made.health.next_step
    lines = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(lines) == 1  # a broker that is away for a week does not fill the log


@scenario
async def test_a_refused_message_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", version="5")) as made:
        broker.puback = 0x87
        made.spool.put([record(1)])
        await made.until(lambda: broker.connects >= 4, "it goes on trying")
        broker.puback = 0
        await made.until(lambda: made.spool.confirmed, "it is confirmed")
    said = [entry.getMessage().split(",")[0] for entry in caplog.records if entry.name == "steiger.mqtt"]
    assert said == ["mqtt: connected", "mqtt: refused", "mqtt: delivers again"]


@scenario
async def test_a_password_file_is_read_again_at_each_attempt(tmp_path: Path) -> None:
    file = tmp_path / "password"
    async with fake_broker() as broker:
        broker.connack = 4
        config = settings(f"mqtt://127.0.0.1:{broker.port}", username="u", password_file=file)
        async with sink(config) as made:
            await made.until(lambda: made.health.state == MISCONFIGURED, "the missing file is seen")
            assert str(file) in made.health.detail
            file.touch(0o600)
            file.write_text("old")
            await made.until(lambda: made.health.state == REFUSED, "the wrong password is seen")
            assert "old" not in str(made.health)
            file.chmod(0o644)
            await made.until(lambda: made.health.state == MISCONFIGURED, "the open file is seen")
            assert "chmod 600" in made.health.next_step
            file.chmod(0o600)
            file.write_text("new\n")
            broker.connack = 0
            made.spool.put([record(1)])
            await made.until(lambda: made.spool.confirmed, "it recovers by itself")


@scenario
async def test_an_orderly_stop_waits_for_what_is_under_way_but_not_for_ever() -> None:
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}")) as made:
        broker.withhold = True
        made.spool.put([record(1)])
        await made.until(lambda: broker.messages, "it was published")
        made.stop.set()
        await asyncio.wait_for(made.task, 8)
        assert made.spool.confirmed == []


@scenario
async def test_a_connection_without_messages_is_kept_and_its_end_noticed() -> None:
    """By pings alone: there is nothing to publish."""
    async with fake_broker() as broker, sink(settings(f"mqtt://127.0.0.1:{broker.port}", keepalive_s=1)) as made:
        await made.until(lambda: broker.pings >= 2, "pings while nothing is sent")
        assert (broker.connects, made.health.state) == (1, CONNECTED)
        broker.withhold = True
        await made.until(lambda: made.health.failures, "nobody answers them")
        broker.withhold = False
        await made.until(lambda: broker.connects >= 2 and made.health.state == CONNECTED, "connected again")


@pytest.mark.parametrize("keepalive_s", [5, 15, 3600])
def test_a_ping_is_due_well_before_a_broker_gives_up(keepalive_s: int) -> None:
    """It waits for one and a half keepalives; ours looks after each wait, and pings at the first look behind one of silence."""
    looks_s: list[float] = []

    async def look() -> None:
        config = settings("mqtt://127.0.0.1:1", keepalive_s=keepalive_s)
        connection = Connection(config.brokers[0], config, "gw-1", None, None)

        def loop_misc() -> int:
            looks_s.append(asyncio.get_running_loop().time())
            return 0 if len(looks_s) < 20 else 4  # the connection is lost

        connection._client.loop_misc = loop_misc  # type: ignore[method-assign,assignment]
        await connection._misc_loop()

    run_virtual(look())
    assert len(looks_s) == 20
    assert max(after_s - before_s for before_s, after_s in pairwise(looks_s)) <= 0.25 * keepalive_s


def test_backoff_doubles_up_to_the_cap_with_jitter_and_starts_anew() -> None:
    backoff = Backoff(60, seed=3)
    waits = [backoff.next_s() for _ in range(12)]
    for wait_s, nominal_s in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60], strict=True):
        assert nominal_s / 2 <= wait_s <= nominal_s
    assert len(set(waits)) == len(waits)
    backoff.reset()
    assert backoff.next_s() <= 1
    assert Backoff(0.1).next_s() <= 0.1


@scenario
async def test_a_confirmation_and_the_next_batch_share_a_sync_and_no_more_than_two_are_ever_open(
    tmp_path: Path,
) -> None:
    """A batch counts as on its way until its confirmation is on the disk, whatever the broker said before."""
    node = FakeNode(7, batch=64)
    transactions, most_open = 0, 0

    def count(_: sqlite3.Connection) -> None:
        nonlocal transactions
        transactions += 1

    async with fake_broker() as broker, rig(tmp_path / "spool.db") as r:
        next_batch = r.store.next_batch

        async def watched(*arguments: Any) -> Batch | None:
            nonlocal most_open
            batch = await next_batch(*arguments)
            found = await r.store.query(lambda conn: conn.execute("SELECT count(*) FROM batches").fetchone()[0])
            most_open = max(most_open, found)
            return batch

        r.store.next_batch = watched  # type: ignore[method-assign, assignment]
        await r.add(node)
        for window in range(600):
            node.seal(START_S // 60 + window)
        node.hello()
        node.send_outbox()
        await r.settle()
        r.store._worker.after_commit(count)
        forwarder = MqttForwarder(settings(f"mqtt://127.0.0.1:{broker.port}"), "gw-1", SystemClock(), seed=1)
        stop = asyncio.Event()
        task = asyncio.create_task(forwarder.run(r.store, stop))
        assert await r.store.delivered(20)
        stop.set()
        await asyncio.wait_for(task, 10)
    assert forwarder.health.confirmed_batches == 60
    assert most_open == 2
    assert transactions <= 60 * 5 // 4, "a batch takes one, not two, but where the threads' turns part them"
