"""The simulated TF-Luna alone, against the worked bytes of its fact sheet."""

from itertools import pairwise
from typing import Any

import pytest

from tools.sim.chips.tfluna import Surface, TFLuna, frame, summed
from tools.sim.world import World

START_S = 1_768_200_000 + 7 * 3600
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
EXAMPLE_1 = bytes.fromhex("5959 2C01 E803 F008 C2")
EXAMPLE_2 = bytes.fromhex("5959 0000 3200 0009 ED")
EXAMPLE_3 = bytes.fromhex("5959 5802 FFFF 9008 A2")


def lidar(**params: Any) -> TFLuna:
    return TFLuna(World(7, START_S), 1, **params)


def frames(chip: TFLuna, begin_us: int, end_us: int) -> list[bytes]:
    """Each measurement between two instants, as the host sees it."""
    sent = []
    chip.output(begin_us - 1)
    while (at := chip.next_output_us()) is not None and at < end_us:
        sent.append(chip.output(at))
    return sent


def decoded(data: bytes) -> tuple[int, int]:
    """(distance, strength) of a frame; checks its form."""
    assert len(data) == 9
    assert data[:2] == b"YY"
    assert sum(data[:8]) % 256 == data[8]
    return int.from_bytes(data[2:4], "little"), int.from_bytes(data[4:6], "little")


def answer_to(chip: TFLuna, command: str, now_us: int) -> bytes:
    """What stands behind the frames that are due."""
    chip.output(now_us)
    chip.receive(bytes.fromhex(command), now_us)
    chip.enabled, enabled = False, chip.enabled
    said = chip.output(now_us + 2 * MS)
    chip.enabled = enabled if bytes.fromhex(command)[2] != 7 else bytes.fromhex(command)[3] != 0
    return said


def test_worked_bytes() -> None:
    assert frame(300, 1000, 30.0) == EXAMPLE_1
    assert frame(0, 50, 32.0) == EXAMPLE_2
    assert frame(600, 0xFFFF, 18.0) == EXAMPLE_3
    assert summed(b"\xff\x02") == b"\xff\x02\x01"


@pytest.mark.parametrize(("rate", "command"), [(10, "5A06030A0000"), (100, "5A0603640000"), (250, "5A0603FA0000")])
def test_rates(rate: int, command: str) -> None:
    chip = lidar()
    assert answer_to(chip, command, T0) == summed(bytes.fromhex(command)[:-1])
    assert len(frames(chip, T0 + SECOND, T0 + 3 * SECOND)) == 2 * rate


def test_a_hundred_a_second_by_default_and_none_in_trigger_mode() -> None:
    chip = lidar()
    assert len(frames(chip, T0, T0 + SECOND)) == 100
    answer_to(chip, "5A0603000000", T0 + SECOND)
    assert frames(chip, T0 + SECOND, T0 + 3 * SECOND) == []


def test_version_output_and_what_it_does_not_know() -> None:
    chip = lidar()
    chip.firmware = (112, 50, 9)
    assert answer_to(chip, "5A040100", T0) == bytes.fromhex("5A0701 703209 0D")
    assert answer_to(chip, "5A05070000", T0) == bytes.fromhex("5A050700 66")
    assert frames(chip, T0, T0 + SECOND) == []
    assert answer_to(chip, "5A05070100", T0 + SECOND) == bytes.fromhex("5A050701 67")
    assert len(frames(chip, T0 + SECOND, T0 + 2 * SECOND)) in (99, 100)
    assert answer_to(chip, "5A040900", T0 + 3 * SECOND) == b""


def test_millimetres() -> None:
    chip = lidar(noise=False)
    chip.fixed = Surface(312.0, 0.5)
    assert decoded(frames(chip, T0, T0 + 10 * MS)[0])[0] == 312
    answer_to(chip, "5A05050600", T0 + 20 * MS)
    assert decoded(frames(chip, T0 + 20 * MS, T0 + 40 * MS)[0])[0] == 3120


def test_commands_in_pieces_and_between_rubbish() -> None:
    chip = lidar()
    chip.output(T0)
    for byte in b"\x00\x5a\x01\x5a\x5a\x06\x03\xfa\x00\x00":
        chip.receive(bytes((byte,)), T0)
    assert chip.rate_hz == 250


def test_strength_falls_with_distance_and_too_little_is_no_distance() -> None:
    chip = lidar(noise=False)
    seen = []
    for distance_cm in (100.0, 200.0, 400.0, 800.0):
        chip.fixed = Surface(distance_cm, 0.1)
        seen.append(decoded(frames(chip, T0, T0 + 10 * MS)[0]))
        chip.power_on(T0 - SECOND)
    assert seen == [(100, 3000), (200, 750), (400, 187), (0, 46)]


def test_cars_pass_below_with_their_length_and_height() -> None:
    chip = lidar(noise=False)
    vehicles = [v for v in chip.world.vehicles(T0 + 10 * SECOND, T0 + 300 * SECOND) if v.approaching]
    cars = [v for v in vehicles if v.kind.name == "car"]
    assert len(cars) > 10
    for car in cars[:10]:
        lasts_us = int(car.kind.length_m / car.speed_kmh * 3_600_000)
        below = [chip._meets(car.pass_us + lasts_us * part // 100) for part in range(100)]
        heights = [500.0 - surface.distance_cm for surface in below]
        assert 135 < max(heights) < 165
        assert 75 < heights[0] < 100
        assert 10 < sum(surface.reflectivity < 0.02 for surface in below) < 40, "glass swallows the light"
        assert chip._meets(car.pass_us - 200 * MS).distance_cm == 500.0


def test_a_lorry_is_high_and_the_other_lane_is_not_seen() -> None:
    chip = lidar(noise=False)
    passing = chip.world.vehicles(T0, T0 + 3600 * SECOND)
    lorry = next(v for v in passing if v.kind.name == "lorry" and v.approaching)
    assert chip._meets(lorry.pass_us + 200 * MS).distance_cm < 500.0 - 300.0
    other = lidar(noise=False, lane="depart")
    assert other._meets(lorry.pass_us + 200 * MS).distance_cm != chip._meets(lorry.pass_us + 200 * MS).distance_cm


def test_across_the_lane() -> None:
    chip = lidar(noise=False, mount="side")
    car = next(v for v in chip.world.vehicles(T0, T0 + 600 * SECOND) if v.approaching)
    assert chip._meets(car.pass_us + 100 * MS).distance_cm == pytest.approx((car.offset_m - 0.9) * 100)
    assert chip._meets(car.pass_us - 100 * MS).distance_cm == 600.0
    assert decoded(frames(lidar(mount="side", wall_m=0.0), T0, T0 + 10 * MS)[0])[0] == 0


def test_faults() -> None:
    chip = lidar()
    good = [decoded(data)[0] for data in frames(chip, T0, T0 + SECOND)]
    assert min(good) > 490
    for fault, check in (
        ("bad_checksum", lambda data: sum(data[:8]) % 256 != data[8]),
        ("byte_shift", lambda data: len(data) == 8),
        ("glare", lambda data: data[4:6] == b"\xff\xff"),
        ("dirt", lambda data: decoded(data)[0] == 3),
        ("parked", lambda data: 340 < decoded(data)[0] < 360),
        ("wet", lambda data: decoded(data)[0] == 0),
    ):
        assert all(check(data) for data in frames(lidar(faults=(fault,)), T0, T0 + SECOND)), fault
    assert len(set(frames(lidar(faults=("stuck",)), T0, T0 + SECOND))) == 1
    lost = frames(lidar(faults=("lost_bytes",)), T0, T0 + 10 * SECOND)
    assert 20 <= sum(len(data) == 8 for data in lost) <= 80
    dry = [decoded(data)[0] for data in frames(lidar(), T0, T0 + 10 * SECOND)]
    rain = [decoded(data)[0] for data in frames(lidar(faults=("rain",)), T0, T0 + 10 * SECOND)]
    assert 15 <= sum(0 < distance < 180 for distance in rain) - sum(0 < d < 180 for d in dry) <= 60


def test_silence_late_answers_and_a_restart() -> None:
    chip = lidar(faults=("silence",))
    assert chip.next_output_us() is None
    late = lidar(faults=("late_answer",))
    assert answer_to(late, "5A040100", T0) == b""
    late.enabled = False
    assert late.output(T0 + 1500 * MS)[:3] == bytes.fromhex("5A0701")
    restarts = lidar(faults=("brown_out",))
    answer_to(restarts, "5A0603FA0000", T0)
    assert restarts.rate_hz == 250
    frames(restarts, T0, T0 + 20 * SECOND)
    assert restarts.rate_hz == 100


def test_power_and_another_baud_rate() -> None:
    chip = lidar()
    chip.power_off()
    assert chip.output(T0 + SECOND) == b""
    chip.receive(bytes.fromhex("5A0603FA0000"), T0 + SECOND)
    chip.power_on(T0 + SECOND)
    assert chip.next_output_us() == T0 + SECOND + 200 * MS
    chip.host_baudrate = 9600
    assert b"YY" not in chip.output(T0 + 2 * SECOND)


def test_frames_are_equally_far_apart_and_old_ones_are_gone() -> None:
    chip = lidar()
    chip.output(T0)
    due = []
    for _ in range(10):
        at = chip.next_output_us()
        assert at is not None
        due.append(at)
        chip.output(at)
    assert {later - sooner for sooner, later in pairwise(due)} == {10 * MS}
    assert len(chip.output(T0 + 3600 * SECOND)) <= 9 * 502
