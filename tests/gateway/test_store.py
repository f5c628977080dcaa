"""The one file: commits, cursors, migrations, a disk that is full."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.models import EVENT, RECORD, LifeInfo
from gateway.store import Budget, Reader, Store, StoreError, schema
from gateway.store.group import HELD_SQL
from gateway.store.rows import pack_detail, pack_values, to_record, unpack_values
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, HandClock, rig
from tests.waiting import wait_until_async
from wire import BOOT, UTC

DATA = Path(__file__).parent.parent / "data"
W0 = START_S // 60

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
VALUES = st.lists(st.one_of(st.none(), INT32, st.integers(-32768, 32767)), min_size=0, max_size=32).map(tuple)


@given(VALUES, st.data())
def test_values_come_back(values: tuple[int | None, ...], data: st.DataObject) -> None:
    flags = data.draw(
        st.one_of(st.none(), st.lists(st.integers(0, 255), min_size=len(values), max_size=len(values)).map(tuple))
    )
    assert unpack_values(pack_values(values, flags)) == (values, flags if values else (None if flags is None else ()))


def test_ten_usual_values_take_21_bytes() -> None:
    assert len(pack_values(tuple(range(10)), None)) == 21


def test_rows_of_other_kinds_carry_their_integers() -> None:
    row = (1, 1, 5, 1, EVENT, 0, 0, 1000, 0, 0, 0, 2000, 0, pack_detail({"code": 1, "arg": -3}), None, None)
    record = to_record(row, {1: LifeInfo(1, 7, 0xABC, "", "")}, {})
    assert record.detail == {"code": 1, "arg": -3}
    assert record.id == "7-00000abc-5"


def test_batches_keep_their_boundaries_over_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        path = tmp_path / "spool.db"
        async with rig(path) as r:
            await r.add(node)
            for i in range(30):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            first = await r.store.next_batch("mqtt", 10, 1 << 20)
            second = await r.store.next_batch("mqtt", 10, 1 << 20, first.id)
            assert (first.id, second.id) == (1, 2)
            assert not first.redelivery
        async with rig(path) as r:
            await r.add(node)
            again = await r.store.next_batch("mqtt", 3, 500)
            assert again == type(again)(1, first.records, True)
            await r.store.confirm("mqtt", 2)  # in any order
            await r.store.confirm("mqtt", 2)  # idempotent
            assert (await r.store.next_batch("mqtt", 10, 1 << 20, 1)).id == 3
            assert (await r.store.next_batch("mqtt", 10, 1 << 20)).id == 1
            await r.store.confirm("mqtt", 1)
            await r.store.confirm("mqtt", 3)
            assert await r.store.next_batch("mqtt", 10, 1 << 20) is None
            assert not await r.store.wait_new("mqtt", 0)
            r.clock.at_ms += 30 * 60_000
            node.hello()
            report = await r.report()
            assert report.closed, report.findings
            assert report.redelivered == {"mqtt": 20}

    asyncio.run(scenario())


def test_a_batch_ends_before_it_is_too_large(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(30):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            small = await r.store.next_batch("mqtt", 100, 2_000)
            assert 1 < len(small.records) < 10
            one = await r.store.next_batch("mqtt", 100, 1, small.id)
            assert len(one.records) == 1, "one record goes whatever its size"

    asyncio.run(scenario())


def test_waiting_for_news(tmp_path: Path) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            waiting = asyncio.create_task(r.store.wait_new("mqtt", 30))
            await asyncio.sleep(0)
            assert not waiting.done()
            node.seal(W0)
            node.send_outbox()
            assert await waiting

    asyncio.run(scenario())


@pytest.mark.parametrize("max_records", [1, 3, 50])
def test_a_slow_sink_gets_everything_once_in_order(tmp_path: Path, max_records: int) -> None:
    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db", sinks=("a", "b")) as r:
            await r.add(node)
            got: dict[str, list[str]] = {"a": [], "b": []}
            for i in range(60):
                node.seal(W0 + i)
                if i % 7 == 0:
                    node.send_outbox()
                    await r.settle()
                    got["a"] += await r.deliver("a", max_records)
            node.send_outbox()
            await r.settle()
            for sink in ("a", "b"):
                got[sink] += await r.deliver(sink, max_records)
                assert got[sink] == [node.id_of(i) for i in range(60)]

    asyncio.run(scenario())


# -- schema --------------------------------------------------------------------------------------------------------


def test_an_old_store_is_copied_and_upgraded_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    shutil.copy(DATA / "spool_schema1.db", path)

    async def scenario() -> None:
        node, shy = FakeNode(7), FakeNode(8)
        async with rig(path) as r:
            await r.add(node)
            await r.add(shy, profiles=False)
            batch = await r.store.next_batch("mqtt", 100, 1 << 20)
            assert (batch.id, len(batch.records), batch.redelivery) == (2, 8, True)
            shy.counter = 100
            shy.totals = [2, 2, 0, 0, 0, 0]
            shy.next_seq = 2
            shy.uptime_ms = 120_000
            shy.hello()
            shy.descriptor()
            await r.settle()
            got = await r.deliver()
            assert sorted(got) == sorted([node.id_of(i) for i in range(8, 31)] + [shy.id_of(0), shy.id_of(1)])
            r.clock.at_ms += 35 * 60_000
            report = await r.report()
            assert report.findings == []
            assert report.lives[0].sinks["mqtt"].missing == 0
            assert report.lives[0].sinks["mqtt"].delivered == 30

    asyncio.run(scenario())
    copy = schema.copy_path(path, 1)
    with closing(sqlite3.connect(copy)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone() == (1,)
        assert conn.execute("SELECT count(*) FROM records").fetchone() == (31,)
    with Reader(path) as reader:
        assert len(set(reader.ids())) == 33


def test_a_failed_migration_leaves_the_old_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spool.db"
    shutil.copy(DATA / "spool_schema1.db", path)
    good = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [*good, (99, "CREATE TABLE half (x); SELECT nonsense;")])

    async def scenario() -> None:
        with pytest.raises(sqlite3.OperationalError):
            await Store(path, HandClock()).open()

    asyncio.run(scenario())
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone() == (good[-1][0],)
        assert conn.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM records").fetchone() == (31,)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"PRAGMA application_id={schema.APPLICATION_ID}; PRAGMA user_version=77; CREATE TABLE x (y)", "newer Steiger"),
        ("CREATE TABLE somebody_elses (x)", "not a Steiger store"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(tmp_path: Path, statement: str, message: str) -> None:
    path = tmp_path / "spool.db"
    conn = sqlite3.connect(path)
    conn.executescript(statement)
    conn.close()
    before = path.read_bytes()

    async def scenario() -> None:
        with pytest.raises(StoreError, match=message):
            await Store(path, HandClock()).open()

    asyncio.run(scenario())
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"holiday pictures" * 1000)

    async def scenario() -> None:
        with pytest.raises(StoreError, match="not a database"):
            await Store(path, HandClock()).open()

    asyncio.run(scenario())
    assert path.read_bytes() == b"holiday pictures" * 1000


def test_reading_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        Reader(tmp_path / "spool.db")
    shutil.copy(DATA / "spool_schema1.db", tmp_path / "spool.db")
    with pytest.raises(StoreError, match="schema 1"):
        Reader(tmp_path / "spool.db")


def test_durability_settings_are_what_an_acknowledgement_promises(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            assert await r.sql("PRAGMA synchronous") == [(2,)]
            assert await r.sql("PRAGMA journal_mode") == [("wal",)]

    asyncio.run(scenario())


def test_the_newest_row_outlives_any_budget(tmp_path: Path) -> None:
    """Without it and without a sink, the next start would give the same places again."""

    async def scenario() -> None:
        node = FakeNode(7)
        for start in range(3):
            async with rig(tmp_path / "spool.db", sinks=(), budget=Budget(1, 365 * 86_400_000)) as r:
                await r.add(node)
                for i in range(2 + start):
                    node.seal(W0 + i)
                node.send_outbox()
                await r.settle()
                await r.store.keep_budget()
                assert (await r.sql("SELECT max(pos) FROM records"))[0][0] == len(node.sealed)

    asyncio.run(scenario())


@pytest.mark.parametrize("trimmed_again", [False, True])
def test_a_new_sink_after_a_trim_around_an_open_batch_adds_up(tmp_path: Path, trimmed_again: bool) -> None:
    """The trim left the rows of another sink's open batch, and a hole behind them: for the new sink the hole was dropped."""

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(tmp_path / "spool.db") as r:
            await r.add(node)
            for i in range(20):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            batch = await r.store.next_batch("mqtt", 3, 1 << 20)
            r.clock.at_ms += 20 * 60_000
            r.store.budget = Budget(2 << 30, 60_000)
            await r.store.keep_budget()
            assert await r.sql("SELECT pos FROM records") == [(1,), (2,), (3,), (20,)]
            await r.store.add_sink("late")
            for i in range(20, 24):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            r.clock.at_ms += 4 * 60_000
            await r.store.confirm("mqtt", batch.id)
            if trimmed_again:
                await r.store.keep_budget()
            for sink in ("mqtt", "late"):
                await r.deliver(sink)
            report = await r.report()
            assert report.findings == []
            assert report.closed, [life.sinks for life in report.lives]
            late = report.lives[0].sinks["late"]
            assert (late.delivered, late.causes["dropped_by_spool_budget"]) == ((1, 23) if trimmed_again else (8, 16))

    asyncio.run(scenario())


def cut_in_a_transaction(path: Path) -> None:
    """Leave the file as a power cut does while a transaction with a rollback journal is being written into it."""
    whole = path.with_name("whole.db")
    if path.exists():
        path.rename(whole)
    with closing(sqlite3.connect(whole, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode=DELETE")
        conn.execute("PRAGMA cache_size=2")
        conn.execute("BEGIN IMMEDIATE")
        conn.execute("CREATE TABLE half (x)")
        conn.executemany("INSERT INTO half VALUES (randomblob(3000))", [()] * 50)
        shutil.copy(whole, path)
        shutil.copy(whole.with_name("whole.db-journal"), path.with_name(path.name + "-journal"))
        conn.execute("ROLLBACK")


def test_a_file_whose_making_was_cut_is_opened_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"

    async def scenario() -> None:
        node = FakeNode(7)
        async with rig(path) as r:
            await r.add(node)
            node.seal(W0)
            node.send_outbox()
            await r.settle()
        cut_in_a_transaction(path)
        async with rig(path) as r:
            assert await r.sql("SELECT count(*) FROM records") == [(1,)]
            assert await r.sql("SELECT count(*) FROM sqlite_master WHERE name = 'half'") == [(0,)]
            assert await r.sql("PRAGMA integrity_check") == [("ok",)]

    asyncio.run(scenario())


def test_what_is_not_ours_is_refused_after_a_cut_too(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE somebody_elses (x)")
    cut_in_a_transaction(path)

    async def scenario() -> None:
        with pytest.raises(StoreError, match="not a Steiger store"):
            await Store(path, HandClock()).open()

    asyncio.run(scenario())
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("delete",), "not even its journal was changed"


@pytest.mark.parametrize("lacks", ["profile", "time"])
def test_what_is_held_never_pushes_out_what_others_sent(tmp_path: Path, lacks: str) -> None:
    """No budget can take what has no hour and no profile yet: it must not take the room of everything else either."""

    async def scenario() -> None:
        others, odd = FakeNode(7, batch=64), FakeNode(8, batch=1)
        odd.faults.mute_descriptor, odd.faults.no_clock = lacks == "profile", lacks == "time"
        async with rig(tmp_path / "spool.db", budget=Budget(250_000, 1 << 50)) as r:
            await r.add(others)
            await r.add(odd, profiles=lacks != "profile")
            for i in range(200):
                others.seal(W0 + i)
            others.send_outbox()
            await r.settle()
            told: list[set[int]] = []
            for turn in range(40):
                for i in range(turn * 100, turn * 100 + 99):
                    odd.seal(W0 + i) if lacks == "profile" else odd.seal_unclocked((i + 1) * 60_000)
                odd.event(1, 2, (UTC, START_S) if lacks == "profile" else (BOOT, 1, turn))
                odd.send_outbox()
                await r.settle()
                await r.store.keep_budget()
                told.append(set(odd.outbox))
            assert await r.sql("SELECT count(*) FROM records r JOIN lives l ON l.id = r.life WHERE l.node = 7") == [
                (200,)
            ]
            assert len(told[-1]) > 500, "the rest stays on the node, unacknowledged"
            assert r.store.used_bytes <= 250_000
            assert told[0] == set() and r.store.held_bytes == (await r.sql(HELD_SQL))[0][0]
            odd.faults.mute_descriptor = odd.faults.no_clock = False
            r.store.budget = Budget(2 << 30, 1 << 50)
            r.clock.at_ms += 40 * 6_000_000
            odd.uptime_ms = 40 * 6_000_000
            for _ in range(3):
                odd.hello()
                odd.descriptor()
                odd.send_outbox()
                await r.settle()
            assert not odd.outbox and r.store.held_bytes == 0
            assert set(map(odd.id_of, odd.sealed)) <= set(await r.deliver())

    asyncio.run(scenario())


# -- the disk refuses ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_stops_acknowledgements_and_nothing_else(tmp_path: Path) -> None:
    limit = 0

    def small(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        conn = sqlite3.connect(*args, **kwargs)
        if limit:
            conn.execute(f"PRAGMA max_page_count={limit}")
        return conn

    async def scenario() -> None:
        nonlocal limit
        node = FakeNode(7, batch=64)
        async with rig(tmp_path / "spool.db", opener=small) as r:
            await r.add(node)
            node.hello()
            await r.settle()
            pages = (await r.sql("PRAGMA page_count"))[0][0]
            limit = pages + 2
            await r.sql(f"PRAGMA max_page_count={limit}")
            sealed = 0
            while r.store.failing is None:
                for _ in range(200):
                    node.seal(W0 + sealed)
                    sealed += 1
                node.send_outbox()
                await wait_until_async(
                    lambda: r.store.failing or not node.outbox, 20, "the commit succeeds or the disk is full"
                )
            assert "full" in r.store.failing
            unacknowledged = set(node.outbox)
            assert unacknowledged
            attempts = r.store.retries
            await wait_until_async(lambda: r.store.retries > attempts, 20, "another attempt, as vain")
            node.send_outbox()
            assert r.uplinks.dropped["spool"] > 0, "the door is closed"
            assert set(node.outbox) == unacknowledged
            limit = 0
            await wait_until_async(lambda: r.store.failing is None, 20, "it recovers without a restart")
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}
            assert sorted(await r.deliver()) == sorted(node.id_of(i) for i in range(sealed))

    asyncio.run(scenario())


def test_a_job_that_fails_takes_nothing_of_its_company_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path / "spool.db") as r:
            good = r.store._worker.submit(lambda c: c.execute("INSERT INTO days (day) VALUES (1)").rowcount)
            bad = r.store._worker.submit(lambda c: c.execute("INSERT INTO nowhere VALUES (1)"))
            last = r.store._worker.submit(lambda c: c.execute("INSERT INTO days (day) VALUES (2)").rowcount)
            done = await asyncio.gather(good, bad, last, return_exceptions=True)
            assert done[0] == done[2] == 1
            assert isinstance(done[1], sqlite3.OperationalError)
            assert await r.sql("SELECT day FROM days WHERE day < 3") == [(1,), (2,)]
            assert r.store.pending_jobs == 0

    asyncio.run(scenario())


def test_patient_jobs_go_with_the_next_one_and_behind_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        ran: list[int] = []

        def day(number: int) -> Callable[[sqlite3.Connection], None]:
            def work(conn: sqlite3.Connection) -> None:
                ran.append(number)
                conn.execute("INSERT INTO days (day) VALUES (?)", (number,))

            return work

        transactions = 0

        def count(_: sqlite3.Connection) -> None:
            nonlocal transactions
            transactions += 1

        async with rig(tmp_path / "spool.db") as r:
            worker = r.store._worker
            worker.after_commit(count)
            patient = [asyncio.create_task(worker.submit(day(number), 3600)) for number in (3, 1)]
            await asyncio.sleep(0)
            assert not worker.pending, "a virtual clock goes on while they wait"
            await worker.submit(day(2))
            await asyncio.gather(*patient)
            assert ran == [2, 3, 1]
            assert transactions == 1
            late = asyncio.create_task(worker.submit(day(4), 3600))
            await asyncio.sleep(0)
        await late  # the end of the store is the end of its patience
        with closing(sqlite3.connect(tmp_path / "spool.db")) as conn:
            assert conn.execute("SELECT day FROM days WHERE day < 9").fetchall() == [(1,), (2,), (3,), (4,)]

    asyncio.run(scenario())


def test_the_budget_in_bytes_is_kept_by_dropping_the_oldest(tmp_path: Path) -> None:
    from gateway.store import Budget

    async def scenario() -> None:
        node = FakeNode(7, batch=64)
        async with rig(tmp_path / "spool.db", budget=Budget(150_000, 10**12)) as r:
            await r.add(node)
            for i in range(3_000):
                node.seal(W0 + i)
            node.hello()
            node.send_outbox()
            await r.settle()
            await r.store.keep_budget()
            assert r.store.used_bytes <= 150_000
            got = await r.deliver()
            assert got[-1:] == [node.id_of(2_999)], "the newest stay"
            r.clock.at_ms += 3_000 * 60_000
            report = await r.report()
            assert report.closed, report.findings
            tally = report.lives[0].sinks["mqtt"]
            assert tally.delivered == len(got)
            assert tally.causes == {"dropped_by_spool_budget": 3_000 - len(got)}
            assert tally.causes["dropped_by_spool_budget"] < 2_900

    asyncio.run(scenario())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_budget_that_nothing_fits_leaves_the_newest_row_alone(tmp_path: Path, count: int) -> None:
    from gateway.store import Budget

    async def scenario() -> None:
        async with rig(tmp_path / "spool.db", budget=Budget(1, 10**12)) as r:
            node = FakeNode(7)
            await r.add(node)
            for i in range(count):
                node.seal(W0 + i)
            node.send_outbox()
            await r.settle()
            await r.store.keep_budget()
            with Reader(tmp_path / "spool.db") as reader:
                assert [record.seq for record in reader.records(kinds={RECORD})] == [count - 1]

    asyncio.run(scenario())


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["put", "cut", "confirm", "crash"]), st.integers(1, 9)), max_size=25))
def test_cursors_never_lose_or_pass_over_a_row(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool.db"

    async def scenario() -> None:
        node = FakeNode(7)
        confirmed: list[str] = []
        at = 0
        while at <= len(steps):
            async with rig(path, crash=True) as r:
                await r.add(node)
                highest = 0
                while at < len(steps):
                    what, n = steps[at]
                    at += 1
                    if what == "put":
                        for _ in range(n):
                            node.seal(W0 + len(node.sealed))
                        node.send_outbox()
                        await r.settle()
                    elif what == "cut":
                        batch = await r.store.next_batch("mqtt", n, 1 << 20, highest)
                        highest = batch.id if batch else highest
                    elif what == "confirm":
                        batch = await r.store.next_batch("mqtt", n, 1 << 20)
                        if batch:
                            await r.store.confirm("mqtt", batch.id, batch.records)
                            confirmed += [record.id for record in batch.records]
                    else:
                        break
                else:
                    confirmed += await r.deliver()
                    at += 1
        assert sorted(confirmed) == sorted(node.id_of(seq) for seq in node.sealed)

    asyncio.run(scenario())


def test_reader_filters(tmp_path: Path) -> None:
    async def scenario() -> None:
        first, second = FakeNode(7), FakeNode(9)
        async with rig(tmp_path / "spool.db") as r:
            for node in (first, second):
                await r.add(node)
                for i in range(10):
                    node.seal(W0 + i)
                node.event(1, 0, (1, START_S + 30))
                node.send_outbox()
            await r.settle()
            with Reader(tmp_path / "spool.db") as reader:
                assert {record.node for record in reader.records(nodes={9})} == {9}
                since = (START_S + 300) * 1000
                some = list(reader.records(since_ms=since, until_ms=since + 120_000, kinds={RECORD}))
                assert [(record.node, record.seq) for record in some] == [(7, 4), (7, 5), (9, 4), (9, 5)]
                assert reader.position() == 22

    asyncio.run(scenario())
