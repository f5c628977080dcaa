"""The simulated OPS243-A alone, against the worked lines of its fact sheet."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tools.sim.chips.ops243a import OPS243A, Peak
from tools.sim.world import World

START_S = 1_768_200_000 + 7 * 3600
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000


def radar(**params: Any) -> OPS243A:
    return OPS243A(World(7, START_S), 1, **params)


def lines(chip: OPS243A, begin_us: int, end_us: int) -> list[bytes]:
    """What each spectrum between two instants gives."""
    sent = []
    chip.output(begin_us - 1)
    while (at := chip.next_output_us()) is not None and at < end_us:
        sent.append(chip.output(at))
    return sent


def answers_to(chip: OPS243A, words: bytes, now_us: int = T0) -> list[Any]:
    """The JSON lines that answer, while nothing moves."""
    chip.fixed = []
    chip.output(now_us)
    chip.receive(words, now_us)
    return [json.loads(line) for line in chip.output(now_us + 5 * MS).splitlines() if b'"speed"' not in line]


def test_worked_lines() -> None:
    chip = radar()
    at = T0 + 137_429 * MS
    chip.receive(b"OT", T0)
    assert chip.line([Peak(3.6, 241.0)], at) == b"137.429,3.6\r\n"  # example 1
    chip.receive(b"OtUMF2", T0)
    assert chip.line([Peak(-13.89, 241.0)], at) == b"-13.89\r\n"  # example 3
    chip.receive(b"UKF1", T0)
    assert chip.line([Peak(-50.0 / 3.6, 241.0)], at) == b"-50.0\r\n"  # example 3
    chip.receive(b"OMUMF2", T0)
    assert chip.line([Peak(-5.28, 241.0)], at) == b"241,-5.28\r\n"  # example 5
    chip.receive(b"OmOJ", T0)
    assert chip.line([Peak(3.6, 1.0)], at) == b'{"speed":"3.60"}\r\n'
    older = radar(strings=False, directions=True)
    older.receive(b"OJF2", T0)
    assert json.loads(older.line([Peak(0.58, 1.0)], at)) == {"speed": 0.58, "direction": "inbound"}  # example 2
    assert json.loads(older.line([Peak(-0.58, 1.0)], at)) == {"speed": 0.58, "direction": "outbound"}


def test_status_lines() -> None:
    assert answers_to(radar(), b"?P") == [{"Product": "OPS243"}]  # example 4
    assert answers_to(radar(), b"N?") == [{"DetectedObjectCount": 3}]  # example 4
    assert answers_to(radar(), b"UKU?") == [{"Units": "km-per-hr"}] * 2  # example 4
    assert answers_to(radar(), b"U?") == [{"Units": "m-per-sec"}]
    assert answers_to(radar(), b"?U") == [{"UID": "0A1B2C3D"}]
    assert answers_to(radar(uid=""), b"?U?V") == [{"Version": "1.3.2"}]
    assert answers_to(radar(), b"SX") == [{"SamplingRate": 10000, "resolution": 0.0607}]
    assert answers_to(radar(), b"zzZZ") == []


def test_commands_in_pieces_and_numbers_need_an_end() -> None:
    chip = radar()
    for byte in b"\rO":
        chip.receive(bytes((byte,)), T0)
    assert not chip.features
    chip.receive(b"JOMO3F2R>1", T0)
    assert chip.features == {"J", "M"}
    assert (chip.listed, chip.decimals, chip.least) == (3, 2, 0.0)
    chip.receive(b"\rM>50\nR+", T0)
    assert (chip.least, chip.weakest, chip.ways) == (1.0, 50.0, "+")
    chip.receive(b"R>x\r", T0)
    assert chip.least == 1.0
    chip.receive(b"AX", T0)
    assert (chip.features, chip.listed, chip.ways) == (set(), 1, "|")


def test_ten_spectra_a_second_and_silence_without_a_target() -> None:
    chip = radar()
    chip.fixed = [Peak(13.89, 100.0)]
    assert len(lines(chip, T0, T0 + 10 * SECOND)) in (97, 98)
    chip.receive(b"S2", T0 + 10 * SECOND)
    assert len(lines(chip, T0 + 10 * SECOND, T0 + 20 * SECOND)) in (195, 196)
    chip.fixed = []
    assert set(lines(chip, T0 + 20 * SECOND, T0 + 21 * SECOND)) == {b""}
    chip.receive(b"BZOJ", T0 + 21 * SECOND)
    assert b'{"speed":"0.0"}\r\n' in lines(chip, T0 + 21 * SECOND, T0 + 22 * SECOND)
    chip.receive(b"PI", T0 + 22 * SECOND)
    assert lines(chip, T0 + 22 * SECOND, T0 + 23 * SECOND) == []
    chip.receive(b"PA", T0 + 23 * SECOND)
    assert lines(chip, T0 + 23 * SECOND, T0 + 24 * SECOND)


def test_a_lone_car_is_followed_with_its_speed_and_grows_stronger() -> None:
    chip = radar(noise=False)
    chip.receive(b"O4", T0)
    everyone = chip.world.vehicles(T0 - 6 * 3600 * SECOND, T0 - 3 * 3600 * SECOND)
    alone = next(
        b
        for a, b, c in zip(everyone, everyone[1:], everyone[2:], strict=False)
        if b.approaching and b.kind.name == "car" and b.pass_us - a.pass_us > 30 * SECOND < c.pass_us - b.pass_us
    )
    seen = [peak for n in range(-150, 10) for peak in chip.peaks(alone.pass_us + n * 100 * MS)]
    assert len(seen) > 20
    strengths = [peak.strength for peak in seen]
    assert strengths == sorted(strengths)
    assert all(peak.speed_mps > 0 for peak in seen)
    assert seen[0].speed_mps * 3.6 == pytest.approx(alone.speed_kmh, abs=0.3)
    assert seen[-1].speed_mps < seen[0].speed_mps  # the cosine of a near target


def test_speeds_lie_on_bins_and_near_ones_are_one_peak() -> None:
    chip = radar()
    chip.receive(b"O9", T0)
    most = 0
    for n in range(3000):
        peaks = chip.peaks(T0 + n * 100 * MS)
        most = max(most, len(peaks))
        assert [peak.strength for peak in peaks] == sorted((peak.strength for peak in peaks), reverse=True)
        for peak in peaks:
            bins = peak.speed_mps / chip.bin_mps
            assert bins == pytest.approx(round(bins), abs=1e-6)
        for one, two in pairwise(sorted(peak.speed_mps for peak in peaks)):
            assert two - one > 2 * chip.bin_mps
    assert most >= 3
    chip.receive(b"O1R-", T0)
    assert all(peak.speed_mps < 0 for n in range(300) for peak in chip.peaks(T0 + n * 100 * MS))


def test_faults() -> None:
    def faulty(fault: str) -> list[bytes]:
        chip = radar(faults=(fault,))
        chip.receive(b"OJOMO2", T0)
        chip.fixed = [Peak(13.89, 100.0)]
        return lines(chip, T0 + SECOND, T0 + 11 * SECOND)

    good = b'{"magnitude":"100","speed":"13.9"}\r\n'
    late = radar(faults=("late_answer",))
    assert answers_to(late, b"?P") == []
    assert b"OPS243" in late.output(T0 + 1500 * MS)
    assert {len(line) for line in faulty("byte_shift")} == {len(good) - 1}
    assert 1 <= faulty("dropped").count(b"") <= 25
    assert set(faulty("half_lines")) == {good[: len(good) // 2]}
    assert all(line.startswith(good) and max(line[len(good) : -1]) >= 0x80 for line in faulty("garbage"))
    stuck = radar(faults=("stuck",))
    stuck.fixed = [Peak(13.89, 100.0)]
    first = lines(stuck, T0 + SECOND, T0 + 2 * SECOND)
    stuck.fixed = []
    assert set(lines(stuck, T0 + 2 * SECOND, T0 + 3 * SECOND)) == set(first)
    ghosts = radar(faults=("ghosts",))
    ghosts.world.vehicles = lambda *_: []  # type: ignore[method-assign]
    assert any(lines(ghosts, T0, T0 + 20 * SECOND))


def test_silence_restart_and_another_baud_rate() -> None:
    chip = radar(faults=("silence",))
    chip.receive(b"OJ", T0)
    assert chip.next_output_us() is None
    assert not chip.features
    forgets = radar(faults=("brown_out",))
    forgets.receive(b"OJ", T0)
    lines(forgets, T0, T0 + 20 * SECOND)
    assert not forgets.features
    other = radar()
    other.fixed = [Peak(13.89, 100.0)]
    other.host_baudrate = 115_200
    other.receive(b"OJ", T0)
    assert not other.features
    assert b"13.9" not in b"".join(lines(other, T0, T0 + SECOND))
    other.power_off()
    assert other.output(T0 + 2 * SECOND) == b""
    assert len(radar().output(T0 + 3600 * SECOND)) < 50 * 20
