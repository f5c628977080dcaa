"""One file a chip. What they have in common: errors, states, and the table of names.

A driver has
    CHANNELS            names of the channels that it can give; or, for many, GROUPS: (name of the first, how many rows)
    SETTINGS            names of the node's settings that it follows; `configure(name, value)` passes one on
    period_ms           how often `read()` wants to be called, and what one call covers; the setting `sample_ms` for
                        chips that are asked, one second for those that send by themselves
    covered_ms          what the last `read()` really covered
    lost_ms             what was lost within it (samples that nobody fetched in time)
    state               WARMUP or READY
    instance, items     its number; the (channel id, instance) it can give
    identity            text a technician reads: chip, serial number, version ("" before start)
    __init__(bus, clock, instance=0, **params)      params come from board.json; nothing is sent yet
    async start()       proves that the chip answers, configures it; SensorError
    async read()        -> [(channel id, instance, value, flag)]; SensorError if there is no valid reading
    async stop()        the chip at rest; never raises
    async self_test()   -> [(name, ok, detail)], detail an integer
and, if it needs what others measure,
    hear(readings)      what another sensor of the board gave
Values are integers with ONE decimal more than their channel (so that a mean does not round twice): 0.01 ug/m3,
0.001 Cel, 0.01 hPa, 0.01 dB, 0.01 km/h. COUNT and SUM channels are given as they are. `flag`: flag | reason << 4 (wire.quality).
Two events within one `read()` (two vehicles) are two readings of the same channel.
"""

from firmware import forget
from wire import quality

try:
    from micropython import const as const
except ImportError:  # not under CPython

    def const(value: int) -> int:  # type: ignore[misc]
        """Fold nothing."""
        return value


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Reading = tuple[int, int, int, int]  # channel id, instance, value, flag
    TestRow = tuple[str, bool, int]  # what was tested, whether it passed, a number that says more

# States.
WARMUP = 0
READY = 1

# Quality of a single reading, with its reason where it is not good: SUSPECT | quality.STATUS << 4 (wire.quality).
GOOD = quality.GOOD
NOT_EVALUATED = quality.NOT_EVALUATED
SUSPECT = quality.SUSPECT
BAD = quality.BAD

# Reasons of a SensorError; also the argument of the node's event "sensor failed". Append-only.
NO_ANSWER = 1  # not acknowledged, or silent
BAD_CRC = 2  # an answer whose checksum is wrong
STALE = 3  # no new reading although one was due
RANGE = 4  # outside what the chip can give, or sizes in impossible order
WARMING_UP = 5  # not an error of the chip: values are not valid yet
SHIFTED = 6  # a byte stream out of step
WRONG_CHIP = 7  # something else answers at this address
CALIBRATION = 8  # the chip's own calibration is not readable
STUCK = 9  # the same bits again and again
CHIP_FAULT = 10  # the chip's status word says that it is broken
SILENT = 11  # a microphone without sound: wrong slot, or its data line is open
REFUSED = 12  # the chip answered a command with an error
BLOCKED = 13  # something covers what it should see: a parked car, dirt

# Their words, one text: as a tuple they would take four times the room in a board's heap.
REASONS = (
    ";no answer;bad checksum;stale;out of range;warming up;byte stream shifted;wrong chip;calibration unreadable"
    ";stuck value;chip reports a fault;no sound;command refused;view blocked"
)

# Nothing was measured at all, as opposed to a reading that the check refused: this decides the ledger's cause.
NOT_MEASURED = (NO_ANSWER, WARMING_UP, STALE)

DRIVERS = {
    "sps30": ("firmware.drivers.sps30", "SPS30"),
    "sps30_uart": ("firmware.drivers.sps30_uart", "SPS30UART"),
    "sds011": ("firmware.drivers.sds011", "SDS011"),
    "pms5003": ("firmware.drivers.pms5003", "PMS5003"),
    "ads1115_no2": ("firmware.drivers.ads1115_no2", "ADS1115NO2"),
    "bme280": ("firmware.drivers.bme280", "BME280"),
    "ld2451": ("firmware.drivers.ld2451", "LD2451"),
    "i2s_mic": ("firmware.drivers.i2s_mic", "I2SMic"),
    "dnms": ("firmware.drivers.dnms", "DNMS"),
    "sen5x": ("firmware.drivers.sen5x", "SEN5x"),
    "sen66": ("firmware.drivers.sen66", "SEN66"),
    "scd41": ("firmware.drivers.scd41", "SCD41"),
    "sht4x": ("firmware.drivers.sht4x", "SHT4x"),
    "ops243a": ("firmware.drivers.ops243a", "OPS243A"),
    "tfluna": ("firmware.drivers.tfluna", "TFLuna"),
}

RADIOS = {"sx1262": "Sx1262", "sx1276": "Sx1276"}  # classes by chip, whose name is that of the module


def reason_text(reason: int) -> str:  # seldom
    """The words of a reason."""
    return REASONS.split(";")[reason]


class SensorError(Exception):
    """No valid reading. `retry`: just call `read()` again at the next period; otherwise `stop()` and `start()` first.

    `detail` is an integer a technician can look up (a register, an error code), 0 if there is none; `text` says more.
    """

    def __init__(self, reason: int, retry: bool = True, detail: int = 0, text: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason
        self.retry = retry
        self.detail = detail

    def __str__(self) -> str:  # seldom
        words = reason_text(self.reason)
        return words + ": " + self.text if self.text else words


def load(name: str) -> "Any":  # seldom
    """The driver class of a name in board.json; KeyError if there is none. Only then its module is imported."""
    module, attribute = DRIVERS[name]
    return getattr(__import__(module, None, None, (attribute,)), attribute)


def seldom(module: str, name: str) -> "Any":
    """What a driver seldom does lies in a module of its own, which leaves the heap again: `name` of it."""
    found = getattr(__import__(module, None, None, (name,)), name)
    forget(module)
    return found


class Repeats:
    """Readings that are bit for bit like the one before: a live sensor has noise.

    After `limit` of them it is stuck, until three readings in a row differ: what was stuck must show that it lives.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit  # 0: never stuck
        self.count = 0
        self.stuck = False
        self._changes = 0
        self._last = b""

    def seen(self, raw: bytes) -> bool:
        """Whether `raw` must be refused."""
        if raw == self._last:
            self.count += 1
            self._changes = 0
        else:
            self.count = 1
            self._changes += 1
            self._last = bytes(raw)
        if 0 < self.limit <= self.count:
            self.stuck = True
        elif self._changes >= 3:
            self.stuck = False
        return self.stuck

    def worth_waiting(self) -> bool:
        """Of a stuck sensor: whether to read on, rather than start it anew, which is done every `limit` readings."""
        return self.count % self.limit != 0


class Covered:
    """How long a reading stands for: the time since the one before, if none was left out in between."""

    def __init__(self, clock: "Any", period_ms: int) -> None:
        self.period_ms = period_ms
        self._clock = clock
        self._last_ms: "int | None" = None

    def reading(self) -> int:
        """A valid reading was taken now; the milliseconds that it covers."""
        now_ms = self._clock.ticks_ms()
        span_ms = self.period_ms
        if self._last_ms is not None:
            elapsed_ms = self._clock.ticks_diff(now_ms, self._last_ms)
            if 0 < elapsed_ms < 3 * self.period_ms // 2:
                span_ms = elapsed_ms
        self._last_ms = now_ms
        return span_ms

    def restart(self) -> None:
        """The next reading has none before it."""
        self._last_ms = None
