"""The conversation over a link that loses frames and seldom answers: nothing is lost, and nothing is sent for nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.links.lora_rate import SILENT
from firmware.links.lora_session import BACKLOG, NOTHING, UNKNOWN_MAX
from tests.fakes.lora_pair import KEY, PROFILE, START_S, Pair
from wire import crypto, frame, frame_gateway, messages
from wire.airtime import airtime_us
from wire.regions import frame_limit

RECORDS = (messages.RECORDS, messages.RECORDS_ASK)
WINDOW_MS = 300_000


def lossy(chance: random.Random, share: float) -> Callable[[], bool]:
    return lambda: chance.random() < share


def sendings(pair: Pair) -> Counter[int]:
    return Counter(seq for _, _, _, seqs, _ in pair.sent for seq in seqs)


def test_without_loss_each_record_goes_once_and_one_frame_in_four_asks(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(100)
    assert not pair.faults and not pair.missing()
    assert pair.life.outbox.drained()
    assert len(pair.sent) == 101  # a hello, and a frame for each window
    assert Counter(kind for _, _, kind, _, _ in pair.sent) == {
        messages.HELLO: 1,
        messages.RECORDS: 75,
        messages.RECORDS_ASK: 25,
    }
    assert set(sendings(pair).values()) == {1}
    assert pair.gateway.answers == 26
    first = {seqs[0]: at_ms for at_ms, _, kind, seqs, _ in pair.sent if kind in RECORDS}
    waits = [first[seq] - pair.sealed_ms[seq] for seq in pair.sealed_ms if seq > 3]
    assert max(waits) < 22_000 and max(waits) - min(waits) > 10_000, "spread over 20 s"


def check_all_arrive(seed: int, share: float, windows: int, **values: int) -> None:
    """What holds on every path. A sending beyond the first is owed to one of two things: an earlier one of that seq was
    lost, or an ask was not answered, after which one seq may go again."""
    with TemporaryDirectory() as folder:
        pair = Pair(Path(folder), seed, **values)
        chance = random.Random(seed)
        pair.lose_up = pair.lose_down = lossy(chance, share)
        pair.live(windows)
        pair.lose_up = pair.lose_down = lossy(chance, min(share, 0.5))
        pair.drain()
        assert not pair.faults and not pair.missing()
        lost = sum(len(seqs) for _, _, _, seqs, arrived in pair.sent if not arrived)
        extra = sum(sendings(pair).values()) - len(pair.sealed_ms)
        assert extra <= lost + pair.misses
        assert pair.needless <= pair.misses
        assert max(seq_count for seq_count in pair.gateway.seqs.values()) <= 1 + pair.misses


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), ask_every=st.sampled_from([1, 2, 4, 32]), sf=st.integers(7, 12))
def test_all_arrive_at_20_percent_loss(seed: int, ask_every: int, sf: int) -> None:
    check_all_arrive(seed, 0.2, 40, lora_ask_every=ask_every, lora_sf=sf)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), ask_every=st.sampled_from([1, 4]))
def test_all_arrive_at_60_percent_loss(seed: int, ask_every: int) -> None:
    check_all_arrive(seed, 0.6, 30, lora_ask_every=ask_every)


@settings(max_examples=25, deadline=None)
@given(up=st.lists(st.booleans(), max_size=40), down=st.lists(st.booleans(), max_size=40), events=st.booleans())
def test_all_arrive_whichever_frames_are_lost(up: list[bool], down: list[bool], events: bool) -> None:
    with TemporaryDirectory() as folder:
        pair = Pair(Path(folder))
        pair.lose_up = lambda: up.pop(0) if up else False
        pair.lose_down = lambda: down.pop(0) if down else False
        for _ in range(8):
            pair.live(1)
            if events:
                pair.event()
                pair.gap(3)
        pair.drain()
        assert not pair.faults and not pair.missing()
        assert pair.needless <= 3 * pair.misses  # a gap counts three


def test_how_often_a_record_goes_at_20_percent_loss(tmp_path: Path) -> None:
    """A sending is lost at p = 0.2, so a record needs 1 / (1 - p) = 1.25 on average; what asks add is one for each ask that
    has no answer and no new record to ride with. Within 5 %: the share of 400 records' sendings has a deviation of 3 %."""
    sealed = sent = misses = 0
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        pair = Pair(folder, seed)
        pair.lose_up = pair.lose_down = lossy(random.Random(seed), 0.2)
        pair.live(100)
        pair.drain()
        assert not pair.faults and not pair.missing()
        sealed += len(pair.sealed_ms)
        sent += sum(sendings(pair).values())
        misses += pair.misses
    assert sent - misses <= 1.25 * sealed * 1.05
    assert misses <= 0.25 * sealed


def test_a_frame_that_did_not_ask_is_never_sent_again_for_want_of_an_answer(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(1)
    pair.lose_down = lambda: True
    pair.seal()
    pair.run(pair.clock.now_ms + 50 * 60_000)
    assert [kind for _, _, kind, _, _ in pair.sent] == [messages.HELLO, messages.RECORDS, messages.RECORDS]


def test_a_lost_answer_leads_to_another_ask_and_not_to_a_resend(tmp_path: Path) -> None:
    pair = Pair(tmp_path, lora_ask_every=6)
    pair.live(1)
    lost = iter([True])
    pair.lose_down = lambda: next(lost, False)
    pair.live(6)
    asked = [(seqs, kind == messages.RECORDS_ASK) for _, _, kind, seqs, _ in pair.sent[1:]]
    assert asked == [*(((seq,), False) for seq in range(5)), ((5,), True), ((5,), True), ((6,), False)]
    assert 20_000 < pair.sent[7][0] - pair.sent[6][0] < 45_000
    assert pair.life.outbox.state.acked.cum == 6


def test_what_an_answer_names_as_missing_goes_again_and_nothing_else(tmp_path: Path) -> None:
    pair = Pair(tmp_path, lora_ask_every=8)
    pair.live(1)
    lost = iter([False, True, False, True, True, False, False, False])
    pair.lose_up = lambda: next(lost, False)
    pair.live(9)
    assert pair.life.outbox.state.acked.cum == 8
    twice = {seq for seq, count in sendings(pair).items() if count > 1}
    assert twice == {2, 4, 5} and max(sendings(pair).values()) == 2
    assert (2, 4, 5) in [seqs for _, _, _, seqs, _ in pair.sent], "in one frame"


def test_a_window_that_ends_within_a_batch_holds_no_more_than_it_says(tmp_path: Path) -> None:
    """Bits reach into the middle of a frame with consecutive records: the rest of it stays unknown."""
    pair = Pair(tmp_path, lora_sf=7)
    pair.live(1)
    pair.lose_up = lambda: True
    pair.seal(11)
    pair.run(pair.clock.now_ms + 25_000)
    assert [sent.spans for sent in pair.session._in_flight] == [[(0, 1)], [(1, 12)]]
    pair.session._acknowledged(1, 3, 0b11)
    acked = pair.life.outbox.state.acked
    assert acked.cum == 1 and acked.ranges == [(3, 5)]
    pair.session._acknowledged(5, 0, 0)
    assert acked.cum == 5 and acked.ranges == []
    pair.lose_up = lambda: False
    pair.drain()
    assert pair.missing() == {1, 2, 3, 4}, "they were said to be held, wrongly; all others were not"


def test_an_hour_of_silence_is_recovered_and_what_is_new_goes_first(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(4)
    pair.lose_up = lambda: True
    pair.live(72)  # six hours
    pair.lose_up = lambda: False
    back_ms = pair.clock.now_ms
    pair.live(12)
    pair.drain()
    assert not pair.faults and not pair.missing()
    first: dict[int, int] = {}
    for at_ms, _, _, seqs, arrived in pair.sent:
        for seq in seqs if arrived else ():
            first.setdefault(seq, at_ms)
    waits = [first[seq] - at_ms for seq, at_ms in pair.sealed_ms.items() if at_ms >= back_ms]
    assert max(waits) < 25_000  # as ever: at most 20 s of spread, one frame with its window before it
    old = [first[seq] for seq, at_ms in pair.sealed_ms.items() if at_ms < back_ms]
    assert max(old) - back_ms < 1_000_000
    assert max(len(seqs) for _, _, _, seqs, _ in pair.sent) > 8, "in batches"


@pytest.mark.parametrize("sf", range(7, 13))
def test_frames_fit_their_spreading_factor(tmp_path: Path, sf: int) -> None:
    pair = Pair(tmp_path, lora_sf=sf)
    pair.live(1)
    pair.lose_up = lambda: True
    pair.live(40, 1000)
    pair.lose_up = lambda: False
    frames: list[bytes] = []
    hear = pair.gateway.hear
    pair.gateway.hear = lambda data, now_ms: (frames.append(data), hear(data, now_ms))[1]  # type: ignore[method-assign]
    pair.drain()
    sizes = [len(data) for data in frames if data[0] & 31 in RECORDS]
    assert max(sizes) <= frame_limit(sf)
    assert max(sizes) > 0.7 * min(frame_limit(sf), 130), "batches fill their frames"
    assert max(airtime_us(len(data), sf) for data in frames) <= 3_599_000  # most that the ledger of airtime reserves


def test_batches_shrink_and_grow_with_what_fits(tmp_path: Path) -> None:
    pair = Pair(tmp_path, lora_sf=12)
    pair.live(1)
    pair.lose_up = lambda: True
    pair.live(60, 1000)
    pair.lose_up = lambda: False
    before = len(pair.sent)
    pair.drain()
    assert len(pair.sent) - before <= 60 / 4 + 3  # four and more of ten values fit into 51 bytes
    assert pair.needless == 0


def test_silence_turns_to_full_power_then_by_turns_to_the_rendezvous(tmp_path: Path) -> None:
    pair = Pair(tmp_path, lora_sf=8, lora_rendezvous_sf=11, lora_power_dbm=5)
    pair.live(1)
    pair.lose_up = lambda: True
    power: list[tuple[bool, int]] = []
    pair.lose_up = lambda: (power.append((pair.rate.silent(), pair.rate.present()[1])), True)[1]
    began = len(pair.sent)
    pair.seal()
    pair.live(30)
    calls = [(at_ms, sf, kind) for at_ms, sf, kind, _, _ in pair.sent[began:] if kind == messages.HELLO]
    assert {sf for _, sf, _ in calls} == {11}
    assert 8 in {sf for _, sf, kind, _, _ in pair.sent[began + SILENT :] if kind in RECORDS}
    assert set(power) == {(False, 5), (True, 22)}
    apart = [b[0] - a[0] for a, b in pairwise(calls)]
    assert min(apart) > 240_000 and max(apart) < 2 * 905_000  # every other turn, 2 to 15 min each
    pair.gateway.sf = 11  # a slot at the rendezvous, of the common SF nobody knows
    pair.lose_up = lambda: False
    pair.drain()
    assert not pair.faults and not pair.missing()
    assert pair.rate.present()[0] == 11 and not pair.rate.silent()
    assert pair.sent[-1][1] == 11


def test_no_data_stops_when_only_answers_are_lost(tmp_path: Path) -> None:
    """A gateway that hears and is not heard: all goes on arriving, and almost nothing twice when it is heard again."""
    pair = Pair(tmp_path)
    pair.live(4)
    pair.lose_down = lambda: True
    began_ms = pair.clock.now_ms
    pair.live(2 * UNKNOWN_MAX)
    arrived = {seq: at_ms for at_ms, _, _, seqs, _ in reversed(pair.sent) for seq in seqs}
    waits = [arrived[seq] - at_ms for seq, at_ms in pair.sealed_ms.items() if at_ms >= began_ms]
    assert max(waits) < 25_000
    assert pair.rate.silent()
    sent = sum(sendings(pair).values())
    pair.lose_down = lambda: False
    pair.drain()
    assert not pair.faults and not pair.missing()
    assert sum(sendings(pair).values()) - sent <= 2


def command(pair: Pair, *rate: int) -> None:
    pair.gateway.waiting.append(messages.Rate(*rate))


def test_a_commanded_rate_is_taken_when_it_is_due_and_asked_for(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(2)
    command(pair, 7, 3, 0b101, 450)
    pair.live(1)
    assert pair.rate.present() == (9, 14, 1)
    pair.live(3)
    assert pair.rate.present() == (7, 3, 0b101)
    rows = [(sf, kind) for _, sf, kind, _, _ in pair.sent[3:]]
    assert rows[0] == (9, messages.RECORDS)
    proving = rows.index((7, messages.RECORDS_ASK))
    assert not [row for row in rows[:proving] if row[0] == 7], "the first frame at a new rate asks"
    assert not pair.rate.unproven()


def test_a_rate_that_nobody_hears_is_left_for_the_former(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.gateway.sf = 9
    pair.live(4)
    command(pair, 7, 14, 1, 0)
    pair.live(4)
    pair.drain()
    sfs = [sf for _, sf, _, _, _ in pair.sent]
    assert sfs.count(7) == 2 and sfs[-1] == 9
    assert not pair.faults and not pair.missing()
    assert pair.rate.present()[0] == 9 and not pair.rate.unproven()


def test_a_rate_without_a_channel_of_the_region_is_not_taken(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(2)
    command(pair, 7, 14, 0x100, 0)
    pair.live(2)
    assert pair.rate.present() == (9, 14, 1)


def test_after_a_deep_sleep_nothing_goes_again(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(3)
    command(pair, 8, 11, 3, 0)
    for _ in range(20):
        pair.live(1)
        kept, acked = pair.session.keep(), pair.life.outbox.state.acked
        assert all(value is None or isinstance(value, int) for value in kept)
        pair.cut()
        pair.life.outbox.recall(acked.cum, acked.ranges)
        pair.session.resume(*kept)
    assert set(sendings(pair).values()) == {1}
    assert [kind for _, _, kind, _, _ in pair.sent].count(messages.HELLO) == 1
    assert pair.rate.present() == (8, 11, 3)
    pair.lose_down = lambda: True
    pair.live(30)
    missed = pair.rate.missed
    assert missed > SILENT
    kept = pair.session.keep()
    pair.cut()
    pair.session.resume(*kept)
    assert pair.rate.missed == missed and pair.session.wants(pair.clock.now_ms) == NOTHING


def test_a_boot_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.lose_up = pair.lose_down = lossy(random.Random(3), 0.3)
    for _ in range(6):
        pair.live(7)
        pair.cut()
    pair.drain()
    assert not pair.faults and not pair.missing()


def test_slow_windows_ask_each_time_and_events_alone_end_in_a_hello(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(5, 3_600_000)
    assert [kind for _, _, kind, _, _ in pair.sent[1:]].count(messages.RECORDS_ASK) >= 4
    for _ in range(9):
        pair.event()
        pair.run(pair.clock.now_ms + 60_000)
    kinds = [kind for _, _, kind, _, _ in pair.sent[6:]]
    assert kinds == [
        messages.EVENT,
        messages.HELLO,
        *([messages.EVENT] * 8),
        messages.HELLO,
    ]  # the last ask was an hour ago
    assert pair.life.outbox.drained()
    pair.event()
    pair.run(pair.clock.now_ms + 3_700_000)
    assert [kind for _, _, kind, _, _ in pair.sent[17:]] == [messages.EVENT, messages.HELLO]


def test_a_gateways_time_is_taken_as_of_the_begin_of_its_downlink(tmp_path: Path) -> None:
    """What the clock is offered is as if the downlink had taken no time: round trip and offset come out exactly."""
    pair = Pair(tmp_path, lora_sf=12)
    pair.live(1)
    message, sent_ms = pair.asked_ms[0]
    end_ms = pair.sent[0][0]
    assert sent_ms == end_ms
    # the session spoke when the downlink had ended, `late` after it began
    begin_ms = end_ms + 1000
    late_ms = message.held_ms - 1000
    assert late_ms > 1500, "SF12"
    assert message.unix_ms - late_ms == START_S * 1000 + begin_ms


def test_foreign_short_and_replayed_downlinks_change_nothing_and_are_counted(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live(4)
    own, stranger = crypto.subkeys(KEY), crypto.subkeys(bytes(16))
    counter = pair.life.leases.counter - 1

    def downlink(keys: Any, address: int, answered: int, number: int = 99) -> bytes:
        kind, body = messages.encode(messages.Ack(50, 0, 0))
        return bytes(frame_gateway.seal_downlink(keys, frame.LORA, address, 1, 7, number, answered, kind, bytes(body)))

    good = downlink(own, 7, counter)
    cases = {
        "address": downlink(own, 8, counter),
        "tag": downlink(stranger, 7, counter),
        "answer": downlink(own, 7, counter + 5),
        "short": good[:15],
        "replay": downlink(own, 7, counter, 0),
        "type": b"\xa2" + good[1:],
        "version": b"\x40" + good[1:],
    }
    cum = pair.life.outbox.state.acked.cum
    for reason, data in cases.items():
        assert not pair.session.received(data)
        assert pair.session.refused.get(reason) == 1, reason
    for size in range(len(good)):
        assert not pair.session.received(good[:size])
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        assert not pair.session.received(bytes(bad))
    assert pair.life.outbox.state.acked.cum == cum
    pair.live(4)
    assert not pair.faults and not pair.missing()


def test_the_profile_of_these_tests_is_the_one_that_sizes_are_told_for() -> None:
    assert len(PROFILE.items) == 10


def test_one_answer_decides_on_all_frames_before_it_and_on_no_other(tmp_path: Path) -> None:
    pair = Pair(tmp_path, lora_ask_every=8)
    pair.live(1)
    pair.lose_up = lambda: True
    pair.live(5)
    session = pair.session
    assert [sent.spans for sent in session._in_flight] == [[(seq, seq + 1)] for seq in range(6)]
    session._answers = session._in_flight[4].counter  # the fifth was answered, and told of nothing but the first
    session._acknowledged(1, 0, 0)
    assert [sent.spans for sent in session._in_flight] == [[(4, 5)], [(5, 6)]], "nothing above the hole is there"
    assert session.wants(pair.clock.now_ms) == BACKLOG
    pair.lose_up = lambda: False
    pair.speak()
    assert pair.sent[-1][3] == (1, 2, 3), "in one frame"
