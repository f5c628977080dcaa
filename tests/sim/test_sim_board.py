"""A simulated board under a virtual clock, with programs of a few lines instead of the firmware."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim.running import START_S, little
from tools.sim.conductor import Conductor
from tools.sim.interpreter import find

pytestmark = pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")


@pytest.fixture
def conductor(tmp_path: Path) -> Iterator[Conductor]:
    with Conductor(tmp_path, seed=1, start_s=START_S) as made:
        yield made


def said(conductor: Conductor, main: str, until: str, within_s: float = 600.0, **more: str) -> list[str]:
    """Lines that the program prints, up to the one that begins with `until`."""
    node = little(conductor, main, **more)
    found = conductor.run_until(lambda: f"{until}".encode() in bytes(node.said), within_s)
    conductor.run(0.1)  # the rest of the line
    text = node.said.decode(errors="replace")
    assert found, text
    return text.replace("\r\n", "\n").splitlines()


def test_ticks_wrap_a_minute_after_the_start_and_time_counts_from_2000(conductor: Conductor) -> None:
    lines = said(
        conductor,
        """
import time
a = time.ticks_ms()
time.sleep(59)
b = time.ticks_ms()
time.sleep(2)
c = time.ticks_ms()
print(a, b > a, c, time.ticks_diff(c, b), time.ticks_diff(b, c), time.ticks_add(b, 2000) == c)
print(time.time(), time.gmtime()[:3])
print("done")
""",
        "done",
    )
    start, grown, wrapped, forth, back, added = lines[0].split()
    assert (1 << 30) - 60_000 <= int(start) < (1 << 30) - 59_900
    assert (grown, forth, back, added) == ("True", "2000", "-2000", "True")
    assert int(wrapped) < 2_000
    assert lines[1] == "61 (2000, 1, 1)"


def test_asyncio_sleeps_in_virtual_time_and_keeps_the_order(conductor: Conductor) -> None:
    lines = said(
        conductor,
        """
import asyncio, time
order = []
async def sleeper(n, ms):
    await asyncio.sleep_ms(ms)
    order.append(n)
async def main():
    t = time.ticks_ms()
    await asyncio.gather(*[sleeper(n, ms) for n, ms in enumerate((86400000, 5, 3000, 0, 5))])
    print(order, time.ticks_diff(time.ticks_ms(), t))
    try:
        await asyncio.wait_for_ms(sleeper(9, 1000), 100)
    except asyncio.TimeoutError:
        print("timeout", time.ticks_diff(time.ticks_ms(), t))
asyncio.run(main())
print("done")
""",
        "done",
        90_000,
    )
    assert lines[:2] == ["[3, 1, 4, 2, 0] 86400000", "timeout 86400100"]
    assert conductor.now_s - START_S == pytest.approx(86_400, abs=2)


def test_deep_sleep_loses_ram_and_keeps_rtc_memory(conductor: Conductor) -> None:
    lines = said(
        conductor,
        """
import machine, time
r = machine.RTC()
print(machine.reset_cause(), r.memory(), time.ticks_ms() > 1 << 29, "kept" in globals())
kept = 1
if machine.reset_cause() == machine.DEEPSLEEP_RESET:
    machine.reset()
elif machine.reset_cause() == machine.HARD_RESET:
    print("done")
else:
    r.memory(b"slept")
    machine.deepsleep(30000)
""",
        "done",
    )
    assert lines[:3] == ["1 b'' True False", "4 b'slept' True False", "2 b'slept' True False"]
    assert conductor.now_s - START_S == pytest.approx(30.9, abs=0.3)


def test_power_cut_loses_rtc_memory_and_the_calendar(conductor: Conductor) -> None:
    node = little(
        conductor,
        "import machine, time\nr = machine.RTC()\nprint(machine.reset_cause(), r.memory(), time.time())\n"
        "r.memory(b'x')\ntime.sleep(1)\nprint('on')\ntime.sleep(100)",
    )
    assert conductor.run_until(lambda: b"on" in node.said, 10)
    node.board.power_off()
    conductor.run(5)
    node.board.power_on()
    assert conductor.run_until(lambda: node.said.count(b"on") == 2, 10)
    assert node.said.count(b"1 b'' 0\r\n") == 2


@pytest.mark.slow
def test_watchdog_resets_a_program_that_hangs(conductor: Conductor) -> None:
    lines = said(
        conductor,
        """
import machine, time
print("cause", machine.reset_cause())
if machine.reset_cause() == machine.WDT_RESET:
    print("done")
else:
    dog = machine.WDT(timeout=10000)
    for _ in range(5):
        time.sleep(9)
        dog.feed()
    while True:
        pass_ms = time.ticks_ms()
""",
        "done",
    )
    assert lines[0] == "cause 1"
    assert "cause 3" in lines
    assert conductor.now_s - START_S == pytest.approx(55.6, abs=0.5)


def test_an_unfed_watchdog_brings_the_program_back_from_the_prompt(conductor: Conductor) -> None:
    node = little(conductor, "import machine\nmachine.WDT(timeout=20000)\nprint('runs', machine.reset_cause())")
    assert conductor.run_until(lambda: b"runs 3" in node.said, 30)


def test_an_error_is_printed_and_leads_to_the_prompt(conductor: Conductor) -> None:
    lines = said(conductor, "def f():\n    raise ValueError('why')\nf()", "Value")
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: why"
    conductor.run(1)
    assert conductor.nodes["n"].board.console.repl


def test_system_exit_is_a_soft_reset(conductor: Conductor) -> None:
    lines = said(
        conductor,
        "import machine, sys\nprint('cause', machine.reset_cause())\nif machine.reset_cause() == 5:\n    print('done')\nelse:\n    sys.exit()",
        "done",
    )
    assert lines[:3] == ["cause 1", "MPY: soft reboot", "cause 5"]


def test_unique_id_lies_outside_the_flash_file(conductor: Conductor, tmp_path: Path) -> None:
    lines = said(conductor, "import machine\nprint(machine.unique_id().hex())\nprint('done')", "done")
    assert lines[0] == (tmp_path / "n.flash.uid").read_text().strip()
    assert bytes.fromhex(lines[0]) not in (tmp_path / "n.flash").read_bytes()


def test_flash_takes_its_time_while_input_overflows(conductor: Conductor) -> None:
    """DESIGN 5: an erase stands still for 45 ms; a UART at 115200 baud then keeps 128 bytes of some 500."""
    node = little(
        conductor,
        """
import asyncio, time
from firmware import hal
console = hal.console()
console.open()
async def main():
    print("ready")
    got = bytearray(300)
    total = 0
    while True:
        n = await console.readinto(got, 2000)
        if not n:
            break
        total += n
        if b"!" in got[:n]:
            import simbus
            t = time.ticks_ms()
            simbus.Flash().ioctl(6, 500)
            print("erased", time.ticks_diff(time.ticks_ms(), t))
    print("total", total)
asyncio.run(main())
""",
    )
    assert conductor.run_until(lambda: b"ready" in node.said, 10)
    node.down.send(b"!" * 32 + b"x" * 1000)
    assert conductor.run_until(lambda: b"total" in node.said, 10)
    text = node.said.decode()
    assert "erased 45" in text
    lost = node.board.console.fifo.lost
    assert 300 < lost < 450
    assert f"total {1032 - lost}" in text
    assert node.flash.counts["erases"] >= 1


def test_input_is_seen_while_another_task_is_always_ready(conductor: Conductor) -> None:
    """As on a board, where the loop polls before each task: who asks for time again and again keeps nobody from reading."""
    node = little(
        conductor,
        """
import asyncio, time
from firmware import hal
console = hal.console()
console.open()
async def busy():
    while True:
        time.ticks_us()
        await asyncio.sleep_ms(0)
async def main():
    task = asyncio.create_task(busy())
    print("ready")
    got = bytearray(8)
    t = time.ticks_ms()
    n = await console.readinto(got, 5000)
    print("heard", n, time.ticks_diff(time.ticks_ms(), t) < 1000)
asyncio.run(main())
""",
    )
    assert conductor.run_until(lambda: b"ready" in node.said, 10)
    node.down.send(b"!")
    assert conductor.run_until(lambda: b"heard" in node.said, 10)
    assert b"heard 1 True" in node.said


@pytest.mark.slow
def test_the_microphone_overflows_silently(conductor: Conductor) -> None:
    node = little(
        conductor,
        """
import asyncio, time
from firmware import hal
mic = hal.i2s(0, 14, 15, 32, 48000, 48000)
async def main():
    buf = bytearray(4 * 2400)
    for _ in range(20):
        n = await mic.readinto(buf, 1000)
        assert n == len(buf), n
    print("even", n)
    time.sleep_ms(1000)
    n = await mic.readinto(buf, 1000)
    print("late", n)
asyncio.run(main())
""",
        board="noise-v1",
    )
    assert conductor.run_until(lambda: b"even" in node.said, 10), node.said
    assert node.board.i2s[0].lost == 0
    assert conductor.run_until(lambda: b"late" in node.said, 10), node.said
    # 48000 // 2048 = 23 buffers of 256 frames are kept of one second
    assert node.board.i2s[0].lost == pytest.approx(48_000 - 23 * 256, abs=256)


def test_the_microphone_is_heard_in_its_slot(conductor: Conductor) -> None:
    """The left slot alone, both, the left one again: each time the clocks begin anew."""
    node = little(
        conductor,
        """
import asyncio
from firmware import hal
mic = hal.i2s(0, 14, 15, 32, 48000, 48000)
async def loudest(buf, first, step):
    for _ in range(8):
        assert await mic.readinto(buf, 1000) == len(buf)
    return sum([1 for at in range(4 * first, len(buf), 4 * step) if buf[at + 1]])
async def main():
    buf = bytearray(4 * 1200)
    print("mono", await loudest(buf, 0, 1))
    mic.slots(2)
    print("both", await loudest(buf, 0, 2), await loudest(buf, 1, 2))
    mic.slots(1)
    print("again", await loudest(buf, 0, 1))
asyncio.run(main())
""",
        board="noise-v1",
    )
    assert conductor.run_until(lambda: b"again" in node.said, 10), node.said
    heard = dict(line.split(" ", 1) for line in node.said.decode().splitlines() if line.count(" "))
    assert int(heard["mono"]) > 1000, heard
    left, right = map(int, heard["both"].split())
    assert left > 500, heard
    assert right == 0, heard
    assert int(heard["again"]) > 1000, heard


def test_a_received_0x03_interrupts_and_other_bytes_do_not(conductor: Conductor) -> None:
    node = little(
        conductor,
        """
import asyncio
from firmware import hal
hal.console().open()
print('ready')
async def main():
    await asyncio.sleep_ms(10**9)
asyncio.run(main())
""",
    )
    assert conductor.run_until(lambda: b"ready" in node.said, 10)
    node.down.send(bytes(b for b in range(256) if b != 3) * 4)
    conductor.run(2)
    assert node.board.stats["interrupts"] == 0
    assert not node.board.console.repl
    node.down.send(b"\x03")
    conductor.run(1)
    assert node.board.stats["interrupts"] == 1
    assert node.board.console.repl
    assert b"KeyboardInterrupt" in node.said


@pytest.mark.slow
def test_what_follows_a_0x03_belongs_to_the_prompt(conductor: Conductor) -> None:
    """mpremote sends a carriage return and Ctrl-A right behind its 0x03; the interrupted program must not eat them."""
    node = little(
        conductor,
        """
import asyncio, simbus
from firmware import hal
flash = simbus.Flash()
console = hal.console()
console.open()
buf = bytearray(64)
async def main():
    while True:
        await console.readinto(buf, 1)
        flash.writeblocks(500, buf)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    console.close()
""",
    )
    node.board.console.feed = lambda give: True  # type: ignore[method-assign]  # keep what is typed
    for number in range(40):
        conductor.run(0.5 + number * 0.00017)
        held = node.board.console.fifo
        node.down.send(b"\r\x03\r\x01")
        conductor.run(0.1)
        assert node.board.console.repl
        assert bytes(node.board.console._typed) == b"\r\x01", number
        assert held.lost == 0
        node.board.reset()
        conductor.run(0.4)


def test_an_interrupt_never_cuts_a_flash_operation(conductor: Conductor) -> None:
    """On a chip the flash driver is C: the file system is whole after any number of breaks."""
    node = little(
        conductor,
        """
import os, time
n = 0
while n < 200:
    try:
        with open("f%d" % (n % 5), "wb") as f:
            f.write(b"%05d" % n * 100)
        time.sleep_ms(1)
        n += 1
    except KeyboardInterrupt:
        print("broken")
print("done", [n for n in sorted(os.listdir("/")) if n[0] == "f"], open("f4").read(5))
""",
    )
    for number in range(300):
        conductor.at(0.5 + number * 0.0773, lambda: node.down.send(b"\x03"))
    assert conductor.run_until(lambda: b"done" in node.said, 400), node.said
    conductor.run(0.1)
    assert b"done ['f0', 'f1', 'f2', 'f3', 'f4'] 00199" in node.said
    assert node.said.count(b"broken") > 20
    assert node.flash.counts["rewrites"] == 0


def test_crystals_differ(conductor: Conductor) -> None:
    nodes = [little(conductor, "import time\nwhile 1: time.sleep(1000)", name=f"n{i}") for i in range(2)]
    conductor.run(100_000)
    uptimes = [node.board.uptime_us() for node in nodes]
    assert uptimes[0] != uptimes[1]
    assert all(abs(uptime - 100_000_000_000 + 300_000) < 2_000_001 for uptime in uptimes)
