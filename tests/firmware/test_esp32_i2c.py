"""I2C on the ESP32 port, on stand-ins for `machine`: a bus that a chip holds keeps nobody waiting."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "firmware" / "hal" / "esp32.py"
SCL, SDA = 22, 21


class Wires:
    """Two lines with pull-ups, a chip at 0x40, and the port's driver. `holding`: clocks until the chip lets go of SDA."""

    def __init__(self) -> None:
        self.holding = 0
        self.scl = 1
        self.opened = 0
        self.transfers: list[Any] = []


class Pin:
    OPEN_DRAIN = 7
    wires: Wires

    def __init__(self, number: int, mode: int | None = None, value: int | None = None) -> None:
        self.number = number

    def __call__(self, level: int | None = None) -> int:
        if level is None:
            assert self.number == SDA
            return int(not self.wires.holding)
        assert self.number == SCL, "SDA belongs to the chip"
        if level > self.wires.scl and self.wires.holding:
            self.wires.holding -= 1
        self.wires.scl = level
        return level


class I2C:
    wires: Wires

    def __init__(self, number: int, scl: Pin, sda: Pin, freq: int) -> None:
        assert (number, scl.number, sda.number, freq) == (0, SCL, SDA, 100_000)
        self.wires.opened += 1

    def _transfer(self, address: int, data: Any) -> None:
        assert not self.wires.holding, "stands still for 50 ms"
        self.wires.transfers.append((address, bytes(data)))
        if address != 0x40:
            raise OSError(19)

    def writeto(self, address: int, data: Any) -> int:
        self._transfer(address, data)
        return len(data)

    def readfrom_into(self, address: int, buffer: Any) -> None:
        self._transfer(address, buffer)
        buffer[:] = bytes(range(len(buffer)))


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Wires:
    wires = Wires()
    monkeypatch.setattr(Pin, "wires", wires, raising=False)
    monkeypatch.setattr(I2C, "wires", wires, raising=False)
    return wires


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, wires: Wires) -> Any:
    machine: Any = ModuleType("machine")
    machine.Pin, machine.I2C = Pin, I2C
    machine.reset = machine.reset_cause = machine.unique_id = None
    monkeypatch.setitem(sys.modules, "machine", machine)
    monkeypatch.setitem(sys.modules, "esp32", ModuleType("esp32"))
    for name in ("ticks_ms", "ticks_diff", "ticks_add"):
        monkeypatch.setattr("time." + name, None, raising=False)
    monkeypatch.setattr("time.sleep_us", lambda us: None, raising=False)
    monkeypatch.setattr("asyncio.sleep_ms", None, raising=False)
    spec = importlib.util.spec_from_file_location("esp32_port", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.i2c(0, SCL, SDA)


def test_transfers_pass_through(bus: Any, wires: Wires) -> None:
    buffer = bytearray(3)
    assert bus.writeto(0x40, b"ab") == 2
    bus.readfrom_into(0x40, buffer)
    assert buffer == b"\0\1\2" and wires.transfers == [(0x40, b"ab"), (0x40, bytes(3))]
    with pytest.raises(OSError) as told:
        bus.writeto(0x41, b"")
    assert told.value.errno == 19 or told.value.args == (19,)


def test_a_held_bus_is_refused_before_anybody_waits(bus: Any, wires: Wires) -> None:
    wires.holding = 20  # a chip with more to say than nine bits, twice
    for transfer in (lambda: bus.writeto(0x40, b"ab"), lambda: bus.readfrom_into(0x40, bytearray(2))):
        with pytest.raises(OSError) as told:
            transfer()
        assert told.value.args == (116,)
    assert not wires.transfers
    bus.recover()
    with pytest.raises(OSError):
        bus.writeto(0x40, b"ab")
    bus.recover()
    bus.recover()
    assert bus.writeto(0x40, b"ab") == 2
    assert wires.opened == 4
