"""A whole node with a radio, under CPython in virtual time: the surface of firmware.drivers.radio over an air of one cell.

True time is the loop's; the node's clocks go wrong by `board.ppm`. `air.log` has every transmission in true time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from firmware import drivers
from tests.fakes.air_judge import busiest_hour_us
from tests.fakes.board import Board, Sensor
from tests.fakes.gateway_end import GatewayEnd
from tests.fakes.lora_pair import told
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, World
from wire import frame, frame_gateway, messages
from wire.airtime import airtime_us
from wire.regions import DOWNLINK_HZ

RX_DELAY_S = 1.0


class Sent(NamedTuple):
    begin_s: float
    end_s: float
    freq_hz: int
    sf: int
    power_dbm: int
    data: bytes


class Air:
    """Uplinks go to `hear(sent)` at their end; `answer` puts a downlink into the air."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.log: list[Sent] = []
        self.downlinks: list[Sent] = []
        self.hear: Callable[[Sent], None] = lambda sent: None
        self.busy: Callable[[int], bool] = lambda freq_hz: False
        self.windows: list[tuple[float, float]] = []  # (end of the uplink, when the node began to listen)
        self.fails: Callable[[], bool] = lambda: False

    def answer(self, begin_s: float, freq_hz: int, sf: int, data: bytes) -> None:
        end_s = begin_s + airtime_us(len(data), sf) / 1e6
        self.downlinks.append(Sent(begin_s, end_s, freq_hz, sf, 0, data))


class Fake:
    """A radio that obeys. Knobs: `air.busy(freq_hz)`, `air.fails()`."""

    air: Air
    identity = "a radio of the tests"

    def __init__(self, port: Any, clock: Any, options: dict[str, Any]) -> None:
        self.port = self._port = port
        self._clock = clock
        self._tuned = (0, 0, 0, False)
        self._fail()

    def _fail(self) -> None:
        if self.air.fails():
            raise OSError(5, "of the tests")

    async def start(self) -> None:
        self._fail()

    def tune(self, freq_hz: int, sf: int, power_dbm: int, inverted: bool) -> None:
        self._tuned = (freq_hz, sf, power_dbm, inverted)

    async def cad(self) -> bool:
        self._fail()
        await virtual_s((4 << self._tuned[1]) * 8e-6)
        return self.air.busy(self._tuned[0])

    async def transmit(self, data: bytes) -> int:
        self._fail()
        freq_hz, sf, power_dbm, inverted = self._tuned
        assert not inverted
        begin_s = self.air.loop.time()
        await virtual_s(airtime_us(len(data), sf) / 1e6)
        sent = Sent(begin_s, self.air.loop.time(), freq_hz, sf, power_dbm, bytes(data))
        self.air.log.append(sent)
        end_us = self._port.now_us()
        self.air.hear(sent)
        await virtual_s(0.003)  # the program is not awake at once
        return int(end_us)

    async def receive(self, timeout_ms: int, at_us: int | None = None) -> tuple[Any, ...] | None:
        self._fail()
        freq_hz, sf, _, inverted = self._tuned
        assert inverted
        if at_us is not None:
            await virtual_s(max(0, self._port.us_diff(at_us, self._port.now_us())) / 1e6)
        open_s = self.air.loop.time()
        if self.air.log:
            self.air.windows.append((self.air.log[-1].end_s, open_s))
        for sent in self.air.downlinks:
            if open_s <= sent.begin_s <= open_s + timeout_ms / 1000 and (sent.freq_hz, sent.sf) == (freq_hz, sf):
                await virtual_s(sent.end_s - open_s)
                end_us = self._port.now_us()
                await virtual_s(0.002)
                return sent.data, -97, -13, -101, 1200, int(end_us)
        await virtual_s(timeout_ms / 1000)
        return None

    async def sleep(self) -> None:
        pass


class SlowSensor(Sensor):
    """Hours are long: one reading in 10 s."""

    period_ms = 10_000
    covered_ms = 10_000


class LoraBoard(Board):
    def description(self) -> dict[str, Any]:
        drivers.DRIVERS["slow"] = ("tests.fakes.lora_world", "SlowSensor")
        drivers.RADIOS["fake"] = "Fake"
        found = super().description()
        found["sensors"][0]["driver"] = "slow"
        found["link"] = {"kind": "lora", "region": "EU868", "gain_cdbi": 400}
        found["radio"] = {"chip": "fake", "bus": "spi0", "nss": 1, "reset": 2, "irq": 3, "busy": 4}
        found["buses"]["spi0"] = {"kind": "spi", "id": 1, "sck": 5, "mosi": 6, "miso": 7, "freq": 4_000_000}
        return found


class AirGateway(GatewayEnd):
    """Hears one SF (None: all), answers what asks by the rules of docs/wire-protocol.md, in the window."""

    def __init__(self, air: Air, lives: list[tuple[int, bytes]], unix_ms: Callable[[], int]) -> None:
        super().__init__(lives, unix_ms)
        self.link = frame.LORA
        self.air = air
        self.sf: int | None = None
        self.untold: set[int] = set()
        self.at: dict[tuple[int, int], int] = {}  # (life, seq) -> unix ms at which it came first
        air.hear = self._heard
        self._uplink: Sent | None = None
        self._kind = 0

    def _heard(self, sent: Sent) -> None:
        if not self.connected or self.sf not in (None, sent.sf) or self.lose_up():
            return
        self._uplink = sent
        self._kind = sent.data[0] & 31
        self._frame(sent.data)

    def later(self, delay_s: float, call: Any, *arguments: Any) -> None:  # type: ignore[override]
        call(*arguments)  # an answer waits on air, not here

    def _store(self, number: int, life: Any, seq: int, thing: Any) -> None:
        self.at.setdefault((number, seq), self.unix_ms())
        self.untold.add(seq)
        super()._store(number, life, seq, thing)

    def _answer(self, number: int, life: Any, counter: int, received_ms: int) -> None:
        life.came = []
        if self._kind in (messages.HELLO, messages.RECORDS_ASK):
            cum = life.cum()
            base, bits = told(life.seqs, cum, self.untold)
            begin_ms = received_ms + round(RX_DELAY_S * 1000)
            self.down(life, messages.AckTime(begin_ms, round(RX_DELAY_S * 1000), cum, base, bits), counter)
        elif self.asks:
            self.down(life, self.asks.pop(0), counter)

    def down(self, life: Any, message: Any, answered: int) -> bytes:
        kind, payload = messages.encode(message)
        self._counter += 1
        sealed = bytes(
            frame_gateway.seal_downlink(
                life.keys, frame.LORA, life.address, 1, self.incarnation, self._counter, answered, kind, bytes(payload)
            )
        )
        sent = self._uplink
        assert sent is not None
        if not self.lose_down():
            self.air.answer(sent.end_s + RX_DELAY_S, DOWNLINK_HZ, sent.sf, sealed)
        return sealed


class LoraWorld(World):
    """A board with a radio, and a gateway with an ear."""

    def __init__(self, folder: Path, window_s: int = 300, at_s: int = 0, seed: int = 1) -> None:
        self.loop = asyncio.get_running_loop()
        self.at_s = at_s
        self.air = Air()
        module = ModuleType("firmware.drivers.fake")
        Fake.air = self.air
        module.Fake = Fake  # type: ignore[attr-defined]
        sys.modules["firmware.drivers.fake"] = module
        self.gateway: AirGateway = AirGateway(self.air, [(7, KEY)], self.unix_ms)
        self.board = LoraBoard(folder, lambda data: None, window_s, seed)

    async def drained(self, timeout_s: float = 7200) -> None:
        """Until the node knows that all arrived: with new windows there is always one that is not known yet, so at one instant."""
        deadline = self.loop.time() + timeout_s
        while not all(session.life.outbox.drained() for session in self.board.node.sessions):  # type: ignore[union-attr]
            assert self.loop.time() < deadline, "not drained"
            await virtual_s(0.5)

    def worst_hour_s(self, low_hz: int = 868_000_000, high_hz: int = 868_600_000) -> float:
        """Most airtime that any sliding hour holds in one sub-band, in true time."""
        sent = [one for one in self.air.log if low_hz <= one.freq_hz < high_hz]
        return busiest_hour_us([(round(one.begin_s * 1e6), round(one.end_s * 1e6)) for one in sent]) / 1e6
