"""Whether a gateway that comes back after a power cut keeps everything that was promised before it. The product's own code
opens the rebuilt disk, with its own SQLite; the nodes go on from where they were at the cut."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.life_state import Memory
from gateway.store import schema
from tests.fakes.disk_after_cut import Image, write
from tests.fakes.recorded_life import START_S, Batched, LifeStory, catch_up, restored
from tests.fakes.rig import HandClock, Rig, rig
from wire.messages import Gap

RAM_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None  # rebuilt disks need not survive anything
HELD_SEQS = "SELECT l.life, u.payload FROM undecoded u JOIN lives l ON l.id = u.life"
ROWS = "SELECT l.life, r.seq, r.span FROM {} r JOIN lives l ON l.id = r.life"


class Broken(AssertionError):
    """A promise that the cut broke."""


async def verdict(story: LifeStory, cut: int, image: Image) -> None:
    """Raise Broken if anything that was promised by operation `cut` does not hold on this disk."""
    with tempfile.TemporaryDirectory(dir=RAM_FOLDER, prefix="steiger-cut-") as folder:
        write(image, Path(folder))
        path = Path(folder) / "spool.db"
        _look_at_copies(Path(folder))
        clock = HandClock([known.what for known in story.clock if known.at <= cut][-1])
        sinks = [known.what for known in story.sinks if known.at <= cut]
        async with rig(path, clock=clock, sinks=()) as r:
            await _Verdict(story, cut, r, clock).run(sinks)


def _look_at_copies(folder: Path) -> None:
    """Whatever bears a copy's final name is whole."""
    for copy in folder.glob("spool.db.schema?"):
        with closing(schema.connect(copy)) as conn:
            _expect(conn.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the copy is whole")
            _expect(conn.execute("SELECT count(*) FROM records").fetchone() == (31,), "the copy holds all")


def _expect(holds: object, what: str, *facts: object) -> None:
    if not holds:
        raise Broken(f"{what} {' '.join(map(repr, facts))}")


def _expand(entry: Any, seq: int) -> range:
    return range(seq, seq + (entry.count if isinstance(entry, Gap) else 1))


class _Verdict:
    def __init__(self, story: LifeStory, cut: int, r: Rig, clock: HandClock) -> None:
        self.story = story
        self.cut = cut
        self.r = r
        self.clock = clock
        self.nodes = {
            life: restored(node, [state for state in story.nodes[life] if state.at <= cut][-1])
            for life, (node, _) in story.made.items()
            if story.nodes[life][0].at <= cut
        }
        self.open_again: set[tuple[str, int]] = set()  # batches given out again
        trims = [trim for trim in story.trims if trim.at <= cut]
        self.trimmed = {seq for trim in trims for seq in trim.gone}
        self.dropped = {row for trim in trims for row in trim.dropped}

    async def run(self, sinks: list[str]) -> None:
        _expect((await self.r.sql("PRAGMA integrity_check")) == [("ok",)], "integrity_check")
        await self._acknowledged_is_there()
        for life, node in self.nodes.items():
            await self.r.add(node, profiles=self.story.made[life][1])
        for sink in sinks:
            await self.r.store.add_sink(sink)
        self._old_frames_are_refused()
        delivered = {sink: await self._drain(sink) for sink in sinks}
        await self._go_on(sinks, delivered)

    # -- nodes -----------------------------------------------------------------------------------------------------

    async def _stored(self) -> set[tuple[int, int]]:
        there = set()
        for table in ("records", "unresolved"):
            for life, seq, span in await self.r.sql(ROWS.format(table)):
                there |= {(life, seq + more) for more in range(span)}
        for life, payload in await self.r.sql(HELD_SEQS):
            size = int.from_bytes(payload[:2], "big")
            there |= {(life, int.from_bytes(payload[at : at + 4], "big")) for at in range(2, 2 + size, 4)}
        return there

    def _acknowledged(self) -> set[tuple[int, int]]:
        out = set()
        for life, node in self.nodes.items():
            kept = {seq for first, entry in node.outbox.items() for seq in _expand(entry, first)}
            out |= {(life, seq) for seq in range(node.next_seq) if seq not in kept}
        return out

    async def _acknowledged_is_there(self) -> None:
        lost = self._acknowledged() - await self._stored() - self.trimmed
        _expect(not lost, "acknowledged and not there:", sorted(lost)[:5])
        memories = {life: Memory(state) for life, state in await self.r.sql("SELECT life, state FROM lives")}
        for life, seq in self._acknowledged():
            _expect(seq in memories[life].received, "acknowledged and not known as received:", life, seq)

    def _old_frames_are_refused(self) -> None:
        for heard in self.story.heard:
            if heard.at <= self.cut:
                before = self.r.uplinks.dropped["replay"]
                self.r.uplinks.on_frame(self.r.links[heard.life], heard.frame, self.clock.at_ms)
                _expect(self.r.uplinks.dropped["replay"] == before + 1, "a counter is accepted twice", heard.life)

    # -- sinks -----------------------------------------------------------------------------------------------------

    def _said(self, sink: str, what: str, *, begun: bool = False) -> list[Batched]:
        """Of this sink, what had returned by the cut, or had at least begun."""
        return [
            each
            for each in self.story.batches
            if each.sink == sink and each.what == what and (each.begun if begun else each.done) <= self.cut
        ]

    async def _drain(self, sink: str) -> list[str]:
        """Take and confirm everything, as a forwarder does at start; boundaries once given are given again."""
        given = {each.batch: each.ids for each in self._said(sink, "given")}
        confirmed = {each.batch for each in self._said(sink, "confirmed")}
        maybe = {each.batch for each in self._said(sink, "confirmed", begun=True)}
        out: list[str] = []
        while (batch := await self.r.store.next_batch(sink, 100, 1 << 20)) is not None:
            ids = tuple(record.id for record in batch.records)
            _expect(batch.id not in confirmed, "confirmed and given again: batch", sink, batch.id)
            if batch.id in given:
                _expect(ids == given[batch.id], "a batch with other boundaries:", sink, batch.id)
                _expect(batch.redelivery, "a batch given again that says it is new:", sink, batch.id)
                self.open_again.add((sink, batch.id))
            out += ids
            await self.r.store.confirm(sink, batch.id, batch.records)
        gone = {batch for batch in set(given) - maybe if (sink, batch) not in self.open_again}
        _expect(not gone, "given, never confirmed, and gone: batch", sink, sorted(gone))
        return out

    async def _go_on(self, sinks: list[str], delivered: dict[str, list[str]]) -> None:
        minutes = (self.clock.at_ms // 1000 - START_S) // 60
        for node in self.nodes.values():
            if not node.faults.no_clock:
                catch_up(node, minutes)
            node.hello()
            node.send_outbox()
        await self.r.settle()
        for node in self.nodes.values():
            node.descriptor()
            node.send_outbox()
            node.hello()
        await self.r.settle()
        for sink in sinks:
            delivered[sink] += await self._drain(sink)
        await self._each_once(sinks, delivered)
        report = await self.r.report()
        _expect(report.findings == [], "the ledger has findings:", report.findings)
        _expect(report.duplicates == 0, "twice in the archive:", report.duplicates)
        for life in report.lives:
            node = self.nodes[int(life.life, 16)]
            if not node.faults.no_clock:
                _expect(
                    all(tally.closed() for tally in life.sinks.values()), "the ledger is open:", life.node, life.sinks
                )

    async def _each_once(self, sinks: list[str], delivered: dict[str, list[str]]) -> None:
        there = await self._stored()
        for life, node in self.nodes.items():
            _expect(not node.outbox, "not acknowledged in the end:", node.address, sorted(node.outbox)[:5])
            lost = {(life, seq) for seq in range(node.next_seq)} - there - self.trimmed
            _expect(not lost, "lost:", sorted(lost)[:5])
        rows = await self.r.sql("SELECT l.node, l.life, r.seq FROM records r JOIN lives l ON l.id = r.life")
        archive = {f"{node}-{life:08x}-{seq}" for node, life, seq in rows}
        for sink in sinks:
            before: dict[str, int] = defaultdict(int)
            for each in self._said(sink, "confirmed"):
                for record_id in each.ids:
                    before[record_id] += 1
            for record_id in delivered[sink]:
                before[record_id] += 1
            twice = [record_id for record_id, n in before.items() if n > 1]
            _expect(not twice, "confirmed twice:", sink, twice[:5])
            perhaps = {record_id for each in self._said(sink, "confirmed", begun=True) for record_id in each.ids}
            passed = archive - set(before) - perhaps - {record_id for name, record_id in self.dropped if name == sink}
            _expect(not passed, "passed over by the cursor:", sink, sorted(passed)[:5])
