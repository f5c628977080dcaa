"""The outbox on a folder of files: nothing is lost, nothing comes twice, whatever is cut."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware.grid import grid_body
from firmware.leases import Leases
from firmware.outbox import entries, log
from firmware.outbox.log import SEGMENT_MAX, Outbox, OutboxFull
from tests.fakes.outbox_reader import read_entries, read_folder
from wire import BOOT, UTC
from wire.messages import NOT_SAMPLED, OVERWRITTEN, VOID

LIFE = 0xC0FFEE01
SHORT = 5
START = 1_800_000_000 // 60


def plenty(path: str) -> tuple[int, int]:
    return 500, 512


def open_outbox(root: Path, budget: int = 10**6) -> Outbox:
    stem = str(root / "lease")
    Leases.create(stem)
    return Outbox(str(root / "outbox"), LIFE, Leases(stem), budget, plenty)


def put_record(outbox: Outbox, window: int, size: int = 16) -> int:
    seq = outbox.state.next_seq
    time = (UTC, (START + window + 1) * 60)
    body = entries.record_body(seq, SHORT, time, 100, tuple(range(-300, size * 100 - 300, 100)), None)
    outbox.put([(entries.RECORD, body)])
    return seq


def begin(outbox: Outbox) -> None:
    outbox.put([(entries.GRID, grid_body(SHORT, 60, START, 0))])


def everything(outbox: Outbox) -> Iterator[tuple[int, bytes]]:
    for number, _, _ in list(outbox.segments):
        for kind, body, _, _ in outbox.entries(number):
            yield kind, body


def fill(outbox: Outbox, count: int) -> None:
    for window in range(count):
        put_record(outbox, window)


def test_records_survive_a_boot_and_an_independent_reader_finds_them(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 1000)
    outbox.close()
    assert len(outbox.segments) > 2
    found = read_folder(tmp_path / "outbox")
    assert sorted(found.sealed) == list(range(1000)) and not found.torn
    again = open_outbox(tmp_path)
    assert again.state.totals == [1000, 1000, 0, 0, 0, 0]
    assert again.state.grids == {SHORT: [60, START + 1000, 0]}
    assert again.state.next_seq == again._leases.seq >= 1000  # the rest of the lease is void
    assert read_folder(tmp_path / "outbox").gaps == [(1000, again.state.next_seq - 1000, VOID)]


def test_values_come_back_as_they_went_in() -> None:
    values = (None, 0, 1, -1, 65535, -65536, 2**31 - 1, -(2**31))
    for time in ((UTC, 1_800_000_060), (BOOT, 65535, 2**40 - 2)):
        body = entries.record_body(7, 200, time, 93, values, (1, 3, 1, 1, 9, 1, 1, 4))
        assert entries.unpack_record(body) == (7, 200, time, 93, values, (1, 3, 1, 1, 9, 1, 1, 4))


def test_acknowledged_segments_go_whole_and_the_newest_stays(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 1000)
    first_kept = outbox.segments[1][1]
    outbox.acknowledge(first_kept - 1, 0, 0)
    assert len(list((tmp_path / "outbox").iterdir())) == len(outbox.segments) > 2
    before = len(outbox.segments)
    outbox.acknowledge(first_kept, 0, 0)
    assert len(outbox.segments) == before - 1
    outbox.acknowledge(outbox.state.next_seq, 0, 0)
    assert len(outbox.segments) == 1 and outbox.drained()
    outbox.close()
    again = open_outbox(tmp_path)
    assert again.state.totals[:2] == [1000, 1000]


def test_acknowledgement_beyond_what_was_given_changes_nothing_else(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 3)
    outbox.acknowledge(10**6, 10**6, 2**64 - 1)
    put_record(outbox, 3)
    assert not outbox.drained()


def test_when_full_the_oldest_goes_and_every_window_is_told(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, budget=4 * SEGMENT_MAX)
    begin(outbox)
    fill(outbox, 3000)
    assert sum(size for _, _, size in outbox.segments) <= 5 * SEGMENT_MAX
    held: set[int] = set()
    told: set[int] = set()
    gaps = 0
    for kind, body in everything(outbox):
        if kind == entries.RECORD:
            held.add(entries.unpack_record(body)[0])
        elif kind == entries.GAP:
            first, count, cause = entries.unpack_gap(body)[:3]
            assert cause == OVERWRITTEN
            told.update(range(first, first + count))
            gaps += 1
    assert held | told == set(range(3000)) and not held & told
    assert outbox.state.totals == [3000, 3000, 0, 0, 0, len(told)]
    assert gaps < 20  # neighbours are joined, also with what earlier deletions told


def test_interrupted_deletion_is_finished_at_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = open_outbox(tmp_path, budget=4 * SEGMENT_MAX)
    begin(outbox)
    with monkeypatch.context() as patch:
        patch.setattr("firmware.outbox.log.os.remove", lambda path: (_ for _ in ()).throw(SystemExit("cut")))
        with pytest.raises(SystemExit):
            fill(outbox, 3000)
    count = outbox.state.next_seq
    lost = outbox.state.totals[5]
    files = len(list((tmp_path / "outbox").iterdir()))
    outbox.close()
    again = open_outbox(tmp_path, budget=4 * SEGMENT_MAX)
    assert len(list((tmp_path / "outbox").iterdir())) == files - 1
    assert again.state.totals == [count, count, 0, 0, 0, lost]


def test_a_hole_behind_our_back_is_never_called_a_gap(tmp_path: Path) -> None:
    """Sabotage at the hop `node flash`: seqs that vanished stay owed."""
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 1000)
    outbox.close()
    (tmp_path / "outbox" / "00000001.seg").unlink()
    again = open_outbox(tmp_path)
    gaps = [entries.unpack_gap(body) for kind, body in everything(again) if kind == entries.GAP]
    assert [gap[0] for gap in gaps] == [1000]


def test_an_outbox_that_vanished_is_known_to_be_lost(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 3)
    outbox.close()
    for path in (tmp_path / "outbox").iterdir():
        path.unlink()
    again = open_outbox(tmp_path)
    assert again.lost and again.state.next_seq >= 3


@pytest.mark.parametrize("seed", range(30))
def test_a_torn_tail_costs_the_last_entry_and_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    count = chance.randrange(2, 700)
    fill(outbox, count)
    outbox.close()
    newest = max((tmp_path / "outbox").iterdir())
    data = newest.read_bytes()
    last = len(list(read_entries(data)))
    if last < 2:
        return
    torn = chance.randrange(1, 30)
    tail = bytes(chance.randrange(256) for _ in range(chance.randrange(torn + 1)))
    newest.write_bytes(data[:-torn] + tail)
    again = open_outbox(tmp_path)
    seqs = {entries.unpack_record(body)[0] for kind, body in everything(again) if kind == entries.RECORD}
    assert seqs == set(range(count - 1))
    seq = put_record(again, count + 1)
    assert seq >= count  # a number that may have been sent never comes again
    seqs = {entries.unpack_record(body)[0] for kind, body in everything(again) if kind == entries.RECORD}
    assert seq in seqs


def test_no_record_is_in_flash_before_its_seq_is_leased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)

    def cut(path: str, data: bytes) -> None:
        raise SystemExit("cut")

    monkeypatch.setattr("firmware.leases.write_back", cut)
    with pytest.raises(SystemExit):  # at the first seq that needs a lease
        fill(outbox, 100)
    outbox.close()
    monkeypatch.undo()
    leased = Leases(str(tmp_path / "lease")).seq
    assert all(seq < leased for seq in read_folder(tmp_path / "outbox").sealed)


def test_a_write_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    """Flash reports an error: the seq is not used up, the totals stay, and the record can be put again."""
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 10)
    real = outbox._file

    class Failing:
        def write(self, data: bytes) -> int:
            raise OSError(5)

        def close(self) -> None:
            real.close()

    outbox._file = Failing()
    before = list(outbox.state.totals), outbox.state.next_seq
    with pytest.raises(OutboxFull):
        put_record(outbox, 10)
    assert (outbox.state.totals[:2], outbox.state.next_seq >= before[1]) == (before[0][:2], True)
    put_record(outbox, 10)
    records = [body for kind, body in everything(outbox) if kind == entries.RECORD]
    assert len(records) == outbox.state.totals[0] == outbox.state.totals[1] == 11


def test_when_full_it_is_the_oldest_that_goes(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path, budget=4 * SEGMENT_MAX)
    begin(outbox)
    fill(outbox, 3000)
    held = sorted(entries.unpack_record(body)[0] for kind, body in everything(outbox) if kind == entries.RECORD)
    assert held == list(range(held[0], 3000)) and held[0] > 0


def test_a_segment_goes_only_after_its_gaps_are_in_flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the instant at which a file is removed, everything that it held is told elsewhere."""
    outbox = open_outbox(tmp_path, budget=4 * SEGMENT_MAX)
    begin(outbox)
    folder, removed = tmp_path / "outbox", 0
    remove = os.remove

    def look(path: str) -> None:
        nonlocal removed
        going = {
            struct.unpack_from("<I", body)[0]
            for kind, body in read_entries(Path(path).read_bytes())
            if kind == entries.RECORD
        }
        told: set[int] = set()
        for other in folder.iterdir():
            if other != Path(path):
                for kind, body in read_entries(other.read_bytes()):
                    if kind == entries.GAP:
                        told.update(range(*entries.span(kind, body)))
        assert going <= told
        removed += 1
        remove(path)

    monkeypatch.setattr("firmware.outbox.log.os.remove", look)
    fill(outbox, 3000)
    assert removed > 3


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_in_flash_is_never_a_record(tmp_path: Path, seed: int) -> None:
    """Records are what was sealed, or are not there: an entry whose CRC does not fit is passed over."""
    chance = random.Random(seed)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 60)
    outbox.close()
    sealed = {body for kind, body in everything(outbox) if kind == entries.RECORD}
    (path,) = (tmp_path / "outbox").iterdir()
    whole = path.read_bytes()
    for _ in range(100):
        at = chance.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
        found = {body for kind, body in everything(outbox) if kind == entries.RECORD}
        assert found <= sealed
    assert {body for kind, body in everything(outbox) if kind == entries.RECORD} != sealed


class OutboxMachine(RuleBasedStateMachine):
    """Puts, acknowledgements, boots and cuts against a model: each seq is held, acknowledged, or told as gone."""

    @initialize()
    def start(self) -> None:
        self.folder = TemporaryDirectory()
        self.root = Path(self.folder.name)
        log.SEGMENT_MAX = 4096  # small ones: it overflows often
        self.budget = 4 * log.SEGMENT_MAX
        self.outbox = open_outbox(self.root, self.budget)
        begin(self.outbox)
        self.given: set[int] = set()
        self.acked: set[int] = set()  # ever; a cut forgets what was acknowledged after the last write
        self.known: set[int] = set()  # since the boot
        self.told: set[int] = set()
        self.totals = [0] * 6
        self.window = 0

    @rule(count=st.integers(1, 120))
    def put(self, count: int) -> None:
        for _ in range(count):
            self.given.add(put_record(self.outbox, self.window))
            self.window += 1

    @rule(count=st.integers(1, 5))
    def put_gap(self, count: int) -> None:
        time = (UTC, (START + self.window + 1) * 60)
        body = entries.gap_body(self.outbox.state.next_seq, count, NOT_SAMPLED, SHORT, 0, time)
        self.outbox.put([(entries.GAP, body)])
        self.window += count

    @rule(code=st.integers(1, 16))
    def put_event(self, code: int) -> None:
        body = entries.list_body(self.outbox.state.next_seq, (UTC, 1_800_000_000), [code, -1])
        self.outbox.put([(entries.EVENT, body)])

    @rule(share=st.integers(0, 100))
    def acknowledge_below(self, share: int) -> None:
        cum = self.outbox.state.next_seq * share // 100
        self.outbox.acknowledge(cum, 0, 0)
        self._acknowledged(set(range(cum)))

    @rule(back=st.integers(0, 200), bits=st.integers(0, 2**64 - 1))
    def acknowledge_window(self, back: int, bits: int) -> None:
        base = max(0, self.outbox.state.next_seq - back)
        self.outbox.acknowledge(0, base, bits)
        end = self.outbox.state.next_seq
        self._acknowledged({base + i for i in range(64) if bits >> i & 1 and base + i < end})

    def _acknowledged(self, seqs: set[int]) -> None:
        self.acked |= seqs
        self.known |= seqs

    @rule(back=st.integers(0, 400), count=st.integers(1, 100))
    def reopen(self, back: int, count: int) -> None:
        """Backfill: what of it lies in flash waits again, and nothing else does."""
        end = self.outbox.state.next_seq
        first = max(0, end - back)
        asked = set(range(max(first, self.outbox.segments[0][1]), min(first + count, end)))
        self.outbox.reopen(first, first + count)
        has = self.outbox.state.acked.has
        assert not any(has(seq, seq + 1) for seq in asked)
        self.known -= asked

    @rule()
    def boot(self) -> None:
        before = self.outbox.state.totals, self.outbox.state.grids
        end = self.outbox.state.next_seq
        self.outbox.close()
        self.outbox = open_outbox(self.root, self.budget)
        assert (self.outbox.state.totals, self.outbox.state.grids) == before
        assert self.outbox.state.next_seq >= end
        has = self.outbox.state.acked.has
        self.known = {seq for seq in self.acked if has(seq, seq + 1)}
        first = self.outbox.segments[0][1]
        assert all(
            has(seq, seq + 1) for seq in self.given if seq < first and seq in self.acked and seq not in self.told
        )

    @precondition(lambda self: len(self.outbox.segments) > 0)
    @invariant()
    def every_record_is_held_acknowledged_or_told(self) -> None:
        held: set[int] = set()
        told: set[int] = set()
        above = -1
        for kind, body in everything(self.outbox):
            first, end = entries.span(kind, body)
            if kind == entries.GAP and entries.unpack_gap(body)[2] == OVERWRITTEN:
                told.update(range(first, end))
            elif first < end and not (kind == entries.GAP and entries.unpack_gap(body)[4]):
                assert first > above, "in the order in which the windows were"
                above = end - 1
                held.update(range(first, end))
            else:
                held.update(range(first, end))
        assert self.given <= held | told | self.acked
        totals = self.outbox.state.totals
        assert all(now >= before for now, before in zip(totals, self.totals)), "totals never go back"
        self.totals = list(totals)
        assert totals[entries.OVERWRITTEN] >= len(told & self.given)
        assert totals[0] == self.window == totals[1] + totals[2] + totals[3] + totals[4]
        assert totals[1] == len(self.given)
        self.told = held | told  # lost windows change places with void seqs, so a gap of any cause tells of a seq
        has = self.outbox.state.acked.has
        full = len(self.outbox.state.acked.ranges) >= 16  # beyond, knowledge is forgotten on purpose
        assert full or all(has(seq, seq + 1) for seq in self.known)

    def teardown(self) -> None:
        log.SEGMENT_MAX = SEGMENT_MAX
        if hasattr(self, "folder"):
            self.outbox.close()
            self.folder.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOutboxModel = pytest.mark.fuzz(OutboxMachine.TestCase)


def test_what_went_because_it_was_held_is_known_as_held_after_a_cut(tmp_path: Path) -> None:
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 1000)
    outbox.acknowledge(outbox.segments[-1][1], 0, 0)
    assert len(outbox.segments) == 1
    outbox.close()
    again = open_outbox(tmp_path)
    assert again.held() >= again.segments[0][1] > 0


class FullFlash:
    """`open` for the outbox: while `full`, appending to a segment or making one fails as a full littlefs does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.refused = 0
        monkeypatch.setattr("firmware.outbox.log.open", self._open, raising=False)

    def _open(self, path: str, mode: str) -> object:
        return open(path, mode) if mode == "rb" else _Guarded(open(path, mode), self)


class _Guarded:
    def __init__(self, file: object, flash: FullFlash) -> None:
        self._file: Any = file
        self._flash = flash

    def write(self, data: bytes) -> int:
        if self._flash.full:
            self._flash.refused += 1
            self._file.write(data[: len(data) // 2])  # nobody knows what of it arrived
            self._file.flush()
            raise OSError(28, "no space left")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_flash_refuses_entries_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flash = FullFlash(monkeypatch)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 5)
    flash.full = True
    for _ in range(3):
        with pytest.raises(OutboxFull):
            put_record(outbox, 5)
    flash.full = False
    fill_from = outbox.state.next_seq
    put_record(outbox, 5)
    assert fill_from == 5
    found = read_folder(tmp_path / "outbox")
    assert sorted(found.sealed) == list(range(6))


def test_a_boot_on_a_full_flash_goes_on_and_tells_the_gap_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = FullFlash(monkeypatch)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    fill(outbox, 3)
    given = outbox.state.next_seq
    flash.full = True
    again = open_outbox(tmp_path)  # the power was cut: seqs 3 to 63 were leased and are never given again
    assert again.state.next_seq > given
    with pytest.raises(OutboxFull):
        put_record(again, 3)
    flash.full = False
    first = put_record(again, 3)
    assert first == again.state.next_seq - 1 >= 64
    found = read_folder(tmp_path / "outbox")
    assert (given, first - given, VOID) in [(gap[0], gap[1], gap[2]) for gap in found.gaps]
    assert sorted(found.sealed) == [0, 1, 2, first]
    third = open_outbox(tmp_path)
    assert third.state.next_seq > first


def test_flash_is_asked_for_its_room_once_a_block(tmp_path: Path) -> None:
    asked = []

    def free(path: str) -> tuple[int, int]:
        asked.append(path)
        return 500, 512

    stem = str(tmp_path / "lease")
    Leases.create(stem)
    outbox = Outbox(str(tmp_path / "outbox"), LIFE, Leases(stem), 10**6, free)
    begin(outbox)
    for _ in range(1000):
        put_record(outbox, outbox.state.next_seq)
    blocks = sum(size for _, _, size in outbox.segments) / 4096
    assert blocks - 1 <= len(asked) <= blocks + len(outbox.segments) + 1


def test_with_no_space_left_the_oldest_segment_makes_room(tmp_path: Path) -> None:
    left = [500]
    stem = str(tmp_path / "lease")
    Leases.create(stem)
    outbox = Outbox(str(tmp_path / "outbox"), LIFE, Leases(stem), 10**6, lambda path: (left[0], 512))
    begin(outbox)
    while len(outbox.segments) < 4:
        put_record(outbox, outbox.state.next_seq)
    assert outbox.segments[0][0] == 0
    left[0] = 51  # less than a tenth of the blocks
    grown = sum(size for _, _, size in outbox.segments)
    while len(outbox.segments) == 4:  # flash is asked when the log took another block
        put_record(outbox, outbox.state.next_seq)
        assert sum(size for _, _, size in outbox.segments) < grown + 4096 + 128
    assert len(outbox.segments) == 1
    held = read_folder(tmp_path / "outbox")
    told = sum(gap[1] for gap in held.gaps if gap[2] == OVERWRITTEN)
    assert told + len(held.sealed) == outbox.state.next_seq


def test_an_error_of_flash_makes_room_for_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flash = FullFlash(monkeypatch)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    while len(outbox.segments) < 3:
        put_record(outbox, outbox.state.next_seq)
    real = Outbox._append

    def append(self: Outbox, items: list[tuple[int, bytes]], *more: Any) -> tuple[int, int]:
        flash.full = not (items and items[-1][0] == entries.DROP)  # there is just room for the note
        return real(self, items, *more)

    monkeypatch.setattr(Outbox, "_append", append)
    with pytest.raises(OutboxFull):
        put_record(outbox, outbox.state.next_seq)
    assert 0 not in [segment[0] for segment in outbox.segments]


def test_what_is_held_makes_room_on_a_full_flash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flash = FullFlash(monkeypatch)
    outbox = open_outbox(tmp_path)
    begin(outbox)
    while len(outbox.segments) < 3:
        put_record(outbox, outbox.state.next_seq)
    end = outbox.state.next_seq
    flash.full = True
    assert outbox.acknowledge(end, 0, 0)
    flash.full = False
    assert 0 not in [segment[0] for segment in outbox.segments]
    put_record(outbox, end)
    again = open_outbox(tmp_path)
    assert again.state.acked.has(0, end)


def put_of(outbox: Outbox, short: int, window_s: int, window: int) -> None:
    seq = outbox.state.next_seq
    body = entries.record_body(
        seq, short, (UTC, (START * 60 // window_s + window + 1) * window_s), 100, (7,) * 10, None
    )
    outbox.put([(entries.RECORD, body)])


def test_overwritten_windows_of_several_profiles_are_told_in_few_gaps(tmp_path: Path) -> None:
    """Their seqs alternate; the windows of each, by profile and time, are told exactly all the same."""
    outbox = open_outbox(tmp_path, budget=3 * SEGMENT_MAX)
    profiles = {11: 60, 12: 60, 13: 300}
    for short, window_s in profiles.items():
        outbox.put([(entries.GRID, grid_body(short, window_s, START * 60 // window_s, 0))])
    minutes = 3000
    for minute in range(minutes):
        put_of(outbox, 11, 60, minute)
        put_of(outbox, 12, 60, minute)
        if minute % 5 == 4:
            put_of(outbox, 13, 300, minute // 5)
        if minute % 60 == 0:
            outbox.put(
                [(entries.EVENT, entries.list_body(outbox.state.next_seq, (UTC, (START + minute) * 60), [1, 0]))]
            )
    assert sum(size for _, _, size in outbox.segments) <= 4 * SEGMENT_MAX
    windows: dict[int, list[int]] = {short: [] for short in profiles}
    seqs: list[int] = []
    gaps = 0
    for kind, body in everything(outbox):
        if kind == entries.RECORD:
            seq, short, time = entries.unpack_record(body)[:3]
            windows[short].append((time[1] - 1) // profiles[short])
            seqs.append(seq)
        elif kind == entries.GAP:
            first, count, cause, short, _, time = entries.unpack_gap(body)
            seqs += range(first, first + count)
            gaps += 1
            if cause == OVERWRITTEN:
                index = (time[1] - 1) // profiles[short]
                windows[short] += range(index, index + count)
        elif kind == entries.EVENT:
            seqs.append(struct.unpack_from("<I", body)[0])
    for short, window_s in profiles.items():
        begin_index = START * 60 // window_s
        assert sorted(windows[short]) == list(range(begin_index, begin_index + minutes * 60 // window_s))
    assert sorted(seqs) == list(range(outbox.state.next_seq))
    assert gaps < 200, "the unsure ones, and a few for each stretch"
    assert outbox.state.totals[entries.OVERWRITTEN] == sum(map(len, windows.values())) - len(
        [kind for kind, _ in everything(outbox) if kind == entries.RECORD]
    )
