"""From frame bytes to synced rows and back as acknowledgements, against a fake node that speaks the real wire."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.models import EVENT, GAP, HEALTH, RECORD, TIME_ANCHOR, TIME_CLOCK, TIME_NEIGHBOURS
from gateway.store import Reader
from gateway.verbs import Verbs
from tests.fakes.node import FakeNode, key_of
from tests.fakes.rig import START_S, HandClock, rig
from wire import UTC, messages
from wire.profiles import Profile
from wire.records import Record, encode_records

W0 = START_S // 60  # first window of the grid


def stored_ids(path: Path) -> list[str]:
    with Reader(path) as reader:
        return list(reader.ids())


def test_records_arrive_are_acknowledged_and_delivered(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            for i in range(40):
                node.seal(W0 + i, (10 + i, 20, None, 700))
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}, "all acknowledged"
            assert node.clock_synced
            with Reader(tmp_path / "spool.db") as reader:
                records = list(reader.records())
            assert [record.seq for record in records] == list(range(40))
            first = records[0]
            assert first.values == (10, 20, None, 700)
            assert (first.start_ms, first.end_ms) == (START_S * 1000, (START_S + 60) * 1000)
            assert first.kind == "record"
            assert first.time_code == TIME_CLOCK
            assert first.id == node.id_of(0)
            assert first.received_ms == r.clock.at_ms
            assert first.profile is not None
            assert [c.name for c in first.profile.channels] == ["pm2_5", "pm10", "temperature", "humidity"]
            assert await r.deliver() == [node.id_of(i) for i in range(40)]
            r.clock.at_ms += 40 * 60_000
            report = await r.report()
            assert report.closed
            assert report.lives[0].sinks["mqtt"].delivered == 40

    asyncio.run(scenario())


def test_nothing_is_acknowledged_before_its_commit(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db", group_s=30.0, crash=True) as r:
            await r.add(node)
            node.seal(W0)
            node.send_outbox()
            await asyncio.sleep(0)
            assert node.downlinks == []
            assert list(node.outbox) == [0]
        assert stored_ids(tmp_path / "spool.db") == []
        async with rig(tmp_path / "spool.db") as r:  # the gateway that comes back
            await r.add(node)
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
        assert stored_ids(tmp_path / "spool.db") == [node.id_of(0)]

    asyncio.run(scenario())


def test_no_acknowledgement_leaves_while_the_commit_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes its time: the node hears nothing until the sync has returned."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            submit, entered, synced = r.store._worker.submit, asyncio.Event(), asyncio.Event()

            async def slow(work: Any) -> Any:
                entered.set()
                await synced.wait()
                return await submit(work)

            monkeypatch.setattr(r.store._worker, "submit", slow)
            node.seal(W0)
            node.send_outbox()
            async with asyncio.timeout(20):
                await entered.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert node.downlinks == []
            assert list(node.outbox) == [0]
            synced.set()
            await r.settle()
            assert node.outbox == {}

    asyncio.run(scenario())


def test_a_record_sent_again_is_acknowledged_again_and_stored_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            node.faults.deaf = True
            for i in range(5):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            assert len(node.outbox) == 5
        async with rig(path) as r:
            await r.add(node)
            node.faults.deaf = False
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            assert r.store.duplicates == 5
        assert stored_ids(path) == [node.id_of(i) for i in range(5)]

    asyncio.run(scenario())


def test_a_replayed_frame_is_refused_across_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.seal(W0)
            node.send_outbox()
            frame = node.last_frame
            await r.settle()
            r.uplinks.on_frame(r.links[node.life], frame, r.clock.at_ms)
            assert r.uplinks.dropped == {"replay": 1}
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            r.uplinks.on_frame(r.links[node.life], frame, r.clock.at_ms)
            assert r.uplinks.dropped == {"replay": 1}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: b"", "short"),
        (lambda f: f[:4], "short"),
        (lambda f: b"\xff" + f[1:], "version"),
        (lambda f: bytes((f[0] & 0xE0,)) + f[1:], "type"),
        (lambda f: f[:1] + b"\x00\x63" + f[3:], "address"),
        (lambda f: f[:-1] + bytes((f[-1] ^ 1,)), "tag"),
        (lambda f: f[:9] + bytes((f[9] ^ 16,)) + f[10:], "tag"),
    ],
)
def test_what_is_no_frame_is_counted_under_its_reason(tmp_path: Path, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            link = r.links[node.life]
            frames: list[bytes] = []
            node.out = frames.append
            node.seal(W0)
            node.send_outbox()
            r.uplinks.on_frame(link, change(frames[0]), r.clock.at_ms)
            assert r.uplinks.dropped == {reason: 1}
            r.uplinks.on_frame(link, frames[0], r.clock.at_ms)
            await r.settle()
            assert r.store.rows_stored == 1, "the next valid frame is taken"

    asyncio.run(scenario())


def test_gaps_health_and_events_are_records_of_their_own_kind(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            node.gap(messages.OFF, W0, 100)  # spans two hours
            node.gap(messages.VOID, None, 3)
            node.seal(W0 + 100)
            node.event(messages.DOOR_OPENED, 5, (UTC, START_S + 6070))
            node.gap(messages.REFUSED, W0 + 101, 1)
            node.health((UTC, START_S + 6120))
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            with Reader(tmp_path / "spool.db") as reader:
                records = list(reader.records())
            assert [(record.kind_code, record.seq) for record in records] == [
                (GAP, 0),
                (RECORD, 103),
                (EVENT, 104),
                (GAP, 105),
                (HEALTH, 106),
            ]
            assert records[0].detail == {"cause": messages.OFF, "count": 100}
            assert records[0].end_ms - records[0].start_ms == 6_000_000
            assert records[2].detail == {"code": messages.DOOR_OPENED, "arg": 5}
            assert records[4].detail is not None
            assert records[4].detail["scheduled"] == 102
            await r.deliver()
            r.clock.at_ms += 102 * 60_000
            report = await r.report()
            assert report.closed, report
            tally = report.lives[0].sinks["mqtt"]
            assert tally.causes == {"node_off": 100, "refused_by_sensor_check": 1}
            assert tally.delivered == 1
            assert tally.scheduled == 102

    asyncio.run(scenario())


def test_a_gap_whose_seqs_are_partly_known_counts_the_rest(tmp_path: Path) -> None:
    """The node overwrote records whose acknowledgement it never heard."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.faults.deaf = True
            for i in range(6):
                node.seal(W0 + i)
            for seq in (0, 1, 4, 5):
                node.outbox.pop(seq)
            node.send_outbox()  # 2 and 3 arrive
            await r.settle()
            node.faults.deaf = False
            node.outbox.clear()
            node.outbox[0] = messages.Gap(0, 6, messages.OVERWRITTEN, node.profile.short, (UTC, (W0 + 1) * 60))
            node.totals[5] += 6
            node.send_outbox()
            await r.settle()
            await r.deliver()
            r.clock.at_ms += 6 * 60_000
            report = await r.report()
            assert report.closed, report
            assert report.lives[0].sinks["mqtt"].causes == {"overwritten_on_node": 4}
            assert report.lives[0].sinks["mqtt"].delivered == 2

    asyncio.run(scenario())


def test_an_unknown_profile_is_stored_acknowledged_asked_for_and_decoded_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        node.faults.mute_descriptor = True
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node, profiles=False)
            node.hello()
            node.seal(W0)
            node.gap(messages.REFUSED, W0 + 1, 2)
            node.seal(W0 + 3)
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}, "acknowledged although not understood"
            assert stored_ids(path) == []
            assert any(d.type == messages.DESCRIPTOR_REQUEST for d in node.downlinks)
        node.faults.mute_descriptor = False
        async with rig(path) as r:  # after a restart
            await r.add(node, profiles=False)
            await r.settle()
            node.hello()
            await r.settle()
            assert stored_ids(path) == [node.id_of(0), node.id_of(1), node.id_of(3)]
            await r.deliver()
            r.clock.at_ms += 4 * 60_000
            report = await r.report()
            assert report.closed, report
            assert await r.sql("SELECT count(*) FROM undecoded") == [(0,)]

    asyncio.run(scenario())


def test_a_boot_without_clock_is_dated_by_its_hello(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        node.faults.no_clock = True
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            for i in range(3):
                node.seal_unclocked(60_000 * (i + 1))
            node.send_outbox()
            await r.settle()
            assert stored_ids(path) == []
            assert await r.deliver() == [], "not forwarded before its time is known"
            r.clock.at_ms += 600_000
            node.uptime_ms = 240_000
            node.hello()
            await r.settle()
            with Reader(path) as reader:
                records = list(reader.records())
            boot_ms = r.clock.at_ms - 240_000
            assert [record.end_ms for record in records] == [boot_ms + 60_000 * (i + 1) for i in range(3)]
            assert all(record.time_code == TIME_ANCHOR for record in records)
            assert all(record.bound_ms <= 2_000 + 240 * 50 // 1000 for record in records)
            assert [record.received_ms for record in records] == [START_S * 1000] * 3
            node.seal_unclocked(240_000)  # at once now
            node.send_outbox()
            await r.settle()
            assert len(await r.deliver()) == 4

    asyncio.run(scenario())


def test_a_boot_that_never_met_a_gateway_is_dated_by_its_neighbours(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            node.hello()
            node.seal(W0)
            node.send_outbox()
            await r.settle()
            node.reboot()
            for i in range(2):
                node.seal_unclocked(60_000 * (i + 1))
            node.reboot()
            r.clock.at_ms += 3_600_000
            node.uptime_ms = 1_000
            node.hello()
            node.send_outbox()
            await r.settle()
            with Reader(path) as reader:
                records = {record.seq: record for record in reader.records()}
            assert records.keys() == {0, 1, 2}
            for seq, true_ms in ((1, START_S * 1000 + 900_000), (2, START_S * 1000 + 960_000)):
                record = records[seq]
                assert record.time_code == TIME_NEIGHBOURS
                assert abs(record.end_ms - true_ms) <= record.bound_ms
                assert record.bound_ms <= 3_600_000 // 2

    asyncio.run(scenario())


def test_a_partial_window_and_a_gap_behind_it_do_not_end_a_boot_too_early(tmp_path: Path) -> None:
    """The next boot had a clock at once: its first record names a whole grid window, of which it saw the end alone, and its
    gap names windows from before it was there."""

    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            node.hello()
            node.seal(W0)
            node.send_outbox()
            await r.settle()
            node.reboot()
            began_ms = (W0 + 9) * 60_000 + 45_000
            for i in range(2):
                node.seal_unclocked(60_000 * (i + 1))
            ended_ms = began_ms + 120_000  # 45 s into window 11
            node.reboot()
            r.clock.at_ms = ended_ms + 5_000
            node.gap(messages.OFF, W0 + 1, 8)
            node.outbox[node.next_seq] = Record(node.next_seq, (UTC, (W0 + 12) * 60), 16, (1, 2, 3, 4), None)
            node.next_seq += 1
            r.clock.at_ms = (W0 + 12) * 60_000 + 1_000
            node.uptime_ms = r.clock.at_ms - ended_ms - 5_000
            node.send_outbox()
            await r.settle()
            node.hello()
            await r.settle()
            with Reader(path) as reader:
                records = {record.seq: record for record in reader.records()}
            for seq, true_ms in ((1, began_ms + 60_000), (2, ended_ms)):
                record = records[seq]
                assert record.time_code == TIME_NEIGHBOURS
                assert abs(record.end_ms - true_ms) <= record.bound_ms, (record.end_ms - true_ms, record.bound_ms)

    asyncio.run(scenario())


def test_a_gateway_with_an_empty_database_starts_at_the_oldest_that_the_node_holds(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "first.db") as r:
            await r.add(node)
            for i in range(300):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
        node.counter += 200_000  # far beyond what 16 bits tell
        for i in range(300, 310):
            node.seal(W0 + i)
        async with rig(tmp_path / "second.db") as r:
            await r.add(node)
            node.send_outbox()
            await r.settle()
            assert r.uplinks.dropped == {"tag": 1}
            node.hello()
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            assert stored_ids(tmp_path / "second.db") == [node.id_of(i) for i in range(300, 310)]
            r.clock.at_ms += 310 * 60_000
            report = await r.report()
            assert [finding.hop for finding in report.findings] == ["before this store"]

    asyncio.run(scenario())


def test_live_data_above_a_hole_is_acknowledged_by_the_window(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7, batch=8)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(500):
                node.seal(W0 + i)
            kept = {seq: node.outbox.pop(seq) for seq in range(450)}
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            node.outbox.update(kept)
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
        assert len(set(stored_ids(tmp_path / "spool.db"))) == 500

    asyncio.run(scenario())


@pytest.mark.parametrize("back", [1, 3, 64, 900])
def test_a_counter_that_goes_back_raises_the_alarm(tmp_path: Path, back: int) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.counter = 1000 - back
            for _ in range(back):
                node.send(*messages.encode(messages.CommandResult(9, 0, 0)))  # the board before it was restored
            node.hello()
            node.counter = 1001 - back  # restored from a copy
            node.boot += 1
            node.hello()
            await r.settle()
            session = r.uplinks.session_of(7)
            assert session is not None
            assert session.alarm is not None
            assert "cloned or restored" in session.alarm
            assert session.memory.boot == 1, "nothing of it was taken over"

    asyncio.run(scenario())


def test_a_hello_that_comes_twice_is_no_alarm_also_across_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            frames = []
            for _ in range(5):
                node.hello()
                frames.append(node.last_frame)
            for frame in frames:
                node.out(frame)
            await r.settle()
            assert r.uplinks.dropped["replay"] == 5
            assert r.uplinks.session_of(7).alarm is None  # type: ignore[union-attr]
        async with rig(path) as r:
            await r.add(node)
            node.out(frames[-1])
            assert r.uplinks.dropped["replay"] == 1
            assert r.uplinks.session_of(7).alarm is None  # type: ignore[union-attr]

    asyncio.run(scenario())


def test_a_hello_played_back_again_and_again_wears_no_disk(tmp_path: Path) -> None:
    """Who recorded one hello could else have every SD card in town written until it dies."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            recorded = node.last_frame
            for counter in range(1000, 1100):  # far more than are remembered
                node.counter, node.uptime_ms = counter, counter
                node.hello()
            await r.settle()
            commits = r.store.commits
            for _ in range(200):
                r.uplinks.on_frame(r.links[node.life], recorded, r.clock.at_ms)
                await r.settle()
            assert r.uplinks.dropped["replay"] == 200
            assert r.store.commits <= commits + 1
            node.seal(W0)
            node.send_outbox()
            await r.settle()
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            session = r.uplinks.session_of(7)
            assert session is not None
            assert session.memory.alarms == 200, "counted all the same"

    asyncio.run(scenario())


def test_two_gateways_from_one_copied_directory_never_share_a_nonce(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            node.hello()
            await r.settle()
        copy = tmp_path / "copy.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        nonces = []
        for file in (path, copy, path, copy):
            async with rig(file) as r:
                await r.add(node)
                for i in range(3):
                    node.seal(W0 + i)
                    node.hello()
                    node.send_outbox()
                    await r.settle()
                nonces += [frame[:13] for frame in r.links[node.life].sent]
        assert len(nonces) >= 12
        assert len(set(nonces)) == len(nonces)

    asyncio.run(scenario())


def test_reprovisioning_mid_run_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        old = FakeNode(7, key_of(7, 0))
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(old)
            old.hello()
            for i in range(10):
                old.seal(W0 + i)
            old.send_outbox(4)
            await r.settle()
            assert 0 < len(old.outbox) < 10
            r.clock.at_ms += 600_000
            cut_s = START_S + 600
            new = FakeNode(7, key_of(7, 1))
            await r.add(old, until_s=cut_s)
            await r.add(new, provisioned_s=cut_s)
            new.hello()
            for i in range(5):
                new.seal(W0 + 10 + i)
            new.send_outbox()
            old.counter += 5
            old.send_outbox()  # what is left of the old life, under its own key
            await r.settle()
            assert old.outbox == {} == new.outbox
            got = await r.deliver()
            assert sorted(got) == sorted([old.id_of(i) for i in range(10)] + [new.id_of(i) for i in range(5)])
            r.clock.at_ms += 300_000
            report = await r.report()
            assert report.closed, report
            assert [life.sinks["mqtt"].scheduled for life in report.lives] == [10, 5]

    asyncio.run(scenario())


def test_settings_and_commands_are_answered(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            session = r.uplinks.session_of(7)
            assert session is not None
            answer = await session.set_setting(1, 0, 30, timeout_s=5)
            assert (answer.value, answer.ok) == (30, 1)
            assert node.settings == {(1, 0): 30}
            first = await session.command(messages.IDENTIFY, 3, START_S + 60, timeout_s=5)
            second = await session.command(messages.IDENTIFY, 3, START_S + 60, timeout_s=5)
            assert first.command_id < second.command_id
            assert node.ran == [first.command_id, second.command_id]

    asyncio.run(scenario())


def test_profiles_whose_windows_follow_each_other_are_both_scheduled(tmp_path: Path) -> None:
    """The window length was changed at run time: the old profile ends where the new one begins."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            for i in range(10):
                node.seal(W0 + i)
            node.send_outbox()
            node.descriptor(0, W0 + 10)
            node.profile = Profile(node.profile.items, 30)
            node.descriptor(2 * (W0 + 10))
            for i in range(6):
                node.seal(2 * (W0 + 10) + i)
            node.send_outbox()
            await r.settle()
            await r.deliver()
            r.clock.at_ms += 13 * 60_000
            report = await r.report()
            assert report.closed, report
            assert report.lives[0].sinks["mqtt"].scheduled == 16

    asyncio.run(scenario())


@pytest.mark.parametrize("by", ["records", "hello"])
def test_a_profile_that_another_one_replaced_is_asked_for_its_end(tmp_path: Path, by: str) -> None:
    """A calibration took over, and nobody had told when the profile before it ended: without that its windows would be
    scheduled, and pending, for ever."""

    async def scenario() -> None:
        node = FakeNode(7)
        node.faults.mute_descriptor = True
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.hello()
            old = node.profile
            for i in range(10):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()

            def asked() -> list[int]:
                found = [d.payload[0] for d in node.downlinks if d.type == messages.DESCRIPTOR_REQUEST]
                return [short for short in found if short == old.short]

            assert not asked(), "it runs"
            node.profile = Profile(old.items, 60, 0x748AD845)
            node.descriptor(W0 + 10)
            if by == "hello":
                r.clock.at_ms += 20_000
                node.hello()
            await r.settle()
            assert asked()
            for i in range(6):
                node.seal(W0 + 10 + i)
            r.clock.at_ms += 20_000
            node.send_outbox()
            await r.settle()
            assert len(asked()) >= 2, "the answer was lost: again"
            node.send(*messages.encode(messages.DescriptorMsg(W0, W0 + 10, old)))
            await r.settle()
            told = len(asked())
            r.clock.at_ms += 20 * 60_000
            node.hello()
            await r.settle()
            assert len(asked()) == told, "it is known"
            await r.deliver()
            (life,) = (await Verbs(SimpleNamespace(uplinks=r.uplinks)).profiles({}))["lives"]  # type: ignore[arg-type]
            assert life == {"life": f"{node.life:08x}", "node": 7, "profiles": [node.profile.encode().hex()]}
            tally = (await r.report()).lives[0].sinks["mqtt"]
            lines = [line for line in (await r.report()).lives[0].lines if line.profile == f"{old.id:08x}"]
            assert tally.delivered == 16
            assert sum(line.scheduled for line in lines if line.sink == "mqtt") == 10

    asyncio.run(scenario())


def test_a_node_that_has_forgotten_a_profile_is_not_asked_for_ever(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        node.faults.mute_descriptor = True
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.profile = Profile(node.profile.items, 60, 0x748AD845)
            node.descriptor(W0)
            for i in range(20):
                r.clock.at_ms += 60_000
                node.seal(W0 + i)
                node.send_outbox()
                await r.settle()
            asked = [d for d in node.downlinks if d.type == messages.DESCRIPTOR_REQUEST]
            assert 1 < len(asked) <= 5

    asyncio.run(scenario())


def test_a_clock_that_was_never_set_gives_no_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db", clock=HandClock(86_400_000)) as r:  # 1970
            await r.add(node)
            node.hello()
            await r.settle()
            assert [d.type for d in node.downlinks] == [messages.ACK]
            assert not node.clock_synced

    asyncio.run(scenario())


def test_a_clock_that_is_behind_dates_backfill_rightly(tmp_path: Path) -> None:
    """The newest records come first after an outage; the older ones lie before them, whatever our clock says."""

    async def scenario() -> None:
        node = FakeNode(7)
        days = 6  # further than the low bits of a time reach ahead
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            node.seal(W0)
            node.send_outbox()
            await r.settle()
            first = W0 + days * 1440
            for i in range(12):
                node.seal(first + i)
            held = [node.outbox[seq] for seq in sorted(node.outbox)]
            now_s = (first + 12) * 60  # the node knows; its frames carry the low bits
            for batch in (held[8:], held[4:8], held[:4]):
                node.send(messages.RECORDS, encode_records(node.profile, batch, now_s, 1))
                await r.settle()
            ends = [row[0] for row in await r.sql("SELECT end_ms FROM records ORDER BY seq")]
            assert ends == [(w + 1) * 60_000 for w in (W0, *range(first, first + 12))]

    asyncio.run(scenario())


def test_records_that_ask_for_an_answer_are_records(tmp_path: Path) -> None:
    """Also those of a profile that is learned later."""

    async def scenario() -> None:
        node = FakeNode(7)
        node.faults.mute_descriptor = True
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(3):
                node.seal(W0 + i)
            held = [node.outbox[seq] for seq in sorted(node.outbox)]
            node.hello()
            node.send(messages.RECORDS_ASK, encode_records(node.profile, held, (W0 + 3) * 60, 1))
            await r.settle()
            assert node.outbox == {}
            node.descriptor()
            await r.settle()
            assert [row[0] for row in await r.sql("SELECT seq FROM records ORDER BY seq")] == [0, 1, 2]

    asyncio.run(scenario())


def test_a_fault_of_ours_never_counts_a_record_as_received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(8):
                node.seal(W0 + i)
            node.gap(messages.OFF, W0 + 8, 3)
            node.health((UTC, START_S + 660))
            with monkeypatch.context() as broken:
                for name in ("pack_values", "pack_detail"):
                    broken.setattr(f"gateway.decode.{name}", lambda *_: 1 // 0)
                for _ in range(3):
                    node.send_outbox()
                    await r.settle()
            assert len(node.outbox) == 10
            assert r.uplinks.dropped == {"fault": 9}
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            await r.deliver()
            r.clock.at_ms += 11 * 60_000
            report = await r.report()
            assert report.closed, report.findings

    asyncio.run(scenario())
