"""The real, stock mpremote against a simulated board that runs the real firmware."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from boards import load_board
from tests.sim.running import Running, provision, read_until
from tests.waiting import wait_until
from tools import firmware_build
from tools.sim import image
from tools.sim.flash import Flash
from tools.sim.interpreter import find
from wire.stream import encode

pytestmark = [
    pytest.mark.mpremote,
    pytest.mark.xdist_group("mpremote"),
    pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython"),
]
HAL = "firmware/hal/__init__.mpy"
BOARD = "air-v1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mpremote")


@pytest.fixture(scope="module")
def board(folder: Path) -> Iterator[Running]:
    """Ten times faster than a board, the serial line too: the tests are the same and shorter."""
    provision(folder / "board.flash", BOARD, 1)
    with Running(folder, BOARD, speed=10) as running:
        yield running


@pytest.fixture(autouse=True)
def runs(board: Running) -> None:
    """Each test begins with the firmware running."""
    if not board.stat("opened"):
        board.ask("reset")
        board.wait_for("opened", True)


def test_ls_and_tree(board: Running) -> None:
    listed = board.mpremote("fs", "ls")
    assert all(name in listed for name in ("boot.py", "main.py", "board.json", "a/"))
    assert "app.mpy" in board.mpremote("fs", "ls", ":a/firmware")


def test_cp_both_ways_and_hash(board: Running, tmp_path: Path) -> None:
    content = Random(1).randbytes(20_000)
    (tmp_path / "there").write_bytes(content)
    board.mpremote("fs", "cp", str(tmp_path / "there"), ":there.bin")
    assert hashlib.sha256(content).hexdigest() in board.mpremote("fs", "sha256sum", ":there.bin")
    board.mpremote("fs", "cp", ":there.bin", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    board.mpremote("fs", "rm", ":there.bin")


def test_exec_and_run(board: Running, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys, machine\nprint(sys.implementation.name, len(machine.unique_id()))")
    assert board.mpremote("exec", "print(6 * 7)").strip() == "42"
    assert board.mpremote("run", str(tmp_path / "script.py")).strip() == "micropython 6"
    assert board.mpremote("resume", "exec", "print('again')").strip() == "again"


def test_eval_df_and_mount(board: Running, tmp_path: Path) -> None:
    (tmp_path / "mounted.py").write_text("VALUE = 'from the host ' + chr(3)")
    assert board.mpremote("eval", "2 ** 70").strip() == str(2**70)
    assert "/" in board.mpremote("df")
    seen = board.mpremote("mount", str(tmp_path), "exec", "import mounted; print(repr(mounted.VALUE))")
    assert r"from the host \x03" in seen


def test_an_error_on_the_board_is_told(board: Running) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        board.mpremote("exec", "1 / 0")


def test_reset_starts_the_firmware_again(board: Running) -> None:
    boots = board.stat("board")["boots"]
    board.mpremote("reset")
    board.wait_for("opened", True)
    assert board.stat("board")["boots"] > boots
    assert not board.stat("repl")


def test_firmware_comes_back_by_itself_after_soft_reset(folder: Path) -> None:
    """After mpremote's soft reset a board sits at the prompt, a real one too; its watchdog ends that (15 min, here 9 s)."""
    provision(folder / "left.flash", BOARD, 5)
    with Running(folder, BOARD, name="left", speed=100) as board:
        board.wait_for("opened", True)
        board.mpremote("soft-reset")
        assert board.stat("repl")
        board.wait_for("opened", True, 20)
        assert board.stat("board")["watchdog"] == 1


def test_a_program_that_asks_nothing_is_interrupted(board: Running) -> None:
    board.mpremote("soft-reset")
    fd = board.open()
    try:
        os.write(fd, b"\r\x02")
        read_until(fd, b">>> ")
        os.write(fd, b"while True: pass\r\r\r")
        read_until(fd, b"pass\r\n... \r\n")
        os.write(fd, b"\x03")
        read_until(fd, b"KeyboardInterrupt")
        os.write(fd, b"print('al' + 'ive')\r")
        read_until(fd, b"alive")
    finally:
        os.close(fd)


def test_ctrl_d_at_the_prompt_starts_the_program(board: Running) -> None:
    board.mpremote("soft-reset")
    fd = board.open()
    try:
        os.write(fd, b"\r\x02\x04")
        read_until(fd, b"MPY: soft reboot\r\n")
    finally:
        os.close(fd)
    board.wait_for("opened", True)


def test_what_runs_is_what_provisioning_writes_for_an_esp32(folder: Path) -> None:
    """Every file of the slot, byte for byte; modules with machine code by their source; the hal aside."""
    description = load_board(BOARD)
    path = folder / "compared.flash"
    provision(path, BOARD, 2)
    flash = Flash(path)
    try:
        there = image.read_files(flash)
    finally:
        flash.close()
    esp32 = {e.name: e for e in firmware_build.manifest(description, "xtensawin", "esp32")}
    here = {e.name: e for e in firmware_build.manifest(description, find().arch, "sim")}
    names = {path[3:] for path in there if path.startswith("/a/")}
    assert names - {"firmware/hal/sim_radio.mpy"} == set(esp32) - {"firmware/hal/esp32_radio.mpy"}
    for name in names & set(esp32) - {HAL}:
        if esp32[name].native:
            assert here[name].native
            assert here[name].source_sha256 == esp32[name].source_sha256
            assert there[f"/a/{name}"] == here[name].sha256
        else:
            assert there[f"/a/{name}"] == esp32[name].sha256, name
    roots = firmware_build.root_files(description)
    for name in ("boot.py", "main.py"):
        assert there[f"/{name}"] == hashlib.sha256(roots[name]).hexdigest()


def test_a_hundred_thousand_random_frames_never_interrupt(folder: Path) -> None:
    provision(folder / "frames.flash", BOARD, 3)
    with Running(folder, BOARD, name="frames", speed=1, baudrate=4_000_000) as board:
        board.wait_for("opened", True)
        before = board.stat("board")
        chance = Random(2)
        pool = b"".join(encode(chance.randbytes(chance.randrange(4, 28))) for _ in range(100_000))
        assert b"\x03" not in pool
        fd = board.open()
        os.set_blocking(fd, True)
        try:
            view = memoryview(pool)
            while view:
                view = view[os.write(fd, view[:65_536]) :]
                drain(fd)
        finally:
            os.close(fd)
        wait_until(lambda: board.stat("bytes_in") >= len(pool), 60, "all frames on the board")
        after = board.stat("board")
        assert after.get("interrupts", 0) == before.get("interrupts", 0) == 0
        assert after["boots"] == before["boots"]
        assert board.stat("opened")
        assert board.mpremote("exec", "print(1 + 1)").strip() == "2"
        assert board.stat("board")["interrupts"] >= 1


def drain(fd: int) -> None:
    """Read away what the board says meanwhile."""
    os.set_blocking(fd, False)
    try:
        os.read(fd, 65_536)
    except BlockingIOError:
        pass
    finally:
        os.set_blocking(fd, True)


def test_a_kill_at_any_instant_is_a_power_cut(folder: Path) -> None:
    provision(folder / "cut.flash", BOARD, 4)
    chance = Random(3)
    for _ in range(3):
        kill_while_it_writes(folder, chance.randrange(5, 60))
    with Running(folder, BOARD, name="cut", speed=20) as board:
        board.wait_for("opened", True)
        assert "settings.a" in board.mpremote("fs", "ls")


def kill_while_it_writes(folder: Path, writes: int) -> None:
    board = Running(folder, BOARD, name="cut", speed=20)
    board.wait_for("opened", True)
    enough = board.stat("flash").get("progs", 0) + writes
    wait_until(lambda: board.stat("flash").get("progs", 0) >= enough, 20, "the outbox is written")
    interpreters = children(board.process.pid)
    board.kill()
    wait_until(lambda: not any(map(alive, interpreters)), 5, "the interpreter died with its host")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
