"""The gateway's duty cycle over kill -9, machine boots and clocks that jump: judged by what was sent alone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.config import load
from gateway.links.duty import DISK_AGAIN_S, GatewayDuty
from gateway.lora import duty_of
from tests.fakes.air_judge import HOUR_US, Judge
from tests.waiting import wait_until, wait_until_async
from wire.airtime import airtime_us
from wire.duty import BLOCK_US
from wire.regions import DOWNLINK_HZ

ROOT = Path(__file__).parents[2]
S_US = 1_000_000


class Machine:
    """True time, a machine's clock that is 100 ppm fast, and a wall clock that means nothing."""

    def __init__(self, folder: Path) -> None:
        self.now_us = 0
        self.boots = 0
        self.began_us = 0
        self.path = folder / "duty-roof"
        self.judge = Judge()
        self.start()

    def monotonic_s(self) -> float:
        return (self.now_us - self.began_us) * 1.0001 / 1e6

    def wall_ms(self) -> int:
        return random.randrange(1 << 42)

    def start(self) -> None:
        """The gateway, or it again after kill -9."""
        self.duty = GatewayDuty(self.path, self, f"boot-{self.boots}")

    def boot(self) -> None:
        self.boots += 1
        self.began_us = self.now_us
        self.start()

    def send(self, length: int, sf: int, delay_us: int = 0) -> bool:
        airtime = airtime_us(length, sf)
        if self.duty.wait_s(DOWNLINK_HZ, airtime):
            return False
        self.duty.take(DOWNLINK_HZ, airtime)
        self.judge.heard(DOWNLINK_HZ, self.now_us + delay_us, self.now_us + delay_us + round(airtime * 1.0001))
        self.now_us += delay_us + airtime
        return True

    def exhaust(self) -> None:
        while self.send(60, 12):
            pass


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_tenth_of_the_hour_and_no_more(machine: Machine) -> None:
    machine.exhaust()
    wait_s = machine.duty.wait_s(DOWNLINK_HZ, airtime_us(60, 12))
    assert 3000 < wait_s <= 3610
    with pytest.raises(ValueError, match="duty cycle"):
        machine.duty.take(DOWNLINK_HZ, airtime_us(60, 12))
    assert 0.97 < machine.judge.worst() <= 1.0
    machine.now_us += 3610 * S_US
    assert machine.send(60, 12)


@pytest.mark.slow
def test_kills_and_boots_take_no_airtime_back(machine: Machine) -> None:
    rng = random.Random(83)
    for _ in range(120):
        for _ in range(rng.randrange(6)):
            machine.send(rng.choice((24, 60)), rng.choice((9, 10, 12)), rng.randrange(2 * S_US))
        machine.now_us += rng.randrange(rng.choice((1, 60 * S_US, 900 * S_US)) + 1)
        if rng.random() < 0.5:
            machine.start()
        elif rng.random() < 0.2:
            machine.boot()
        if rng.random() < 0.1:
            machine.exhaust()
    assert 0.9 < machine.judge.worst() <= 1.0


@pytest.mark.slow
def test_the_same_machine_knows_how_much_of_the_hour_has_passed(machine: Machine) -> None:
    machine.exhaust()
    machine.now_us += HOUR_US + 60 * S_US
    machine.start()  # what was reserved last is all that counts as used
    for _ in range(100):
        assert machine.send(60, 12)
    machine.boot()
    assert not machine.send(60, 12) or machine.judge.worst() <= 1.0


def test_an_earlier_boot_of_the_machine_tells_nothing_of_its_time(machine: Machine) -> None:
    """Its clock counts from its own boot: ten days then are ten days of nobody now."""
    machine.now_us += 10 * 24 * HOUR_US
    machine.exhaust()
    machine.boot()
    machine.now_us += 60 * S_US
    machine.start()
    assert not machine.send(60, 12)
    machine.now_us += HOUR_US
    machine.start()
    assert machine.send(60, 12)


def test_an_ear_with_a_new_name_is_the_same_transmitter(tmp_path: Path) -> None:
    machine = Machine(tmp_path)

    def start(*names: str) -> list[GatewayDuty]:
        text = f'[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "{tmp_path}"\n'
        for name in names:
            text += f'[[bridge]]\nname = "{name}"\nport = "/dev/{name}"\nchannel = 868.1\n'
        (tmp_path / "gateway.toml").write_text(text)
        config = load(tmp_path / "gateway.toml")
        return [duty_of(config, SimpleNamespace(name=name), machine) for name in names]  # type: ignore[arg-type, misc]

    (machine.duty,) = start("roof")
    machine.exhaust()
    (tmp_path / "duty-mast.part").write_bytes(b"half")  # of a gateway that was killed amid a writing
    mast, yard = start("mast", "yard")
    assert mast.wait_s(DOWNLINK_HZ, airtime_us(60, 12)) > 60, "the hour that roof spent"
    assert yard.wait_s(DOWNLINK_HZ, airtime_us(60, 12)) == 0, "there is one hour, and one ear took it"
    machine.now_us += HOUR_US + 10 * S_US
    assert start("mast")[0].wait_s(DOWNLINK_HZ, airtime_us(60, 12)) == 0


def test_a_damaged_file_costs_the_hour(machine: Machine) -> None:
    machine.send(60, 12)
    machine.path.write_bytes(machine.path.read_bytes()[:-1])
    machine.start()
    assert machine.duty.wait_s(DOWNLINK_HZ, 1000) > 3000


def test_nothing_is_sent_while_the_disk_refuses(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "missing")
    assert not machine.send(60, 12)
    machine.path.parent.mkdir()
    assert not machine.send(60, 12)
    machine.now_us += round((DISK_AGAIN_S + 1) * S_US)
    assert machine.send(60, 12)


def test_the_next_block_is_on_the_disk_before_it_is_needed(machine: Machine) -> None:
    """In the loop a frame never waits for the disk, but for the first."""

    async def run() -> None:
        airtime = airtime_us(60, 10)
        machine.duty.wait_s(DOWNLINK_HZ, airtime)
        written = machine.path.stat().st_mtime_ns
        for _ in range(BLOCK_US // airtime - 1):
            assert machine.send(60, 10)
        await wait_until_async(lambda: not machine.duty._writing, 60, "the next block is written")
        assert machine.path.stat().st_mtime_ns != written
        assert machine.duty._spent.left[4] > BLOCK_US // 2

    asyncio.run(run())


_SENDER = """
import sys, time
from pathlib import Path
from gateway.clock import SystemClock
from gateway.links.duty import GatewayDuty
duty = GatewayDuty(Path(sys.argv[1]), SystemClock())
for _ in range(FRAMES):
    assert not duty.wait_s(869525000, 100000)
    duty.take(869525000, 100000)
    print(100000, flush=True)
sys.stdin.read()
"""
_FRAMES = 137  # in the midst of what was reserved


def test_a_killed_process_is_believed_to_have_sent_all_that_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "duty"
    said = tmp_path / "said"
    with said.open("wb") as out:
        sender = _SENDER.replace("FRAMES", str(_FRAMES))
        command = [sys.executable, "-c", sender, str(path)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out)
        try:
            wait_until(lambda: said.stat().st_size == 7 * _FRAMES, 120, "all frames")
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin:
                process.stdin.close()
    sent_us = 100_000 * _FRAMES
    assert sent_us % BLOCK_US

    class Now:
        def monotonic_s(self) -> float:
            return time.monotonic()

        def wall_ms(self) -> int:
            return 0

    free_us = GatewayDuty(path, Now())._spent.free_us(4, int(time.monotonic()))
    assert 100 * 3_599_000 - sent_us - BLOCK_US - 100_000 <= free_us <= 100 * 3_599_000 - sent_us
