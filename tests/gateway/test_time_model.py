"""Times that the gateway finds out, against a world that knows them: boots with and without a clock to meet, crystals off by
up to 50 ppm, hellos lost, a gateway whose clock is not set or leaps by a day."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gateway.steady_clock import SteadyClock
from gateway.time_resolution import ANCHOR_MS, DRIFT_PPM
from tests.fakes.machine_loop import RigLoop
from tests.fakes.node import FakeNode
from tests.fakes.rig import START_S

pytestmark = pytest.mark.fuzz
MINUTE_MS = 60_000
DAY_MS = 86_400_000
LATENCY_MS = 1_900  # sealing to receipt; the rest of the anchor's 2 s is rounding


class World:
    """The true time, and the clock of the gateway's machine."""

    def __init__(self) -> None:
        self.now_ms = START_S * 1000
        self.wrong_ms = 0
        self.is_set = True

    def wall_ms(self) -> int:
        return self.now_ms + self.wrong_ms

    def monotonic_s(self) -> float:
        return self.now_ms / 1000

    def synchronised(self) -> bool:
        return self.is_set


class TimeMachine(RuleBasedStateMachine):
    @initialize(ppm=st.integers(-DRIFT_PPM, DRIFT_PPM), is_set=st.booleans())
    def begin(self, ppm: int, is_set: bool) -> None:
        self.world = World()
        if not is_set:
            self.world.wrong_ms, self.world.is_set = -START_S * 1000, False
        self.ppm = ppm
        self.node = FakeNode(7)
        self.node.faults.no_clock = True
        self.booted_ms = self.world.now_ms
        self.ends: dict[int, int] = {}  # seq -> when its window really ended
        self.leap_ends_ms = 0
        self.loop = RigLoop(self.node, clock=SteadyClock(self.world))
        self.boots: dict[int, int] = {}  # seq -> boot

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.world.wrong_ms, self.world.is_set = 0, True
            for _ in range(2):
                self._boot(5 * MINUTE_MS)
                self.hello(100)
                self.seal(1)
                self.send()
            self.loop.settle()
            assert not self.node.outbox
            left = self.loop.run(self.loop.rig.sql("SELECT seq FROM unresolved"))
            assert left == [], "every boot but this one is over, and this one was met"
            self._look()
        finally:
            self.loop.close()

    def _uptime_ms(self) -> int:
        passed = self.world.now_ms - self.booted_ms
        return passed + passed * self.ppm // 1_000_000

    def _look(self) -> None:
        rows = self.loop.run(self.loop.rig.sql("SELECT seq, end_ms, bound_ms, time_code FROM records WHERE kind = 0"))
        begun_ms = START_S * 1000
        last: dict[int, tuple[int, int]] = {}  # by boot: end as found out, seq
        for seq, end_ms, bound_ms, code in sorted(rows):
            error_ms = end_ms - self.ends[seq]
            assert abs(error_ms) <= bound_ms, (seq, error_ms, bound_ms, code)
            assert bound_ms <= self.world.now_ms - begun_ms + 4_000, "a bound is no wider than the life"
            boot = self.boots[seq]
            before = last.get(boot)
            # Two sights of a boot may differ by what a hello takes; windows are further apart than that.
            if before is not None and self.ends[seq] - self.ends[before[1]] > ANCHOR_MS:
                assert end_ms > before[0], "windows of a boot stay in order"
            last[boot] = (end_ms, seq)

    @rule(minutes=st.integers(1, 45))
    def time_passes(self, minutes: int) -> None:
        self.world.now_ms += minutes * MINUTE_MS
        self.loop.clock.wall_ms()  # somebody asks: a message, or the task that closes groups
        self._undo()

    @property
    def leaping(self) -> bool:
        return self.world.is_set and self.world.wrong_ms != 0

    def _undo(self) -> None:
        """A leap ends within the hour."""
        if self.leaping:
            self.world.wrong_ms = 0
            self.loop.clock.wall_ms()

    @precondition(lambda self: self.world.is_set and not self.leaping)
    @rule(days=st.sampled_from((-1, 1, 30)))
    def clock_leaps(self, days: int) -> None:
        self.world.wrong_ms = days * DAY_MS
        self.leap_ends_ms = self.world.now_ms + 10 * MINUTE_MS
        self.loop.clock.wall_ms()

    @precondition(lambda self: not self.world.is_set)
    @rule()
    def clock_is_set(self) -> None:
        self.world.wrong_ms, self.world.is_set = 0, True
        self.loop.clock.wall_ms()

    @rule(off_ms=st.integers(1_000, 90 * MINUTE_MS))
    def power_cut(self, off_ms: int) -> None:
        self._boot(off_ms)

    def _boot(self, off_ms: int) -> None:
        self.world.now_ms += min(off_ms, MINUTE_MS) if self.leaping else off_ms
        self.loop.clock.wall_ms()
        self.node.reboot()
        self.booted_ms = self.world.now_ms

    @rule(count=st.integers(1, 4))
    def seal(self, count: int) -> None:
        """Windows one after the other."""
        for _ in range(count):
            self.world.now_ms += MINUTE_MS
            if self.leaping and self.world.now_ms > self.leap_ends_ms:
                self._undo()
            seq = self.node.seal_unclocked(self._uptime_ms())
            self.ends[seq] = self.world.now_ms
            self.boots[seq] = self.node.boot

    @rule(latency_ms=st.integers(0, LATENCY_MS))
    def hello(self, latency_ms: int) -> None:
        self.node.uptime_ms = self._uptime_ms()
        self.world.now_ms += latency_ms
        self.loop.at_once(self.node.hello)

    @rule()
    def send(self) -> None:
        self.loop.at_once(self.node.send_outbox)
        self.loop.settle()

    @precondition(lambda self: not self.world.wrong_ms)
    @rule(crash=st.booleans())
    def gateway_restarts(self, crash: bool) -> None:
        self.loop.restart(crash=crash)


TimeMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
test_times = TimeMachine.TestCase
