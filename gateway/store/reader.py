"""Read-only sight of the archive for export, ledger and others: a second connection beside the running gateway."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from gateway.differences import channel_name
from gateway.models import Channel, LifeInfo, ProfileInfo, Record
from gateway.store.rows import COLUMNS, to_record
from gateway.store.schema import connect_read_only
from wire.channels import TOTAL, by_id
from wire.profiles import Profile, decode_profile

PAGE_ROWS = 2_000  # a read transaction lasts no longer than this many rows, so that the WAL can be copied back


def profile_info(row: int, profile: Profile) -> ProfileInfo:
    """The names, units and decimals that sinks use for a profile's values."""
    channels = []
    for channel_id, instance in profile.items:
        channel = by_id(channel_id)
        name = channel_name(channel_id, instance)
        channels.append(Channel(name, channel.unit, channel.decimals, channel.kind == TOTAL))
    return ProfileInfo(
        row, profile.id, profile.short, profile.window_s, profile.calibration, profile.version, tuple(channels)
    )


def load_lives(conn: sqlite3.Connection) -> dict[int, LifeInfo]:
    return {row[0]: LifeInfo(*row) for row in conn.execute("SELECT id, node, life, board, name FROM lives")}


def load_profiles(conn: sqlite3.Connection) -> dict[int, ProfileInfo]:
    return {
        row: profile_info(row, decode_profile(descriptor))
        for row, descriptor in conn.execute("SELECT id, descriptor FROM profiles")
    }


class Reader:
    """Context manager over one read-only connection. StoreError if there is no store or it is not ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.conn = connect_read_only(path)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.conn.close()

    def records(
        self,
        *,
        after_pos: int = 0,
        since_ms: int | None = None,
        until_ms: int | None = None,
        nodes: set[int] | None = None,
        kinds: set[int] | None = None,
        counted: bool = False,
    ) -> Iterator[Record]:
        """Records in the order of arrival; `since_ms` ≤ end of observation < `until_ms`, `nodes` are addresses. `counted`:
        besides these `kinds` whatever tells a difference of totals."""
        lives = load_lives(self.conn)
        profiles = load_profiles(self.conn)
        where = ["pos > ?"]
        limits: list[int] = []
        if since_ms is not None:
            where.append("end_ms >= ?")
            limits.append(since_ms)
        if until_ms is not None:
            where.append("end_ms < ?")
            limits.append(until_ms)
        if kinds is not None:
            wanted = f"kind IN ({','.join(str(int(kind)) for kind in kinds)})"
            where.append(f"({wanted} OR differences IS NOT NULL)" if counted else wanted)
        if nodes is not None:
            rows = [str(row) for row, info in lives.items() if info.node in nodes]
            where.append(f"life IN ({','.join(rows) or '0'})")
        sql = f"SELECT {COLUMNS} FROM records WHERE {' AND '.join(where)} ORDER BY pos LIMIT {PAGE_ROWS}"
        pos = after_pos
        while True:
            page = self.conn.execute(sql, (pos, *limits)).fetchall()
            for row in page:
                if row[5] not in profiles and row[5]:  # met since we started
                    profiles = load_profiles(self.conn)
                if row[1] not in lives:
                    lives = load_lives(self.conn)
                yield to_record(row, lives, profiles)
            if len(page) < PAGE_ROWS:
                return
            pos = page[-1][0]

    def ids(self) -> Iterator[str]:
        for record in self.records():
            yield record.id

    def position(self) -> int:
        """The newest place in the spool; 0 when it is empty."""
        return int(self.conn.execute("SELECT coalesce(max(pos), 0) FROM records").fetchone()[0])
