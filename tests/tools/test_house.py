"""The house keeps its own rules: dependencies point one way, the lock names no index, the tree speaks of itself alone."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("wire", "firmware", "gateway", "tools", "boards")


def linter(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.md")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("wire/frame.py", "import gateway.keys"),
        ("firmware/leases.py", "import tools.errors"),
        ("gateway/keys.py", "import boards"),
        ("gateway/keys.py", "import rich"),
        ("tools/errors.py", "import firmware.leases"),
    ],
)
def test_a_planted_import_is_seen(copy: Path, file: str, line: str) -> None:
    with open(copy / file, "a") as source:
        source.write(f"\n{line}\n")
    done = linter(copy)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout


def test_the_tree_as_it_is_keeps_the_contracts() -> None:
    done = linter(ROOT)
    assert done.returncode == 0, done.stdout


def test_the_lock_names_no_package_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "==" in text
    assert "--hash=sha256:" in text
    assert not re.search(r"https?://|--index-url|--find-links", text)


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_only_hal_knows_the_platform() -> None:
    for path in (ROOT / "firmware").rglob("*.py"):
        if "hal" in path.relative_to(ROOT / "firmware").parts:
            continue
        text = path.read_text()
        assert "sys.platform" not in text, path
        assert not re.search(r"\bsim\b", text), path
        assert not re.search(r"^\s*(import|from) (network|esp32)\b", text, re.MULTILINE), path


def test_boot_time_files_alone_import_machine_outside_hal() -> None:
    # boot.py and main.py run before any package of the slot can be trusted.
    allowed = {"board/boot.py", "board/main.py"}
    for path in (ROOT / "firmware").rglob("*.py"):
        name = path.relative_to(ROOT / "firmware").as_posix()
        if name.startswith("hal/") or name in allowed:
            continue
        assert not re.search(r"^\s*(import|from) machine\b", path.read_text(), re.MULTILINE), name


def test_drivers_wait_by_the_clock_that_they_are_given() -> None:
    """`await clock.sleep_ms()`: who waits by himself stops all other tasks."""
    for path in (ROOT / "firmware" / "drivers").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) u?time\b", text, re.MULTILINE), path
        for line in text.splitlines():
            assert not re.search(r"sleep_(ms|us)\(", line) or "await" in line, (path, line)


def numeric_sleeps(source: str) -> list[int]:
    """Lines with `time.sleep(…)` or `asyncio.sleep(…)` of a number that is not 0; programs in strings do not count."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "sleep"
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("time", "asyncio")
        and any(isinstance(value, ast.Constant) and value.value for value in call.args)
    ]


def test_tests_never_sleep_for_a_number() -> None:
    assert numeric_sleeps("import time\ntime.sleep(0.5)\ntime.sleep(0)\n") == [2]
    for path in (ROOT / "tests").rglob("*.py"):
        assert not numeric_sleeps(path.read_text()), path


def floats(source: str) -> list[int]:
    """Lines that make a float: a number with a point, `/`, `float(…)`, `math`, a struct of singles or doubles."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float()):
                found.append(node.lineno)
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append(node.lineno)
            case ast.Call(func=ast.Name(id="float")):
                found.append(node.lineno)
            case ast.Import(names=[ast.alias(name="math")]) | ast.ImportFrom(module="math"):
                found.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr=attribute), args=[ast.Constant(value=str(form)), *_]) if re.search(
                "[fde]", form
            ) and ("pack" in attribute or attribute == "calcsize"):
                found.append(node.lineno)
    return sorted(found)


def test_nothing_that_runs_on_a_board_makes_a_float() -> None:
    """An ESP32's have 24 bits: a driver's value would be another one there than here. So there are none, nor in the wire."""
    planted = 'import math\na = 1.5\nb = a / 2\nc = float(a)\nb /= 2\nd = struct.unpack(">f", b)\ne = struct.pack("<I", 1) // 2\n'
    assert floats(planted) == [1, 2, 3, 4, 5, 6]
    for package in ("firmware", "wire"):
        for path in (ROOT / package).rglob("*.py"):
            assert not floats(path.read_text()), path
