"""A radio's pins on the simulated port. The same surface as firmware.hal.esp32_radio."""

import time

import ops  # type: ignore[import-not-found]
import simbus  # type: ignore[import-not-found]


class RadioPort:
    """The radio on SPI `spi_id` of the host; which pins it has is the board description's matter."""

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
        self._id = spi_id
        self._has_busy = busy >= 0
        self._has_rxen = rxen >= 0
        simbus.check(simbus.call(ops.SPI_OPEN, spi_id, baudrate))

    def transfer(self, buf: "bytearray | memoryview") -> None:
        """One command: `buf` out and the answer into it."""
        simbus.call(ops.SPI_TRANSFER, self._id, 0, buf, buf)

    def busy(self) -> int:
        """Level of BUSY; 0 where a chip has no such pin."""
        return simbus.call(ops.PIN_GET, self._id, ops.PIN_BUSY) if self._has_busy else 0

    def reset(self, level: int) -> None:
        """NRESET: 0 holds the chip in reset."""
        simbus.call(ops.PIN_SET, self._id, ops.PIN_RESET << 1 | level)

    def rx_path(self, level: int) -> None:
        """Turn the antenna's switch to the receiver (1); nothing where the chip does that itself."""
        if self._has_rxen:
            simbus.call(ops.PIN_SET, self._id, ops.PIN_RXEN << 1 | level)

    def irq(self) -> int:
        """Level of the interrupt line now."""
        return simbus.call(ops.PIN_GET, self._id, ops.PIN_IRQ)

    async def wait_irq(self, timeout_ms: int) -> bool:
        """Until the interrupt line is high; False when it still is not after `timeout_ms`."""
        if not self.irq() and timeout_ms > 0:
            await simbus.ready(ops.RADIO + self._id, timeout_ms)
        return bool(self.irq())

    def irq_us(self) -> int:
        """`now_us` of the last rising edge, as the board noticed it."""
        return (simbus.call(ops.IRQ_US, self._id) - ops.TICKS_BEFORE_WRAP_MS * 1000) & 2 * ops.TICKS_HALF - 1

    now_us = staticmethod(time.ticks_us)
    us_diff = staticmethod(time.ticks_diff)
    us_add = staticmethod(time.ticks_add)
