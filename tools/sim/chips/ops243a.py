"""OmniPreSense OPS243-A 24 GHz Doppler radar on a UART: lines of text, two-letter commands.

It makes a spectrum of 1024 samples and lists the strongest of its peaks: speeds and directions without distances. Two
vehicles whose speeds fall into neighbouring bins are one peak.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from tools.sim.chance import gauss, mix, uniform
from tools.sim.chips.base import Chip
from tools.sim.traffic import Vehicle
from tools.sim.world import World

_SAMPLES = 1024
_WAVELENGTH_M = 299_792_458.0 / 24.125e9
_START_US = 800_000
_ANSWER_US = 5_000
_LOOKUP_US = 1_000_000
_SIGHT_US = 34_000_000
_MOUNT_M = 2.5  # height above the road
_BEAM_DEG = 15.0
_CATCH_UP_US = 5_000_000  # after a longer pause of the host older lines are gone
_RECEIVE_CAP = 64
_STRENGTH = 800_000.0  # of a car at 1 m; falls with the square of the distance
_ECHO = {"car": 1.0, "van": 1.3, "lorry": 2.2, "bus": 2.0, "motorcycle": 0.5, "bicycle": 0.25}
_NUMBERED = (b"R>", b"R<", b"M>", b"M<", b"N>", b"N<", b"W.", b"Z.", b"C=")
_RATES = {b"SX": 10_000, b"S2": 20_000}
_UNITS = {b"UM": ("m-per-sec", 1.0), b"UK": ("km-per-hr", 3.6), b"US": ("mph", 2.236936)}


class Peak(NamedTuple):
    """One target: speed in m/s, positive when it comes nearer, and its strength."""

    speed_mps: float
    strength: float


class OPS243A(Chip):
    """An OPS243-A that looks along the road. Parameters: strings (newer firmware: JSON numbers are strings, a unit stands
    with them), directions (older firmware: no signs in JSON, a key says the direction), knows_blank (BZ works), uid.
    """

    FAULTS = {
        "silence": "nothing is sent, commands are not heard",
        "stuck": "the last line with a target is repeated for ever",
        "byte_shift": "one byte of each line is lost on the way",
        "late_answer": "commands are answered 1.5 s late",
        "dropped": "one line in ten is missing",
        "ghosts": "rain: short-lived weak slow targets",
        "garbage": "bytes that are no text between the lines",
        "brown_out": "it restarts every 20 s and has forgotten what it was told",
        "half_lines": "lines break off in the middle, without an end of line",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        strings: bool = True,
        directions: bool = False,
        knows_blank: bool = True,
        uid: str = "0A1B2C3D",
        noise: bool = True,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.strings = strings
        self.directions = directions
        self.knows_blank = knows_blank
        self.uid = uid
        self.noise = noise
        self.baudrate = 19_200
        self.host_baudrate: int | None = None
        # Targets instead of the world's; for trials.
        self.fixed: list[Peak] | None = None
        self.power_on(world.start_s * 1_000_000 - _START_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._received = b""
        self._answers: list[tuple[int, bytes]] = []
        self._near: tuple[int, list[Vehicle]] = (-1, [])
        self._restarted = now_us // 20_000_000
        self._defaults(now_us + _START_US)

    def _defaults(self, from_us: int) -> None:
        """What the maker has set, and nobody has saved over."""
        self.unit = b"UM"
        self.rate_hz = 10_000
        self.features: set[str] = set()  # J, M, T, U: what stands in a line
        self.listed = 1
        self.decimals = 1
        self.least, self.most, self.weakest = 0.0, 0.0, 0.0
        self.ways = "|"
        self.blank = False
        self.active = True
        self._frame_us = from_us
        self._last = b""

    # --- UART --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes from the host: two letters; a number may follow some, up to an end of line."""
        if not self.powered or "silence" in self.faults or self.host_baudrate not in (None, self.baudrate):
            return
        self._received = (self._received + data)[-_RECEIVE_CAP:]
        while True:
            self._received = self._received.lstrip(b"\r\n")
            words = self._received[:2]
            if len(words) < 2:
                return
            number = b""
            end = 2
            if words in _NUMBERED:
                ends = [at for at in (self._received.find(b"\r"), self._received.find(b"\n")) if at >= 0]
                if not ends:
                    return
                end = min(ends)
                number = self._received[2:end]
            self._received = self._received[end:]
            answer = self._obey(words, number)
            if answer:
                late_us = 1_500_000 if "late_answer" in self.faults else _ANSWER_US
                self._answers.append((now_us + late_us, answer.encode() + b"\r\n"))

    def _obey(self, words: bytes, number: bytes) -> str:
        letter = words[1:].decode("ascii", "replace")
        answers = {
            b"?P": '{"Product":"OPS243"}',
            b"?V": '{"Version":"1.3.2"}',
            b"?U": f'{{"UID":"{self.uid}"}}' if self.uid else "",
            b"N?": '{"DetectedObjectCount":3}',
        }
        answer = answers.get(words, "")
        if words in (b"U?", *_UNITS):
            self.unit = words if words in _UNITS else self.unit
            answer = f'{{"Units":"{_UNITS[self.unit][0]}"}}'
        elif words in _RATES:
            self.rate_hz = _RATES[words]
            answer = f'{{"SamplingRate":{self.rate_hz}, "resolution":{self.bin_mps:.4f}}}'
        elif words[:1] == b"O" and letter.upper() in "JMTUS":
            (self.features.add if letter.isupper() else self.features.discard)(letter.upper())
            answer = f'{{"OutputFeature":"{letter}"}}'
        elif words[:1] == b"O" and letter in "123456789":
            self.listed = int(letter)
        elif words[:1] == b"F" and letter in "012345":
            self.decimals = int(letter)
        elif words in (b"R+", b"R-", b"R|"):
            self.ways = letter
        elif words in (b"BZ", b"BV"):
            self.blank = self.knows_blank and words == b"BZ"
        elif words in (b"PA", b"PI"):
            self.active = words == b"PA"
        elif words == b"AX":
            self._defaults(self._frame_us)
        elif words in _NUMBERED:
            self._limit(words, number)
        return answer

    def _limit(self, words: bytes, number: bytes) -> None:
        try:
            value = float(number)
        except ValueError:
            return
        if words == b"R>":
            self.least = value
        elif words == b"R<":
            self.most = value
        elif words == b"M>":
            self.weakest = value

    @property
    def bin_mps(self) -> float:
        """Width of a bin of the spectrum."""
        return self.rate_hz / _SAMPLES * _WAVELENGTH_M / 2.0

    def _period_us(self) -> int:
        return _SAMPLES * 1_000_000 // self.rate_hz

    def next_output_us(self) -> int | None:
        """When the next bytes begin; None while nothing is to come."""
        if not self.powered or "silence" in self.faults:
            return None
        due = [at_us for at_us, _ in self._answers]
        if self.active:
            due.append(self._frame_us)
        return min(due, default=None)

    def output(self, now_us: int) -> bytes:
        """All bytes that are due; the host lays them on the line at the baud rate."""
        if not self.powered:
            return b""
        if "brown_out" in self.faults and now_us // 20_000_000 != self._restarted:
            self._restarted = now_us // 20_000_000
            self._defaults(now_us + _START_US)
        due = [(at_us, answer) for at_us, answer in self._answers if at_us <= now_us]
        self._answers = [(at_us, answer) for at_us, answer in self._answers if at_us > now_us]
        if self.active:
            period_us = self._period_us()
            if now_us - self._frame_us > _CATCH_UP_US:
                self._frame_us += ((now_us - self._frame_us - _CATCH_UP_US) // period_us + 1) * period_us
            while self._frame_us <= now_us:
                due.append((self._frame_us, self._sent(self._frame_us)))
                self._frame_us += period_us
        due.sort(key=lambda entry: entry[0])
        stream = b"".join(part for _, part in due)
        if "silence" in self.faults:
            return b""
        if self.host_baudrate not in (None, self.baudrate):
            return bytes(mix(self.seed, now_us, place) & 0xFF for place in range(len(stream) // 2))
        return stream

    # --- Lines -------------------------------------------------------------------------------------------------

    def _sent(self, at_us: int) -> bytes:
        """The line of an instant, faults of the way included."""
        faults = self.faults
        tick = at_us // 1000
        if "dropped" in faults and uniform(self.seed, tick, 1) < 0.1:
            return b""
        peaks = self.peaks(at_us)
        sent = self.line(peaks, at_us)
        if "stuck" in faults and self._last:
            sent = self._last
        elif peaks:
            self._last = sent
        if "byte_shift" in faults and sent:
            place = mix(self.seed, tick, 2) % len(sent)
            sent = sent[:place] + sent[place + 1 :]
        if "half_lines" in faults:
            sent = sent[: len(sent) // 2]
        if "garbage" in faults:
            sent += bytes(0x80 | mix(self.seed, tick, 3 + n) & 0x7F for n in range(1 + tick % 5)) + b"\n"
        return sent

    def line(self, peaks: list[Peak], at_us: int) -> bytes:
        """What it writes for the peaks of one spectrum; nothing when there are none, unless it was told to (BZ)."""
        if not peaks:
            if not self.blank:
                return b""
            peaks = [Peak(0.0, 0.0)]
        scale = _UNITS[self.unit][1]
        speeds = [f"{peak.speed_mps * scale:.{self.decimals}f}" for peak in peaks]
        strengths = [f"{peak.strength:.0f}" for peak in peaks]
        time_s = f"{(at_us - self.world.start_s * 1_000_000) / 1e6:.3f}"
        if "J" not in self.features:
            text = ""
            for speed, strength in zip(speeds, strengths, strict=True):
                parts = [time_s] * ("T" in self.features) + [strength] * ("M" in self.features) + [speed]
                text += ",".join(parts) + "\r\n"
            return text.encode()
        fields = []
        if "T" in self.features:
            fields.append(f'"time":{self._json([time_s])}')
        if self.strings and "U" in self.features:
            fields.append('"unit":"mps"')
        if "M" in self.features:
            fields.append(f'"magnitude":{self._json(strengths)}')
        if self.directions:
            fields.append(f'"speed":{self._json([speed.lstrip("-") for speed in speeds])}')
            fields.append(f'"direction":"{"outbound" if peaks[0].speed_mps < 0 else "inbound"}"')
        else:
            fields.append(f'"speed":{self._json(speeds)}')
        return ("{" + ",".join(fields) + "}\r\n").encode()

    def _json(self, numbers: list[str]) -> str:
        items = [f'"{number}"' if self.strings else number for number in numbers]
        return items[0] if self.listed == 1 or len(items) == 1 else "[" + ",".join(items) + "]"

    # --- Spectrum ----------------------------------------------------------------------------------------------

    def peaks(self, at_us: int) -> list[Peak]:
        """What stands out of the spectrum of an instant, strongest first, as many as are listed."""
        if self.fixed is not None:
            return self.fixed
        found = [peak for vehicle in self._neighbourhood(at_us) if (peak := self._peak(vehicle, at_us)) is not None]
        tick = at_us // 100_000
        if "ghosts" in self.faults and uniform(self.seed, tick // 3, 40) < 0.3:
            sign = 1.0 if mix(self.seed, tick, 42) & 1 else -1.0
            found.append(Peak(sign * (1.0 + 3.5 * uniform(self.seed, tick, 41)), 60.0))
        found.sort(key=lambda peak: -peak.strength)
        apart: list[Peak] = []
        for peak in found:
            quantised = round(peak.speed_mps / self.bin_mps) * self.bin_mps
            wanted = self.ways == "|" or (self.ways == "+") == (quantised > 0)
            if (
                abs(quantised) < max(self.least, self.bin_mps)
                or (self.most and abs(quantised) > self.most)
                or not wanted
            ):
                continue
            if peak.strength >= self.weakest and all(
                abs(quantised - other.speed_mps) > 2.5 * self.bin_mps for other in apart
            ):
                apart.append(Peak(quantised, peak.strength))
        return apart[: 1 if self.directions else self.listed]

    def _neighbourhood(self, at_us: int) -> list[Vehicle]:
        bucket = at_us // _LOOKUP_US
        if self._near[0] != bucket:
            begin_us = bucket * _LOOKUP_US
            around = self.world.vehicles(begin_us - _SIGHT_US, begin_us + _LOOKUP_US + _SIGHT_US, self.site)
            near = [v for v in around if abs(begin_us - v.pass_us) / 1e6 * v.speed_kmh / 3.6 < 170.0]
            self._near = (bucket, near)
        return self._near[1]

    def _peak(self, vehicle: Vehicle, at_us: int) -> Peak | None:
        past_s = (at_us - vehicle.pass_us) / 1e6
        along_m = (-past_s if vehicle.approaching else past_s) * vehicle.speed_kmh / 3.6
        if along_m <= 0.0:
            return None
        beside_m = math.hypot(vehicle.offset_m, _MOUNT_M)
        range_m = math.hypot(along_m, beside_m)
        if math.degrees(math.atan2(beside_m, along_m)) > _BEAM_DEG or range_m > vehicle.kind.seen_m:
            return None
        strength = _STRENGTH * _ECHO[vehicle.kind.name] * (0.8 + 0.4 * uniform(vehicle.key, 21)) / range_m**2
        speed_mps = vehicle.speed_kmh / 3.6 * along_m / range_m
        if self.noise:
            fading = gauss(self.seed, vehicle.key, at_us, 22)
            strength *= max(0.15, 1.0 + 0.35 * fading)
            speed_mps += 0.06 * gauss(self.seed, vehicle.key, at_us, 23)
        return Peak(speed_mps if vehicle.approaching else -speed_mps, strength)
