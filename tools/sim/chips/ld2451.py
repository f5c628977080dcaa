"""Hi-Link HLK-LD2451 24 GHz vehicle radar on a UART: reports ten times a second, commands in a configuration mode.

No frame has a checksum. The manual contradicts itself about the direction byte; `direction_inverted` makes a module
of the other opinion.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from tools.sim.chance import gauss, mix, uniform
from tools.sim.chips.base import Chip
from tools.sim.traffic import Vehicle
from tools.sim.world import World

_REPORT_US = 100_000
_ANSWER_US = 4_000
_RESTART_US = 500_000
_LOOKUP_US = 1_000_000
# The slowest that is followed (11 km/h) is in sight for about 33 s each way.
_SIGHT_US = 34_000_000
_MOUNT_M = 4.0  # height above the road
_BEAM_DEG = 20.0
_MOST_TARGETS = 3
_RECEIVE_CAP = 256
_CATCH_UP_US = 5_000_000  # after a longer pause of the host older reports are gone

_REPORT_HEAD, _REPORT_TAIL = bytes.fromhex("F4F3F2F1"), bytes.fromhex("F8F7F6F5")
_COMMAND_HEAD, _COMMAND_TAIL = bytes.fromhex("FDFCFBFA"), bytes.fromhex("04030201")
_BAUDRATES = (9600, 19200, 38400, 57600, 115200, 230400, 256000, 460800)
_FACTORY_DETECTION = bytes((100, 2, 5, 2))  # metres, both directions, km/h, s
_FACTORY_SENSITIVITY = bytes((1, 4, 0, 0))

DEPART, APPROACH, BOTH = 0, 1, 2


class Target(NamedTuple):
    """One target of a report; angle in degrees from the axis."""

    angle_deg: int
    distance_m: int
    approaching: bool
    speed_kmh: int
    snr: int


def report(targets: Iterable[Target], *, idle_empty: bool = True, inverted: bool = False) -> bytes:
    """A report frame; `inverted` swaps the meaning of the direction byte (1 = approaching, else)."""
    listed = list(targets)
    body = bytearray()
    if listed or not idle_empty:
        body += bytes((len(listed), int(any(target.approaching for target in listed))))
    for target in listed:
        direction = int(target.approaching != inverted)
        body += bytes((target.angle_deg + 0x80, target.distance_m, direction, target.speed_kmh, target.snr))
    return _REPORT_HEAD + len(body).to_bytes(2, "little") + bytes(body) + _REPORT_TAIL


def acknowledgement(command: int, status: int, more: bytes = b"") -> bytes:
    """The answer to a command."""
    body = (command | 0x0100).to_bytes(2, "little") + status.to_bytes(2, "little") + more
    return _COMMAND_HEAD + len(body).to_bytes(2, "little") + body + _COMMAND_TAIL


class LD2451(Chip):
    """An LD2451 beside the road. Parameters: baudrate, idle_frames (False: nothing while the road is empty),
    direction_inverted, drop_percent (reports that never come), noise (of speed and distance).
    """

    FAULTS = {
        "silence": "nothing is sent, commands are not heard",
        "stuck": "the last report is repeated for ever",
        "byte_shift": "one byte of each report is lost on the way",
        "late_answer": "acknowledgements come 1.5 s late, reports in bunches of five",
        "gaps": "no reports for 1.2 s in every 6 s",
        "dropped": "one report in ten is missing",
        "ghosts": "rain: short-lived weak targets near by",
        "garbage": "random bytes between the reports",
        "wrong_count": "the count byte says one target more than there are",
    }

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        site: int = 0,
        faults: Iterable[str] = (),
        baudrate: int = 115200,
        idle_frames: bool = True,
        direction_inverted: bool = False,
        drop_percent: int = 0,
        noise: bool = True,
    ) -> None:
        super().__init__(world, seed, site=site, faults=faults)
        self.idle_frames = idle_frames
        self.direction_inverted = direction_inverted
        self.drop_percent = drop_percent
        self.noise = noise
        self.baudrate = baudrate
        # What the host's UART is set to; when it differs only rubbish crosses the line. None: as the chip.
        self.host_baudrate: int | None = None
        self._stored_baudrate = baudrate
        self.detection = _FACTORY_DETECTION
        self.sensitivity = _FACTORY_SENSITIVITY
        # Targets to be reported, in this order, instead of the world's; for trials.
        self.fixed: list[Target] | None = None
        self.power_on(world.start_s * 1_000_000)

    # --- Power -------------------------------------------------------------------------------------------------

    def power_on(self, now_us: int) -> None:
        super().power_on(now_us)
        self.baudrate = self._stored_baudrate
        self.configuring = False
        self._received = b""
        self._answers: list[tuple[int, bytes]] = []
        self._report_us = now_us + _RESTART_US
        self._last_report = report(())
        self._near: tuple[int, list[Vehicle]] = (-1, [])

    # --- UART --------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_us: int) -> None:
        """Bytes from the host. Rubbish between commands is skipped."""
        if not self.powered or "silence" in self.faults or not self._same_baudrate():
            return
        self._received = (self._received + data)[-_RECEIVE_CAP:]
        while True:
            begin = self._received.find(_COMMAND_HEAD)
            if begin < 0:
                self._received = self._received[-3:]
                return
            self._received = self._received[begin:]
            if len(self._received) < 6:
                return
            length = int.from_bytes(self._received[4:6], "little")
            if length < 2 or length > 64:
                self._received = self._received[4:]
                continue
            if len(self._received) < length + 10:
                return
            body, tail = self._received[6 : 6 + length], self._received[6 + length : 10 + length]
            if tail != _COMMAND_TAIL:
                self._received = self._received[4:]
                continue
            self._received = self._received[length + 10 :]
            self._obey(int.from_bytes(body[:2], "little"), body[2:], now_us)

    def next_output_us(self) -> int | None:
        """When the next bytes begin; None while nothing is to come."""
        if not self.powered or "silence" in self.faults:
            return None
        due = [at_us for at_us, _ in self._answers]
        if not self.configuring:
            due.append(self._next_report_us())
        return min(due, default=None)

    def output(self, now_us: int) -> bytes:
        """All bytes that are due; the host lays them on the line at the baud rate."""
        if not self.powered:
            return b""
        due = [(at_us, answer) for at_us, answer in self._answers if at_us <= now_us]
        self._answers = [(at_us, answer) for at_us, answer in self._answers if at_us > now_us]
        if not self.configuring:
            if now_us - self._report_us > _CATCH_UP_US:
                skipped = (now_us - self._report_us - _CATCH_UP_US) // _REPORT_US + 1
                self._report_us += skipped * _REPORT_US
            bunch = self._next_report_us() <= now_us
            while bunch and self._report_us <= now_us:
                due.append((self._report_us, self._reported(self._report_us)))
                self._report_us += _REPORT_US
        due.sort(key=lambda entry: entry[0])
        stream = b"".join(part for _, part in due)
        if "silence" in self.faults:
            return b""
        if not self._same_baudrate():
            return bytes(mix(self.seed, now_us, place) & 0xFF for place in range(len(stream) // 2))
        return stream

    def _next_report_us(self) -> int:
        """When the next report leaves; late ones wait until five are together."""
        wait = -(self._report_us // _REPORT_US) % 5 if "late_answer" in self.faults else 0
        return self._report_us + wait * _REPORT_US

    def _same_baudrate(self) -> bool:
        return self.host_baudrate is None or self.host_baudrate == self.baudrate

    # --- Commands ----------------------------------------------------------------------------------------------

    def _obey(self, command: int, value: bytes, now_us: int) -> None:
        late_us = 1_500_000 if "late_answer" in self.faults else _ANSWER_US
        answer = self._answer(command, value)
        self._answers.append((now_us + late_us, answer))
        if command == 0x00FF:
            self.configuring = True
        elif command == 0x00FE and self.configuring:
            self.configuring = False
            self._report_us = now_us + _REPORT_US
        elif command == 0x00A3 and self.configuring:
            answers = self._answers  # the acknowledgement still leaves
            self.power_on(now_us)
            self._answers = answers

    def _answer(self, command: int, value: bytes) -> bytes:
        if command == 0x00FF:
            return acknowledgement(command, 0, bytes((1, 0, 0, 0)))
        if not self.configuring:
            return acknowledgement(command, 1)
        status, more = 0, b""
        if command == 0x0002 and len(value) == 4 and value[0] >= 10 and value[1] <= BOTH and value[2] <= 120:
            self.detection = value
        elif command == 0x0012:
            more = self.detection
        elif command == 0x0003 and len(value) == 4 and 1 <= value[0] <= 10 and (value[1] == 0 or 3 <= value[1] <= 8):
            self.sensitivity = value
        elif command == 0x0013:
            more = self.sensitivity
        elif command == 0x00A0:
            more = bytes.fromhex("5124 0101 10150524")
        elif command == 0x00A1 and len(value) == 2 and 1 <= value[0] <= len(_BAUDRATES):
            self._stored_baudrate = _BAUDRATES[value[0] - 1]
        elif command == 0x00A2:
            self.detection = _FACTORY_DETECTION
            self.sensitivity = _FACTORY_SENSITIVITY
            self._stored_baudrate = 115200
        elif command not in (0x00FE, 0x00A3):
            status = 1
        return acknowledgement(command, status, more)

    # --- Reports -----------------------------------------------------------------------------------------------

    def _reported(self, at_us: int) -> bytes:
        """The bytes of the report of an instant, faults of the way included."""
        faults = self.faults
        tick = at_us // _REPORT_US
        missing = "gaps" in faults and at_us % 6_000_000 < 1_200_000
        percent = max(self.drop_percent, 10 if "dropped" in faults else 0)
        if missing or uniform(self.seed, tick, 1) * 100.0 < percent:
            return b""
        if "stuck" not in faults or self._last_report == report(()):
            targets = self.targets(at_us)
            self._last_report = report(targets, inverted=self.direction_inverted)
        frame = self._last_report
        if len(frame) == 10 and not self.idle_frames:
            return b""
        if "wrong_count" in faults and len(frame) > 10:
            frame = frame[:6] + bytes((frame[6] + 1,)) + frame[7:]
        if "byte_shift" in faults:
            place = mix(self.seed, tick, 2) % len(frame)
            frame = frame[:place] + frame[place + 1 :]
        if "garbage" in faults:
            frame += bytes(mix(self.seed, tick, 3 + n) & 0xFF for n in range(1 + tick % 7))
        return frame

    def targets(self, at_us: int) -> list[Target]:
        """What the radar makes out at an instant: at most three, the nearest first."""
        if self.fixed is not None:
            return self.fixed
        far_m, wanted, slowest, _ = self.detection
        seen: list[tuple[float, Target, Vehicle]] = []
        for vehicle in self._neighbourhood(at_us):
            target = self._target(vehicle, at_us)
            if target is None or target.distance_m > far_m or target.speed_kmh < max(1, slowest):
                continue
            if wanted == BOTH or (wanted == APPROACH) == target.approaching:
                seen.append((abs(self._along_m(vehicle, at_us)), target, vehicle))
        seen.sort(key=lambda entry: entry[0])
        shown: list[tuple[Target, Vehicle]] = []
        for _, target, vehicle in seen:
            if not any(_hides(front, in_front, target, vehicle) for front, in_front in shown):
                shown.append((target, vehicle))
        found = [target for target, _ in shown]
        tick = at_us // _REPORT_US
        if "ghosts" in self.faults and uniform(self.seed, tick // 3, 40) < 0.3:
            found.append(Target(int(gauss(self.seed, tick, 41) * 5.0), 3 + tick % 9, bool(tick & 8), 5 + tick % 12, 3))
            found.sort(key=lambda target: target.distance_m)
        return found[:_MOST_TARGETS]

    def _neighbourhood(self, at_us: int) -> list[Vehicle]:
        bucket = at_us // _LOOKUP_US
        if self._near[0] != bucket:
            begin_us = bucket * _LOOKUP_US
            around = self.world.vehicles(begin_us - _SIGHT_US, begin_us + _LOOKUP_US + _SIGHT_US, self.site)
            limit_m = 110.0
            near = [v for v in around if abs(begin_us - v.pass_us) / 1e6 * v.speed_kmh / 3.6 < limit_m + 60.0]
            self._near = (bucket, near)
        return self._near[1]

    def _along_m(self, vehicle: Vehicle, at_us: int) -> float:
        """How far up the road the vehicle is: it comes from there (approaching) or goes there; negative: behind."""
        past_s = (at_us - vehicle.pass_us) / 1e6
        return (-past_s if vehicle.approaching else past_s) * vehicle.speed_kmh / 3.6

    def _target(self, vehicle: Vehicle, at_us: int) -> Target | None:
        along_m = self._along_m(vehicle, at_us)
        if along_m <= 0.0:
            return None
        angle_deg = math.degrees(math.atan2(vehicle.offset_m, along_m))
        range_m = math.sqrt(along_m**2 + vehicle.offset_m**2 + _MOUNT_M**2)
        # Each vehicle is picked up at a distance of its own; out there it flickers.
        reach_m = vehicle.kind.seen_m * (0.85 + 0.3 * uniform(vehicle.key, 1)) * (1.12 - 0.03 * self.sensitivity[1])
        tick = at_us // _REPORT_US
        flicker = 0.5 if range_m > 0.9 * reach_m else 0.02
        if angle_deg > _BEAM_DEG or range_m > reach_m or uniform(self.seed, vehicle.key, tick) < flicker:
            return None
        distance_m, speed_kmh = range_m, vehicle.speed_kmh * along_m / range_m
        if self.noise:
            distance_m += 0.4 * gauss(self.seed, vehicle.key, tick, 2)
            speed_kmh += 0.4 * gauss(self.seed, vehicle.key, tick, 3)
        snr = 40.0 - 30.0 * math.log10(max(range_m, 5.0) / 10.0) * (90.0 / vehicle.kind.seen_m) ** 0.5
        return Target(
            round(angle_deg),
            min(255, max(0, int(distance_m))),
            vehicle.approaching,
            min(120, max(0, round(speed_kmh))),
            min(255, max(3, round(snr))),
        )


def _hides(front: Target, in_front: Vehicle, target: Target, vehicle: Vehicle) -> bool:
    """Whether the nearer vehicle stands in the radar's way: same lane, close behind it, the longer the worse."""
    gap_m = target.distance_m - front.distance_m
    close_m = 5.0 + 2.5 * in_front.kind.length_m if vehicle.kind.length_m < 8.0 else 6.0
    return front.approaching == target.approaching and gap_m < close_m and abs(front.angle_deg - target.angle_deg) <= 3
