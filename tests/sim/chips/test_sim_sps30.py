"""The simulated SPS30 alone, against the worked bytes of its fact sheet."""

import struct

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.sps30 import SPS30, checksum
from tools.sim.world import World

START_S = 1_768_200_000
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
START_FLOAT = bytes.fromhex("0010 0300AC")
START_INTEGER = bytes.fromhex("0010 0500F6")
STOP = bytes.fromhex("0104")
READY = bytes.fromhex("0202")
VALUES = bytes.fromhex("0300")
# Fact sheet, worked example 6.
EXAMPLE_VALUES = (1.0, 2.5, 3.75, 4.5, 5.25, 10.0, 12.5, 12.75, 13.0, 0.5)
EXAMPLE_BYTES = bytes.fromhex(
    "3F80D0 000081 40208E 000081 4070F0 000081 409031 000081 40A84D 000081"
    "41207A 000081 414878 000081 414CBC 000081 415082 000081 3F00AA 000081"
)


@pytest.fixture
def chip() -> SPS30:
    return SPS30(World(7, START_S), 1)


def ask(chip: SPS30, command: bytes, n: int, now_us: int, wait_us: int = 0) -> bytes:
    chip.write(command, now_us)
    return chip.read(n, now_us + wait_us)


def measuring(chip: SPS30, command: bytes = START_FLOAT) -> int:
    """Start; returns an instant 10 s later, when values have run in."""
    chip.write(command, T0)
    return T0 + 10 * SECOND


@pytest.mark.parametrize(
    ("word", "expected"),
    [("BEEF", 0x92), ("", 0xFF), ("0000", 0x81), ("FFFF", 0xAC), ("7FFF", 0x8F), ("DEAD", 0x98), ("0001", 0xB0)],
)
def test_checksum_of_the_fact_sheet(word: str, expected: int) -> None:
    assert checksum(bytes.fromhex(word)) == expected


def test_float_values_are_the_worked_bytes(chip: SPS30) -> None:
    chip.fixed = EXAMPLE_VALUES
    now = measuring(chip)
    assert ask(chip, VALUES, 60, now) == EXAMPLE_BYTES


def test_integer_values_are_ten_words_with_the_size_in_nanometres(chip: SPS30) -> None:
    chip.fixed = EXAMPLE_VALUES
    now = measuring(chip, START_INTEGER)
    answer = ask(chip, VALUES, 30, now)
    words = [answer[n : n + 2] for n in range(0, 30, 3)]
    assert all(checksum(answer[n : n + 2]) == answer[n + 2] for n in range(0, 30, 3))
    assert [int.from_bytes(word, "big") for word in words] == [1, 2, 4, 4, 5, 10, 12, 13, 13, 500]


def test_values_follow_the_world_and_keep_their_order(chip: SPS30) -> None:
    now = measuring(chip) + 20 * SECOND
    raw = ask(chip, VALUES, 60, now)
    values = struct.unpack(">10f", b"".join(raw[n : n + 2] for n in range(0, 60, 3)))
    air = chip.world.air(now / 1e6)
    assert values[1] == pytest.approx(air.pm2_5_ugm3, rel=0.1)
    assert list(values[:4]) == sorted(values[:4])
    assert list(values[4:9]) == sorted(values[4:9])


def test_data_ready_flag_rises_once_a_second_and_falls_with_the_read(chip: SPS30) -> None:
    chip.write(START_FLOAT, T0)
    assert ask(chip, READY, 3, T0 + 999 * MS) == bytes.fromhex("000081")
    assert ask(chip, READY, 3, T0 + 1000 * MS) == bytes.fromhex("0001B0")
    first = ask(chip, VALUES, 60, T0 + 1001 * MS)
    assert ask(chip, READY, 3, T0 + 1002 * MS) == bytes.fromhex("000081")
    # Without new data a read gives the old values.
    assert ask(chip, VALUES, 60, T0 + 1900 * MS) == first
    assert ask(chip, READY, 3, T0 + 2000 * MS) == bytes.fromhex("0001B0")
    assert ask(chip, VALUES, 60, T0 + 2001 * MS) != first


def test_values_run_in_after_start(chip: SPS30) -> None:
    chip.write(START_FLOAT, T0)
    first = struct.unpack(">f", ask(chip, VALUES, 5, T0 + SECOND)[:2] + chip.read(5, T0 + SECOND)[3:5])[0]
    assert 0 < first < 0.5 * chip.world.air(START_S + 1).pm1_ugm3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("0010 0300AD", "checksum"),
        ("0010 0300", "whole words"),
        ("0010", "output format"),
        ("0010 0400" + "C5", "checksum"),
        ("00", "not a command"),
        ("0202", "while idle"),
        ("0300", "while idle"),
        ("5607", "while idle"),
        ("1234", "unknown command"),
    ],
)
def test_what_an_idle_chip_does_not_acknowledge(chip: SPS30, data: str, why: str) -> None:
    with pytest.raises(Nack, match=why):
        chip.write(bytes.fromhex(data), T0)


def test_busy_chip_does_not_acknowledge(chip: SPS30) -> None:
    chip.write(START_FLOAT, T0)
    with pytest.raises(Nack, match="busy"):
        chip.write(READY, T0 + 19 * MS)
    chip.write(READY, T0 + 20 * MS)
    with pytest.raises(Nack, match="started already"):
        chip.write(START_FLOAT, T0 + 21 * MS)


def test_read_without_command_and_beyond_the_end(chip: SPS30) -> None:
    with pytest.raises(Nack, match="nothing to read"):
        chip.read(3, T0)
    assert ask(chip, bytes.fromhex("D100"), 6, T0) == bytes((2, 2, checksum(b"\x02\x02"))) + b"\xff\xff\xff"


def test_sleep_and_waking_twice(chip: SPS30) -> None:
    wake = bytes.fromhex("1103")
    chip.write(bytes.fromhex("1001"), T0)
    with pytest.raises(Nack, match="asleep"):
        chip.write(wake, T0 + 10 * MS)
    with pytest.raises(Nack, match="asleep"):
        chip.write(wake, T0 + 111 * MS)  # too late: it counts as the first again
    chip.write(wake, T0 + 150 * MS)
    with pytest.raises(Nack, match="busy"):
        chip.write(START_FLOAT, T0 + 154 * MS)
    chip.write(START_FLOAT, T0 + 155 * MS)
    with pytest.raises(Nack, match="sleep is allowed when idle"):
        chip.write(bytes.fromhex("1001"), T0 + 200 * MS)


def test_interval_worked_bytes(chip: SPS30) -> None:
    read = bytes.fromhex("8004")
    chip.write(bytes.fromhex("8004 000081 000081"), T0)
    assert ask(chip, read, 6, T0 + 20 * MS, 5 * MS) == bytes.fromhex("000081 000081")
    chip.write(bytes.fromhex("8004 000909 3A80A7"), T0 + 100 * MS)
    assert chip.interval_s == 604800
    assert ask(chip, read, 6, T0 + 200 * MS, 5 * MS) == bytes.fromhex("000909 3A80A7")


def test_old_firmware_shows_the_old_interval_until_reset() -> None:
    chip = SPS30(World(7, START_S), 1, firmware=(2, 0))
    chip.write(bytes.fromhex("8004 000081 000081"), T0)
    assert ask(chip, bytes.fromhex("8004"), 6, T0 + 20 * MS, 5 * MS) == bytes.fromhex("000909 3A80A7")
    chip.write(bytes.fromhex("D304"), T0 + 50 * MS)
    with pytest.raises(Nack, match="busy"):
        chip.write(bytes.fromhex("8004"), T0 + 149 * MS)
    assert ask(chip, bytes.fromhex("8004"), 6, T0 + 150 * MS, 5 * MS) == bytes.fromhex("000081 000081")
    with pytest.raises(Nack, match=r"firmware 2\.2"):
        chip.write(bytes.fromhex("D206"), T0 + 200 * MS)


def test_identity(chip: SPS30) -> None:
    raw = ask(chip, bytes.fromhex("D033"), 48, T0)
    text = b"".join(raw[n : n + 2] for n in range(0, 48, 3))
    assert text.rstrip(b"\0").decode() == chip.serial
    raw = ask(chip, bytes.fromhex("D002"), 12, T0)
    assert b"".join(raw[n : n + 2] for n in range(0, 12, 3)) == b"00080000"
    assert SPS30(chip.world, 2).serial != chip.serial


def test_cleaning_holds_the_values_for_ten_seconds(chip: SPS30) -> None:
    now = measuring(chip)
    old = ask(chip, VALUES, 60, now)
    chip.write(bytes.fromhex("5607"), now + 10 * MS)
    assert ask(chip, READY, 3, now + 9 * SECOND) == bytes.fromhex("000081")
    assert chip.cleaning
    assert ask(chip, VALUES, 60, now + 9 * SECOND) == old
    assert ask(chip, READY, 3, now + 11 * SECOND) == bytes.fromhex("0001B0")
    assert not chip.cleaning


def test_cleaning_by_itself_after_the_interval_of_measuring(chip: SPS30) -> None:
    chip.write(bytes.fromhex("8004 0000813C") + bytes((0, checksum(b"\x3c\x00"))), T0)  # 15360 s
    begin = T0 + SECOND
    chip.write(START_FLOAT, begin)
    ask(chip, READY, 3, begin + 15359 * SECOND)
    assert not chip.cleaning
    ask(chip, READY, 3, begin + 15360 * SECOND)
    assert chip.cleaning
    chip.power_on(begin + 15361 * SECOND)
    chip.write(START_FLOAT, begin + 15362 * SECOND)
    ask(chip, READY, 3, begin + 2 * 15360 * SECOND)
    assert not chip.cleaning  # the count was lost with the power


def status(chip: SPS30, now_us: int) -> int:
    raw = ask(chip, bytes.fromhex("D206"), 6, now_us, 100 * MS)
    assert checksum(raw[:2]) == raw[2]
    return int.from_bytes(raw[:2] + raw[3:5], "big")


@pytest.mark.parametrize(
    ("fault", "bits"), [("dead_fan", 1 << 21 | 1 << 4), ("dead_laser", 1 << 5), ("slow_fan", 1 << 21)]
)
def test_status_tells_hardware_faults_and_is_cleared(chip: SPS30, fault: str, bits: int) -> None:
    now = measuring(chip)
    assert status(chip, now) == 0
    chip.switch(fault)
    assert status(chip, now + 2 * SECOND) == bits
    if fault != "slow_fan":
        assert ask(chip, VALUES, 60, now + 3 * SECOND) == bytes.fromhex("000081") * 20
    chip.switch(fault, False)
    assert status(chip, now + 5 * SECOND) == bits & ~(1 << 21)  # SPEED goes by itself
    chip.write(bytes.fromhex("D210"), now + 6 * SECOND)
    assert status(chip, now + 7 * SECOND) == 0


def test_bad_crc_spoils_checksums_and_nothing_else(chip: SPS30) -> None:
    chip.fixed = EXAMPLE_VALUES
    now = measuring(chip)
    chip.switch("bad_crc")
    answer = ask(chip, VALUES, 60, now)
    wrong = [n for n in range(60) if answer[n] != EXAMPLE_BYTES[n]]
    assert len(wrong) == 1
    assert wrong[0] % 3 == 2
    short = ask(chip, READY, 3, now + SECOND)
    assert checksum(short[:2]) != short[2]


def test_byte_shift_stuck_and_silence(chip: SPS30) -> None:
    chip.fixed = EXAMPLE_VALUES
    now = measuring(chip)
    chip.switch("byte_shift")
    assert ask(chip, VALUES, 60, now) == EXAMPLE_BYTES[1:] + b"\xff"
    chip.switch("byte_shift", False)
    chip.switch("stuck")
    chip.fixed = None
    assert ask(chip, READY, 3, now + 5 * SECOND) == bytes.fromhex("0001B0")
    assert ask(chip, VALUES, 60, now + 5 * SECOND) == EXAMPLE_BYTES
    chip.switch("silence")
    with pytest.raises(Nack, match="silence"):
        chip.read(60, now + 6 * SECOND)


def test_late_answer_and_no_new_data(chip: SPS30) -> None:
    chip.switch("late_answer")
    chip.write(START_FLOAT, T0)
    with pytest.raises(Nack, match="busy"):
        chip.write(READY, T0 + 399 * MS)
    flags = [ask(chip, READY, 3, T0 + n * SECOND)[1] for n in range(1, 5)]
    assert flags == [0, 0, 0, 1]
    chip.switch("no_new_data")
    assert ask(chip, READY, 3, T0 + 5 * SECOND)[1] == 0


def test_power(chip: SPS30) -> None:
    measuring(chip)
    chip.power_off()
    with pytest.raises(Nack, match="no supply"):
        chip.write(READY, T0 + SECOND)
    chip.power_on(T0 + 2 * SECOND)
    with pytest.raises(Nack, match="busy"):
        chip.write(STOP, T0 + 2 * SECOND)
    with pytest.raises(Nack, match="while idle"):
        chip.write(READY, T0 + 3 * SECOND)
