"""What ports read where little comes waits, undecoded, for the group that is open: nothing of it changes but when it is
decoded. Real ports' code, real frames, real SQLite, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.downlink import Sealer
from gateway.keys import Life
from gateway.links.beat import TICK_S, Beat
from gateway.links.serial import STALL_S
from gateway.store import Store, group_timer, spool
from gateway.uplink import Uplinks
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, HandClock
from tests.fakes.virtual_time import run_virtual, virtual_s
from tools.sim.gateway_runner import LoopWorker, StepLink
from wire import messages
from wire.stream import Parser, encode

W0 = START_S // 60
SPARSE_S = group_timer.GROUP_S * group_timer.SPARSE_TIMES
LET_S = 0.001  # more than rounding, less than anything that is waited for


class LoopClock:
    """Real and wrong in nothing: wall time runs with the loop's."""

    def wall_ms(self) -> int:
        return START_S * 1000 + round(asyncio.get_running_loop().time() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


class Port:
    """A node behind a port of this gateway. `heard_s`: when it was acknowledged."""

    def __init__(self, town: Town, address: int) -> None:
        self.node = FakeNode(address)
        self.link = StepLink(f"port-{address}", town, town.clock, self._down, town.beat)
        self.link.state = "open"
        self.heard_s: list[float] = []
        self._parser = Parser()
        self.node.out = lambda frame: self.link.feed(encode(frame))

    def _down(self, port: str, data: bytes) -> None:
        for what, frame in self._parser.feed(data):
            assert what == "frame"
            acks = self.node.acks
            self.node.receive(frame)
            if self.node.acks > acks:
                self.heard_s.append(asyncio.get_running_loop().time())

    def record(self) -> None:
        self.node.seal(W0 + self.node.next_seq)
        self.node.send_outbox()


class Town:
    """Store, sessions, ports, and what lies between them (gateway.app.Input). `taken`: (link, loop s, received_ms, fresh)."""

    crowded = False

    def __init__(self, path: Path) -> None:
        self.clock = LoopClock()
        self.beat = Beat()
        self.store = Store(path, self.clock)
        self.uplinks = Uplinks(self.store, self.clock, Sealer(1))
        self.later = self.store.later
        self.taken: list[tuple[Any, float, int, bool]] = []
        self.transactions = 0
        self.ports = [Port(self, address) for address in range(1, 51)]

    def on_frame(self, link: Any, frame: bytes, received_ms: int, fresh: bool = True) -> None:
        self.taken.append((link, asyncio.get_running_loop().time(), received_ms, fresh))
        self.uplinks.on_frame(link, frame, received_ms, fresh)

    def on_text(self, link: Any, text: bytes) -> None:
        pass

    async def room(self, timeout_s: float) -> bool:
        return True

    def count(self, _: object) -> None:
        self.transactions += 1


@asynccontextmanager
async def town(path: Path) -> AsyncIterator[Town]:
    made = Town(path)
    await made.store.open()
    lives = [
        Life(
            address=port.node.address, key=port.node.key, board="air-v1", provisioned_s=START_S,
            profiles=(port.node.profile.encode().hex(),),
        )
        for port in made.ports
    ]  # fmt: skip
    await made.uplinks.load(lives)
    task = asyncio.create_task(made.store.run())
    made.beat.start()
    made.store._worker.after_commit(made.count)
    try:
        await virtual_s(5)  # it is quiet
        assert not made.store.waiting
        made.transactions = 0
        yield made
    finally:
        made.beat.stop()
        task.cancel()
        await asyncio.wait([task])
        await made.store.close()


Scenario = Callable[[Town], Coroutine[Any, Any, None]]


@pytest.fixture
def in_town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    monkeypatch.setattr(spool, "Worker", LoopWorker)  # a thread would take no virtual time

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            async with town(tmp_path / "spool.db") as made:
                await scenario(made)

        run_virtual(main())

    return run


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_what_few_ports_read_is_decoded_together_and_dated_when_it_came(in_town: Any) -> None:
    async def scenario(town: Town) -> None:
        came_s = []
        for port in town.ports[:5]:
            came_s.append(now_s())
            port.record()
            await virtual_s(0.09)
        assert not town.taken, "not decoded yet"
        await virtual_s(SPARSE_S)
        assert [link.name for link, *_ in town.taken] == [f"port-{n}" for n in range(1, 6)]
        assert [at_s for _, at_s, *_ in town.taken] == [pytest.approx(came_s[0] + SPARSE_S)] * 5, "all at once"
        assert [ms for *_, ms, _ in town.taken] == [START_S * 1000 + round(at_s * 1000) for at_s in came_s]
        assert all(fresh for *_, fresh in town.taken)
        assert town.transactions == 1
        assert [port.heard_s[0] for port in town.ports[:5]] == [pytest.approx(came_s[0] + SPARSE_S)] * 5
        stored = await town.store.query(
            lambda conn: conn.execute("SELECT received_ms FROM records ORDER BY pos").fetchall()
        )
        assert [ms for (ms,) in stored] == [ms for *_, ms, _ in town.taken]

    in_town(scenario)


def test_a_port_keeps_the_order_of_its_bytes_when_many_come_all_of_a_sudden(in_town: Any) -> None:
    """A frame in three parts: two wait, the third comes when nothing waits any more."""

    async def scenario(town: Town) -> None:
        port = town.ports[0]
        whole: list[bytes] = []
        port.node.out = lambda frame: whole.append(bytes(encode(frame)))
        port.record()
        data = whole[0]
        port.link.feed(data[:9])
        port.link.feed(data[9:20])
        with town.store.awaited():
            port.link.feed(data[20:])
        assert len(town.taken) == 1
        assert not port.link.parser.dropped
        await virtual_s(SPARSE_S + LET_S)
        assert port.node.acks == 1
        assert len(town.taken) == 1, "nothing is taken twice"

    in_town(scenario)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_a_node_that_greets_is_told_the_time_to_the_millisecond(in_town: Any, pieces: int) -> None:
    """And at once, in however many pieces its hello is read: a line may be so slow that half a second more is too late."""

    async def scenario(town: Town) -> None:
        port, came_ms = town.ports[0], town.clock.wall_ms()
        port.node.uptime_ms = 7_000

        def feed(frame: bytes) -> None:
            data = encode(frame)
            size = -(-len(data) // pieces)
            for at in range(0, len(data), size):
                port.link.feed(data[at : at + size])

        port.node.out = feed
        port.node.hello()
        (downlink,) = port.node.downlinks
        told = messages.decode(downlink.type, downlink.payload)
        assert told.unix_ms - told.held_ms == came_ms
        assert told.held_ms == 0
        port.record()  # what follows waits for company as ever
        assert len(town.taken) == 1
        await virtual_s(SPARSE_S + LET_S)
        assert len(town.taken) == 2
        assert await town.store.flushed(1)
        anchor = await town.store.query(
            lambda conn: conn.execute("SELECT first_up_ms, first_ms FROM anchors").fetchall()
        )
        assert anchor == [(7_000, came_ms)]

    in_town(scenario)


def test_a_crowd_waits_no_longer_than_ever(in_town: Any) -> None:
    """Fifty boards whose minute ends at once, after silence; and again right behind, when it is known that many come."""

    async def scenario(town: Town) -> None:
        for _ in range(2):
            began_s = now_s()
            for port in town.ports:
                port.record()
            await virtual_s(0.2)
            assert all(
                port.heard_s and port.heard_s[-1] - began_s <= group_timer.GROUP_S + LET_S for port in town.ports
            )

    in_town(scenario)


def test_a_hundred_a_second_after_quiet_are_acknowledged_within_a_quarter_of_a_second(in_town: Any) -> None:
    async def scenario(town: Town) -> None:
        waited_s = []
        for number in range(1_000):
            port = town.ports[number % 50]
            heard, sent_s = len(port.heard_s), now_s()
            port.record()
            asyncio.get_running_loop().call_later(
                SPARSE_S, lambda port=port, heard=heard, sent_s=sent_s: waited_s.append(port.heard_s[heard] - sent_s)
            )
            await virtual_s(0.01)
        await virtual_s(SPARSE_S + LET_S)
        assert len(waited_s) == 1_000
        assert max(waited_s) <= 0.25 + LET_S, "the very first ones, too"

    in_town(scenario)


def test_text_alone_writes_nothing(in_town: Any) -> None:
    async def scenario(town: Town) -> None:
        for _ in range(20):
            town.ports[0].link.feed(b"sample: pm2_5, 12\n")
            await virtual_s(1)
        assert town.transactions == 0
        assert town.ports[0].link.texts == 20
        assert not town.store.waiting
        assert await town.store.flushed(1)

    in_town(scenario)


def test_what_is_asked_about_holds_what_was_read(in_town: Any) -> None:
    """The ledger and the orderly stop wait for `flushed`."""

    async def scenario(town: Town) -> None:
        town.ports[0].record()
        assert town.store.waiting
        assert await town.store.flushed(SPARSE_S + LET_S)
        assert town.store.rows_stored == 1
        town.ports[1].record()
        await virtual_s(LET_S)
        await town.store.close()
        assert town.store.rows_stored == 2, "a store that is closed takes it as well"
        await town.store.open()

    in_town(scenario)


def test_a_technician_is_not_kept_waiting(in_town: Any) -> None:
    """The node answers at once; among few, its answer is not left lying."""

    async def scenario(town: Town) -> None:
        port = town.ports[0]
        port.record()
        await virtual_s(1)
        began_s = now_s()
        value = await town.uplinks.session_of(1).set_setting(5, 0, 8, 10)  # type: ignore[union-attr]
        assert value.value == 8
        assert now_s() - began_s <= LET_S
        port.record()
        assert not town.taken[2:], "afterwards it waits again"

    in_town(scenario)


def test_what_came_before_a_port_closed_is_taken_before_it_opens_again(in_town: Any, tmp_path: Path) -> None:
    async def scenario(town: Town) -> None:
        link = town.ports[0].link
        town.ports[0].record()
        assert not town.taken
        link._fd = (tmp_path / "port").open("wb").fileno()  # _close has something to close
        link._closed.clear()
        town.beat.start()
        link._close()
        assert len(town.taken) == 1
        await virtual_s(1)
        assert len(town.taken) == 1

    in_town(scenario)


def test_a_disk_that_refuses_lets_nothing_wait(in_town: Any) -> None:
    async def scenario(town: Town) -> None:
        town.store.failing = "full"
        town.ports[0].record()
        assert len(town.taken) == 1, "dropped and counted at once"
        assert town.uplinks.dropped["spool"] == 1
        town.store.failing = None

    in_town(scenario)


def test_a_killed_gateway_has_acknowledged_nothing_that_it_had_not_decoded(in_town: Any) -> None:
    async def scenario(town: Town) -> None:
        town.ports[0].record()
        town.store.forget()
        await virtual_s(1)
        assert not town.taken
        assert town.ports[0].node.acks == 0
        town.ports[0].node.send_outbox()
        await virtual_s(1)
        assert town.ports[0].node.acks == 1

    in_town(scenario)


def test_a_fault_in_one_port_leaves_the_others(in_town: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(town: Town) -> None:
        def fault(data: bytes) -> Any:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(town.ports[0].link.parser, "feed", fault)
        town.ports[0].record()
        town.ports[1].record()
        await virtual_s(1)
        assert (town.ports[0].node.acks, town.ports[1].node.acks) == (0, 1)

    in_town(scenario)


def test_a_loop_that_stood_still_is_seen_though_the_bytes_wait(in_town: Any) -> None:
    """What was read behind a standstill did not come when it was read, however long afterwards it is decoded."""
    assert TICK_S < STALL_S, "else a loop that turns looks as if it stood still"

    async def scenario(town: Town) -> None:
        town.beat.last_s = now_s() - STALL_S - LET_S
        town.ports[0].record()
        town.beat.last_s = now_s()
        town.ports[1].record()
        await virtual_s(1)
        assert [fresh for *_, fresh in town.taken] == [False, True]

    in_town(scenario)


class Uplink:
    """A session that is owed an answer in a window."""

    def snapshot(self) -> Any:
        raise AssertionError("no group is closed here")

    def committed(self, snapshot: Any) -> None: ...


@pytest.mark.parametrize("before_s", [0.0, 0.1, 0.4])
def test_an_answer_with_a_window_hurries_the_group(tmp_path: Path, before_s: float) -> None:
    """LoRa's begins a second after the uplink; of it 0.2 s are for copies, and some for the disk and the way to an ear."""

    async def scenario() -> None:
        store = Store(tmp_path / "spool.db", HandClock())
        store._timer.sparse = True
        began_s = now_s()
        store.touch(1, Uplink())  # of a board on a cable
        await virtual_s(before_s)
        store.touch(2, Uplink(), window=True)
        await store._timer.due.wait()
        assert now_s() - began_s - before_s <= group_timer.GROUP_S * group_timer.WINDOW_TIMES + LET_S
        assert now_s() - began_s <= SPARSE_S + LET_S, "and nobody waits longer for it"

    run_virtual(scenario())
