"""The key file: which nodes may speak to this gateway, life by life. JSON, mode 0600, never printed.

A *life* begins with each provisioning; its number follows from its key (wire.crypto), so it cannot be mistyped. An
address has at most one open life (`until_s` 0); the older ones stay, so that records that are still queued on the way
are decoded and counted. A life that ended when it began (`until_s` = `provisioned_s`) was taken by no board: it has no
windows.

The file is replaced as a whole: written beside, synced, renamed, the folder synced. Writers exclude each other by
flock on `<file>.lock`, so that a technician and the gateway's own tools never lose an entry to each other.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.durable import sync_folder
from gateway.errors import GatewayError
from wire import UTC_HIGH_S
from wire.crypto import subkeys

FILE_VERSION = 1
MAX_FILE_BYTES = 16 << 20  # some 50,000 lives; anything larger is not a key file
LOCK_TIMEOUT_S = 10.0
LOCK_POLL_S = 0.05

Hex = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})*$")]


class KeyFileError(GatewayError):
    """The key file cannot be used."""

    exit_code = 2


class KeyFileMissing(KeyFileError):
    """There is no key file yet."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One life of one address. `key` is the secret of that node and of no other."""

    address: int
    key: bytes
    life: int = 0  # u32; follows from the key, filled in when 0
    board: str = ""
    name: str = ""
    provisioned_s: int  # unix s: the grid starts with the window that contains it
    until_s: int = 0  # unix s; 0: this life is open
    lost: bool = False  # the node will never be heard again: what it may still hold is booked as "node off"
    profiles: tuple[str, ...] = ()  # encoded descriptors, hex: known before the first frame

    def __post_init__(self) -> None:
        if len(self.key) != 16:
            raise ValueError("a key has 16 bytes")
        number = subkeys(self.key).life
        if self.life not in (0, number):
            raise ValueError("the life does not belong to the key")
        msgspec.structs.force_setattr(self, "life", number)

    @property
    def void(self) -> bool:
        """Whether no board ever ran it."""
        return 0 < self.until_s == self.provisioned_s

    def __repr__(self) -> str:
        return (
            f"Life(address={self.address}, life={self.life:08x}, key=<redacted>, board={self.board!r}, "
            f"name={self.name!r}, provisioned_s={self.provisioned_s}, until_s={self.until_s})"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("address", self.address), ("life", f"{self.life:08x}"), ("until_s", self.until_s)]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One life as it stands in the file."""

    address: Annotated[int, Meta(ge=1, le=65535)]
    life: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}$")]
    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$")]
    board: str = ""
    name: str = ""
    provisioned_s: Annotated[int, Meta(ge=0, le=UTC_HIGH_S)]
    until_s: Annotated[int, Meta(ge=0, le=UTC_HIGH_S)] = 0
    lost: bool | msgspec.UnsetType = msgspec.UNSET
    profiles: list[Hex] = []


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    version: int
    lives: list[_Entry]


def load_keys(path: str | os.PathLike[str]) -> list[Life]:
    """Every life of the file, by address and age; KeyFileError (KeyFileMissing) says what to do."""
    file = Path(path)
    return _parse(file, _read_private(file))


def add_life(path: str | os.PathLike[str], life: Life) -> None:
    """Enter `life`; the open life of its address, if any, ends when the new one was provisioned.

    The entry is on disk when this returns. Entering the same life again changes nothing, but one that was withdrawn
    begins.
    """
    file = Path(path)
    with _locked(file):
        try:
            lives = load_keys(file)
        except KeyFileMissing:
            lives = []
        lives = [old for old in lives if not (old.void and (old.address, old.key) == (life.address, life.key))]
        same = [old for old in lives if old.key == life.key]
        if any(old.address == life.address for old in same):
            return
        if same:
            raise KeyFileError(
                f"the key is already that of node {same[0].address}",
                where=str(file),
                next_step="Make a fresh one: two nodes never share a key",
            )
        ended = [
            msgspec.structs.replace(old, until_s=max(life.provisioned_s, old.provisioned_s + 1))
            if old.address == life.address and not old.until_s
            else old
            for old in lives
        ]
        _replace(file, [*ended, life])


def withdraw_life(path: str | os.PathLike[str], number: int) -> bool:
    """No board took this life, and it is certain: it keeps its key and has no windows, and the life that it ended goes
    on, unless another one is open. False if there is nothing to withdraw."""
    file = Path(path)
    with _locked(file):
        lives = load_keys(file)
        gone = next((life for life in lives if life.life == number and not life.void), None)
        if gone is None:
            return False
        others = [life for life in lives if life is not gone]
        beside = [life for life in others if life.address == gone.address and not life.void]
        ended = [life for life in beside if life.until_s == max(gone.provisioned_s, life.provisioned_s + 1)]
        if ended and all(life.until_s for life in beside):
            others = [msgspec.structs.replace(life, until_s=0) if life is ended[-1] else life for life in others]
        _replace(file, [*others, msgspec.structs.replace(gone, until_s=gone.provisioned_s)])
        return True


def end_life(path: str | os.PathLike[str], address: int, until_s: int, *, lost: bool = False) -> bool:
    """Take a node out of service: its open life ends at `until_s`. False if it has none.

    `lost`: it will not be heard again, in any life that the address had so far.
    """
    file = Path(path)
    with _locked(file):
        lives = load_keys(file)
        changed = [
            msgspec.structs.replace(old, until_s=old.until_s or until_s, lost=lost or old.lost)
            if old.address == address and (lost or not old.until_s)
            else old
            for old in lives
        ]
        if changed == lives:
            return False
        _replace(file, changed)
        return True


def _parse(file: Path, data: bytes) -> list[Life]:
    try:
        content = msgspec.json.decode(data, type=_File)
    except msgspec.ValidationError as error:  # names path and type, never a value
        raise _damaged(file, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged(file, "no valid JSON") from None
    if content.version != FILE_VERSION:
        raise KeyFileError(
            f"key file version {content.version} is not {FILE_VERSION}", where=str(file), next_step="Update Steiger"
        )
    lives: list[Life] = []
    open_lives: dict[int, int] = {}
    keys: set[bytes] = set()
    for index, entry in enumerate(content.lives):
        try:
            life = Life(
                address=entry.address,
                key=bytes.fromhex(entry.key),
                life=int(entry.life, 16),
                board=entry.board,
                name=entry.name,
                provisioned_s=entry.provisioned_s,
                until_s=entry.until_s,
                lost=entry.lost is True,
                profiles=tuple(entry.profiles),
            )
        except ValueError as error:
            raise _damaged(file, f"lives[{index}] (node {entry.address}): {error}") from None
        if life.key in keys:
            raise _damaged(file, f"lives[{index}] (node {entry.address}): the same key stands there twice")
        keys.add(life.key)
        if life.until_s and life.until_s < life.provisioned_s:
            raise _damaged(file, f"lives[{index}] (node {entry.address}): until_s lies before provisioned_s")
        if not life.until_s:
            if life.address in open_lives:
                raise KeyFileError(
                    f"duplicate address {life.address}: "
                    f"lives[{open_lives[life.address]}] and lives[{index}] are both open",
                    where=str(file),
                    next_step="Set until_s of the one that ended, or provision one board with another --address",
                )
            open_lives[life.address] = index
        lives.append(life)
    return sorted(lives, key=lambda life: (life.address, life.provisioned_s, life.life))


def _damaged(file: Path, what: str) -> KeyFileError:
    return KeyFileError(f"the key file is damaged: {what}", where=str(file), next_step="Restore it from a copy")


def _read_private(file: Path) -> bytes:
    """The file's bytes, if nobody but its owner may read it. Root is held to the same rule."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeyFileMissing(
            "there is no key file yet",
            where=str(file),
            next_step="steiger node provision PORT --board BOARD --address N enters the first node",
        ) from None
    except PermissionError:
        raise KeyFileError(
            f"user {_user()} may not read the key file", where=str(file), next_step=_owner_hint(file)
        ) from None
    except OSError as error:
        raise KeyFileError(f"the key file cannot be read: {error.strerror}", where=str(file)) from None
    with open(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise KeyFileError("is no key file", where=str(file), next_step="Check keys = … in the configuration")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise KeyFileError(
                f"the key file may be read by others (mode {mode:04o})",
                where=str(file),
                next_step=f"Run: chmod 600 {file}",
            )
        return stream.read()


def _owner_hint(file: Path) -> str:
    try:
        owner = pwd.getpwuid(file.stat().st_uid).pw_name
    except (OSError, KeyError):
        return f"Run as its owner, or: sudo chown {_user()} {file}"
    return f"Run as {owner} (sudo -u {owner} …), or: sudo chown {_user()} {file}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Exclude other writers; the lock lies beside the file, which itself is replaced."""
    lock = Path(f"{file}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise KeyFileError(
            f"the key file cannot be changed: {error.strerror}", where=str(lock), next_step=_owner_hint(file)
        ) from None
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise KeyFileError(
                        "another program is changing the key file", where=str(file), next_step="Try again"
                    ) from None
                time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _replace(file: Path, lives: list[Life]) -> None:
    content = _File(
        version=FILE_VERSION,
        lives=[
            _Entry(
                address=life.address,
                life=f"{life.life:08x}",
                key=life.key.hex(),
                board=life.board,
                name=life.name,
                provisioned_s=life.provisioned_s,
                until_s=life.until_s,
                lost=True if life.lost else msgspec.UNSET,
                profiles=list(life.profiles),
            )
            for life in lives
        ],
    )
    data = msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
    _parse(file, data)  # what is about to be written is what can be read
    new = Path(f"{file}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            if file.exists() and os.geteuid() == 0:  # a technician with sudo must not take the file from the gateway
                before = file.stat()
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, file)
        sync_folder(file.parent)
    except OSError as error:
        raise KeyFileError(
            f"the key file cannot be written: {error.strerror}", where=str(file), next_step=_owner_hint(file)
        ) from None
