"""No number comes twice, whatever happens to the two copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware import leases as module
from firmware.leases import LEASE, LeaseLost, Leases, decode, encode
from tests.fakes.lying_flash import DAMAGES, lie_about


def make(root: Path) -> str:
    stem = str(root / "lease-c0ffee00")
    Leases.create(stem)
    return stem


def test_a_new_life_begins_at_zero_and_leases_at_first_use(tmp_path: Path) -> None:
    stem = make(tmp_path)
    leases = Leases(stem)
    assert (leases.counter, leases.seq) == (0, 0)
    assert decode(Path(stem + ".a").read_bytes()) == (0, 0)  # nothing is written at boot
    assert [leases.next_counter() for _ in range(3)] == [0, 1, 2]
    assert decode(Path(stem + ".a").read_bytes()) == decode(Path(stem + ".b").read_bytes()) == (LEASE, 0)


def test_a_boot_goes_on_behind_what_was_leased(tmp_path: Path) -> None:
    stem = make(tmp_path)
    leases = Leases(stem)
    leases.next_counter()
    leases.hold_seqs(10)
    again = Leases(stem)
    assert again.counter == LEASE
    assert 10 <= again.seq <= 10 + LEASE - 1


@pytest.mark.parametrize("copy", [".a", ".b"])
@pytest.mark.parametrize("damage", ["missing", "empty", "flipped"])
def test_one_unreadable_copy_costs_one_lease_and_is_written_anew(tmp_path: Path, copy: str, damage: str) -> None:
    stem = make(tmp_path)
    leases = Leases(stem)
    leases.next_counter()
    leases.hold_seqs(1)
    path = Path(stem + copy)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)
    again = Leases(stem)
    assert again.repaired
    assert (again.counter, again.seq) == (2 * LEASE, 2 * LEASE)
    assert decode(path.read_bytes()) == (2 * LEASE, 2 * LEASE)
    assert not Leases(stem).repaired


def test_without_a_readable_copy_nothing_may_be_sent(tmp_path: Path) -> None:
    stem = make(tmp_path)
    for copy in (".a", ".b"):
        Path(stem + copy).write_bytes(b"SLs1 rubbish 123")
    with pytest.raises(LeaseLost):
        Leases(stem)


def test_creating_again_never_takes_numbers_back(tmp_path: Path) -> None:
    stem = make(tmp_path)
    Leases(stem).next_counter()
    Leases.create(stem)
    assert Leases(stem).counter == LEASE


def test_a_flipped_bit_is_never_accepted() -> None:
    data = encode(1234, 99)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert decode(bytes(flipped)) is None


@pytest.mark.parametrize("failing", ["first copy", "second copy"])
def test_nothing_is_given_while_flash_refuses_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    stem = make(tmp_path)
    leases = Leases(stem)
    given = [leases.next_counter() for _ in range(LEASE)]
    leases.hold_seqs(1)
    write = module.write_back

    def refuse(path: str, data: bytes) -> None:
        if path.endswith(".a" if failing == "first copy" else ".b"):
            raise OSError(5, "flash refused")
        write(path, data)

    monkeypatch.setattr(module, "write_back", refuse)
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            leases.next_counter()
        with pytest.raises(OSError, match="refused"):
            leases.hold_seqs(10 * LEASE)
    monkeypatch.setattr(module, "write_back", write)
    given += [leases.next_counter() for _ in range(10)]
    leases.hold_seqs(10 * LEASE)
    again = Leases(stem)
    assert again.counter > max(given)
    assert again.seq >= 10 * LEASE
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("copy", [".a", ".b"])
@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_lease_that_flash_does_not_keep_gives_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: str, damage: str
) -> None:
    stem = make(tmp_path)
    leases = Leases(stem)
    given = {leases.next_counter() for _ in range(LEASE)}
    lie_about(monkeypatch, module, copy, damage)
    for _ in range(3):
        with pytest.raises(OSError, match="5"):
            leases.next_counter()
    with pytest.raises(OSError, match="5"):
        leases.hold_seqs(1)
    monkeypatch.undo()
    assert leases.next_counter() not in given
    assert Leases(stem).next_counter() > max(given) + 1


class LeaseMachine(RuleBasedStateMachine):
    """Uses, boots, torn and aged copies: what was given never comes again, and the skip stays within the promise."""

    @initialize()
    def start(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.stem = make(Path(self.folder.name))
        self.leases = Leases(self.stem)
        self.counter = self.seq = -1

    @rule(count=st.one_of(st.sampled_from([1, LEASE - 1, LEASE, LEASE + 1]), st.integers(1, 150)))
    def counters(self, count: int) -> None:
        for _ in range(count):
            given = self.leases.next_counter()
            assert given > self.counter
            self.counter = given

    @rule(count=st.integers(1, 3000))
    def seqs(self, count: int) -> None:
        first = max(self.seq + 1, self.leases.seq)
        self.leases.hold_seqs(first + count)
        self.seq = first + count - 1

    @rule()
    def boot(self) -> None:
        self.leases = Leases(self.stem)
        assert self.leases.counter > self.counter and self.leases.seq > self.seq
        assert self.leases.counter <= self.counter + 1 + LEASE + (LEASE if self.leases.repaired else 0)

    @rule(back=st.integers(0, 200), forth=st.integers(0, 200))
    def sleep(self, back: int, forth: int) -> None:
        """A wake from deep sleep with what memory remembered, right or garbled: no number below what was given is taken
        if it was right, and none beyond a lease ever."""
        right = self.leases.counter, self.leases.seq if self.seq < 0 else self.seq + 1
        self.leases = Leases(self.stem)
        end = self.leases.counter, self.leases.seq
        self.leases.resume(*right)
        assert self.leases.counter > self.counter and self.leases.seq > self.seq
        wrong = Leases(self.stem)
        wrong.resume(end[0] + forth + 1, end[1])  # beyond what flash shows: not believed
        wrong.resume(end[0] - LEASE - 1 - back, end[1])
        assert (wrong.counter, wrong.seq) == end

    @rule()
    def damage_both(self) -> None:
        """Nothing readable is left: no number is given any more; the technician's copy of the files brings it back."""
        kept = [Path(self.stem + copy).read_bytes() for copy in (".a", ".b")]
        for copy, data in zip((".a", ".b"), kept):
            Path(self.stem + copy).write_bytes(data[:-1])
        with pytest.raises(LeaseLost):
            Leases(self.stem)
        assert [Path(self.stem + copy).read_bytes() for copy in (".a", ".b")] == [data[:-1] for data in kept]
        for copy, data in zip((".a", ".b"), kept):
            Path(self.stem + copy).write_bytes(data)
        self.boot()

    @rule(copy=st.sampled_from([".a", ".b"]), data=st.binary(max_size=20))
    def damage(self, copy: str, data: bytes) -> None:
        Path(self.stem + copy).write_bytes(data)
        self.leases = Leases(self.stem)
        assert self.leases.counter > self.counter and self.leases.seq > self.seq
        self.counter = self.leases.counter - 1
        self.seq = self.leases.seq - 1

    @rule(copy=st.sampled_from([".a", ".b"]))
    def cut_between_the_copies(self, copy: str) -> None:
        """A write of one copy that the power cut tore, whatever it was going to say."""
        old = Path(self.stem + copy).read_bytes()
        Path(self.stem + copy).write_bytes(old[:7])
        self.boot()
        self.counter = self.leases.counter - 1
        self.seq = self.leases.seq - 1

    @invariant()
    def flash_names_more_than_was_given(self) -> None:
        """At every instant, in both copies."""
        if hasattr(self, "folder"):
            for copy in (".a", ".b"):
                ends = decode(Path(self.stem + copy).read_bytes())
                assert ends is not None and ends[0] > self.counter and ends[1] > self.seq

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()


LeaseMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
TestLeaseModel = pytest.mark.fuzz(LeaseMachine.TestCase)
