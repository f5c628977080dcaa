"""A bridge board for tests in virtual time: the real firmware/bridge.py under CPython, with a radio that hears `Air`, and the
gateway's real BridgeEar on a cable without a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from firmware import app
from gateway.links.bridge import BridgeEar
from gateway.links.ear import Downlink
from tests.fakes.board import Console, Port
from tests.fakes.lora_air import Air, CellRig
from tools.sim.gateway_runner import StepLink
from wire.airtime import airtime_us
from wire.regions import UPLINKS_HZ

TICKS = 1 << 30
BAUDRATE = 115_200
FETCH_S = 0.04  # a frame waits in the chip while the program does something else
BOARD = {
    "board": "fake-bridge", "name": "a bridge", "mcu": "esp32s3", "power": "mains", "sensors": [], "profiles": [],
    "link": {"kind": "bridge", "region": "EU868", "gain_cdbi": 215, "public": 0, "baudrate": BAUDRATE},
    "radio": {"chip": "sx1262", "bus": "spi0"}, "buses": {"spi0": {"kind": "spi", "id": 0}},
}  # fmt: skip


class RadioPort:
    """The clock that stamps frames: microseconds that wrap, soon after the start."""

    def __init__(self, ppm: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ppm = ppm
        self._began_s = self._loop.time()

    def now_us(self) -> int:
        ran_s = self._loop.time() - self._began_s
        return (TICKS - 3_000_000 + int(ran_s * (1e6 + self._ppm))) % TICKS

    def us_diff(self, a: int, b: int) -> int:
        assert 0 <= a < TICKS, a
        assert 0 <= b < TICKS, b
        return ((a - b + TICKS // 2) % TICKS) - TICKS // 2

    def us_add(self, a: int, by_us: int) -> int:
        assert 0 <= a < TICKS, a
        return (a + by_us) % TICKS


class FakeRadio:
    """The surface of firmware.drivers.radio."""

    def __init__(self, antenna: Antenna, ppm: int = 0) -> None:
        self.antenna = antenna
        self.port = RadioPort(ppm)
        self.crc_errors = self.header_errors = 0
        self.tuned = (0, 0, 0, False)
        self.starts = 0

    async def start(self) -> None:
        if self.antenna.dead:
            raise OSError(5, "the radio does not answer")
        self.starts += 1

    def tune(self, freq_hz: int, sf: int, power_dbm: int, inverted: bool) -> None:
        self.tuned = freq_hz, sf, power_dbm, inverted

    async def listen(self, timeout_ms: int) -> Any:
        if self.antenna.dead:
            raise OSError(5, "the radio does not answer")
        self.antenna.listens = True
        try:
            heard = await asyncio.wait_for(self.antenna.frames.get(), timeout_ms / 1000)
        except asyncio.TimeoutError:
            return None
        await asyncio.sleep(FETCH_S)
        return heard

    async def transmit(self, frame: bytes, at_ticks: int) -> int:
        antenna = self.antenna
        antenna.listens = False
        if antenna.dead:
            raise OSError(5, "the radio does not answer")
        ahead_us = self.port.us_diff(at_ticks, self.port.now_us())
        assert 0 <= ahead_us < 1_000_000, ahead_us
        await asyncio.sleep(ahead_us / 1e6)
        begins_s = antenna.air.now_s()
        freq_hz, sf, power_dbm, inverted = self.tuned
        antenna.sent.append(Downlink(bytes(frame), freq_hz, sf, power_dbm, at_ticks, inverted))
        await asyncio.sleep(airtime_us(len(frame), sf) / 1e6)
        antenna.air.down(antenna.sent[-1], begins_s)
        return self.port.now_us()


class Antenna:
    """What `Air` knows of a bridge: it catches what the radio listens to."""

    def __init__(self, air: Air, name: str) -> None:
        self.air = air
        self.name = name
        self.dead = False
        self.listens = False
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Downlink] = []
        self.radio: FakeRadio | None = None

    @property
    def state(self) -> str:
        return "open" if self.listens and self.radio is not None else "deaf"

    @property
    def sfs(self) -> tuple[int, ...]:
        return (self.radio.tuned[1],) if self.radio else ()

    @property
    def channels(self) -> tuple[int, ...]:
        return (self.radio.tuned[0],) if self.radio else ()

    def catch(self, frame: bytes, sf: int, freq_hz: int, snr: float) -> None:
        assert self.radio is not None
        snr_qdb = max(-128, min(48, round(snr * 4)))
        self.frames.put_nowait((frame, -95, snr_qdb, -95 + min(0, round(snr)), 312, self.radio.port.now_us()))


class BridgeBoard:
    """Board, cable and ear. `folder` is the flash."""

    def __init__(self, rig: CellRig, folder: Path, name: str = "bridge", sf: int = 9, ppm: int = 0) -> None:
        self.antenna = Antenna(rig.air, name)
        self.folder = folder
        self.ppm = ppm
        self.texts: list[str] = []
        self.crowded = False
        self.node: app.Node | None = None
        self.task: asyncio.Task[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._free_s = 0.0
        self.ear = BridgeEar(
            name, "/dev/fake", BAUDRATE, (UPLINKS_HZ[0], sf), 14, lambda heard: rig.air.on_heard(heard), self, rig,
            lambda port, baudrate, sink, clock: StepLink(port, sink, clock, self._to_board),
        )  # fmt: skip
        rig.air.ears.append(self.antenna)

    # -- the cable -------------------------------------------------------------------------------------------------

    def _to_board(self, port: str, data: bytes) -> None:
        if self.node is not None:
            self._loop.call_later(len(data) * 10 / BAUDRATE, self.node.console.put, data)

    def _to_gateway(self, data: bytes) -> None:
        self._free_s = max(self._free_s, self._loop.time()) + len(data) * 10 / BAUDRATE
        self._loop.call_at(self._free_s, self.ear.link.feed, data)

    def on_text(self, link: Any, text: bytes) -> None:
        self.texts.append(text.decode())

    async def room(self, timeout_s: float) -> bool:
        return True

    # -- the board -------------------------------------------------------------------------------------------------

    def start(self, monkeypatch: Any) -> None:
        """Switch on."""
        from firmware import drivers
        from firmware.drivers import radio

        self.folder.mkdir(exist_ok=True)
        (self.folder / "board.json").write_text(json.dumps(BOARD))

        async def open_radio(board: dict[str, Any], hal: Any, clock: Any) -> FakeRadio:
            assert board["radio"]["chip"] == "sx1262"
            if self.antenna.dead:
                raise OSError(19, "no radio on this bus")
            self.antenna.radio = FakeRadio(self.antenna, self.ppm)
            return self.antenna.radio

        monkeypatch.setattr(radio, "open_radio", open_radio)
        monkeypatch.setattr(drivers, "forget", lambda *names: None)  # a second try finds it, too
        self.node = app.Node(str(self.folder), Port(b"uid"), Console(self._to_gateway))
        self.task = asyncio.create_task(app.run(self.node))

    async def cut(self) -> None:
        """Pull the power."""
        assert self.task is not None
        self.antenna.listens = False
        self.antenna.radio = None
        self.node = None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
