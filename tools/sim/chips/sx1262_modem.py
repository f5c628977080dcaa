"""What a Semtech SX1262 does: modes, oscillator, frames, interrupts, as its data sheet (rev. 2.1) says.

What the sheet's chapter 15 warns of happens here: a driver without the workarounds loses frames. What the sheet forbids and
the chip bears in silence is noted in `violations`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.sim.chips.radio_chip import RadioChip, on_raster
from tools.sim.radio.ether import Listening, Reception, Signal
from tools.sim.world import World

XTAL_HZ = 32_000_000
TIMEOUT_TICK_US = 15.625
ENDLESS = 0xFFFFFF
BANDWIDTH_HZ = {
    0: 7810,
    8: 10420,
    1: 15630,
    9: 20830,
    2: 31250,
    10: 41670,
    3: 62500,
    4: 125_000,
    5: 250_000,
    6: 500_000,
}
OUTPUT_DBM = {(4, 7): 22, (3, 5): 20, (2, 3): 17, (2, 2): 14}  # (duty cycle, hpMax) at 22 in SetTxParams
MODE_BITS = {"rc": 2, "xosc": 3, "fs": 4, "rx": 5, "tx": 6, "cad": 5}
CAD_SYMBOLS = (1, 2, 4, 8, 16)
IRQ = {
    "tx_done": 0, "rx_done": 1, "preamble": 2, "header": 4, "header_error": 5, "crc_error": 6, "cad_done": 7,
    "cad_found": 8, "timeout": 9,
}  # fmt: skip
ERROR = {"rc64k": 0, "rc13m": 1, "pll_cal": 2, "adc": 3, "image": 4, "xosc": 5, "pll": 6, "pa_ramp": 8}

RESET_US = 3_500
TO_SEND_US, TO_RECEIVE_US = 105, 62  # from STDBY_XOSC: the synthesizer locks

REGISTERS = {
    0x0736: 0x0D,
    0x0740: 0x14,
    0x0741: 0x24,
    0x0889: 0x00,
    0x08AC: 0x94,
    0x08D8: 0xC8,
    0x08E7: 0x18,
    0x0944: 0x00,
}


class Modem(RadioChip):
    """The chip without its commands.

    `tcxo_mv`: the module's oscillator is fed by DIO3 with so much, 0: it has a crystal. `dio2_switch`: the module's switch
    goes to the transmitter by DIO2.
    """

    FAULTS = RadioChip.FAULTS | {
        "busy_stuck": "BUSY stays high",
        "no_tcxo": "the oscillator does not start, whatever it is fed with",
        "foreign": "another chip answers",
        "pa_ramp": "the amplifier does not come up",
        "tx_hangs": "a transmission never ends",
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
        tcxo_mv: int = 1800,
        dio2_switch: bool = True,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults, supply=supply, rxen=rxen)
        self._module_tcxo_mv = tcxo_mv
        self._needs_dio2 = dio2_switch
        self._restart()

    def _restart(self) -> None:
        self.mode = "rc"
        self.registers = dict(REGISTERS)
        self.buffer = bytearray(256)
        self._lora = False
        self._frf = 0
        self._modulation = (7, 4, 1, 0)
        self._packet = (8, 0, 0, 1, 0)  # preamble, implicit, length, crc, inverted
        self._pa: tuple[int, int] | None = None
        self._power = (0, 4)
        self._base = [0, 0]  # of what is sent, of what is received
        self._fallback = "rc"
        self._dio2 = False
        self._tcxo: tuple[int, int] | None = None  # mV, delay in us
        self._image: tuple[int, int] | None = None
        self._cad: tuple[int, ...] = (2, 24, 10, 0)
        self._stop_on_preamble = False
        self._mask, self._dio1 = 0, 0
        self._flags = 0
        self._errors = 1 << ERROR["xosc"] if self._module_tcxo_mv else 0
        self._status = 0  # of the last command
        self._last = 0
        self._endless = False  # reception that goes on after a frame
        self._begun_us = 0
        self._stale_us: int | None = None  # erratum 15.3: a timer that still runs
        self._ended = (0, 0)  # length and start of the last frame
        self._packet_status = bytes(3)
        self._counts = [0, 0, 0]
        self._warm = False
        self._busy_until_us = self._now_us + RESET_US
        self._changed()

    # --- Pins --------------------------------------------------------------------------------------------------------

    def busy(self) -> bool:
        if "busy_stuck" in self.faults:
            return True
        if not self.powered:
            return False
        return self._held or self.mode == "sleep" or self._now_us < self._busy_until_us

    def _occupy(self, duration_us: int) -> None:
        self._busy_until_us = self._now_us + duration_us

    def _raise(self, *names: str) -> None:
        for name in names:
            self._flags |= self._mask & 1 << IRQ[name]
        self._set_irq(bool(self._flags & self._dio1))

    def _start_oscillator(self, was: str) -> bool:
        """To STDBY_XOSC, with the wait that the oscillator needs; False and an error when it does not start."""
        delay_us = 31
        works = "no_tcxo" not in self.faults
        if self._module_tcxo_mv:
            works = works and self._tcxo is not None and self._tcxo[0] == self._module_tcxo_mv
        if self._tcxo is not None and was in ("rc", "sleep"):
            delay_us += self._tcxo[1]
        self._occupy(delay_us)
        if works:
            self.mode = "xosc"
        else:
            self.mode = "rc"
            self._errors |= 1 << ERROR["xosc"]
            self._status = 5
        return works

    # --- On air ------------------------------------------------------------------------------------------------------

    @property
    def frequency_hz(self) -> int:
        return on_raster(self._frf * XTAL_HZ / 2**25)

    @property
    def _rate(self) -> tuple[int, int]:
        """SF and bandwidth in Hz."""
        return self._modulation[0], BANDWIDTH_HZ[self._modulation[1]]

    @property
    def _symbol_us(self) -> float:
        sf, bandwidth = self._rate
        return float(1 << sf) * 1e6 / bandwidth

    @property
    def _sync_word(self) -> int:
        first, second = self.registers[0x0740], self.registers[0x0741]
        return (first & 0xF0) | second >> 4 if first & 15 == second & 15 == 4 else -1

    def _ready_for_air(self) -> bool:
        """The oscillator runs and the band is the calibrated one."""
        if self.mode == "rc" and not self._start_oscillator("rc"):
            return False
        if self._image is None or not self._image[0] <= self.frequency_hz <= self._image[1]:
            self.violations.append(f"no image calibration for {self.frequency_hz} Hz")
        return True

    def _set_tx(self, arguments: bytes) -> None:
        self._leave_reception()
        if not self._ready_for_air() or self._pa is None or not self._lora:
            self._status = 5
            self._changed()
            return
        delay_us = max(0, self._busy_until_us - self._now_us) + TO_SEND_US
        self._occupy(delay_us)
        self.mode = "tx"
        self._changed()
        if "pa_ramp" in self.faults:
            self._errors |= 1 << ERROR["pa_ramp"]
        elif "tx_hangs" not in self.faults:
            self._after("tx", delay_us, self._begin_frame)
        timeout = int.from_bytes(arguments[:3], "big")
        if timeout:
            self._after("timeout", int(timeout * TIMEOUT_TICK_US), self._tx_timeout)

    def _begin_frame(self) -> None:
        sf, bandwidth = self._rate
        preamble, implicit, length, crc, inverted = self._packet
        assert self._pa is not None
        power_dbm = float(OUTPUT_DBM.get(self._pa, 14) - 22 + self._power[0])
        if bool(self.registers[0x0889] & 4) == (bandwidth == 500_000):
            self.violations.append("15.1: modulation quality")
            power_dbm -= 3
        if self.registers[0x08D8] & 0x1E != 0x1E:
            self.violations.append("15.2: clamping of a mismatched antenna")
            power_dbm -= 5
        if (self._needs_dio2 and not self._dio2) or (self._has_rxen and self._rx_path):
            self.violations.append("the switch is not at the transmitter")
            power_dbm -= 40
        data = bytes(self.buffer[(self._base[0] + at) & 0xFF] for at in range(length))
        end_us = self._send(
            Signal(
                self.frequency_hz, bandwidth, sf, self._modulation[2] + 4, bool(inverted), self._sync_word, preamble,
                power_dbm, data, bool(crc), bool(implicit), bool(self._modulation[3]),
            )
        )  # fmt: skip
        self._after("tx", end_us - self._now_us, self._tx_done)

    def _tx_done(self) -> None:
        self._cancel("timeout")
        self._status = 6
        self.mode = self._fallback
        self._changed()
        self._raise("tx_done")

    def _tx_timeout(self) -> None:
        self._cancel("tx")
        if self._ether is not None:
            self._ether.stop(self)
        self.mode = self._fallback
        self._changed()
        self._raise("timeout")

    def _set_rx(self, arguments: bytes) -> None:
        self._leave_reception()
        if not self._ready_for_air() or not self._lora:
            self._status = 5
            self._changed()
            return
        delay_us = max(0, self._busy_until_us - self._now_us) + TO_RECEIVE_US
        self._occupy(delay_us)
        timeout = int.from_bytes(arguments[:3], "big")
        self._endless = timeout == ENDLESS
        self._begun_us = self._now_us + delay_us
        self._changed()
        self._after("rx", delay_us, self._begin_reception)
        due_us = [] if self._stale_us is None else [self._stale_us]
        if timeout and not self._endless:
            due_us.append(self._begun_us + int(timeout * TIMEOUT_TICK_US))
        if due_us:
            self._after("timeout", max(0, min(due_us) - self._now_us), self._rx_timeout)

    def _begin_reception(self) -> None:
        self.mode = "rx"
        self._changed()

    def _leave_reception(self) -> None:
        for name in ("rx", "timeout", "header", "cad"):
            self._cancel(name)
        self._cancel("tx")
        if self.mode == "tx" and self._ether is not None:
            self._ether.stop(self)
        if self.mode in ("rx", "cad"):
            self.mode = "xosc"

    def _rx_timeout(self) -> None:
        self._leave_reception()
        self.mode = self._fallback
        self._changed()
        self._status = 3
        self._raise("timeout")

    def listening(self) -> Listening | None:
        if self.mode != "rx" or not self._hears:
            return None
        sf, bandwidth = self._rate
        return Listening(self.frequency_hz, bandwidth, sf, bool(self._packet[4]), self._sync_word)

    def preamble(self, begin_us: int, signal: Signal) -> None:
        if self._stop_on_preamble:
            self._cancel("timeout")
        self._raise("preamble")
        self._await_header(begin_us, signal)

    def _header(self) -> None:
        pending = self._timers.get("timeout")
        if pending is not None and not self._endless:
            self._stale_us = pending.due_us  # erratum 15.3: it is kept, and ends a later reception
        self._cancel("timeout")
        self._raise("header")

    def received(self, reception: Reception) -> None:
        self._cancel("header")
        signal = reception.signal
        if not reception.header_ok:
            self._raise("header_error")
            return
        ldro_ok = signal.ldro is None or signal.ldro == bool(self._modulation[3])
        iq_ok = bool(self.registers[0x0736] & 4) != bool(self._packet[4])  # erratum 15.4
        crc_ok = reception.crc_ok and ldro_ok and iq_ok
        start = self._ended[1] + self._ended[0] & 0xFF if self._endless else self._base[1]
        for at, value in enumerate(signal.data):
            self.buffer[(start + at) & 0xFF] = value
        self._ended = (len(signal.data), start)
        rssi, snr = -2 * reception.rssi_dbm, 4 * reception.snr_db
        strength = -2 * reception.signal_dbm
        self._packet_status = bytes((_clip(rssi, 255), round(snr) & 0xFF, _clip(strength, 255)))
        error = round(reception.freq_error_hz * 1600 / (1.55 * signal.bw_hz / 1000)) & 0xFFFFF
        for at, byte in enumerate((error | signal.crc << 20).to_bytes(3, "big")):
            self.registers[0x076B + at] = byte
        names = ["rx_done"]
        self._counts[0] += 1
        if signal.crc and not crc_ok:
            names.append("crc_error")
            self._counts[1] += 1
        if not self._endless:
            self.mode = self._fallback
            self._cancel("timeout")
            self._changed()
        self._status = 2
        self._raise(*names)

    def _set_cad(self, arguments: bytes) -> None:
        self._leave_reception()
        if not self._ready_for_air() or not self._lora:
            self._status = 5
            return
        delay_us = max(0, self._busy_until_us - self._now_us) + TO_RECEIVE_US
        self._occupy(delay_us)
        self.mode = "cad"
        self._after("cad", delay_us + int((CAD_SYMBOLS[self._cad[0]] + 0.5) * self._symbol_us), self._cad_done)

    def _cad_done(self) -> None:
        sf, bandwidth = self._rate
        found = self._active(self.frequency_hz, bandwidth, sf, bool(self._packet[4]))
        self.mode = "rc"
        self._changed()
        self._raise("cad_done", *(("cad_found",) if found else ()))


def _clip(value: float, most: int) -> int:
    return max(0, min(most, round(value)))
