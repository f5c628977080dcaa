"""Benewake TF-Luna LiDAR on a UART: nine bytes a measurement, commands that are answered between them.

It hangs above a lane or stands beside it. What the beam meets is worked out from the vehicles of the street: length,
height along the vehicle, glass that swallows the light.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tools.sim.chance import mix, uniform
from tools.sim.chips.base import Chip
from tools.sim.traffic import Vehicle
from tools.sim.world import World

_ANSWER_US = 2_000
_BOOT_US = 200_000
_RATES_FROM_HZ = 500  # divided by a whole number
_LOOKUP_US = 1_000_000
_LONGEST_US = 5_000_000  # the slowest of the longest takes less to pass
_CATCH_UP_US = 5_000_000  # after a longer pause of the host older frames are gone
_RECEIVE_CAP = 256
_ECHO = 30_000.0  # strength of a white surface at 1 m; it falls with the square of the distance
_ROAD = 0.3  # reflectivity
_GLASS = 0.015
_TOP = 30_000
_KERB_M = 0.9  # half a car's width: what is nearest to a beam from the side

# Height in cm of a road user along its length, from the front: (up to this part of the length, height, is it glass).
_PROFILES = {
    "car": ((0.24, 92, False), (0.36, 120, True), (0.78, 148, False), (0.88, 120, True), (1.0, 98, False)),
    "van": ((0.12, 110, False), (0.22, 180, True), (1.0, 245, False)),
    "lorry": ((0.22, 270, False), (1.0, 370, False)),
    "bus": ((0.03, 250, True), (1.0, 310, False)),
    "motorcycle": ((0.3, 95, False), (0.8, 165, False), (1.0, 95, False)),
    "bicycle": ((0.3, 80, False), (0.75, 172, False), (1.0, 75, False)),
}


class Surface(NamedTuple):
    """What the beam meets: how far away, and how much of the light it sends back (0..1)."""

    distance_cm: float
    reflectivity: float


def summed(data: bytes) -> bytes:
    """The bytes with the low byte of their sum behind them."""
    total = 0
    for byte in data:
        total = (total + byte) % 256
    return data + bytes((total,))


def frame(distance_cm: int, strength: int, degc: float) -> bytes:
    """Nine bytes of the default format."""
    raw = round((degc + 256.0) * 8.0)
    body = b"YY" + distance_cm.to_bytes(2, "little") + strength.to_bytes(2, "little") + raw.to_bytes(2, "little")
    return summed(body)


class TFLuna(Chip):
    """A TF-Luna in UART mode. Parameters: mount ("overhead" or "side"), height_m above the road, wall_m (side: where the
    beam ends; 0: nowhere), lane ("approach" or "depart"), noise.
    """

    FAULTS = {
        "silence": "nothing is sent, commands are not heard",
        "stuck": "the last frame is repeated for ever",
        "byte_shift": "one byte of each frame is lost on the way",
        "lost_bytes": "one byte in some two hundred is lost on the way",
        "bad_checksum": "the sum of each frame is wrong",
        "late_answer": "commands are answered 1.5 s late",
        "rain": "drops: single near echoes, and a weaker signal",
        "glare": "sun in the lens: strength 65535",
        "dirt": "mud on the window: an echo at 3 cm",
        "parked": "a car stands in the beam",
        "wet": "the road mirrors the light away: no echo from it",
        "brown_out": "it restarts every 20 s with the maker's settings: 100 frames a second",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        mount: str = "overhead",
        height_m: float = 5.0,
        wall_m: float = 6.0,
        lane: str = "approach",
        noise: bool = True,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.mount = mount
        self.height_m = height_m
        self.wall_m = wall_m
        self.approaching = lane == "approach"
        self.noise = noise
        self.firmware = (0, 2, 3)  # revision, minor, major
        self.baudrate = 115_200
        self.host_baudrate: int | None = None
        # What the beam meets instead of the world's; for trials.
        self.fixed: Surface | None = None
        self.power_on(world.start_s * 1_000_000 - _BOOT_US)

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self._received = b""
        self._answers: list[tuple[int, bytes]] = []
        self._settings(now_us + _BOOT_US)
        self._near: tuple[int, list[tuple[int, int, Vehicle]]] = (-1, [])
        self._restarted = now_us // 20_000_000

    def _settings(self, from_us: int) -> None:
        self.rate_hz = 100
        self.format = 1
        self.enabled = True
        self._frame_us = from_us
        self._last = b""

    # --- UART --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes from the host. Rubbish between commands is skipped."""
        if not self.powered or "silence" in self.faults:
            return
        self._received = (self._received + data)[-_RECEIVE_CAP:]
        while len(self._received) >= 4:
            length = self._received[1]
            if self._received[0] != 0x5A or not 4 <= length <= 32:
                self._received = self._received[1:]
            elif len(self._received) < length:
                break
            else:
                command, self._received = self._received[:length], self._received[length:]
                answer = self._obey(command[2], command[3:-1], now_us)
                if answer is not None:
                    late_us = 1_500_000 if "late_answer" in self.faults else _ANSWER_US
                    self._answers.append((now_us + late_us, answer))

    def _obey(self, code: int, value: bytes, now_us: int) -> bytes | None:
        """The answer; the chip does not look at a command's sum, and repeats what it has set."""
        if code == 0x01:
            return summed(bytes((0x5A, 7, code, *self.firmware)))
        if code == 0x02:
            self._settings(now_us + _BOOT_US)
            return summed(bytes((0x5A, 5, code, 0)))
        if code == 0x03 and len(value) == 2:
            wanted = int.from_bytes(value, "little")
            self.rate_hz = wanted and _RATES_FROM_HZ // max(2, round(_RATES_FROM_HZ / wanted))
            self._frame_us = now_us + self._period_us()
            return summed(bytes((0x5A, 6, code, *self.rate_hz.to_bytes(2, "little"))))
        if code == 0x05 and len(value) == 1:
            self.format = value[0] if value[0] in (1, 6) else self.format
        elif code == 0x07 and len(value) == 1:
            if value[0] and not self.enabled:
                self._frame_us = now_us + self._period_us()
            self.enabled = bool(value[0])
        elif code != 0x11:
            return None
        return summed(bytes((0x5A, 5, code)) + value[:1].ljust(1, b"\0"))

    def _period_us(self) -> int:
        return 1_000_000 // self.rate_hz if self.rate_hz else 0

    def next_output_us(self) -> int | None:
        """When the next bytes begin; None while nothing is to come."""
        if not self.powered or "silence" in self.faults:
            return None
        due = [at_us for at_us, _ in self._answers]
        if self.enabled and self.rate_hz:
            due.append(self._frame_us)
        return min(due, default=None)

    def output(self, now_us: int) -> bytes:
        """All bytes that are due; the host lays them on the line at the baud rate."""
        if not self.powered:
            return b""
        if "brown_out" in self.faults and now_us // 20_000_000 != self._restarted:
            self._restarted = now_us // 20_000_000
            self._settings(now_us + _BOOT_US)
        due = [(at_us, answer) for at_us, answer in self._answers if at_us <= now_us]
        self._answers = [(at_us, answer) for at_us, answer in self._answers if at_us > now_us]
        if self.enabled and self.rate_hz:
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

    # --- Measurements ------------------------------------------------------------------------------------------

    def _sent(self, at_us: int) -> bytes:
        """The bytes of the measurement of an instant, faults of the way included."""
        faults = self.faults
        if "stuck" not in faults or not self._last:
            self._last = self._measured(at_us)
        sent = self._last
        if "bad_checksum" in faults:
            sent = sent[:-1] + bytes((sent[-1] ^ 1 << mix(self.seed, at_us, 2) % 8,))
        if "byte_shift" in faults or ("lost_bytes" in faults and uniform(self.seed, at_us, 3) < 0.045):
            place = mix(self.seed, at_us, 4) % len(sent)
            sent = sent[:place] + sent[place + 1 :]
        return sent

    def _measured(self, at_us: int) -> bytes:
        surface = self.fixed or self._meets(at_us)
        chance = mix(self.seed, at_us) if self.noise else 0
        reflectivity = surface.reflectivity
        distance_cm = surface.distance_cm
        if "rain" in self.faults:
            reflectivity *= 0.7
            if uniform(self.seed, at_us, 5) < 0.03:
                distance_cm, reflectivity = 25.0 + 150.0 * uniform(self.seed, at_us, 6), 0.02
        strength = _ECHO * reflectivity / max(distance_cm / 100.0, 0.2) ** 2
        if self.noise:
            strength *= 1.0 + 0.03 * ((chance & 0xFF) / 128.0 - 1.0)
            distance_cm += 2.0 * ((chance >> 8 & 0xFF) / 128.0 - 1.0)
        degc = 31.0 + 2.0 * uniform(self.seed, at_us // 60_000_000)
        if "dirt" in self.faults:
            distance_cm, strength = 3.0, 2500.0 + (chance & 0x3F)
        if "glare" in self.faults:
            return frame(round(distance_cm), 0xFFFF, degc)
        shown = min(_TOP, int(strength))
        if shown < 100 or distance_cm > 1200.0:
            return frame(0, min(shown, 99), degc)
        return frame(round(distance_cm * (10 if self.format == 6 else 1)), shown, degc)

    def _meets(self, at_us: int) -> Surface:
        """The surface in the beam at an instant."""
        if "parked" in self.faults:
            return Surface(self.height_m * 100.0 - 148.0 if self.mount == "overhead" else 210.0, 0.25)
        for begin_us, end_us, vehicle in self._neighbourhood(at_us):
            if begin_us <= at_us < end_us:
                return self._part(vehicle, (at_us - begin_us) / (end_us - begin_us))
        if self.mount == "overhead":
            return Surface(self.height_m * 100.0, 0.0 if "wet" in self.faults else _ROAD)
        return Surface(self.wall_m * 100.0, 0.4 if self.wall_m else 0.0)

    def _part(self, vehicle: Vehicle, part: float) -> Surface:
        """What the beam meets of a vehicle, `part` of its length behind its front."""
        paint = 0.04 + 0.5 * uniform(vehicle.key, 11)
        size = 0.94 + 0.12 * uniform(vehicle.key, 12)
        if self.mount != "overhead":
            return Surface((vehicle.offset_m - _KERB_M) * 100.0, paint)
        for until, height_cm, glass in _PROFILES[vehicle.kind.name]:
            if part < until:
                return Surface(self.height_m * 100.0 - height_cm * size, _GLASS if glass else paint)
        raise AssertionError("a part is below 1")

    def _neighbourhood(self, at_us: int) -> list[tuple[int, int, Vehicle]]:
        """(front arrives, end leaves, vehicle) of what is in the beam within this second or a little later."""
        bucket = at_us // _LOOKUP_US
        if self._near[0] != bucket:
            begin_us = bucket * _LOOKUP_US
            found = []
            for vehicle in self.world.vehicles(begin_us - _LONGEST_US, begin_us + _LOOKUP_US, self.site):
                if vehicle.approaching == self.approaching:
                    lasts_us = int(vehicle.kind.length_m / vehicle.speed_kmh * 3_600_000)
                    found.append((vehicle.pass_us, vehicle.pass_us + lasts_us, vehicle))
            self._near = (bucket, found)
        return self._near[1]
