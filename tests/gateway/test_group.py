"""What a group writes: many rows a statement, few statements."""

from __future__ import annotations

import sqlite3

from gateway.store.group import ROWS_PER_STATEMENT, insert_many


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
