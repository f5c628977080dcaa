"""LoRa nodes, ears and the air between them for gateway tests in virtual time: real frames, real uplinks, real SQLite.

`Air` carries an uplink to each ear by the SNR that the test names for the pair, and a downlink to the node that listens:
at the right frequency and spreading factor, beginning within the node's window. Ears have clocks of their own, off and
drifting. Nodes are tests.fakes.node.FakeNode with the policy of a LoRa node, no more of it than a test needs.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from gateway.downlink import Sealer
from gateway.keys import Life
from gateway.links.cell import RX_DELAY_US, Cell
from gateway.links.ear import CLOCK_MASK, Downlink, Ear, Heard, after
from gateway.links.rates import REQUIRED_DB, Rates, Rules
from gateway.links.rendezvous import Known, Rendezvous
from gateway.store import Store, spool
from gateway.uplink import Uplinks
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S
from tests.fakes.virtual_time import VirtualLoop
from tools.sim.gateway_runner import LoopWorker
from wire import messages
from wire.airtime import airtime_us
from wire.frame import LORA
from wire.records import encode_records
from wire.regions import DOWNLINK_HZ, UPLINKS_HZ

WINDOW_S = 0.004  # a node's search for a preamble begins and ends so far from the exact moment
SYMBOLS = 8


class FreeDuty:
    """As much airtime as wanted, and what was taken; `budget_us` ends it."""

    def __init__(self) -> None:
        self.budget_us = 1 << 60
        self.taken: list[tuple[int, int]] = []

    def wait_s(self, freq_hz: int, airtime: int) -> float:
        return 0.0 if sum(us for _, us in self.taken) + airtime <= self.budget_us else 600.0

    def take(self, freq_hz: int, airtime: int) -> None:
        self.taken.append((freq_hz, airtime))


class FakeEar:
    """One bridge (`single`) or concentrator. `ppm` and `offset_us` are its clock's."""

    power_max_dbm = 14

    def __init__(
        self, air: Air, name: str, *, single: bool = True, freq_hz: int = UPLINKS_HZ[0], sf: int = 9, ppm: int = 0,
        offset_us: int = 0,
    ) -> None:  # fmt: skip
        self.air = air
        self.name = name
        self.state = "open"
        self.single = single
        self.channels: tuple[int, ...] = (freq_hz,) if single else UPLINKS_HZ
        self.sfs: tuple[int, ...] = (sf,) if single else tuple(range(7, 13))
        self.ppm = ppm
        self.offset_us = offset_us
        self.tuned: list[tuple[float, int]] = []
        self.sent: list[Downlink] = []
        self.refuse = ""  # what `send` answers instead of sending

    def now_us(self, loop_s: float) -> int:
        return int(loop_s * (1e6 + self.ppm)) + self.offset_us & CLOCK_MASK

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def catch(self, frame: bytes, sf: int, freq_hz: int, snr: float) -> None:
        self.air.hear(self, frame, sf, freq_hz, snr)

    def tune(self, freq_hz: int, sf: int) -> None:
        self.channels, self.sfs = (freq_hz,), (sf,)
        self.tuned.append((self.air.now_s(), sf))

    async def send(self, downlink: Downlink) -> str:
        if self.refuse:
            return self.refuse
        ahead_us = (downlink.at_us - self.now_us(self.air.now_s())) & CLOCK_MASK
        if ahead_us > 10_000_000:
            return "late"
        await asyncio.sleep(ahead_us / (1e6 + self.ppm))
        self.sent.append(downlink)
        begins_s = self.air.now_s()
        await asyncio.sleep(airtime_us(len(downlink.frame), downlink.sf) / 1e6)
        self.air.down(downlink, begins_s)
        return ""


class AirNode(FakeNode):
    """A node on the air: what it sends takes its time, and only its window lets anything in."""

    def __init__(self, air: Air, address: int, *, sf: int = 9, freq_hz: int = UPLINKS_HZ[0], **more: Any) -> None:
        super().__init__(address, link=LORA, **more)
        self.air = air
        self.sf = sf
        self.power_dbm = 14
        self.freq_hz = freq_hz
        self.path_db: dict[str, float] = {}  # by ear: SNR that 0 dBm would give
        self.window: tuple[float, int] | None = None  # (exact begin of a downlink, sf)
        self.rates: list[messages.Rate] = []
        self.heard_at: list[tuple[float, Any]] = []
        self.unanswered = 0
        self.fallback: tuple[int, int] | None = None
        self.out = self._send

    def _send(self, frame: bytes) -> None:
        self.air.up(self, frame)

    def receive(self, frame: bytes) -> None:
        known = len(self.downlinks)
        super().receive(frame)
        if len(self.downlinks) > known:
            self.unanswered = 0
            self.fallback = None
            downlink = self.downlinks[-1]
            message = messages.decode(downlink.type, downlink.payload)
            self.heard_at.append((self.air.now_s(), message))
            if isinstance(message, messages.Rate):
                self.rates.append(message)
                asyncio.get_running_loop().call_later(message.after_s, self._change, message)

    def _change(self, rate: messages.Rate) -> None:
        self.fallback = self.sf, self.power_dbm
        self.sf, self.power_dbm = rate.sf, rate.power_dbm

    def ask(self, most: int = 8) -> int:
        """Records that wait, oldest first, in one frame that asks for an answer; how many."""
        records = [self.outbox[seq] for seq in sorted(self.outbox)][:most]
        if records:
            self.send(messages.RECORDS_ASK, encode_records(self.profile, records))
        return len(records)

    def tell(self, seqs: list[int]) -> None:
        """These records, without asking."""
        self.send(messages.RECORDS, encode_records(self.profile, [self.outbox[seq] for seq in seqs]))


class Air:
    def __init__(self, seed: int) -> None:
        self.ears: list[Any] = []
        self.nodes: list[AirNode] = []
        self.lose_up = 0.0
        self.lose_down = 0.0
        self.fading_db = 0.0
        self.chance = random.Random(seed)
        self.on_heard: Callable[[Heard], None] = lambda heard: None
        self.wall_ms: Callable[[], int] = lambda: 0
        self.log: list[tuple[float, AirNode, int]] = []  # (end, node, sf) of each uplink

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def up(self, node: AirNode, frame: bytes) -> None:
        took_s = airtime_us(len(frame), node.sf) / 1e6
        asyncio.get_running_loop().call_later(took_s, self._arrived, node, frame, node.sf, node.freq_hz, node.power_dbm)

    def _arrived(self, node: AirNode, frame: bytes, sf: int, freq_hz: int, power_dbm: int) -> None:
        end_s = self.now_s()
        node.window = end_s + RX_DELAY_US / 1e6, sf
        self.log.append((end_s, node, sf))
        if self.chance.random() < self.lose_up:
            return
        for ear in self.ears:
            snr = node.path_db.get(ear.name, 0.0) + power_dbm + self.chance.gauss(0, self.fading_db)
            if ear.state == "open" and sf in ear.sfs and freq_hz in ear.channels and snr >= REQUIRED_DB[sf]:
                ear.catch(frame, sf, freq_hz, snr)

    def hear(self, ear: FakeEar, frame: bytes, sf: int, freq_hz: int, snr: float, later_s: float = 0.0) -> None:
        """`later_s`: the way from ear to gateway takes so long."""
        snr = max(-32.0, min(snr, 12.0))  # what a chip can tell
        end_us = ear.now_us(self.now_s())
        heard = Heard(ear.name, frame, freq_hz, sf, -110 + snr, snr, 250, end_us, self.wall_ms())
        asyncio.get_running_loop().call_later(later_s, self.on_heard, heard)

    def down(self, downlink: Downlink, began_s: float) -> None:
        for node in self.nodes:
            if node.window is None or downlink.freq_hz != DOWNLINK_HZ or not downlink.inverted:
                continue
            exact_s, sf = node.window
            if sf != downlink.sf or abs(began_s - exact_s) > WINDOW_S + SYMBOLS * (1 << sf) / 125e3 / 2:
                continue
            if self.chance.random() >= self.lose_down:
                node.receive(downlink.frame)


class CellRig:
    """Uplinks, store and cell of one gateway; `settle` lets everything that is under way come to its end."""

    def __init__(self, path: Path, loop: VirtualLoop, seed: int, rules: Rules, sf: int) -> None:
        self.loop = loop
        self.path = path
        self.air = Air(seed)
        self.air.wall_ms = self.wall_ms
        self.store = Store(path, self)
        self.uplinks = Uplinks(self.store, self, Sealer(1, random.Random(seed).randbytes))
        self.duties: dict[str, FreeDuty] = {}
        self.rules = rules
        self.sf = sf
        self.lives: list[Life] = []
        self.contents: Any = None
        self.cell: Cell = None  # type: ignore[assignment]
        self.tasks: list[asyncio.Task[Any]] = []

    def wall_ms(self) -> int:
        return START_S * 1000 + round(self.loop.time() * 1000)

    def monotonic_s(self) -> float:
        return self.loop.time()

    def ear(self, name: str, **more: Any) -> FakeEar:
        """Before `begin`."""
        ear = FakeEar(self.air, name, **more)
        self.air.ears.append(ear)
        return ear

    def begin(self, ears: Sequence[Ear] | None = None) -> None:
        """`ears`: others than those that `ear` made."""
        ears = self.air.ears if ears is None else ears
        rates = Rates(ears, self.rules, self.sf)
        rendezvous = Rendezvous([ear for ear in ears if ear.single], rates, self, self.path.with_name("lora"), 10)
        rendezvous.known = lambda: [
            Known(key, self.uplinks.sessions[key].memory.last_ms, START_S * 1000) for key in self.uplinks.lives
        ]
        self.cell = Cell(ears, self.uplinks, self, self._duty, rates, rendezvous)
        self.air.on_heard = self.cell.on_heard
        self.tasks.append(asyncio.create_task(self.cell.run()))

    def _duty(self, ear: Ear) -> FreeDuty:
        self.duties[ear.name] = FreeDuty()
        return self.duties[ear.name]

    async def add(self, node: AirNode, *, profiles: bool = True, **paths: float) -> AirNode:
        """`paths`: by ear, the SNR that 0 dBm would give."""
        node.path_db = dict(paths)
        self.air.nodes.append(node)
        self.lives.append(
            Life(
                address=node.address, key=node.key, board="heltec-v3", name="", provisioned_s=START_S,
                profiles=(node.profile.encode().hex(),) if profiles else (),
            )
        )  # fmt: skip
        await self.uplinks.load(self.lives, self.contents)
        return node

    async def node(self, address: int, sf: int = 9, **paths: float) -> AirNode:
        return await self.add(AirNode(self.air, address, sf=sf), **paths)

    def session(self, node: AirNode) -> Any:
        return self.uplinks.sessions[node.address, node.life]

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        await self.store.flushed(10)
        return await self.store._worker.submit(lambda conn: conn.execute(statement, arguments).fetchall())

    @property
    def dropped(self) -> Counter[str]:
        return self.uplinks.dropped


@asynccontextmanager
async def cell_rig(path: Path, *, seed: int = 1, rules: Rules | None = None, sf: int = 9) -> AsyncIterator[CellRig]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    made = CellRig(path, loop, seed, rules or Rules(), sf)
    made.contents = await made.store.open()
    await made.store.add_sink("mqtt")
    made.tasks = [asyncio.create_task(made.store.run()), asyncio.create_task(made.uplinks.run())]
    try:
        yield made
    finally:
        for task in made.tasks:
            task.cancel()
        outcomes = await asyncio.gather(*made.tasks, return_exceptions=True)
        await made.store.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


class InCell(Protocol):
    """The fixture `in_cell`: runs a scenario in a `cell_rig` of its own, in virtual time."""

    def __call__(
        self,
        scenario: Callable[[CellRig], Coroutine[Any, Any, None]],
        *,
        seed: int = 1,
        rules: Rules | None = None,
        sf: int = 9,
    ) -> None: ...


def run_cell(monkeypatch: pytest.MonkeyPatch, main: Coroutine[Any, Any, None]) -> None:
    """In virtual time, the store's writer in the loop."""
    monkeypatch.setattr(spool, "Worker", LoopWorker)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main)
    finally:
        loop.close()
        asyncio.set_event_loop(None)


__all__ = ["Air", "AirNode", "CellRig", "FakeEar", "FreeDuty", "InCell", "after", "cell_rig", "run_cell"]
