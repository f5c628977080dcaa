"""Radio drivers on simulated chips in one ether, in virtual time: `stage.run(coroutines…)`.

A port charges what a board would: SPI by the byte, a look at a pin. Its microseconds wrap soon after the start, so that
every test crosses the wrap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tools.sim import chips
from tools.sim.chips.radio_chip import RadioChip
from tools.sim.radio.ether import Ether
from tools.sim.radio.propagation import CLEAR, Model, Position
from tools.sim.timers import VirtualTime
from tools.sim.virtual_loop import VirtualLoop
from tools.sim.world import World

WRAP = 1 << 30
BEFORE_WRAP_US = 400_000
BYTE_US = 2  # 4 MHz
PIN_US = 5
BLOCK_MAX_US = 2_000


class RadioStage:
    """Time, loop and ether. `model`: of the ether; by default nothing but distance."""

    def __init__(self, model: Model = CLEAR, seed: int = 1) -> None:
        self.time = VirtualTime()
        self.loop = VirtualLoop(self._step)
        self.ether = Ether(self.time, seed, model)
        self.clock = StageClock(self)
        self.ports: list[StagePort] = []
        self.polled_us = 0  # spent on looking at a pin again and again, while nobody else ran

    def _step(self, next_us: int | None) -> int:
        due_us = self.time.next_us()
        if due_us is not None and (next_us is None or due_us <= next_us):
            self.time.now_us = max(self.time.now_us, due_us)
            self.time.pop()()
        elif next_us is not None:
            self.time.now_us = max(self.time.now_us, next_us)
        else:
            raise AssertionError("everybody waits for nothing")
        self.polled_us = 0
        return self.time.now_us

    def spend(self, duration_us: int) -> None:
        """The program computes: time passes, and the chips go on."""
        end_us = self.time.now_us + duration_us
        while (due_us := self.time.next_us()) is not None and due_us <= end_us:
            self.time.now_us = max(self.time.now_us, due_us)
            self.time.pop()()
        self.time.now_us = end_us
        self.loop.stepped.now_us = end_us

    def port(self, chip: str, x_m: float = 0.0, *, busy: bool = True, **params: Any) -> StagePort:
        """A chip with its power on, at a place on the air."""
        made = chips.create(chip, World(1, 0), 1, **params)
        assert isinstance(made, RadioChip)
        port = StagePort(self, made, busy)
        made.join(self.ether, f"{chip} {len(self.ports)}", Position(x_m, 0.0, 10.0), 0.0)
        made.power_on(0)
        self.spend(10_000)
        self.ports.append(port)
        return port

    def run(self, *parts: Coroutine[Any, Any, Any]) -> list[Any]:
        """All of them at once; their results."""

        async def together() -> list[Any]:
            return list(await asyncio.gather(*parts))

        try:
            return self.loop.run_until_complete(together())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()


class StageClock:
    """As firmware.clock: milliseconds that wrap."""

    def __init__(self, stage: RadioStage) -> None:
        self._stage = stage

    def ticks_ms(self) -> int:
        return (self._stage.time.now_us // 1000 + WRAP - 100) % WRAP

    @staticmethod
    def ticks_diff(a: int, b: int) -> int:
        return (a - b + WRAP // 2) % WRAP - WRAP // 2

    async def sleep_ms(self, duration_ms: int) -> None:
        assert duration_ms >= 0
        await asyncio.sleep(duration_ms / 1000)


class StagePort:
    """hal.radio_port() of the stage. `trace`: every command in hex as it went out; `late_us`: how late edges are noticed."""

    def __init__(self, stage: RadioStage, chip: RadioChip, has_busy: bool = True) -> None:
        self.stage = stage
        self.chip = chip
        self.trace: list[str] = []
        self.levels: list[tuple[str, int]] = []
        self.late_us = 0
        self._has_busy = has_busy
        self._irq_us = 0
        self._waiting: asyncio.Future[None] | None = None
        chip.connect(stage.time, self._rises)

    def close(self) -> None:
        """As whoever gives the pins back."""

    def _rises(self) -> None:
        self._irq_us = self.now_us() + self.late_us
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def transfer(self, buf: bytearray | memoryview) -> None:
        self.trace.append(bytes(buf).hex())
        answer = self.chip.transfer(bytes(buf))
        self.stage.spend(BYTE_US * len(buf))
        self.stage.polled_us = 0
        assert len(answer) == len(buf)
        buf[:] = answer

    def busy(self) -> int:
        level = int(self._has_busy and self.chip.busy())
        self._poll(PIN_US)
        return level

    def _poll(self, duration_us: int) -> None:
        self.stage.spend(duration_us)
        self.stage.polled_us += duration_us
        assert self.stage.polled_us <= BLOCK_MAX_US, "a wait that blocks for longer"

    def reset(self, level: int) -> None:
        self.levels.append(("reset", level))
        self.chip.pin_reset(level)

    def rx_path(self, level: int) -> None:
        self.levels.append(("rx", level))
        self.chip.pin_rx_path(level)

    def irq(self) -> int:
        return int(self.chip.irq())

    async def wait_irq(self, timeout_ms: int) -> bool:
        assert timeout_ms >= 0
        if not self.chip.irq():
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(self._waiting, timeout_ms / 1000)
            except TimeoutError:
                pass
        return self.chip.irq()

    def irq_us(self) -> int:
        return self._irq_us

    def now_us(self) -> int:
        self._poll(1)
        return (self.stage.time.now_us - BEFORE_WRAP_US) % WRAP

    @staticmethod
    def us_diff(a: int, b: int) -> int:
        assert 0 <= a < WRAP and 0 <= b < WRAP, "time.ticks_diff takes small integers for what they are not"
        return (a - b + WRAP // 2) % WRAP - WRAP // 2

    @staticmethod
    def us_add(a: int, by_us: int) -> int:
        return (a + by_us) % WRAP
