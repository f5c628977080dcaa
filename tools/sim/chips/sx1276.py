"""A Semtech SX1276 (RFM95): registers and FIFO over SPI, DIO0, as its data sheet (rev. 7) and errata note say.

Two pages of registers share the addresses 0x0D to 0x3F: FSK's and LoRa's; bit 7 of 0x01, which changes in sleep alone,
says which is seen.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.sim.chips.radio_chip import NOISE_DBM, RadioChip, on_raster
from tools.sim.radio.ether import Listening, Reception, Signal
from tools.sim.world import World

XTAL_HZ = 32_000_000
BANDWIDTH_HZ = (7_800, 10_400, 15_600, 20_800, 31_250, 41_700, 62_500, 125_000, 250_000, 500_000)
SLEEP, STANDBY, TX, RX, RX_SINGLE, CAD = 0, 1, 3, 5, 6, 7
FLAG = {"timeout": 7, "rx_done": 6, "crc_error": 5, "header": 4, "tx_done": 3, "cad_done": 2, "cad_found": 0}
ON_DIO0 = ("rx_done", "tx_done", "cad_done")  # by bits 7..6 of 0x40
COMMON = {
    0x01: 0x09,
    0x06: 0x6C,
    0x07: 0x80,
    0x08: 0x00,
    0x09: 0x4F,
    0x0A: 0x09,
    0x0B: 0x2B,
    0x0C: 0x20,
    0x40: 0,
    0x42: 0x12,
    0x4D: 0x84,
}
LORA = {
    0x0D: 0, 0x0E: 0x80, 0x0F: 0, 0x10: 0, 0x11: 0, 0x12: 0, 0x13: 0, 0x18: 0x10, 0x1C: 0, 0x1D: 0x72, 0x1E: 0x70, 0x1F: 0x64,
    0x20: 0, 0x21: 8, 0x22: 1, 0x23: 0xFF, 0x26: 4, 0x2F: 0x20, 0x30: 0, 0x31: 0xC3, 0x33: 0x27, 0x36: 3, 0x37: 0x0A, 0x39: 0x12,
    0x3A: 0x20, 0x3B: 0x1D,
}  # fmt: skip
FSK = {0x3B: 0x02}
READ_ONLY = (0x10, 0x13, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x28, 0x29, 0x2A, 0x42)
RSSI_HF, RSSI_LF = -157, -164
RESET_US, WAKE_US, CALIBRATE_US, TO_SEND_US = 5_000, 250, 10_000, 110


class SX1276(RadioChip):
    """`output`: what the module's antenna hangs on, "boost" or "rfo"."""

    FAULTS = RadioChip.FAULTS | {
        "foreign": "another chip answers",
        "no_crystal": "the crystal does not run: nothing that takes time ever ends",
        "tx_hangs": "a transmission never ends",
        "stays_fsk": "the bit for LoRa does not keep",
    }

    def __init__(
        self, world: World, seed: int, *, site: int = 0, faults: Iterable[str] = (), supply: str = "", rxen: bool = False,
        output: str = "boost",
    ) -> None:  # fmt: skip
        super().__init__(world, seed, site=site, faults=faults, supply=supply, rxen=rxen)
        self.output = output
        self._restart()

    def _restart(self) -> None:
        self.registers = dict(COMMON)
        self._pages = [dict(FSK), dict(LORA)]
        self.fifo = bytearray(256)
        self._write_at = 0  # where the next frame of a reception begins
        self._ready_us = self._now_us + RESET_US
        self._calibrated = False
        self._changed()

    # --- SPI ---------------------------------------------------------------------------------------------------------

    @property
    def mode(self) -> int:
        return self.registers[0x01] & 7

    @property
    def _lora(self) -> bool:
        return bool(self.registers[0x01] & 0x80)

    def _page(self, address: int) -> dict[int, int]:
        return self._pages[self._lora] if 0x0D <= address <= 0x3F else self.registers

    def _exchange(self, data: bytes) -> bytes:
        if self._now_us < self._ready_us:
            self.violations.append(f"{data.hex()} before the chip is ready")
            return bytes(len(data))
        answer = bytearray(len(data))
        address = data[0] & 0x7F
        for at in range(1, len(data)):
            answer[at] = self._get(address)
            if data[0] & 0x80:
                self._set(address, data[at])
            if address:
                address = address + 1 & 0x7F
        return bytes(answer)

    def _get(self, address: int) -> int:
        if address == 0:
            at = self._pages[1][0x0D]
            self._pages[1][0x0D] = at + 1 & 0xFF
            return self.fifo[at]
        if address == 0x42 and "foreign" in self.faults:
            return 0x22
        if address == 0x1B and self._lora:
            return NOISE_DBM - (RSSI_HF if self.frequency_hz > 525_000_000 else RSSI_LF) if self.mode == RX else 0
        return self._page(address).get(address, 0)

    def _set(self, address: int, value: int) -> None:
        if address == 0:
            at = self._pages[1][0x0D] - 1 & 0xFF  # the read above moved it on already
            if self.mode == SLEEP:
                self.violations.append("the FIFO is not there in sleep")
            else:
                self.fifo[at] = value
        elif address == 0x01:
            self._set_mode(value)
        elif address == 0x12 and self._lora:
            self._flags(self._pages[1][0x12] & ~value)
        elif address == 0x3B and not self._lora:
            self._calibrate(value)
        elif address not in READ_ONLY:
            self._page(address)[address] = value
            if address == 0x40:
                self._flags(self._pages[1][0x12])
            self._changed()

    def _calibrate(self, value: int) -> None:
        """The receiver's chain (RegImageCal), in FSK standby."""
        self._pages[0][0x3B] = value & 0x1F
        if value & 0x40:
            if self.mode != STANDBY or self.registers[0x09] & 0x7F:
                self.violations.append("calibration outside of standby, or with the amplifier on")
            self._pages[0][0x3B] |= 0x20
            if "no_crystal" not in self.faults:
                self._after("calibration", CALIBRATE_US, self._calibration_done)

    def _calibration_done(self) -> None:
        self._pages[0][0x3B] &= ~0x20
        self._calibrated = self.frequency_hz > 525_000_000

    def _flags(self, flags: int) -> None:
        self._pages[1][0x12] = flags
        name = (*ON_DIO0, "")[self.registers[0x40] >> 6]
        self._set_irq(bool(name) and bool(flags >> FLAG[name] & 1))

    def _raise(self, *names: str) -> None:
        flags = self._pages[1][0x12]
        for name in names:
            if not self._pages[1][0x11] >> FLAG[name] & 1:
                flags |= 1 << FLAG[name]
        self._flags(flags)

    def _set_mode(self, value: int) -> None:
        was = self.registers[0x01]
        if (was ^ value) & 0x80 and (was & 7 != SLEEP or "stays_fsk" in self.faults):
            value = value & 0x7F | was & 0x80  # outside of sleep it keeps what it was
        for name in ("tx", "header", "cad"):
            self._cancel(name)
        if was & 7 == TX and self._ether is not None:
            self._ether.stop(self)
        if was & 7 == SLEEP and value & 7 != SLEEP:
            self._ready_us = self._now_us + WAKE_US
        self.registers[0x01] = value
        self._changed()
        if not value & 0x80 or "no_crystal" in self.faults:
            return
        if value & 7 == TX and "tx_hangs" not in self.faults:
            self._after("tx", TO_SEND_US, self._begin_frame)
        elif value & 7 == RX:
            self._write_at = self._pages[1][0x0F]
            self._check_receiver()
        elif value & 7 == CAD:
            sf, bandwidth = self._rate
            self._after("cad", (2**sf + 32) * 1_000_000 // bandwidth + TO_SEND_US, self._cad_done)

    # --- On air ------------------------------------------------------------------------------------------------------

    @property
    def frequency_hz(self) -> int:
        high, middle, low = (self.registers[at] for at in (0x06, 0x07, 0x08))
        return on_raster((high << 16 | middle << 8 | low) * XTAL_HZ / 2**19)

    @property
    def _rate(self) -> tuple[int, int]:
        page = self._pages[1]
        return page[0x1E] >> 4, BANDWIDTH_HZ[min(9, page[0x1D] >> 4)]

    def _ldro_ok(self) -> bool:
        sf, bandwidth = self._rate
        return bool(self._pages[1][0x26] & 8) == ((1000 << sf) > 16 * bandwidth)

    @property
    def power_dbm(self) -> int:
        """At the output that the registers name."""
        setting = self.registers[0x09]
        if not setting & 0x80:
            return (setting & 15) if setting & 0x70 == 0x70 else (setting & 15) - 4
        return (5 if self.registers[0x4D] & 7 == 7 else 2) + (setting & 15)

    def _begin_frame(self) -> None:
        page = self._pages[1]
        sf, bandwidth = self._rate
        power = float(self.power_dbm)
        if bool(self.registers[0x09] & 0x80) != (self.output == "boost"):
            self.violations.append("the antenna is not at this output")
            power -= 40
        if power > 17 and self.registers[0x0B] != 0x31:
            self.violations.append("20 dBm with the current limited to 100 mA")
        if self._has_rxen and self._rx_path:
            self.violations.append("the switch is not at the transmitter")
            power -= 40
        if bandwidth == 500_000 and (page[0x36], page[0x3A]) != (0x02, 0x64):
            self.violations.append("2.1: sensitivity at 500 kHz")
        data = bytes(self.fifo[page[0x0E] + at & 0xFF] for at in range(page[0x22]))
        signal = Signal(
            self.frequency_hz, bandwidth, sf, 4 + (page[0x1D] >> 1 & 7), not page[0x33] & 1, page[0x39],
            page[0x20] << 8 | page[0x21], power, data, bool(page[0x1E] & 4), bool(page[0x1D] & 1), bool(page[0x26] & 8),
        )  # fmt: skip
        self._after("tx", self._send(signal) - self._now_us, self._tx_done)

    def _tx_done(self) -> None:
        self._rest()
        self._raise("tx_done")

    def _rest(self) -> None:
        self.registers[0x01] = self.registers[0x01] & ~7 | STANDBY
        self._changed()

    def _check_receiver(self) -> None:
        page = self._pages[1]
        _, bandwidth = self._rate
        if not self._calibrated:
            self.violations.append("the receiver's chain is not calibrated for this port")
        narrow = 62_500 <= bandwidth <= 250_000 and (page[0x31] & 0x80 or page[0x2F] != 0x40 or page[0x30])
        if narrow or (bandwidth == 500_000 and not page[0x31] & 0x80):
            self.violations.append("2.3: receiver spurious reception")
        if bandwidth < 500_000 and page[0x36] != 0x03:
            self.violations.append("2.1: sensitivity")

    def listening(self) -> Listening | None:
        if self.mode != RX or not self._lora or not self._hears or "no_crystal" in self.faults:
            return None
        page = self._pages[1]
        sf, bandwidth = self._rate
        inverted = bool(page[0x33] & 0x40)
        if page[0x3B] != (0x19 if inverted else 0x1D):
            return None
        return Listening(self.frequency_hz, bandwidth, sf, inverted, page[0x39])

    def preamble(self, begin_us: int, signal: Signal) -> None:
        self._pages[1][0x18] |= 0x03
        self._await_header(begin_us, signal)

    def _header(self) -> None:
        self._pages[1][0x18] |= 0x08
        self._raise("header")

    def received(self, reception: Reception) -> None:
        page = self._pages[1]
        self._cancel("header")
        page[0x18] = 0x10
        if not reception.header_ok:
            return  # this chip tells nothing of it
        signal = reception.signal
        for at, value in enumerate(signal.data):
            self.fifo[self._write_at + at & 0xFF] = value
        page[0x10], page[0x13] = self._write_at, len(signal.data)
        self._write_at = self._write_at + len(signal.data) & 0xFF
        page[0x1C] = 0x40 if signal.crc else 0
        offset = RSSI_HF if signal.freq_hz > 525_000_000 else RSSI_LF
        snr = round(4 * reception.snr_db)
        if snr < 0:
            raw = reception.signal_dbm - offset - snr / 4
        else:
            raw = (reception.rssi_dbm - offset) * 15 / 16
        page[0x19], page[0x1A] = snr & 0xFF, max(0, min(255, round(raw)))
        error = round(reception.freq_error_hz * XTAL_HZ / 2**24 * 500_000 / signal.bw_hz) & 0xFFFFF
        page[0x28], page[0x29], page[0x2A] = error.to_bytes(3, "big")
        good = reception.crc_ok and self._ldro_ok() and (signal.ldro is None or signal.ldro == bool(page[0x26] & 8))
        self._raise("rx_done", *(("crc_error",) if signal.crc and not good else ()))

    def _cad_done(self) -> None:
        sf, bandwidth = self._rate
        found = self._active(self.frequency_hz, bandwidth, sf, bool(self._pages[1][0x33] & 0x40))
        self._rest()
        self._raise("cad_done", *(("cad_found",) if found else ()))
