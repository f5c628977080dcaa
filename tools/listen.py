"""Listening on a port: bytes from the port itself, or a read-only tap where a gateway holds it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway import control
from gateway.config import Config, load
from gateway.errors import GatewayError
from gateway.keys import load_keys
from gateway.links.port import PortBusy, close_port, open_port
from tools.commands.gateway_run import DEFAULT_CONFIG
from tools.decode import Decoder
from tools.errors import NoConnection
from wire import WireError, bridge
from wire.stream import Parser

BAUDRATE = 115_200
READ_BYTES = 4096
POLL_S = 0.5  # how soon an idle listener notices that it shall end


def port_chunks(port: str, baudrate: int, until_s: float | None = None) -> Iterator[tuple[str, bytes]]:
    """("up", bytes) as they come, b"" at least every `POLL_S`; ends at monotonic `until_s`.

    GatewayError (PortMissing, PortBusy, PortDenied) when it cannot be opened, NoConnection when the port vanishes.
    """
    fd = open_port(port, baudrate)
    try:
        while until_s is None or time.monotonic() < until_s:
            ready, _, _ = select.select([fd], [], [], POLL_S)
            if not ready:
                yield "up", b""
                continue
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                raise NoConnection("the port vanished", where=port, next_step="Check the cable and start again")
            yield "up", data
    finally:
        close_port(fd)


def tap_chunks(data_dir: Path, port: str, until_s: float | None = None) -> Iterator[tuple[str, bytes]]:
    """(direction, bytes) as they pass through the gateway that holds the port; ends at monotonic `until_s`.

    NoConnection when the gateway ends before that.
    """
    left_s = None if until_s is None else max(0.1, until_s - time.monotonic())
    try:
        for item in control.stream(data_dir, "tap", timeout_s=left_s, port=port):
            yield str(item["dir"]), bytes.fromhex(item["hex"])
            if until_s is not None and time.monotonic() > until_s:
                return
    except GatewayError:
        if until_s is not None and time.monotonic() >= until_s:
            return  # nothing passed until the end
        raise
    raise NoConnection("the gateway ended or gave the port back", where=port, next_step="Start the monitor again")


def tap_profiles(data_dir: Path) -> list[dict[str, Any]]:
    """[{"life", "profiles"}] that the gateway reads its nodes' records with; none from one that is older than that."""
    try:
        return list(control.call(data_dir, "profiles")["lives"])
    except GatewayError:
        return []


def config_of_holder(busy: PortBusy) -> Config | None:
    """The configuration of the gateway that holds the port, if the holder is one."""
    try:
        path = config_of_command(Path(f"/proc/{busy.pid}/cmdline").read_text().split("\0"))
        if path is None:
            return None
        return load(Path(f"/proc/{busy.pid}/cwd").readlink() / path)
    except (OSError, GatewayError):
        return None


def config_of_command(words: Sequence[str]) -> Path | None:
    """The configuration that `… gateway run …` runs on: `--config X`, `--config=X`, or the usual place."""
    if ("gateway", "run") not in pairwise(words):
        return None
    for word, following in pairwise([*words, ""]):
        if word == "--config":
            return Path(following)
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return DEFAULT_CONFIG


def config_of_port(port: str) -> Config | None:
    """As `config_of_holder`, for a port that is not open here."""
    try:
        close_port(open_port(port, BAUDRATE))
    except PortBusy as busy:
        return config_of_holder(busy)
    except GatewayError:
        pass  # missing or not ours: whoever opens it says so
    return None


def gateway_hears(data_dir: Path, address: int, life: int, timeout_s: float) -> bool:
    """True as soon as the running gateway has heard that life of the node; False after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            nodes = control.call(data_dir, "status")["nodes"]
        except GatewayError:
            return False
        for node in nodes:
            if node["node"] == address and node["life"] == f"{life:08x}" and node["age_s"] is not None:
                return True
        _pause(until)
    return False


def gateway_hears_bridge(data_dir: Path, port: str, timeout_s: float) -> int | None:
    """State of the radio (wire.bridge) of the bridge on this port, as the gateway knows it; None: it has not spoken."""
    until = time.monotonic() + timeout_s
    found: int | None = None
    while time.monotonic() < until and found != bridge.RADIO_LISTENS:
        try:
            ears = control.call(data_dir, "status").get("lora", {}).get("ears", [])
        except GatewayError:
            return found
        for ear in ears:
            if "port" in ear and os.path.realpath(ear["port"]) == os.path.realpath(port):
                found = ear.get("bridge", {}).get("radio", found)
        _pause(until)
    return found


def hears_bridge(port: str, timeout_s: float) -> int | None:
    """The same by its own words on the port, which nobody holds: once its radio listens, or the last word in time."""
    found: int | None = None
    for content in _frames(port, time.monotonic() + timeout_s):
        if content[0] == bridge.UP:
            found = _radio_of(content, found)
            if found == bridge.RADIO_LISTENS:
                break
    return found


def _radio_of(content: bytes, before: int | None) -> int | None:
    try:
        message = bridge.decode(content, bridge.UP)
    except WireError:
        return before
    return message.radio if isinstance(message, bridge.Status) else before


def hears_hello(port: str, keys: Path, address: int, timeout_s: float) -> bool:
    """True as soon as an authentic frame of the newest life of `address` comes; False after `timeout_s`."""
    lives = [life for life in load_keys(keys) if life.address == address][-1:]
    decoder = Decoder(lives)
    return any(decoder.decode(content)["ok"] for content in _frames(port, time.monotonic() + timeout_s))


def _frames(port: str, until: float) -> Iterator[bytes]:
    """What a port that nobody holds says, frame by frame, until monotonic `until`; it may go and come back meanwhile."""
    parser = Parser()
    while time.monotonic() < until:
        try:
            for _, data in port_chunks(port, BAUDRATE, until):
                for kind, content in parser.feed(data):
                    if kind == "frame":
                        yield content
        except NoConnection:
            continue  # a board with USB of its own vanishes while it resets, and comes back
        except GatewayError:
            _pause(until)


def _pause(until: float) -> None:
    """The port is not back yet."""
    time.sleep(min(0.2, max(0.0, until - time.monotonic())))


def statistics(parsers: dict[str, Parser], opened: dict[str, int]) -> dict[str, Any]:
    """Counts of a listening session: frames, opened, not opened by reason, bytes dropped by reason."""
    dropped: dict[str, int] = {}
    for parser in parsers.values():
        for reason, count in parser.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return {"frames": sum(parser.frames for parser in parsers.values()), "opened": opened, "dropped": dropped}
