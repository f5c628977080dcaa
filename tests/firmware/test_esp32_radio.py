"""The radio's pins on the ESP32 port, on stand-ins for `machine`: levels around a transfer, and an interrupt's time."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "firmware" / "hal" / "esp32_radio.py"
CALLS: list[tuple[Any, ...]] = []


class Pin:
    """Remembers what was written; `levels` is what inputs read."""

    IN, OUT, IRQ_RISING = 0, 1, 1
    levels: dict[int, int] = {}
    handlers: dict[int, Any] = {}

    def __init__(self, number: int, mode: int = IN, value: int | None = None) -> None:
        self.number = number
        if value is not None:
            CALLS.append((number, value))

    def __call__(self, level: int | None = None) -> int:
        if level is None:
            return self.levels.get(self.number, 0)
        CALLS.append((self.number, level))
        return level

    def irq(self, handler: Any, trigger: int) -> None:
        assert trigger == self.IRQ_RISING
        self.handlers[self.number] = handler


class SPI:
    broken = False

    def __init__(self, number: int, **options: Any) -> None:
        pins = [options.pop(name).number for name in ("sck", "mosi", "miso")]
        CALLS.append(("spi", number, pins, options))

    def write_readinto(self, out: memoryview, into: memoryview) -> None:
        assert out is into
        CALLS.append(("out", bytes(out).hex()))
        if self.broken:
            raise KeyboardInterrupt
        into[:] = bytes(byte ^ 0xFF for byte in out)


class ThreadSafeFlag(asyncio.Event):
    """MicroPython's: one waits, and takes it."""

    async def wait(self) -> bool:  # type: ignore[override]
        await super().wait()
        self.clear()
        return True


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Any:
    machine = ModuleType("machine")
    machine.Pin, machine.SPI = Pin, SPI  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setattr(time, "ticks_us", lambda: 4711, raising=False)
    monkeypatch.setattr(time, "ticks_diff", lambda a, b: a - b, raising=False)
    monkeypatch.setattr(time, "ticks_add", lambda a, b: a + b, raising=False)
    monkeypatch.setattr(asyncio, "ThreadSafeFlag", ThreadSafeFlag, raising=False)
    monkeypatch.setattr(
        asyncio, "wait_for_ms", lambda awaitable, ms: asyncio.wait_for(awaitable, ms / 1000), raising=False
    )
    CALLS.clear()
    Pin.levels = {}
    spec = importlib.util.spec_from_file_location("esp32_radio", FILE)  # its package would look for the whole port
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RadioPort


def test_pins_rest_at_their_levels(port: Any) -> None:
    port(1, 7, 9, 8, 41, 42, 39, 40, 38, 4_000_000)
    assert CALLS == [
        (41, 1), ("spi", 1, [7, 9, 8], {"baudrate": 4_000_000, "polarity": 0, "phase": 0}), (38, 0), (42, 1),
    ]  # fmt: skip


def test_a_transfer_frames_its_bytes_even_when_it_is_interrupted(port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    radio = port(1, 7, 9, 8, 41, 42, 39, 40, -1, 4_000_000)
    CALLS.clear()
    buf = memoryview(bytearray(b"\x12\x00"))
    radio.transfer(buf)
    assert bytes(buf) == b"\xed\xff"
    assert CALLS == [(41, 0), ("out", "1200"), (41, 1)]
    monkeypatch.setattr(SPI, "broken", True)
    with pytest.raises(KeyboardInterrupt):
        radio.transfer(buf)
    assert CALLS[-1] == (41, 1)


def test_pins_that_a_board_has_not(port: Any) -> None:
    radio = port(2, 5, 27, 19, 18, 23, 26, -1, -1, 4_000_000)
    CALLS.clear()
    assert radio.busy() == 0
    radio.rx_path(1)
    assert CALLS == []
    radio.reset(0)
    assert CALLS == [(23, 0)]


def test_an_edge_has_its_time_and_ends_the_wait(port: Any) -> None:
    radio = port(1, 7, 9, 8, 41, 42, 39, 40, 38, 4_000_000)

    async def wait() -> None:
        assert not await radio.wait_irq(1)
        assert radio.irq_us() == 0
        waiting = asyncio.ensure_future(radio.wait_irq(30_000))
        await asyncio.sleep(0)
        Pin.levels[39] = 1
        Pin.handlers[39](None)
        assert await waiting
        assert radio.irq_us() == 4711
        assert await radio.wait_irq(1), "the level counts, too"
        Pin.levels[39] = 0
        assert not await radio.wait_irq(1), "an old edge does not"

    asyncio.run(wait())
