"""What simulated radio chips share: pins, timers, their place on the air, faults.

A radio chip lives in the simulator's true time: it acts by itself, and its interrupt line tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil

from tools.sim.chips.base import Chip
from tools.sim.radio.airtime import header_us
from tools.sim.radio.ether import Ether, Listening, Reception, Signal
from tools.sim.radio.propagation import Position
from tools.sim.timers import Time, Timer
from tools.sim.world import World

CHANNEL_RASTER_HZ = 500  # a synthesizer's steps do not meet the channels: what is meant is the next one of this raster
NOISE_DBM = -117  # what an idle receiver of 125 kHz tells, 6 dB noise figure


class RadioChip(Chip):
    """An antenna (tools.sim.radio.ether) and an SPI slave. `violations`: what a chip cannot tell, and the datasheet forbids.

    `supply`: the rail of a power chip that feeds it; "": the board's own. `rxen`: the module's switch has a pin that must
    be high for reception.
    """

    FAULTS = {
        "floating_high": "nothing drives MISO: every answer is 0xff",
        "floating_low": "MISO is shorted or the chip without supply: every answer is 0x00",
        "irq_lost": "the interrupt line is open",
        "irq_stuck": "the interrupt line is high all the time",
        "deaf": "the switch stays at the transmitter: nothing is received",
        "mute": "nothing reaches the antenna, and the chip does not know",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        supply: str = "",
        rxen: bool = False,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.name = ""
        self.place = Position()
        self.gain_dbi = 0.0
        self.supply = supply
        self.violations: list[str] = []
        self.commands: list[bytes] = []  # what came over SPI, when somebody wants to know: `record`
        self.record = False
        self._has_rxen = rxen
        self._rx_path = 0
        self._held = False  # in reset
        self._time: Time | None = None
        self._ether: Ether | None = None
        self._rises: Callable[[], None] = lambda: None
        self._irq = False
        self._timers: dict[str, Timer] = {}

    # --- Wiring ------------------------------------------------------------------------------------------------------

    def connect(self, time: Time, rises: Callable[[], None]) -> None:
        """Pins to a board: `rises()` is called at each rising edge of the interrupt line."""
        self._time = time
        self._rises = rises

    def join(self, ether: Ether, name: str, place: Position = Position(), gain_dbi: float = 0.0) -> None:  # immutable
        """Put the chip's antenna on the air. Without, it sends into the void and hears nothing."""
        self.name, self.place, self.gain_dbi = name, place, gain_dbi
        self._ether = ether
        ether.attach(self)

    # --- Supply ------------------------------------------------------------------------------------------------------

    def power_on(self, now_us: int) -> None:
        if not self.supply:
            self.feed(True)

    def power_off(self) -> None:
        self.feed(False)

    def feed(self, on: bool) -> None:
        """Supply comes or goes."""
        if on == self.powered:
            return
        self.powered = on
        self._end_all()
        self._restart()

    def pin_reset(self, level: int) -> None:
        """NRESET."""
        if not level and not self._held:
            self._end_all()
        released = self._held and level
        self._held = not level
        if released:
            self._restart()

    def pin_rx_path(self, level: int) -> None:
        self._rx_path = level
        self._changed()

    def _end_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._ether is not None:
            self._ether.stop(self)
        self._irq = False

    def _restart(self) -> None:
        """The state after power-up or reset."""
        raise NotImplementedError

    # --- Time --------------------------------------------------------------------------------------------------------

    @property
    def _now_us(self) -> int:
        return self._time.now_us if self._time is not None else 0

    def _after(self, name: str, delay_us: int, call: Callable[[], None]) -> None:
        """One timer a name; a new one replaces it."""
        self._cancel(name)
        if self._time is not None:
            self._timers[name] = self._time.call_at(self._now_us + delay_us, call)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    # --- SPI and pins ------------------------------------------------------------------------------------------------

    def transfer(self, data: bytes) -> bytes:
        """NSS low, `data` in, as much out, NSS high."""
        if self.record:
            self.commands.append(data)
        if self._held or not self.powered or "floating_low" in self.faults:
            answer = bytes(len(data))
        else:
            answer = self._exchange(data)
        return b"\xff" * len(data) if "floating_high" in self.faults else answer

    def _exchange(self, data: bytes) -> bytes:
        raise NotImplementedError

    def busy(self) -> bool:
        """Level of BUSY."""
        return False

    def irq(self) -> bool:
        """Level of the interrupt line."""
        return (self._irq and "irq_lost" not in self.faults) or "irq_stuck" in self.faults

    def _set_irq(self, level: bool) -> None:
        rises = level and not self._irq
        self._irq = level
        if rises and not self.faults & {"irq_lost", "irq_stuck"}:
            self._rises()

    # --- Air ---------------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._ether is not None:
            self._ether.changed(self)

    def _send(self, signal: Signal) -> int:
        """Put a frame on the air; when it is over (us)."""
        if self._ether is None or "mute" in self.faults:
            return self._now_us + signal.airtime_us()
        return self._ether.transmit(self, signal)

    def _active(self, freq_hz: int, bw_hz: int, sf: int, inverted: bool) -> bool:
        return self._ether is not None and self._hears and self._ether.busy(self, freq_hz, bw_hz, sf, inverted)

    @property
    def _hears(self) -> bool:
        """Whether the switch lets the antenna's signal through to the receiver."""
        return "deaf" not in self.faults and (not self._has_rxen or bool(self._rx_path))

    def _await_header(self, begin_us: int, signal: Signal) -> None:
        """`_header` at the end of the header of a frame that began at `begin_us`; without one never."""
        if not signal.implicit:
            end_us = begin_us + ceil(header_us(signal.sf, signal.bw_hz, signal.preamble))
            self._after("header", max(0, end_us - self._now_us), self._header)

    def _header(self) -> None:
        """A header was received."""
        raise NotImplementedError

    def listening(self) -> Listening | None:
        raise NotImplementedError

    def preamble(self, begin_us: int, signal: Signal) -> None:
        raise NotImplementedError

    def received(self, reception: Reception) -> None:
        raise NotImplementedError


def on_raster(freq_hz: float) -> int:
    """The channel that a synthesizer's step stands for."""
    return round(freq_hz / CHANNEL_RASTER_HZ) * CHANNEL_RASTER_HZ
