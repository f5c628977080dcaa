"""DNMS (Digital Noise Measurement Sensor): a Teensy 4.0 that meters sound and answers on I2C, in words with checksums.

After each answer its state is cleared: without a new command a read gives rubbish, and levels are handed out once. A
command is two bytes; what it does not know it acknowledges and forgets, as a microcontroller's I2C slave does.
"""

import math
import struct
from collections.abc import Iterable

from tools.sim.chance import gauss, mix
from tools.sim.chips.base import Chip, Nack
from tools.sim.chips.i2s_mic import a_weighting_db, street_db
from tools.sim.world import World

_SECOND_US = 1_000_000
_BLOCK_US = 35_000  # one Fourier transform
_BLOCKS_MAX = 2000  # longer intervals are looked at more coarsely
_BOOT_US = 3 * _SECOND_US
_CALCULATION_US = 22_000
_RESTART_EVERY_US, _RESTART_US = 15 * _SECOND_US, 4 * _SECOND_US
_OWN_NOISE_DBA = {"ics43434": 29.0, "im72d128": 24.0}
BANDS_HZ = tuple(1000.0 * 10.0 ** (n / 10.0) for n in range(-17, 14))  # 31 one-third octaves, 20 Hz to 20 kHz
_PART_BANDS = 8


def check(pair: bytes) -> int:
    """The byte behind two data bytes: x^8 + x^5 + x^4 + 1 over them, begun with all ones."""
    rest = (pair[0] << 8 | pair[1]) ^ 0xFF00
    rest <<= 8
    for place in range(23, 7, -1):
        if rest >> place & 1:
            rest ^= 0b1_0011_0001 << place - 8
    return rest


def words(data: bytes) -> bytes:
    """Data with its checksums."""
    return b"".join(data[at : at + 2] + bytes((check(data[at : at + 2]),)) for at in range(0, len(data), 2))


class DNMS(Chip):
    """Parameters: version (its text), microphone, level_db (a constant level instead of the street)."""

    address = 0x55
    FAULTS = {
        "bad_crc": "one checksum byte of each answer is wrong",
        "silence": "nothing is acknowledged (cable off, no supply)",
        "stuck": "every interval has the same levels",
        "byte_shift": "each answer lacks its first byte and ends in FF",
        "late_answer": "levels are ready 0.4 s after they were asked for",
        "bus_held": "holds SDA low until it is clocked free: the whole bus hangs",
        "never_ready": "levels are never ready",
        "no_data": "the levels are 0.0, as if they had been handed out",
        "nonsense": "LAeq is no number",
        "restarts": "the Teensy restarts every 15 s and is not there for 4 s",
        "other_microphone": "levels are 10 dB too high: it takes its microphone for another one",
        "wrong_chip": "something else answers at the address: no version that begins with DNMS",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        version: str = "DNMS Version 5.9.1",
        microphone: str = "ics43434",
        level_db: float | None = None,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.version = version
        self.microphone = microphone
        self.level_db = level_db
        # (LAeq, LAmin, LAmax) instead of what is heard; for trials.
        self.fixed: tuple[float, float, float] | None = None
        self.power_on(world.start_s * _SECOND_US - _BOOT_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._powered_us = now_us
        self._boot(now_us, _BOOT_US)

    def _boot(self, now_us: int, lasts_us: int) -> None:
        self._there_us = now_us + lasts_us
        self._selected = self.microphone
        self._life = 0
        self._reset(self._there_us)

    def _reset(self, now_us: int) -> None:
        self._began_us = now_us
        self._ready_us: int | None = None
        self._levels = (0.0, 0.0, 0.0)
        self._spectrum = (0.0,) * len(BANDS_HZ)
        self._answer: bytes | None = None

    # --- Bus ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, now_us: int) -> None:
        """One write transfer: a command."""
        self._listen(now_us)
        self._answer = None
        if len(data) == 2:
            self._obey(data[0] << 8 | data[1], now_us)

    def read(self, n: int, now_us: int) -> bytes:
        """One read transfer: the answer to the last command, once."""
        self._listen(now_us)
        answer, self._answer = self._answer, None
        if answer is None:
            return bytes(mix(self.seed, now_us, at) & 0xFF for at in range(n))
        if "bad_crc" in self.faults:
            place = 2 + 3 * (mix(self.seed, now_us) % (len(answer) // 3))
            answer = answer[:place] + bytes((answer[place] ^ 0x10,)) + answer[place + 1 :]
        if "byte_shift" in self.faults:
            answer = answer[1:]
        return answer[:n] + b"\xff" * (n - len(answer))

    def _listen(self, now_us: int) -> None:
        if not self.powered:
            raise Nack("no supply")
        if "silence" in self.faults:
            raise Nack("silence")
        if "restarts" in self.faults:
            life, age_us = divmod(now_us - self._powered_us, _RESTART_EVERY_US)
            if life != self._life:
                self._boot(now_us - age_us, _RESTART_US)
                self._life = life
        if now_us < self._there_us:
            raise Nack("starting up")

    # --- Commands ----------------------------------------------------------------------------------------------

    def _obey(self, command: int, now_us: int) -> None:
        modern = self.version.startswith("DNMS Version 5")
        if command == 0x0001:
            self._reset(now_us)
        elif command == 0x0002:
            text = "\0NOISE 2.0" if "wrong_chip" in self.faults else self.version
            self._answer = words(text.encode().ljust(18, b"\0")[:18])
        elif command == 0x0003:
            self._calculate(now_us)
        elif command == 0x0004:
            ready = self._ready_us is not None and now_us >= self._ready_us and "never_ready" not in self.faults
            self._answer = words(bytes((0, ready)))
        elif command == 0x0005:
            handed, self._levels = self._levels, (0.0, 0.0, 0.0)
            if self._ready_us is None or now_us < self._ready_us or "no_data" in self.faults:
                handed = (0.0, 0.0, 0.0)
            elif "nonsense" in self.faults:
                handed = (math.nan, *handed[1:])
            self._ready_us = None
            self._answer = words(struct.pack(">3f", *handed))
        elif 0x0006 <= command <= 0x0009:
            self._answer = self._part(command - 0x0006, weighted=True)
        elif modern and 0x0012 <= command <= 0x0015:
            self._answer = self._part(command - 0x0012, weighted=False)
        elif modern and command in (0x001B, 0x001C):
            self._selected = "ics43434" if command == 0x001B else "im72d128"
            self._reset(now_us)

    def _calculate(self, now_us: int) -> None:
        """Close the interval; the next one begins."""
        if "stuck" not in self.faults or not any(self._spectrum):
            self._measured = self.fixed if self.fixed is not None else self._heard(now_us)
            # Unweighted bands whose A-weighted sum is LAeq.
            shape = [street_db(hertz) + 10.0 * math.log10(hertz) for hertz in BANDS_HZ]
            weighted = sum(
                10.0 ** ((level + a_weighting_db(hertz)) / 10.0) for level, hertz in zip(shape, BANDS_HZ, strict=True)
            )
            lift = self._measured[0] - 10.0 * math.log10(weighted)
            self._spectrum = tuple(level + lift for level in shape)
        self._levels = self._measured
        self._began_us = now_us
        self._ready_us = now_us + (400_000 if "late_answer" in self.faults else _CALCULATION_US)

    def _heard(self, now_us: int) -> tuple[float, float, float]:
        """(LAeq, LAmin, LAmax) of the blocks since the interval began."""
        span_us = max(1, now_us - self._began_us)
        count = min(_BLOCKS_MAX, max(1, span_us // _BLOCK_US))
        energies = []
        for block in range(count):
            middle_us = self._began_us + (2 * block + 1) * span_us // (2 * count)
            energy = (
                self.world.sound_energy(middle_us, self.site) if self.level_db is None else 10 ** (self.level_db / 10)
            )
            energy += 10.0 ** (_OWN_NOISE_DBA[self.microphone] / 10.0)
            energies.append(energy * (1.0 + 0.03 * gauss(self.seed, middle_us, 1)))
        error_db = 0.0 if self._selected == self.microphone else 10.0 if self.microphone == "ics43434" else -10.0
        if "other_microphone" in self.faults:
            error_db += 10.0
        levels = (sum(energies) / count, min(energies), max(energies))
        laeq, lowest, highest = (10.0 * math.log10(max(energy, 1e-3)) + error_db for energy in levels)
        return laeq, lowest, highest

    def _part(self, number: int, *, weighted: bool) -> bytes:
        """Eight bands of the spectrum (of the last part seven)."""
        first = number * _PART_BANDS
        values = [
            self._spectrum[at] + (a_weighting_db(BANDS_HZ[at]) if weighted and any(self._spectrum) else 0.0)
            for at in range(first, min(first + _PART_BANDS, len(BANDS_HZ)))
        ]
        return words(struct.pack(f">{len(values)}f", *values))
