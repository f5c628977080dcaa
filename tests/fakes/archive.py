"""A store on disk with records in it, as a gateway would have left it."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import SystemClock
from gateway.keys import Life
from gateway.models import EVENT, GAP, RECORD, Reception, encode_receptions, hour_of, record_id
from gateway.store import Store
from gateway.store.group import ProfileRow
from gateway.store.rows import Row, pack_detail, pack_values
from tests.fakes.spool import START_MS
from wire.channels import by_name
from wire.crypto import subkeys
from wire.profiles import Profile
from wire.quality import BLOCKED, SUSPECT

KEY = bytes(range(16))
LIFE = subkeys(KEY).life
WINDOW_MS = 60_000
PROFILE = Profile(tuple((by_name(name).id, 0) for name in ("pm2_5", "temperature", "vehicles")), 60)


# Of the record with seq 3, which came over LoRa.
HEARD = encode_receptions((Reception("roof", 868_100_000, 9, -97, 26), Reception("mast", 868_100_000, 9, -120, -13)))


async def fill(path: Path, count: int, *, node: int = 7, sink: str = "mqtt", extras: bool = False) -> set[str]:
    """Store `count` windows of `node` (pm2_5, temperature, vehicles), with `extras` also a gap and an event; the ids.

    Every tenth temperature is missing and flagged; every seventh vehicles count is suspect, blocked. The record with seq 3 came over LoRa.
    """
    store = Store(path, SystemClock())
    await store.open()
    await store.add_sink(sink)
    named = Life(address=node, key=KEY, board="air-v1", name=f"Rathaus {node}", provisioned_s=START_MS // 1000)
    life = (await store.add_lives([named]))[node, LIFE]
    profile = store.next_id("profile")
    store.add_profile(ProfileRow(profile, life.row, PROFILE.encode(), START_MS // WINDOW_MS, 0))
    ids = set()

    def put(seq: int, kind: int, row_profile: int, data: bytes, coverage: int) -> None:
        end_ms = START_MS + (seq + 1) * WINDOW_MS
        hour = hour_of(end_ms - WINDOW_MS)
        row = Row(
            0,
            life.row,
            seq,
            1,
            kind,
            row_profile,
            hour,
            end_ms,
            WINDOW_MS,
            2003,
            0,
            end_ms + 250,
            coverage,
            data,
            HEARD if kind == RECORD and seq == 3 else None,
        )
        store.put(tuple(row)[1:])
        ids.add(record_id(node, LIFE, seq))

    for seq in range(count):
        values = (100 + seq % 400, None if seq % 10 == 9 else -250 + seq, seq % 60)
        flags = (1, 9 if seq % 10 == 9 else 1, SUSPECT | BLOCKED << 4 if seq % 7 == 6 else 1)
        put(seq, RECORD, profile, pack_values(values, None if flags == (1, 1, 1) else flags), 100)
    if extras:
        put(count, GAP, profile, pack_detail({"count": 1, "cause": 1}), 0)
        put(count + 1, EVENT, 0, pack_detail({"code": 2, "arg": 0}), 0)
    await store.close()
    return ids
