"""The outer end of a simulated board's serial cable: a pty with a symlink, that behaves like a USB serial adapter.

What the board says while nobody has the port open is lost, as on a real adapter; after the last close the terminal is
made raw and free again, so that an exclusive opener leaves nothing behind. DTR and RTS do not exist on a pty.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty
from pathlib import Path

from tools.errors import UsageError


class PtyPort:
    """`connected`: somebody has the port open. Call `look()` now and then: the kernel does not tell of an open.

    `rest`: what was written last, before the close; a real port sends it on as well.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.connected = False
        self.lost = 0  # bytes that nobody read
        self.rest = b""
        self._master = -1
        self._hung = select.poll()
        if link.is_symlink() or link.exists():
            target = os.path.realpath(link)
            if not link.is_symlink():
                raise UsageError("this is a file, not a port of ours", where=str(link), next_step="Name another port")
            if os.path.exists(target) and _alive(link):
                raise UsageError("a simulated board has this port", where=str(link), next_step="Name another port")
            link.unlink()  # its board was killed
        self.plug()

    def plug(self) -> None:
        """Put the cable in: a new pty, and the link to it."""
        if self._master >= 0:
            return
        self._master, slave = os.openpty()
        self.name = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._hung = select.poll()
        self._hung.register(self._master, select.POLLHUP)
        new = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        try:
            new.unlink(missing_ok=True)
            new.symlink_to(self.name)
            new.rename(self.link)
            self.link.with_name(self.link.name + ".pid").write_text(f"{os.getpid()}\n")
        except OSError as error:
            os.close(self._master)
            raise UsageError(
                f"the port cannot be made: {error.strerror}",
                where=str(self.link),
                next_step="Name a link in a folder of yours",
            ) from None

    def unplug(self) -> None:
        """Pull the cable: whoever has the port open sees it vanish."""
        if self._master < 0:
            return
        if self.link.is_symlink() and os.readlink(self.link) == self.name:
            self.link.unlink()
        self.link.with_name(self.link.name + ".pid").unlink(missing_ok=True)
        os.close(self._master)
        self._master = -1
        self.connected = False

    def fileno(self) -> int:
        return self._master

    def look(self) -> bool:
        """Update `connected`; True if it changed."""
        if self._master < 0:
            return False
        hung = any(event & select.POLLHUP for _, event in self._hung.poll(0))
        if hung == (not self.connected):
            return False
        self.connected = not hung
        if hung:
            while part := self.read():
                self.rest += part
            self._free()
        return True

    def _free(self) -> None:
        """The last one closed: no exclusive lock, no settings and no bytes of it stay."""
        try:
            slave = os.open(self.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # exclusively held and we are not root: only a new pty is free again
            self.unplug()
            self.plug()
            return
        try:
            fcntl.ioctl(slave, termios.TIOCNXCL)
            tty.setraw(slave)
            termios.tcflush(slave, termios.TCIOFLUSH)
        finally:
            os.close(slave)

    def read(self) -> bytes:
        """What was written to the port; b"" if nothing."""
        try:
            return os.read(self._master, 4096)
        except (BlockingIOError, OSError):  # EIO: closed on the other side
            return b""

    def write(self, data: bytes) -> None:
        """Bytes from the board."""
        if self._master < 0:
            return
        if not self.connected:
            self.look()
        sent = 0
        if self.connected:
            try:
                sent = os.write(self._master, data)
            except OSError:  # full, or closed at this moment
                pass
        self.lost += len(data) - sent


def _alive(link: Path) -> bool:
    """Whether the process that made the link still runs."""
    try:
        os.kill(int(link.with_name(link.name + ".pid").read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True
