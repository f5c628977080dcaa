"""What a person sees of a running gateway: ages, days left, boards that our open reset, tasks that hang."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import app, config, health
from gateway.forward.base import SinkHealth
from gateway.store import Budget
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, rig
from tests.waiting import wait_until_async

W0 = START_S // 60
DAY_MS = 86_400_000


def sink(name: str = "mqtt", **facts: Any) -> Any:
    return SimpleNamespace(name=name, health=SinkHealth(name, **facts))


def report(r: Any, sinks: list[Any] | None = None, links: list[Any] | None = None) -> dict[str, Any]:
    return health.status(r.clock, r.store, r.uplinks, links or [], sinks or [], {})


def test_a_sink_is_judged_by_its_last_confirmation(tmp_path: Path) -> None:
    """FAILURES 7: connected is not delivered."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.store.add_sink("mqtt")
            await r.add(node)
            node.hello()
            node.seal(W0)
            node.send_outbox()
            await r.settle()
            (row,) = report(r, [sink(state="connected")])["sinks"]
            assert row["confirmed_age_s"] is None
            assert any(
                "mqtt confirmed nothing yet" in line for line in report(r, [sink(state="connected")])["problems"]
            )
            await r.deliver()
            r.clock.at_ms += 100_000
            found = report(r, [sink(state="connected")])
            assert found["sinks"][0]["confirmed_age_s"] == 100
            assert not [line for line in found["problems"] if "mqtt" in line]
            node.seal(W0 + 1)
            node.send_outbox()
            await r.settle()
            r.clock.at_ms += 100_000
            found = report(r, [sink(state="connected", detail="frozen")])
            assert [line for line in found["problems"] if "confirmed nothing for 200 s, 1 records wait: frozen" in line]

    asyncio.run(scenario())


def test_it_tells_how_many_days_are_left_and_what_the_card_bears(tmp_path: Path) -> None:
    """FAILURES 3 and 20."""

    async def scenario() -> None:
        node = FakeNode(7, batch=64)
        async with rig(tmp_path / "spool.db", budget=Budget(50_000_000, 400 * DAY_MS)) as r:
            await r.add(node)
            node.hello()
            assert report(r)["spool"]["days_left"] is None
            await r.store.keep_budget()
            before = r.store.used_bytes
            for window in range(2000):
                node.seal(W0 + window)
            node.send_outbox()
            await r.settle()
            r.clock.at_ms += 2 * DAY_MS
            await r.store.keep_budget()
            spool = report(r)["spool"]
            grown = r.store.used_bytes - before
            assert grown > 20_000
            assert spool["days_left"] == pytest.approx((50_000_000 - r.store.used_bytes) / (grown / 2), rel=0.05)
            # At least what was stored has been written; a written page is counted, not a row.
            assert grown / 2e6 <= spool["written_mb_per_day"] <= 20 * grown / 2e6

    asyncio.run(scenario())


def test_the_log_beside_the_file_is_copied_back_when_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.spool.CHECKPOINT_BYTES", 200_000)

    async def scenario() -> None:
        node = FakeNode(7, batch=8)
        async with rig(tmp_path / "spool.db", group_s=0.0) as r:
            r.store._checkpoint_at = 200_000
            await r.add(node)
            node.hello()
            largest = 0
            for window in range(300):
                node.seal(W0 + window)
                node.send_outbox()
                await r.settle()
                largest = max(largest, (tmp_path / "spool.db-wal").stat().st_size)
            assert r.store.written_bytes > 600_000, "several logs were filled"
            assert largest < 300_000

    asyncio.run(scenario())


def test_a_task_that_gives_no_sign_of_life_is_told(tmp_path: Path) -> None:
    """FAILURES 5."""

    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            link = SimpleNamespace(name="/dev/ttyUSB0", state="open", beat_s=r.clock.monotonic_s())
            await wait_until_async(lambda: r.store.beat_s and r.uplinks.beat_s, 10, "both tasks run")
            r.store.beat_s = r.uplinks.beat_s = r.clock.monotonic_s()
            assert report(r, links=[link])["problems"] == []
            r.clock.at_ms += 100_000
            text = "\n".join(report(r, links=[link])["problems"])
            for name in ("spool", "held", "/dev/ttyUSB0"):
                assert f"task {name}: no sign of life for 100 s" in text

    asyncio.run(scenario())


class FailingSink:
    """A forwarder that falls over until it is told to hold."""

    name = "archive-copy"

    def __init__(self) -> None:
        self.health = SinkHealth(self.name)
        self.runs = 0

    async def run(self, store: Any, stop: asyncio.Event) -> None:
        self.runs += 1
        if self.runs < 3:
            raise RuntimeError("fell over")
        await stop.wait()


def gateway_config(folder: Path, *more: str) -> config.Config:
    lines = [
        "[gateway]",
        'id = "gw-test"',
        "number = 1",
        f'data_dir = "{folder / "data"}"',
        'keys = "keys.json"',
        *more,
    ]
    (folder / "gateway.toml").write_text("\n".join(lines) + "\n")
    return config.load(folder / "gateway.toml")


def test_a_task_that_falls_over_is_started_again_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAILURES 5."""
    monkeypatch.setattr(app, "RESTART_FIRST_S", 0.01)

    async def scenario() -> None:
        failing = FailingSink()
        stop = asyncio.Event()
        seen: list[app.Gateway] = []
        running = asyncio.create_task(
            app.run(
                gateway_config(tmp_path), links=lambda sink, clock: [], sinks=[failing], stop=stop, started=seen.append
            )  # type: ignore[list-item]
        )
        await wait_until_async(lambda: failing.runs == 3, 20, "the sink was started again")
        assert seen[0].status()["restarted_tasks"] == {"archive-copy": 2}
        assert not running.done()
        stop.set()
        await running

    asyncio.run(scenario())


async def run_once(settings: config.Config) -> None:
    """Start and stop."""
    stop = asyncio.Event()
    await app.run(settings, links=lambda sink, clock: [], stop=stop, started=lambda _: stop.set())


def test_another_configuration_leaves_the_spool_alone(tmp_path: Path) -> None:
    """FAILURES 2: whatever is configured, what was stored stays."""

    async def scenario() -> None:
        node = FakeNode(7)
        (tmp_path / "data").mkdir()
        async with rig(tmp_path / "data" / "spool.db") as r:
            await r.store.add_sink("mqtt")
            await r.add(node)
            node.hello()
            for window in range(50):
                node.seal(W0 + window)
            node.send_outbox()
            await r.settle()
            before = await r.sql("SELECT * FROM records")
        for more in ((), ("[spool]", "max_mb = 64", "max_days = 4000"), ("[metrics]", 'listen = "127.0.0.1:0"')):
            await run_once(gateway_config(tmp_path, *more))
        async with rig(tmp_path / "data" / "spool.db") as r:
            assert await r.sql("SELECT * FROM records") == before
            assert r.store.backlog("mqtt") >= 50

    asyncio.run(scenario())


def test_a_reset_that_follows_our_open_is_counted_as_ours(tmp_path: Path) -> None:
    """FAILURES 18."""
    gateway = object.__new__(app.Gateway)
    now_ms = START_S * 1000
    gateway.clock = SimpleNamespace(wall_ms=lambda: now_ms)  # type: ignore[assignment]
    gateway._own_resets = {}
    link = SimpleNamespace(name="/dev/ttyUSB0", opened_ms=now_ms - 2000, resets_ours=0)
    session = SimpleNamespace(link=link, last_hello=SimpleNamespace(uptime_ms=1500))
    gateway.uplinks = SimpleNamespace(session_of=lambda address: session)  # type: ignore[assignment]
    gateway._on_reset(7, 2)
    assert link.resets_ours == 1
    session.last_hello.uptime_ms = 600_000  # it ran long before we came
    gateway._on_reset(7, 3)
    link.opened_ms = now_ms - 60_000  # it started long after we came
    session.last_hello.uptime_ms = 1500
    gateway._on_reset(7, 4)
    assert link.resets_ours == 1
