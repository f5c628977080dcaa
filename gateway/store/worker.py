"""A thread that owns one database connection. The event loop hands it jobs and never waits for the disk itself.

Jobs that wait together share one transaction, hence one sync; each runs in a savepoint, so that one that fails takes
nothing of the others with it. A future is resolved only after the commit returned. A job may be patient: it waits in the loop
for a job that is not, and goes with it, right behind.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
JOBS_PER_COMMIT = 64  # bounds how long the first of a queue waits for its sync


class _Job:
    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None


class Worker:
    """`pending` is the number of jobs handed over whose result has not reached the loop: a virtual clock must not move
    while it is above zero."""

    def __init__(self, name: str, opener: Callable[[], sqlite3.Connection], *, writes: bool) -> None:
        self.pending = 0
        self._opener = opener
        self._writes = writes
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._waiting: list[_Job] = []  # not handed over yet
        self._patience: asyncio.TimerHandle | None = None  # until they are
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop = asyncio.get_running_loop()
        self._conn: sqlite3.Connection | None = None
        self._after_commit: list[Callable[[sqlite3.Connection], None]] = []
        self._started = False

    def after_commit(self, call: Callable[[sqlite3.Connection], None]) -> None:
        """Call `call` in the thread after each commit; it must not raise (checkpoints, measurements)."""
        self._after_commit.append(call)

    def start(self) -> None:
        self._started = True
        self._thread.start()

    async def submit(self, work: Callable[[sqlite3.Connection], T], patience_s: float = 0.0) -> T:
        """Run `work(connection)` in the thread; returns after its transaction is synced, raises what it raised.

        With `patience_s` it is begun behind the next one that has none, in its transaction, or after that time.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(work, future)
        if patience_s <= 0:
            self._hand_over(job)
        else:
            self._waiting.append(job)
            if self._patience is None:
                self._patience = self._loop.call_later(patience_s, self._hand_over)
        return await future  # cancelled with its waiter; the transaction runs to its end all the same

    def _hand_over(self, *first: _Job) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        jobs = [*first, *self._waiting]
        self._waiting = []
        if jobs:
            self.pending += len(jobs)
            self._begin(jobs)

    def _begin(self, jobs: list[_Job]) -> None:
        self._jobs.put(jobs)

    async def close(self) -> None:
        """Finish what was submitted, then close the connection."""
        if not self._started:
            return
        self._hand_over()
        self._jobs.put(None)
        while self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 1.0)
        self._started = False

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        closing = False
        while not closing:
            jobs = self._jobs.get()
            if jobs is None:
                break
            while len(jobs) < JOBS_PER_COMMIT:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    closing = True
                    break
                jobs += more
            self._transact(jobs)
            try:
                self._loop.call_soon_threadsafe(self._resolve, jobs)
            except RuntimeError:  # the loop was closed without close(): nobody waits any more
                break
        self._drop_connection()

    def _transact(self, jobs: list[_Job]) -> None:
        try:
            conn = self._conn
            if conn is None:
                conn = self._conn = self._opener()
            if self._writes:
                conn.execute("BEGIN IMMEDIATE")
            else:
                conn.execute("BEGIN")
            for job in jobs:
                self._run_job(conn, job, alone=len(jobs) == 1)
            conn.execute("COMMIT")
        except BaseException as err:
            for job in jobs:
                job.error = job.error or err
            self._recover(err)
            return
        for call in self._after_commit:
            call(conn)

    @staticmethod
    def _run_job(conn: sqlite3.Connection, job: _Job, *, alone: bool) -> None:
        if alone:
            job.result = job.work(conn)
            return
        conn.execute("SAVEPOINT job")
        try:
            job.result = job.work(conn)
        except Exception as err:
            if not conn.in_transaction:  # SQLite rolled everything back by itself (disk full, I/O error)
                raise
            conn.execute("ROLLBACK TO job")
            job.error = err
        conn.execute("RELEASE job")

    def _recover(self, err: BaseException) -> None:
        conn = self._conn
        if conn is None:
            return
        try:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        except sqlite3.Error:
            pass
        if isinstance(err, sqlite3.Error) and not isinstance(err, sqlite3.IntegrityError):
            # After an I/O error the connection's idea of the file may be stale: the next job opens it anew.
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._conn is not None:
            try:
                self._conn.close()
            except sqlite3.Error:
                pass
            self._conn = None

    # -- in the loop -----------------------------------------------------------------------------------------------

    def _resolve(self, jobs: list[_Job]) -> None:
        for job in jobs:
            self.pending -= 1
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
