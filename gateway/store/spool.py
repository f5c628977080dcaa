"""The store as the event loop sees it: collect, commit, then acknowledge; cut, publish, then confirm."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gateway.clock import Clock
from gateway.keys import Life
from gateway.models import LifeInfo
from gateway.store import retention, sinks
from gateway.store.cursors import Cursors
from gateway.store.group import (
    HELD_SQL,
    Anchor,
    CountKey,
    Group,
    ProfileRow,
    Stateful,
    Undecoded,
    Unresolved,
    held_bytes,
)
from gateway.store.group_timer import GROUP_ROWS, GROUP_S, GroupTimer
from gateway.store.reader import load_profiles
from gateway.store.retention import Budget
from gateway.store.schema import BUSY_MS, PAGE_BYTES, Opener, connect, connect_read_only, prepare
from gateway.store.worker import Worker

log = logging.getLogger("spool")
T = TypeVar("T")

PATIENT_ROWS = 64  # a sink with so many before it waits for no group
RETRY_S = 1.0  # while the disk is full or read-only
BUDGET_EVERY_S = 60.0
BEAT_S = 10.0  # a task that waits says so this often
CHECKPOINT_BYTES = (
    8 << 20
)  # the WAL's size at which it is copied back; hot pages are then written once for many commits
HELD_SHARE = 2  # what cannot be decoded or dated may take the budget's half: nothing of it can go to make room
MAX_WAITING = 2 * GROUP_ROWS  # rows that inputs may have waiting for the disk: one group under way, one filling
DAY_MS = 86_400_000
AWAY_MS = 30 * DAY_MS  # a machine that seems to have been off for longer may have a wrong clock


class LifeRow(NamedTuple):
    """What the database knows of a life at start."""

    row: int
    node: int
    life: int
    state: bytes | None


class Contents(NamedTuple):
    lives: list[LifeRow]
    profiles: list[ProfileRow]
    anchors: list[Anchor]
    undecoded: dict[int, int]  # seqs held, by life row
    unresolved: dict[int, int]


class Store(Cursors):
    """One SQLite file. Everything here runs in the event loop; the disk is touched by the worker thread alone."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        budget: Budget | None = None,
        *,
        group_s: float = GROUP_S,
        opener: Opener = sqlite3.connect,
    ) -> None:
        super().__init__(clock)
        self._opener = opener
        self.path = path
        self.budget = budget or Budget(2 << 30, 365 * DAY_MS)
        self.failing: str | None = None  # why the last commit did not succeed
        self.failing_since_s = 0.0
        self.beat_s = 0.0  # loop time of the writer task's last turn
        self.retries = 0  # commits that the disk refused
        self.duplicates = 0  # records received again and not stored again
        self.commits = 0
        self.rows_stored = 0  # since start
        self.used_bytes = 0
        self.used_at_open = 0
        self.opened_ms = clock.wall_ms()
        self.written_bytes = 0  # since start
        self.held_bytes = 0  # of records that wait for a profile or a time
        self._timer = GroupTimer(group_s)
        self._group = Group()
        self._in_flight = 0
        self._looking: asyncio.TimerHandle | None = None
        self._closed_groups = self._done_groups = 0
        self._done = asyncio.Event()  # a group was committed
        self._room = asyncio.Event()
        self._room.set()
        self._next: dict[str, int] = {}
        self._day_counted = (0, 0)  # rows and bytes that the table of days has
        self._wal_seen = 0
        self._wal_copied = 0  # pages of the present WAL that are in the file already
        self._checkpoint_at = CHECKPOINT_BYTES
        self._opened_s = clock.monotonic_s()
        self._age_from_ms = self.opened_ms
        self._wal = path.with_name(path.name + "-wal")
        self._worker = Worker("store", lambda: connect(path, opener), writes=True)
        self._worker.after_commit(self._after_commit)
        self._reader = Worker("reader", lambda: connect_read_only(path, opener), writes=False)

    # -- life cycle ------------------------------------------------------------------------------------------------

    @property
    def pending_jobs(self) -> int:
        """Jobs in the thread whose results the loop has not seen; a virtual clock stands still meanwhile."""
        return self._worker.pending + self._reader.pending

    async def open(self) -> Contents:
        """Migrate if needed and load what sessions go on from. StoreError if the file is not ours or newer than we are."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(prepare, self.path, self._opener)
        self._worker.start()
        self._reader.start()
        return await self._worker.submit(self._load)

    def _load(self, conn: sqlite3.Connection) -> Contents:
        self._next = {
            "pos": sinks.next_pos(conn),
            "profile": _next_id(conn, "profiles"),
            "undecoded": _next_id(conn, "undecoded"),
            "unresolved": _next_id(conn, "unresolved"),
        }
        self._stored_pos = self._next["pos"] - 1
        newest = conn.execute("SELECT received_ms FROM records ORDER BY pos DESC LIMIT 1").fetchone()
        if newest and not 0 <= self.opened_ms - newest[0] <= AWAY_MS:
            self._age_from_ms = newest[0]
        lives = []
        for row, node, life, board, name, state in conn.execute("SELECT id, node, life, board, name, state FROM lives"):
            lives.append(LifeRow(row, node, life, state))
            self.lives[row] = LifeInfo(row, node, life, board, name)
            self.life_rows[(node, life)] = row
        self.profiles.update(load_profiles(conn))  # sinks need them for lives that the key file no longer names, too
        self.held_bytes = int(conn.execute(HELD_SQL).fetchone()[0])
        self.used_bytes = self.used_at_open = retention.used_bytes(conn)
        return Contents(
            lives,
            [ProfileRow(*row) for row in conn.execute(f"SELECT {', '.join(ProfileRow._fields)} FROM profiles")],
            [Anchor(*row) for row in conn.execute(f"SELECT {', '.join(Anchor._fields)} FROM anchors")],
            dict(conn.execute("SELECT life, sum(seqs) FROM undecoded GROUP BY life").fetchall()),
            dict(conn.execute("SELECT life, sum(span) FROM unresolved GROUP BY life").fetchall()),
        )

    async def close(self) -> None:
        """Commit what was received, unless the disk refuses it (then it was not acknowledged either), and close."""
        self._timer.gather()
        if self._group_holds() and self.failing is None:
            try:
                await self._commit_once(self._take_group())
            except sqlite3.Error as err:
                self._fail(err)
        await self._reader.close()
        await self._worker.close()

    def forget(self) -> None:
        """Drop what was not committed, as the end of the process would; it was not acknowledged."""
        self._group = Group()
        self._timer.forget()

    # -- input -----------------------------------------------------------------------------------------------------

    @property
    def accepting(self) -> bool:
        """False while the disk refuses: what arrives is neither stored nor acknowledged."""
        return self.failing is None

    @property
    def crowded(self) -> bool:
        return len(self._group.rows) + self._in_flight >= MAX_WAITING

    async def room(self, timeout_s: float) -> bool:
        """Wait until inputs may go on; False at the deadline."""
        if not self.crowded:
            return True
        self._room.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.wait()
        except TimeoutError:
            return False
        return True

    def next_id(self, table: str) -> int:
        number = self._next[table]
        self._next[table] = number + 1
        return number

    def put(self, row: tuple[Any, ...]) -> None:
        """Add a final row (all columns of `Row` but pos)."""
        pos = self._next["pos"]
        self._next["pos"] = pos + 1
        self._group.rows.append((pos, *row))  # type: ignore[arg-type]  # a plain tuple in Row's order is faster to make
        self._timer.holds(len(self._group.rows))

    def count(self, key: CountKey, n: int = 1) -> None:
        self._group.counts[key] += n

    def touch(self, row: int, session: Stateful, *, window: bool = False) -> None:
        """The session's state is written with this group, and committed() is called once it is synced: soon, if its answer
        has a window."""
        group = self._group
        if row not in group.touched:
            group.touched[row] = session
            self._timer.start()
        if window:
            self._timer.hurry()

    def later(self, take: Callable[[], None], size: int) -> bool:
        """Whether `take`, which puts in what a link has read, will be called with the open group; False: it is to be called
        now, because many come, somebody waits, or the disk refuses."""
        return self.failing is None and self._timer.later(take, size)

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody waits for the answer of a node: what comes meanwhile is taken at once."""
        self._timer.awaited += 1
        try:
            yield
        finally:
            self._timer.awaited -= 1

    def add_profile(self, row: ProfileRow) -> None:
        self._group.profiles[row.id] = row

    @property
    def holding(self) -> bool:
        """Whether more may be held. If not, it is not acknowledged either: nodes keep it, and other nodes' records stay here."""
        return self.held_bytes < self.budget.max_bytes // HELD_SHARE

    def _held(self, n: int) -> None:
        before = self.holding
        self.held_bytes += n
        if before and not self.holding:
            log.error(
                "spool: records without a profile or a time fill half of the budget; more of them stay on their nodes"
            )

    def hold_undecoded(self, row: Undecoded) -> None:
        self._group.undecoded.append(row)
        self._held(held_bytes(row))

    def hold_unresolved(self, row: Unresolved) -> None:
        self._group.unresolved.append(row)
        self._held(held_bytes(row))

    def release_undecoded(self, row: Undecoded) -> None:
        self._group.decoded_ids.append(row.id)
        self._held(-held_bytes(row))

    def release_unresolved(self, row: Unresolved) -> None:
        self._group.resolved_ids.append(row.id)
        self._held(-held_bytes(row))

    def put_anchor(self, anchor: Anchor) -> None:
        self._group.anchors[(anchor.life, anchor.boot)] = anchor

    async def load_undecoded(self, life: int) -> list[Undecoded]:
        sql = f"SELECT {', '.join(Undecoded._fields)} FROM undecoded WHERE life = ? ORDER BY id"
        return await self.query(lambda conn: [Undecoded(*row) for row in conn.execute(sql, (life,))])

    async def load_unresolved(self, life: int) -> list[Unresolved]:
        sql = f"SELECT {', '.join(Unresolved._fields)} FROM unresolved WHERE life = ? ORDER BY seq"
        return await self.query(lambda conn: [Unresolved(*row) for row in conn.execute(sql, (life,))])

    async def add_lives(self, lives: Sequence[Life]) -> dict[tuple[int, int], LifeInfo]:
        """Make or update the rows of lives that the key file names, in one transaction."""

        def work(conn: sqlite3.Connection) -> list[LifeInfo]:
            return [put_life(conn, life) for life in lives]

        infos = await self._worker.submit(work) if lives else []
        for info in infos:
            self.lives[info.row] = info
            self.life_rows[(info.node, info.life)] = info.row
        return {(info.node, info.life): info for info in infos}

    # -- commit ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Close groups by time or count and commit them, for ever; keeps the budget. Survives a full or read-only disk."""
        loop = asyncio.get_running_loop()
        budget_at = loop.time() + BUDGET_EVERY_S
        self._look_up()
        try:
            while True:
                self.beat_s = loop.time()
                await self._timer.due.wait()
                self._timer.gather()
                if self._group_holds():
                    await self._commit_until_done(self._take_group())
                else:
                    self._nothing_came()
                if loop.time() >= budget_at:
                    budget_at = loop.time() + BUDGET_EVERY_S
                    await self.keep_budget()
        finally:
            if self._looking is not None:
                self._looking.cancel()

    def _look_up(self) -> None:
        """Wake the writer's task, now and then, though nothing comes. A deadline of each wait would cost more than most waits."""
        self._timer.due.set()
        self._looking = asyncio.get_running_loop().call_later(BEAT_S, self._look_up)

    def _group_holds(self) -> bool:
        return bool(self._group.touched or self._group.rows)

    def _nothing_came(self) -> None:
        """It was time only to look, or what was read holds no frame of ours."""
        if self._timer.running:
            self._closed_groups += 1
            self._done_groups += 1
            self._done.set()
        self._timer.stop(0)

    def _patience_s(self, sink: str) -> float:
        return self._timer.patience_s if self._timer.sparse and self.backlog(sink) < PATIENT_ROWS else 0.0

    def _take_group(self) -> Group:
        group = self._group
        group.close(self._clock.wall_ms())
        self._group = Group()
        self._timer.stop(len(group.rows))
        self._in_flight = len(group.rows)
        self._closed_groups += 1
        return group

    async def _commit_until_done(self, group: Group) -> None:
        while True:
            try:
                await self._commit_once(group)
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as err:
                self._fail(err)
                await asyncio.sleep(RETRY_S)
                continue
            return

    async def _commit_once(self, group: Group) -> None:
        await self._worker.submit(group.write)
        self._recovered()
        self.commits += 1
        self.rows_stored += len(group.rows)
        self._in_flight = 0
        self._room.set()
        if group.rows:
            self._announce(group.rows[-1][0])
        for session, snapshot in group.snapshots:
            session.committed(snapshot)
        self._done_groups += 1
        self._done.set()

    @property
    def waiting(self) -> bool:
        """Whether anything received waits for its commit."""
        return self._timer.running or self._done_groups < self._closed_groups

    async def flushed(self, timeout_s: float) -> bool:
        """Wait until what was received before this call is committed, whatever comes meanwhile; False at the deadline."""
        last = self._closed_groups + self._timer.running
        try:
            async with asyncio.timeout(timeout_s):
                while self._done_groups < last:
                    self._done.clear()
                    await self._done.wait()
        except TimeoutError:
            return False
        return True

    def _fail(self, err: sqlite3.Error) -> None:
        if self.failing is None:
            self.failing_since_s = self._clock.monotonic_s()
            log.error("spool: cannot write %s, %s; inputs are not acknowledged until it can", self.path, err)
        self.failing = str(err)
        self.retries += 1

    def _recovered(self) -> None:
        if self.failing is not None:
            log.warning("spool: writes again after %.0f s", self._clock.monotonic_s() - self.failing_since_s)
            self.failing = None

    @property
    def open_s(self) -> float:
        """Seconds since this store was opened, whatever the wall clock did meanwhile."""
        return self._clock.monotonic_s() - self._opened_s

    async def keep_budget(self) -> None:
        # A clock that leaps ahead makes nothing older: age counts the time that went by while we ran.
        now_ms = min(self._clock.wall_ms(), self._age_from_ms + int(self.open_s * 1000))
        going_on = False
        while True:
            trim = self._trim_job(now_ms, going_on)
            try:
                trimmed = await self._worker.submit(trim)
            except sqlite3.Error as err:
                log.warning("spool: budget not kept now, %s", err)
                return
            if trimmed.dropped:
                log.warning("spool: budget dropped %d records that a sink had not confirmed", trimmed.dropped)
            if not trimmed.more:
                return
            going_on = True

    def _trim_job(self, now_ms: int, going_on: bool) -> Any:
        def work(conn: sqlite3.Connection) -> retention.Trimmed:
            trimmed = retention.trim(conn, self.budget, now_ms, going_on=going_on)
            self.used_bytes = retention.used_bytes(conn)
            # Once a minute and not with each group: it would be one more page of every commit. A crash may cost a minute of it.
            counted = self.rows_stored, self.written_bytes
            records, written = counted[0] - self._day_counted[0], counted[1] - self._day_counted[1]
            conn.execute(
                "INSERT INTO days (day, records, written) VALUES (?, ?, ?) ON CONFLICT (day) "
                "DO UPDATE SET records = records + excluded.records, written = written + excluded.written",
                (self._clock.wall_ms() // DAY_MS, records, written),
            )
            self._day_counted = counted
            return trimmed

        return work

    def _after_commit(self, conn: sqlite3.Connection) -> None:
        """In the thread: count what was written, and copy the WAL back when it has grown."""
        try:
            size = os.stat(self._wal).st_size
            self.written_bytes += max(0, size - self._wal_seen)
            self._wal_seen = size
            if size >= self._checkpoint_at:
                conn.execute("PRAGMA busy_timeout=0")  # somebody reads: commits must not wait for them
                try:
                    busy, _, copied = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    conn.execute(f"PRAGMA busy_timeout={BUSY_MS}")
                if busy:  # copied as far as the reader allows; the rest when the WAL has grown again
                    copied = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[2]
                # An upper bound: hot pages are written once.
                self.written_bytes += max(0, copied - self._wal_copied) * PAGE_BYTES
                self._wal_copied = copied if busy else 0
                self._checkpoint_at = size + CHECKPOINT_BYTES if busy else CHECKPOINT_BYTES
                if not busy:
                    self._wal_seen = 0
        except (OSError, sqlite3.Error) as err:
            log.debug("spool: checkpoint not now, %s", err)


def _next_id(conn: sqlite3.Connection, table: str) -> int:
    return int(conn.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()[0])


def put_life(conn: sqlite3.Connection, life: Life) -> LifeInfo:
    row = conn.execute(
        "INSERT INTO lives (node, life, board, name, provisioned_s, until_s) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (node, life) DO UPDATE SET board = excluded.board, name = excluded.name, "
        "provisioned_s = excluded.provisioned_s, until_s = excluded.until_s RETURNING id",
        (life.address, life.life, life.board, life.name, life.provisioned_s, life.until_s),
    ).fetchone()[0]
    return LifeInfo(int(row), life.address, life.life, life.board, life.name)
