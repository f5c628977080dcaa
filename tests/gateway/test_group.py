"""What a group writes: many rows a statement, few statements."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.keys import Life
from gateway.models import GAP, RECORD
from gateway.store.group import ROWS_PER_STATEMENT, STORED, CountKey, Group, insert_many
from gateway.store.rows import Row
from gateway.store.schema import connect, prepare
from gateway.store.sinks import OFF
from gateway.store.spool import put_life


def test_any_number_of_rows_is_inserted_by_few_statements() -> None:
    conn = sqlite3.connect(":memory:")
    conn.execute("CREATE TABLE numbers (a, b)")
    seen: set[int] = set()
    conn.set_trace_callback(lambda sql: seen.add(sql.partition(" VALUES ")[2].count("(")))
    for count in [*range(90), 1_023, 1_024, 1_025]:
        rows = [(number, count) for number in range(count)]
        insert_many(conn, "INSERT INTO numbers (a, b) VALUES ", "", rows)
        assert conn.execute("SELECT a, b FROM numbers ORDER BY rowid").fetchall() == rows
        conn.execute("DELETE FROM numbers")
    assert seen - {0} == set(ROWS_PER_STATEMENT), "SQLite keeps what it compiled"


def test_records_are_counted_as_they_are_written_and_once_if_the_disk_refused_them_first(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    prepare(path)
    conn = connect(path)
    for life in (1, 2):
        put_life(conn, Life(address=life, key=bytes([life] * 16), board="", provisioned_s=0))
    group = Group()
    group.counts[CountKey(1, 4, 8, 0, OFF)] = 60
    hours = (7, 7, 8)
    for pos in range(1, 7):
        life, kind, span = 1 + pos % 2, GAP if pos == 6 else RECORD, 60 if pos == 6 else 1
        group.rows.append(Row(pos, life, pos, span, kind, 4, hours[pos % 3], 0, 0, 0, 0, 0, 100, b"\0"))
    conn.execute("BEGIN IMMEDIATE")
    group.write(conn)
    conn.execute("ROLLBACK")
    conn.execute("BEGIN IMMEDIATE")
    group.write(conn)
    conn.execute("COMMIT")
    assert conn.execute("SELECT life, profile, hour, sink, what, n FROM counts ORDER BY 1, 2, 3, 4, 5").fetchall() == [
        (1, 4, 7, 0, STORED, 1),
        (1, 4, 8, 0, STORED, 1),
        (1, 4, 8, 0, OFF, 60),
        (2, 4, 7, 0, STORED, 2),
        (2, 4, 8, 0, STORED, 1),
    ]
    assert conn.execute("SELECT id, stored FROM lives ORDER BY id").fetchall() == [(1, 62), (2, 3)]
    conn.close()
