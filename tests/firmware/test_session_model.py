"""Node and gateway talk over a line that loses, doubles and reorders, both ends are cut: model and invariants.

The node's session, outbox and leases on real files, the gateway's uplinks, sessions and acknowledgement windows with a
disk in memory; time moves by hand.
"""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware.grid import grid_body
from firmware.leases import Leases
from firmware.life import Life
from firmware.outbox import entries
from firmware.session import IN_FLIGHT, Session
from firmware.settings import stem
from gateway import keys
from gateway.models import RECORD
from tests.fakes.memory_store import MemoryDisk, start_gateway
from tests.fakes.rig import START_S, HandClock
from wire import UTC, frame, frame_gateway, messages
from wire.profiles import Profile
from wire.records_gateway import peek_records
from wire.settings import by_name

ADDRESS = 7
KEY = bytes(range(16))
PROFILE = Profile(((2, 0), (11, 0)), 60)
W0 = START_S // 60
LIFE_ROW = 1


class NodeClock:
    """The node's clock, always set: what this is about is seqs."""

    synced = True

    def __init__(self, world: HandClock) -> None:
        self._world = world

    def utc_s(self) -> int:
        return self._world.at_ms // 1000

    def uptime_ms(self) -> int:
        return self._world.at_ms - START_S * 1000


class Ends:
    """Both ends and what is under way between them; faults are for the caller to play."""

    def __init__(self, folder: Path, **values: int) -> None:
        self.folder = folder
        self.values = values
        self.clock = HandClock()
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.disk = MemoryDisk()
        self.boot = 0
        self.window = 0
        self.sealed: set[int] = set()  # seqs of records
        self.counters: set[int] = set()
        self.sent: list[tuple[int, ...]] = []  # the seqs of each frame with entries, as they were sent
        self.faults: list[str] = []
        Leases.create(stem(str(folder), "lease", frame_life()))
        self.switch_on()
        self.start_gateway()

    # -- the node --

    def switch_on(self) -> None:
        """A boot: from what lies in the files, and nothing else."""
        self.boot += 1
        stored = {
            "address": ADDRESS,
            "key": KEY.hex(),
            "provisioned_s": START_S,
            "grids": [[PROFILE.encode().hex(), 0, W0, 0]],
        }
        clock = NodeClock(self.clock)
        self.life = Life(str(self.folder), stored, clock, self.boot, 10**6, lambda path: (500, 512))  # type: ignore[arg-type]
        if PROFILE.short not in self.life.outbox.state.grids:
            self.life.outbox.put([(entries.GRID, grid_body(PROFILE.short, 60, W0, 0))])
        self.session = Session(self.life, clock, self.get, self.hello, lambda *asked: None)

    def get(self, name: str) -> int:
        return self.values.get(name, int(by_name(name).default))

    def hello(self, life: Life) -> messages.Hello:
        state = life.outbox.state
        return messages.Hello(
            self.boot, self.clock.at_ms - START_S * 1000, 1, frame.VERSION, 1, 1, life.outbox.held(), state.next_seq,
            messages.Totals(*state.totals), (PROFILE.id,),
        )  # fmt: skip

    def cut_power(self) -> None:
        self.life.outbox.close()
        self.switch_on()

    def seal(self, count: int) -> None:
        for _ in range(count):
            seq = self.life.outbox.state.next_seq
            time = (UTC, START_S + (self.window + 1) * 60)
            self.window += 1
            body = entries.record_body(seq, PROFILE.short, time, 100, (self.window % 500, 20), None)
            self.session.note(self.life.outbox.put([(entries.RECORD, body)]))
            self.sealed.add(seq)

    def gap(self, count: int) -> None:
        time = (UTC, START_S + (self.window + 1) * 60)
        self.window += count
        first = self.life.outbox.state.next_seq
        body = entries.gap_body(first, count, messages.NOT_SAMPLED, PROFILE.short, 0, time)
        self.session.note(self.life.outbox.put([(entries.GAP, body)]))

    def event(self) -> None:
        self.session.note(self.life.event(messages.SAFE_MODE, 1))

    def transmit(self) -> int:
        """Everything that the node wants to send now; how many frames that was."""
        count = 0
        while (data := self.session.next_frame(self.clock.at_ms)) is not None:
            self._check_sent(bytes(data))
            self.up.append(bytes(data))
            count += 1
            if count > 10 * IN_FLIGHT:
                self.faults.append("the node never stops sending")
                break
        return count

    def _check_sent(self, data: bytes) -> None:
        counter = self.life.leases.counter - 1
        if counter in self.counters:
            self.faults.append(f"counter {counter} came twice")
        self.counters.add(counter)
        header = frame_gateway.parse_uplink_header(data)
        assert not isinstance(header, str)
        payload = frame_gateway.open_uplink(self.life.keys, frame.SERIAL, data, counter)
        assert payload is not None
        outbox = self.life.outbox
        if header.type == messages.RECORDS:
            spans = [(seq, seq + 1) for seq in peek_records(payload, outbox.state.next_seq).seqs]
        elif header.type == messages.GAP:
            gap = messages.decode(messages.GAP, payload)
            spans = [(gap.first_seq, gap.first_seq + gap.count)]
        elif header.type in (messages.HEALTH, messages.EVENT):
            seq = messages.decode(header.type, payload).seq
            spans = [(seq, seq + 1)]
        else:
            return
        for first, end in spans:
            if outbox.state.acked.has(first, end):
                self.faults.append(f"[{first}, {end}) sent although it is known to be held")
        self.sent.append(tuple(first for first, _ in spans))

    def hear(self, data: bytes) -> None:
        self.session.received(data)

    # -- the gateway --

    def start_gateway(self) -> None:
        """From what is on its disk, and nothing else."""
        life = keys.Life(address=ADDRESS, key=KEY, provisioned_s=START_S, profiles=(PROFILE.encode().hex(),))
        self.store, self.uplinks, self.gateway = start_gateway(self.disk, life, self.clock, 1)

    kind = frame.SERIAL  # this is the link as well
    name = "line"

    def send(self, data: bytes) -> bool:
        self.down.append(data)
        return True

    def receive(self, data: bytes) -> None:
        self.uplinks.on_frame(self, data, self.clock.at_ms)

    def commit(self, heard: bool = True) -> None:
        self.store.commit(self.store.take_group(self.clock.at_ms), heard)

    # -- both --

    def exchange(self) -> int:
        """One round over a good line; frames sent."""
        count = self.transmit()
        for data in self.up:
            self.receive(data)
        self.up.clear()
        self.commit()
        for data in self.down:
            self.hear(data)
        self.down.clear()
        return count

    def drain(self) -> None:
        """A good line again: everything is delivered, in bounded time and with a bounded number of frames."""
        waiting = self.life.outbox.state.next_seq
        frames = rounds = 0
        while not self.session.idle():
            if rounds > waiting + 100:
                self.faults.append("not drained: it never ends")
                return
            frames += self.exchange()
            rounds += 1
            if not self.session.idle():
                self.clock.at_ms += max(1, self.session.next_due_ms(self.clock.at_ms)) if not frames else 50
        if frames > waiting + 100:
            self.faults.append(f"{frames} frames for {waiting} seqs")

    def held_by_gateway(self) -> Any:
        """The seqs that a gateway starting now knows as received."""
        return self.disk.memory(LIFE_ROW).received

    def check(self) -> None:
        assert not self.faults, self.faults
        held, acked = self.held_by_gateway(), self.life.outbox.state.acked
        for first, end in [(0, acked.cum), *acked.ranges]:
            assert not held.missing(first, end), f"acknowledged, and not on the disk: {held.missing(first, end)}"
        rows = [row[1] for row in self.disk.rows if row[3] == RECORD]
        assert len(rows) == len(set(rows)), "stored twice"
        assert set(rows) <= self.sealed
        assert self.sealed - set(rows) == {seq for seq in self.sealed if seq not in held}, "received, and no row"

    def check_drained(self) -> None:
        self.drain()
        self.check()
        assert self.held_by_gateway().missing(0, self.life.outbox.state.next_seq) == []
        assert {row[1] for row in self.disk.rows if row[3] == RECORD} == self.sealed


def frame_life() -> int:
    from wire.crypto import subkeys

    return subkeys(KEY).life


PLACE = st.integers(0, 31)  # which of the frames under way, modulo their number


class ConversationMachine(RuleBasedStateMachine):
    """Whatever the line does and whoever is cut: nothing acknowledged is missing, nothing comes twice, it always ends."""

    @initialize(batch_max=st.sampled_from([1, 5, 16]), live_first=st.integers(0, 1))
    def start(self, batch_max: int, live_first: int) -> None:
        self.folder = TemporaryDirectory()
        self.ends = Ends(
            Path(self.folder.name), batch_max=batch_max, live_first=live_first, ack_wait_ms=500, retry_max_ms=4000
        )

    @rule(count=st.integers(1, 30))
    def seal(self, count: int) -> None:
        self.ends.seal(count)

    @rule(count=st.integers(1, 100))
    def gap(self, count: int) -> None:
        self.ends.gap(count)

    @rule()
    def event(self) -> None:
        self.ends.event()

    @rule(ms=st.sampled_from([0, 10, 400, 600, 5000]))
    def transmit(self, ms: int) -> None:
        self.ends.clock.at_ms += ms
        self.ends.transmit()

    @precondition(lambda self: self.ends.up)
    @rule(place=PLACE, count=st.integers(1, 6), keep=st.booleans())
    def uplink_arrives(self, place: int, count: int, keep: bool) -> None:
        """In any order; `keep`: once more later."""
        for _ in range(min(count, len(self.ends.up))):
            at = place % len(self.ends.up)
            self.ends.receive(self.ends.up[at])
            if not keep:
                del self.ends.up[at]

    @precondition(lambda self: self.ends.up)
    @rule(place=PLACE)
    def uplink_lost(self, place: int) -> None:
        del self.ends.up[place % len(self.ends.up)]

    @rule(heard=st.booleans())
    def commit(self, heard: bool) -> None:
        self.ends.commit(heard)
        if not heard:  # killed between sync and acknowledgement
            self.ends.start_gateway()

    @precondition(lambda self: self.ends.down)
    @rule(place=PLACE, count=st.integers(1, 6), keep=st.booleans())
    def downlink_arrives(self, place: int, count: int, keep: bool) -> None:
        for _ in range(min(count, len(self.ends.down))):
            at = place % len(self.ends.down)
            self.ends.hear(self.ends.down[at])
            if not keep:
                del self.ends.down[at]

    @precondition(lambda self: self.ends.down)
    @rule(place=PLACE)
    def downlink_lost(self, place: int) -> None:
        del self.ends.down[place % len(self.ends.down)]

    @rule()
    def gateway_killed(self) -> None:
        self.ends.start_gateway()

    @rule()
    def node_cut(self) -> None:
        self.ends.cut_power()

    @rule(first=st.integers(0, 400), count=st.integers(1, 100))
    def backfill(self, first: int, count: int) -> None:
        """The gateway asks for what it may hold already."""
        self.ends.gateway.send(messages.Backfill(first, count))

    @rule()
    def good_minutes(self) -> None:
        self.ends.check_drained()

    @invariant()
    def nothing_acknowledged_is_missing(self) -> None:
        if hasattr(self, "ends"):
            self.ends.check()

    def teardown(self) -> None:
        if hasattr(self, "ends"):
            try:
                self.ends.check_drained()
            finally:
                self.ends.life.outbox.close()
                self.folder.cleanup()


ConversationMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestConversationModel = pytest.mark.fuzz(ConversationMachine.TestCase)


@pytest.fixture
def ends(tmp_path: Path) -> Any:
    made = Ends(tmp_path)
    made.exchange()  # hello
    yield made
    made.life.outbox.close()


def test_what_is_lost_is_sent_again_at_once_and_nothing_else(ends: Ends) -> None:
    """A later acknowledgement shows what is missing: nobody waits for the deadline, and the rest is not repeated."""
    ends.values["live_first"] = 0
    ends.seal(64)
    ends.transmit()
    assert len(ends.up) == IN_FLIGHT
    first = list(ends.sent)
    lost = first[1]
    del ends.up[1]
    for data in ends.up:
        ends.receive(data)
    ends.up.clear()
    ends.commit()
    for data in ends.down:
        ends.hear(data)
    ends.down.clear()
    ends.clock.at_ms += 1
    ends.sent.clear()
    ends.check_drained()
    again = [seq for seqs in ends.sent for seq in seqs]
    assert lost == tuple(range(16, 32))
    assert tuple(again) == lost
    assert ends.clock.at_ms < START_S * 1000 + ends.get("ack_wait_ms"), "without waiting for the deadline"


def test_batches_shrink_on_a_bad_line_and_grow_again(ends: Ends) -> None:
    def sizes() -> list[int]:
        taken = [len(seqs) for seqs in ends.sent]
        ends.sent.clear()
        return taken

    ends.seal(2000)
    for _ in range(10):  # the live ones go one by one
        ends.exchange()
    assert max(sizes()) == 16
    for _ in range(5):
        ends.transmit()
        ends.up.clear()
        ends.clock.at_ms += ends.session.next_due_ms(ends.clock.at_ms)
    assert sizes()[-1] == 1
    grown = []
    for _ in range(60):
        ends.exchange()
        grown += sizes()
    assert max(grown) == 16
    assert grown.index(16) > 16, "one more a round, not at once"
    ends.check_drained()


def test_a_line_that_loses_everything_one_way_costs_no_flood(ends: Ends) -> None:
    """A gateway that hears and is not heard: the node's frames become rarer, and nothing is stored twice."""
    ends.seal(100)
    frames = 0
    until_ms = ends.clock.at_ms + 3_600_000
    while ends.clock.at_ms < until_ms:
        frames += ends.transmit()
        for data in ends.up:
            ends.receive(data)
        ends.up.clear()
        ends.commit()
        ends.down.clear()
        ends.clock.at_ms += max(1, ends.session.next_due_ms(ends.clock.at_ms))
    assert frames <= 3600 * 1000 / ends.get("retry_max_ms") * 2 + 30
    ends.check_drained()


@pytest.mark.parametrize("seed", range(20))
def test_a_good_line_repeats_nothing_however_slow_the_gateway_commits(ends: Ends, seed: int) -> None:
    """Acknowledgements cross with later frames: what is still on its way is not taken for lost."""
    chance = random.Random(seed)
    ends.values["live_first"] = chance.randrange(2)
    ends.seal(200)
    group = None
    for _ in range(300):
        step = chance.randrange(6)
        if step == 0:
            ends.seal(chance.randrange(3))
        elif step == 1:
            ends.transmit()
        elif step == 2 and ends.up:
            ends.receive(ends.up.pop(0))
        elif step == 3 and group is None:
            group = ends.store.take_group(ends.clock.at_ms)
        elif step == 4 and group is not None:
            ends.store.commit(group)
            group = None
        elif step == 5 and ends.down:
            ends.hear(ends.down.pop(0))
        ends.clock.at_ms += 1
    if group is not None:
        ends.store.commit(group)
    while not ends.session.idle():
        ends.exchange()
        ends.clock.at_ms += 1
    assert ends.clock.at_ms < START_S * 1000 + ends.get("ack_wait_ms"), "no deadline passed"
    seqs = [seq for frame_seqs in ends.sent for seq in frame_seqs]
    assert sorted(seqs) == sorted(set(seqs)), "sent twice"
    ends.check()
