"""A Semtech SX1262: its commands, registers and buffer over SPI, as its data sheet (rev. 2.1) says."""

from __future__ import annotations

from tools.sim.chips.radio_chip import NOISE_DBM
from tools.sim.chips.sx1262_modem import ERROR, MODE_BITS, OUTPUT_DBM, REGISTERS, TIMEOUT_TICK_US, Modem

TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)
FALLBACK = {0x20: "rc", 0x30: "xosc", 0x40: "fs"}
COMMAND_US = 20
WARM_US, COLD_US = 340, 3_500
CALIBRATE_US, IMAGE_US = 3_500, 2_500
RETENTION = 0x029F  # how many registers, then their addresses


class SX1262(Modem):
    """The whole chip. A command of which nobody has heard, or one that comes while BUSY is high, is a violation."""

    def _exchange(self, data: bytes) -> bytes:
        if "foreign" in self.faults:
            return bytes((0x00, *(0x12 for _ in data[1:])))
        if self.mode == "sleep":
            self._wake()
            return bytes(len(data))
        if self.busy():
            self.violations.append(f"command {data.hex()} while BUSY is high")
            return bytes(len(data))
        answer = bytearray((MODE_BITS[self.mode] << 4 | self._status << 1,) * len(data))
        opcode = data[0]
        if opcode == 0xC0 and self._last == 0x82:
            self.violations.append("GetStatus right after SetRx")
            self._leave_reception()
            self.mode = "tx"  # and never out of it
        self._last = opcode
        self._occupy(COMMAND_US)
        self._status = 0
        known = self._set(opcode, data[1:]) or self._get(opcode, data, answer)
        if not known:
            self._status = 4
            self.violations.append(f"unknown command {data.hex()}")
        return bytes(answer)

    def _get(self, opcode: int, data: bytes, answer: bytearray) -> bool:
        """Commands that read: fills in the answer."""
        size = len(data)
        if opcode == 0x1D:  # register
            address = data[1] << 8 | data[2]
            for at in range(4, size):
                answer[at] = self.registers.get(address + at - 4, 0)
            return size > 4
        if opcode == 0x1E:  # buffer
            for at in range(3, size):
                answer[at] = self.buffer[(data[1] + at - 3) & 0xFF]
            return size > 3
        found = {
            0xC0: b"",
            0x12: self._flags.to_bytes(2, "big"),
            0x13: bytes(self._ended),
            0x14: self._packet_status,
            0x15: bytes((-2 * NOISE_DBM if self.mode == "rx" else 0,)),
            0x17: self._errors.to_bytes(2, "big"),
            0x10: b"".join(count.to_bytes(2, "big") for count in self._counts),
        }.get(opcode)
        if found is None:
            return False
        answer[2 : 2 + len(found)] = found
        del answer[size:]
        if opcode == 0xC0 and self.mode == "rx":
            self._status = 0
        return True

    def _set(self, opcode: int, arguments: bytes) -> bool:
        """Commands that write; False: it is none of them, or has too few bytes."""
        done = {
            0x84: (1, self._set_sleep), 0x80: (1, self._set_standby), 0xC1: (0, self._set_fs), 0x83: (3, self._set_tx),
            0x82: (3, self._set_rx), 0x9F: (1, self._set_stop_timer), 0x96: (1, lambda a: None),
            0x89: (1, self._calibrate), 0x98: (2, self._calibrate_image), 0x95: (4, self._set_pa),
            0x8E: (2, self._set_tx_params), 0x93: (1, self._set_fallback), 0x86: (4, self._set_frequency),
            0x8A: (1, self._set_packet_type), 0x8B: (4, self._set_modulation), 0x8C: (6, self._set_packet),
            0x88: (7, self._set_cad_params), 0x8F: (2, self._set_base), 0xA0: (1, lambda a: None),
            0x08: (8, self._set_irq_mask), 0x02: (2, self._clear_irq), 0x9D: (1, self._set_dio2),
            0x97: (4, self._set_tcxo), 0x07: (2, self._clear_errors), 0x00: (6, self._clear_counts),
            0x0D: (3, self._write_register), 0x0E: (2, self._write_buffer), 0xC5: (0, self._set_cad),
        }.get(opcode)  # fmt: skip
        if done is None or len(arguments) < done[0]:
            return False
        done[1](arguments)
        return True

    def _set_sleep(self, arguments: bytes) -> None:
        self._leave_reception()
        self.mode = "sleep"
        self._warm = bool(arguments[0] & 4)
        self._changed()

    def _wake(self) -> None:
        if self._warm:
            kept = range(self.registers.get(RETENTION, 0))
            lists = {
                self.registers.get(RETENTION + 1 + 2 * n, 0) << 8 | self.registers.get(RETENTION + 2 + 2 * n, 0)
                for n in kept
            }
            if 0x08AC not in lists:
                self.registers[0x08AC] = REGISTERS[0x08AC]
            self.mode = "rc"
            if self._module_tcxo_mv:
                self._errors |= 1 << ERROR["xosc"]
        else:
            self._restart()
        self._occupy(WARM_US if self._warm else COLD_US)

    def _set_standby(self, arguments: bytes) -> None:
        self._leave_reception()
        was = self.mode
        self.mode = "rc"
        if arguments[0] & 1:
            self._start_oscillator(was)
        self._changed()

    def _set_fs(self, arguments: bytes) -> None:
        self._leave_reception()
        self._start_oscillator(self.mode)
        self._changed()

    def _set_stop_timer(self, arguments: bytes) -> None:
        self._stop_on_preamble = bool(arguments[0])

    def _calibrate(self, arguments: bytes) -> None:
        if self._start_oscillator("rc"):
            self._errors &= ~0x1F
        else:
            self._errors |= 1 << ERROR["pll_cal"]
        self.mode = "rc"
        self._busy_until_us += CALIBRATE_US

    def _calibrate_image(self, arguments: bytes) -> None:
        if self._start_oscillator(self.mode):
            self._image = (arguments[0] * 4_000_000, arguments[1] * 4_000_000)
        else:
            self._errors |= 1 << ERROR["image"]
        self._busy_until_us += IMAGE_US

    def _set_pa(self, arguments: bytes) -> None:
        self._pa = (arguments[0], arguments[1])
        if arguments[2:] != b"\x00\x01" or self._pa not in OUTPUT_DBM:
            self.violations.append(f"PaConfig {arguments.hex()} is not of the table")
        self.registers[0x08E7] = 0x38

    def _set_tx_params(self, arguments: bytes) -> None:
        power = arguments[0] - (arguments[0] >> 7 << 8)
        if not -9 <= power <= 22 or arguments[1] > 7:
            self.violations.append(f"TxParams {arguments.hex()}")
        self._power = (power, arguments[1])

    def _set_fallback(self, arguments: bytes) -> None:
        self._fallback = FALLBACK[arguments[0]]

    def _set_frequency(self, arguments: bytes) -> None:
        self._frf = int.from_bytes(arguments[:4], "big")

    def _set_packet_type(self, arguments: bytes) -> None:
        self._lora = arguments[0] == 1

    def _set_modulation(self, arguments: bytes) -> None:
        if not self._lora:
            self.violations.append("modulation parameters before the packet type")
        self._modulation = (arguments[0], arguments[1], arguments[2], arguments[3])

    def _set_packet(self, arguments: bytes) -> None:
        self._packet = (arguments[0] << 8 | arguments[1], arguments[2], arguments[3], arguments[4], arguments[5])
        self.registers[0x0736] = REGISTERS[0x0736]

    def _set_cad_params(self, arguments: bytes) -> None:
        self._cad = tuple(arguments[:4])

    def _set_base(self, arguments: bytes) -> None:
        self._base = [arguments[0], arguments[1]]

    def _set_irq_mask(self, arguments: bytes) -> None:
        self._mask, self._dio1 = (int.from_bytes(arguments[at : at + 2], "big") for at in (0, 2))

    def _clear_irq(self, arguments: bytes) -> None:
        self._flags &= ~int.from_bytes(arguments[:2], "big")
        self._raise()

    def _set_dio2(self, arguments: bytes) -> None:
        self._dio2 = bool(arguments[0])

    def _set_tcxo(self, arguments: bytes) -> None:
        self._tcxo = (TCXO_MV[arguments[0] & 7], int(int.from_bytes(arguments[1:4], "big") * TIMEOUT_TICK_US))
        self._errors |= 1 << ERROR["xosc"]

    def _clear_errors(self, arguments: bytes) -> None:
        self._errors = 0

    def _clear_counts(self, arguments: bytes) -> None:
        self._counts = [0, 0, 0]

    def _write_register(self, arguments: bytes) -> None:
        address = arguments[0] << 8 | arguments[1]
        for at, value in enumerate(arguments[2:]):
            self.registers[address + at] = value
        if self.registers.get(0x0902) == 0 and self.registers[0x0944] & 2:
            self._stale_us = None
            del self.registers[0x0902]
            self.registers[0x0944] &= ~2
        self._changed()

    def _write_buffer(self, arguments: bytes) -> None:
        for at, value in enumerate(arguments[1:]):
            self.buffer[(arguments[0] + at) & 0xFF] = value
