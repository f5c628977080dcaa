"""What Sensirion's SEN5x and SEN66 share: particles, humidity, temperature and gas indices by one fan.

The fan is cleaned at start and by `clean_interval_s`, which the driver counts itself: the chip loses its count with its
supply, and a SEN66 does not count at all. The gas indices need hours to learn what is usual at a place; what they
learned is taken out now and then and at each stop, and given back if the next start comes soon.
"""

from firmware.drivers import WARMUP, WRONG_CHIP, SensorError, const
from firmware.drivers.announced import Announced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from firmware.drivers import TestRow

_START = const(0x0021)
_STOP = const(0x0104)
_CLEAN = const(0x5607)
_VOC_STATE = const(0x6181)
_NAME = const(0xD014)
_SERIAL = const(0xD033)
_VERSION = const(0xD100)
_STATUS = const(0xD206)
_STATUS_AND_CLEAR = const(0xD210)
_RESET = const(0xD304)

_HOLD = const(10)  # readings: a fault that lasts comes back within that time after the word was cleared
_REMEMBER_EVERY = const(256)  # readings
_CLEAN_AGAIN_MS = const(60000)  # a cleaning that was refused is tried again
_RECALL_MS = const(600000)  # what the gas indices learned is of use after at most so long a pause
_INDEX_MIN = const(10)  # tenths; 0 stands for "not yet"

# Of the values, for a technician: particles, humidity, temperature, VOC index, NOx index, CO2.
_UNITS = (" 0.01 ug/m3", " 0.01 %", " 0.001 Cel", " 0.01", " 0.01", " 0.1 ppm")

# Bits of channels in the order below.
PM = 0x0F
CLIMATE = 0x30
NOX = 0x80
GAS = 0xC0


def decode(payload: bytes) -> "tuple[int | None, ...] | None":
    """16 bytes: four PM (0.01 ug/m3), humidity (0.01 %), temperature (0.001 Cel), VOC and NOx index (0.01).

    None for a value that the chip does not know; None for all when the sizes are in impossible order.
    """
    found: "list[int | None]" = []
    last = 0
    for at in range(0, 16, 2):
        word = payload[at] << 8 | payload[at + 1]
        if at < 8:
            if word != 0xFFFF and word < last:
                return None
            last = last if word == 0xFFFF else word
            found.append(None if word == 0xFFFF else word * 10)
        elif word == 0x7FFF:
            found.append(None)
        else:
            word -= (word & 0x8000) << 1
            if at >= 12:
                found.append(word * 10 if word >= _INDEX_MIN else None)
            else:
                found.append(word if at == 8 else word * 5)
    return tuple(found)


def text(payload: bytes) -> str:
    """The characters before the first zero. SensorError WRONG_CHIP."""
    found = payload.split(b"\0")[0]
    for byte in found:
        if not 32 <= byte < 127:
            raise SensorError(WRONG_CHIP, retry=False, detail=byte)
    return found.decode()


class Sen(Announced):
    """`learning_s`: for so long from a start the gas indices are flagged suspect."""

    READY = 0x0202
    READY_MASK = 0x00FF
    ASK_MS = 20
    NAME = ""  # what the chip's own name begins with
    VERSION_BYTES = 2
    STOP_MS = 0
    RESET_MS = 0
    STATUS_BITS: "tuple[tuple[int, int, int], ...]" = ()  # bit, channels that are then broken, that are doubtful

    def __init__(
        self,
        bus: "Any",
        clock: "Any",
        instance: int = 0,
        warmup_ms: int = 30000,
        clean_interval_s: int = 604800,
        clean_at_start: int = 1,
        learning_s: int = 3600,
        stuck_reads: int = 120,
    ) -> None:
        Announced.__init__(self, bus, clock, instance, 1000, warmup_ms, stuck_reads)
        self._clean_interval_s = clean_interval_s
        self._clean_at_start = clean_at_start
        self._until_clean_ms = clean_interval_s * 1000  # goes on when it is started anew, which cleans nothing
        self._until_remember = 0  # readings
        self._status = 0  # what it said within the last _HOLD readings
        self._hold = 0
        self._learning_s = learning_s
        self._learn_left_ms = 0
        self._voc = b""
        self._voc_ms = 0

    async def start(self) -> None:
        """Idle, identify, forget old faults, measure. SensorError NO_ANSWER, BAD_CRC, WRONG_CHIP."""
        chip = self._chip
        self.state = WARMUP
        self._running = False
        await self._halt()
        if self._sick:
            await chip.send(_RESET, self.RESET_MS)
            self._sick = False
        name = text(await chip.ask(_NAME, 20, 32))
        if name and not name.startswith(self.NAME):
            raise SensorError(WRONG_CHIP, retry=False, text=name)
        serial = text(await chip.ask(_SERIAL, 20, 32))
        version = await chip.ask(_VERSION, 20, self.VERSION_BYTES)
        self.identity = "%s %s firmware %d.%d" % (name or self.NAME, serial, version[0], version[1])
        await chip.ask(_STATUS_AND_CLEAR, 20, 4)
        self._status = self._failed = 0
        self._until_remember = _REMEMBER_EVERY // 2
        await self._measure()
        if self._clean_at_start and self._clean_interval_s:
            await self.clean()
            self._clean_at_start = 0  # once: a driver that starts anew after an error does not clean again

    async def _measure(self) -> None:
        chip = self._chip
        self._learners = GAS
        self._learn_left_ms = self._learning_s * 1000
        if self._voc and self._clock.ticks_diff(self._clock.ticks_ms(), self._voc_ms) < _RECALL_MS:
            await chip.send(_VOC_STATE, 20, self._voc)
            self._learners = NOX
        await chip.send(_START, 50)
        self._began(self._warmup_ms)

    async def _halt(self) -> None:
        try:
            await self._chip.send(_STOP, self.STOP_MS)
        except SensorError:
            pass  # an idle chip need not acknowledge it; whether there is one shows with what comes next

    async def stop(self) -> None:
        """Idle: fan and laser off."""
        if self._running and not self._failed:
            try:
                await self._remember()
            except SensorError:
                pass  # what was taken out before is nearly as good
        self.state = WARMUP
        self._running = False
        await self._halt()

    async def _remember(self) -> None:
        self._voc = await self._chip.ask(_VOC_STATE, 20, 8)
        self._voc_ms = self._clock.ticks_ms()

    async def clean(self) -> None:
        """Clean the fan now; the state goes back to WARMUP."""
        raise NotImplementedError

    async def _attend(self) -> None:
        """Learning, cleaning, status word."""
        if self._learn_left_ms > 0:
            self._learn_left_ms -= self.period_ms
        else:
            self._learners = 0
        self._until_clean_ms -= self.period_ms
        self._until_remember -= 1
        if self._until_remember <= 0:
            self._until_remember = _REMEMBER_EVERY
            await self._remember()  # in case the chip loses its supply
        if self._clean_interval_s and self._until_clean_ms <= 0:
            self._until_clean_ms = _CLEAN_AGAIN_MS
            await self.clean()
            self._until_clean_ms = self._clean_interval_s * 1000
        status = int.from_bytes(await self._chip.ask(_STATUS_AND_CLEAR, 20, 4), "big")
        if status:
            self._status |= status
            self._hold = _HOLD
        elif self._hold:
            self._hold -= 1
        else:
            self._status = 0
        self._bad = 0
        self._suspect = 0
        for bit, bad, doubtful in self.STATUS_BITS:
            if self._status >> bit & 1:
                self._bad |= bad
                self._suspect |= doubtful

    async def self_test(self) -> "list[TestRow]":
        """Version, status word (of the last readings, too), one reading."""
        rows = []
        try:
            version = await self._chip.ask(_VERSION, 20, self.VERSION_BYTES)
            rows.append(("firmware", True, version[0] * 100 + version[1]))
            status = self._status | int.from_bytes(await self._chip.ask(_STATUS, 20, 4), "big")
            rows.append(("status word", status == 0, status))
            if self._running:
                values = self.decode(await self._newest())
                if values is None or values[1] is None:
                    rows.append(("pm2_5" + _UNITS[0], False, 0))
                for at, value in enumerate(values or ()):
                    if value is not None:
                        unit = _UNITS[0 if at < 4 else at - 3]
                        rows.append((self.CHANNELS[at] + unit, not self._bad >> at & 1, value))
        except SensorError as error:
            rows.append((str(error), False, error.detail))
        return rows
