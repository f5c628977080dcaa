"""The gateway's clock when the machine's leaps, is late, or was never set."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.steady_clock import KEEP_AGAIN_S, STEP_AFTER_S, SteadyClock
from tests.fakes.rig import START_S

DAY_MS = 86_400_000


class Machine:
    """`wrong_ms`: of the wall clock."""

    def __init__(self, wrong_ms: int = 0, is_set: bool = True) -> None:
        self.up_s = 100.0
        self.wrong_ms = wrong_ms
        self.is_set = is_set

    def true_ms(self) -> int:
        return START_S * 1000 + round(self.up_s * 1000)

    def wall_ms(self) -> int:
        return self.true_ms() + self.wrong_ms

    def monotonic_s(self) -> float:
        return self.up_s

    def synchronised(self) -> bool:
        return self.is_set


@pytest.mark.parametrize("jump_ms", [DAY_MS, -DAY_MS, 3_000, -3_000])
def test_a_leap_is_not_followed_and_is_forgotten_when_it_is_undone(jump_ms: int) -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    for minute in range(50):
        machine.up_s += 60
        machine.wrong_ms = jump_ms if 5 <= minute < 45 else 0
        assert clock.wall_ms() == machine.true_ms() and clock.trusted
    machine.wrong_ms = jump_ms
    assert clock.wall_ms() == machine.true_ms(), "the earlier forty minutes do not count"


def test_what_the_machine_insists_on_is_followed() -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    machine.wrong_ms = DAY_MS
    clock.wall_ms()
    machine.up_s += STEP_AFTER_S
    assert clock.wall_ms() == machine.wall_ms()


def test_a_time_service_at_work_is_followed() -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    for _ in range(20):
        machine.up_s += 10
        machine.wrong_ms += 300
        assert clock.wall_ms() == machine.wall_ms()


@pytest.mark.parametrize("wrong_ms", [-600_000, 600_000, -START_S * 1000])
def test_a_clock_that_waits_for_its_time_service_tells_nobody_and_follows_it_at_once(wrong_ms: int) -> None:
    machine = Machine(wrong_ms, is_set=False)
    clock = SteadyClock(machine)
    assert not clock.trusted
    machine.up_s += 60
    machine.wrong_ms, machine.is_set = 0, True
    assert clock.wall_ms() == machine.true_ms() and clock.trusted


def test_a_clock_of_1970_is_left_at_once() -> None:
    machine = Machine(-START_S * 1000)
    clock = SteadyClock(machine)
    assert not clock.trusted
    machine.wrong_ms = 0
    assert clock.wall_ms() == machine.true_ms() and clock.trusted


def test_the_system_answers() -> None:
    clock = SteadyClock(SystemClock())
    assert abs(clock.wall_ms() - SystemClock().wall_ms()) < 1_000
    assert isinstance(SystemClock().synchronised(), bool)


def test_a_gateway_that_starts_within_a_leap_knows_it(tmp_path: Path) -> None:
    machine = Machine()
    file = tmp_path / "data" / "clock"
    first = SteadyClock(machine, file)
    assert first.wall_ms() == machine.true_ms()
    file.parent.mkdir()  # it is made after the clock was first asked
    machine.up_s += KEEP_AGAIN_S
    first.wall_ms()
    machine.wrong_ms = DAY_MS
    machine.up_s += 60
    second = SteadyClock(machine, file)
    assert second.wall_ms() == machine.true_ms()
    assert second.trusted
    machine.wrong_ms = 0
    assert second.wall_ms() == machine.true_ms()
    machine.wrong_ms = DAY_MS
    for text in ("another-boot-of-the-machine 0\n", "no such thing\n", ""):
        file.write_text(text)
        assert SteadyClock(machine, file).wall_ms() == machine.wall_ms()


def test_what_was_followed_is_kept_in_its_turn(tmp_path: Path) -> None:
    machine = Machine()
    clock = SteadyClock(machine, tmp_path / "clock")
    clock.wall_ms()
    machine.wrong_ms = DAY_MS
    clock.wall_ms()
    machine.up_s += STEP_AFTER_S
    assert clock.wall_ms() == machine.wall_ms()
    machine.up_s += KEEP_AGAIN_S
    clock.wall_ms()
    machine.wrong_ms = 0
    assert SteadyClock(machine, tmp_path / "clock").wall_ms() == machine.true_ms() + DAY_MS
