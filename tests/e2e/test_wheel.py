"""The built wheel alone, in an empty environment outside the clone, runs the demo: nothing lives only in the clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(420)]

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "gateway", "tools", "firmware", "boards")
NOT_SHIPPED = {".pyc"}


@pytest.fixture(scope="module")
def outside() -> Iterator[Path]:
    """A short folder outside the clone."""
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def wheel(outside: Path) -> Path:
    # --no-isolation: the build backend is in the lock file, so no index is asked
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(outside / "dist"), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (outside / "dist").glob("steiger-*.whl")
    return path


def tracked(package: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", "-z", package], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return {name for name in done.stdout.decode().split("\0") if name and (ROOT / name).exists()}


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        missing = {name for name in tracked(package) - inside if Path(name).suffix not in NOT_SHIPPED}
        assert not missing, f"{package}: {sorted(missing)}"
    assert not [name for name in inside if name.startswith(("tests/", "bench/", "build/"))]
    assert any(name.endswith("licenses/LICENSE") for name in inside)


def test_it_runs_the_demo_in_an_empty_environment(wheel: Path, outside: Path) -> None:
    venv = outside / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    install = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False, cwd=outside)
    assert done.returncode == 0, done.stderr
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    } | {"XDG_CACHE_HOME": str(outside / "cache"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    summary = outside / "s.json"
    command = [str(venv / "bin" / "steiger"), "demo", "--seconds", "20", "--dir", str(outside / "d")]
    done = subprocess.run(
        [*command, "--summary", str(summary)],
        capture_output=True, text=True, timeout=150, check=False, cwd=outside, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(summary.read_text())
    assert result["scheduled"] == result["delivered"] + sum(result["causes"].values())
    assert (result["pending"], result["duplicates"], len(result["nodes"])) == (0, 0, 3)
    assert result["delivered"] > 0
    assert str(ROOT) not in done.stdout
