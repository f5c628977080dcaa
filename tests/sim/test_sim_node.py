"""`steiger sim node` as users meet it: errors, control socket, end; and boards under the CPython shims."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.sim.running import BIN, PROVISION, START_S, Running, provision, settings_of
from tests.waiting import wait_until
from tools.errors import NoConnection, SteigerError, UsageError
from tools.sim import control, interpreter
from tools.sim.conductor import Conductor

pytestmark = pytest.mark.slow  # together more than five seconds

needs_micropython = pytest.mark.skipif(not interpreter.find().is_micropython, reason="needs MicroPython")


def refused(*args: str) -> str:
    done = subprocess.run(
        [str(BIN / "steiger"), "sim", "node", *args], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_bad_input_is_told(tmp_path: Path) -> None:
    flash, port = str(tmp_path / "f"), str(tmp_path / "p")
    assert "air-v1" in refused("nonsense-v9", "--flash", flash, "--port", port)
    assert "no such folder" in refused("air-v1", "--flash", str(tmp_path / "no" / "f"), "--port", port)
    (tmp_path / "p").write_text("x")
    assert "a file, not a port" in refused("air-v1", "--flash", flash, "--port", port)
    assert "--flash" in refused("air-v1", "--port", port)


@needs_micropython
def test_a_flash_and_a_port_in_use_are_told(tmp_path: Path) -> None:
    with Running(tmp_path, "air-v1") as board:
        words = refused("air-v1", "--flash", str(board.flash), "--port", str(tmp_path / "other"))
        assert f"process {board.process.pid} uses this flash file" in words
        words = refused("air-v1", "--flash", str(tmp_path / "other"), "--port", str(board.port))
        assert "a simulated board has this port" in words
        assert board.stat("powered")


@needs_micropython
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_orderly_end_leaves_nothing_but_the_flash(tmp_path: Path, number: signal.Signals) -> None:
    board = Running(tmp_path, "air-v1")
    assert board.ready["board"] == "air-v1"
    assert board.ready["interpreter"].startswith("MicroPython 1.")
    board.process.send_signal(number)
    assert board._leave() == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["board.flash", "board.flash.uid"]


@needs_micropython
def test_control_socket(tmp_path: Path) -> None:
    provision(tmp_path / "board.flash", "air-v1", 1)
    with Running(tmp_path, "air-v1", speed=5) as board:
        assert os.stat(f"{board.port}.ctl").st_mode & 0o777 == 0o600
        board.wait_for("opened", True)
        with pytest.raises(SteigerError, match="no order 'dance'"):
            board.ask("dance")
        with pytest.raises(SteigerError, match="no chip 'x'"):
            board.ask("fault", chip="x", fault="silence")
        with pytest.raises(SteigerError, match="no fault 'hiccups'"):
            board.ask("fault", chip="sps30", fault="hiccups")
        board.ask("fault", chip="sps30", fault="silence", on=True)
        assert board.stat("chips")[0]["faults"] == ["silence"]
        board.ask("fault", chip="sps30", fault="silence", on=False)
        board.ask("power-cut")
        assert not board.stat("powered")
        board.ask("power-on")
        board.wait_for("opened", True)
        assert board.stat("board")["boots"] == 2
        board.ask("flash", cut_after=10, torn=7)
        wait_until(lambda: not board.stat("powered"), 20, "the power fails at the tenth flash operation")
        board.ask("flash")
        board.ask("power-on")
        board.wait_for("opened", True)
        board.ask("cable-cut")
        assert not board.port.exists()
        board.ask("cable-restore")
        assert board.port.exists()
        assert "settings.a" in board.ask("run", code="import os; print(os.listdir())")["out"]
        with pytest.raises(SteigerError, match="ZeroDivisionError"):
            board.ask("run", code="1 / 0")
        board.wait_for("opened", True)


def test_shims_run_the_firmware_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEIGER_MICROPYTHON", "none")
    with Running(tmp_path, "air-v1", speed=5) as board:
        assert board.ready["micropython"] is False
        assert "shims" in board.ready["interpreter"]
        board.wait_for("opened", True)
        board.ask("run", code=PROVISION.format(settings_of(1)))
        wait_until(
            lambda: board.stat("bytes_out") > 500 or board.stat("unread") > 500, 20, "the provisioned board speaks"
        )
        with pytest.raises(NoConnection, match="needs MicroPython"):
            control.require_micropython(board.port)
        board.kill()
    with Running(tmp_path, "air-v1") as board:
        board.wait_for("opened", True)
        assert "settings.a" in board.ask("run", code="import os; print(os.listdir())")["out"]


def test_shims_in_virtual_time_are_repeatable(tmp_path: Path) -> None:
    shims = interpreter._shims()
    digests = []
    for n in range(2):
        folder = tmp_path / str(n)
        folder.mkdir()
        with Conductor(folder, seed=1, start_s=START_S, interpreter=shims) as conductor:
            conductor.add_node("n", "air-v1", prepare=PROVISION.format(settings_of(1)))
            conductor.run(30)
            digests.append(bytes(conductor.nodes["n"].said).replace(str(folder).encode(), b""))
    assert digests[0] == digests[1]
    assert len(digests[0]) > 300


def test_the_interpreter_that_is_named_must_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = interpreter.find.__wrapped__
    monkeypatch.setenv("STEIGER_MICROPYTHON", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="STEIGER_MICROPYTHON"):
        find()
    monkeypatch.setenv("STEIGER_MICROPYTHON", "none")
    assert not find().is_micropython
    monkeypatch.delenv("STEIGER_MICROPYTHON")
    script = tmp_path / "micropython"
    script.write_text("#!/bin/sh\necho micropython 1.30.0 2822\n")
    script.chmod(0o755)
    monkeypatch.setenv("STEIGER_MICROPYTHON", str(script))
    named = find()
    assert (named.version, named.arch, json.loads(json.dumps(named.kind))) == ("1.30.0", "x64", "file")
