"""The duty cycle over true time, whatever the board lives through: judged by what was on air alone."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from firmware.links.duty import BEGIN_MS
from tests.fakes.air_judge import HOUR_US, busiest_hour_us
from tests.fakes.board_in_time import S_US, STEM, BoardInTime
from wire.airtime import airtime_us
from wire.duty import BLOCK_US, Spent, number_of

M_HZ, L_HZ, P_HZ, N_HZ = 868_100_000, 867_500_000, 869_525_000, 868_800_000
FREQUENCIES = (M_HZ, 868_500_000, L_HZ, P_HZ, N_HZ)
FRAMES = ((12, 7), (40, 9), (60, 12), (231, 8))  # bytes, SF: 41 ms to 2.8 s
GARBLES = (b"", b"SDu1 rubbish that is long enough", bytes(64))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> BoardInTime:
    return BoardInTime(monkeypatch)


def test_the_judge_finds_the_busiest_hour_wherever_it_begins() -> None:
    hour_s = HOUR_US // S_US
    spans = [(0, 10), (1800, 1830), (3590, 3620), (hour_s + 1820, hour_s + 1840)]
    in_us = [(begin * S_US, end * S_US) for begin, end in spans]
    assert busiest_hour_us(in_us) == 60 * S_US  # the second and the third, or the third and half of both beside it
    rng = random.Random(5)
    at, many = 0, []
    for _ in range(200):
        at += rng.randrange(1, 400 * S_US)
        many.append((at, at + rng.randrange(1, 3 * S_US)))
        at = many[-1][1]
    by_hand = max(
        sum(max(0, min(end, start + HOUR_US) - max(begin, start)) for begin, end in many)
        for start in [begin for begin, _ in many] + [end - HOUR_US for _, end in many]
    )
    assert busiest_hour_us(many) == by_hand


@pytest.mark.parametrize(("freq_hz", "permille"), [(M_HZ, 10), (P_HZ, 100), (N_HZ, 1)])
def test_a_board_without_troubles_may_use_nearly_all(board: BoardInTime, freq_hz: int, permille: int) -> None:
    board.greedy(6 * 3600, freq_hz, 40, 9, radio_ppm=100)
    assert 0.93 < board.judge.worst() <= 1.0
    used_us = sum(end - begin for spans in board.judge.spans.values() for begin, end in spans)
    assert used_us > 0.93 * 6 * permille * 3_600_000


def test_what_ended_together_ages_from_the_last_of_it(board: BoardInTime) -> None:
    """A short frame, and most of the hour's airtime a minute later; then again at the first moment that is allowed."""
    board.send(M_HZ, 12, 7)
    board.pass_s(60)
    while board.send(M_HZ, 60, 12):
        pass
    board.pass_s(3606 - board.now_us / S_US)
    while board.send(M_HZ, 60, 12):
        pass
    assert 0.9 < board.judge.worst() <= 1.0


def test_sub_bands_have_budgets_of_their_own_and_channels_share_them(board: BoardInTime) -> None:
    while board.send(868_100_000, 231, 8):
        pass
    assert not board.send(868_500_000, 231, 8)
    assert board.send(L_HZ, 231, 8)
    with pytest.raises(ValueError, match="never"):
        board.ledger.wait_ms(868_650_000, 1000)
    with pytest.raises(ValueError, match="never"):
        board.ledger.wait_ms(P_HZ, BLOCK_US + 1)
    with pytest.raises(ValueError, match="spent"):
        board.ledger.take(868_300_000, airtime_us(231, 8))


def _resets_in_a_burst(board: BoardInTime, length: int = 60, sf: int = 12) -> None:
    for turn in range(40):
        board.send_and_die(M_HZ, length, sf, 2 + turn % 4, kept=bool(turn % 3))
        board.boot(off_s=3.0)


def _cuts_while_it_sends(board: BoardInTime) -> None:
    """Before it has noted anything for want of something better to do."""
    for _ in range(20):
        board.greedy(20, M_HZ, 40, 9)
        board.boot(off_s=10.0)


@pytest.mark.parametrize("attack", [_resets_in_a_burst, _cuts_while_it_sends])
def test_a_reset_takes_no_airtime_back(board: BoardInTime, attack) -> None:  # type: ignore[no-untyped-def]
    attack(board)
    assert 0.2 < board.judge.worst() <= 1.0


@pytest.mark.parametrize("attack", [_resets_in_a_burst, _cuts_while_it_sends])
def test_without_reservation_the_same_attacks_break_the_law(
    board: BoardInTime,
    monkeypatch: pytest.MonkeyPatch,
    attack,  # type: ignore[no-untyped-def]
) -> None:
    load = Spent.load

    def forget(self: Spent, data: bytes, now_s: int, used: bool = True) -> None:
        load(self, data, now_s, False)
        self.left = {}

    monkeypatch.setattr(Spent, "load", forget)
    board.ledger._given_us = BLOCK_US
    attack(board)
    assert board.judge.worst() > 1.0


@pytest.mark.parametrize("copy", [".a", ".b"])
@pytest.mark.parametrize("garble", GARBLES)
def test_one_copy_will_do(board: BoardInTime, copy: str, garble: bytes) -> None:
    """Whichever it is, and wherever the power went."""
    for count in range(60):
        board.send_and_die(M_HZ, 60, 11, count % 5, kept=bool(count % 2))
        board.flash.files[STEM + copy] = garble
        board.boot(off_s=2.0)
        assert board.ledger.repaired
    assert 0.2 < board.judge.worst() <= 1.0


def test_without_a_readable_copy_the_hour_is_spent(board: BoardInTime) -> None:
    board.hear_time()
    board.send(M_HZ, 12, 7)
    board.flash.files = {}
    board.boot(off_s=10_000.0)
    board.hear_time()
    for freq_hz in FREQUENCIES:
        assert board.ledger.wait_ms(freq_hz, 1000) > 3_599_000
    board.pass_s(3602)
    assert board.send(M_HZ, 12, 7)
    assert number_of(board.flash.files[STEM + ".a"]) == number_of(board.flash.files[STEM + ".b"]) >= 0


def test_a_board_that_resets_every_few_minutes_gets_through_its_hour(board: BoardInTime) -> None:
    board.greedy(1, M_HZ, 12, 7)
    while board.send(M_HZ, 231, 8):
        pass
    began_us = board.now_us
    while not board.may_send(M_HZ, 12, 7):
        assert board.now_us - began_us < 3 * HOUR_US
        for _ in range(5):
            board.pass_s(60)
            board.may_send(M_HZ, 12, 7)
        board.boot()
    assert board.judge.worst() <= 1.0


def test_a_gateways_time_proves_that_the_power_was_off(board: BoardInTime) -> None:
    board.hear_time()
    while board.send(M_HZ, 231, 8):
        pass
    board.boot(off_s=7200.0)
    assert not board.may_send(M_HZ, 231, 8)
    board.hear_time(error_ms=1900)
    assert board.may_send(M_HZ, 231, 8)
    while board.send(M_HZ, 231, 8):
        pass
    board.boot(off_s=2400.0)
    board.hear_time()
    board.hear_time()  # proves nothing more
    while board.send(M_HZ, 231, 8):
        pass
    assert 0.9 < board.judge.worst() <= 1.0


def test_a_gateways_time_does_not_tell_when_a_reservation_was_used(board: BoardInTime) -> None:
    """The block was bought long before it was used, shortly before the power went."""
    board.hear_time()
    for _ in range(5):
        board.send(M_HZ, 40, 9)
    board.pass_s(3500)
    number = number_of(board.flash.files[STEM + ".a"])
    while board.ledger._spent.left[2] > airtime_us(40, 9):
        board.send(M_HZ, 40, 9)
    assert number_of(board.flash.files[STEM + ".a"]) == number
    board.boot(off_s=200.0)
    board.hear_time()
    while board.send(M_HZ, 40, 9):
        pass
    assert 0.9 < board.judge.worst() <= 1.0


def test_what_a_sleeper_kept_is_not_believed_after_another_boot(board: BoardInTime) -> None:
    board.send(M_HZ, 40, 9)
    kept = board.ledger.image()
    board.boot()
    while board.send(M_HZ, 40, 9):
        pass
    board.boot()
    board.ledger.recall(kept, 0)
    assert not board.may_send(M_HZ, 40, 9)


def test_nothing_goes_while_flash_refuses_and_nothing_is_lost_by_it(board: BoardInTime) -> None:
    for refused in range(1, 5):
        board.flash.refuse = refused
        assert not board.send(M_HZ, 60, 12)
        board.flash.refuse = 0
        assert board.send(M_HZ, 60, 12)
        board.boot()


def test_a_wake_from_deep_sleep_goes_on_within_its_block(board: BoardInTime) -> None:
    for _ in range(24):
        assert board.send(M_HZ, 60, 9)
        board.deep_sleep(300, 40_000)
    writes = board.flash.writes
    while board.send(M_HZ, 60, 9):
        board.deep_sleep(20, -40_000)
    assert board.flash.writes - writes < 2 * 12
    board.boot()
    _cuts_while_it_sends(board)
    assert 0.8 < board.judge.worst() <= 1.0


def test_a_sleeper_may_spend_half_of_the_law_for_ever(board: BoardInTime) -> None:
    """What it keeps across a sleep grows old as it does in one that stays awake."""
    for _ in range(60):
        assert board.send(M_HZ, 60, 11)
        board.deep_sleep(300, 0)
    assert 0.4 < board.judge.worst() < 0.6


def test_flash_is_written_seldom(board: BoardInTime) -> None:
    """Two files a block of airtime: a record every five minutes at SF9, and the whole 1 % for a day."""
    for _ in range(288):
        assert board.send(M_HZ, 40, 9)
        board.pass_s(300)
    usual = board.flash.writes
    board.greedy(86_400, M_HZ, 40, 9)
    full = board.flash.writes - usual
    assert usual <= 60
    assert full <= 650
    assert all(len(data) <= 128 for data in board.flash.files.values())  # inline in littlefs: no block of its own


class DutyMachine(RuleBasedStateMachine):
    """An adversary chooses what happens; crystals are up to 100 ppm off, the radio's as well."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()

    @initialize()
    def start(self) -> None:
        self.board = BoardInTime(self.patch)

    def teardown(self) -> None:
        self.patch.undo()
        assert self.board.judge.worst() <= 1.0

    @rule(
        freq_hz=st.sampled_from(FREQUENCIES),
        frame=st.sampled_from(FRAMES),
        minutes=st.integers(1, 70),
        ppm=st.sampled_from((-100, 100)),
    )
    def greedy(self, freq_hz: int, frame: tuple[int, int], minutes: int, ppm: int) -> None:
        self.board.greedy(60 * minutes, freq_hz, *frame, radio_ppm=ppm, most=200)

    @rule(
        freq_hz=st.sampled_from(FREQUENCIES),
        frame=st.sampled_from(FRAMES),
        count=st.integers(1, 30),
        delay_ms=st.integers(0, BEGIN_MS),
    )
    def burst(self, freq_hz: int, frame: tuple[int, int], count: int, delay_ms: int) -> None:
        for _ in range(count):
            if not self.board.send(freq_hz, *frame, delay_us=delay_ms * 1000):
                break

    @rule(seconds=st.one_of(st.integers(1, 120), st.integers(1, 7200)))
    def rest(self, seconds: int) -> None:
        self.board.pass_s(seconds)

    @rule(ppm=st.sampled_from((-100, 0, 100)), off_s=st.one_of(st.integers(0, 10), st.integers(0, 9000)))
    def power_cut(self, ppm: int, off_s: int) -> None:
        self.board.boot(ppm, off_s)

    @rule(
        freq_hz=st.sampled_from(FREQUENCIES),
        frame=st.sampled_from(FRAMES),
        count=st.integers(0, 7),
        kept=st.booleans(),
        ppm=st.sampled_from((-100, 100)),
    )
    def power_cut_at_a_write(self, freq_hz: int, frame: tuple[int, int], count: int, kept: bool, ppm: int) -> None:
        self.board.send_and_die(freq_hz, *frame, count, kept)
        self.board.boot(ppm)

    @rule(frame=st.sampled_from(FRAMES), part=st.floats(0, 1), times=st.integers(1, 15), off_s=st.integers(0, 5))
    def reset_loop(self, frame: tuple[int, int], part: float, times: int, off_s: int) -> None:
        for _ in range(times):
            self.board.send(M_HZ, *frame, cut=part)
            self.board.boot(100, off_s)

    @rule(seconds=st.integers(1, 5000), error_ppm=st.sampled_from((-50_000, 0, 49_000)))
    def sleep(self, seconds: int, error_ppm: int) -> None:
        self.board.deep_sleep(seconds, error_ppm)

    @rule(error_ms=st.integers(-2000, 2000))
    def gateway(self, error_ms: int) -> None:
        self.board.hear_time(error_ms)

    @rule(copy=st.sampled_from((".a", ".b")), garble=st.sampled_from(GARBLES))
    def damage_one(self, copy: str, garble: bytes) -> None:
        self.board.flash.files[STEM + copy] = garble
        self.board.boot()

    @rule(garble=st.sampled_from(GARBLES))
    def damage_both(self, garble: bytes) -> None:
        self.board.flash.files = dict.fromkeys(self.board.flash.files, garble)
        self.board.boot()

    @rule(count=st.integers(1, 6))
    def refusing_flash(self, count: int) -> None:
        self.board.flash.refuse = count


DutyMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestDutyMachine = pytest.mark.fuzz(DutyMachine.TestCase)
