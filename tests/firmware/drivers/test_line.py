"""Streams of bytes that nobody would send: the parsers of chips on a line never raise, and find the next good frame."""

from collections.abc import Callable
from random import Random

import pytest

from firmware.drivers import pms5003, sds011, sps30_uart
from firmware.drivers.line import Line
from tests.firmware.drivers.air_vectors import PMS_1, PMS_2, SDS_1, SDS_MANUAL, SPS30_1, SPS30_2

KINDS = {
    "sps30_uart": (sps30_uart.cut, SPS30_1, SPS30_2, b"\x7e\x7d\x5e"),
    "sds011": (sds011.cut, SDS_1, SDS_MANUAL, b"\xaa\xc0\xab"),
    "pms5003": (pms5003.cut, PMS_1, PMS_2, b"\x42\x4d\x00\x1c"),
}
BUFFER_MAX = 96 + 64  # a frame that is not complete, and one piece more


def bytes_of(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def fed(cut: Callable[[bytes, int], tuple[int, bytes | None, int]], stream: bytes, chance: Random) -> list[bytes]:
    """The frames of a stream that comes in pieces of any size."""
    line = Line(None, None, cut)
    found = []
    at = 0
    while at < len(stream):
        size = chance.randint(1, 64)
        line.feed(stream[at : at + size])
        at += size
        while (frame := line.waiting()) is not None:
            found.append(frame)
        assert len(line._buffer) <= BUFFER_MAX
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_next_good_frame_after_any_garbage_is_delivered(kind: str) -> None:
    cut, first, second, marks = KINDS[kind]
    one, two = (fed(cut, bytes_of(frame), Random(0))[0] for frame in (first, second))
    for seed in range(150):
        chance = Random(seed)
        garbage = bytes(chance.choice(marks) if chance.random() < 0.5 else chance.randrange(256) for _ in range(200))
        found = fed(cut, garbage[: chance.randrange(200)] + bytes_of(second) * 2 + bytes_of(first), chance)
        assert found[-2:] == [two, one], seed
        assert len(found) <= 4


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_damage_makes_another_value(kind: str) -> None:
    """Every byte lost, and every bit flipped: the frame is gone, the next one is not."""
    cut, first, second, _ = KINDS[kind]
    whole, follower = bytes_of(first), bytes_of(second)
    one, two = (fed(cut, frame, Random(0))[0] for frame in (whole, follower))
    for place in range(len(whole)):
        chance = Random(place)
        lost = whole[:place] + whole[place + 1 :]
        assert fed(cut, lost + follower, chance) in ([two], [one, two]), place
        for bit in range(8):
            flipped = whole[:place] + bytes((whole[place] ^ 1 << bit,)) + whole[place + 1 :]
            assert fed(cut, flipped + follower, chance) in ([two], [one, two]), (place, bit)
