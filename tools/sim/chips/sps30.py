"""Sensirion SPS30 particle sensor on I2C (data sheet SPS30, chapter "I2C interface"; facts in words of our own).

Every command is 16 bits; every 16-bit word of arguments and answers is followed by its CRC. The chip does not
acknowledge while it carries out a command, nor one that its state does not allow.
"""

import math
import struct
from collections.abc import Iterable

from tools.sim.chance import gauss, mix, uniform
from tools.sim.chips.base import Chip, Nack
from tools.sim.chips.sensirion import checksum as checksum
from tools.sim.chips.sensirion import in_words
from tools.sim.world import World

_SECOND_US = 1_000_000
_CLEANING_US = 10 * _SECOND_US
_WAKE_WINDOW_US = 100_000
_POWER_UP_US = 50_000

IDLE, MEASURING, ASLEEP = "idle", "measuring", "asleep"

_STATUS_SPEED = 1 << 21
_STATUS_LASER = 1 << 5
_STATUS_FAN = 1 << 4


class SPS30(Chip):
    """An SPS30 with SEL at GND. Parameters: firmware (major, minor), serial, humid_growth (fog counts as dust)."""

    address = 0x69
    FAULTS = {
        "bad_crc": "one checksum byte of each answer is wrong",
        "silence": "nothing is acknowledged (cable off, no 5 V)",
        "stuck": "the values stay what they are; new data is announced all the same",
        "byte_shift": "each answer lacks its first byte and ends in FF",
        "bus_held": "holds SDA low until it is clocked free: the whole bus hangs",
        "late_answer": "commands take twenty times as long, new data comes every 4 s",
        "no_new_data": "measuring, but new data is never announced; reads give old values",
        "dead_fan": "fan stands: status FAN and SPEED, all values fall to zero",
        "dead_laser": "laser is dark: status LASER, all values zero",
        "slow_fan": "status SPEED alone, values one third too low",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        firmware: tuple[int, int] = (2, 2),
        serial: str | None = None,
        humid_growth: bool = False,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.firmware = (firmware[0], firmware[1])
        self.serial = serial if serial is not None else f"{mix(self.seed, 1):016X}"
        self.humid_growth = humid_growth
        # Ten values (in the units of the float format) to be measured instead of the world's; for trials.
        self.fixed: tuple[float, ...] | None = None
        # The interval that lies in the chip's flash; firmware before 2.2 uses it only after a reset.
        self.interval_s = 604800
        self.power_on(world.start_s * _SECOND_US - _POWER_UP_US)

    # --- Power and state ---------------------------------------------------------------------------------------

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        # "The interval counter is lost at power-off": measured time starts at zero again.
        self._measured_us = 0
        self._boot(now_us, _POWER_UP_US)

    def _boot(self, now_us: int, lasts_us: int) -> None:
        self.state = IDLE
        self._busy_until_us = now_us + lasts_us
        self._answer: bytes | None = None
        self._live = False  # the answer is the measured values
        self._float = True
        self._started_us = 0
        self._values: tuple[float, ...] = (0.0,) * 10
        self._value_tick = 0
        self._read_tick = 0
        self._cleaning_from_us: int | None = None
        self._status = 0
        self._woken_us: int | None = None
        self._interval_shown_s = self.interval_s

    # --- Bus ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, now_us: int) -> None:
        """One write transfer: command, then argument words with checksums."""
        self._listen(now_us)
        if self.state == ASLEEP:
            self._wake(data, now_us)
        else:
            self._obey(data, now_us)

    def read(self, n: int, now_us: int) -> bytes:
        """One read transfer of n bytes: the answer to the last command; the bus floats high behind its end."""
        self._listen(now_us)
        if self.state == ASLEEP:
            raise Nack("asleep")
        if self._answer is None:
            raise Nack("nothing to read")
        answer = self._answer
        if self._live:
            self._advance(now_us)
            answer = in_words(self._encoded())
            self._read_tick = self._value_tick
        if "bad_crc" in self.faults:
            spoiled = bytearray(answer)
            words = max(1, min(n, len(answer)) // 3)
            spoiled[2 + 3 * (mix(self.seed, now_us) % words)] ^= 1 << mix(self.seed, now_us, 1) % 8
            answer = bytes(spoiled)
        if "byte_shift" in self.faults:
            answer = answer[1:]
        return (answer + b"\xff" * n)[:n]

    def _listen(self, now_us: int) -> None:
        if not self.powered:
            raise Nack("no supply")
        if "silence" in self.faults:
            raise Nack("fault: silence")
        if now_us < self._busy_until_us:
            raise Nack("busy")

    def _wake(self, data: bytes, now_us: int) -> None:
        """The first transfer only wakes the interface; the command itself must follow within 100 ms."""
        second = self._woken_us is not None and now_us - self._woken_us <= _WAKE_WINDOW_US
        if second and data == b"\x11\x03":
            self._woken_us = None
            self.state = IDLE
            self._occupy(now_us, 5)
        else:
            self._woken_us = now_us
            raise Nack("asleep")

    def _obey(self, data: bytes, now_us: int) -> None:
        if len(data) < 2 or (len(data) - 2) % 3:
            raise Nack("not a command with whole words")
        for place in range(2, len(data), 3):
            if checksum(data[place : place + 2]) != data[place + 2]:
                raise Nack("checksum of an argument")
        command = data[0] << 8 | data[1]
        words = [data[place] << 8 | data[place + 1] for place in range(2, len(data), 3)]
        self._advance(now_us)
        self._answer = None
        self._live = False
        if command == 0x0010:
            self._start(words, now_us)
        elif command == 0x0104:
            self._stop(now_us)
        elif command == 0x0202:
            self._require(self.state == MEASURING, "data-ready flag while idle")
            fresh = self._value_tick > self._read_tick and "no_new_data" not in self.faults
            self._answer = in_words(bytes((0, int(fresh))))
        elif command == 0x0300:
            self._require(self.state == MEASURING, "values while idle")
            self._answer = b""
            self._live = True
        elif command == 0x1001:
            self._require(self.state == IDLE and self.firmware >= (2, 0), "sleep is allowed when idle")
            self.state = ASLEEP
            self._woken_us = None
            self._occupy(now_us, 5)
        elif command == 0x1103:
            self._require(self.firmware >= (2, 0), "wake-up needs firmware 2.0")
            self._occupy(now_us, 5)
        elif command == 0x5607:
            self._require(self.state == MEASURING, "cleaning while idle")
            self._cleaning_from_us = now_us
            self._occupy(now_us, 5)
        elif command == 0x8004:
            self._interval(words, now_us)
        else:
            self._identify(command, now_us)

    def _identify(self, command: int, now_us: int) -> None:
        if command == 0xD002:
            self._answer = in_words(b"00080000")
        elif command == 0xD033:
            self._answer = in_words(self.serial.encode("ascii").ljust(32, b"\0")[:32])
        elif command == 0xD100:
            self._answer = in_words(bytes(self.firmware))
        elif command == 0xD206:
            self._require(self.firmware >= (2, 2), "status needs firmware 2.2")
            self._answer = in_words(self._status.to_bytes(4, "big"))
            self._occupy(now_us, 5)
        elif command == 0xD210:
            self._require(self.firmware >= (2, 2), "status needs firmware 2.2")
            self._status = 0
            self._occupy(now_us, 5)
        elif command == 0xD304:
            # The measured time since the last cleaning counts on: only a power-off loses it.
            self._boot(now_us, 100_000 * (20 if "late_answer" in self.faults else 1))
        else:
            raise Nack(f"unknown command {command:04X}")

    def _require(self, allowed: bool, reason: str) -> None:
        if not allowed:
            raise Nack(reason)

    def _occupy(self, now_us: int, lasts_ms: int) -> None:
        late = 20 if "late_answer" in self.faults else 1
        self._busy_until_us = now_us + lasts_ms * 1000 * late

    def _start(self, words: list[int], now_us: int) -> None:
        self._require(self.state == IDLE, "started already")
        as_integers = words == [0x0500] and self.firmware >= (2, 0)
        self._require(words == [0x0300] or as_integers, "output format")
        self._float = not as_integers
        self.state = MEASURING
        self._started_us = now_us
        self._value_tick = 0
        self._read_tick = 0
        self._values = (0.0,) * 10
        self._occupy(now_us, 20)

    def _stop(self, now_us: int) -> None:
        if self.state == MEASURING:
            self._measured_us += now_us - self._started_us
        self.state = IDLE
        self._cleaning_from_us = None
        self._occupy(now_us, 20)

    def _interval(self, words: list[int], now_us: int) -> None:
        if not words:
            self._answer = in_words(self._interval_shown_s.to_bytes(4, "big"))
            self._occupy(now_us, 5)
            return
        self._require(len(words) == 2, "interval is two words")
        self.interval_s = words[0] << 16 | words[1]
        if self.firmware >= (2, 2):
            self._interval_shown_s = self.interval_s
        self._occupy(now_us, 20)

    # --- Measuring ---------------------------------------------------------------------------------------------

    @property
    def cleaning(self) -> bool:
        """Whether the fan cleans itself (as of the last transfer)."""
        return self._cleaning_from_us is not None

    def _advance(self, now_us: int) -> None:
        """Bring values, cleaning and status to the present."""
        if self.state != MEASURING:
            return
        measured_us = self._measured_us + now_us - self._started_us
        if self._interval_shown_s and measured_us >= self._interval_shown_s * _SECOND_US:
            self._measured_us -= measured_us  # counts from here again
            self._cleaning_from_us = now_us
        if self._cleaning_from_us is not None:
            if now_us - self._cleaning_from_us < _CLEANING_US:
                return  # values are not renewed at full fan speed
            self._cleaning_from_us = None
        tick = (now_us - self._started_us) // _SECOND_US
        if "late_answer" in self.faults:
            tick -= tick % 4
        if tick <= self._value_tick:
            return
        self._value_tick = tick
        if tick >= 3:
            self._watch_hardware()
        if "stuck" not in self.faults or not any(self._values):
            self._values = self._measure(tick)

    def _watch_hardware(self) -> None:
        if "dead_fan" in self.faults:
            self._status |= _STATUS_FAN | _STATUS_SPEED
        elif "slow_fan" in self.faults:
            self._status |= _STATUS_SPEED
        else:
            self._status &= ~_STATUS_SPEED  # SPEED goes by itself, FAN and LASER stay until cleared
        if "dead_laser" in self.faults:
            self._status |= _STATUS_LASER

    def _measure(self, tick: int) -> tuple[float, ...]:
        """The ten values of a second: truth, run-in after start, a little noise that keeps their order."""
        if self.faults & {"dead_fan", "dead_laser"}:
            return (0.0,) * 10
        if self.fixed is not None:
            return self.fixed
        time_us = self._started_us + tick * _SECOND_US
        air = self.world.air(time_us / 1e6, self.site)
        gain = 1.0 - math.exp(-tick / 2.5)
        gain *= 1.0 + 0.02 * gauss(self.seed, time_us, 2)
        if "slow_fan" in self.faults:
            gain *= 0.67
        if self.humid_growth and air.humidity_pct > 85.0:
            gain *= 1.0 + (air.humidity_pct - 85.0) * 0.03
        size_um = air.typical_size_um * (1.0 + 0.01 * (uniform(self.seed, time_us, 3) - 0.5))
        return (*(value * gain for value in air[:9]), size_um)

    def _encoded(self) -> bytes:
        if self._float:
            return struct.pack(">10f", *self._values)
        rounded = [round(value) for value in self._values[:9]]
        rounded.append(round(self._values[9] * 1000.0))  # nm in this format
        return struct.pack(">10H", *(min(value, 0xFFFF) for value in rounded))
