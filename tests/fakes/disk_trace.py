"""What a gateway's life writes to its disk, operation by operation: an apsw VFS around SQLite's own, and an adapter that
gives an apsw connection the manners of the sqlite3 module, so that the store's code runs on it unchanged.

Everything goes through to real files. Recorded are writes with their bytes, truncations, syncs, and what happens to names:
created, removed, renamed, and when a directory was synced. Two things that SQLite's own VFS does below us are known from
its source (os_unix.c): the first sync of a journal or a WAL syncs the directory too, and so does a removal that asks for it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

import apsw

CREATE, WRITE, TRUNCATE, SYNC, REMOVE, RENAME, SYNC_DIRECTORY = (
    "create", "write", "truncate", "sync", "remove", "rename", "sync directory",
)  # fmt: skip
JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


class Op(NamedTuple):
    """`file` numbers the files that ever were (a name made anew is another file); `name` is its name within the folder."""

    what: str
    file: int = -1
    name: str = ""
    at: int = 0  # offset of a write, size after a truncation
    data: bytes = b""
    to: str = ""  # new name


class DiskTrace:
    """Records what is done to the files of one folder. `ops` grows; its length is the clock of what else is noted."""

    _numbers = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.ops: list[Op] = []
        self.before = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        self._files = {name: number for number, name in enumerate(sorted(self.before))}
        self._next = len(self._files)
        self._lock = threading.Lock()
        DiskTrace._numbers += 1
        self.vfs_name = f"traced-{os.getpid()}-{DiskTrace._numbers}"
        self._vfs = _Vfs(self)

    def close(self) -> None:
        self._vfs.unregister()

    # -- what is recorded ------------------------------------------------------------------------------------------

    def name_of(self, path: str | os.PathLike[str]) -> str | None:
        """The name within the folder; None: not ours."""
        where = Path(os.path.abspath(path))
        return where.name if where.parent == self.folder else None

    def note(self, op: Op) -> None:
        with self._lock:
            self.ops.append(op)

    def opened(self, name: str, existed: bool) -> int:
        with self._lock:
            if not existed or name not in self._files:
                self._files[name] = self._next
                self._next += 1
                self.ops.append(Op(CREATE, self._files[name], name))
            return self._files[name]

    def removed(self, name: str) -> None:
        self._files.pop(name, None)
        self.note(Op(REMOVE, name=name))

    def renamed(self, name: str, to: str) -> None:
        self._files[to] = self._files.pop(name)
        self.note(Op(RENAME, name=name, to=to))

    def synced(self, name: str) -> None:
        self.note(Op(SYNC, self._files[name], name))

    # -- the seams -------------------------------------------------------------------------------------------------

    def opener(self, synchronous: str = "FULL") -> Any:
        """For `Store(opener=…)`. `synchronous`: what becomes of the product's PRAGMA synchronous=FULL."""

        def open_database(database: Any, **options: Any) -> Any:
            flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            if options.get("uri"):
                parts = urlparse(str(database))
                assert parts.query == "mode=ro", parts
                database, flags = unquote(parts.path), apsw.SQLITE_OPEN_READONLY
            try:
                return Connection(apsw.Connection(str(database), flags=flags, vfs=self.vfs_name), synchronous)
            except apsw.Error as err:
                raise _as_sqlite3(err) from err

        return open_database

    @contextmanager
    def files(self) -> Iterator[None]:
        """Record what Python itself does to files meanwhile: os.open, os.fsync, os.replace, os.unlink."""
        true_open, true_fsync, true_replace, true_unlink = os.open, os.fsync, os.replace, os.unlink

        def traced_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            existed = os.path.exists(path)
            fd = true_open(path, flags, *args, **kwargs)
            name = self.name_of(path)
            if name is not None and flags & os.O_CREAT:
                self.opened(name, existed)
            return fd

        def traced_fsync(fd: Any) -> None:
            true_fsync(fd)
            path = Path(os.readlink(f"/proc/self/fd/{fd if isinstance(fd, int) else fd.fileno()}"))
            name = self.name_of(path)
            if path == self.folder:
                self.note(Op(SYNC_DIRECTORY))
            elif name is not None:
                self.synced(name)

        def traced_replace(path: Any, target: Any, **kwargs: Any) -> None:
            true_replace(path, target, **kwargs)
            name, to = self.name_of(path), self.name_of(target)
            if name is not None and to is not None:
                self.renamed(name, to)

        def traced_unlink(path: Any, **kwargs: Any) -> None:
            true_unlink(path, **kwargs)
            name = self.name_of(path)
            if name is not None:
                self.removed(name)

        os.open, os.fsync = traced_open, traced_fsync  # type: ignore[assignment]
        os.replace, os.unlink = traced_replace, traced_unlink  # type: ignore[assignment]
        try:
            yield
        finally:
            os.open, os.fsync, os.replace, os.unlink = true_open, true_fsync, true_replace, true_unlink


# -- SQLite's side -----------------------------------------------------------------------------------------------------


class _Vfs(apsw.VFS):
    def __init__(self, trace: DiskTrace) -> None:
        self._trace = trace
        super().__init__(trace.vfs_name, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # SQLite's name
        return _File(self._trace, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        existed = os.path.exists(filename)
        super().xDelete(filename, syncdir)
        name = self._trace.name_of(filename)
        if name is not None and existed:
            self._trace.removed(name)
            if syncdir:
                self._trace.note(Op(SYNC_DIRECTORY))


class _File(apsw.VFSFile):
    def __init__(self, trace: DiskTrace, name: Any, flags: list[int]) -> None:
        path = None if name is None else name if isinstance(name, str) else name.filename()
        ours = None if path is None else trace.name_of(path)
        existed = path is not None and os.path.exists(path)
        super().__init__("unix", name, flags)
        self._trace = trace
        self._name = ours or ""
        self._file = -1 if ours is None else trace.opened(ours, existed)
        self._syncs_directory = bool(flags[0] & JOURNALS)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        if self._file >= 0:
            self._trace.note(Op(WRITE, self._file, self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        if self._file >= 0:
            self._trace.note(Op(TRUNCATE, self._file, self._name, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if self._file >= 0:
            self._trace.note(Op(SYNC, self._file, self._name))
            if self._syncs_directory:
                self._syncs_directory = False
                self._trace.note(Op(SYNC_DIRECTORY))


class Rows:
    """What sqlite3 calls a cursor, its rows already read."""

    def __init__(self, rows: list[Any], rowcount: int, lastrowid: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount
        self.lastrowid = lastrowid

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class Connection:
    """The part of sqlite3.Connection that the store uses."""

    def __init__(self, conn: apsw.Connection, synchronous: str) -> None:
        self.apsw = conn
        self._synchronous = synchronous
        self._read_only = conn.readonly("main")

    @property
    def in_transaction(self) -> bool:
        return self.apsw.in_transaction

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        if sql == "PRAGMA synchronous=FULL":
            sql = f"PRAGMA synchronous={self._synchronous}"
        try:
            rows = list(self.apsw.execute(sql, tuple(values)))
        except apsw.Error as err:
            raise _as_sqlite3(err) from err
        return Rows(rows, self.apsw.changes(), self.apsw.last_insert_rowid())

    def executemany(self, sql: str, many: Sequence[Sequence[Any]]) -> None:
        for values in many:
            self.execute(sql, values)

    def executescript(self, sql: str) -> None:
        self.execute(sql)

    def backup(self, target: Connection) -> None:
        with target.apsw.backup("main", self.apsw, "main") as copying:
            copying.step()

    def close(self) -> None:
        try:
            self.apsw.close()
        except apsw.IOError:
            # The last one to close tries for the lock that a checkpoint needs; on a read-only file that fails, and SQLite
            # closes all the same. apsw tells us nevertheless.
            if not self._read_only:
                raise


def _as_sqlite3(err: apsw.Error) -> sqlite3.Error:
    kind: type[sqlite3.Error] = sqlite3.OperationalError
    if isinstance(err, apsw.ConstraintError):
        kind = sqlite3.IntegrityError
    elif isinstance(err, apsw.NotADBError | apsw.CorruptError):
        kind = sqlite3.DatabaseError
    made = kind(str(err))
    made.sqlite_errorcode = err.extendedresult
    return made
