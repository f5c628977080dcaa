"""Semtech SX1276 (RFM95) as a LoRa radio of 125 kHz, 4/5, explicit header with CRC. Surface: firmware.drivers.radio.

Data sheet SX1276-7-8-9 rev. 7 ("DS") and its errata note. DIO0 alone is wired: receptions are continuous ones with a
deadline of ours, since the end of a single one would be told by DIO1.
"""

from firmware.drivers import const, seldom
from firmware.drivers.lora_chip import MARGIN_MS, SEARCH_SYMBOLS, LoraChip
from wire.airtime import airtime_us

TYPE_CHECKING = False
if TYPE_CHECKING:
    from firmware.drivers.lora_chip import Heard

CARE = "firmware.drivers.sx1276_care"

_FIFO = const(0x00)
_MODE = const(0x01)
_FREQUENCY = const(0x06)  # 3 bytes
_PA = const(0x09)
_OCP = const(0x0B)
_FIFO_AT = const(0x0D)
_RX_AT = const(0x10)
_FLAGS = const(0x12)
_RX_LENGTH = const(0x13)
_SNR = const(0x19)  # and the packet's strength
_HOP = const(0x1C)  # bit 6: the frame has a CRC
_CONFIG_2 = const(0x1E)
_LENGTH = const(0x22)
_CONFIG_3 = const(0x26)
_FREQ_ERROR = const(0x28)  # 3 bytes
_IQ = const(0x33)
_IQ_2 = const(0x3B)
_DIO = const(0x40)
_PA_DAC = const(0x4D)

_LORA_SLEEP = const(0x80)
_LORA_STANDBY = const(0x81)
_LORA_TX = const(0x83)
_LORA_RX = const(0x85)
_LORA_CAD = const(0x87)

_RX_DONE = const(0x40)
_CRC_ERROR = const(0x20)
_HEADER_VALID = const(0x10)
_TX_DONE = const(0x08)
_CAD_DONE = const(0x04)
_CAD_FOUND = const(0x01)

_HF_HZ = const(525000000)  # above, the antenna hangs on the port for high frequencies (DS 5.5.5: other offsets)


def strength_dbm(raw: int, snr_qdb: int, freq_hz: int) -> "tuple[int, int]":
    """(all that was received, the frame alone) of RegPktRssiValue and RegPktSnrValue. By the port, not by the amplifier's
    output, which says nothing of the receiver."""
    dbm = raw - (157 if freq_hz > _HF_HZ else 164)
    if snr_qdb < 0:
        return dbm, dbm + (snr_qdb >> 2)
    return dbm + (raw >> 4), dbm + (raw >> 4)


def amplifier(power_dbm: int, boost: int) -> "tuple[int, int, int, int]":
    """(RegPaConfig, RegPaDac, RegOcp, dBm) of the nearest power that the output gives: PA_BOOST 2 to 20, RFO 0 to 14."""
    if not boost:
        power_dbm = max(0, min(14, power_dbm))
        return 0x70 | power_dbm, 0x84, 0x2B, power_dbm
    power_dbm = max(2, min(20, power_dbm))
    if power_dbm > 17:
        return 0xF0 | power_dbm - 5, 0x87, 0x31, power_dbm
    return 0xF0 | power_dbm - 2, 0x84, 0x2B, power_dbm


class Sx1276(LoraChip):
    """See firmware.drivers.radio. `options`: pa, public of the board's description."""

    _done = _TX_DONE | _RX_DONE | _CAD_DONE
    _care = CARE

    # --- Registers ---

    def _read(self, address: int, size: int = 1) -> memoryview:
        """Registers from `address` on; valid until the next transfer."""
        whole = self._buf[: size + 1]
        whole[0] = address
        self._port.transfer(whole)
        return whole[1:]

    def _write(self, address: int, data: "bytes | bytearray | memoryview") -> None:
        """Registers from `address` on, or the FIFO."""
        whole = self._buf[: len(data) + 1]
        whole[0] = address | 0x80
        whole[1:] = data
        self._port.transfer(whole)

    def _set(self, address: int, value: int) -> None:
        self._write(address, bytes((value,)))

    def _fault(self) -> OSError:
        """What is wrong, in words."""
        self._listening = False
        error: OSError = seldom(CARE, "fault")(self)
        return error

    # --- Settings ---

    async def _prepare(self, dio: int) -> None:
        """At rest, with what is wanted; `dio`: what the interrupt line tells (0x00 received, 0x40 sent, 0x80 looked)."""
        self._listening = False
        self._set(_MODE, _LORA_STANDBY)
        if self._asleep:
            self._asleep = False
            await self._clock.sleep_ms(2)  # the crystal (DS 2.5.2: 0.25 ms)
        freq_hz, sf, power_dbm, inverted = self._wanted
        if freq_hz != self._freq_hz:
            steps = freq_hz // 15625 * 256 + freq_hz % 15625 * 256 // 15625  # of 32 MHz / 2^19
            self._write(_FREQUENCY, steps.to_bytes(3, "big"))
            self._freq_hz = freq_hz
        if sf != self._sf:
            self._set(_CONFIG_2, sf << 4 | 0x04)
            self._set(_CONFIG_3, 0x0C if sf > 10 else 0x04)
            self._sf = sf
        if power_dbm != self._power_dbm:
            config, dac, ocp, _ = amplifier(power_dbm, self._options.get("pa", "boost") == "boost")
            self._set(_PA, config)
            self._set(_PA_DAC, dac)
            self._set(_OCP, ocp)
            self._power_dbm = power_dbm
        self._set(_IQ, (0x26 if dio == 0x40 else 0x67) if inverted else 0x27)
        self._set(_IQ_2, 0x19 if inverted else 0x1D)
        self._set(_DIO, dio)

    async def _begin(self, mode: int, at_us: "int | None") -> int:
        """Begin an operation, now or at `at_us`; when that was."""
        self._set(_FLAGS, 0xFF)
        await self._await(at_us)
        port = self._port
        self._irq_us = port.irq_us()
        self._set(_MODE, mode)
        begun_us: int = port.now_us()
        return begun_us

    def _flags(self) -> int:
        flags: int = self._read(_FLAGS)[0]
        return flags

    # --- Operations ---

    async def cad(self) -> bool:
        """Whether chirps of this rate are in the air."""
        await self._prepare(0x80)
        self._port.rx_path(1)
        await self._begin(_LORA_CAD, None)
        flags = await self._event((2 << self._sf) // 125 + MARGIN_MS)
        if not flags & _CAD_DONE:
            raise self._fault()
        return bool(flags & _CAD_FOUND)

    async def transmit(self, frame: "bytes | bytearray", at_us: "int | None" = None) -> int:
        """Send; `port.now_us` at the end on air. OSError 110 when the chip does not come to an end."""
        length = len(frame)
        await self._prepare(0x40)
        self._set(_FIFO_AT, 0)
        self._write(_FIFO, frame)
        self._set(_LENGTH, length)
        self._port.rx_path(0)
        begun_us = await self._begin(_LORA_TX, at_us)
        flags = await self._event(airtime_us(length, self._sf) // 1000 + MARGIN_MS)
        if not flags & _TX_DONE:
            self._set(_MODE, _LORA_STANDBY)
            raise self._fault()
        self._set(_FLAGS, 0xFF)
        return self._ended(begun_us, length)

    async def receive(self, timeout_ms: int, at_us: "int | None" = None) -> "Heard | None":
        """A frame whose preamble begins within `timeout_ms`. OSError when the chip does not answer."""
        await self._open(at_us)
        heard = await self._hear(timeout_ms + (SEARCH_SYMBOLS << self._sf) // 125, True)
        self._set(_MODE, _LORA_STANDBY)
        return heard

    async def listen(self, timeout_ms: int) -> "Heard | None":
        """The same, and the chip goes on listening when this returns."""
        if not self._listening:
            await self._open(None)
            self._listening = True
        return await self._hear(timeout_ms, False)

    async def _open(self, at_us: "int | None") -> None:
        await self._prepare(0x00)
        self._port.rx_path(1)
        await self._begin(_LORA_RX, at_us)

    async def _hear(self, timeout_ms: int, single: bool) -> "Heard | None":
        """`single`: a frame that is under way at the deadline is received to its end."""
        begun_ms = self._clock.ticks_ms()
        amid = False
        wait_ms = timeout_ms
        while True:
            flags = await self._event(wait_ms)
            if flags & _RX_DONE:
                end_us = self._told()
                self._set(_FLAGS, 0xFF)
                # bit 6 of 0x1C: the sender added a CRC; without, nobody knows whether the frame is whole
                if not flags & _CRC_ERROR and self._read(_HOP)[0] & 0x40:
                    return self._heard(end_us)
                self.crc_errors += 1
            elif not flags and self._read(_MODE)[0] != _LORA_RX:
                raise self._fault()
            elif flags & _HEADER_VALID and single and not amid:
                amid = True
                begun_ms = self._clock.ticks_ms()
                timeout_ms = self._longest_ms()
            wait_ms = timeout_ms - self._clock.ticks_diff(self._clock.ticks_ms(), begun_ms)
            if wait_ms <= 0:
                return None

    def _heard(self, end_us: int) -> "Heard":
        """The frame in the FIFO."""
        answer = self._read(_SNR, 2)
        snr, raw = answer[0], answer[1]
        snr -= (snr & 0x80) << 1
        rssi_dbm, signal_dbm = strength_dbm(raw, snr, self._freq_hz)
        answer = self._read(_FREQ_ERROR, 3)
        error = (answer[0] & 0x0F) << 16 | answer[1] << 8 | answer[2]
        error -= (error & 0x80000) << 1
        length = self._read(_RX_LENGTH)[0]
        self._set(_FIFO_AT, self._read(_RX_AT)[0])
        frame = bytes(self._read(_FIFO, length))
        return (
            frame,
            rssi_dbm,
            snr,
            signal_dbm,
            error * 2048 // 15625,
            end_us,
        )  # DS 4.1.5: 2^24 / 32 MHz, a fourth of it

    async def sleep(self) -> None:
        """As little current as can be; the settings stay."""
        self._listening = False
        self._set(_MODE, _LORA_STANDBY)
        self._set(_MODE, _LORA_SLEEP)
        self._asleep = True
