"""How tests/data/spool_schema1.db was made, once: schema 1, with undelivered records, an open batch and held input.

Not run by any test: the stored file is the test input, also when schema and code have moved on.
Run from the clone's root: PYTHONPATH=. .venv/bin/python tests/data/make_spool_schema1.py
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from gateway.store import schema
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, rig
from wire import messages

TARGET = Path(__file__).with_name("spool_schema1.db")
W0 = START_S // 60


async def fill(path: Path) -> None:
    node, shy = FakeNode(7), FakeNode(8)
    async with rig(path) as r:
        await r.add(node)
        await r.add(shy, profiles=False)
        shy.faults.mute_descriptor = True
        shy.faults.no_clock = True
        node.hello()
        for i in range(30):
            node.seal(W0 + i)
        node.gap(messages.OFF, W0 + 30, 5)
        node.send_outbox()
        await r.settle()
        first = await r.store.next_batch("mqtt", 8, 1 << 20)
        assert first is not None
        await r.store.confirm("mqtt", first.id)
        await r.store.next_batch("mqtt", 8, 1 << 20, first.id)  # published, never confirmed
        shy.seal(W0)
        shy.seal_unclocked(60_000)
        shy.send_outbox()
        await r.settle()


def main() -> None:
    work = TARGET.with_suffix(".work")
    work.unlink(missing_ok=True)
    asyncio.run(fill(work))
    # Schema 1 is what 0002.sql adds to, so its additions are taken away again.
    with sqlite3.connect(work) as conn:
        conn.execute("PRAGMA journal_mode=DELETE")
        conn.execute("ALTER TABLE sinks DROP COLUMN confirmed")
        conn.execute("ALTER TABLE sinks DROP COLUMN confirmed_ms")
        conn.execute("DROP TABLE days")
        conn.execute("PRAGMA user_version=1")
        conn.commit()
        conn.execute("VACUUM")
    conn.close()
    work.replace(TARGET)
    assert schema.newest_version() >= 2


if __name__ == "__main__":
    main()
