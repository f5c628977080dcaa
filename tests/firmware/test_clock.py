"""Uptime never wraps, UTC is believed with reason."""

from __future__ import annotations

import pytest

from firmware.clock import ADJUSTED, FIRST, REFUSED, STEP_AFTER_MS, STEPPED, Clock
from gateway.time_resolution import ClockSpans

TICKS = 1 << 30
START_MS = 1_800_000_000_000


class Port:
    """Ticks that a test moves; they wrap a minute after the start."""

    def __init__(self) -> None:
        self.run_ms = 0

    def ticks_ms(self) -> int:
        return (TICKS - 60000 + self.run_ms) % TICKS

    def ticks_diff(self, end: int, start: int) -> int:
        return ((end - start + TICKS // 2) % TICKS) - TICKS // 2

    async def sleep_ms(self, duration: int) -> None:
        self.run_ms += duration


def test_uptime_goes_on_through_every_wrap() -> None:
    port = Port()
    clock = Clock(port)
    for _ in range(100):
        port.run_ms += TICKS // 3
        assert clock.uptime_ms() == port.run_ms
    assert port.run_ms > 33 * TICKS


def test_half_of_the_round_trip_is_taken_as_the_way() -> None:
    port = Port()
    clock = Clock(port)
    port.run_ms = 10_000
    assert clock.offer(START_MS, 300, 9_500) == FIRST  # 500 ms in all, 300 of them at the gateway
    assert clock.utc_ms() == START_MS + 100
    assert clock.utc_s() == START_MS // 1000


def test_a_slow_answer_or_an_impossible_time_is_refused() -> None:
    port = Port()
    clock = Clock(port)
    port.run_ms = 10_000
    assert clock.offer(START_MS, 0, 1_000) == REFUSED
    assert clock.offer(1_000, 0, 9_990) == REFUSED  # 1970
    assert not clock.synced and clock.utc_ms() is None


def test_drift_is_followed_but_a_slow_answer_does_not_spoil_a_quick_one() -> None:
    port = Port()
    clock = Clock(port)
    assert clock.offer(START_MS, 0, 0) == FIRST
    port.run_ms = 60_000
    assert clock.offer(START_MS + 60_000 + 900, 0, 58_500) == ADJUSTED
    assert clock.utc_ms() == START_MS + 60_000
    port.run_ms = 36_000_000  # ten hours: a crystal 50 ppm off is 1.8 s wrong
    assert clock.offer(START_MS + 36_000_000 + 1_800, 0, 36_000_000) == ADJUSTED
    assert clock.utc_ms() == START_MS + 36_001_800


def test_a_jump_of_the_gateway_is_followed_only_when_it_insists() -> None:
    port = Port()
    clock = Clock(port)
    clock.offer(START_MS, 0, 0)
    day = 86_400_000
    for minute in range(1, 30):
        port.run_ms = minute * 60_000
        assert clock.offer(START_MS + port.run_ms + day, 0, port.run_ms) == REFUSED
    assert clock.offer(START_MS + port.run_ms, 0, port.run_ms) == ADJUSTED  # it came back: forgotten
    base = port.run_ms
    outcome = REFUSED
    while outcome == REFUSED:
        port.run_ms += 60_000
        outcome = clock.offer(START_MS + port.run_ms - day, 0, port.run_ms)
    assert outcome == STEPPED and port.run_ms - base >= STEP_AFTER_MS
    assert clock.step_ms == -day
    assert clock.utc_ms() == START_MS + port.run_ms - day


@pytest.mark.parametrize("up_ms", [0, 50, 2000, 4000])
@pytest.mark.parametrize("down_ms", [0, 50, 2000, 4000])
def test_the_gateways_bound_holds_for_every_offer_that_a_node_takes(up_ms: int, down_ms: int) -> None:
    """However the round trip is shared between the two ways."""
    port = Port()
    clock = Clock(port)
    sent_ms, true_ms = clock.uptime_ms(), START_MS
    port.run_ms += up_ms
    told_ms = true_ms + up_ms  # the gateway answers at once
    port.run_ms += down_ms
    if clock.offer(told_ms, 0, sent_ms) == REFUSED:
        assert up_ms + down_ms > 4000
        return
    spans = ClockSpans()
    spans.synced(told_ms)
    assert abs(clock.utc_ms() - (told_ms + down_ms)) <= spans.bound_ms(told_ms + down_ms)  # type: ignore[operator]
