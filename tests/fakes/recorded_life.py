"""Lives of a gateway, played once on a traced disk. Beside the trace stands what was said to others, and when: what nodes
were told is safe, what sinks were given and confirmed. `at` is always the number of disk operations done by then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from gateway.store import Budget
from gateway.store.schema import PAGE_BYTES
from tests.fakes.disk_trace import DiskTrace
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, HandClock, Rig, rig
from wire import BOOT, UTC, messages

W0 = START_S // 60
MINUTE_MS = 60_000


class NodeState(NamedTuple):
    """A node at an instant, enough to go on from."""

    at: int
    fields: dict[str, Any]


class Batched(NamedTuple):
    """A sink was given a batch, or confirmed or refused of it: begun and returned."""

    begun: int
    done: int
    what: str  # "given", "confirmed", "refused"
    sink: str
    batch: int
    ids: tuple[str, ...]


class Heard(NamedTuple):
    """A frame that the gateway had taken, and whose group was committed at `at`."""

    at: int
    life: int
    frame: bytes


class Trim(NamedTuple):
    """What a trim took that began at `at`: seqs that are in no table any more, and rows that it moved a sink's cursor over."""

    at: int
    gone: set[tuple[int, int]]  # (life, seq)
    dropped: set[tuple[str, str]]  # (sink, record's id)


class Known(NamedTuple):
    at: int
    what: Any


COPIED = ("boot", "counter", "next_seq", "outbox", "sealed", "totals", "clock_synced", "recent", "uptime_ms")


class LifeStory:
    """Everything that `cut_verdict` holds a rebuilt disk against."""

    def __init__(self, trace: DiskTrace) -> None:
        self.trace = trace
        self.path = trace.folder / "spool.db"
        self.nodes: dict[int, list[NodeState]] = {}
        self.made: dict[
            int, tuple[FakeNode, bool]
        ] = {}  # by life: as it was made, and whether profiles are in the key file
        self.sinks: list[Known] = []
        self.batches: list[Batched] = []
        self.heard: list[Heard] = []
        self.trims: list[Trim] = []
        self.clock: list[Known] = [Known(0, START_S * 1000)]
        self._accepted: list[tuple[int, bytes]] = []

    @property
    def now(self) -> int:
        return len(self.trace.ops)

    def promises(self, cut: int) -> int:
        """How many things had been said to others by this cut: it grows, and between two values nothing was promised."""
        moments = [state.at for states in self.nodes.values() for state in states]
        moments += [each.at for each in (*self.heard, *self.sinks, *self.trims, *self.clock)]
        moments += [at for each in self.batches for at in (each.begun, each.done)]
        return sum(at <= cut for at in moments)

    def node_state(self, node: FakeNode) -> None:
        fields = {}
        for name in COPIED:
            value = getattr(node, name)
            fields[name] = value.copy() if hasattr(value, "copy") else value
        self.nodes.setdefault(node.life, []).append(NodeState(self.now, fields))

    def follow(self, r: Rig, node: FakeNode) -> None:
        """Note what goes out of the node and what it hears."""
        out, receive = node.out, node.receive

        def noted_out(frame: bytes) -> None:
            self.node_state(node)
            before = r.uplinks.accepted
            out(frame)
            if r.uplinks.accepted > before:
                self._accepted.append((node.life, frame))

        def noted_receive(frame: bytes) -> None:
            receive(frame)
            self.node_state(node)

        node.out = noted_out
        node.receive = noted_receive  # type: ignore[method-assign]

    async def settle(self, r: Rig) -> None:
        await r.settle()
        self.heard += [Heard(self.now, life, frame) for life, frame in self._accepted]
        self._accepted = []

    def forget_unsettled(self) -> None:
        self._accepted = []


def restored(node: FakeNode, state: NodeState) -> FakeNode:
    """The node as it was then, deaf to what came later."""
    made = FakeNode(node.address, node.key, profile=node.profile, batch=node.batch)
    for name, value in state.fields.items():
        setattr(made, name, value.copy() if hasattr(value, "copy") else value)
    made.faults.no_clock = node.faults.no_clock
    return made


class Player:
    """One gateway after the other on the traced disk."""

    def __init__(self, story: LifeStory, opener: Callable[..., Any]) -> None:
        self.story = story
        self.clock = HandClock()
        self._opener = opener
        self.rig: Rig
        self.nodes: list[FakeNode] = []
        self.minute = 0

    @asynccontextmanager
    async def gateway(self, budget: Budget | None = None, *, crash: bool = False):  # type: ignore[no-untyped-def]
        async with rig(
            self.story.path, clock=self.clock, budget=budget, sinks=(), opener=self._opener, crash=crash
        ) as r:
            self.rig = r
            for _, name in self.story.sinks:
                await r.store.add_sink(name)
            for node in self.nodes:
                await self._connect(node, self.story.made[node.life][1])
            await self.story.settle(r)
            yield r
        self.story.forget_unsettled()

    def know(self, node: FakeNode, profiles: bool) -> None:
        """It stands in the key file from now on."""
        self.story.made[node.life] = (node, profiles)
        self.story.node_state(node)
        self.nodes.append(node)

    async def add(self, node: FakeNode, *, profiles: bool = True) -> None:
        self.know(node, profiles)
        await self._connect(node, profiles)

    async def _connect(self, node: FakeNode, profiles: bool) -> None:
        node.__dict__.pop("receive", None)
        await self.rig.add(node, profiles=profiles)
        self.story.follow(self.rig, node)

    async def add_sink(self, name: str) -> None:
        begun = self.story.now
        await self.rig.store.add_sink(name)
        self.story.sinks.append(Known(begun, name))

    def pass_minutes(self, count: int = 1) -> None:
        """Windows close on every node that has a clock."""
        for _ in range(count):
            self.minute += 1
            self.clock.at_ms += MINUTE_MS
            self.story.clock.append(Known(self.story.now, self.clock.at_ms))
            for node in self.nodes:
                node.uptime_ms += MINUTE_MS
                if not node.faults.no_clock:
                    catch_up(node, self.minute)

    async def send(self, *nodes: FakeNode) -> None:
        for node in nodes or self.nodes:
            node.send_outbox()
        await self.story.settle(self.rig)

    async def give(self, sink: str, most: int = 10, after: int = 0) -> Any:
        begun = self.story.now
        batch = await self.rig.store.next_batch(sink, most, 1 << 20, after)
        if batch is not None:
            ids = tuple(record.id for record in batch.records)
            self.story.batches.append(Batched(begun, self.story.now, "given", sink, batch.id, ids))
        return batch

    async def confirm(self, sink: str, batch: Any) -> None:
        begun = self.story.now
        await self.rig.store.confirm(sink, batch.id, batch.records)
        ids = tuple(record.id for record in batch.records)
        self.story.batches.append(Batched(begun, self.story.now, "confirmed", sink, batch.id, ids))

    async def refuse(self, sink: str, batch: Any, ids: tuple[str, ...]) -> None:
        begun = self.story.now
        await self.rig.store.refuse(sink, batch.id, ids, "too old")
        self.story.batches.append(Batched(begun, self.story.now, "refused", sink, batch.id, ids))

    async def deliver(self, sink: str, most: int = 10) -> None:
        after = 0
        while (batch := await self.give(sink, most, after)) is not None:
            after = batch.id
            await self.confirm(sink, batch)

    async def trim(self, budget: Budget, *, must: bool = True) -> None:
        begun, before, cuts = self.story.now, await self._rows(), await self._cuts()
        self.rig.store.budget = budget
        await self.rig.store.keep_budget()
        after, cuts_after = await self._rows(), await self._cuts()
        gone = {
            (life, seq + more)
            for pos, (life, _, seq, span) in before.items()
            if pos not in after
            for more in range(span)
        }
        assert gone or not must, "this trim takes something"
        dropped = {
            (sink, f"{node}-{life:08x}-{seq}")
            for sink, cut in cuts.items()
            for pos, (life, node, seq, _) in before.items()
            if cut < pos <= cuts_after[sink]
        }
        self.story.trims.append(Trim(begun, gone, dropped))

    async def _rows(self) -> dict[int, tuple[int, int, int, int]]:
        sql = "SELECT r.pos, l.life, l.node, r.seq, r.span FROM records r JOIN lives l ON l.id = r.life"
        return {row[0]: row[1:] for row in await self.rig.sql(sql)}

    async def _cuts(self) -> dict[str, int]:
        return dict(await self.rig.sql("SELECT name, cut FROM sinks"))


def catch_up(node: FakeNode, minutes: int) -> None:
    """Seal every window that is over by then."""
    while node.totals[0] < minutes:
        node.seal(W0 + node.totals[0])


AGE_MS = 365 * 86_400_000


async def first_year(player: Player) -> None:
    """A fresh disk: nodes with and without profile and clock, three sinks, refusals, trims, checkpoints, restarts."""
    plain, shy, timeless = FakeNode(7), FakeNode(8), FakeNode(9, batch=4)
    shy.faults.mute_descriptor = timeless.faults.no_clock = True
    async with player.gateway() as r:
        await player.add(plain)
        await player.add(shy, profiles=False)
        await player.add(timeless)
        await player.add_sink("mqtt")
        plain.hello()
        for turn in range(6):
            player.pass_minutes()
            if turn == 2:
                plain.gap(messages.OFF, W0 + plain.totals[0], 2)  # two windows ahead of the clock of the script
                player.pass_minutes(2)
                plain.event(3, 1, (BOOT, 1, plain.uptime_ms))
            timeless.seal_unclocked(timeless.uptime_ms)
            await player.send()
            if turn % 2:
                await player.give("mqtt", 3)
        await player.deliver("mqtt", 4)
        assert (await r.sql("SELECT count(*) FROM undecoded"))[0][0] and (
            await r.sql("SELECT count(*) FROM unresolved")
        )
        shy.descriptor()  # held records become rows
        timeless.hello()
        await player.story.settle(r)
    async with player.gateway():
        await player.add_sink("http")
        await player.add(FakeNode(10))
        player.pass_minutes(3)
        timeless.reboot()
        timeless.uptime_ms = 30_000
        timeless.seal_unclocked(30_000)  # of a boot that never says hello: its neighbours tell
        await player.send()
        timeless.reboot()
        timeless.uptime_ms = 1_000
        timeless.hello()
        await player.story.settle(player.rig)
        first = await player.give("http", 8)
        second = await player.give("http", 5, first.id)
        await player.refuse("http", second, (second.records[1].id, second.records[3].id))
        await player.confirm("http", second)
        await player.confirm("http", first)
        await player.deliver("mqtt")
        player.pass_minutes(8)
        await player.send(plain, shy)
        await player.give("mqtt", 6)
        await player.trim(Budget(2 << 30, 12 * MINUTE_MS))
    async with player.gateway(crash=True):
        player.pass_minutes(2)
        plain.send_outbox()  # taken, never committed
    async with player.gateway():
        await player.deliver("mqtt")
        for node in player.nodes:
            if not node.faults.no_clock:
                node.health((UTC, player.clock.at_ms // 1000))
                node.hello()
        await player.send()
        await player.add(FakeNode(11))
        await player.add_sink("late")
        player.pass_minutes(12)
        await player.send()
        await player.deliver("http", 30)
        used = (await player.rig.sql("PRAGMA page_count"))[0][0] - (await player.rig.sql("PRAGMA freelist_count"))[0][0]
        await player.trim(Budget((used - 2) * PAGE_BYTES, AGE_MS))
        await player.deliver("late", 7)
        player.pass_minutes(4)
        for _ in range(3):
            for node in player.nodes:
                node.hello()
            await player.send()
        await player.deliver("mqtt", 2)


async def old_disk(player: Player) -> None:
    """A disk of schema 1 with an open batch and held input (tests/data/make_spool_schema1.py): copied, migrated, gone on."""
    plain, shy = FakeNode(7), FakeNode(8)
    plain.counter = shy.counter = 100
    plain.sealed, plain.totals, plain.next_seq = [*range(30)], [35, 30, 5, 0, 0, 0], 35
    shy.sealed, shy.totals, shy.next_seq, shy.uptime_ms = [0, 1], [2, 2, 0, 0, 0, 0], 2, 120_000
    shy.faults.mute_descriptor = shy.faults.no_clock = True
    player.pass_minutes(35)
    for node, profiles in ((plain, True), (shy, False)):
        player.know(node, profiles)
    player.story.sinks.append(Known(0, "mqtt"))
    for batch, what, first in ((1, "confirmed", 0), (2, "given", 8)):
        ids = tuple(plain.id_of(seq) for seq in range(first, first + 8))
        player.story.batches.append(Batched(0, 0, what, "mqtt", batch, ids))
    async with player.gateway():
        player.pass_minutes()
        await player.send()
        open_batch = await player.give("mqtt")
        assert open_batch.id == 2
        shy.hello()
        shy.descriptor()
        await player.story.settle(player.rig)
        await player.confirm("mqtt", open_batch)
        await player.deliver("mqtt")
