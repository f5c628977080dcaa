"""Power cuts on the gateway: what was said to a node or by a sink holds on every disk that a cut may leave.

The store's own code writes through a VFS that records, the disk is rebuilt as a cut at any write or sync leaves it, and the
store's own code opens it. All cuts: tests/soak/test_soak_powercut.py and `bench/run.py powercut_gateway`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import cut_laboratory, disk_after_cut
from tests.fakes.disk_after_cut import KEPT, LOST, Disk, structural
from tests.fakes.disk_trace import CREATE, RENAME, SYNC, SYNC_DIRECTORY, TRUNCATE, WRITE, Op
from tests.fakes.recorded_life import LifeStory, first_year, old_disk
from tests.fakes.seeded_life import Seeded

pytestmark = pytest.mark.slow  # together more than five seconds

EVERY = 17  # a plain write in so many, beside everything that is no plain write
SEED = 3


def some(story: LifeStory, every: int = EVERY) -> set[int]:
    return {*range(0, len(story.trace.ops) + 1, every), *structural(story.trace.ops)}


def held(figures: cut_laboratory.Figures, at_least: int) -> None:
    print(f"cuts {figures.cuts}, images {figures.images}, failures {len(figures.failures)}")
    assert figures.cuts >= at_least
    assert figures.failures == []


@pytest.mark.slow
def test_a_gateways_first_year_bears_every_kind_of_cut(tmp_path: Path) -> None:
    story = cut_laboratory.record(tmp_path / "disk", first_year)
    kinds = [op.what for op in story.trace.ops]
    assert kinds.count(SYNC) > 80, "it does a good deal"
    assert sum(op.what == TRUNCATE and op.name.endswith("-wal") for op in story.trace.ops) >= 4, "WALs were copied back"
    assert [bool(trim.gone) for trim in story.trims] == [True, True], "by age and by size"
    assert {each.what for each in story.batches} == {"given", "confirmed", "refused"}
    held(cut_laboratory.cut("first year", story, some(story)), 200)


@pytest.mark.slow
def test_a_migration_bears_every_kind_of_cut(tmp_path: Path) -> None:
    story = cut_laboratory.record(tmp_path / "disk", old_disk, before=cut_laboratory.OLD_DISK)
    assert any(op.what == RENAME for op in story.trace.ops), "a copy was made first"
    held(cut_laboratory.cut("old disk", story, mixed=2), 120)


@pytest.mark.slow
def test_a_life_by_chance_bears_every_kind_of_cut(tmp_path: Path) -> None:
    story = cut_laboratory.record(tmp_path / "disk", Seeded(SEED))
    held(cut_laboratory.cut(f"seed {SEED}", story, some(story)), 200)


@pytest.mark.slow
def test_the_power_goes_again_while_the_gateway_recovers(tmp_path: Path) -> None:
    story = cut_laboratory.record(tmp_path / "first", first_year)
    old = cut_laboratory.record(tmp_path / "old", old_disk, before=cut_laboratory.OLD_DISK)
    figures = [cut_laboratory.cut_twice("first year", story, range(11, len(story.trace.ops), 101), every=5)]
    figures += [cut_laboratory.cut_twice("old disk", old, range(1, len(old.trace.ops), 15), every=5)]
    held(cut_laboratory.total(figures), 100)


def test_the_same_laboratory_finds_the_loss_without_a_sync_at_each_commit(tmp_path: Path) -> None:
    """synchronous=NORMAL, the usual advice for WAL, does not keep what was acknowledged; the test must be able to say so."""
    story = cut_laboratory.record(tmp_path / "disk", first_year, synchronous="NORMAL")
    missing = {"acknowledged and not there", "confirmed and given again", "accepted twice"}
    found = ""
    for offset in range(
        0, 25, 4
    ):  # which cut shows what depends on how commits fell together: look until each was seen
        figures = cut_laboratory.cut("first year", story, range(offset, len(story.trace.ops), 25))
        found += " ".join(broken.what for broken in figures.failures)
        missing -= {promise for promise in missing if promise in found}
        if not missing:
            break
    assert not missing, found


def test_what_is_synced_stays_and_nothing_else_is_sure() -> None:
    disk = Disk({"old": b"before"})
    for op in (
        Op(CREATE, 1, "new"), Op(WRITE, 1, "new", 0, b"a" * 600), Op(SYNC, 1, "new"), Op(WRITE, 1, "new", 600, b"b" * 600),
        Op(WRITE, 0, "old", 0, b"B"), Op(TRUNCATE, 0, "old", 3),
    ):  # fmt: skip
        disk.apply(op)
    assert disk.image(LOST) == {"old": b"before"}, "synced, but its name is not"
    assert disk.image(KEPT) == {"old": b"Bef", "new": b"a" * 600 + b"b" * 600}
    disk.apply(Op(SYNC_DIRECTORY))
    assert disk.image(LOST)["new"] == b"a" * 600
    seen = {disk.image(f"mixed {n}")["new"] for n in range(200)}
    assert len(seen) > 20, "whole, lost, torn in many ways, grown without its data"
    assert all(content[:600] == b"a" * 600 for content in seen), "what was synced is never touched"
    old = {disk.image(f"mixed {n}")["old"] for n in range(200)}
    assert {b"before", b"Before", b"bef", b"Bef"} <= old and {content[1:] for content in old} == {b"efore", b"ef"}


def test_a_torn_write_stays_within_its_range() -> None:
    disk = Disk({"file": bytes(3000)})
    disk.apply(Op(WRITE, 0, "file", 1000, b"x" * 900))
    for n in range(100):
        content = disk.image(f"mixed {n}")["file"]
        assert content[:1000] == bytes(1000) and content[1900:] == bytes(1100)
    assert disk_after_cut.SECTOR == 512
