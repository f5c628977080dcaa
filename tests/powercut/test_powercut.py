"""A node's power cut at a sample of the operations of its recorded lives: every seventh, and all that change what is
there (pointer, settings, leases, segments). All of them: `make soak`, or tests/powercut/campaign.py."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.powercut import tear
from tests.powercut.campaign import chosen, cut_all
from tests.powercut.check import Bench
from tests.powercut.life import Chapter, record
from tests.powercut.reader import Reader
from tools.sim.flash import BLOCK, Operation
from tools.sim.interpreter import find

EVERY = 7
needs_micropython = pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")
slow = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800), needs_micropython]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("powercut")


_lives: dict[str, list[Chapter]] = {}


def chapters_of(kind: str, folder: Path) -> list[Chapter]:
    """Recorded once in a process."""
    if kind not in _lives:
        _lives[kind] = record(folder / kind, kind)
    return _lives[kind]


@pytest.mark.parametrize("kind", [pytest.param("mains", marks=slow), pytest.param("sleep", marks=slow)])
def test_cuts_lose_nothing_and_repeat_nothing(kind: str, folder: Path) -> None:
    chapters = chapters_of(kind, folder)
    if kind == "mains":
        assert sum(len(chapter.operations) for chapter in chapters) >= 2000
        assert sum(len(chapter.structural) for chapter in chapters) >= 100
    failures = []
    cuts = 0
    for number, chapter in enumerate(chapters):
        outcome = cut_all(kind, chapter, chosen(chapter, EVERY), folder / f"{kind}{number}")
        failures += outcome.failures
        cuts += outcome.cuts
    assert failures == []
    assert cuts > 20


# --- The instruments themselves -----------------------------------------------------------------------------------------


def operation(kind: str, data: bytes = b"") -> Operation:
    return Operation(1, kind, BLOCK, BLOCK if kind == "erase" else len(data), data)


def test_torn_programs_clear_some_of_the_bits() -> None:
    image = bytearray(b"\xff" * 2 * BLOCK)
    data = bytes(range(128))
    prog = operation("prog", data)
    seen = set()
    for seed in range(200):
        chance = Random(seed)
        variant = tear.variant_for(prog, chance)
        left = tear.torn(image, prog, variant, chance)
        seen.add(variant)
        assert len(left) == 128
        assert all(new & ~byte == 0 for new, byte in zip(data, left, strict=True)), "a bit was cleared that should stay"
        if variant == "prefix":
            assert left[0] == data[0]
            assert left[-1] == 0xFF
        elif variant == "suffix":
            assert left[:1] == b"\xff"
            assert left[-1] == data[-1]
    assert seen == set(tear.PROG)
    tear.whole(image, prog)
    assert image[BLOCK : BLOCK + 128] == data


def test_four_seeds_tear_each_operation_in_each_way() -> None:
    for op in (operation("prog", b"abc"), operation("erase", b"")):
        ways = tear.ERASE if op.kind == "erase" else tear.PROG
        first = [tear.variant_of(op, 0, f"chapter {k}") for k in range(60)]
        assert set(first) == set(ways), "one seed draws all of them"
        for k in range(60):
            assert {tear.variant_of(op, seed, f"chapter {k}") for seed in range(4)} == set(ways)


def test_torn_erases_leave_anything() -> None:
    image = bytearray(2 * BLOCK)
    erase = operation("erase")
    left = {variant: tear.torn(image, erase, variant, Random(1)) for variant in tear.ERASE}
    assert left["nothing"] == bytes(BLOCK)
    assert left["prefix"].startswith(b"\xff")
    assert left["prefix"].endswith(b"\0")
    assert left["suffix"].endswith(b"\xff")
    assert len(set(left["garbage"])) > 200
    tear.whole(image, erase)
    assert image[BLOCK:] == b"\xff" * BLOCK


@pytest.mark.e2e
@needs_micropython
def test_a_record_that_was_sealed_and_is_gone_is_found_out(folder: Path) -> None:
    """The check itself, on a flash that has lost what the record says was there."""
    (chapter,) = chapters_of("sleep", folder)
    reader = Reader()
    try:
        bench = Bench(chapter, folder / "gone", reader)
        assert bench.cut(60) is None
        life = next(iter(bench._sealed))
        bench._sealed[life][1_000_000] = (1, 1_800_000_000)
        assert bench.cut(61) == f"record 1000000 of life {life:08x} is lost"
    finally:
        reader.close()
