"""The simulated port: every wait, transfer and flash operation is asked of the host over the bus (tools/sim/stub).

The same surface as firmware.hal.esp32. Which interpreter runs and whether time is real or virtual is the host's matter.
"""

import asyncio
import gc
import time

import machine
import ops  # type: ignore[import-not-found]  # of the interpreter's own side, tools/sim/stub
import simbus  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "sim"

ticks_ms = time.ticks_ms
ticks_diff = time.ticks_diff
ticks_add = time.ticks_add
sleep_ms = asyncio.sleep_ms
reset = machine.reset
reset_cause = machine.reset_cause
unique_id = machine.unique_id
collect = gc.collect
deepsleep = machine.deepsleep

_PART = 1024  # bytes of one request


def prepare_loop() -> None:
    """Nothing to prepare: the bus has taken asyncio's waiting point before the program started."""


async def wait_for_ms(awaitable: "Any", timeout_ms: int) -> "Any":
    """The awaitable's result; raises asyncio.TimeoutError after `timeout_ms`."""
    return await asyncio.wait_for_ms(awaitable, timeout_ms)


def rtc_ms() -> int:
    """The chip's calendar in ms: it begins anywhere and runs on through deep sleep."""
    return time.time_ns() // 1000000


def rtc_memory(data: "bytes | None" = None) -> bytes:
    """Read, or with `data` (at most 2048 bytes) write, the memory that deep sleep keeps."""
    memory = machine.RTC()
    if data is not None:
        if len(data) > 2048:
            raise ValueError("rtc memory: %d bytes of 2048" % len(data))
        memory.memory(data)
    return bytes(memory.memory())


def watchdog(timeout_ms: int) -> "Any":
    """The host resets the board when it is not fed; cannot be stopped again."""
    return machine.WDT(timeout=timeout_ms)


def random_bytes(count: int) -> bytes:
    """Random bytes from the host: seeded in virtual time."""
    buf = bytearray(count)
    simbus.call(ops.RANDOM, 0, count, None, buf)
    return bytes(buf)


def supply_mv() -> "int | None":
    """Supply in mV, None where the board cannot measure it."""
    value = simbus.call(ops.SUPPLY)
    return None if value < 0 else value


def led(pin: int, on: int) -> None:
    """A simulated board has no light."""


def temperature_cdeg() -> "int | None":
    """Temperature of the chip in hundredths of a degree Celsius."""
    return simbus.call(ops.TEMPERATURE)


def free_heap() -> "tuple[int, int]":
    """(free bytes, largest free block); the second is unknown: 0."""
    return (gc.mem_free() if hasattr(gc, "mem_free") else 0), 0


class I2C:
    """An I2C bus of the host; OSError 19: no answer."""

    def __init__(self, bus_id: int, freq: int) -> None:
        self._id = bus_id
        simbus.call(ops.I2C_OPEN, bus_id, freq)

    def writeto(self, address: int, data: "bytes | bytearray | memoryview") -> int:
        return simbus.check(simbus.call(ops.I2C_WRITE, self._id, address, data))

    def readfrom_into(self, address: int, buf: "bytearray | memoryview") -> None:
        simbus.check(simbus.call(ops.I2C_READ, self._id, address << 16 | len(buf), None, buf))

    def recover(self) -> None:
        """Nine clocks free a bus whose SDA a chip holds low."""
        simbus.call(ops.I2C_RECOVER, self._id)


def i2c(bus_id: int, scl: int, sda: int, freq: int = 100000) -> I2C:
    return I2C(bus_id, freq)


class _Stream:
    """Bytes in and out through a handle of the bus."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def write(self, data: "bytes | bytearray | memoryview") -> int:
        count = len(data)
        if count <= _PART:
            simbus.call(ops.WRITE, self._handle, 0, data)
        else:
            view = memoryview(data)
            for start in range(0, count, _PART):
                simbus.call(ops.WRITE, self._handle, 0, view[start : start + _PART])
        return count

    async def readinto(self, buf: "bytearray | memoryview", timeout_ms: int) -> int:
        """Number of bytes read, at least 1; 0 when the deadline came first."""
        count = simbus.call(ops.READ, self._handle, len(buf), None, buf)
        if not count and timeout_ms > 0:
            await simbus.ready(self._handle, timeout_ms)
            count = simbus.call(ops.READ, self._handle, len(buf), None, buf)
        return count

    def close(self) -> None:
        simbus.call(ops.CLOSE, self._handle)


def uart(bus_id: int, tx: int, rx: int, baudrate: int, rxbuf: int = 1024) -> _Stream:
    simbus.call(ops.UART_OPEN, bus_id, baudrate << 20 | rxbuf)
    return _Stream(ops.UART + bus_id)


class _I2S(_Stream):
    """Microphone input, int32 little endian; `ibuf` counts 8 bytes a frame, whatever is read of them.

    A read waits until the buffer can be filled.
    """

    def __init__(self, bus_id: int, rate: int, ibuf: int) -> None:
        _Stream.__init__(self, ops.I2S + bus_id)
        self._args = bus_id, rate << 24 | ibuf
        self.slots(1)

    def slots(self, count: int) -> None:
        """Begin anew, with the left slot alone or with both, left first. The clocks stop meanwhile."""
        self._frame_shift = 1 + count
        simbus.call(ops.I2S_OPEN, self._args[0], self._args[1] | count - 1 << 20)

    async def readinto(self, buf: "bytearray | memoryview", timeout_ms: int) -> int:
        simbus.call(ops.WANT, self._handle, len(buf) >> self._frame_shift)
        await simbus.ready(self._handle, timeout_ms)
        return simbus.call(ops.READ, self._handle, len(buf), None, buf)


def i2s(bus_id: int, sck: int, ws: int, sd: int, rate: int, ibuf: int) -> _I2S:
    return _I2S(bus_id, rate, ibuf)


def radio_port(*pins: int) -> "Any":
    """(spi_id, sck, mosi, miso, nss, reset, irq, busy, rxen, baudrate); busy and rxen -1: no such pin."""
    from firmware.hal.sim_radio import RadioPort

    return RadioPort(*pins)


class Console(_Stream):
    """The port of the REPL, raw. 0x03 keeps its meaning: mpremote can always break in, and no frame holds one."""

    def __init__(self) -> None:
        _Stream.__init__(self, ops.CONSOLE)

    def open(self) -> None:
        simbus.call(ops.CONSOLE_OPEN)


def console() -> Console:
    return Console()
