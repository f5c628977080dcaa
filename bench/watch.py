"""What a process and its children have used so far, as the kernel counts it (/proc)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Since the process began; differences are what a phase cost."""

    cpu_s: float  # user + system, children included
    written_bytes: int  # handed to the disk, children included
    rss_peak_mb: float  # of the process itself, the highest ever; MB = 1,000,000 bytes
    kept_waiting_s: float  # its first thread was ready and others had the cores; 0 where the kernel does not count it

    def since(self, before: Used) -> Used:
        """The difference; the peak stays the peak."""
        return Used(
            self.cpu_s - before.cpu_s,
            self.written_bytes - before.written_bytes,
            self.rss_peak_mb,
            self.kept_waiting_s - before.kept_waiting_s,
        )


def used(pid: int) -> Used:
    """Of `pid` and every process that it started and that lives."""
    cpu_s, written = 0.0, 0
    for each in [pid, *_children(pid)]:
        folder = Path(f"/proc/{each}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        cpu_s += sum(map(int, fields[11:15])) * TICK_S  # utime stime, and those of children that ended
        written += int(_field(folder / "io", "write_bytes:"))
    rss_peak_mb = int(_field(Path(f"/proc/{pid}/status"), "VmHWM:")) * 1024 / 1e6
    return Used(cpu_s, written, rss_peak_mb, _kept_waiting_s(pid))


def _kept_waiting_s(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_children(int(child))]
    return found


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return line.split()[1]
    raise LookupError(f"{name} {path}")
