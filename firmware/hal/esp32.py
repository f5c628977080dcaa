"""The ESP32 port of MicroPython: the only module that knows `machine` and `esp32`.

Facts: MicroPython ports/esp32 (machine_i2s.c, machine_uart.c, machine_rtc.c) of v1.25 to 1.29. Every wait has a
deadline in milliseconds; a read that meets its deadline returns 0.
"""

import asyncio
import gc
import os
import select
import sys
import time

import esp32
import machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "esp32"
RTC_MEMORY_MAX = 2048  # bytes of RTC slow memory that the port gives to RTC.memory()
RECOVERY_CLOCKS = 9  # I2C spec 3.1.16: a chip that holds SDA lets go within nine clocks

ticks_ms = time.ticks_ms
ticks_diff = time.ticks_diff
ticks_add = time.ticks_add
sleep_ms = asyncio.sleep_ms
reset = machine.reset
reset_cause = machine.reset_cause
random_bytes = os.urandom
unique_id = machine.unique_id
collect = gc.collect


def prepare_loop() -> None:
    """Nothing to prepare: asyncio of this port polls streams by itself."""


async def wait_for_ms(awaitable: "Any", timeout_ms: int) -> "Any":
    """The awaitable's result; raises asyncio.TimeoutError after `timeout_ms`."""
    return await asyncio.wait_for_ms(awaitable, timeout_ms)


def deepsleep(duration_ms: int) -> None:
    """Sleep without RAM; the board starts again from boot.py."""
    machine.deepsleep(duration_ms)


def rtc_ms() -> int:
    """The chip's calendar in ms: it begins anywhere, runs on through deep sleep, and there as badly as the oscillator
    that times the sleep."""
    return time.time_ns() // 1000000


def rtc_memory(data: "bytes | None" = None) -> bytes:
    """Read, or with `data` (at most 2048 bytes) write, the memory that deep sleep keeps."""
    memory = machine.RTC()
    if data is not None:
        if len(data) > RTC_MEMORY_MAX:
            raise ValueError("rtc memory: %d bytes of %d" % (len(data), RTC_MEMORY_MAX))
        memory.memory(data)
    return bytes(memory.memory())


def watchdog(timeout_ms: int) -> "Any":
    """The task watchdog; cannot be stopped again."""
    return machine.WDT(timeout=timeout_ms)


def supply_mv() -> "int | None":
    """Supply in mV, None where the board has no divider on an ADC pin."""
    return None


def led(pin: int, on: int) -> None:
    """Light of the board, for whoever stands beside it."""
    machine.Pin(pin, machine.Pin.OUT, value=on)


def temperature_cdeg() -> "int | None":
    """Temperature of the chip in hundredths of a degree Celsius, None where there is no sensor."""
    if hasattr(esp32, "mcu_temperature"):
        return int(esp32.mcu_temperature()) * 100
    if hasattr(esp32, "raw_temperature"):
        return (int(esp32.raw_temperature()) - 32) * 500 // 9  # the first ESP32 tells Fahrenheit
    return None


def free_heap() -> "tuple[int, int]":
    """(free bytes, largest free block); the port does not tell the second: 0."""
    return gc.mem_free(), 0


class I2C:
    """Hardware I2C; OSError 19 (no answer), 116 (timeout) and 5 pass through.

    A bus whose SDA a chip holds low is refused at once with 116: a transfer would stand still for the port's timeout (50 ms),
    and on ESP-IDF's newer driver end in 19, as if nobody were there (machine_i2c.c). The pin stays an input beside the
    peripheral, which reads it through the same GPIO matrix.
    """

    def __init__(self, bus_id: int, scl: int, sda: int, freq: int) -> None:
        self._args = (bus_id, scl, sda, freq)
        self._open()

    def _open(self) -> None:
        bus_id, scl, sda, freq = self._args
        self._sda = machine.Pin(sda)
        self._bus = machine.I2C(bus_id, scl=machine.Pin(scl), sda=self._sda, freq=freq)

    def _check(self) -> "Any":
        if not self._sda():
            raise OSError(116)
        return self._bus

    def writeto(self, address: int, data: "bytes | bytearray | memoryview") -> int:
        return self._check().writeto(address, data)

    def readfrom_into(self, address: int, buf: "bytearray | memoryview") -> None:
        self._check().readfrom_into(address, buf)

    def recover(self) -> None:
        """Free a bus whose SDA a chip holds low: clock it by hand, then open it anew."""
        scl = machine.Pin(self._args[1], machine.Pin.OPEN_DRAIN, value=1)
        for _ in range(RECOVERY_CLOCKS):
            scl(0)
            time.sleep_us(5)
            scl(1)
            time.sleep_us(5)
        self._open()


def i2c(bus_id: int, scl: int, sda: int, freq: int = 100000) -> I2C:
    return I2C(bus_id, scl, sda, freq)


class _Stream:
    """A stream of the port with a deadline on reads."""

    def __init__(self, stream: "Any") -> None:
        self._stream = stream
        self._reader = asyncio.StreamReader(stream)
        self.write = stream.write

    async def readinto(self, buf: "bytearray | memoryview", timeout_ms: int) -> int:
        """Number of bytes read, at least 1; 0 when the deadline came first."""
        try:
            return await asyncio.wait_for_ms(self._reader.readinto(buf), timeout_ms) or 0
        except asyncio.TimeoutError:
            return 0

    def close(self) -> None:
        self._stream.deinit()


def uart(bus_id: int, tx: int, rx: int, baudrate: int, rxbuf: int = 1024) -> _Stream:
    return _Stream(machine.UART(bus_id, baudrate=baudrate, tx=tx, rx=rx, rxbuf=rxbuf))


class _Receiver(_Stream):
    """Microphone input, int32 little endian; `ibuf` counts 8 bytes a frame, whatever is read of them."""

    def __init__(self, *args: int) -> None:
        self._args = args
        self.slots(1)

    def slots(self, count: int) -> None:
        """Begin anew, with the left slot alone (MONO) or with both, left first. The clocks stop meanwhile."""
        bus_id, sck, ws, sd, rate, ibuf = self._args
        I2S = machine.I2S
        _Stream.__init__(
            self,
            I2S(
                bus_id,
                sck=machine.Pin(sck),
                ws=machine.Pin(ws),
                sd=machine.Pin(sd),
                mode=I2S.RX,
                bits=32,
                format=I2S.MONO if count == 1 else I2S.STEREO,
                rate=rate,
                ibuf=ibuf,
            ),  # a used id is given back first
        )


def i2s(bus_id: int, sck: int, ws: int, sd: int, rate: int, ibuf: int) -> _Receiver:
    return _Receiver(bus_id, sck, ws, sd, rate, ibuf)


def radio_port(*pins: int) -> "Any":
    """(spi_id, sck, mosi, miso, nss, reset, irq, busy, rxen, baudrate); busy and rxen -1: no such pin."""
    from firmware.hal.esp32_radio import RadioPort

    return RadioPort(*pins)


class Console:
    """The port of the REPL, raw. 0x03 keeps its meaning: mpremote can always break in, and no frame holds one."""

    def __init__(self) -> None:
        self._in = sys.stdin.buffer
        self.write = sys.stdout.buffer.write
        self._reader = asyncio.StreamReader(self._in)
        self._poll = select.poll()
        self._poll.register(self._in, select.POLLIN)

    def open(self) -> None:
        """Nothing to switch: kbd_intr(3) is the port's default and stays."""

    def close(self) -> None:
        """Nothing to give back."""

    async def readinto(self, buf: "bytearray | memoryview", timeout_ms: int) -> int:
        """What has come, at least 1 byte; 0 at the deadline. Byte by byte: a longer read would block for all of it."""
        try:
            first: bytes = await asyncio.wait_for_ms(self._reader.read(1), timeout_ms)
        except asyncio.TimeoutError:
            return 0
        if not first:
            return 0
        buf[0] = first[0]
        count = 1
        while count < len(buf) and self._poll.poll(0):
            more = self._in.read(1)
            if not more:
                break
            buf[count] = more[0]
            count += 1
        return count


def console() -> Console:
    return Console()
