"""The requests that concern buses, streams and the console: what a board's pins do."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from tools.sim.console import Console
from tools.sim.devices import Attached, attach
from tools.sim.devices import Owner as DeviceOwner
from tools.sim.stub import ops

Answer = tuple[int, bytes]
Carry = Callable[[int, int, bytes], Answer | None]
"""Carries out a request (handle, argument, payload); None: it is answered later."""
RECOVER_US = 200  # nine clocks by hand
PIN_US = 10  # a pin is read or set by the interpreter


class Owner(DeviceOwner, Protocol):
    """What the requests need of their board."""

    console: Console

    def after(self, charge_us: int, answer: Answer, *, stall: bool = False) -> Answer | None: ...


class Periphery:
    """All buses of a board, numbered as in its description."""

    def __init__(self, owner: Owner, chips: list[Attached]) -> None:
        self._owner = owner
        self.i2c, self.uarts, self.i2s, self.spi = attach(owner, chips)

    def requests(self) -> dict[int, Carry]:
        """Operation -> what carries it out."""
        return {
            ops.I2C_OPEN: self._i2c_open,
            ops.I2C_WRITE: self._i2c_write,
            ops.I2C_READ: self._i2c_read,
            ops.I2C_RECOVER: self._i2c_recover,
            ops.UART_OPEN: self._uart_open,
            ops.I2S_OPEN: self._i2s_open,
            ops.CONSOLE_OPEN: self._console_open,
            ops.READ: self._read,
            ops.WRITE: self._write,
            ops.WANT: self._want,
            ops.CLOSE: self._close,
            ops.SPI_OPEN: self._spi_open,
            ops.SPI_TRANSFER: self._spi_transfer,
            ops.PIN_GET: self._pin_get,
            ops.PIN_SET: self._pin_set,
            ops.IRQ_US: lambda handle, argument, data: (self.spi[handle].irq_us, b""),
        }

    def stop(self) -> None:
        """The board's program is over: clocks stop, receivers are empty."""
        for uart in self.uarts.values():
            uart.close()
        for i2s in self.i2s.values():
            i2s.close()

    def serve_fifos(self) -> None:
        """Interrupts run again."""
        self._owner.console.fifo.serve()
        for uart in self.uarts.values():
            uart.serve()
        for spi in self.spi.values():
            spi.serve()

    def ready_mask(self) -> int:
        """Bits of the handles that have something to read."""
        console = self._owner.console
        mask = 1 << ops.CONSOLE if console.opened and len(console.fifo) else 0
        for number, uart in self.uarts.items():
            if uart.available():
                mask |= 1 << (ops.UART + number)
        for number, i2s in self.i2s.items():
            if i2s.available():
                mask |= 1 << (ops.I2S + number)
        for number, spi in self.spi.items():
            if spi.level(ops.PIN_IRQ):
                mask |= 1 << (ops.RADIO + number)
        return mask

    def _i2c_open(self, handle: int, freq: int, data: bytes) -> Answer:
        self.i2c[handle].freq = freq
        return 0, b""

    def _i2c_write(self, handle: int, address: int, data: bytes) -> Answer | None:
        bus = self.i2c[handle]
        return self._owner.after(bus.charge_us(len(data)), (bus.write(address, data), b""))

    def _i2c_read(self, handle: int, argument: int, data: bytes) -> Answer | None:
        bus = self.i2c[handle]
        count = argument & 0xFFFF
        return self._owner.after(bus.charge_us(count), bus.read(argument >> 16, count))

    def _i2c_recover(self, handle: int, argument: int, data: bytes) -> Answer | None:
        self.i2c[handle].recover()
        return self._owner.after(RECOVER_US, (0, b""))

    def _uart_open(self, handle: int, argument: int, data: bytes) -> Answer:
        self.uarts[handle].open(argument >> 20, argument & 0xFFFFF)
        return 0, b""

    def _i2s_open(self, handle: int, argument: int, data: bytes) -> Answer:
        self.i2s[handle].open(argument >> 24, argument & 0xFFFFF, 1 + (argument >> 20 & 1))
        return 0, b""

    def _spi_open(self, handle: int, freq: int, data: bytes) -> Answer:
        self.spi[handle].freq = freq
        return 0 if self.spi[handle].present else -errno.ENODEV, b""

    def _spi_transfer(self, handle: int, argument: int, data: bytes) -> Answer | None:
        spi = self.spi[handle]
        answer = spi.transfer(data)
        return self._owner.after(spi.charge_us(len(data)), (len(answer), answer))

    def _pin_get(self, handle: int, pin: int, data: bytes) -> Answer | None:
        return self._owner.after(PIN_US, (self.spi[handle].level(pin), b""))

    def _pin_set(self, handle: int, argument: int, data: bytes) -> Answer | None:
        self.spi[handle].drive(argument >> 1, argument & 1)
        return self._owner.after(PIN_US, (0, b""))

    def _console_open(self, handle: int, argument: int, data: bytes) -> Answer:
        self._owner.console.opened = True
        return 0, b""

    def _read(self, handle: int, count: int, data: bytes) -> Answer:
        if handle == ops.CONSOLE:
            part = self._owner.console.fifo.take(count)
        elif handle < ops.I2S:
            part = self.uarts[handle - ops.UART].read(count)
        else:
            part = self.i2s[handle - ops.I2S].read(count)
        return len(part), part

    def _want(self, handle: int, frames: int, data: bytes) -> Answer:
        self.i2s[handle - ops.I2S].want(frames)
        return 0, b""

    def _write(self, handle: int, argument: int, data: bytes) -> Answer | None:
        if handle == ops.CONSOLE:
            return self._owner.after(self._owner.console.write(data), (len(data), b""))
        self.uarts[handle - ops.UART].write(data)
        return len(data), b""

    def _close(self, handle: int, argument: int, data: bytes) -> Answer:
        if handle == ops.CONSOLE:
            self._owner.console.opened = False
        elif handle < ops.I2S:
            self.uarts[handle - ops.UART].close()
        else:
            self.i2s[handle - ops.I2S].close()
        return 0, b""
