"""Serial lines, receivers and the outer pty."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tools.errors import UsageError
from tools.sim.fifo import HARDWARE, Fifo
from tools.sim.line import Line, Noise
from tools.sim.pty_port import PtyPort
from tools.sim.timers import VirtualTime


def pass_time(time: VirtualTime) -> None:
    while (due := time.next_us()) is not None:
        time.now_us = due
        time.pop()()


def test_bytes_take_their_time() -> None:
    time = VirtualTime()
    came: list[tuple[int, bytes]] = []
    line = Line(time, 115_200, lambda data: came.append((time.now_us, data)))
    assert line.send(bytes(100)) == 8680
    line.send(b"x")
    pass_time(time)
    assert [(at, len(data)) for at, data in came] == [(2778, 32), (5556, 32), (8334, 32), (8681, 4), (8768, 1)]
    assert line.held == 0


def test_noise_is_repeatable_and_has_its_rate() -> None:
    data = bytes(20_000)
    first, second = (Noise(3, independent=0.005).damage(data) for _ in range(2))
    assert first == second
    wrong = sum(1 for byte in first if byte)
    assert wrong == pytest.approx(100, rel=0.4)
    burst = Noise(3, burst=0.05).damage(data)
    hit = [place for place, byte in enumerate(burst) if byte]
    near = sum(1 for a, b in pairwise(hit) if b - a < 8)
    assert near > len(hit) // 2


def test_a_disconnected_line_carries_nothing() -> None:
    time = VirtualTime()
    came: list[bytes] = []
    line = Line(time, 115_200, came.append)
    line.send(b"lost")
    line.connected = False
    pass_time(time)
    line.connected = True
    line.send(b"there")
    pass_time(time)
    assert came == [b"there"]


def test_a_stalled_receiver_keeps_what_its_hardware_holds() -> None:
    fifo = Fifo(260)
    fifo.put(bytes(100), False)
    fifo.put(bytes(100), True)
    fifo.put(bytes(100), True)
    assert fifo.lost == 200 - HARDWARE
    fifo.serve()
    assert len(fifo) == 100 + HARDWARE
    fifo.put(bytes(100), False)
    assert len(fifo) == 260
    assert fifo.lost == 72 + 68


def test_the_port_loses_what_nobody_reads(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "port")
    port.look()
    port.write(b"before")
    assert port.lost == 6
    fd = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY)
    try:
        port.write(b"\x03\x11\n\r\x00")
        assert os.read(fd, 100) == b"\x03\x11\n\r\x00"
        os.write(fd, b"\n\x03\xff")
        wait_until(lambda: port.connected, 1, "the open is seen")
        assert wait_until(port.read, 1, "bytes from the opener") == b"\n\x03\xff"
        os.write(fd, b"last")
    finally:
        os.close(fd)
    wait_until(lambda: port.look() or not port.connected, 1, "the close is seen")
    assert port.rest == b"last"
    port.unplug()
    assert not (tmp_path / "port").is_symlink()


def test_pulling_the_cable_is_seen_by_the_opener(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "port")
    fd = os.open(tmp_path / "port", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        port.unplug()
        with pytest.raises(OSError, match="Input/output"):
            os.write(fd, b"x")
    finally:
        os.close(fd)
    port.plug()
    assert (tmp_path / "port").exists()
    port.unplug()


def test_a_taken_name_is_refused_and_a_dead_one_taken_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="a file, not a port"):
        PtyPort(tmp_path / "file")
    port = PtyPort(tmp_path / "port")
    with pytest.raises(UsageError, match="a simulated board has this port"):
        PtyPort(tmp_path / "port")
    port.unplug()
    (tmp_path / "port").symlink_to("/dev/pts/nothing")
    PtyPort(tmp_path / "port").unplug()
