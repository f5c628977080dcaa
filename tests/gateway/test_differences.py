"""Differences of totals: each is told once, when it is certain, whatever comes late, again, or never."""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.differences import OPEN_MAX, Chains, Difference, decode_differences
from gateway.export import Selection, export
from gateway.forward.payload import decode, encode_record
from gateway.life_state import LifeState, Memory
from gateway.models import Record
from gateway.seqset import SeqSet
from gateway.store import Reader
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S, HandClock, Rig, rig
from tools.demo import totals
from wire import UTC, channels, messages
from wire.profiles import Profile
from wire.quality import BLOCKED, GOOD, SUSPECT
from wire.totals import total

ITEM = (channels.id_of("vehicles_total"), 0)
WAYS = tuple((channels.id_of(f"vehicles_total_{way}"), 0) for way in ("approach", "depart"))
PROFILE = Profile(((channels.id_of("vehicles_approach"), 0), *WAYS), 60)
W0 = START_S // 60

OTHER, LOST = "other", "lost"  # a seq that is no total; one that never comes


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Any], list[int], set[int]]:
    """(what each seq is, in which order they come, after which arrivals the gateway starts again)."""
    seqs: list[Any] = []
    mark, counted = draw(st.integers(0, 63)), draw(st.integers(0, 1 << 24))
    for _ in range(draw(st.integers(2, 25))):
        what = draw(st.sampled_from(["total"] * 4 + [OTHER, OTHER, LOST, "restart"]))
        if what == "restart":
            mark, counted = mark + 1, 0
        counted += draw(st.integers(0, 300))
        seqs.append(what if what in (OTHER, LOST) else total(mark, counted))
    order = [seq for seq, what in enumerate(seqs) if what != LOST]
    if draw(st.booleans()):
        order = draw(st.permutations(order))
    return seqs, order, draw(st.sets(st.integers(0, 24)))


def expected(seqs: list[Any]) -> list[tuple[int, int, int, bool]]:
    """(since, until, events, restarted) of each pair of neighbours, by the plain rule."""
    found = []
    values = [(seq, what) for seq, what in enumerate(seqs) if what not in (OTHER, LOST)]
    for (one, before), (two, value) in itertools.pairwise(values):
        anew = before >> 24 != value >> 24
        events = (value & 0xFFFFFF) - (0 if anew else before & 0xFFFFFF)
        found.append((one, two, events % (1 << 24), anew))
    return found


@given(lives())
def test_each_is_told_once_and_only_when_nothing_can_come_between(life: tuple[list[Any], list[int], set[int]]) -> None:
    seqs, order, restarts = life
    received, chains = SeqSet(), Chains()
    gone = [seq for seq, what in enumerate(seqs) if what == LOST]
    told: list[Difference] = []

    def settled(start: int, end: int) -> bool:
        return not received.missing(start, end)

    def tell() -> None:
        blob = chains.tell(settled)
        for one in decode_differences(blob) if blob else ():
            assert settled(one.since_ms, one.until_ms), "something can still come between"
            told.append(one)

    for number, seq in enumerate([*order, *gone]):  # at last the node says that it holds the lost ones no longer
        received.add(seq)
        if seqs[seq] not in (OTHER, LOST):
            chains.add(seq, seq, [(ITEM, seqs[seq], GOOD)])
        tell()
        if number in restarts:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(LifeState(chains=chains.stored())), type=LifeState)
            chains = Chains(state.chains)
    assert sorted((one.since_ms, one.until_ms, one.events, one.restarted) for one in told) == expected(seqs)
    assert not chains.waiting


def test_a_record_without_a_value_is_bridged() -> None:
    chains = Chains()
    for seq, raw in enumerate((total(1, 5), None, total(1, 9))):
        chains.add(seq, 1000 * seq, [(ITEM, raw, GOOD)])
    blob = chains.tell(lambda start, end: True)
    assert blob is not None
    assert decode_differences(blob) == (Difference(*ITEM, 0, 2000, 4),)


def test_what_waits_has_a_bound() -> None:
    chains = Chains()
    for seq in range(0, 400, 2):
        chains.add(seq, seq, [(ITEM, total(1, seq), GOOD)])
        assert chains.tell(lambda start, end: False) is None
    ((_, _, begun, values),) = chains.stored()
    assert begun and len(values) == OPEN_MAX
    chains.add(1, 1, [(ITEM, total(1, 1), GOOD)])  # of before the bound: no neighbour is known any more
    assert chains.stored()[0][3] == values


def test_a_memory_of_before_has_no_chains() -> None:
    old = msgspec.msgpack.encode(msgspec.structs.astuple(LifeState())[:-1])
    assert not Memory(old).chains.waiting


def counts(node: FakeNode, seed: int = 1) -> tuple[int | None, ...]:
    """The next window's values: its count and both totals."""
    chance = Random(seed * 1000 + node.next_seq)
    here = [chance.randrange(30), chance.randrange(30)]
    before = getattr(node, "counted", [0, 0])
    node.counted = [one + two for one, two in zip(before, here, strict=True)]  # type: ignore[attr-defined]
    return (here[0], *(total(node.boot, each) for each in node.counted))  # type: ignore[attr-defined]


def stored(path: Path) -> list[Record]:
    with Reader(path) as reader:
        return list(reader.records())


def sums(path: Path) -> list[int]:
    """Of each way, all differences."""
    found = [one for record in stored(path) for one in record.counted]
    return [sum(one.events for one in found if one.channel == channel) for channel, _ in WAYS]


async def add(r: Rig, node: FakeNode) -> None:
    await r.add(node)
    node.hello()
    node.descriptor()


def archive(path: Path, seal: Callable[[FakeNode], None]) -> None:
    """A store with what a node sealed, all of it, over a good line."""

    async def scenario() -> None:
        node = FakeNode(7, profile=PROFILE)
        async with rig(path) as r:
            await add(r, node)
            seal(node)
            node.send_outbox()
            await r.settle()
            assert node.outbox == {}

    asyncio.run(scenario())


def test_what_was_overwritten_is_in_the_next_difference(tmp_path: Path) -> None:
    """Three windows fell out of a full outbox: the ledger names them, and their vehicles are counted."""
    path = tmp_path / "spool.db"

    def seal(node: FakeNode) -> None:
        for window in range(12):
            values = counts(node)
            if 4 <= window < 7:
                node.gap(messages.OVERWRITTEN, W0 + window)
            else:
                node.seal(W0 + window, values)

    archive(path, seal)
    records = stored(path)
    values = {record.seq: record.values for record in records if record.values}
    first, last = values[0], values[11]
    assert sums(path) == [last[1] - first[1], last[2] - first[2]]  # type: ignore[operator]
    (over,) = [one for record in records for one in record.counted if one.until_ms - one.since_ms > 60_000][::2]
    assert (over.since_ms, over.until_ms) == ((W0 + 4) * 60_000, (W0 + 8) * 60_000)
    assert over.events > sum(record.values[0] for record in records if record.seq == 7)  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_line_and_gateways_that_die_tell_each_difference_once(tmp_path: Path, seed: int) -> None:
    """Frames lost both ways and twice, the gateway killed four times, health and events between the records."""
    path = tmp_path / "spool.db"
    node = FakeNode(7, profile=PROFILE, seed=seed, batch=3)
    clock = HandClock()
    chance = Random(seed)

    async def life(number: int) -> None:
        async with rig(path, clock=clock, crash=chance.random() < 0.5) as r:
            await add(r, node)
            for window in range(number * 10, number * 10 + 10):
                if chance.random() < 0.1:
                    node.reboot()
                    node.counted = [0, 0]  # type: ignore[attr-defined]
                node.seal(W0 + window, counts(node, seed))
                if chance.random() < 0.3:
                    node.health((UTC, (W0 + window + 1) * 60))
                clock.at_ms += 60_000
                held_back = {
                    seq: node.outbox.pop(seq) for seq in chance.sample(sorted(node.outbox), k=len(node.outbox) // 3)
                }
                node.send_outbox()
                await r.settle()
                node.outbox |= held_back  # the newest came first, as after an outage

    async def drain() -> None:
        async with rig(path, clock=clock) as r:
            await add(r, node)
            while node.outbox:
                node.send_outbox()
                await r.settle()

    for number in range(4):
        node.faults.lose_up = node.faults.lose_down = node.faults.repeat_up = 0.3
        asyncio.run(life(number))
    node.faults.lose_up = node.faults.lose_down = 0.0
    asyncio.run(drain())
    records = sorted(stored(path), key=lambda record: record.seq)
    values = [record for record in records if record.values]
    assert len(values) == 40
    told = [one for record in records for one in record.counted]
    for place, (channel, _) in enumerate(WAYS, 1):
        of = sorted((one for one in told if one.channel == channel), key=lambda one: one.since_ms)
        assert [(one.since_ms, one.until_ms) for one in of] == [
            (one.end_ms, two.end_ms) for one, two in itertools.pairwise(values)
        ]
        for one, before, after in zip(of, values, values[1:], strict=False):
            old, new = before.values[place], after.values[place]
            assert old is not None and new is not None
            assert one.restarted == (old >> 24 != new >> 24)
            assert one.events == (new & 0xFFFFFF) - (0 if one.restarted else old & 0xFFFFFF)


def test_what_waits_for_its_time_lets_nothing_be_told_across_it(tmp_path: Path) -> None:
    """A boot without a clock is held until it can be dated: the difference across it is told with it, not before."""
    path = tmp_path / "spool.db"

    async def scenario() -> None:
        node = FakeNode(7, profile=PROFILE)
        async with rig(path) as r:
            await add(r, node)
            node.seal(W0, counts(node))
            node.reboot()
            node.seal_unclocked(60_000, counts(node))
            node.seal_unclocked(120_000, counts(node))
            node.send_outbox()
            await r.settle()
            node.reboot()
            node.seal(W0 + 30, counts(node))
            node.send_outbox()
            await r.settle()
            node.seal(W0 + 31, counts(node))
            node.send_outbox()
            await r.settle()

    asyncio.run(scenario())
    found = [one for record in stored(path) for one in record.counted if one.channel == WAYS[0][0]]
    told = sorted(found, key=lambda one: one.since_ms)
    by_seq = {record.seq: len(record.counted) for record in stored(path)}
    assert by_seq[3] == 0, "two windows before it had no time yet"
    values = sorted((record for record in stored(path) if record.values), key=lambda record: record.seq)
    assert [record.seq for record in values] == [0, 1, 2, 3, 4]
    assert [(one.since_ms, one.until_ms) for one in told] == [
        (one.end_ms, two.end_ms) for one, two in itertools.pairwise(values)
    ]
    assert [one.restarted for one in told] == [True, False, True, False]


def test_the_message_shows_the_events_without_their_mark_and_the_differences(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"

    def seal(node: FakeNode) -> None:
        node.seal(W0, (3, total(1, 103), total(1, 50)))
        node.seal(W0 + 1, (4, total(1, 107), None))
        node.seal(W0 + 2, (2, total(2, 2), total(2, 9)))
        node.outbox[2] = node.outbox[2]._replace(flags=(GOOD, GOOD, SUSPECT | BLOCKED << 4))

    archive(path, seal)
    texts = [encode_record(record) for record in stored(path)]
    head = '{"schema":"steiger.records.v1","gateway":"gw-1","batch":1,"records":['
    payload = decode(f"{head}{','.join(texts)}]}}".encode())
    assert [each.values["vehicles_total_approach"].v for each in payload.records] == [103, 107, 2]
    assert [each.values["vehicles_total_depart"].v for each in payload.records] == [50, None, 9]
    told = [msgspec.to_builtins(one) for each in payload.records for one in each.differences]
    ends = [json.loads(text)["end"] for text in texts]
    assert told == [
        {"name": "vehicles_total_approach", "since": ends[0], "until": ends[1], "v": 4},
        {"name": "vehicles_total_approach", "since": ends[1], "until": ends[2], "v": 2, "restarted": True},
        {"name": "vehicles_total_depart", "since": ends[0], "until": ends[2], "v": 9, "restarted": True,
         "quality": {"flag": "suspect", "reason": "blocked"}},
    ]  # fmt: skip

    with Reader(path) as reader:
        summary = export(reader, "csv", tmp_path / "out.csv", "gw-1", Selection(), lambda records: None)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (summary.records, summary.observations) == (3, 12)
    found = [row for row in rows if row["quantity"].endswith("_difference")]
    assert [(row["quantity"], row["value"], row["quality"], row["reason"]) for row in found] == [
        ("vehicles_total_approach_difference", "4", "good", ""),
        ("vehicles_total_approach_difference", "2", "suspect", "restarted"),
        ("vehicles_total_depart_difference", "9", "suspect", "blocked"),
    ]
    assert [row["time_from"] for row in found] == [ends[0], ends[1], ends[0]]
    assert [row["value"] for row in rows if row["quantity"] == "vehicles_total_approach"] == ["103", "107", "2"]


def test_the_judge_of_an_archive_sees_what_is_left_out_doubled_or_wrong(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"

    def seal(node: FakeNode) -> None:
        for window in range(6):
            node.seal(W0 + window, counts(node))

    archive(path, seal)
    assert totals.problems(path) == []
    (one, *_) = [record for record in stored(path) if record.counted]
    twice = msgspec.msgpack.encode(one.counted * 2)
    wrong = msgspec.msgpack.encode([(*WAYS[0], one.start_ms, one.end_ms, 999)])
    for blob, what in ((None, "not told"), (twice, "told 2 times"), (wrong, "no two neighbours")):
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("UPDATE records SET differences = ? WHERE pos = ?", (blob, one.pos))
        assert any(what in problem for problem in totals.problems(path))
