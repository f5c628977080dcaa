"""`steiger gateway …` as a technician types it, against real gateway processes, and every bad input that is ours."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control import call
from gateway.errors import GatewayError
from gateway.keys import Life, add_life
from tests.fakes.archive import fill
from tests.fakes.mosquitto import Mosquitto, free_port
from tests.fakes.spool import START_MS
from tests.waiting import wait_until
from tools.commands.gateway import moment_ms
from tools.errors import UsageError

pytestmark = pytest.mark.e2e  # each runs the command, and most a gateway, as processes

REPO = Path(__file__).parents[2]
STEIGER = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPO)!r}); from tools.cli import main; main()"]


def steiger(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*STEIGER, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in result.stderr
    return result


class House:
    """A configuration in a folder of its own, and the gateway process that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.config = folder / "gateway.toml"
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.write("")

    def write(self, more: str, gateway: str = "") -> None:
        self.config.write_text(f'[gateway]\nid = "gw-1"\nnumber = 1\ndata_dir = "data"\n{gateway}\n{more}')

    def verb(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return steiger("gateway", *args, "--config", self.config)

    def start(self) -> None:
        command = [*STEIGER, "gateway", "run", "--config", str(self.config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, 30, f"the gateway answers (see {self.log})")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.status()
        except GatewayError:
            return False
        return True

    def status(self) -> Any:
        return call(self.data_dir, "status")

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        return code


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait(30)


@pytest.fixture
def port() -> Iterator[str]:
    """A serial port: the far end of a pty."""
    ours, theirs = pty.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_run_status_and_an_orderly_end(house: House) -> None:
    house.start()
    assert house.data_dir.stat().st_mode & 0o777 == 0o700
    assert house.data_dir.joinpath("control.sock").stat().st_mode & 0o777 == 0o600
    result = house.verb("status")
    assert result.returncode == 0, result.stderr
    assert "gateway gw-1" in result.stdout
    assert "days left" in result.stdout
    assert json.loads(house.verb("status", "--json").stdout)["gateway"] == "gw-1"
    assert house.stop() == 0
    assert "Traceback" not in house.log.read_text()


def test_the_gateway_process_carries_no_typer_and_no_rich(house: House) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(REPO)!r}); from tools.cli import run\n"
        f"code = run(['gateway', 'run', '--config', {str(house.config)!r}])\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('typer', 'click', 'rich')], code)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        house.process = process  # type: ignore[assignment]
        wait_until(house._answers, 30, "the gateway answers")
        house.process = None
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == "[] 0\n"


def test_a_second_gateway_is_refused_with_the_pid_of_the_first(house: House) -> None:
    house.start()
    assert house.process is not None
    result = house.verb("run")
    assert result.returncode == 1
    assert f"pid {house.process.pid}" in result.stderr
    assert "another data_dir" in result.stderr


def test_a_gateway_that_was_killed_starts_again(house: House) -> None:
    house.start()
    assert house.process is not None
    house.process.kill()
    house.process.wait(30)
    result = house.verb("status")
    assert (result.returncode, result.stdout) == (3, "")
    assert "no gateway is running" in result.stderr
    house.start()
    assert house.stop() == 0


def test_release_and_resume(house: House, port: str) -> None:
    house.write(f'[[serial]]\nport = "{port}"\n')
    house.start()
    wait_until(lambda: house.status()["links"][0]["state"] == "open", 20, "the port is open")
    result = house.verb("check")
    assert result.returncode == 0, result.stderr
    assert "held by the running gateway" in result.stdout
    result = house.verb("release", port, "--minutes", "1")
    assert result.returncode == 0, result.stderr
    assert f"{port} is free for 1 min" in result.stdout
    assert house.status()["links"][0]["state"] == "released"
    assert house.verb("resume", port).returncode == 0
    wait_until(lambda: house.status()["links"][0]["state"] == "open", 20, "the port is open again")
    result = house.verb("release", "/dev/ttyNONE")
    assert result.returncode == 2
    assert port in result.stderr


def test_check_names_a_missing_and_a_busy_port(house: House, port: str) -> None:
    missing = str(house.folder / "ttyUSB9")
    house.write(f'[[serial]]\nport = "{missing}"\n[[serial]]\nport = "{port}"\n')
    holder = "import fcntl, sys\nport = open(sys.argv[1], 'rb+', 0)\nfcntl.flock(port, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", holder, port]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        result = house.verb("check")
        told = json.loads(house.verb("check", "--json").stdout)
        process.kill()
    assert result.returncode == 3
    assert f"serial[0].port in {house.config}: there is no such port — {missing}" in result.stderr
    assert f"pid {process.pid}" in result.stderr
    assert os.path.basename(sys.executable) in result.stderr
    assert [problem["key"] for problem in told["problems"]] == ["serial[0].port", "serial[1].port"]


Change = Callable[[House], None]


def open_key_file(house: House) -> None:
    add_life(house.folder / "keys.json", Life(address=7, key=bytes(16), provisioned_s=1))
    (house.folder / "keys.json").chmod(0o644)


def double_address(house: House) -> None:
    keys = house.folder / "keys.json"
    add_life(keys, Life(address=7, key=bytes(16), provisioned_s=1))
    add_life(keys, Life(address=8, key=bytes(15) + b"\1", provisioned_s=1))
    keys.write_text(keys.read_text().replace('"address": 8', '"address": 7'))


def open_password_file(house: House) -> None:
    house.write('[mqtt]\nurl = "mqtt://127.0.0.1"\nusername = "u"\npassword_file = "p"\n')
    (house.folder / "p").write_text("hunter2")
    (house.folder / "p").chmod(0o644)


BAD: list[tuple[str, Change, int, list[str]]] = [
    ("no file", lambda house: house.config.unlink(), 2, ["there is no such file", "gateway.toml"]),
    ("no TOML", lambda house: house.write("[["), 2, ["gateway.toml:6", "no valid TOML"]),
    ("missing", lambda house: house.config.write_text("[gateway]\n"), 2, ["gateway.toml:1: gateway: 'id' is missing"]),
    ("unknown key", lambda house: house.write("", "nodes = 3"), 2, ["gateway.toml:5: gateway.nodes: unknown key"]),
    ("wrong type", lambda house: house.write("[spool]\nmax_mb = 'x'"), 2, ["gateway.toml:7: spool.max_mb", "`int`"]),
    (
        "inline secret",
        lambda house: house.write('[mqtt]\nurl = "mqtt://h"\nusername = "u"\npassword = "hunter2"'),
        2,
        ["gateway.toml:9: mqtt.password: inline secret", "password_file", "$CREDENTIALS_DIRECTORY"],
    ),
    ("duplicate address", double_address, 2, ["duplicate address 7", "keys.json", "--address"]),
    ("open key file", open_key_file, 2, ["may be read by others", "chmod 600"]),
    ("open password file", open_password_file, 2, ["mqtt.password_file", "chmod 600"]),
    (
        "no password file",
        lambda house: house.write('[mqtt]\nurl = "mqtt://h"\nusername = "u"\npassword_file = "none"'),
        2,
        ["mqtt.password_file", "none"],
    ),
    (
        "no authority",
        lambda house: house.write('[mqtt]\nurl = "mqtts://h"\nca_file = "none.pem"'),
        2,
        ["mqtt.ca_file", "none.pem"],
    ),
    ("data_dir is a file", lambda house: house.data_dir.write_text(""), 2, ["gateway.data_dir", "is no folder"]),
]


@pytest.mark.parametrize(("change", "code", "expected"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
@pytest.mark.parametrize("verb", ["check", "run"])
def test_bad_input_stops_before_anything_starts(
    house: House, verb: str, change: Change, code: int, expected: list[str]
) -> None:
    change(house)
    result = house.verb(verb)
    assert result.returncode == code, result
    for words in expected:
        assert words in result.stderr
    assert "hunter2" not in result.stderr + result.stdout
    assert not (house.data_dir / "spool.db").exists()


@pytest.mark.parametrize(("answer", "said"), [(True, "it answers its nodes"), (False, "it only listens")])
def test_check_counts_ports_and_ears_and_tells_who_answers(house: House, port: str, answer: bool, said: str) -> None:
    eui = "aa555a0000000101"
    house.write(
        f'[[bridge]]\nname = "roof"\nport = "{port}"\nchannel = 868.1\n'
        f'[[forwarder]]\nname = "tower"\neui = "{eui}"\naddress = "127.0.0.1"\n'
        f"[lora]\nanswer = {str(answer).lower()}\n"
    )
    told = house.verb("check").stdout
    assert ", 1 ports, 2 ears; " in told and f"LoRa: {said}" in told
    assert json.loads(house.verb("check", "--json").stdout)["answers"] is answer


def test_check_tells_machines_too(house: House) -> None:
    house.write("", "nodes = 3\ncolour = 1")
    result = house.verb("check", "--json")
    assert result.returncode == 2
    told = json.loads(result.stdout)
    assert not told["ok"]
    assert [problem["key"] for problem in told["problems"]] == ["gateway.nodes", "gateway.colour"]


@pytest.mark.broker
@pytest.mark.xdist_group("broker")
def test_a_broker_that_refuses_the_password(house: House) -> None:
    broker = Mosquitto(house.folder)
    broker.write(broker.password("city", "right"))
    broker.start()
    try:
        secret = house.folder / "p"
        secret.touch(0o600)
        secret.write_text("wrong")
        house.write(f'[mqtt]\nurl = "mqtt://127.0.0.1:{broker.port}"\nusername = "city"\npassword_file = "p"\n')
        result = house.verb("check", "--broker")
        assert result.returncode == 3
        assert "connection refused: " in result.stderr
        assert "password_file" in result.stderr
        house.start()
        wait_until(lambda: house.status()["sinks"][0]["state"] == "refused", 20, "the refusal is in the status")
        assert "refused" in house.verb("status").stdout
        secret.write_text("right")
        wait_until(lambda: house.status()["sinks"][0]["state"] == "connected", 30, "it recovers by itself")
        assert house.verb("check", "--broker").returncode == 0
        assert house.stop() == 0
    finally:
        broker.kill()


def test_status_names_a_sink_without_a_broker_and_stops_all_the_same(house: House) -> None:
    house.write(f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
    house.start()
    wait_until(lambda: house.status()["sinks"][0]["state"] == "waiting", 20, "the state")
    assert "nothing confirmed yet" in house.verb("status").stdout
    assert house.stop() == 0


def test_a_tls_handshake_that_hangs_does_not_hold_the_end(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        house.write(f'[mqtt]\nurl = "mqtts://127.0.0.1:{silent.getsockname()[1]}"\n')
        house.start()
        silent.settimeout(20)
        connection, _ = silent.accept()
        began_s = time.monotonic()
        assert house.stop() == 0
        assert time.monotonic() - began_s < 10  # the attempt itself takes fifteen seconds
        connection.close()


def test_ledger_and_export_beside_and_without_a_gateway(house: House) -> None:
    result = house.verb("ledger")
    assert result.returncode == 3
    assert "spool.db" in result.stderr
    house.data_dir.mkdir()
    asyncio.run(fill(house.data_dir / "spool.db", 50))
    table = house.verb("ledger", "--hours")
    assert "archive" in table.stdout
    report = json.loads(house.verb("ledger", "--json").stdout)
    assert report["lives"][0]["sinks"]["archive"]["delivered"] == 50
    assert report["summary"]["delivered"] == 0  # nobody has taken it to the platform yet
    result = house.verb("ledger", "--sink", "none")
    assert result.returncode == 2
    assert "archive, mqtt" in result.stderr

    result = house.verb("export", "--format", "csv")
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert len(rows) == 150
    assert rows[0]["station_id"] == "gw-1-7"
    target = house.folder / "out.parquet"
    result = house.verb("export", "--format", "parquet", "--output", target, "--node", "7", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stderr)["observations"] == 150
    assert target.exists()
    since = START_MS // 1000 + 49 * 60 + 60
    moment = subprocess.run(["date", "-u", "-d", f"@{since}", "+%FT%TZ"], capture_output=True, text=True, check=True)
    result = house.verb("export", "--since", moment.stdout.strip())
    assert len(result.stdout.splitlines()) == 4
    for bad in (["--since", "yesterday"], ["--format", "xlsx"], ["--node", "x"]):
        result = house.verb("export", *bad)
        assert (result.returncode, result.stdout) == (2, "")


def test_moments() -> None:
    assert moment_ms("1970-01-02", 0, "--since") == 86_400_000
    assert moment_ms("1970-01-01T01:00+01:00", 0, "--since") == 0
    assert moment_ms("1970-01-01T00:00:01.5Z", 0, "--since") == 1500
    assert moment_ms("2d", 200_000, "--since") == (200_000 - 172_800) * 1000
    assert moment_ms("90min", 5400, "--since") == 0
    with pytest.raises(UsageError, match="--until noon is no time"):
        moment_ms("noon", 0, "--until")
