"""State machines against plain models: which counters are taken, and what becomes of each row at each sink.

The real sessions and the real store on a real file; hypothesis looks for the order of events that breaks them.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.replay import SIZE
from gateway.store import Budget
from gateway.store.sinks import DELIVERED, DROPPED, SINK_REFUSED
from tests.fakes.machine_loop import RigLoop
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S
from wire import UTC, messages

pytestmark = pytest.mark.fuzz
W0 = START_S // 60


class ReplayMachine(RuleBasedStateMachine):
    """A counter is taken once in a life, whatever happens to the gateway; the model is a set."""

    @initialize()
    def begin(self) -> None:
        self.node = FakeNode(7)
        self.loop = RigLoop(self.node)
        self.taken: set[int] = set()
        self.committed: set[int] = set()
        self.highest = -1

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def _send(self, counter: int, message: Any) -> None:
        expected = counter not in self.taken and counter > self.highest - SIZE
        before = self.loop.rig.uplinks.accepted
        self.node.counter = counter
        self.loop.at_once(lambda: self.node.send(*messages.encode(message)))
        assert not self.loop.rig.uplinks.dropped["fault"]
        assert self.loop.rig.uplinks.accepted - before == expected, (counter, self.highest, sorted(self.taken)[-5:])
        if expected:
            self.taken.add(counter)
            self.highest = max(self.highest, counter)

    @rule(back=st.one_of(st.integers(-40, 40), st.integers(SIZE - 3, SIZE + 3), st.integers(-600, 600)))
    def event(self, back: int) -> None:
        """With the low bits of a counter around the newest one."""
        counter = max(0, self.highest - back)
        self._send(counter, messages.Event(counter, (UTC, START_S), 1, 0))

    @rule(back=st.one_of(st.integers(-3, SIZE + 3), st.integers(-200_000, 200_000)))
    def hello(self, back: int) -> None:
        """With the whole counter, from anywhere."""
        node = self.node
        totals = messages.Totals(*node.totals)
        self._send(max(0, self.highest - back), messages.Hello(1, 0, 1, 1, 1, 0, 0, 0, totals, (node.profile.id,)))

    @rule()
    def settle(self) -> None:
        self.loop.settle()
        self.committed = set(self.taken)

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.loop.restart(crash=crash)
        if crash:
            self.taken = set(self.committed)
            self.highest = max(self.taken, default=-1)
        self.committed = set(self.taken)


class CursorMachine(RuleBasedStateMachine):
    """Rows and sinks: each row is, for each sink, ahead of the cursor, in one open batch, delivered, refused or dropped."""

    @initialize(sinks=st.integers(1, 3))
    def begin(self, sinks: int) -> None:
        self.node = FakeNode(7)
        self.names = [f"sink{n}" for n in range(sinks)]
        self.loop = RigLoop(self.node, sinks=tuple(self.names))
        self.rows: list[str] = []  # in the order of their places
        self.cut = dict.fromkeys(self.names, 0)
        self.open: dict[str, dict[int, list[str]]] = {name: {} for name in self.names}
        self.marked: dict[tuple[str, int], set[str]] = {}  # refused, the batch still open
        self.fate: dict[str, dict[str, str]] = {name: {} for name in self.names}
        self.redelivered = dict.fromkeys(self.names, 0)
        self.trims = 0

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            for name in self.names:
                while self._give(name, 50, 0):
                    self._confirm(name, min(self.open[name]))
                assert (list(self.fate[name]) and set(self.fate[name]) == set(self.rows)) or not self.rows, "all told"
            self.adds_up()
        finally:
            self.loop.close()

    @rule(count=st.integers(1, 12), event=st.booleans())
    def put(self, count: int, event: bool) -> None:
        for _ in range(count):
            self.node.seal(W0 + self.node.totals[0])
        if event:
            self.node.event(1, 2, (UTC, START_S))
        ahead = sorted(self.node.outbox)
        self.loop.at_once(self.node.send_outbox)
        self.loop.settle()
        assert not self.node.outbox
        self.rows += [self.node.id_of(seq) for seq in ahead]

    @rule(at=st.integers(0, 2), most=st.integers(1, 9), again=st.booleans())
    def give(self, at: int, most: int, again: bool) -> None:
        name = self.names[at % len(self.names)]
        self._give(name, most, 0 if again else max(self.open[name], default=0))

    def _give(self, name: str, most: int, after: int) -> bool:
        batch = self.loop.run(self.loop.rig.store.next_batch(name, most, 1 << 20, after))
        known = sorted(number for number in self.open[name] if number > after)
        if known:
            assert batch is not None and batch.id == known[0] and batch.redelivery, "the oldest open one again"
            assert [record.id for record in batch.records] == self.open[name][batch.id], "with its boundaries"
            self.redelivered[name] += len(batch.records)
            return True
        ahead = [record_id for record_id in self.rows[self.cut[name] :] if record_id not in self.fate[name]]
        expected = ahead[:most]
        if not expected:
            assert batch is None
            return False
        assert batch is not None and not batch.redelivery
        assert [record.id for record in batch.records] == expected, "what comes next, in order"
        self.open[name][batch.id] = expected
        self.cut[name] = self.rows.index(expected[-1]) + 1
        return True

    @rule(at=st.integers(0, 2), pick=st.integers(0, 9), share=st.integers(1, 3))
    def refuse(self, at: int, pick: int, share: int) -> None:
        name = self.names[at % len(self.names)]
        if self.open[name]:
            number = sorted(self.open[name])[pick % len(self.open[name])]
            ids = self.open[name][number][::share]
            self.loop.run(self.loop.rig.store.refuse(name, number, ids, "no"))
            self.marked.setdefault((name, number), set()).update(ids)

    @rule(at=st.integers(0, 2), pick=st.integers(0, 9), twice=st.booleans())
    def confirm(self, at: int, pick: int, twice: bool) -> None:
        name = self.names[at % len(self.names)]
        if self.open[name]:
            number = sorted(self.open[name])[pick % len(self.open[name])]
            self._confirm(name, number)
            if twice:
                self.loop.run(self.loop.rig.store.confirm(name, number))

    def _confirm(self, name: str, number: int) -> None:
        self.loop.run(self.loop.rig.store.confirm(name, number))
        refused = self.marked.pop((name, number), set())
        for record_id in self.open[name].pop(number):
            assert record_id not in self.fate[name], "told once"
            self.fate[name][record_id] = "refused" if record_id in refused else "delivered"

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.loop.restart(crash=crash)

    @precondition(lambda self: self.trims > 0 and len(self.names) < 5)
    @rule()
    def new_sink(self) -> None:
        """It gets everything that is still there; what is not counts as dropped for it."""
        name = f"late{len(self.names)}"
        there = {pos for (pos,) in self._sql("SELECT pos FROM records")}
        self.loop.run(self.loop.rig.store.add_sink(name))
        self.names.append(name)
        self.loop.sinks.append(name)
        self.cut[name] = min(there) - 1
        self.open[name], self.redelivered[name] = {}, 0
        self.fate[name] = {self.rows[at]: "dropped" for at in range(len(self.rows)) if at + 1 not in there}

    @precondition(lambda self: len(self.rows) > 4)
    @rule(by_age=st.booleans())
    def trim(self, by_age: bool) -> None:
        self.trims += 1
        store = self.loop.rig.store
        if by_age:
            self.loop.clock.at_ms += 60_000
            store.budget = Budget(2 << 30, 30_000)
        else:
            store.budget = Budget(4096, 1 << 50)  # never reached: as many chunks as there is anything to take
        self.loop.run(store.keep_budget())
        there = {pos for (pos,) in self._sql("SELECT pos FROM records")}
        assert len(self.rows) in there, "the newest stays"
        held = {record_id for batches in self.open.values() for ids in batches.values() for record_id in ids}
        gone = [self.rows[at] for at in range(len(self.rows)) if at + 1 not in there]
        assert not held & set(gone), "what is in an open batch stays"
        for name in self.names:
            cut = self._sql("SELECT cut FROM sinks WHERE name = ?", name)[0][0]
            passed = self.rows[self.cut[name] : cut]
            self.fate[name].update(dict.fromkeys(passed, "dropped"))
            self.cut[name] = max(cut, self.cut[name])
            for record_id in gone:
                assert record_id in self.fate[name], "nothing goes that a sink has not, uncounted"

    def _sql(self, statement: str, *arguments: Any) -> list[Any]:
        return self.loop.run(self.loop.rig.sql(statement, *arguments))

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "loop"):
            return
        for number, name, cut, confirmed, refused, dropped, redelivered in self._sql(
            "SELECT id, name, cut, confirmed, refused, dropped, redelivered FROM sinks"
        ):
            fates = [self.fate[name].get(record_id) for record_id in self.rows[:cut]]
            assert cut == self.cut[name]
            assert (confirmed, refused, dropped) == tuple(map(fates.count, ("delivered", "refused", "dropped")))
            assert cut == confirmed + refused + dropped + sum(map(len, self.open[name].values()))
            assert redelivered == self.redelivered[name]
            windows = {self.node.id_of(seq) for seq in self.node.sealed}
            for what, code in (("delivered", DELIVERED), ("refused", SINK_REFUSED), ("dropped", DROPPED)):
                counted = self._sql("SELECT coalesce(sum(n), 0) FROM counts WHERE sink = ? AND what = ?", number, code)
                mine = sum(fate == what and record_id in windows for record_id, fate in self.fate[name].items())
                assert counted == [(mine,)], (name, what, counted, mine)


# Shrinking opens thousands of databases; what fails is short enough as it is found.
FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
ReplayMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, phases=FOUND)
CursorMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, phases=FOUND)
test_replay = ReplayMachine.TestCase
test_cursors = CursorMachine.TestCase
