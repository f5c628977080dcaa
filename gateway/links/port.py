"""Opening a serial port: exclusively, without resetting the board behind it, without losing a byte.

The auto-reset circuit of ESP32 boards pulls EN low while RTS is asserted and DTR is not, and IO0 low the other way round;
with both asserted or both released it does nothing. Linux asserts both at open; they are set together once more in one
ioctl, and HUPCL is off so that a close leaves them as they are. Nothing is flushed: what waits in the driver is data.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from typing import NamedTuple

from gateway.errors import GatewayError


class Holder(NamedTuple):
    pid: int
    command: str


class PortError(GatewayError):
    exit_code = 3


class PortMissing(PortError):
    """There is no such port, now."""


class PortDenied(PortError):
    """This user may not open it."""


class PortBusy(PortError):
    """Another program has it."""

    def __init__(self, path: str, holder: Holder | None) -> None:
        self.pid = holder.pid if holder else 0
        self.command = holder.command if holder else ""
        super().__init__(
            f"port is used by {holder.command} (pid {holder.pid})" if holder else "port is used by another program",
            where=path,
            next_step=f"End that program, or, if it is the gateway: steiger gateway release {path}",
        )


def open_port(path: str, baudrate: int) -> int:
    """A non-blocking file descriptor; PortMissing, PortBusy or PortDenied."""
    speed = getattr(termios, f"B{baudrate}", None)
    if speed is None:
        raise PortError(f"this machine has no speed {baudrate}", where=path, next_step="Use 115200", exit_code=2)
    if _forsaken(path):
        raise PortMissing(
            "the program that made this port has ended", where=path, next_step="Start it again, the board with it"
        )
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise _refusal(path, err) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PortBusy(path, holder_of(path)) from None
        if not os.isatty(fd):
            raise PortMissing("this is no serial port", where=path, next_step="Name a port such as /dev/ttyUSB0")
        _ioctl(fd, termios.TIOCEXCL)
        _ioctl(fd, termios.TIOCMBIS, struct.pack("I", termios.TIOCM_DTR | termios.TIOCM_RTS))
        try:
            _set_raw(fd, speed)
        except termios.error as err:
            raise PortMissing(f"cannot be set up: {err.args[-1]}", where=path, next_step="Plug it in again") from None
    except BaseException:
        close_port(fd)
        raise
    return fd


def close_port(fd: int) -> None:
    """Give the port back; DTR and RTS stay as they are."""
    _ioctl(fd, termios.TIOCNXCL)  # the mark would stay while anybody else (a simulator) holds the other end's twin
    try:
        os.close(fd)
    except OSError:
        pass  # unplugged: the descriptor is gone all the same


def _set_raw(fd: int, speed: int) -> None:
    iflag, oflag, cflag, lflag, _, _, chars = termios.tcgetattr(fd)
    iflag &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
        | termios.ICRNL | termios.IXON | termios.IXOFF
    )  # fmt: skip
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag &= ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.HUPCL | termios.CRTSCTS)
    cflag |= termios.CS8 | termios.CREAD | termios.CLOCAL
    chars[termios.VMIN] = 1
    chars[termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, speed, speed, chars])


def _ioctl(fd: int, request: int, argument: bytes | int = 0) -> None:
    try:
        fcntl.ioctl(fd, request, argument)
    except OSError:
        pass  # a pty has no modem lines, and not every driver knows every request


def _refusal(path: str, err: OSError) -> PortError:
    if err.errno in (errno.EACCES, errno.EPERM):
        return PortDenied(
            "this user may not open the port",
            where=path,
            next_step="sudo usermod -aG dialout $USER, then log in again",
        )
    if err.errno == errno.EBUSY:
        return PortBusy(path, holder_of(path))
    if err.errno == errno.EISDIR:
        return PortMissing("this is a folder, not a port", where=path, next_step="Name a port such as /dev/ttyUSB0")
    if err.errno == errno.ENOENT:
        return PortMissing(
            "there is no such port", where=path, next_step="Is the board plugged in? See: ls /dev/serial/by-id/"
        )
    return PortMissing(f"cannot be opened: {err.strerror}", where=path, next_step="Plug it in again")


def _forsaken(path: str) -> bool:
    """Whether the link was left behind by a program that was killed: its terminal may be somebody else's by now.

    Who makes a pty with a link to it writes its own process id into `<link>.pid`.
    """
    if not os.path.islink(path):
        return False
    try:
        with open(f"{path}.pid", encoding="ascii") as file:
            os.kill(int(file.read()), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, OverflowError):
        pass  # no such file, or another user's process: it runs
    return False


def holder_of(path: str) -> Holder | None:
    """The process that holds the port, as far as this user may see: who locked it, else who has it open."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    pid = _locker(status) or _opener(os.path.realpath(path))
    return Holder(pid, _command(pid)) if pid else None


def _locker(status: os.stat_result) -> int:
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as table:
            for line in table:
                parts = line.split()
                if "->" not in parts and len(parts) >= 6 and parts[5] == wanted and parts[4].isdigit():
                    return int(parts[4])
    except OSError:
        pass  # no /proc: macOS
    return 0


def _opener(real: str) -> int:
    ours = os.getpid()
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return 0
    for pid in pids:
        if pid == ours:
            continue
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") == real:
                    return pid
        except OSError:
            continue  # another user's, or gone meanwhile
    return 0


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).split(b"\0")
    except OSError:
        return "?"
    name = os.path.basename(words[0].decode(errors="replace"))
    rest = " ".join(os.path.basename(word.decode(errors="replace")) for word in words[1:4] if word)
    return " ".join(f"{name} {rest}".split())[:80] or "?"  # one line, whatever was in the arguments
