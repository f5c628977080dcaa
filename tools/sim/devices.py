"""What hangs on the board's pins: I2C buses, UARTs, I2S inputs and radios on SPI, with their simulated chips."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from tools.sim.chips import Chip, Nack
from tools.sim.fifo import Fifo
from tools.sim.line import BITS_PER_BYTE
from tools.sim.stub import ops
from tools.sim.timers import Time, Timer

IDLE_BYTES = 2  # byte times of silence after which the UART's receiver hands over what it has
HELD = "bus_held"  # the fault of a chip that a reset of the board interrupted amid a byte
# So long a transfer stands still at a bus that a chip holds: MicroPython's default timeout (machine_i2c.c). Then the port on
# ESP-IDF's older driver tells ETIMEDOUT; on the newer one it asks first whether anybody is there, and takes every error for a
# no: ENODEV. From then on firmware/hal/esp32.py sees SDA low before it begins, and refuses at once.
HELD_US = 50_000
HELD_ERRNOS = (errno.ETIMEDOUT, errno.ENODEV)
I2S_DMA_FRAME = 8  # bytes of DMA memory a frame takes, whatever is read of it (machine_i2s.c)
I2S_DMA_FRAMES = 256  # frames of one DMA buffer
I2S_STALLED_BUFFERS = 2  # buffers that fill while interrupts stand still, before the oldest is overwritten


class Owner(Protocol):
    """What a device needs of its board."""

    time: Time
    stalled: bool

    def world_us(self) -> int: ...

    def uptime_us(self) -> int: ...

    def notify(self, handle: int) -> None: ...


class Attached(NamedTuple):
    """A chip of a board description's simulation section."""

    bus: str  # "i2c0"
    name: str  # of CHIPS
    chip: Chip


class I2CBus:
    """Chips by address. Every transfer takes its time on the wire. `held_errno`: what the one ends in during which a chip
    began to hold the bus, by the chips' seeds. `sda_is_read`: by the program, before each of the others."""

    def __init__(self, owner: Owner, chips: list[Any]) -> None:
        self._owner = owner
        self._chips = {chip.address: chip for chip in chips}
        self.freq = 100_000
        self.held_errno = HELD_ERRNOS[sum(chip.seed for chip in chips) % 2]
        self.sda_is_read = True
        self._hung = False  # a transfer has met the hold
        self.nacks = 0
        self.last_nack = ""
        self.recoveries = 0

    def _held(self) -> bool:
        """Whether a chip keeps SDA low, so that nobody can say anything."""
        return any(HELD in chip.faults and chip.powered for chip in self._chips.values())

    def recover(self) -> None:
        """SCL was clocked by hand: a chip that kept SDA low has said its last bit and lets go."""
        self.recoveries += 1
        for chip in self._chips.values():
            chip.faults.discard(HELD)

    def charge_us(self, count: int) -> int:
        if not self._held():
            self._hung = False
            return (count + 1) * 9 * 1_000_000 // self.freq + 20
        return 20 if self._hung and self.sda_is_read else HELD_US

    def _refusal(self) -> int:
        """Errno of a transfer on a held bus."""
        if self._hung and self.sda_is_read:
            return errno.ETIMEDOUT
        self._hung = True
        return self.held_errno

    def write(self, address: int, data: bytes) -> int:
        if self._held():
            return -self._refusal()
        chip = self._chips.get(address)
        try:
            if chip is None:
                raise Nack("no such chip")
            chip.write(data, self._owner.world_us())
            return len(data)
        except Nack as nack:
            self._note(address, nack)
            return -errno.ENODEV

    def _note(self, address: int, nack: Nack) -> None:
        self.nacks += 1
        self.last_nack = f"{address:#x}: {nack.reason}"

    def read(self, address: int, count: int) -> tuple[int, bytes]:
        if self._held():
            return -self._refusal(), b""
        chip = self._chips.get(address)
        try:
            if chip is None:
                raise Nack("no such chip")
            data = bytes(chip.read(count, self._owner.world_us()))
            return len(data), data
        except Nack as nack:
            self._note(address, nack)
            return -errno.ENODEV, b""


class Uart:
    """One UART with the chip that talks on it."""

    def __init__(self, owner: Owner, handle: int, chips: list[Any]) -> None:
        self._owner = owner
        self._handle = handle
        self._chips = chips
        self._timer: Timer | None = None
        self._baudrate = 0
        self.fifo = Fifo(256)

    def open(self, baudrate: int, rxbuf: int) -> None:
        self.close()
        self._baudrate = baudrate
        self.fifo = Fifo(max(256, rxbuf))
        for chip in self._chips:
            chip.host_baudrate = baudrate
            chip.output(self._owner.world_us())  # what it said before nobody heard
        self._ask()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._baudrate = 0

    def write(self, data: bytes) -> None:
        if self._baudrate:
            for chip in self._chips:
                chip.receive(data, self._owner.world_us())
            self._ask()

    def _ask(self) -> None:
        """Wait for the chip's next bytes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [at for chip in self._chips if (at := chip.next_output_us()) is not None]
        if due:
            time = self._owner.time
            behind = self._owner.world_us() - time.now_us
            self._timer = time.call_at(max(time.now_us, min(due) - behind), self._collect)

    def _collect(self) -> None:
        data = b"".join(chip.output(self._owner.world_us()) for chip in self._chips)
        if data:
            time = self._owner.time
            length_us = (len(data) + IDLE_BYTES) * BITS_PER_BYTE * 1_000_000 // self._baudrate
            time.call_at(time.now_us + length_us, lambda: self._arrive(data))
        self._ask()

    def _arrive(self, data: bytes) -> None:
        if self._baudrate:
            self.fifo.put(data, self._owner.stalled)
            if len(self.fifo):
                self._owner.notify(self._handle)

    def serve(self) -> None:
        self.fifo.serve()
        if len(self.fifo):
            self._owner.notify(self._handle)

    def available(self) -> bool:
        return len(self.fifo) > 0

    def read(self, count: int) -> bytes:
        return self.fifo.take(count)


class I2S:
    """One I2S input: frames run on in DMA buffers; those that nobody fetches in time are overwritten, silently."""

    def __init__(self, owner: Owner, handle: int, chips: list[Any]) -> None:
        self._owner = owner
        self._handle = handle
        self._chip = chips[0] if chips else None
        self._timer: Timer | None = None
        self._rate = 0
        self._slots = 1
        self._start_us = 0
        self._next = 0  # first frame that was not read
        self._kept = 0  # frames that the buffers hold
        self._wanted = 1  # frames that make the input ready
        self.lost = 0
        self.given = 0  # frames that were read

    def open(self, rate: int, ibuf: int, slots: int = 1) -> None:
        """`slots` 1: the left one is read; 2: both, left first."""
        self.close()
        self._rate = rate
        self._slots = slots
        self._start_us = self._owner.time.now_us
        self._next = 0
        self._kept = max(2, ibuf // (I2S_DMA_FRAMES * I2S_DMA_FRAME)) * I2S_DMA_FRAMES
        self._wanted = 1
        if self._chip is not None:
            self._chip.open(self._owner.world_us(), rate)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._rate = 0

    def _captured(self) -> int:
        return (self._owner.time.now_us - self._start_us) * self._rate // 1_000_000

    def _drop(self) -> None:
        """Overwritten meanwhile: everything older than the buffers."""
        late = self._captured() - self._next - self._kept
        if late > 0:
            self.lost += late
            self._next += late

    def lose(self, frames: int) -> None:
        """So many frames are overwritten before anybody fetched them, as behind a long stall."""
        if self._rate:
            self.lost += frames
            self._next += frames
            if self._timer is not None:  # whoever waits, waits so much longer
                I2S.want(self, self._wanted)

    def now_us(self) -> int:
        """The world's time."""
        return self._owner.world_us()

    def available(self) -> bool:
        return bool(self._rate) and self._captured() - self._next >= self._wanted

    def want(self, wanted: int) -> None:
        """The program waits for so many frames."""
        if not self._rate:
            return
        self._wanted = max(1, min(wanted, self._kept - I2S_DMA_FRAMES))
        if self._timer is not None:
            self._timer.cancel()
        due_us = self._start_us - (-(self._next + self._wanted) * 1_000_000 // self._rate)
        self._timer = self._owner.time.call_at(max(due_us, self._owner.time.now_us), self._ready)

    def _ready(self) -> None:
        self._timer = None
        self._owner.notify(self._handle)

    def read(self, count: int) -> bytes:
        """At most `count` bytes; none (and a wait begins) while there are fewer frames than asked for."""
        if not self._rate:
            return b""
        self._drop()
        frames = min(self._captured() - self._next, count // (4 * self._slots))
        if frames <= 0 or self._chip is None:
            return b""
        now_us = self._owner.world_us()
        data = bytes(self._chip.frames(self._next, frames, now_us))
        if self._slots == 2:
            both = array("I", bytes(8 * frames))
            both[::2] = array("I", data)
            both[1::2] = array("I", self._chip.frames(self._next, frames, now_us, slot="right"))
            data = both.tobytes()
        self._next += frames
        self.given += frames
        return data


class Spi:
    """One SPI bus with a radio, and the pins beside it. Its interrupt is seen when the board's interrupts run."""

    def __init__(self, owner: Owner, handle: int, chips: list[Any]) -> None:
        self._owner = owner
        self._handle = handle
        self._chip = chips[0] if chips else None
        self.freq = 1_000_000
        self.irq_us = 0  # uptime at which the last rising edge was noticed
        self._unseen = False
        if self._chip is not None:
            self._chip.connect(owner.time, self._rises)

    @property
    def present(self) -> bool:
        return self._chip is not None

    def charge_us(self, count: int) -> int:
        return count * 8 * 1_000_000 // self.freq + 10

    def transfer(self, data: bytes) -> bytes:
        return b"\xff" * len(data) if self._chip is None else bytes(self._chip.transfer(data))

    def level(self, pin: int) -> int:
        if self._chip is None:
            return 0
        return int(self._chip.busy() if pin == ops.PIN_BUSY else self._chip.irq())

    def drive(self, pin: int, level: int) -> None:
        if self._chip is not None:
            (self._chip.pin_reset if pin == ops.PIN_RESET else self._chip.pin_rx_path)(level)

    def _rises(self) -> None:
        if self._owner.stalled:
            self._unseen = True
        else:
            self.irq_us = self._owner.uptime_us()
            self._owner.notify(self._handle)

    def serve(self) -> None:
        """Interrupts run again."""
        if self._unseen:
            self._unseen = False
            self._rises()


class Buses(NamedTuple):
    """The buses of a board, numbered as in its description ("uart2" is UART 2)."""

    i2c: dict[int, I2CBus]
    uarts: dict[int, Uart]
    i2s: dict[int, I2S]
    spi: dict[int, Spi]


def attach(owner: Owner, chips: list[Attached]) -> Buses:
    """All buses, with the chips on them."""
    by_bus: dict[str, list[Any]] = {}
    for entry in chips:
        by_bus.setdefault(entry.bus, []).append(entry.chip)

    def numbered(kind: str, make: Callable[[int, list[Any]], Any]) -> dict[int, Any]:
        return {n: make(n, by_bus.get(f"{kind}{n}", [])) for n in range(4)}

    return Buses(
        numbered("i2c", lambda n, found: I2CBus(owner, found)),
        numbered("uart", lambda n, found: Uart(owner, ops.UART + n, found)),
        numbered("i2s", lambda n, found: I2S(owner, ops.I2S + n, found)),
        numbered("spi", lambda n, found: Spi(owner, ops.RADIO + n, found)),
    )
