"""Others on the same work: JSON lines of the same readings on a pseudo-terminal, MQTT QoS 1 out, the same broker.

The plain script runs always. thingsboard-gateway (`PEERS=1`) is installed into an environment of its own under
build/, and fed as suits it best: one datapoint a line, its SQLite storage, larger messages than its default, no limits.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt

from bench import formats, series
from bench.streets import Street
from bench.watch import used

ROOT = Path(__file__).resolve().parent.parent
THINGSBOARD = "thingsboard-gateway==3.8.5"
QUIET_S = 60.0
CHUNK = 4_096
# What its server would answer: no limits, and messages of 64 KB.
LIMITS = {"rateLimits": {}, "gatewayRateLimits": {}, "maxPayloadSize": 65_536, "maxInflightMessages": 100}


class Result(NamedTuple):
    """Of one peer."""

    readings: int
    readings_per_s: float
    cpu_s_per_100k: float
    missing: int  # never received by the subscriber
    rss_peak_mb: float


class Platform:
    """Subscribes, and remembers which readings came; answers thingsboard-gateway's question for its limits."""

    def __init__(self, broker_port: int, topic: str, numbers: Callable[[Any], list[int]]) -> None:
        self.seen: set[int] = set()
        self.last_s = time.monotonic()
        self._numbers = numbers
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._ready = threading.Event()
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", broker_port)
        self._client.subscribe([(topic, 1), ("v1/devices/me/rpc/request/+", 1)])
        self._client.loop_start()
        if not self._ready.wait(20):
            raise TimeoutError("no subscription")

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if "/rpc/request/" in message.topic:
            if content.get("method") == "getSessionLimits":
                client.publish(message.topic.replace("request", "response"), json.dumps(LIMITS), qos=1)
            return
        self.seen.update(self._numbers(content))
        self.last_s = time.monotonic()

    def close(self) -> None:
        """Unsubscribe by leaving."""
        self._client.disconnect()
        self._client.loop_stop()


class Port:
    """A pseudo-terminal and the bytes that wait for it."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.name = os.ttyname(self._slave)

    def write(self, data: bytes) -> None:
        """All of it; TimeoutError if nobody reads."""
        view = memoryview(data)
        while view:
            if not select.select([], [self._master], [], QUIET_S)[1]:
                raise TimeoutError(f"nobody reads {self.name}")
            view = view[os.write(self._master, view[:CHUNK]) :]

    def close(self) -> None:
        """Both ends."""
        os.close(self._master)
        os.close(self._slave)


def _line(number: int, street: Street) -> bytes:
    return formats.json_line(number, street.end_s(number), street.values(number)) + b"\n"


def measure(port: Port, platform: Platform, process: subprocess.Popen[bytes], readings: int) -> Result:
    """Feed `readings` lines as fast as they are read; from the first byte to the last reading received."""
    street = Street(1, series.START_S)
    deadline_s = time.monotonic() + QUIET_S
    while not platform.seen:  # it flushes its port, and may publish nothing for a while
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError("the peer publishes nothing")
        port.write(_line(readings, street))
        time.sleep(0.2)
    lines = b"".join(_line(number, street) for number in range(readings))
    wanted = set(range(readings))
    before = used(process.pid)
    began_s = platform.last_s = time.monotonic()
    port.write(lines)
    while not wanted <= platform.seen and time.monotonic() - platform.last_s < QUIET_S / 6:
        time.sleep(0.02)
    after = used(process.pid)
    got = len(wanted & platform.seen)
    cpu_s = after.cpu_s - before.cpu_s
    return Result(
        readings, got / (platform.last_s - began_s), cpu_s / readings * 1e5, readings - got, after.rss_peak_mb
    )


def plain_script(place: Path, broker_port: int, readings: int) -> Result:
    """bench/plain_script.py."""
    port = Port()
    platform = Platform(broker_port, "street/readings", lambda message: [message["seq"]])
    command = [
        sys.executable,
        str(ROOT / "bench" / "plain_script.py"),
        port.name,
        str(place / "plain.db"),
        str(broker_port),
    ]
    return _run(port, platform, subprocess.Popen(command), readings)


def thingsboard(place: Path, broker_port: int, readings: int) -> Result:
    """thingsboard-gateway with its own serial connector."""
    program = _thingsboard_program()
    port = Port()
    platform = Platform(broker_port, "v1/gateway/telemetry", _thingsboard_numbers)
    config = place / "thingsboard"
    config.mkdir()
    _configure_thingsboard(config, port.name, broker_port)
    environment = {**os.environ, "TB_GW_CONFIG_DIR": str(config)}
    log = (place / "thingsboard.log").open("wb")
    process = subprocess.Popen([str(program)], cwd=place, env=environment, stdout=log, stderr=log)
    try:
        return _run(port, platform, process, readings)
    except RuntimeError as error:
        raise RuntimeError(f"{error}: {(place / 'thingsboard.log').read_text()[-3000:]}") from None


def _run(port: Port, platform: Platform, process: subprocess.Popen[bytes], readings: int) -> Result:
    try:
        return measure(port, platform, process, readings)
    finally:
        process.kill()
        process.wait(20)
        platform.close()
        port.close()


def _thingsboard_numbers(message: Any) -> list[int]:
    return [entry["values"]["reading"]["seq"] for entries in message.values() for entry in entries]


def _thingsboard_program() -> Path:
    environment = ROOT / "build" / "thingsboard"
    program = environment / "bin" / "thingsboard-gateway"
    if not program.exists():
        print(f"installing {THINGSBOARD} into {environment.relative_to(ROOT)} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=300)
        install = [str(environment / "bin" / "pip"), "install", "-q", THINGSBOARD, "pyserial"]
        subprocess.run(install, check=True, timeout=900)
    return program


def _configure_thingsboard(folder: Path, port: str, broker_port: int) -> None:
    import msgspec

    stock = next((ROOT / "build" / "thingsboard" / "lib").glob("python3*/site-packages/thingsboard_gateway/config"))
    main = msgspec.json.decode((stock / "tb_gateway.json").read_bytes())
    main["thingsboard"].update(
        {"host": "127.0.0.1", "port": broker_port, "remoteConfiguration": False, "maxPayloadSizeBytes": 65_536}
    )
    main["thingsboard"]["security"] = {"type": "accessToken", "accessToken": "bench"}
    main["thingsboard"]["statistics"]["enable"] = False
    for limit in ("rateLimits", "dpRateLimits", "messagesRateLimits", "deviceMessagesRateLimits", "deviceRateLimits"):
        main["thingsboard"][limit] = "0:0,"
    main["thingsboard"]["deviceDpRateLimits"] = "0:0,"
    main["storage"] = {"type": "sqlite", "data_file_path": f"{folder}/data/", "max_read_records_count": 1000}
    main["connectors"] = [
        {"type": "serial", "name": "Serial", "configuration": "serial.json", "class": "SerialConnector"}
    ]
    (folder / "data").mkdir()
    (folder / "tb_gateway.json").write_text(json.dumps(main))
    device = {
        "name": "street",
        "type": "default",
        "port": port,
        "baudrate": 115_200,
        "converter": "SerialUplinkConverter",
    }
    device["telemetry"] = [{"type": "json", "key": "reading"}]  # type: ignore[assignment]
    serial = {"name": "Serial", "logLevel": "ERROR", "devices": [device]}
    (folder / "serial.json").write_text(json.dumps(serial))
    (folder / "logs.json").write_bytes((stock / "logs.json").read_bytes().replace(b'"INFO"', b'"WARNING"'))
