"""A spool in memory with the contract of the store: boundaries once given stay, confirm alone moves the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.models import EVENT, GAP, RECORD, Batch, Channel, LifeInfo, ProfileInfo, Record

LIFE = LifeInfo(row=1, node=7, life=0x1A2B3C4D, board="air-v1", name="Rathaus")
PROFILE = ProfileInfo(
    row=1,
    id=0xC0FFEE01,
    short=1,
    window_s=60,
    calibration=0,
    version=1,
    channels=(
        Channel("pm2_5", "ug/m3", 1),
        Channel("temperature", "Cel", 2),
        Channel("humidity", "%", 1),
        Channel("vehicles", "1", 0),
    ),
)
START_MS = 1_795_000_000_000 // 60_000 * 60_000


def record(
    seq: int,
    values: tuple[int | None, ...] = (123, -505, 801, 17),
    flags: tuple[int, ...] | None = None,
    kind: int = RECORD,
    detail: dict[str, int] | None = None,
) -> Record:
    """Window number `seq` of node 7."""
    start_ms = START_MS + seq * 60_000
    return Record(
        pos=seq + 1,
        life_info=LIFE,
        seq=seq,
        kind_code=kind,
        profile=PROFILE if kind in (RECORD, GAP) else None,
        start_ms=start_ms,
        end_ms=start_ms + 60_000,
        bound_ms=2005,
        received_ms=start_ms + 60_123,
        coverage=100,
        values=values if kind == RECORD else (),
        flags=flags,
        detail=detail,
        time_code=0,
    )


def event(seq: int) -> Record:
    return record(seq, kind=EVENT, detail={"code": 3, "arg": 1})


class FakeSpool:
    """One sink."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.open: dict[int, Batch] = {}
        self.confirmed: list[str] = []
        self.refused: list[str] = []
        self.given: list[int] = []  # ids of batches in the order they were given out
        self._cut = 0
        self._next = 1
        self._news = asyncio.Event()

    def put(self, records: Sequence[Record]) -> None:
        self.records.extend(records)
        self._news.set()

    async def add_sink(self, name: str) -> None:
        pass

    async def next_batch(self, sink: str, max_records: int, max_bytes: int, after: int = 0) -> Batch | None:
        await asyncio.sleep(0)
        for batch_id, batch in sorted(self.open.items()):
            if batch_id > after:
                self.given.append(batch_id)
                return Batch(batch_id, batch.records, True)
        rows = tuple(self.records[self._cut : self._cut + max_records])
        if not rows:
            return None
        self._cut += len(rows)
        batch = Batch(self._next, rows, False)
        self._next += 1
        self.open[batch.id] = batch
        self.given.append(batch.id)
        return batch

    async def confirm(self, sink: str, batch_id: int, records: Sequence[Record] | None = None) -> None:
        await asyncio.sleep(0)
        batch = self.open.pop(batch_id, None)
        if batch is not None:
            self.confirmed.extend(record.id for record in batch.records)

    async def refuse(self, sink: str, batch_id: int, record_ids: Sequence[str], reason: str) -> None:
        self.refused.extend(record_ids)

    async def wait_new(self, sink: str, timeout_s: float) -> bool:
        self._news.clear()
        if self._cut < len(self.records):
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True
