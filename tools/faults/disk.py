"""A small disk of a run's own, to be filled: a tmpfs in a mount namespace that ends with the process. Needs root and Linux."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS = 0x20000
SIZE_MB = 24
BALLAST = "ballast"
PIECE = bytes(65_536)


@functools.cache
def _own_mounts() -> bool:
    """Mounts of this process and its children that nobody else sees."""
    if sys.platform != "linux" or os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return False
    return _ran("mount", "--make-rprivate", "/")


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class SmallDisk:
    """`real` says whether the kernel gave one; else the folder is an ordinary one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.real = _own_mounts() and _ran(
            "mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(folder)
        )

    def fill(self) -> None:
        """Take all that is left."""
        fd = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for piece in (PIECE, PIECE[:1]):  # then the last page, too
                while os.write(fd, piece) == len(piece):
                    pass
        except OSError:
            pass
        finally:
            os.close(fd)

    def free(self) -> None:
        (self.folder / BALLAST).unlink(missing_ok=True)

    @staticmethod
    def unmount(folder: Path) -> None:
        """Whatever is mounted there."""
        if folder.is_mount():
            _ran("umount", "-l", str(folder))
