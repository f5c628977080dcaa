"""An SX1262 HAT on a Raspberry Pi: the port's calls into spidev and gpiod, and the ear on the simulated chip."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware import drivers
from firmware.drivers.sx1262 import Sx1262
from gateway import environment
from gateway.config import ConfigError, load
from gateway.environment import check_ports
from gateway.links.cell import LEAD_S
from gateway.links.ear import CLOCK_MASK, Downlink, Heard, apart
from gateway.links.hat import HatEar, hat_ears
from gateway.links.hat_port import HatPort, Wiring
from tests.fakes.pi_modules import Clock, Direction, Edge, LineSettings, Pi, Value
from tests.fakes.radio_stage import RadioStage
from tests.fakes.virtual_time import virtual_s

OPTIONS = {"tcxo_mv": 1800, "tcxo_ms": 5, "dio2_switch": 1, "dcdc": 1}
UPLINK_HZ, DOWNLINK_HZ = 868_100_000, 869_525_000


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pi]:
    pi = Pi()
    for name, module in pi.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    yield pi
    pi.close()


# --- The port --------------------------------------------------------------------------------------------------------


def test_lines_and_bus_are_asked_for_once_and_given_back(pi: Pi) -> None:
    async def use() -> None:
        HatPort(Wiring(0, 1, "/dev/gpiochip4", reset=18, busy=20, irq=16, nss=21, rxen=6, txen=5)).close()

    asyncio.run(use())
    output, read = Direction.OUTPUT, LineSettings(direction=Direction.INPUT)
    edges = LineSettings(direction=Direction.INPUT, edge_detection=Edge.RISING, event_clock=Clock.MONOTONIC)
    config = {
        (18, 21): LineSettings(direction=output, output_value=Value.ACTIVE), 20: read, 16: edges,
        (6, 5): LineSettings(direction=output, output_value=Value.INACTIVE),
    }  # fmt: skip
    assert pi.calls == [
        ("SpiDev",), ("open", 0, 1), ("max_speed_hz", 4_000_000), ("mode", 0), ("no_cs", True),
        ("request_lines", "/dev/gpiochip4", config, "steiger", 16),
        ("set_value", 18, 0), ("release",), ("spi close",),
    ]  # fmt: skip


def test_a_transfer_is_one_call_between_two_levels(pi: Pi) -> None:
    async def use(wiring: Wiring) -> bytes:
        port = HatPort(wiring)
        pi.calls.clear()
        pi.answers.append(b"\x00\x22\x00")
        buf = bytearray(b"\x12\x00\x00")
        port.transfer(memoryview(buf))
        return bytes(buf)

    assert asyncio.run(use(Wiring())) == b"\x00\x22\x00"
    assert pi.calls == [("xfer2", "120000")]
    asyncio.run(use(Wiring(nss=21)))
    assert pi.calls == [("set_value", 21, 0), ("xfer2", "120000"), ("set_value", 21, 1)]


def test_levels(pi: Pi) -> None:
    async def use() -> None:
        port = HatPort(Wiring(rxen=6, txen=5))
        pi.calls.clear()
        pi.levels[20] = Value.ACTIVE
        assert (port.busy(), port.irq()) == (1, 0)
        port.reset(0)
        port.rx_path(1)
        port.rx_path(0)

    asyncio.run(use())
    assert pi.calls == [
        ("get_value", 20), ("get_value", 16), ("set_value", 18, 0), ("set_value", 6, 1), ("set_value", 5, 0),
        ("set_value", 6, 0), ("set_value", 5, 1),
    ]  # fmt: skip


def test_an_edge_ends_the_wait_and_has_the_kernels_time(pi: Pi) -> None:
    async def use() -> None:
        port = HatPort(Wiring())
        assert not await port.wait_irq(0)
        waiting = asyncio.ensure_future(port.wait_irq(30_000))
        await asyncio.sleep(0)
        at_ns = time.monotonic_ns() - 123_000_000
        pi.edge(16, at_ns)
        assert await waiting
        assert port.irq_us() == at_ns // 1000 % (1 << 30)
        assert await port.wait_irq(0), "the level counts, too"
        pi.levels[16] = Value.INACTIVE
        assert not await port.wait_irq(1)
        pi.edge(16, 5_000)
        assert port.irq_us() == 5, "an edge that the loop has not come to yet"
        assert 0 <= port.us_diff(port.now_us(), port.now_us()) <= 0 or port.us_diff(1, (1 << 30) - 1) == 2

    asyncio.run(use())


def test_what_is_open_is_closed_when_the_lines_are_taken(pi: Pi) -> None:
    def taken(*args: Any, **kwargs: Any) -> None:
        raise OSError(16, "Device or resource busy")

    sys.modules["gpiod"].request_lines = taken  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="busy"):
        asyncio.run(_open())
    assert pi.calls[-1] == ("spi close",)


async def _open() -> HatPort:
    return HatPort(Wiring())


def test_no_module_of_it_is_loaded_by_a_gateway_without_a_hat() -> None:
    code = "import sys, gateway.app; print([n for n in sys.modules if n in ('gateway.links.hat', 'spidev', 'gpiod')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


# --- The ear ---------------------------------------------------------------------------------------------------------


class Wall:
    """The gateway's clock on the stage's time."""

    def __init__(self, stage: RadioStage) -> None:
        self._stage = stage

    def wall_ms(self) -> int:
        return 1_800_000_000_000 + self._stage.time.now_us // 1000

    def monotonic_s(self) -> float:
        return self._stage.time.now_us / 1e6


async def until(condition: Callable[[], bool]) -> None:
    """In virtual time, for at most ten seconds."""
    for _ in range(10_000):
        if condition():
            return
        await virtual_s(0.001)
    raise AssertionError("it never came")


class Scene:
    """A node's radio and a HAT, 300 m apart. `play(part)` runs the ear beside `part` until that is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drivers, "forget", lambda *names: None)  # else compiled anew each time
        self.stage = RadioStage()
        self.node_port, self.port = self.stage.port("sx1262"), self.stage.port("sx1262", 300.0)
        self.node = Sx1262(self.node_port, self.stage.clock, OPTIONS)
        self.stage.run(self.node.start())
        self.node.tune(UPLINK_HZ, 9, 14, False)
        self.heard: list[Heard] = []
        self.opening: list[BaseException] = []
        self.ear = HatEar(
            "roof", Wiring(), OPTIONS, (UPLINK_HZ, 9), 22, self.heard.append, Wall(self.stage), self._open
        )

    def _open(self, wiring: Wiring) -> Any:
        if self.opening:
            raise self.opening.pop(0)
        return self.port

    def play(self, part: Any) -> Any:
        async def beside() -> Any:
            task = asyncio.ensure_future(self.ear.run())
            try:
                await until(lambda: self.ear.state == "open")
                return await part
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        return self.stage.run(beside())[0]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_it_hears_and_answers_in_time(scene: Scene) -> None:
    async def talk() -> Any:
        time = scene.stage.time  # when the frame ends (123.9 ms) both programs are busy
        time.call_at(time.now_us + 115_000, lambda: scene.stage.spend(30_000))
        end_us = await scene.node.transmit(b"uplink")
        await until(lambda: bool(scene.heard))
        heard = scene.heard[0]
        answer = Downlink(b"answer", DOWNLINK_HZ, heard.sf, 27, (heard.end_us + 1_000_000) & CLOCK_MASK)
        sent = asyncio.ensure_future(scene.ear.send(answer))
        scene.node.tune(DOWNLINK_HZ, 9, 14, True)
        window = await scene.node.receive(20, (end_us + 990_000) % (1 << 30))
        return await sent, window

    result, window = scene.play(talk())
    assert result == ""
    assert window[0] == b"answer"
    up, down = scene.stage.ether.log
    assert 0 <= down.begin_us - up.end_us - 1_000_000 < 300
    assert (down.freq_hz, down.power_dbm, down.inverted) == (DOWNLINK_HZ, 22.0, True), "no more than it may"
    (heard,) = scene.heard
    assert (heard.ear, heard.frame, heard.freq_hz, heard.sf, heard.fresh) == ("roof", b"uplink", UPLINK_HZ, 9, True)
    assert abs(heard.received_ms - 1_800_000_000_000 - up.end_us // 1000) <= 1, "the instant of its end"
    assert heard.rssi_dbm < -90
    assert scene.port.chip.violations == []
    assert scene.ear.facts()["radio"] == "SX1262, TCXO 1800 mV"


def test_an_answer_that_the_disk_held_up_is_in_time_as_long_as_the_cell_gives_it_out(scene: Scene) -> None:
    """LEAD_S before its begin, whatever the ear is doing then."""

    async def talk() -> list[str]:
        results = []
        for number in range(8):
            await scene.node.transmit(b"uplink")
            await until(lambda number=number: len(scene.heard) > number)  # type: ignore[misc]
            at_us = (scene.heard[-1].end_us + 1_000_000) & CLOCK_MASK
            await virtual_s(apart(at_us, scene.ear.now_us()) / 1e6 - LEAD_S)
            results.append(await scene.ear.send(Downlink(b"answer", DOWNLINK_HZ, 9, 14, at_us)))
            await virtual_s(0.013 * number)
        return results

    assert scene.play(talk()) == [""] * 8
    ups, downs = scene.stage.ether.log[::2], scene.stage.ether.log[1::2]
    late_us = [down.begin_us - up.end_us - 1_000_000 for up, down in zip(ups, downs, strict=True)]
    assert 0 <= min(late_us) <= max(late_us) < 300


def test_it_hears_where_it_is_tuned_to(scene: Scene) -> None:
    async def talk() -> None:
        scene.ear.tune(868_300_000, 7)
        await virtual_s(0.3)
        await scene.node.transmit(b"missed")
        scene.node.tune(868_300_000, 7, 14, False)
        await scene.node.transmit(b"heard")
        await virtual_s(0.2)

    scene.play(talk())
    assert [(heard.frame, heard.freq_hz, heard.sf) for heard in scene.heard] == [(b"heard", 868_300_000, 7)]
    assert (scene.ear.channels, scene.ear.sfs, scene.ear.single) == ((868_300_000,), (7,), True)


def test_orders_that_cannot_be_carried_out(scene: Scene) -> None:
    def order(in_us: int, size: int = 10, sf: int = 9) -> Downlink:
        return Downlink(bytes(size), DOWNLINK_HZ, sf, 14, (scene.ear.now_us() + in_us) & CLOCK_MASK)

    async def talk() -> list[str]:
        found = [await scene.ear.send(order(-10_000)), await scene.ear.send(order(500_000, 256))]
        found.append(await scene.ear.send(order(500_000, sf=6)))
        first = asyncio.ensure_future(scene.ear.send(order(500_000)))
        await asyncio.sleep(0)
        found.append(await scene.ear.send(order(600_000)))
        found.append(await first)
        await virtual_s(0.05)  # amid a slice of listening, which an order for the next millisecond does not end
        return [*found, await scene.ear.send(order(1_000))]

    assert scene.play(talk()) == ["late", "refused", "refused", "busy", "", "late"]
    assert len(scene.stage.ether.log) == 1
    assert asyncio.run(scene.ear.send(order(500_000))) == "closed"


def test_a_radio_that_fails_is_started_anew(scene: Scene) -> None:
    async def talk() -> tuple[str, str, str]:
        scene.port.chip.switch("tx_hangs")
        now_us = scene.ear.now_us()
        result = await scene.ear.send(Downlink(b"x", DOWNLINK_HZ, 9, 14, (now_us + 500_000) & CLOCK_MASK))
        await virtual_s(0.1)
        told = scene.ear.state
        scene.port.chip.switch("tx_hangs", False)
        await virtual_s(6)
        assert apart(scene.ear.now_us(), now_us) > 6_000_000, "its clock goes on"
        await scene.node.transmit(b"again")
        await virtual_s(0.2)
        return result, told, scene.ear.state

    assert scene.play(talk()) == ("radio", "radio: not done in time", "open")
    assert [heard.frame for heard in scene.heard] == [b"again"]
    assert scene.ear.starts == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'spidev'", name="spidev"), "the module spidev is missing: pip install 'steiger[hat]'"),
        (PermissionError(13, "Permission denied", "/dev/spidev0.0"), "no permission (/dev/spidev0.0): add this user to the groups spi and gpio"),
        (FileNotFoundError(2, "No such file", "/dev/spidev0.0"), "no such device (/dev/spidev0.0): turn SPI on"),
        (OSError(16, "Device or resource busy"), "Device or resource busy"),
    ],
)  # fmt: skip
def test_what_keeps_it_closed_is_said(scene: Scene, error: BaseException, words: str) -> None:
    states: list[str] = []
    scene.opening.append(error)

    async def watch() -> None:
        task = asyncio.ensure_future(scene.ear.run())
        await virtual_s(1)
        states.append(scene.ear.state)
        await virtual_s(6)
        states.append(scene.ear.state)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    scene.stage.run(watch())
    assert states[0].startswith(words)
    assert states[1] == "open"


# --- The configuration -----------------------------------------------------------------------------------------------

GATEWAY = '[gateway]\nid = "gw"\nnumber = 1\ndata_dir = "data"\n'
HAT = "[[hat]]\nchannel = 868.1\nreset = 18\nbusy = 20\nirq = 16\n"


def test_the_document_s_table_makes_an_ear(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "lora-gateway.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```toml\n(\[\[hat\]\]\n.*?)```", text, re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY + table)
    (ear,) = hat_ears(load(path), lambda heard: None, Wall(RadioStage()))
    assert (ear.name, ear.channels, ear.sfs, ear.single, ear.state) == (
        "mast",
        (868_100_000,),
        (9,),
        True,
        "not started yet",
    )
    assert ear._wiring == Wiring(0, 0, "/dev/gpiochip0", 18, 20, 16, 21, None, None, 6)
    assert ear.power_max_dbm == 14


def test_an_antenna_s_gain_is_taken_off_the_power(tmp_path: Path) -> None:
    """27 dBm e.r.p. at 869.525 MHz: 29.15 dBm e.i.r.p."""
    path = tmp_path / "gateway.toml"
    for gain, loss, power_dbm in ((2.15, 0.0, 22), (12.0, 1.0, 18), (20.0, 0.0, 9)):
        path.write_text(f"{GATEWAY}{HAT}power_dbm = 22\nantenna_gain_dbi = {gain}\ncable_loss_db = {loss}\n")
        (ear,) = hat_ears(load(path), lambda heard: None, Wall(RadioStage()))
        assert ear.power_max_dbm == power_dbm


def test_what_the_chip_must_know_of_its_hat_and_its_cell_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    for text, options in (
        ("", {"tcxo_mv": 0, "dio2_switch": 1, "dcdc": 1, "public": 0}),
        ("tcxo_mv = 1800\ndio2_switch = false\ndcdc = false\npublic = true\n",
         {"tcxo_mv": 1800, "dio2_switch": 0, "dcdc": 0, "public": 1}),
    ):  # fmt: skip
        path.write_text(GATEWAY + HAT + text)
        (ear,) = hat_ears(load(path), lambda heard: None, Wall(RadioStage()))
        assert ear._options == options


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HAT.replace("868.1", "868.2"), 6, "hat[0].channel: no channel of EU868; known are 867.1"),
        (HAT.replace("busy = 20\n", ""), 5, "'busy' is missing"),
        (HAT + "nss = 16\n", 10, "hat[0].nss: line 16 is hat[0].irq already"),
        (
            HAT + HAT.replace("reset = 18", 'name = "two"\nreset = 17\nspi = "0.0"'),
            14,
            "hat[1].spi: the same as hat[0]",
        ),
        (HAT + "tcxo_mv = 1850\n", 10, "hat[0].tcxo_mv"),
        (HAT + 'spi = "spidev0.0"\n', 10, "hat[0].spi"),
        (HAT + "antenna = 6\n", 10, "hat[0].antenna"),
        (HAT + '[[bridge]]\nname = "hat"\nport = "/dev/x"\nchannel = 868.1\n', 5, "has the name 'hat', too"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY + text)
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert any(f"gateway.toml:{line}:" in problem and message in problem for problem in raised.value.problems), (
        raised.value.problems
    )


def test_what_the_machine_lacks_is_said_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY + HAT + 'spi = "7.3"\n')
    (problem,) = check_ports(load(path))
    assert (problem.key, problem.what) == ("hat[0]", "the module spidev is missing")
    monkeypatch.setattr(environment, "find_spec", lambda name: name)
    (problem,) = check_ports(load(path))
    assert (problem.key, problem.what, problem.where) == ("hat[0].spi", "there is no such bus", "/dev/spidev7.3")
    assert problem.next_step == "Run: sudo raspi-config nonint do_spi 0"
