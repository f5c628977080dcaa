"""The simulated particle sensors on a UART alone, against the worked bytes of their fact sheets."""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tools.sim.chips.pms5003 import PMS5003
from tools.sim.chips.sds011 import SDS011
from tools.sim.chips.sps30_uart import SPS30UART, content_of
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
WORLD = World(7, START_S)


def run(chip: Any, begin_us: int, end_us: int) -> Iterator[tuple[int, bytes]]:
    """Everything that the chip sends by itself between two instants."""
    chip.output(begin_us - 1)
    while (at := chip.next_output_us()) is not None and at < end_us:
        yield at, chip.output(at)


def ask(chip: Any, command: str, now_us: int) -> bytes:
    """The answer, while nothing else is sent."""
    chip.output(now_us)
    chip.receive(bytes.fromhex(command), now_us)
    return chip.output(now_us + 10 * MS)


# --- SPS30 -----------------------------------------------------------------------------------------------------------

START, STOP, READ = "7E 00 00 02 01 03 F9 7E", "7E 00 01 00 FE 7E", "7E 00 03 00 FC 7E"
WAKE, SLEEP = "7E 00 7D 31 00 EE 7E", "7E 00 10 00 EF 7E"
CAPTURE = bytes.fromhex(
    "7E 00 03 00 28 40 A7 83 20 41 17 77 BB 41 4A 5F 83 41 54 8D DD 41 D2 83 3E 42 7D 33 FC 85 42 26 17 22 42 29 A4 D9"
    "42 2A 29 BC 3F 55 B7 E7 9E 7E"
)


def test_sps30_gives_the_captured_bytes() -> None:
    chip = SPS30UART(WORLD, 1)
    chip.fixed = struct.unpack(">10f", bytes.fromhex(
        "40A78320 411777BB 414A5F83 41548DDD 41D2833E 4213FC85 42261722 4229A4D9 422A29BC 3F55B7E7"
    ))  # fmt: skip
    assert ask(chip, START, T0) == bytes.fromhex("7E 00 00 00 00 FF 7E")
    assert ask(chip, READ, T0 + 900 * MS) == bytes.fromhex("7E 00 03 00 00 FC 7E"), "nothing new yet"
    assert ask(chip, READ, T0 + 10 * SECOND) == CAPTURE
    assert ask(chip, READ, T0 + 10_500 * MS) == bytes.fromhex("7E 00 03 00 00 FC 7E")


def test_sps30_refuses_what_its_state_does_not_allow() -> None:
    chip = SPS30UART(WORLD, 1)
    assert ask(chip, WAKE, T0) == bytes.fromhex("7E 00 7D 31 43 00 AB 7E"), "worked example 5"
    assert ask(chip, "7E 00 11 00 EE 7E", T0 + SECOND) == bytes.fromhex("7E 00 7D 31 43 00 AB 7E"), "unstuffed, too"
    assert ask(chip, READ, T0 + SECOND)[3] == 0x43
    assert ask(chip, STOP, T0 + SECOND)[3] == 0x43
    assert ask(chip, "7E 00 00 02 01 04 F8 7E", T0 + SECOND)[3] == 4, "no such format"
    assert ask(chip, "7E 00 77 00 88 7E", T0 + SECOND)[3] == 2, "no such command"
    assert ask(chip, "7E 00 03 00 FD 7E", T0 + SECOND) == b"", "wrong checksum"


def test_sps30_sleeps_and_is_woken_by_an_edge_and_a_command_in_time() -> None:
    chip = SPS30UART(WORLD, 1)
    assert ask(chip, SLEEP, T0)[3] == 0
    assert ask(chip, READ, T0 + SECOND) == b"", "its first byte was the edge, and it hears nothing but a wake-up"
    assert ask(chip, WAKE, T0 + 2 * SECOND) == b"", "without the edge the first mark is lost"
    assert ask(chip, "FF", T0 + 3 * SECOND) == b""
    assert ask(chip, WAKE, T0 + 3 * SECOND + 101 * MS) == b"", "too late"
    assert ask(chip, "FF", T0 + 4 * SECOND) == b""
    assert ask(chip, WAKE, T0 + 4 * SECOND + 20 * MS) == bytes.fromhex("7E 00 7D 31 00 00 EE 7E")
    assert ask(chip, READ, T0 + 5 * SECOND)[3] == 0x43, "awake, idle"


def test_sps30_identity_interval_and_status() -> None:
    chip = SPS30UART(WORLD, 1, serial="0123456789ABCDEF")
    assert b"0123456789ABCDEF\x00" in ask(chip, "7E 00 D0 01 03 2B 7E", T0)
    assert ask(chip, "7E 00 D1 00 2E 7E", T0) == bytes.fromhex("7E 00 D1 00 07 02 02 00 07 00 02 00 1A 7E")
    assert ask(chip, "7E 00 80 01 00 7D 5E 7E", T0) == bytes.fromhex("7E 00 80 00 04 00 09 3A 80 B8 7E")
    assert ask(chip, "7E 00 80 05 00 00 00 00 00 7A 7E", T0)[3] == 0
    assert chip.interval_s == 0
    ask(chip, START, T0)
    chip.switch("dead_fan")
    assert ask(chip, READ, T0 + 5 * SECOND)[3] == 0x80, "its state byte says that the status word is worth a look"
    raw = ask(chip, "7E 00 D2 01 01 2B 7E", T0 + 6 * SECOND)
    assert int.from_bytes(raw[5:9], "big") == 1 << 21 | 1 << 4
    assert ask(chip, "7E 00 D2 01 00 2C 7E", T0 + 6 * SECOND)[3] == 0, "cleared"


def test_sps30_stuffing() -> None:
    assert content_of(bytes.fromhex("7D 5E 7D 5D 7D 31 03 12 7D 33 14 B7")[:-1]) is None
    assert content_of(bytes.fromhex("00 80 01 00 7D 5E")) == bytes((0, 0x80, 1, 0))


# --- SDS011 ----------------------------------------------------------------------------------------------------------

ZEROS = "00" * 10
MODE, WORKS, SLEEPS = "AA B4 02 00 00" + ZEROS + "FF FF 00 AB", "AA B4 06 01 01" + ZEROS + "FF FF 06 AB", ""
SLEEPS = "AA B4 06 01 00" + ZEROS + "FF FF 05 AB"
QUERY = "AA B4 04" + "00" * 12 + "FF FF 02 AB"


@pytest.mark.parametrize(
    ("values", "ident", "frame"),
    [
        ((0.6, 0.6), (0x58, 0xD9), "AA C0 06 00 06 00 58 D9 3D AB"),
        ((0.9, 0.9), (0x58, 0xD9), "AA C0 09 00 09 00 58 D9 43 AB"),
        ((123.6, 261.8), (0xA1, 0x60), "AA C0 D4 04 3A 0A A1 60 1D AB"),
    ],
)
def test_sds011_reports_the_worked_bytes(values: tuple[float, float], ident: tuple[int, int], frame: str) -> None:
    chip = SDS011(WORLD, 1, ident=ident)
    chip.fixed = values
    assert [data for _, data in run(chip, T0 + SECOND, T0 + 4 * SECOND)] == [bytes.fromhex(frame)] * 3


def test_sds011_modes_sleep_and_query() -> None:
    chip = SDS011(WORLD, 1)
    assert ask(chip, MODE, T0) == bytes.fromhex("AA C5 02 00 00 00 A1 60 03 AB")
    assert ask(chip, QUERY, T0) == b"", "in active mode it is not asked"
    assert ask(chip, "AA B4 02 01 01" + ZEROS + "FF FF 02 AB", T0)[2:5] == bytes((2, 1, 1))
    assert list(run(chip, T0 + SECOND, T0 + 9 * SECOND)) == []
    assert ask(chip, QUERY, T0 + 9 * SECOND)[:2] == b"\xaa\xc0"
    assert ask(chip, SLEEPS, T0 + 10 * SECOND) == bytes.fromhex("AA C5 06 01 00 00 A1 60 08 AB"), "worked example 6"
    assert ask(chip, QUERY, T0 + 11 * SECOND) == b""
    chip.power_on(T0 + 12 * SECOND)
    assert ask(chip, QUERY, T0 + 20 * SECOND)[:2] == b"\xaa\xc0", "awake, and the mode outlives the power cut"
    assert ask(chip, SLEEPS, T0 + 21 * SECOND) != b""
    assert ask(chip, WORKS, T0 + 22 * SECOND)[2:5] == bytes((6, 1, 1))
    assert ask(chip, QUERY[:-5] + "03 AB", T0 + 23 * SECOND) == b"", "wrong checksum"
    assert ask(chip, "AA B4 07" + "00" * 12 + "A1 60 08 AB", T0 + 23 * SECOND)[3:6] == bytes((18, 11, 16))
    assert ask(chip, "AA B4 07" + "00" * 12 + "A1 61 09 AB", T0 + 23 * SECOND) == b"", "for another one"


def test_sds011_working_period() -> None:
    chip = SDS011(WORLD, 1)
    assert ask(chip, "AA B4 08 01 05" + ZEROS + "FF FF 0C AB", T0)[2:5] == bytes((8, 1, 5))
    began = [at for at, _ in run(chip, T0 + SECOND, T0 + 1000 * SECOND)]
    assert [at - T0 for at in began] == [30 * SECOND, 330 * SECOND, 630 * SECOND, 930 * SECOND]
    assert ask(chip, MODE, T0 + 1000 * SECOND) == b"", "it rests"
    assert ask(chip, WORKS, T0 + 1001 * SECOND) != b""
    assert next(run(chip, T0 + 1002 * SECOND, T0 + 1100 * SECOND))[0] == T0 + 1031 * SECOND


def test_sds011_runs_in_from_zero_to_the_world() -> None:
    chip = SDS011(WORLD, 1)
    frames = [data for _, data in run(chip, T0, T0 + 60 * SECOND)]
    assert frames[0][2:6] == bytes(4)
    fine = [(frame[2] | frame[3] << 8) / 10 for frame in frames[30:]]
    assert sum(fine) / len(fine) == pytest.approx(WORLD.air(START_S + 45).pm2_5_ugm3, rel=0.05)


# --- PMS5003 ---------------------------------------------------------------------------------------------------------

PASSIVE, ACTIVE, REQUEST = "42 4D E1 00 00 01 70", "42 4D E1 00 01 01 71", "42 4D E2 00 00 01 71"
REST, RUN = "42 4D E4 00 00 01 73", "42 4D E4 00 01 01 74"
PMS_CAPTURE = bytes.fromhex(
    "42 4D 00 1C 00 00 00 08 00 08 00 00 00 08 00 08 00 D2 00 46 00 2D 00 1E 00 00 00 00 97 00 02 C5"
)


def test_pms5003_modes_and_the_captured_bytes() -> None:
    chip = PMS5003(WORLD, 1)
    chip.fixed = (0, 8, 8, 0, 8, 8, 210, 70, 45, 30, 0, 0)
    times, frames = zip(*run(chip, T0, T0 + 20 * SECOND), strict=True)
    assert set(frames) == {PMS_CAPTURE}
    assert [after - before for before, after in pairwise(times[1:])] == [2300 * MS] * (len(times) - 2)
    now = T0 + 20 * SECOND
    assert ask(chip, PASSIVE, now) == bytes.fromhex("42 4D 00 04 E1 00 01 74"), "worked example 4"
    assert list(run(chip, now, now + 10 * SECOND)) == []
    assert ask(chip, REQUEST, now + 10 * SECOND) == PMS_CAPTURE
    assert ask(chip, "42 4D E2 00 00 01 72", now + 11 * SECOND) == b"", "wrong checksum"
    assert ask(chip, REST, now + 12 * SECOND) == bytes.fromhex("42 4D 00 04 E4 00 01 77"), "worked example 4"
    assert ask(chip, REQUEST, now + 13 * SECOND) == b""
    assert ask(chip, RUN + PASSIVE, now + 14 * SECOND) == b"", "data frames come later; what follows a wake-up is lost"
    assert len(list(run(chip, now + 14 * SECOND, now + 20 * SECOND))) >= 2, "it wakes in active mode"
    assert ask(chip, ACTIVE, now + 20 * SECOND)[-4:-2] == b"\xe1\x01"


def test_pms5003_follows_the_world_and_counts_what_is_larger() -> None:
    chip = PMS5003(WORLD, 1)
    frame = list(run(chip, T0, T0 + 60 * SECOND))[-1][1]
    assert sum(frame[:-2]) == int.from_bytes(frame[-2:], "big")
    words = struct.unpack(">14H", frame[4:])
    air = WORLD.air(START_S + 58)
    assert words[4] == pytest.approx(air.pm2_5_ugm3, rel=0.1, abs=1)
    counts = words[6:12]
    assert list(counts) == sorted(counts, reverse=True)
    assert (counts[0] - counts[1]) / 100 == pytest.approx(air.nc0_5_cm3, rel=0.1)


# --- What can go wrong on the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SDS011, PMS5003])
def test_faults_of_the_line(kind: type[SDS011] | type[PMS5003]) -> None:
    chip = kind(WORLD, 1)
    whole = next(run(chip, T0 + 10 * SECOND, T0 + 20 * SECOND))[1]
    chip.switch("byte_shift")
    assert len(next(run(chip, T0 + 20 * SECOND, T0 + 30 * SECOND))[1]) == len(whole) - 1
    chip.switch("byte_shift", False)
    chip.switch("garbage")
    assert len(next(run(chip, T0 + 30 * SECOND, T0 + 40 * SECOND))[1]) > len(whole)
    chip.switch("garbage", False)
    chip.switch("late_answer")
    chip.receive(bytes.fromhex(MODE if kind is SDS011 else PASSIVE), T0 + 41 * SECOND)
    assert not any(b"\xc5" in data or b"\xe1" in data for _, data in run(chip, T0 + 41 * SECOND, T0 + 42 * SECOND))
    chip.switch("silence")
    assert chip.next_output_us() is None
    chip.switch("silence", False)
    chip.host_baudrate = 115_200
    assert whole[:2] not in b"".join(data for _, data in run(chip, T0 + 50 * SECOND, T0 + 60 * SECOND))
