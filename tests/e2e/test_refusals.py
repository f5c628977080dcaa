"""What a technician or an operator can get wrong is refused before anything is done, in words that help, without secrets."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boards import load_board
from gateway import control
from gateway.keys import Life, add_life, load_keys
from tests.fakes.mosquitto import Mosquitto
from tests.waiting import wait_until
from tools import cli
from tools.demo.stage import GatewayProcess, steiger_command
from tools.provision import first_descriptors
from tools.sim.pty_port import PtyPort

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KEY = bytes(range(16))
PROFILE = first_descriptors(load_board("bme280-v1"), {})[0]
NOBODY = 65534


def steiger(*args: str | Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """(exit code, stdout, stderr); no traceback and nothing unforeseen."""
    done = subprocess.run(
        [*steiger_command(), *map(str, args)], capture_output=True, timeout=110, check=False, input=stdin
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in out + err
    assert "unexpected" not in err, err
    return done.returncode, out, err


def as_nobody(*args: str | Path) -> tuple[int, str]:
    """(exit code, stderr) as an unprivileged user; it runs once before the user changes, so that all modules are there."""
    code = (
        "import contextlib, io, os, sys, importlib.metadata\nfrom tools import cli\n"
        "with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):\n"
        "    cli.run(sys.argv[1:])\n"
        f"if os.getuid() == 0:\n    os.setgid({NOBODY})\n    os.setuid({NOBODY})\n"
        "sys.exit(cli.run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter: those of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs two users: run as root")


@root_only
def test_the_data_of_another_user(open_folder: Path) -> None:
    data = open_folder / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 1, 1)  # daemon
    config = open_folder / "gateway.toml"
    config.write_text(f'[gateway]\nid = "g"\nnumber = 1\ndata_dir = "{data}"\n')
    for verb in ("ledger", "export", "status"):
        code, err = as_nobody("gateway", verb, "--config", config)
        assert code in (2, 3), err
        assert "sudo -u daemon steiger" in err, err
        assert str(data) in err


@root_only
def test_a_flash_file_where_this_user_may_not_write(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o755)
    (open_folder / "ports").mkdir()
    (open_folder / "ports").chmod(0o777)
    code, err = run_sim_as_nobody(closed / "f", open_folder / "ports" / "p")
    assert code == 2, err
    assert "the flash file cannot be made: Permission denied" in err
    assert str(closed / "f") in err
    assert list((open_folder / "ports").iterdir()) == []


def run_sim_as_nobody(flash: Path, port: Path) -> tuple[int, str]:
    """As `as_nobody`, for a command that would not end by itself: what it loads is loaded by hand before."""
    code = (
        "import os, sys, importlib.metadata\nfrom tools import cli\nimport tools.commands.sim\nfrom tools.sim import image, node\n"
        "from tools.sim.interpreter import find\nfrom boards import load_board\n"
        "image.fresh(load_board('air-v1'), find())\nimport rich.console\n"
        "image.fresh = lambda *_: b''\ncli.run(['sim', 'node', 'air-v9', '--flash', 'f', '--port', 'p'])\n"
        f"os.setgid({NOBODY})\nos.setuid({NOBODY})\n"
        "sys.exit(cli.run(['sim', 'node', 'air-v1', '--flash', sys.argv[1], '--port', sys.argv[2]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(flash), str(port)], capture_output=True, text=True, timeout=100, check=False
    )
    assert "unexpected" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_a_port_that_cannot_be_made_leaves_no_flash(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file of mine")
    code, _, err = steiger("sim", "node", "air-v1", "--flash", tmp_path / "f", "--port", tmp_path / "p")
    assert code == 2
    assert "this is a file, not a port of ours" in err
    assert not (tmp_path / "f").exists()
    assert (tmp_path / "p").read_text() == "a file of mine"


def test_a_summary_that_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    code, out, err = steiger(
        "demo", "--dir", tmp_path / "d", "--summary", tmp_path / "none" / "x.json", "--seconds", "5"
    )
    assert code == 2
    assert "--summary" in err
    assert str(tmp_path / "none" / "x.json") in err
    assert out == ""
    assert not (tmp_path / "d").exists()
    (tmp_path / "file").write_text("")
    code, _, err = steiger("demo", "--dir", tmp_path / "file")
    assert code == 2
    assert "--dir" in err


SECRET = "hunter2"
BROKERS = [
    f"mqtt://user:{SECRET}@h", f"mqtts://user:{SECRET}@h", f"user:{SECRET}@h", f"ftp://user:{SECRET}@h",
    f"mqtt://[user:{SECRET}@h", f"mqtt://user:{SECRET}\u2100@h", "mqtt://h:notaport", "mqtt://", "mqtts://h", "mqtt://h/x",
]  # fmt: skip


@pytest.mark.parametrize("url", BROKERS)
def test_a_broker_that_the_demo_cannot_use_is_refused_and_not_repeated(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.run(["demo", "--dir", str(tmp_path / "d"), "--mqtt", url])
    said = capsys.readouterr()
    assert code == 2, said
    assert "--mqtt" in said.err
    assert "mqtt://HOST" in said.err
    assert "unexpected" not in said.err
    assert SECRET not in said.out + said.err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("data", [bytes(range(0xE0, 0xF0)), KEY], ids=["no text", "ASCII"])
def test_key_bytes_are_never_printed(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_bytes(data)
    ours, theirs = pty.openpty()
    try:
        args = ["node", "provision", os.ttyname(theirs), "--board", "air-v1", "--address", "7"]
        for code, out, err in (steiger(*args, "--key-file", file), steiger(*args, "--key-stdin", stdin=data)):
            assert code == 2
            assert "a key is 32 hexadecimal digits" in err
            assert not any(f"0x{byte:02x}" in out + err for byte in data)
            assert data.hex() not in out + err
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_link_whose_board_was_killed_is_not_trusted(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()  # somebody else's terminal, which got the number of the dead board's
    link = tmp_path / "board"
    link.symlink_to(os.ttyname(theirs))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(20)
    (tmp_path / "board.pid").write_text(f"{dead.pid}\n")
    try:
        for args in (
            ["monitor", link, "--seconds", "1"],
            ["node", "provision", link, "--board", "air-v1", "--address", "7", "--keys", tmp_path / "k"],
        ):
            code, _, err = steiger(*args)
            assert code == 3, err
            assert "the program that made this port has ended" in err
            assert str(link) in err
        config = tmp_path / "gateway.toml"
        config.write_text(f'[gateway]\nid = "g"\nnumber = 1\ndata_dir = "d"\n[[serial]]\nport = "{link}"\n')
        code, _, err = steiger("gateway", "check", "--config", config)
        assert code == 3
        assert "the program that made this port has ended" in err
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)  # nothing was written to it
    finally:
        os.close(ours)
        os.close(theirs)
    board = PtyPort(tmp_path / "alive")  # the same with its program alive
    try:
        assert steiger("monitor", tmp_path / "alive", "--seconds", "1")[0] == 0
    finally:
        board.unplug()


def test_small_things_are_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def steiger(*args: str | Path) -> tuple[int, str, str]:
        code = cli.run([str(arg) for arg in args])
        return (code, *capsys.readouterr())

    code, out, _ = steiger("wire", "decode", "7E")
    assert (code, out) == (1, "no whole frame in 1 bytes: a frame ends with 7E\n")
    assert json.loads(steiger("wire", "decode", "7E", "--json")[1])["reason"] == "no whole frame"
    assert "4 bytes, not opened" in steiger("wire", "decode", "DEADBEEF")[1]
    assert "Two digits a byte" in steiger("wire", "decode", "xyz")[2]
    code, _, err = steiger("monitor", tmp_path)
    assert code == 3
    assert "this is a folder, not a port" in err
    assert "no keys" not in err
    for verb in ("monitor", "wire", "sim", "node", "gateway", "demo"):
        assert "--install-completion" not in steiger(verb, "--help")[1]
    own = tmp_path / "board.toml"
    own.write_text("name = 3\n")
    for args in (["sim", "node", own, "--flash", tmp_path / "f", "--port", tmp_path / "p"],
                 ["node", "provision", "/dev/null", "--board", own, "--address", "7"]):  # fmt: skip
        code, _, err = steiger(*args)
        assert code == 2
        assert f"Correct {own}" in err
    code, _, err = steiger("gateway", "run", "--confi", tmp_path / "none.toml")
    assert code == 2


class Gateway(GatewayProcess):
    """A gateway process on a configuration that the test writes."""

    def __init__(self, folder: Path, more: str = "") -> None:
        super().__init__(folder, [], None)
        self.config.write_text(self.config.read_text() + more)

    def up(self) -> Gateway:
        self.start()
        wait_until(self._answers, 30, f"the gateway answers (see {self.log_path})")
        return self

    def _answers(self) -> bool:
        try:
            self.call("status")
        except control.ControlError:
            return False
        return True

    def sink(self) -> dict[str, Any]:
        return dict(self.call("status")["sinks"][0])


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path)


@pytest.mark.broker
@pytest.mark.xdist_group("broker")
def test_a_refused_password_is_a_problem_until_it_is_corrected(folder: Path) -> None:
    broker = Mosquitto(folder)
    broker.write(broker.password("city", "right"))
    broker.start()
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text("wrong")
    gateway = Gateway(
        folder,
        f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\nusername = "city"\npassword_file = "{secret}"\nbackoff_max_s = 1\n',
    )
    try:
        gateway.up()
        wait_until(lambda: gateway.sink()["state"] == "refused", 30, "the refusal is seen")
        code, out, _ = steiger("gateway", "status", "--config", gateway.config)
        assert code == 1, out
        assert "PROBLEM  sink mqtt is refused: connection refused" in out
        assert "all is well" not in out
        secret.write_text("right")
        wait_until(lambda: gateway.sink()["state"] == "connected", 30, "the password is taken")
        assert (gateway.sink()["detail"], gateway.sink()["next_step"]) == ("", "")
        code, out, _ = steiger("gateway", "status", "--config", gateway.config)
        assert code == 0, out
        assert "all is well" in out
        log = gateway.log_path.read_text()
        assert log.count("INFO mqtt: connected") == 1, log
        assert log.count("mqtt: refused") == 1, log
    finally:
        gateway.stop()
        broker.kill()


def test_a_silent_node_and_a_lost_one_can_be_retired(folder: Path) -> None:
    gateway = Gateway(folder)
    begun_s = int(time.time()) - 600
    for address in (7, 8):
        add_life(
            gateway.keys,
            Life(
                address=address, key=bytes([address]) * 16, board="air-v1", provisioned_s=begun_s, profiles=(PROFILE,)
            ),
        )
    gateway.up()
    try:
        code, _, err = steiger("node", "retire", "7", "--config", gateway.config, "--wait", "1")
        assert code == 3, err
        assert "node 7: asking it, for at most 1 s" in err
        assert "node 7 is silent: no answer within 1 s" in err
        assert f"steiger node retire 7 --config {gateway.config} --lost" in err
        assert not load_keys(gateway.keys)[0].until_s
        code, out, err = steiger("node", "retire", "7", "--config", gateway.config, "--lost")
        assert code == 0, err
        assert "booked as node off" in out
        assert "lost " in steiger("node", "list", "--keys", gateway.keys)[1]
        code, out, _ = steiger("gateway", "ledger", "--config", gateway.config, "--node", "7", "--json")
        assert code == 0
        (node,) = json.loads(out)["lives"]
        tally = node["sinks"]["archive"]
        assert tally["scheduled"] in (10, 11)
        assert tally["causes"] == {"node_off": tally["scheduled"]}
        assert sum(tally["pending"].values()) == tally["missing"] == 0
        code, _, err = steiger("node", "retire", "7", "--config", gateway.config, "--lost")
        assert code == 2
        assert "has ended already" in err
        assert "is not in the key file" in steiger("node", "retire", "9", "--config", gateway.config)[2]
        code, _, err = steiger("gateway", "ledger", "--config", gateway.config, "--node", "70000")
        assert code == 2
        assert "there is no node 70000" in err
    finally:
        gateway.stop()
    code, _, err = steiger("node", "retire", "8", "--config", gateway.config, "--lost")  # no gateway runs
    assert code == 0, err
    assert load_keys(gateway.keys)[1].lost
    code, _, err = steiger("gateway", "status", "--config", gateway.config)
    assert code == 3
    assert f"steiger gateway run --config {gateway.config}" in err
