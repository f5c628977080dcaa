"""What one answer over LoRa tells of records: as much as a node can use, and in the end of all of them."""

from __future__ import annotations

import random

from gateway.answers import Turn
from gateway.seqset import ACK_BITS, SeqSet
from wire import messages


def received(*ranges: tuple[int, int]) -> SeqSet:
    found = SeqSet()
    for start, end in ranges:
        found.add_range(start, end)
    return found


def test_all_that_is_missing_within_reach_is_named_by_one_answer() -> None:
    """A node sends again what lies in the window without a bit, and the first hole; between the two it knows nothing."""
    turn = Turn()
    turn.heard(messages.RECORDS_ASK, [14], wanted=False)
    assert turn.window(received((0, 10), (14, 15)), 10) == (11, 0b1000)  # 10 to 13 were lost


def test_nothing_above_the_hole_is_told_as_nothing() -> None:
    turn = Turn()
    turn.heard(messages.HELLO, [], wanted=False)
    assert turn.window(received((0, 10)), 10) == (0, 0)


def test_new_records_far_above_the_backlog_are_told_by_turns_with_it() -> None:
    turn = Turn()
    held = received((0, 100), (104, 112), (500, 502))
    turn.heard(messages.RECORDS, [500, 501], wanted=False)
    turn.heard(messages.RECORDS_ASK, list(range(104, 112)), wanted=False)
    assert turn.window(held, 100) == (500, 0b11)
    turn.acknowledged(100, 500)
    turn.heard(messages.RECORDS_ASK, [502], wanted=False)
    held.add(502)
    assert turn.window(held, 100) == (101, 0b11111111000)
    turn.acknowledged(100, 101)
    turn.heard(messages.RECORDS_ASK, [112], wanted=False)
    held.add(112)
    assert turn.window(held, 100) == (502, 0b1)
    turn.acknowledged(100, 502)
    assert turn.window(held, 100) == (101, 0b111111111000)


def test_whatever_came_is_told_before_long() -> None:
    """Records at random within 400 seqs, that is up to eight windows as the hole moves: each is told by `cum` or a bit after
    at most twice as many answers."""
    chance = random.Random(4)
    for _ in range(20):
        turn, held = Turn(), SeqSet()
        untold: dict[int, int] = {}
        for _ in range(60):
            seqs = [chance.randrange(400) for _ in range(3)]
            for seq in seqs:
                if held.add(seq):
                    untold[seq] = 0
            turn.heard(messages.RECORDS_ASK, seqs, wanted=False)
            cum = held.first_missing(0)
            base, bits = turn.window(held, cum)
            turn.acknowledged(cum, base)
            assert bits == (held.bits(base) if base else 0)
            told = [seq for seq in untold if seq < cum or (base <= seq < base + ACK_BITS and bits >> seq - base & 1)]
            for seq in told:
                del untold[seq]
            for seq in untold:
                untold[seq] += 1
            assert max(untold.values(), default=0) <= 16
