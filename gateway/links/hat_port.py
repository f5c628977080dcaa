"""A radio's pins on a Raspberry Pi: spidev for SPI, gpiod (libgpiod 2) for reset, BUSY, interrupt and switch.

The surface is that of firmware.hal's radio port, so that the board's driver runs on it unchanged. Both modules are loaded
when a HAT is configured, and not before: `pip install 'steiger[hat]'`.
"""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import Any, NamedTuple

CONSUMER = "steiger"  # what gpioinfo shows beside the lines
TICKS_MASK = 0x3FFF_FFFF  # as a board's microseconds
SPI_HZ = 4_000_000
EVENTS_KEPT = 16  # by the kernel, until they are read


class Wiring(NamedTuple):
    """Which lines of which chip; numbers as `gpioinfo` counts them, which on a Pi are the GPIO numbers."""

    spi_bus: int = 0
    spi_device: int = 0
    gpio_chip: str = "/dev/gpiochip0"
    reset: int = 18
    busy: int = 20
    irq: int = 16  # the chip's DIO1
    nss: int | None = None  # where the HAT does not use the bus's own chip select
    rxen: int | None = None  # high for reception
    txen: int | None = None  # high for transmission
    enable: int | None = None  # high as long as it is used


class HatPort:
    """Opened at once; OSError if a device is missing or somebody else has a line, ImportError without the modules.

    `irq_us` is the kernel's own time of the edge, so it is right however busy this program is.
    """

    def __init__(self, wiring: Wiring) -> None:
        gpiod: Any = import_module("gpiod")
        line: Any = import_module("gpiod.line")
        spidev: Any = import_module("spidev")
        self._wiring = wiring
        self._active, self._inactive = line.Value.ACTIVE, line.Value.INACTIVE
        self._irq_us = 0
        self._edge = asyncio.Event()
        output = line.Direction.OUTPUT
        high = [pin for pin in (wiring.reset, wiring.nss, wiring.enable) if pin is not None]
        low = [pin for pin in (wiring.rxen, wiring.txen) if pin is not None]
        config: dict[Any, Any] = {
            tuple(high): gpiod.LineSettings(direction=output, output_value=self._active),
            wiring.busy: gpiod.LineSettings(direction=line.Direction.INPUT),
            wiring.irq: gpiod.LineSettings(
                direction=line.Direction.INPUT,
                edge_detection=line.Edge.RISING,
                event_clock=line.Clock.MONOTONIC,
            ),
        }
        if low:
            config[tuple(low)] = gpiod.LineSettings(direction=output, output_value=self._inactive)
        self._spi = spidev.SpiDev()
        self._spi.open(wiring.spi_bus, wiring.spi_device)
        try:
            self._spi.max_speed_hz = SPI_HZ
            self._spi.mode = 0
            if wiring.nss is not None:
                self._spi.no_cs = True
            self._lines = gpiod.request_lines(
                wiring.gpio_chip, consumer=CONSUMER, config=config, event_buffer_size=EVENTS_KEPT
            )
        except BaseException:
            self._spi.close()
            raise
        asyncio.get_running_loop().add_reader(self._lines.fd, self._rises)

    def close(self) -> None:
        """Give everything back; the chip is left in reset, so that it sends no more."""
        asyncio.get_running_loop().remove_reader(self._lines.fd)
        self._lines.set_value(self._wiring.reset, self._inactive)
        self._lines.release()
        self._spi.close()

    def _rises(self) -> None:
        for event in self._lines.read_edge_events():
            self._irq_us = event.timestamp_ns // 1000 & TICKS_MASK
        self._edge.set()

    def transfer(self, buf: bytearray | memoryview) -> None:
        """One command: NSS low, `buf` out and the answer into it, NSS high."""
        nss = self._wiring.nss
        if nss is not None:
            self._lines.set_value(nss, self._inactive)
        buf[:] = bytes(self._spi.xfer2(list(buf)))
        if nss is not None:
            self._lines.set_value(nss, self._active)

    def busy(self) -> int:
        """Level of BUSY."""
        return int(self._lines.get_value(self._wiring.busy) == self._active)

    def reset(self, level: int) -> None:
        """NRESET: 0 holds the chip in reset."""
        self._set(self._wiring.reset, level)

    def rx_path(self, level: int) -> None:
        """Turn the antenna's switch to the receiver (1) or the transmitter (0), where the HAT has lines for it."""
        self._set(self._wiring.rxen, level)
        self._set(self._wiring.txen, 1 - level)

    def _set(self, pin: int | None, level: int) -> None:
        if pin is not None:
            self._lines.set_value(pin, self._active if level else self._inactive)

    def irq(self) -> int:
        """Level of the interrupt line now."""
        return int(self._lines.get_value(self._wiring.irq) == self._active)

    async def wait_irq(self, timeout_ms: int) -> bool:
        """Until the interrupt line is high; False when it still is not after `timeout_ms`."""
        self._edge.clear()  # before the look: an edge after it counts
        if not self.irq():
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._edge.wait()
            except TimeoutError:
                pass
        return bool(self.irq())

    def irq_us(self) -> int:
        """`now_us` of the last rising edge."""
        if self.irq():
            self._drain()
        return self._irq_us

    def _drain(self) -> None:
        """Edges that the loop has not come to yet."""
        if self._lines.wait_edge_events(0):
            self._rises()

    @staticmethod
    def now_us() -> int:
        """Microseconds of the kernel's monotonic clock, 30 bits."""
        return time.monotonic_ns() // 1000 & TICKS_MASK

    @staticmethod
    def us_diff(a: int, b: int) -> int:
        """a - b."""
        return ((a - b + (TICKS_MASK + 1) // 2) & TICKS_MASK) - (TICKS_MASK + 1) // 2

    @staticmethod
    def us_add(a: int, by_us: int) -> int:
        """An instant so much later."""
        return (a + by_us) & TICKS_MASK
