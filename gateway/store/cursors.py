"""The sinks' side of the store: one cursor a sink, batches cut, given out again, confirmed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.clock import Clock
from gateway.models import Batch, LifeInfo, ProfileInfo, Record
from gateway.store import sinks
from gateway.store.rows import to_record
from gateway.store.worker import Worker

T = TypeVar("T")


class Cursors:
    """The part of `Store` that forwarders use. Its state lives in the event loop, its jobs in the worker."""

    _worker: Worker
    _reader: Worker

    def __init__(self, clock: Clock) -> None:
        self.lives: dict[int, LifeInfo] = {}
        self.life_rows: dict[tuple[int, int], int] = {}
        self.profiles: dict[int, ProfileInfo] = {}
        self._clock = clock
        self._sinks: dict[str, sinks.SinkRow] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._delivered = asyncio.Event()  # something was confirmed
        self._stored_pos = 0
        self._newest: dict[str, int] = {}  # by sink: the batch that was cut last; there is none above it

    def _patience_s(self, sink: str) -> float:
        """How long a cut or a confirmation may wait for a group that is committed anyway, to share its sync."""
        return 0.0

    def _announce(self, pos: int) -> None:
        """Rows up to `pos` are on the disk."""
        self._stored_pos = pos
        for event in self._news.values():
            event.set()

    async def add_sink(self, name: str) -> None:
        """Register a sink; from then on it has a cursor of its own. Idempotent."""
        if name not in self._sinks:
            self._sinks[name] = await self._worker.submit(lambda conn: sinks.add_sink(conn, name))
            self._news[name] = asyncio.Event()

    def sink_names(self) -> list[str]:
        return list(self._sinks)

    def confirmed_ms(self, sink: str) -> int:
        """When the sink last confirmed something, 0: never."""
        return self._sinks[sink].confirmed_ms

    def backlog(self, sink: str) -> int:
        """Rows not yet cut into a batch for this sink."""
        return self._stored_pos - self._sinks[sink].cut

    async def next_batch(self, sink: str, max_records: int, max_bytes: int, after: int = 0) -> Batch | None:
        """The first unconfirmed batch above `after`, with the boundaries it was first given; else a new one, whose
        boundaries are synced before this returns; None when there is nothing."""
        row = self._sinks[sink]
        if after and after == self._newest.get(sink) and self.backlog(sink) <= 0:
            return None  # without a word to the disk: this is asked after every batch
        cut = await self._worker.submit(
            lambda conn: sinks.next_batch(conn, row.id, max_records, max_bytes, after), self._patience_s(sink)
        )
        if cut is None:
            return None
        self._sinks[sink] = self._sinks[sink]._replace(cut=cut.cut)
        if not cut.redelivery:
            self._newest[sink] = cut.id
        return Batch(cut.id, tuple([to_record(raw, self.lives, self.profiles) for raw in cut.rows]), cut.redelivery)

    async def confirm(self, sink: str, batch_id: int, records: Sequence[Record] | None = None) -> None:
        """The sink confirmed this batch. `records`: what it was really given; the ledger counts these and no others."""
        row, now_ms = self._sinks[sink], self._clock.wall_ms()
        given = None if records is None else frozenset(record.pos for record in records)
        await self._worker.submit(
            lambda conn: sinks.confirm(conn, row.id, batch_id, now_ms, given), self._patience_s(sink)
        )
        self._sinks[sink] = self._sinks[sink]._replace(confirmed_ms=now_ms)
        self._delivered.set()

    async def refuse(self, sink: str, batch_id: int, record_ids: Sequence[str], reason: str) -> None:
        """The sink will never take these records; the cause is counted when the rest of the batch is confirmed."""
        row = self._sinks[sink]
        pairs = []
        for text in record_ids:
            node, life, seq = text.split("-")
            pairs.append((self.life_rows[(int(node), int(life, 16))], int(seq)))
        await self._worker.submit(lambda conn: sinks.refuse(conn, row.id, batch_id, pairs, reason))

    async def wait_new(self, sink: str, timeout_s: float) -> bool:
        """Wait until there is something that was not yet cut into a batch; False at the deadline."""
        if self.backlog(sink) > 0:
            return True
        event = self._news[sink]
        event.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return False
        return self.backlog(sink) > 0

    async def delivered(self, timeout_s: float) -> bool:
        """Wait until no sink has a backlog or an open batch; False at the deadline."""
        self._delivered.set()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._delivered.wait()
                    self._delivered.clear()
                    if not await self.query(self._open_batches) and not any(map(self.backlog, self._sinks)):
                        return True
        except TimeoutError:
            return False

    def _open_batches(self, conn: sqlite3.Connection) -> bool:
        """Of the sinks that there are; one that was taken out of the configuration confirms nothing any more."""
        rows = {row.id for row in self._sinks.values()}
        return any(sink in rows for (sink,) in conn.execute("SELECT DISTINCT sink FROM batches"))

    async def query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a read in a thread and on a connection of its own, in one transaction: it sees what is committed, as of one
        instant, and however long it takes, no commit waits for it."""
        return await self._reader.submit(work)
