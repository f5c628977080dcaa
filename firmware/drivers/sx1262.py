"""Semtech SX1262 as a LoRa radio of 125 kHz, 4/5, explicit header with CRC. Surface: firmware.drivers.radio.

Data sheet DS.SX1261-2 rev. 2.1 ("DS"); its chapter 15 names the workarounds. Between two operations the chip rests in
STDBY_XOSC, so that the oscillator is ready; `sleep()` keeps its settings. GetStatus is never sent right after SetRx: some
chips then transmit without end; the interrupt flags are read instead.
"""

from firmware.drivers import const, seldom
from firmware.drivers.lora_chip import FRAME_MAX, MARGIN_MS, SEARCH_SYMBOLS, LoraChip
from wire.airtime import airtime_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.drivers.lora_chip import Heard

CARE = "firmware.drivers.sx1262_care"

_CLEAR_IRQ = b"\x02\xff\xff"
_CLEAR_ERRORS = b"\x07\x00\x00"
_GET_IRQ = b"\x12\x00\x00\x00"
_GET_STATUS = b"\xc0\x00"
_STANDBY_XOSC = b"\x80\x01"

# Interrupt flags (DS 13.3.1).
_TX_DONE = const(0x0001)
_RX_DONE = const(0x0002)
_HEADER_VALID = const(0x0010)
_HEADER_ERROR = const(0x0020)
_CRC_ERROR = const(0x0040)
_CAD_DONE = const(0x0080)
_CAD_FOUND = const(0x0100)
_TIMEOUT = const(0x0200)

_IN_RX = const(5)  # mode of the status byte (DS 13.5.1)

_CAD_PEAKS = b"\x16\x16\x17\x18\x19\x1c"  # AN1200.48, from SF7 on

_IQ = const(0x0736)
_FREQ_ERROR = const(0x076B)  # 3 bytes: bit 20 whether the frame has a CRC, 20 bits of frequency error
_MODULATION = const(0x0889)
_RTC = const(0x0902)
_EVENT_MASK = const(0x0944)

_BUSY_US = const(1800)  # DS 8.3.1: at most 0.126 ms for what is awaited so; longer waits are slept
_MODE_MS = const(60)  # oscillator, calibration (DS 9.2: 3.5 ms; up to 18 ms were seen)
_STUCK = const(256)  # no status byte: BUSY stays high


class Sx1262(LoraChip):
    """See firmware.drivers.radio. `options`: tcxo_mv, tcxo_ms, dio2_switch, dcdc, public of the board's description.

    Power: -9 to 22 dBm.
    """

    _done = _TX_DONE | _RX_DONE | _HEADER_ERROR | _CAD_DONE | _TIMEOUT
    _care = CARE
    _band_mhz = (0, 0)  # first and last, that its image rejection is calibrated for
    _mode = 0  # in its last status byte

    # --- Commands ---

    def _transfer(self, whole: memoryview) -> None:
        """One command as soon as the chip takes it."""
        port = self._port
        if port.busy():
            begun_us = port.now_us()
            while port.busy():
                if port.us_diff(port.now_us(), begun_us) > _BUSY_US:
                    raise self._fault(_STUCK)
        port.transfer(whole)

    def _do(self, command: bytes) -> memoryview:
        """The answer to a command: as long as it, and valid until the next one."""
        size = len(command)
        answer = self._buf[:size]
        answer[:] = command
        self._transfer(answer)
        if size > 1 and answer[1] in (0x00, 0xFF):  # no mode has these (DS 13.5.1)
            raise self._fault(answer[1])
        return answer

    async def _settle(self) -> None:
        """Until BUSY is low, for commands that take long."""
        clock = self._clock
        begun_ms = clock.ticks_ms()
        while self._port.busy():
            if clock.ticks_diff(clock.ticks_ms(), begun_ms) > _MODE_MS:
                raise self._fault(_STUCK)
            await clock.sleep_ms(1)

    def _fault(self, status: int = -1) -> OSError:
        """What is wrong, in words."""
        error: OSError = seldom(CARE, "fault")(self, status)
        return error

    def _register(self, address: int, value: int) -> None:
        self._do(bytes((0x0D, address >> 8, address & 0xFF, value)))

    def _change(self, address: int, clear: int, add: int) -> None:
        """Single bits of a register."""
        high, low = address >> 8, address & 0xFF
        value = self._do(bytes((0x1D, high, low, 0, 0)))[4]
        self._register(address, value & ~clear | add)

    def _flags(self) -> int:
        answer = self._do(_GET_IRQ)
        self._mode = answer[1] >> 4 & 7
        return answer[2] << 8 | answer[3]

    # --- Settings ---

    async def _standby(self) -> None:
        """At rest with the oscillator running, from wherever the chip is."""
        self._listening = False
        if self._asleep:
            self._asleep = False
            self._port.transfer(self._awaken())
            await self._settle()
            self._do(_CLEAR_ERRORS)  # DS 9.2.1: a TCXO without supply is an error that says nothing
        self._do(_STANDBY_XOSC)
        await self._settle()

    def _awaken(self) -> memoryview:
        answer = self._buf[:2]
        answer[:] = _GET_STATUS
        return answer

    async def _prepare(self, length: int) -> None:
        """At rest, with what is wanted, for frames of `length` bytes."""
        await self._standby()
        freq_hz, sf, power_dbm, inverted = self._wanted
        if freq_hz != self._freq_hz:
            if not self._band_mhz[0] <= freq_hz // 1000000 < self._band_mhz[1]:
                await seldom(CARE, "calibrate_image")(self, freq_hz)
            steps = freq_hz // 15625 * 16384 + freq_hz % 15625 * 16384 // 15625  # of 32 MHz / 2^25
            self._do(b"\x86" + steps.to_bytes(4, "big"))
            self._freq_hz = freq_hz
        if sf != self._sf:
            self._do(bytes((0x8B, sf, 0x04, 0x01, sf > 10)))
            self._sf = sf
        if power_dbm != self._power_dbm:
            # DS 13.1.14: the amplifier that gives the most for its current; each is told 22 dBm for what it is made for.
            amplifier, most = b"\x04\x07", 22
            for entry, limit in ((b"\x03\x05", 20), (b"\x02\x03", 17), (b"\x02\x02", 14)):
                if power_dbm <= limit:
                    amplifier, most = entry, limit
            self._do(b"\x95" + amplifier + b"\x00\x01")
            self._do(bytes((0x8E, power_dbm + 22 - most & 0xFF, 0x04)))
            self._power_dbm = power_dbm
        self._do(bytes((0x8C, 0x00, 0x08, 0x00, length, 0x01, bool(inverted))))
        self._change(_IQ, 0x04, 0 if inverted else 0x04)  # DS 15.4

    async def _begin(self, command: bytes, at_us: "int | None") -> int:
        """Give the command that begins an operation, now or at `at_us`; when that was."""
        self._do(_CLEAR_IRQ)
        await self._await(at_us)
        port = self._port
        self._irq_us = port.irq_us()
        self._do(command)
        begun_us: int = port.now_us()
        return begun_us

    # --- Operations ---

    async def cad(self) -> bool:
        """Whether chirps of this rate are in the air."""
        await self._prepare(FRAME_MAX)
        sf = self._sf
        # AN1200.48: symbols, what a peak must have, over what it must stand out
        self._do(bytes((0x88, 1 if sf < 9 else 2, _CAD_PEAKS[sf - 7], 10, 0, 0, 0, 0)))
        self._port.rx_path(1)
        await self._begin(b"\xc5", None)
        flags = await self._event((5 << sf) // 125 + MARGIN_MS)
        if not flags & _CAD_DONE:
            raise self._fault()
        return bool(flags & _CAD_FOUND)

    async def transmit(self, frame: "bytes | bytearray", at_us: "int | None" = None) -> int:
        """Send; `port.now_us` at the end on air. OSError 110 when the chip does not come to an end."""
        length = len(frame)
        await self._prepare(length)
        size = length + 2
        whole = self._buf[:size]
        whole[0], whole[1] = 0x0E, 0x00
        whole[2:] = frame
        self._transfer(whole)
        self._change(_MODULATION, 0, 0x04)  # DS 15.1: not 500 kHz
        self._port.rx_path(0)
        air_us = airtime_us(length, self._sf)
        deadline_ms = air_us // 1000 + MARGIN_MS
        begun_us = await self._begin(b"\x83" + (deadline_ms * 64).to_bytes(3, "big"), at_us)
        flags = await self._event(deadline_ms + MARGIN_MS)
        if not flags & _TX_DONE:
            raise self._fault()
        self._do(_CLEAR_IRQ)
        return self._ended(begun_us, length)

    async def receive(self, timeout_ms: int, at_us: "int | None" = None) -> "Heard | None":
        """A frame whose preamble begins within `timeout_ms`. OSError when the chip does not answer."""
        await self._prepare(FRAME_MAX)
        self._port.rx_path(1)
        chip_ms = timeout_ms + (SEARCH_SYMBOLS << self._sf) // 125
        await self._begin(b"\x82" + (chip_ms * 64).to_bytes(3, "big"), at_us)
        try:
            return await self._hear(chip_ms, True)
        finally:
            self._stop_timer()

    def _stop_timer(self) -> None:
        """DS 15.3: else the timer of a reception that is over may end the next one."""
        self._register(_RTC, 0x00)
        self._change(_EVENT_MASK, 0, 0x02)

    async def listen(self, timeout_ms: int) -> "Heard | None":
        """The same, and the chip goes on listening when this returns."""
        if not self._listening:
            await self._prepare(FRAME_MAX)
            self._port.rx_path(1)
            await self._begin(b"\x82\xff\xff\xff", None)
            self._listening = True
        return await self._hear(timeout_ms, False)

    async def _hear(self, timeout_ms: int, single: bool) -> "Heard | None":
        """`single`: the chip's own timer counts `timeout_ms`, and stops when a header was read."""
        begun_ms = self._clock.ticks_ms()
        amid = False  # a frame
        wait_ms = timeout_ms + (MARGIN_MS if single else 0)
        while True:
            flags = await self._event(wait_ms)
            if flags & (_RX_DONE | _HEADER_ERROR | _TIMEOUT):
                end_us = self._told()
                self._do(_CLEAR_IRQ)
                if flags & _TIMEOUT:
                    return None
                if flags & _HEADER_ERROR:
                    self.header_errors += 1
                else:
                    heard = None if flags & _CRC_ERROR else self._heard(end_us)
                    if heard is not None:
                        return heard
                    self.crc_errors += 1
            elif not flags and self._mode != _IN_RX:
                raise self._fault()
            elif flags & _HEADER_VALID and single and not amid:
                amid = True
                begun_ms = self._clock.ticks_ms()
                timeout_ms = self._longest_ms()  # amid a frame: its end comes
            wait_ms = timeout_ms - self._clock.ticks_diff(self._clock.ticks_ms(), begun_ms)
            if wait_ms <= 0:
                if single:
                    await self._standby()
                return None
            if single and flags & (_RX_DONE | _HEADER_ERROR):
                await self._standby()
                self._stop_timer()
                self._do(b"\x82" + (wait_ms * 64).to_bytes(3, "big"))  # what was no frame of ours must not hide one

    def _heard(self, end_us: int) -> "Heard | None":
        """The frame in the chip's buffer; None if it was sent without a CRC, so that nobody knows whether it is whole."""
        answer = self._do(b"\x13\x00\x00\x00")
        length, start = answer[2], answer[3]
        answer = self._do(b"\x14\x00\x00\x00\x00")
        rssi, snr, signal = answer[2], answer[3], answer[4]
        answer = self._do(bytes((0x1D, _FREQ_ERROR >> 8, _FREQ_ERROR & 0xFF, 0, 0, 0, 0)))
        if not answer[4] & 0x10:
            return None
        error = (answer[4] & 0x0F) << 16 | answer[5] << 8 | answer[6]
        error -= (error & 0x80000) << 1
        whole = self._buf[: length + 3]
        whole[0], whole[1], whole[2] = 0x1E, start, 0
        self._transfer(whole)
        frame = bytes(whole[3:])
        # a step of the error is 1.55 Hz / 12.8 at 125 kHz; of 20 bits a product with 31 stays a small number
        return frame, -(rssi >> 1), snr - ((snr & 0x80) << 1), -(signal >> 1), error * 31 >> 8, end_us

    async def sleep(self) -> None:
        """As little current as can be; the settings stay."""
        await self._standby()
        self._do(b"\x84\x04")
        self._asleep = True
