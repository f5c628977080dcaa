"""What the system lacks is said in the first line, with the fix; nothing is made before that."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "tools" / "setup.sh"
SH = shutil.which("sh") or "/bin/sh"


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{SH}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def setup(folder: Path, python: str = "python3") -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH on which only what `folder` holds is found."""
    environment = {"PATH": str(folder), "HOME": str(folder)}
    command = [SH, str(SETUP), python, str(folder / "venv")]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=environment, cwd=folder)


def fake_python(version: str, *, new_enough: bool, has_venv: bool) -> str:
    return (
        f'case "$*" in -V) echo "Python {version}";; *version_info*) exit {int(not new_enough)};; '
        f"*ensurepip*) exit {int(not has_venv)};; *) echo used >> used; exit 9;; esac"
    )


def test_no_python(tmp_path: Path) -> None:
    done = setup(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("steiger: python3 is missing. Fix: sudo apt-get install python3")


def test_an_old_python_is_named_with_its_version(tmp_path: Path) -> None:
    program(tmp_path, "python3", fake_python("3.9.2", new_enough=False, has_venv=True))
    done = setup(tmp_path)
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert "Python 3.11 or newer is needed" in first
    assert "3.9.2" in first
    assert "make setup PYTHON=" in first
    assert done.stdout == ""


def test_a_newer_python_beside_is_named_in_the_fix(tmp_path: Path) -> None:
    program(tmp_path, "python3", fake_python("3.9.2", new_enough=False, has_venv=True))
    program(tmp_path, "python3.12", fake_python("3.12.1", new_enough=True, has_venv=True))
    assert "make setup PYTHON=python3.12" in setup(tmp_path).stderr.splitlines()[0]


def test_no_venv_module(tmp_path: Path) -> None:
    program(tmp_path, "python3", fake_python("3.11.2", new_enough=True, has_venv=False))
    done = setup(tmp_path)
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert "venv module is missing" in first
    assert "sudo apt-get install python3-venv" in first
    assert not (tmp_path / "venv").exists()
    assert not (tmp_path / "used").exists()


def test_packages_that_cannot_be_had_are_one_line(tmp_path: Path) -> None:
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    program(venv, "python", "echo 'ERROR: a long story' >&2; exit 1")
    program(tmp_path, "python3", fake_python("3.11.2", new_enough=True, has_venv=True))
    done = setup(tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("steiger: the packages could not be installed")
    assert "make setup" in last


def test_the_long_step_shows_how_far_it_is(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("".join(f"pack{n}==1.0 \\\n    --hash=x\n" for n in range(25)))
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    words = "".join(f"echo 'Collecting pack{n}==1.0 (from -r requirements.lock)'\n" for n in range(25))
    program(
        venv, "python", f"case \"$*\" in *requirements.lock*) {words} echo 'Installing collected packages: a';; esac"
    )
    program(tmp_path, "python3", fake_python("3.11.2", new_enough=True, has_venv=True))
    done = setup(tmp_path)
    assert done.returncode == 0, done
    for line in (
        "  package 1 of 25: pack0",
        "  package 21 of 25: pack20",
        "  unpacking 25 packages (up to a minute) …",
    ):
        assert line in done.stdout.splitlines()
    assert "Done." in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_says_it_too_and_leaves_no_stamp(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(SETUP, tmp_path / "tools")
    done = subprocess.run(
        ["make", "demo", "PYTHON=no-such-python"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("steiger: no-such-python is missing.")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_alone_names_every_verb() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    for verb in ("setup", "check", "demo", "lint", "types", "test", "soak", "bench", "docs"):
        assert f"  make {verb} " in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


def test_ci_runs_what_people_run() -> None:
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=30)
    text = path.read_text()
    for line in ("make lint", "make types", "make test", "mosquitto"):
        assert line in text
