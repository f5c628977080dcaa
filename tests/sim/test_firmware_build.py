"""What goes onto a board."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.loaded import by_module
from boards import board_names, load_board
from firmware.drivers import DRIVERS
from tools import firmware_build
from tools.errors import SteigerError


@pytest.mark.parametrize("name", ["air-v1", "air-v2", "noise-v1", "traffic-v1"])
@pytest.mark.slow
def test_a_board_gets_its_own_drivers_alone(name: str) -> None:
    board = load_board(name)
    files = firmware_build.slot_files(board, "xtensawin", "esp32")
    drivers = {Path(file).stem for file in files if file.startswith("firmware/drivers/")}
    wanted = {type(sensor).__struct_config__.tag for sensor in board.sensors}
    others = set(DRIVERS) - {"fake"} - wanted
    assert wanted <= drivers
    assert not others & drivers
    assert "firmware/hal/__init__.mpy" in files
    assert not any("sim" in file for file in files)
    assert b"simbus" not in files["firmware/hal/__init__.mpy"]
    assert not any(file.endswith(".py") or "/board/" in file or "_host" in file for file in files)
    assert all(content[:2] == b"M\x06" for content in files.values())


@pytest.mark.slow
def test_a_board_gets_its_own_rows_of_the_table_of_drivers() -> None:
    source = firmware_build.lean_sources(load_board("air-v2"), "sim")["firmware/drivers/__init__.py"]
    module: dict[str, Any] = {}
    exec(source, module)
    assert set(module["DRIVERS"]) == {"sen66", "scd41"}
    assert module["DRIVERS"]["scd41"] == DRIVERS["scd41"]
    whole = (firmware_build.ROOT / "firmware" / "drivers" / "__init__.py").read_bytes()
    assert len(source.splitlines()) == len(whole.splitlines()), "lines stay where they are"


def test_the_same_bytecode_on_every_architecture() -> None:
    board = load_board("air-v1")
    esp32 = {e.name: e for e in firmware_build.manifest(board, "xtensawin", "esp32")}
    here = {e.name: e for e in firmware_build.manifest(board, "x64", "sim")}
    for name in set(esp32) & set(here) - {"firmware/hal/__init__.mpy"}:
        assert esp32[name].source_sha256 == here[name].source_sha256
        assert esp32[name].native == here[name].native
        assert esp32[name].native or esp32[name].sha256 == here[name].sha256


def test_everything_compiles_for_every_board() -> None:
    for name in board_names():
        files = firmware_build.root_files(load_board(name))
        assert json.loads(files["board.json"])["board"] == name
        assert set(files) == {"boot.py", "main.py", "board.json"}


def test_without_machine_code_such_modules_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = b"import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x\n"
    assert firmware_build._compiled("firmware/x.py", text, "") is None
    compiled = firmware_build._compiled("firmware/x.py", text, "xtensawin")
    assert compiled is not None
    assert firmware_build.has_machine_code(compiled)
    assert not firmware_build.has_machine_code(firmware_build._compiled("firmware/y.py", b"x = 1", "xtensawin") or b"")


def test_a_syntax_error_names_file_and_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SteigerError, match=r"SyntaxError.*firmware/x\.py"):
        firmware_build._compiled("firmware/x.py", b"match x:\n    case 1: pass\n", "x64")


def test_the_cache_is_used_and_can_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = firmware_build._compiled("firmware/x.py", b"x = 1", "x64")
    assert len(list((tmp_path / "steiger" / "mpy").iterdir())) == 1
    monkeypatch.setattr(firmware_build, "_compile", lambda *_: pytest.fail("compiled again"))
    assert firmware_build._compiled("firmware/x.py", b"x = 1", "x64") == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert firmware_build._compiled("firmware/x.py", b"x = 1", "x64") == first


def test_a_traceback_of_a_board_tells_the_sources() -> None:
    board = load_board("air-v1")
    origins = firmware_build._linked(board, "xtensawin", "esp32", None)[1]
    lines = {name: '  File "{}", line 1, in {}'.format(*name.split()) for name in origins}
    told = firmware_build.readable(board, "\n".join(["Traceback", *lines.values(), "OSError: 5"])).splitlines()
    assert told[0] == "Traceback" and told[-1] == "OSError: 5" and len(told) > 300
    for name, line in zip(origins, told[1:-1], strict=True):
        assert line == f"{lines[name]}  <- {' | '.join(origins[name])}"
        for place in origins[name]:
            file, number, path = re.fullmatch(r"(.+\.py):(\d+) (.+)", place).groups()  # type: ignore[union-attr]
            source = firmware_build.ROOT / file
            source = source if source.exists() else source.with_suffix("") / "__init__.py"
            written = source.read_text().splitlines()[int(number) - 1]
            assert re.search(rf"\b(def|class) {path.split('.')[-1]}\b", written), place


def test_each_byte_of_a_linked_program_is_a_module_s_or_shared() -> None:
    board = load_board("bme280-v1")
    sizes = by_module(board)
    assert sum(sizes.values()) == len(firmware_build.slot_files(board, "xtensawin", "esp32")["firmware/app.mpy"])
    assert min(sizes.values()) > 0
    assert sizes["firmware/session.py"] > 1500
    assert sizes["firmware/drivers/bme280.py"] > 1000
    assert sizes["(shared)"] < sum(sizes.values()) / 4
