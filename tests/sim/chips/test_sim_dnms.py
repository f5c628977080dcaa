"""The simulated DNMS alone, against the worked bytes of its fact sheet."""

import math
import struct

import pytest

from tools.sim.chips import Nack
from tools.sim.chips.dnms import BANDS_HZ, DNMS, check
from tools.sim.chips.i2s_mic import a_weighting_db
from tools.sim.world import World

START_S = 1_768_200_000 + 7 * 3600
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
RESET, VERSION, CALCULATE, READY, LEVELS = (bytes((0, n)) for n in range(1, 6))
EXAMPLE = bytes.fromhex("42 52 CD 00 00 81 42 25 A2 00 00 81 42 89 23 80 00 A2")


@pytest.fixture
def chip() -> DNMS:
    return DNMS(World(7, START_S), 1)


def ask(chip: DNMS, command: bytes, n: int, now_us: int) -> bytes:
    chip.write(command, now_us)
    return chip.read(n, now_us + 2 * MS)


def singles(answer: bytes) -> tuple[float, ...]:
    """The values of an answer; checks its checksums."""
    assert all(check(answer[at : at + 2]) == answer[at + 2] for at in range(0, len(answer), 3))
    data = b"".join(answer[at : at + 2] for at in range(0, len(answer), 3))
    return struct.unpack(f">{len(data) // 4}f", data)


def measured(chip: DNMS, begin_us: int, end_us: int) -> tuple[float, ...]:
    """(LAeq, LAmin, LAmax) of an interval."""
    chip.write(CALCULATE, begin_us)
    chip.write(CALCULATE, end_us)
    return singles(ask(chip, LEVELS, 18, end_us + 50 * MS))


@pytest.mark.parametrize(
    ("pair", "expected"),
    [("BEEF", 0x92), ("0000", 0x81), ("FFFF", 0xAC), ("7FFF", 0x8F), ("DEAD", 0x98), ("0001", 0xB0)],
)
def test_checksum_of_the_fact_sheet(pair: str, expected: int) -> None:
    assert check(bytes.fromhex(pair)) == expected


def test_levels_are_the_worked_bytes_and_are_handed_out_once(chip: DNMS) -> None:
    chip.fixed = (52.5, 41.25, 68.75)
    chip.write(CALCULATE, T0 + SECOND)
    assert ask(chip, READY, 3, T0 + SECOND + 10 * MS) == bytes.fromhex("000081")
    assert ask(chip, READY, 3, T0 + SECOND + 30 * MS) == bytes.fromhex("0001B0")
    assert ask(chip, LEVELS, 18, T0 + SECOND + 40 * MS) == EXAMPLE
    assert ask(chip, LEVELS, 18, T0 + SECOND + 50 * MS) == bytes.fromhex("000081") * 6
    assert ask(chip, READY, 3, T0 + SECOND + 60 * MS) == bytes.fromhex("000081")


def test_version_and_what_is_read_without_a_command(chip: DNMS) -> None:
    answer = ask(chip, VERSION, 27, T0)
    assert answer[:2] == b"DN" and answer[3:5] == b"MS"
    assert bytes(answer[at + n] for at in range(0, 27, 3) for n in (0, 1)) == b"DNMS Version 5.9.1"
    rubbish = chip.read(18, T0 + SECOND)
    assert any(check(rubbish[at : at + 2]) != rubbish[at + 2] for at in range(0, 18, 3))
    chip.write(VERSION, T0)
    chip.write(b"\x77\x77", T0)  # acknowledged, and forgotten
    assert chip.read(3, T0) != answer[:3]


def test_levels_are_the_worlds(chip: DNMS) -> None:
    begin_us, end_us = T0 + 60 * SECOND, T0 + 90 * SECOND
    laeq, lowest, highest = measured(chip, begin_us, end_us)
    truth, _ = chip.world.sound_truth(begin_us, end_us)
    assert laeq == pytest.approx(truth, abs=0.3)
    assert lowest < laeq < highest
    middle_db = [chip.world.sound_db(at) for at in range(begin_us, end_us, 35 * MS)]
    assert highest == pytest.approx(max(middle_db), abs=0.8)
    assert lowest == pytest.approx(min(middle_db), abs=0.8)


def test_stillness_is_the_own_noise() -> None:
    quiet = DNMS(World(7, START_S), 1, level_db=-20.0)
    assert measured(quiet, T0, T0 + 10 * SECOND)[0] == pytest.approx(29.0, abs=0.2)


def test_spectra_add_up_to_the_level(chip: DNMS) -> None:
    laeq = measured(chip, T0, T0 + SECOND)[0]
    now = T0 + SECOND + 100 * MS
    parts = ((6, 48), (7, 48), (8, 48), (9, 42))
    weighted = sum((singles(ask(chip, bytes((0, n)), size, now)) for n, size in parts), ())
    plain = sum((singles(ask(chip, bytes((0, n + 12)), size, now)) for n, size in parts), ())
    assert len(weighted) == len(plain) == len(BANDS_HZ) == 31
    assert BANDS_HZ[17] == 1000.0 and BANDS_HZ[0] == pytest.approx(20, rel=0.01)
    assert 10 * math.log10(sum(10 ** (level / 10) for level in weighted)) == pytest.approx(laeq, abs=0.01)
    for hertz, a, z in zip(BANDS_HZ, weighted, plain, strict=True):
        assert a - z == pytest.approx(a_weighting_db(hertz), abs=0.001)


def test_old_firmware_knows_no_unweighted_spectrum() -> None:
    old = DNMS(World(7, START_S), 1, version="DNMS Version 4.3")
    measured(old, T0, T0 + SECOND)
    assert singles(ask(old, bytes((0, 6)), 48, T0 + 2 * SECOND))
    answer = ask(old, bytes((0, 0x12)), 48, T0 + 2 * SECOND)
    assert any(check(answer[at : at + 2]) != answer[at + 2] for at in range(0, 48, 3))


def test_the_wrong_microphone_is_ten_decibels() -> None:
    levels = []
    for command in (b"\x00\x1b", b"\x00\x1c"):
        chip = DNMS(World(7, START_S), 1, level_db=60.0)
        chip.write(command, T0)
        levels.append(measured(chip, T0, T0 + SECOND)[0])
    assert levels[0] == pytest.approx(60.0, abs=0.1)
    assert levels[1] - levels[0] == pytest.approx(10.0, abs=0.01)


def test_boot_reset_and_supply(chip: DNMS) -> None:
    chip.power_off()
    with pytest.raises(Nack, match="no supply"):
        chip.write(VERSION, T0)
    chip.power_on(T0)
    with pytest.raises(Nack, match="starting up"):
        chip.write(VERSION, T0 + 2 * SECOND)
    chip.write(CALCULATE, T0 + 4 * SECOND)
    chip.write(RESET, T0 + 4 * SECOND + 100 * MS)
    assert ask(chip, READY, 3, T0 + 5 * SECOND) == bytes.fromhex("000081")


def test_faults(chip: DNMS) -> None:
    sound = ask(chip, VERSION, 27, T0)
    for fault, differ in (("bad_crc", 1), ("byte_shift", 27)):
        chip.switch(fault)
        answer = ask(chip, VERSION, 27, T0)
        assert 1 <= sum(a != b for a, b in zip(answer, sound, strict=True)) <= differ
        chip.switch(fault, False)
    for fault, first in (("no_data", 0.0), ("nonsense", math.nan)):
        chip.switch(fault)
        assert measured(chip, T0, T0 + SECOND)[0] == pytest.approx(first, nan_ok=True)
        chip.switch(fault, False)
    chip.switch("stuck")
    assert measured(chip, T0, T0 + SECOND) == measured(chip, T0 + 20 * SECOND, T0 + 40 * SECOND)
    chip.switch("stuck", False)
    for fault, at_ms in (("never_ready", 5000), ("late_answer", 300)):
        chip.switch(fault)
        chip.write(CALCULATE, T0)
        assert ask(chip, READY, 3, T0 + at_ms * MS) == bytes.fromhex("000081")
        chip.switch(fault, False)
    chip.switch("wrong_chip")
    assert ask(chip, VERSION, 27, T0)[:1] != b"D"
    chip.switch("wrong_chip", False)
    chip.switch("restarts")
    there = []
    for second in range(30):
        try:
            chip.write(VERSION, T0 + second * SECOND)
            there.append(second)
        except Nack:
            pass
    assert 18 <= len(there) <= 26
