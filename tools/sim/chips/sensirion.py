"""How Sensirion's I2C chips speak: commands of 16 bits, and behind every 16-bit word of data its CRC.

The chip does not acknowledge while it carries out a command, nor one that its state does not allow.
"""

from collections.abc import Iterable

from tools.sim.chance import mix
from tools.sim.chips.base import Chip, Nack
from tools.sim.world import World

SECOND_US = 1_000_000

FAULTS = {
    "bad_crc": "one checksum byte of each answer is wrong",
    "silence": "nothing is acknowledged (cable off, no supply)",
    "stuck": "the values stay what they are; new data is announced all the same",
    "byte_shift": "each answer lacks its first byte and ends in FF",
    "bus_held": "holds SDA low until it is clocked free: the whole bus hangs",
}


def checksum(word: bytes) -> int:
    """CRC-8 of a word: polynomial x^8 + x^5 + x^4 + 1, preset to ones, neither reflected nor inverted."""
    register = 0xFF
    for byte in word:
        for bit in range(7, -1, -1):
            overflow = (register >> 7) ^ (byte >> bit & 1)
            register = (register << 1) & 0xFF
            if overflow:
                register ^= 0x31
    return register


def in_words(data: bytes) -> bytes:
    """Put the checksum behind every pair of bytes."""
    answer = bytearray()
    for place in range(0, len(data), 2):
        word = data[place : place + 2]
        answer += word
        answer.append(checksum(word))
    return bytes(answer)


class WordChip(Chip):
    """A chip on an I2C bus that answers in words with checksums. A kind of chip carries out commands in `_command`."""

    address = 0
    POWER_UP_US = 50_000
    SLOWNESS = 20  # of a chip with the fault late_answer

    def __init__(self, world: World, seed: int, *, site: int = 0, faults: Iterable[str] = ()) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.power_on(world.start_s * SECOND_US - self.POWER_UP_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._boot(now_us, self.POWER_UP_US)

    def _boot(self, now_us: int, lasts_us: int) -> None:
        """The state after power-up or reset."""
        self._busy_until_us = now_us + lasts_us
        self._answer: bytes | None = None

    # --- Bus ---------------------------------------------------------------------------------------------------

    def write(self, data: bytes, now_us: int) -> None:
        """One write transfer: command, then argument words with checksums."""
        self._listen(now_us)
        if len(data) < 2 or (len(data) - 2) % 3:
            raise Nack("not a command with whole words")
        words = []
        for place in range(2, len(data), 3):
            if checksum(data[place : place + 2]) != data[place + 2]:
                raise Nack("checksum of an argument")
            words.append(data[place] << 8 | data[place + 1])
        self._answer = None
        self._command(data[0] << 8 | data[1], words, now_us)

    def read(self, n: int, now_us: int) -> bytes:
        """One read transfer of n bytes: the answer to the last command; the bus floats high behind its end."""
        self._listen(now_us)
        answer = self._fetch(now_us)
        if answer is None:
            raise Nack("nothing to read")
        return self._on_the_wire(answer, n, now_us)

    def _command(self, command: int, words: list[int], now_us: int) -> None:
        """Carry out a command; Nack if the chip does not acknowledge it."""
        raise NotImplementedError

    def _fetch(self, now_us: int) -> bytes | None:
        """The answer as it is now; None: there is none."""
        return self._answer

    def _listen(self, now_us: int) -> None:
        if not self.powered:
            raise Nack("no supply")
        if "silence" in self.faults:
            raise Nack("fault: silence")
        if now_us < self._busy_until_us:
            raise Nack("busy")

    def _on_the_wire(self, answer: bytes, n: int, now_us: int) -> bytes:
        if "bad_crc" in self.faults:
            spoiled = bytearray(answer)
            words = max(1, min(n, len(answer)) // 3)
            spoiled[2 + 3 * (mix(self.seed, now_us) % words)] ^= 1 << mix(self.seed, now_us, 1) % 8
            answer = bytes(spoiled)
        if "byte_shift" in self.faults:
            answer = answer[1:]
        return (answer + b"\xff" * n)[:n]

    def _require(self, allowed: bool, reason: str) -> None:
        if not allowed:
            raise Nack(reason)

    def _occupy(self, now_us: int, lasts_ms: int) -> None:
        late = self.SLOWNESS if "late_answer" in self.faults else 1
        self._busy_until_us = now_us + lasts_ms * 1000 * late
