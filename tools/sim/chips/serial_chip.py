"""What simulated chips on a UART have in common: baud rate, answers on their way, and what happens to bytes there."""

from collections.abc import Iterator

from tools.sim.chance import mix, uniform
from tools.sim.chips.base import Chip

ANSWER_US = 10_000
LATE_US = 1_500_000
CATCH_UP_US = 5_000_000  # after a longer pause of the host older reports are gone
RECEIVE_CAP = 256

LINE_FAULTS = {
    "silence": "nothing is sent, commands are not heard",
    "byte_shift": "one byte of each frame is lost on the way",
    "bad_checksum": "the checksum of each frame is wrong",
    "late_answer": "answers come 1.5 s late, reports at a third of their rate",
    "garbage": "random bytes between the frames",
}


class SerialChip(Chip):
    """A chip on a UART. A class for a chip says what it hears (`hear`), and when and what it sends by itself."""

    BAUDRATE = 9600
    CHECKSUM_AT = -1  # where the (last byte of the) checksum stands in a frame

    # What the host's UART is set to; when it differs only rubbish crosses the line. None: as the chip.
    host_baudrate: int | None = None

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._answers: list[tuple[int, bytes]] = []

    def hear(self, data: bytes, now_us: int) -> None:
        """Bytes that reached the chip."""
        raise NotImplementedError

    def next_report_us(self) -> int | None:
        """When it sends by itself next; None: never."""
        return None

    def report(self, at_us: int) -> bytes:
        """What it sends then; the next one is due later."""
        raise NotImplementedError

    def skip_reports(self, before_us: int) -> None:
        """Reports that nobody fetched in time are gone."""

    def answer(self, frame: bytes, now_us: int) -> None:
        """Send soon."""
        late_us = LATE_US if "late_answer" in self.faults else ANSWER_US
        self._answers.append((now_us + late_us, frame))

    # --- UART --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes from the host."""
        if self.powered and "silence" not in self.faults and self._same_baudrate():
            self.hear(data, now_us)

    def next_output_us(self) -> int | None:
        """When the next bytes begin; None while nothing is to come."""
        if not self.powered or "silence" in self.faults:
            return None
        due = [at_us for at_us, _ in self._answers]
        report_us = self.next_report_us()
        if report_us is not None:
            due.append(report_us)
        return min(due, default=None)

    def output(self, now_us: int) -> bytes:
        """All bytes that are due; the host lays them on the line at the baud rate."""
        if not self.powered:
            return b""
        self.skip_reports(now_us - CATCH_UP_US)
        due = [entry for entry in self._answers if entry[0] <= now_us]
        self._answers = [entry for entry in self._answers if entry[0] > now_us]
        due += self._reports(now_us)
        due.sort(key=lambda entry: entry[0])
        stream = b"".join(self._on_the_way(frame, at_us) for at_us, frame in due)
        if "silence" in self.faults:
            return b""
        if not self._same_baudrate():
            return bytes(mix(self.seed, now_us, place) & 0xFF for place in range(len(stream) // 2))
        return stream

    def _reports(self, now_us: int) -> Iterator[tuple[int, bytes]]:
        while (at_us := self.next_report_us()) is not None and at_us <= now_us:
            yield at_us, self.report(at_us)

    def _same_baudrate(self) -> bool:
        return self.host_baudrate is None or self.host_baudrate == self.BAUDRATE

    def _on_the_way(self, frame: bytes, at_us: int) -> bytes:
        faults = self.faults
        if "bad_checksum" in faults:
            spoiled = bytearray(frame)
            spoiled[self.CHECKSUM_AT] ^= 1 << mix(self.seed, at_us, 51) % 3
            frame = bytes(spoiled)
        if "byte_shift" in faults:
            place = mix(self.seed, at_us, 52) % len(frame)
            frame = frame[:place] + frame[place + 1 :]
        if "garbage" in faults:
            frame += bytes(mix(self.seed, at_us, 53 + n) & 0xFF for n in range(1 + mix(self.seed, at_us) % 7))
        return frame


def noisy(seed: int, at_us: int, value: float, part: float) -> float:
    """A measured value: off by at most `part` of itself."""
    return value * (1.0 + part * (2.0 * uniform(seed, at_us, 60) - 1.0))
