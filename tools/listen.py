"""Listening on a port: bytes from the port itself, or a read-only tap where a gateway holds it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway import control
from gateway.errors import GatewayError
from gateway.keys import load_keys
from gateway.links.port import PortBusy, close_port, open_port
from tools.decode import Decoder
from tools.errors import NoConnection
from wire.stream import Parser

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


def tap_chunks(data_dir: Path, port: str) -> Iterator[tuple[str, bytes]]:
    """(direction, bytes) as they pass through the gateway that holds the port."""
    for item in control.stream(data_dir, "tap", port=port):
        yield str(item["dir"]), bytes.fromhex(item["hex"])


def data_dir_of_holder(busy: PortBusy) -> Path | None:
    """Where the gateway that holds the port keeps its control socket, if the holder is one."""
    try:
        words = Path(f"/proc/{busy.pid}/cmdline").read_text().split("\0")
        if "gateway" not in words or "--config" not in words:
            return None
        from gateway.config import load

        path = Path(words[words.index("--config") + 1])
        return Path(load(Path(f"/proc/{busy.pid}/cwd").readlink() / path).gateway.data_dir)
    except (OSError, IndexError, GatewayError):
        return None


def hears_hello(port: str, keys: Path, address: int, timeout_s: float) -> bool:
    """True as soon as an authentic frame of the newest life of `address` comes; False after `timeout_s`."""
    lives = [life for life in load_keys(keys) if life.address == address][-1:]
    decoder = Decoder(lives)
    parser = Parser()
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        try:
            for _, data in port_chunks(port, 115200, until):
                if any(decoder.decode(content)["ok"] for kind, content in parser.feed(data) if kind == "frame"):
                    return True
        except NoConnection:
            continue  # a board with USB of its own vanishes while it resets, and comes back
        except GatewayError:
            _pause(until)
    return False


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
