"""Opening the one file: application id, numbered migrations with a copy first, a newer schema refused."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from gateway.durable import sync_folder
from gateway.errors import GatewayError
from gateway.owner import as_owner

APPLICATION_ID = 0x53544731  # "STG1"
PAGE_BYTES = 4096  # the block of ext4 and of the cards a Raspberry Pi runs on
CACHE_KIB = 512  # a group touches the end of the table and some hot pages; the system's page cache has the rest
BUSY_MS = 5_000  # another process may hold the file for the length of its own short transaction


# What opens a database file, with the arguments of sqlite3.connect; whoever composes the gateway may give another.
Opener = Callable[..., sqlite3.Connection]


class StoreError(GatewayError):
    """The file cannot be used as it is; a person has to decide."""


def migrations() -> list[tuple[int, str]]:
    """All numbered scripts, ascending: (version they lead to, SQL)."""
    found = []
    for entry in Path(__file__).parent.glob("*.sql"):  # importlib.resources would load 1 MB of modules for it
        if entry.stem.isdigit():
            found.append((int(entry.stem), entry.read_text(encoding="utf-8")))
    return sorted(found)


def newest_version() -> int:
    return migrations()[-1][0]


def connect(path: Path, opener: Opener = sqlite3.connect) -> sqlite3.Connection:
    """A connection with the durability that an acknowledgement promises: WAL and a sync at every commit."""
    conn = opener(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        conn.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        conn.execute(f"PRAGMA page_size={PAGE_BYTES}")
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute("PRAGMA synchronous=FULL")
        conn.execute("PRAGMA wal_autocheckpoint=0")  # checkpoints are ours: they are counted
        conn.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        conn.execute("PRAGMA temp_store=MEMORY")
    except BaseException:
        conn.close()
        raise
    return conn


def connect_read_only(path: Path, opener: Opener = sqlite3.connect) -> sqlite3.Connection:
    """A connection for others; it never blocks the writer and cannot change anything."""
    if not _is_there(path):
        raise StoreError(
            "no store", where=str(path), next_step="start the gateway once, or name its data_dir", exit_code=3
        )
    conn = opener(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    conn.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    conn.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    try:
        check(conn, path)
    except BaseException:
        conn.close()
        raise
    version = _pragma(conn, "user_version")
    if version < newest_version():
        conn.close()
        raise StoreError(
            f"store has schema {version}, this Steiger reads {newest_version()}",
            where=str(path),
            next_step="start the gateway once: it copies and upgrades the file",
        )
    return conn


def _pragma(conn: sqlite3.Connection, name: str) -> int:
    return int(conn.execute(f"PRAGMA {name}").fetchone()[0])


def check(conn: sqlite3.Connection, path: Path) -> None:
    """Refuse what is not ours and what a newer Steiger made."""
    try:
        tables = int(conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        application_id = _pragma(conn, "application_id")
        version = _pragma(conn, "user_version")
    except sqlite3.DatabaseError as err:
        if "not a database" in str(err):
            raise StoreError("this file is not a database", where=str(path), next_step="name another data_dir") from err
        raise
    if tables and application_id != APPLICATION_ID:
        raise StoreError("this database is not a Steiger store", where=str(path), next_step="name another data_dir")
    if version > newest_version():
        raise StoreError(
            f"made by a newer Steiger: schema {version}, this one knows up to {newest_version()}",
            where=str(path),
            next_step="update Steiger, or name another data_dir; nothing was changed",
        )


def examine(path: Path, opener: Opener = sqlite3.connect) -> None:
    """`check` a file that may not be there yet, without changing a byte of it."""
    if not _is_there(path) or not path.stat().st_size:
        return
    try:
        _check_closed(opener(f"{path.absolute().as_uri()}?mode=ro", uri=True), path)
    except sqlite3.OperationalError as err:
        if err.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        # The power went while the file was made: what its journal holds must be taken back before anybody
        # can read it, whoever's file it is.
        _check_closed(opener(path), path)


def _check_closed(conn: sqlite3.Connection, path: Path) -> None:
    try:
        conn.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        check(conn, path)
    finally:
        conn.close()


def _is_there(path: Path) -> bool:
    """StoreError if this user may not even look."""
    try:
        return path.exists()
    except PermissionError:
        raise StoreError(
            "this user may not read the store", where=str(path), next_step=as_owner(path), exit_code=2
        ) from None


def copy_path(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.schema{version}")


def migrate(conn: sqlite3.Connection, path: Path, opener: Opener = sqlite3.connect) -> int:
    """Bring the file to the newest schema; before an old one is touched, a synced copy lies beside it. Returns the version."""
    check(conn, path)
    version = _pragma(conn, "user_version")
    newest = newest_version()
    if version == newest:
        return version
    if version:
        _copy(conn, copy_path(path, version), opener)
    for number, script in migrations():
        if number <= version:
            continue
        # One transaction a step: a power cut leaves the old schema or the new one.
        stamp = f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={number};"
        try:
            conn.executescript(f"BEGIN IMMEDIATE; {script}; {stamp} COMMIT;")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
    return newest


def _copy(conn: sqlite3.Connection, target: Path, opener: Opener) -> None:
    half = target.with_name(target.name + ".part")
    half.unlink(missing_ok=True)
    copy = opener(half)
    try:
        conn.backup(copy)
    finally:
        copy.close()
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(target)
    sync_folder(target.parent)


def prepare(path: Path, opener: Opener = sqlite3.connect) -> None:
    """Make the file or bring it to the newest schema. StoreError if it is not ours or newer than we are."""
    examine(path, opener)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would let others read
    conn = connect(path, opener)
    try:
        migrate(conn, path, opener)
    finally:
        conn.close()
    # The names that lead to the file must survive a power cut as well as its pages.
    sync_folder(path.parent)
    for folder in path.absolute().parent.parents:
        try:
            sync_folder(folder)
        except OSError:
            pass  # not ours to read: then we did not make anything in it either
