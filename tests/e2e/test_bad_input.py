"""Every bad input that a technician or an operator can give: exit code 2 or 3, what, which, the next step, no traceback.

`steiger gateway check` and `run` have their own cases beside (tests/tools/test_cli_gateway.py), a broker that refuses
the password among them.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.keys import Life, add_life
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.waiting import wait_until
from tools.demo.stage import steiger_command
from tools.sim.pty_port import PtyPort
from wire.crypto import subkeys
from wire.frame import SERIAL, seal_uplink
from wire.messages import HELLO
from wire.stream import encode

pytestmark = pytest.mark.e2e

KEY = bytes(range(16))
NOBODY = 65534


def steiger(*args: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*steiger_command(), *map(str, args)], capture_output=True, text=True, timeout=60, check=False, input=stdin
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert "unexpected" not in done.stderr, done.stderr
    return done


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One line on stderr that begins with `error:` and holds the words."""
    assert done.returncode == code, done
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line, line


@pytest.fixture
def port() -> Iterator[str]:
    """A serial port that nobody holds."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


@pytest.fixture
def busy(port: str) -> Iterator[tuple[str, int]]:
    """(port, pid): a port that another program holds."""
    code = "import fcntl, sys\np = open(sys.argv[1], 'rb+', 0)\nfcntl.flock(p, fcntl.LOCK_EX)\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "\n"
        yield port, holder.pid
        holder.kill()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    add_life(path, Life(address=7, key=KEY, board="air-v1", provisioned_s=1_790_000_000))
    return path


BASE = '[gateway]\nid = "g"\nnumber = 1\ndata_dir = "d"\n'
TOML = [
    ("missing", "[gateway]\nnumber = 1\n", ["'id' is missing", "gateway.toml:1"]),
    ("unknown", BASE + "colour = 3\n", ["gateway.colour", "unknown key", "gateway.toml:5"]),
    ("wrong type", BASE + "[spool]\nmax_mb = 'much'\n", ["spool.max_mb", "gateway.toml:6"]),
    ("inline secret", BASE + '[mqtt]\nurl = "mqtt://h"\npassword = "hunter2"\n', ["mqtt.password", "password_file"]),
    ("no TOML", "[[", ["gateway.toml:1", "no valid TOML"]),
]


@pytest.mark.parametrize(("text", "words"), [pytest.param(*case[1:], id=case[0]) for case in TOML])
def test_a_bad_configuration(tmp_path: Path, text: str, words: list[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(text)
    done = steiger("gateway", "check", "--config", config)
    assert_refused(done, 2, *words)
    assert "hunter2" not in done.stdout + done.stderr


def test_a_duplicate_address(tmp_path: Path, keys: Path) -> None:
    add_life(keys, Life(address=8, key=KEY[::-1], board="air-v1", provisioned_s=1_790_000_000))
    keys.write_text(keys.read_text().replace('"address": 8', '"address": 7'))
    config = tmp_path / "gateway.toml"
    config.write_text(BASE + 'keys = "keys.json"\n')
    assert_refused(steiger("gateway", "check", "--config", config), 2, "duplicate address 7", "keys.json")


PROVISION = [
    ("unknown board", ["--board", "air-v9", "--address", "7"], 2, ["air-v9", "known are air-v1"]),
    ("no board file", ["--board", "./none/board.toml", "--address", "7"], 2, ["none/board.toml"]),
    ("address 0", ["--board", "air-v1", "--address", "0"], 2, ["--address", "--help"]),
    ("address 65536", ["--board", "air-v1", "--address", "65536"], 2, ["--address", "65535"]),
    ("address x", ["--board", "air-v1", "--address", "x"], 2, ["--address"]),
    ("no setting", ["--board", "air-v1", "--address", "7", "--set", "colour=1"], 2, ["colour=1", "NAME=NUMBER"]),
    ("no number", ["--board", "air-v1", "--address", "7", "--set", "window_s.0=x"], 2, ["window_s.0=x"]),
    ("out of range", ["--board", "air-v1", "--address", "7", "--set", "window_s.0=0"], 2, ["allowed are 1 to"]),
    ("no key file", ["--board", "air-v1", "--address", "7", "--key-file", "none"], 2, ["none", "cannot read"]),
    ("two keys", ["--board", "air-v1", "--address", "7", "--key-file", "n", "--key-stdin"], 2, ["exclude"]),
    ("language", ["--board", "air-v1", "--address", "7", "--lang", "fr"], 2, ["--lang fr"]),
]


@pytest.mark.parametrize(("args", "code", "words"), [pytest.param(*case[1:], id=case[0]) for case in PROVISION])
def test_provisioning_refuses_before_it_touches_the_board(
    port: str, args: list[str], code: int, words: list[str]
) -> None:
    assert_refused(steiger("node", "provision", port, *args), code, *words)


def test_a_short_key_is_refused_and_not_repeated(port: str) -> None:
    done = steiger("node", "provision", port, "--board", "air-v1", "--address", "7", "--key-stdin", stdin="c0ffee00\n")
    assert_refused(done, 2, "32 hexadecimal digits", "standard input")
    assert "c0ffee00" not in done.stdout + done.stderr


def test_a_missing_port(tmp_path: Path, keys: Path) -> None:
    gone = tmp_path / "ttyUSB9"
    assert_refused(steiger("monitor", gone), 3, "no such port", str(gone))
    provision = ["node", "provision", gone, "--board", "air-v1", "--address", "7", "--keys", keys]
    assert_refused(steiger(*provision), 3, "no such port", str(gone), "Plug")
    told = steiger(*provision, "--json")
    assert json.loads(told.stdout)["error"] | {"next_step": ""} == {
        "what": "there is no such port", "where": str(gone), "next_step": "", "exit_code": 3,
    }  # fmt: skip


def test_a_busy_port_names_pid_and_command(busy: tuple[str, int], keys: Path) -> None:
    port, pid = busy
    program = os.path.basename(sys.executable)
    assert_refused(steiger("monitor", port), 3, f"pid {pid}", program, port)
    provision = ["node", "provision", port, "--board", "air-v1", "--address", "8", "--keys", keys]
    assert_refused(steiger(*provision), 3, f"pid {pid}", program, port)
    assert len(json.loads(keys.read_text())["lives"]) == 1  # nothing was entered


def test_what_is_no_port(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert_refused(steiger("monitor", file), 3, "no serial port", str(file))
    assert_refused(steiger("monitor", file, "--baudrate", "1234"), 2, "speed 1234")


def test_a_wrong_key_is_seen_frame_by_frame(tmp_path: Path, keys: Path) -> None:
    frame = encode(seal_uplink(subkeys(KEY[::-1]), SERIAL, 7, 1, HELLO, b"whatever"))
    done = steiger("wire", "decode", frame.hex(), "--keys", keys)
    assert done.returncode == 1
    assert "node 7" in done.stdout
    assert "not opened: tag" in done.stdout
    link = tmp_path / "tty"
    board = PtyPort(link)
    try:
        with subprocess.Popen(
            [*steiger_command(), "monitor", str(link), "--keys", str(keys), "--json"], stdout=subprocess.PIPE, text=True
        ) as monitor:
            wait_until(lambda: board.look() or board.connected, 20, "the monitor has the port open")
            board.write(frame)
            assert monitor.stdout is not None
            told = json.loads(monitor.stdout.readline())
            assert (told["node"], told["ok"], told["reason"]) == (7, False, "tag")
            monitor.terminate()
    finally:
        board.unplug()


@pytest.mark.parametrize(
    ("text", "words"),
    [("not json", ["keys.json"]), ('{"lives": [{"address": 7}]}', ["keys.json"]), ("[]", ["keys.json"])],
)
def test_a_wrong_key_file(tmp_path: Path, port: str, text: str, words: list[str]) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_text(text)
    assert_refused(steiger("monitor", port, "--keys", path, "--seconds", "1"), 2, *words)
    assert_refused(steiger("wire", "decode", "00", "--keys", path), 2, *words)


def test_no_key_file(tmp_path: Path, port: str) -> None:
    assert_refused(steiger("monitor", port, "--keys", tmp_path / "none.json"), 2, "none.json")


def as_nobody(*args: str | Path) -> tuple[int, str]:
    """(exit code, stderr) of the command as an unprivileged user. The interpreter may lie where only root may read, so
    the command runs once before the user changes, unheard, so that all its modules are there."""
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


def test_a_key_file_that_others_may_read_as_an_unprivileged_user() -> None:
    # /tmp itself: the folders of pytest are closed to other users
    folder = Path(os.path.realpath(f"/tmp/steiger-test-{os.getpid()}"))
    folder.mkdir(mode=0o755)
    path, config = folder / "keys.json", folder / "gateway.toml"
    try:
        add_life(path, Life(address=7, key=KEY, board="air-v1", provisioned_s=1_790_000_000))
        config.write_text(BASE + 'keys = "keys.json"\n')
        path.chmod(0o644)
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        for command in (["wire", "decode", "00", "--keys", path], ["node", "list", "--keys", path],
                        ["monitor", "/dev/null", "--keys", path], ["gateway", "check", "--config", config]):  # fmt: skip
            code, words = as_nobody(*command)
            assert code == 2, words
            assert "may be read by others" in words
            assert f"chmod 600 {path}" in words
        if os.getuid() == 0:  # somebody else's file, closed: this user may not read it, and is told so
            os.chown(path, 0, 0)
            path.chmod(0o600)
            code, words = as_nobody("node", "list", "--keys", path)
            assert code == 2
            assert str(path) in words
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def test_a_key_given_in_a_file_that_others_may_read(tmp_path: Path, port: str) -> None:
    key = tmp_path / "key"
    key.write_text(KEY.hex())
    key.chmod(0o644)
    done = steiger("node", "provision", port, "--board", "air-v1", "--address", "7", "--key-file", key)
    assert_refused(done, 2, "may be read by others", str(key), "chmod 600")
    assert KEY.hex() not in done.stdout + done.stderr


@pytest.mark.broker
@pytest.mark.xdist_group("broker")
def test_the_demo_says_that_the_broker_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.write(broker.password("city", "right"))
    broker.start()
    try:
        url = f"mqtt://127.0.0.1:{broker.port}"
        assert_refused(steiger("demo", "--dir", tmp_path / "d", "--mqtt", url), 3, "refuses", str(broker.port))
    finally:
        broker.kill()


DEMO = [
    (["--nodes", "0"], 2, ["--nodes"]),
    (["--city-time", "noon"], 2, ["--city-time noon", "HH:MM"]),
    (["--city-time", "24:00"], 2, ["24:00"]),
    (["--dir", "/tmp/" + "x" * 120], 2, ["too long", "--dir"]),
    (["--mqtt", "ftp://h"], 2, ["mqtt://HOST", "--mqtt"]),
    (["--mqtt", f"mqtt://127.0.0.1:{free_port()}"], 3, ["no broker", "mosquitto"]),
]


@pytest.mark.parametrize(("args", "code", "words"), DEMO)
def test_the_demo_refuses_nonsense(tmp_path: Path, args: list[str], code: int, words: list[str]) -> None:
    more = [] if "--dir" in args else ["--dir", str(tmp_path)]
    assert_refused(steiger("demo", *args, *more), code, *words)


def test_a_simulated_board_that_cannot_be(tmp_path: Path) -> None:
    place = ["--flash", tmp_path / "f", "--port", tmp_path / "p"]
    assert_refused(steiger("sim", "node", "air-v9", *place), 2, "air-v9", "known are air-v1")
    assert_refused(
        steiger("sim", "node", "air-v1", "--flash", tmp_path / "no" / "f", "--port", tmp_path / "p"), 2, "no"
    )


@pytest.mark.parametrize("text", ["xyz", "", "0", "7e 0"])
def test_what_is_no_hexadecimal(text: str) -> None:
    assert_refused(steiger("wire", "decode", text), 2, "hexadecimal")
