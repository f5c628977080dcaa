"""The simulated LD2451 alone, against the worked bytes of its fact sheet."""

from itertools import pairwise
from typing import Any

import pytest

from tools.sim.chips.ld2451 import LD2451, Target, report
from tools.sim.world import World

START_S = 1_768_200_000 + 7 * 3600
T0 = START_S * 1_000_000
MS = 1000
SECOND = 1_000_000
ENABLE = bytes.fromhex("FDFCFBFA 0400 FF00 0100 04030201")
END = bytes.fromhex("FDFCFBFA 0200 FE00 04030201")
READ_DETECTION = bytes.fromhex("FDFCFBFA 0200 1200 04030201")
RESTART = bytes.fromhex("FDFCFBFA 0200 A300 04030201")
IDLE = bytes.fromhex("F4F3F2F1 0000 F8F7F6F5")
EXAMPLE_1 = bytes.fromhex("F4F3F2F1 1100 03 01 8A28003C15 8A1E013C0F 765F003C0F F8F7F6F5")
EXAMPLE_3 = bytes.fromhex("F4F3F2F1 0700 01 01 803201310C F8F7F6F5")
EXAMPLE_1_TARGETS = [
    Target(10, 40, False, 60, 21),
    Target(10, 30, True, 60, 15),
    Target(-10, 95, False, 60, 15),
]


def radar(**params: Any) -> LD2451:
    chip = LD2451(World(7, START_S), 1, **params)
    chip.power_on(T0)
    return chip


def run(chip: LD2451, begin_us: int, end_us: int) -> list[tuple[int, bytes]]:
    """Everything the chip sends between two instants, as the host sees it."""
    sent = []
    chip.output(begin_us - 1)
    while (at := chip.next_output_us()) is not None and at < end_us:
        sent.append((at, chip.output(at)))
    return sent


def targets_of(frame: bytes) -> list[tuple[int, ...]]:
    """(angle, distance, direction, speed, snr) of a report; checks its form."""
    assert frame[:4] == IDLE[:4]
    assert frame[-4:] == IDLE[-4:]
    length = int.from_bytes(frame[4:6], "little")
    assert len(frame) == length + 10
    if not length:
        return []
    assert length == 2 + 5 * frame[6]
    found = [tuple(frame[8 + 5 * n : 13 + 5 * n]) for n in range(frame[6])]
    return [(angle - 0x80, *rest) for angle, *rest in found]


def answer_to(chip: LD2451, command: bytes, now_us: int) -> bytes:
    """The acknowledgement alone, while reports stand still."""
    chip.receive(command, now_us)
    assert chip.next_output_us() == now_us + 4 * MS
    return chip.output(now_us + 4 * MS)


def test_report_worked_bytes() -> None:
    assert report(EXAMPLE_1_TARGETS) == EXAMPLE_1
    assert report([]) == IDLE
    assert report([Target(0, 50, True, 49, 12)]) == bytes.fromhex(
        "F4F3F2F1 0700 01 01 8032013 10C F8F7F6F5".replace(" ", "")
    )


def test_example_comes_out_of_the_chip_and_inverted_from_the_other_kind() -> None:
    chip = radar()
    chip.fixed = EXAMPLE_1_TARGETS
    assert run(chip, T0 + SECOND, T0 + SECOND + 1)[0][1] == EXAMPLE_1
    other = radar(direction_inverted=True)
    other.fixed = EXAMPLE_1_TARGETS
    frame = run(other, T0 + SECOND, T0 + SECOND + 1)[0][1]
    assert [target[2] for target in targets_of(frame)] == [1, 0, 1]
    assert frame[7] == 1  # the alarm means approaching, whatever the direction byte says


def test_ten_reports_a_second_after_half_a_second_of_start() -> None:
    sent = run(radar(), T0, T0 + 3 * SECOND)
    assert sent[0][0] == T0 + 500 * MS
    assert len(sent) == 25
    assert {b - a for (a, _), (b, _) in pairwise(sent)} == {100 * MS}


def test_empty_road_with_and_without_idle_frames() -> None:
    talking, quiet = radar(), radar(idle_frames=False)
    for chip in (talking, quiet):
        chip.fixed = []
    assert {frame for _, frame in run(talking, T0 + SECOND, T0 + 2 * SECOND)} == {IDLE}
    assert {frame for _, frame in run(quiet, T0 + SECOND, T0 + 2 * SECOND)} == {b""}


def test_at_most_three_nearest_first_integers_in_range() -> None:
    busiest = 0
    for _, frame in run(radar(), T0 + SECOND, T0 + 400 * SECOND):
        targets = targets_of(frame)
        busiest = max(busiest, len(targets))
        distances = [target[1] for target in targets]
        assert all(b >= a - 2 for a, b in pairwise(distances))
        for angle, distance, direction, speed, snr in targets:
            assert -20 <= angle <= 20
            assert 0 < distance <= 100
            assert direction in (0, 1)
            assert 5 <= speed <= 120
            assert 0 < snr < 256
        assert (frame[7] if targets else 0) == int(any(target[2] == 1 for target in targets))
    assert busiest == 3


@pytest.mark.parametrize("approaching", [True, False])
def test_a_lone_vehicle_is_followed_with_its_speed(approaching: bool) -> None:
    chip = radar(noise=False)
    everyone = chip.world.vehicles(T0 - 6 * 3600 * SECOND, T0 - 3 * 3600 * SECOND)
    alone = next(
        b
        for a, b, c in zip(everyone, everyone[1:], everyone[2:], strict=False)
        if b.approaching == approaching
        and b.kind.name == "car"
        and b.pass_us - a.pass_us > 30 * SECOND
        and c.pass_us - b.pass_us > 30 * SECOND
    )
    seen = []
    for n in range(-150, 151):
        at = alone.pass_us + n * 100 * MS
        seen += [(at, target) for target in chip.targets(at)]
    distances = [target.distance_m for _, target in seen]
    assert len(seen) > 15
    assert distances == sorted(distances, reverse=approaching)
    assert all(target.approaching == approaching for _, target in seen)
    metres = abs(distances[-1] - distances[0])
    seconds = (seen[-1][0] - seen[0][0]) / 1e6
    assert metres / seconds * 3.6 == pytest.approx(alone.speed_kmh, rel=0.08)
    farthest = max(seen, key=lambda entry: entry[1].distance_m)[1]
    assert farthest.speed_kmh == pytest.approx(alone.speed_kmh, abs=1)
    nearest = min(seen, key=lambda entry: entry[1].distance_m)[1]
    assert nearest.speed_kmh < farthest.speed_kmh  # the cosine of a near target


def test_most_vehicles_are_seen_some_are_hidden() -> None:
    """Occlusion and reach are real, yet a tracker has what it needs for nearly all of a busy street."""
    chip = radar()
    begin, end = T0 + 60 * SECOND, T0 + 660 * SECOND
    seen: dict[int, int] = {}
    hidden = 0
    for at in range(begin - 30 * SECOND, end + 30 * SECOND, 100 * MS):
        shown = chip.targets(at)
        for vehicle in chip._neighbourhood(at):
            target = chip._target(vehicle, at)
            if target in shown:
                seen[vehicle.key] = seen.get(vehicle.key, 0) + 1
            elif target is not None and target.distance_m <= 100:
                hidden += 1
    vehicles = chip.world.vehicles(begin, end)
    followed = sum(seen.get(v.key, 0) >= 10 for v in vehicles)
    assert followed > 0.93 * len(vehicles) > 30
    assert hidden > 0


def test_commands_need_the_configuration_mode_and_stop_the_reports() -> None:
    chip = radar()
    now = T0 + SECOND
    chip.output(now)
    chip.receive(READ_DETECTION, now)
    assert chip.output(now + 4 * MS) == bytes.fromhex("FDFCFBFA 0400 1201 0100 04030201")
    ack = answer_to(chip, ENABLE, now + 10 * MS)
    assert ack == bytes.fromhex("FDFCFBFA 0800 FF01 0000 01000000 04030201")
    assert chip.next_output_us() is None
    assert chip.output(now + 5 * SECOND) == b""
    assert answer_to(chip, END, now + 6 * SECOND) == bytes.fromhex("FDFCFBFA 0400 FE01 0000 04030201")
    assert chip.next_output_us() == now + 6100 * MS


def test_detection_and_sensitivity_and_firmware_worked_bytes() -> None:
    chip = radar()
    now = T0 + SECOND
    chip.output(now)
    answer_to(chip, ENABLE, now)
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0600 0200 64010502 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0400 0201 0000 04030201")
    ack = answer_to(chip, READ_DETECTION, now)
    assert ack == bytes.fromhex("FDFCFBFA 0800 1201 0000 64010502 04030201")
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0600 0300 02080000 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0400 0301 0000 04030201")
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0200 1300 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0800 1301 0000 02080000 04030201")
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0200 A000 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0C00 A001 0000 5124 0101 10150524 04030201")
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0200 7700 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0400 7701 0100 04030201")
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0600 0200 09010502 04030201"), now)  # 9 m is out of range
    assert ack == bytes.fromhex("FDFCFBFA 0400 0201 0100 04030201")
    answer_to(chip, bytes.fromhex("FDFCFBFA 0200 A200 04030201"), now)
    assert answer_to(chip, READ_DETECTION, now)[10:14] == bytes((100, 2, 5, 2))


def test_detection_settings_filter_the_reports() -> None:
    chip = radar()
    chip.detection = bytes((40, 1, 20, 2))
    reports = run(chip, T0 + SECOND, T0 + 200 * SECOND)
    targets = [target for _, frame in reports for target in targets_of(frame)]
    assert len(targets) > 20
    assert all(target[1] <= 40 and target[2] == 1 and target[3] >= 20 for target in targets)


def test_baudrate_changes_after_a_restart_only() -> None:
    chip = radar()
    now = T0 + SECOND
    chip.output(now)
    answer_to(chip, ENABLE, now)
    ack = answer_to(chip, bytes.fromhex("FDFCFBFA 0400 A100 0700 04030201"), now)
    assert ack == bytes.fromhex("FDFCFBFA 0400 A101 0000 04030201")
    assert chip.baudrate == 115200
    ack = answer_to(chip, RESTART, now)
    assert ack == bytes.fromhex("FDFCFBFA 0400 A301 0000 04030201")
    assert chip.baudrate == 256000
    assert chip.next_output_us() == now + 500 * MS
    chip.host_baudrate = 115200
    chip.fixed = EXAMPLE_1_TARGETS
    garbled = chip.output(now + 500 * MS)
    assert garbled
    assert garbled[:4] != EXAMPLE_1[:4]
    chip.receive(ENABLE, now + 510 * MS)
    assert not chip.configuring
    chip.host_baudrate = 256000
    assert chip.output(now + 600 * MS) == EXAMPLE_1
    chip.power_off()
    assert chip.next_output_us() is None
    chip.power_on(now + 5 * SECOND)
    assert chip.baudrate == 256000


def test_commands_in_pieces_and_between_rubbish() -> None:
    chip = radar()
    now = T0 + SECOND
    chip.output(now)
    for byte in b"\x00\xfd\xfc\xfd\xfc\xfb\xfa\xff\xff" + ENABLE:
        chip.receive(bytes((byte,)), now)
    assert chip.configuring
    chip.receive(b"\x55" * 5000 + END[:-1], now)
    assert chip.configuring
    chip.receive(END[-1:], now)
    assert not chip.configuring


def frames(chip: LD2451, seconds: int = 60) -> list[bytes]:
    return [frame for _, frame in run(chip, T0 + SECOND, T0 + (1 + seconds) * SECOND)]


def test_dropped_reports_and_gaps() -> None:
    assert 30 < frames(radar(faults=["dropped"])).count(b"") < 95
    assert 30 < frames(radar(drop_percent=10)).count(b"") < 95
    assert frames(radar(faults=["gaps"])).count(b"") == 120


def test_stuck_shifted_ghosts_garbage_and_count() -> None:
    stuck = radar(faults=["stuck"])
    stuck.fixed = EXAMPLE_1_TARGETS
    stuck.output(T0 + SECOND)
    stuck.fixed = [Target(0, 50, True, 49, 12)]
    assert set(frames(stuck, 2)) == {EXAMPLE_1}
    shifted = radar(faults=["byte_shift"])
    shifted.fixed = EXAMPLE_1_TARGETS
    assert {len(frame) for frame in frames(shifted, 5)} == {len(EXAMPLE_1) - 1}
    empty = radar(faults=["ghosts"])
    empty.detection = bytes((10, 2, 119, 2))
    assert any(targets_of(frame) for frame in frames(empty, 20))
    rubbish = radar(faults=["garbage"])
    rubbish.fixed = []
    assert all(frame.startswith(IDLE) and len(frame) > len(IDLE) for frame in frames(rubbish, 3))
    wrong = radar(faults=["wrong_count"])
    wrong.fixed = EXAMPLE_1_TARGETS
    assert {frame[6] for frame in frames(wrong, 2)} == {4}


def test_silence_and_late_answer() -> None:
    chip = radar(faults=["silence"])
    assert chip.next_output_us() is None
    chip.receive(ENABLE, T0 + SECOND)
    assert not chip.configuring
    assert chip.output(T0 + 2 * SECOND) == b""
    late = radar(faults=["late_answer"])
    late.fixed = []
    sent = run(late, T0 + SECOND, T0 + 4 * SECOND)
    assert {len(part) for _, part in sent[1:]} == {5 * len(IDLE)}
    late.receive(ENABLE, T0 + 5 * SECOND)
    assert late.next_output_us() == T0 + 6500 * MS


def test_after_a_pause_of_the_host_only_the_last_seconds_come() -> None:
    chip = radar()
    chip.fixed = []
    assert len(chip.output(T0 + 3600 * SECOND)) in (50 * len(IDLE), 51 * len(IDLE))
    assert chip.next_output_us() == T0 + 3600 * SECOND + 100 * MS
