"""TI ADS1115 (16-bit converter, I2C 0x48..0x4B) with an electrochemical NO2 cell of two electrodes.

An Alphasense-like cell on its board gives two voltages: working electrode (WE) and auxiliary electrode (AE). Zeros and
sensitivity come from the cell's card, the influence of temperature from the maker's table (AAN 803, algorithm 1):

    NO2 = ((WE - WE zero) - n(T) * (AE - AE zero)) / sensitivity

Both voltages are always given, so that raw data stays what it is. Integers throughout: uV, and 1/1000 of n.
"""

from firmware.drivers import (
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    WRONG_CHIP,
    Covered,
    Repeats,
    SensorError,
    const,
)
from wire import channels
from wire.quality import STATUS, WARM_UP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import Reading, TestRow

_CONVERSION = const(0)
_CONFIG = const(1)
_LOW_THRESHOLD = const(2)
_HIGH_THRESHOLD = const(3)

_READY_BIT = const(0x8000)  # written: begin; read: nothing is being converted
_CONVERT_MS = const(125)  # 8 a second: the chip averages over several periods of the mains
_LATE_MS = const(160)  # 10 % tolerance, and a little; beyond this it is not slow, it does not convert
_POLL_MS = const(5)
_FAILED_MAX = const(3)

_OPEN_UV = const(5000)  # the two single voltages and their difference agree better than this
_LOWEST_UV = const(20000)  # an electrode's zero lies near 200 mV: a board without supply gives nothing
_AE_SPAN_UV = const(200000)  # AE sees no gas: it never gets so far from its zero
_TEMPERATURE_MS = const(600000)  # a temperature older than this is none

_PGA = (6144, 4096, 2048, 1024)  # full scale in mV by the field PGA
# Inputs of WE and AE -> field MUX of their difference.
_PAIRS = ((0, 1), (0, 3), (1, 3), (2, 3))

# n(T) of algorithm 1 in tenths at -30, -20 ... 50 Cel (AAN 803-05, table 3).
_TABLES = {
    "no2-b43f": (13, 13, 13, 13, 10, 6, 4, 2, -15),
    "no2-a43f": (8, 8, 10, 12, 16, 18, 19, 25, 36),
}


def config(mux: int, full_scale_mv: int, rate: int = 0) -> int:
    """The register's value that begins one conversion, comparator off; `rate`: field DR, 0 is 8 a second."""
    return _READY_BIT | mux << 12 | _PGA.index(full_scale_mv) << 9 | 0x0100 | rate << 5 | 0x03


def microvolts(raw: bytes, full_scale_mv: int) -> "int | None":
    """Two bytes of the conversion register -> uV; None at either end of the range: it may be anything beyond."""
    value = (raw[0] << 8 | raw[1]) - ((raw[0] & 0x80) << 9)
    if value in (0x7FFF, -0x8000):
        return None
    return (value * (full_scale_mv // 256) * 125 + 8) >> 4


def temperature_factor(cell: str, temperature_cdeg: int) -> int:
    """n(T) in 1/1000, straight between the columns, constant beyond the table."""
    table = _TABLES[cell]
    above_cdeg = min(max(temperature_cdeg, -3000), 5000) + 3000
    column = min(above_cdeg // 1000, 7)
    return table[column] * 100 + (table[column + 1] - table[column]) * (above_cdeg - column * 1000) // 10


def centi_ppb(we_uv: int, ae_uv: int, sensitivity_uv_ppb: int, factor: int) -> int:
    """NO2 in 0.01 ppb. Voltages above their zeros; the sensitivity has the sign that the card gives it."""
    corrected_nv = we_uv * 1000 - factor * ae_uv
    return (2 * corrected_nv + 10 * sensitivity_uv_ppb) // (20 * sensitivity_uv_ppb)


class ADS1115NO2:
    """See firmware.drivers for what a driver does. Without a card (`sensitivity_uv_ppb` 0) there is no `no2`."""

    CHANNELS = ("no2", "no2_we", "no2_ae")
    SETTINGS = ("sample_ms",)
    period_ms = 1000

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        address: int = 0x48,
        we_input: int = 0,
        ae_input: int = 1,
        full_scale_mv: int = 2048,
        cell: str = "no2-b43f",
        we_zero_uv: int = 225000,
        ae_zero_uv: int = 228000,
        sensitivity_uv_ppb: int = 0,
        temperature: str = "sensor",
        temperature_instance: int = 0,
        temperature_cdeg: int = 2000,
        warmup_ms: int = 30000,
        settle_ms: int = 7200000,
        stuck_reads: int = 120,
    ) -> None:
        self.state = WARMUP
        self.covered_ms = 0
        self.lost_ms = 0
        self.identity = ""
        self.instance = instance
        self.items = tuple([(channels.id_of(name), instance) for name in self.CHANNELS])
        self._bus = bus
        self._clock = clock
        self._address = address
        self._full_scale_mv = full_scale_mv
        # WE, AE, and their difference.
        self._inputs = (4 + we_input, 4 + ae_input, _PAIRS.index((we_input, ae_input)))
        self._cell = cell
        self._zeros_uv = (we_zero_uv, ae_zero_uv)
        self._sensitivity_uv_ppb = sensitivity_uv_ppb
        self._wanted = (channels.id_of("temperature"), temperature_instance)
        self._fixed = temperature == "fixed"
        self._temperature_cdeg = temperature_cdeg
        self._heard_ms: "int | None" = None
        self._warmup_ms = warmup_ms
        self._settle_ms = settle_ms
        self._powered_ms: "int | None" = None
        self._settled = False
        self._repeats = Repeats(stuck_reads)
        self._covered = Covered(clock, self.period_ms)
        self._failed = 0

    def configure(self, name: str, value: int) -> None:
        """`sample_ms`, at least 1000: three conversions take 0.4 s."""
        if name == "sample_ms":
            self.period_ms = self._covered.period_ms = max(value, 1000)

    def hear(self, readings: "list[Reading]") -> None:
        """What another sensor of the board gave: the temperature is taken from it."""
        for channel, instance, value, flag in readings:
            if (channel, instance) == self._wanted and flag == GOOD and not self._fixed:
                self._temperature_cdeg = value // 10
                self._heard_ms = self._clock.ticks_ms()

    def _temperature_known(self) -> bool:
        if self._heard_ms is None:
            return self._fixed
        if self._clock.ticks_diff(self._clock.ticks_ms(), self._heard_ms) > _TEMPERATURE_MS:
            self._heard_ms = None  # ticks wrap: told once, for good
        return self._heard_ms is not None

    def _failure(self, register: int, error: OSError) -> SensorError:
        if error.args and error.args[0] != 19:  # ENODEV: nobody there, and the bus is free
            self._bus.recover()
        return SensorError(NO_ANSWER, detail=register, text="ADS1115 at 0x%02x" % self._address)

    def _read(self, register: int) -> bytes:
        buffer = bytearray(2)
        try:
            self._bus.writeto(self._address, bytes((register,)))
            self._bus.readfrom_into(self._address, buffer)
        except OSError as error:
            raise self._failure(register, error)
        return bytes(buffer)

    def _write(self, register: int, value: int) -> None:
        try:
            self._bus.writeto(self._address, bytes((register, value >> 8, value & 0xFF)))
        except OSError as error:
            raise self._failure(register, error)

    async def start(self) -> None:
        """Prove the chip and its configuration. SensorError NO_ANSWER, WRONG_CHIP, STALE."""
        self.state = WARMUP
        # It has no identity. Its thresholds are never written here: after power-up they have known values.
        if self._read(_LOW_THRESHOLD) + self._read(_HIGH_THRESHOLD) != b"\x80\x00\x7f\xff":
            raise SensorError(WRONG_CHIP, retry=False, text="no ADS1115 at 0x%02x" % self._address)
        await self._convert(self._inputs[0])
        self.identity = "ADS1115 at 0x%02x, cell %s" % (self._address, self._cell)
        self._failed = 0
        self._covered.restart()
        if self._powered_ms is None:  # the cell settles by the board's supply, not by starting anew
            self._powered_ms = self._clock.ticks_ms()
        self.state = READY if self._since_power_ms() >= self._warmup_ms else WARMUP

    def _since_power_ms(self) -> int:
        """Grows until the cell has settled, then stays: ticks wrap."""
        longest_ms = max(self._settle_ms, self._warmup_ms)
        if self._settled or self._powered_ms is None:
            return longest_ms
        elapsed_ms = self._clock.ticks_diff(self._clock.ticks_ms(), self._powered_ms)
        self._settled = elapsed_ms >= longest_ms
        return elapsed_ms

    async def _convert(self, mux: int) -> bytes:
        """The result of one conversion. SensorError NO_ANSWER; STALE when it was not begun or does not end."""
        clock = self._clock
        wanted = config(mux, self._full_scale_mv)
        for _ in range(2):  # a stall of the board can hide that it converts; twice in a row it does not
            self._write(_CONFIG, wanted)
            shown = int.from_bytes(self._read(_CONFIG), "big")
            if shown == wanted & ~_READY_BIT:
                break
        else:
            raise SensorError(STALE, detail=shown, text="configuration not taken")
        began = clock.ticks_ms()
        await clock.sleep_ms(_CONVERT_MS)
        while True:
            shown = int.from_bytes(self._read(_CONFIG), "big")
            if shown == wanted:
                return self._read(_CONVERSION)
            if clock.ticks_diff(clock.ticks_ms(), began) > _LATE_MS:
                raise SensorError(STALE, detail=shown, text="conversion not ready")
            await clock.sleep_ms(_POLL_MS)

    async def _voltages(self) -> "list[bytes]":
        """Raw WE, AE and their difference. SensorError as `_convert`."""
        raw = []
        for mux in self._inputs:
            raw.append(await self._convert(mux))
        return raw

    async def read(self) -> "list[Reading]":
        """Both electrodes, and NO2. SensorError NO_ANSWER, STALE, WARMING_UP, RANGE, STUCK."""
        self.covered_ms = 0
        if not self.identity:
            raise SensorError(STALE, retry=False)
        try:
            raw = await self._voltages()
        except SensorError as error:
            self._failed += 1
            error.retry = self._failed < _FAILED_MAX
            raise error
        self._failed = 0
        settled_ms = self._since_power_ms()
        if settled_ms < self._warmup_ms:
            raise SensorError(WARMING_UP)
        self.state = READY
        we_uv, ae_uv = self._checked(raw)
        if self._repeats.seen(raw[0] + raw[1]):
            raise SensorError(STUCK, retry=self._repeats.worth_waiting())
        self.covered_ms = self._covered.reading()
        readings = [self.items[1] + ((we_uv + 5) // 10, GOOD), self.items[2] + ((ae_uv + 5) // 10, GOOD)]
        if self._sensitivity_uv_ppb:
            flag = GOOD
            if not self._temperature_known():
                flag = SUSPECT | STATUS << 4
            elif settled_ms < self._settle_ms:
                flag = SUSPECT | WARM_UP << 4
            factor = temperature_factor(self._cell, self._temperature_cdeg)
            above = (we_uv - self._zeros_uv[0], ae_uv - self._zeros_uv[1])
            value = centi_ppb(above[0], above[1], self._sensitivity_uv_ppb, factor)
            readings.insert(0, self.items[0] + (value, flag))
        return readings

    def _checked(self, raw: "list[bytes]") -> "tuple[int, int]":
        """(WE, AE) in uV. SensorError RANGE: saturated, without supply, or an input that nobody drives.

        The converter's own resistance between two inputs pulls an open one towards the other: then the difference that
        it measures is not that of the two single voltages.
        """
        we_uv, ae_uv, apart_uv = [microvolts(each, self._full_scale_mv) for each in raw]
        if we_uv is None or ae_uv is None or apart_uv is None:
            raise SensorError(RANGE, text="input saturated")
        if we_uv < _LOWEST_UV or ae_uv < _LOWEST_UV:
            raise SensorError(RANGE, detail=min(we_uv, ae_uv), text="cell without supply")
        if abs(we_uv - ae_uv - apart_uv) > _OPEN_UV or abs(ae_uv - self._zeros_uv[1]) > _AE_SPAN_UV:
            raise SensorError(RANGE, detail=apart_uv, text="electrode open")
        return we_uv, ae_uv

    async def stop(self) -> None:
        """Nothing to stop: after each conversion the chip sleeps by itself, and the cell keeps its bias."""
        self.state = WARMUP
        self.identity = ""

    async def self_test(self) -> "list[TestRow]":
        """Chip, then both electrodes in uV and whether somebody drives them."""
        rows = []
        try:
            rows.append(("thresholds as after power-up", self._read(_LOW_THRESHOLD) == b"\x80\x00", 0))
            raw = await self._voltages()
            for name, each in (("WE uV", raw[0]), ("AE uV", raw[1])):
                volts = microvolts(each, self._full_scale_mv)
                rows.append((name, volts is not None, volts or 0))
            self._checked(raw)
            rows.append(("temperature 0.01 Cel", self._temperature_known(), self._temperature_cdeg))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
