"""A radio's pins on the ESP32: SPI, reset, BUSY, interrupt. Loaded by boards that have a radio."""

import asyncio
import time

import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RadioPort:
    """`spi_id` 1 or 2 (0 is the flash's); `busy`, `rxen` -1: there is no such pin."""

    def __init__(
        self,
        spi_id: int,
        sck: int,
        mosi: int,
        miso: int,
        nss: int,
        reset: int,
        irq: int,
        busy: int,
        rxen: int,
        baudrate: int,
    ) -> None:
        Pin = machine.Pin
        self._nss = Pin(nss, Pin.OUT, value=1)
        self._spi = machine.SPI(
            spi_id, baudrate=baudrate, polarity=0, phase=0, sck=Pin(sck), mosi=Pin(mosi), miso=Pin(miso)
        )
        self._irq = Pin(irq, Pin.IN)
        self._busy = Pin(busy, Pin.IN) if busy >= 0 else None
        self._rxen = Pin(rxen, Pin.OUT, value=0) if rxen >= 0 else None
        self._reset = Pin(reset, Pin.OUT, value=1)
        self._flag = asyncio.ThreadSafeFlag()
        self._at_us: "Any" = 0
        self._irq.irq(self._rises, Pin.IRQ_RISING)

    def _rises(self, pin: "Any") -> None:
        self._at_us = time.ticks_us()
        self._flag.set()

    def transfer(self, buf: "bytearray | memoryview") -> None:
        """One command: NSS low, `buf` out and the answer into it, NSS high."""
        self._nss(0)
        try:
            self._spi.write_readinto(buf, buf)
        finally:  # a KeyboardInterrupt must not leave the chip amid a command
            self._nss(1)

    def busy(self) -> int:
        """Level of BUSY; 0 where a chip has no such pin."""
        return self._busy() if self._busy else 0

    def reset(self, level: int) -> None:
        """NRESET: 0 holds the chip in reset."""
        self._reset(level)

    def rx_path(self, level: int) -> None:
        """Turn the antenna's switch to the receiver (1); nothing where the chip does that itself."""
        if self._rxen:
            self._rxen(level)

    def irq(self) -> int:
        """Level of the interrupt line now."""
        return self._irq()

    async def wait_irq(self, timeout_ms: int) -> bool:
        """Until the interrupt line is high; False when it still is not after `timeout_ms`."""
        self._flag.clear()  # before the look: an edge after it counts
        if not self._irq():
            try:
                await asyncio.wait_for_ms(self._flag.wait(), timeout_ms)
            except asyncio.TimeoutError:
                pass
        return bool(self._irq())

    def irq_us(self) -> "Any":
        """`now_us` of the last rising edge. Seen by the interpreter, so late while the flash is written or memory
        collected."""
        return self._at_us

    now_us = staticmethod(time.ticks_us)
    us_diff = staticmethod(time.ticks_diff)
    us_add = staticmethod(time.ticks_add)
