"""Power cuts on the gateway: play a life on a traced disk, cut at this or that operation, look at every disk that may be left."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.store import spool
from tests.fakes.cut_verdict import verdict
from tests.fakes.disk_after_cut import KEPT, LOST, TORN, Disk, Image, write
from tests.fakes.disk_trace import DiskTrace
from tests.fakes.recorded_life import LifeStory, Player, first_year, old_disk
from tests.fakes.rig import HandClock
from tests.fakes.seeded_life import Seeded

Script = Callable[[Player], Awaitable[None]]
OLD_DISK = Path(__file__).resolve().parents[1] / "data" / "spool_schema1.db"
CHECKPOINT_BYTES = 200_000  # small, so that a short life copies its WAL back several times
SHM = "spool.db-shm"


class Broken(NamedTuple):
    """A cut after which a promise did not hold: enough to look at it again."""

    life: str
    cut: int
    variant: str
    what: str


class Figures(NamedTuple):
    cuts: int
    images: int
    failures: list[Broken]


def record(folder: Path, script: Script, *, before: Path | None = None, synchronous: str = "FULL") -> LifeStory:
    """Play a life in `folder`; `before`: a store that lies there already."""
    folder.mkdir(parents=True, exist_ok=True)
    if before is not None:
        shutil.copy(before, folder / "spool.db")
    trace = DiskTrace(folder)
    story = LifeStory(trace)
    usual, spool.CHECKPOINT_BYTES = spool.CHECKPOINT_BYTES, CHECKPOINT_BYTES
    try:
        with trace.files():
            asyncio.run(_play(Player(story, trace.opener(synchronous)), script))
    finally:
        spool.CHECKPOINT_BYTES = usual
        trace.close()
    return story


async def _play(player: Player, script: Script) -> None:
    await script(player)


def lives(folder: Path, seeds: Iterable[int]) -> list[tuple[str, LifeStory]]:
    """The two scripted lives, and one for each seed."""
    out = [
        ("first year", record(folder / "first", first_year)),
        ("old disk", record(folder / "old", old_disk, before=OLD_DISK)),
    ]
    return out + [(f"seed {seed}", record(folder / f"seed-{seed}", Seeded(seed))) for seed in seeds]


def cut(name: str, story: LifeStory, cuts: Iterable[int] | None = None, mixed: int = 1) -> Figures:
    """Cut the life at these operations (None: at each), with everything unsynced kept, lost, torn, and `mixed` times in
    part. The same image at cuts between which nothing was promised is looked at once."""
    wanted = None if cuts is None else set(cuts)
    ops = story.trace.ops
    disk = Disk(story.trace.before)
    seen: set[bytes] = set()
    failures = []
    done = 0
    for at in range(len(ops) + 1):
        if at:
            disk.apply(ops[at - 1])
        if wanted is not None and at not in wanted:
            continue
        done += 1
        variants = [KEPT] if not disk.unsynced else [KEPT, LOST, TORN, *(f"mixed {at} {n}" for n in range(mixed))]
        for variant in variants:
            image = with_stale_memory(disk.image(variant), f"{variant} {at}")
            print_of = fingerprint(image, story.promises(at))
            if print_of in seen:
                continue
            seen.add(print_of)
            try:
                asyncio.run(verdict(story, at, image))
            except Exception as err:
                failures.append(Broken(name, at, variant, f"{type(err).__name__}: {err}"))
    return Figures(done, len(seen), failures)


def cut_twice(name: str, story: LifeStory, cuts: Iterable[int], every: int = 1) -> Figures:
    """Cut the life, let a gateway open what is left and close it again, and cut it meanwhile, at every `every`th operation."""
    ops = story.trace.ops
    disk = Disk(story.trace.before)
    wanted = set(cuts)
    done = images = 0
    failures = []
    for at in range(len(ops) + 1):
        if at:
            disk.apply(ops[at - 1])
        if at not in wanted:
            continue
        for first in (KEPT, f"mixed {at} first"):
            recovery = _recover(disk.image(first))
            again = Disk(recovery.before)
            for number, op in enumerate(recovery.ops):
                again.apply(op)
                if number % every:
                    continue
                done += 1
                for variant in (LOST, f"mixed {at} {number}"):
                    images += 1
                    try:
                        asyncio.run(verdict(story, at, again.image(variant)))
                    except Exception as err:
                        what = f"{first}, then at {number} {variant}"
                        failures.append(Broken(name, at, what, f"{type(err).__name__}: {err}"))
    return Figures(done, images, failures)


def _recover(image: Image) -> DiskTrace:
    """Open and close, on a traced disk."""
    with tempfile.TemporaryDirectory(prefix="steiger-recovery-") as name:
        folder = Path(name)
        write(image, folder)
        trace = DiskTrace(folder)

        async def open_and_close() -> None:
            store = spool.Store(folder / "spool.db", HandClock(), opener=trace.opener())
            await store.open()
            await store.close()

        try:
            with trace.files():
                asyncio.run(open_and_close())
        finally:
            trace.close()
        return trace


def with_stale_memory(image: Image, seed: str) -> Image:
    """SQLite's shared memory file is never synced: after every third cut it lies there full of rubbish."""
    chance = random.Random(seed)
    return {**image, SHM: chance.randbytes(32_768)} if image and chance.random() < 0.33 else image


def fingerprint(image: Image, promises: int) -> bytes:
    sha = hashlib.sha256(b"%d" % promises)
    for name in sorted(image):
        if name != SHM:
            sha.update(b"%s %d\n" % (name.encode(), len(image[name])) + image[name])
    return sha.digest()


def total(figures: Sequence[Figures]) -> Figures:
    return Figures(
        sum(each.cuts for each in figures),
        sum(each.images for each in figures),
        [broken for each in figures for broken in each.failures],
    )
