"""The radar on a fake line: configuration, vehicles, silence, lost bytes. Each scene runs on both interpreters."""

from firmware.drivers import BLOCKED, GOOD, NO_ANSWER, REFUSED, SHIFTED, STALE, SUSPECT, SensorError
from firmware.drivers.ld2451 import LD2451
from firmware.drivers.tracker import Tracker
from tests.fakes.bus import FakeClock, FakeUart, fails
from wire.channels import by_id
from wire.quality import CONTRADICTION, LOST

HEAD = b"\xfd\xfc\xfb\xfa"
TAIL = b"\x04\x03\x02\x01"


def report(targets):
    """Targets: (distance m, direction, km/h)."""
    if not targets:
        return b"\xf4\xf3\xf2\xf1\x00\x00\xf8\xf7\xf6\xf5"
    body = bytes([len(targets), 1])
    for distance, direction, speed in targets:
        body += bytes([0x80, distance, direction, speed, 20])
    return b"\xf4\xf3\xf2\xf1" + bytes([len(body), 0]) + body + b"\xf8\xf7\xf6\xf5"


class Radar:
    """Answers commands. Knobs: `dead`, `status` of every answer, `detection` as it was left."""

    def __init__(self, clock):
        self.clock = clock
        self.dead = False
        self.status = 0
        self.detection = bytes([100, 2, 5, 1])
        self.sensitivity = bytes([2, 4, 0, 0])
        self.commands = []
        self.uart = FakeUart(clock, self.answer)

    def answer(self, data):
        if self.dead:
            return []
        assert data[:4] == HEAD and data[-4:] == TAIL and data[4] + data[5] * 256 == len(data) - 10
        code = data[6]
        self.commands.append(code)
        value = b""
        if code == 0xFF:
            value = b"\x01\x00\x00\x00"
        elif code == 0xA0:
            value = bytes.fromhex("5124010110150524")
        elif code == 0x12:
            value = self.detection
        elif code == 0x02:
            self.detection = data[8:12]
        elif code == 0x13:
            value = self.sensitivity
        elif code == 0x03:
            self.sensitivity = data[8:12]
        body = bytes([code, 1, self.status, 0]) + value
        return [(30, HEAD + bytes([len(body), 0]) + body + TAIL)]

    def drive(self, vehicles, duration_ms, idle=True, drop=0, damaged=(0, 1), damage=None):
        """Queue a report each 100 ms. A vehicle: (start ms, direction, km/h); approaching ones come from 100 m.

        `drop`: of each `drop` reports one is missing. `damaged`: (3, 10): three of ten reports are, in a way that `damage` knows.
        """
        for number, at in enumerate(range(0, duration_ms, 100)):
            if drop and number % drop == drop - 1:
                continue
            targets = []
            for start, direction, speed in vehicles:
                way = speed * (at - start) // 3600  # m
                if at >= start and way <= 95:
                    targets.append((100 - way if direction else 5 + way, direction, speed))
            if targets or idle:
                frame = report(targets[:3])
                self.uart.send(at, damage(frame) if number * damaged[0] % damaged[1] < damaged[0] else frame)


def along(speeds, seen):
    """Speeds along the road: what the radar sees of them from above is up to 2 % less in the mean."""
    return len(speeds) == len(seen) and all([0 <= 100 * (a - b) <= 2 * b for a, b in zip(speeds, seen)])


def radar(**params):
    clock = FakeClock()
    chip = Radar(clock)
    return clock, chip, LD2451(chip.uart, clock, **params)


async def listen(driver, seconds):
    """All readings of so many periods, by channel name."""
    gathered = {}
    covered = 0
    for _ in range(seconds):
        for channel, instance, value, flag in await driver.read():
            assert instance == driver.instance
            name = by_id(channel).name
            gathered.setdefault(name, []).append(value)
            gathered.setdefault(name + " flags", []).append(flag)
        covered += driver.covered_ms
    gathered["covered"] = covered
    return gathered


async def scene_start_configures_only_what_differs():
    _, chip, driver = radar()
    await driver.start()
    assert driver.identity == "HLK-LD2451 firmware V1.01.24051510"
    assert chip.commands == [0xFF, 0xA0, 0x12, 0xFE]
    _clock, chip, driver = radar(max_distance_m=80, min_speed_kmh=3, snr_threshold=6)
    await driver.start()
    assert chip.commands == [0xFF, 0xA0, 0x12, 0x02, 0x13, 0x03, 0xFE]
    assert (chip.detection, chip.sensitivity) == (bytes([80, 2, 3, 1]), bytes([2, 6, 0, 0]))
    chip.commands.clear()
    await driver.start()
    assert chip.commands == [0xFF, 0xA0, 0x12, 0x13, 0xFE]


async def scene_start_without_answer():
    _clock, chip, driver = radar()
    chip.dead = True
    error = await fails(driver.start(), NO_ANSWER, False)
    assert error.detail == 0xFF
    await fails(driver.read(), STALE, False)


async def scene_start_refused():
    _clock, chip, driver = radar()
    chip.status = 1
    await fails(driver.start(), REFUSED, False)


async def scene_no_vehicle_is_a_count_of_zero():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 5000)
    seen = await listen(driver, 4)
    assert seen["vehicles_approach"] == [0, 0, 0, 0]
    assert seen["vehicles_depart"] == [0, 0, 0, 0]
    assert "speed_mean_approach" not in seen
    assert seen["covered"] == 4000


async def scene_each_vehicle_counts_once():
    _clock, chip, driver = radar()
    await driver.start()
    vehicles = [(0, 1, 50), (3000, 0, 36), (9000, 1, 72), (16000, 1, 30), (18500, 0, 49)]
    chip.drive(vehicles, 40000)
    seen = await listen(driver, 40)
    assert sum(seen["vehicles_approach"]) == 3
    assert sum(seen["vehicles_depart"]) == 2
    assert sum(seen["vehicles"]) == 5
    assert along(seen["speed_mean_approach"], [5000, 7200, 3000]), seen
    assert along(seen["speed_v85_depart"], [3600, 4900]), seen
    assert along(sorted(seen["speed_mean"]), [3000, 3600, 4900, 5000, 7200])
    assert set(seen["vehicles_approach flags"]) == {GOOD}


async def scene_dropped_reports_and_single_bytes():
    _clock, chip, driver = radar()
    await driver.start()
    chip.uart.chunk = 1
    chip.drive([(500, 1, 50), (4000, 1, 55), (8000, 0, 40)], 22000, drop=7)
    seen = await listen(driver, 22)
    assert (sum(seen["vehicles_approach"]), sum(seen["vehicles_depart"])) == (2, 1)


async def scene_two_at_a_time_in_opposite_directions():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(0, 1, 50), (0, 0, 50), (1500, 1, 48)], 15000)
    seen = await listen(driver, 15)
    assert (sum(seen["vehicles_approach"]), sum(seen["vehicles_depart"])) == (2, 1)


async def scene_silent_when_idle():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(2000, 1, 50)], 20000, idle=False)
    seen = await listen(driver, 20)
    assert sum(seen["vehicles_approach"]) == 1
    assert chip.commands.count(0xFF) == 1


async def scene_flip():
    _clock, chip, driver = radar(flip=1)
    await driver.start()
    chip.drive([(0, 1, 50)], 12000)
    assert sum((await listen(driver, 12))["vehicles_depart"]) == 1
    driver.configure("direction_flip", 1)
    chip.drive([(0, 1, 50)], 12000)
    assert sum((await listen(driver, 12))["vehicles_approach"]) == 1


async def scene_contradicting_directions_are_flagged():
    _clock, chip, driver = radar(flip=1)
    await driver.start()
    chip.drive([(at, 1, 60) for at in range(0, 60000, 4000)], 72000)
    seen = await listen(driver, 72)
    assert sum(seen["vehicles_depart"]) == 15
    assert seen["vehicles_depart flags"][-1] == SUSPECT | CONTRADICTION << 4
    assert seen["vehicles flags"][-1] == GOOD
    rows = await driver.self_test()
    assert rows[-1][:2] == ("direction contradicts distance", False)


async def scene_a_radar_that_is_turned_round_after_long_is_flagged():
    _clock, chip, driver = radar()
    await driver.start()
    for turned, hundreds in ((0, 4), (1, 2)):
        driver.configure("direction_flip", turned)
        name = "vehicles_depart" if turned else "vehicles_approach"
        for _ in range(hundreds):
            chip.drive([(at, 1, 60) for at in range(0, 88000, 4000)], 100000)
            seen = await listen(driver, 100)
            assert sum(seen[name]) == 22
        assert seen[name + " flags"][-1] == (SUSPECT | CONTRADICTION << 4 if turned else GOOD)


async def scene_speed_along_the_road():
    _clock, chip, driver = radar()
    driver.configure("speed_angle_deg", 30)
    await driver.start()
    chip.drive([(0, 1, 40)], 14000)
    seen = await listen(driver, 14)
    assert along(seen["speed_mean"], [4620])  # 40 / cos(30 deg) = 46.19


async def scene_rain_and_standing_cars_do_not_count():
    _clock, chip, driver = radar()
    await driver.start()
    chance = 12345
    for number in range(300):
        chance = (chance * 1103515245 + 12345) & 0x7FFFFFFF
        targets = [((number * 37) % 90, number % 2, 8 + number % 9)]  # jumps about
        if chance >> 8 & 1:
            targets.append(((chance >> 10) % 90, chance >> 9 & 1, 5 + (chance >> 17) % 20))
        if number < 150:
            targets.append((40, 1, 6))  # "moves" at 6 km/h and stays where it is
        chip.uart.send(number * 100, report(targets))
    seen = await listen(driver, 31)
    assert sum(seen["vehicles"]) == 0, seen["vehicles"]


async def scene_dead_after_a_long_silence():
    _clock, chip, driver = radar(dead_ms=10000)
    await driver.start()
    await listen(driver, 9)
    await listen(driver, 2)  # asked, and it lives
    assert chip.commands.count(0xFF) == 2
    chip.dead = True
    await listen(driver, 9)
    await fails(listen(driver, 2), NO_ANSWER, False)


async def scene_a_talking_radar_is_missed_sooner():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 2000)
    await listen(driver, 2)
    chip.dead = True
    await listen(driver, 2)
    await fails(listen(driver, 2), NO_ANSWER, False)


async def scene_stuck():
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 20000, 100):
        chip.uart.send(at, report([(40, 1, 50)]))
    await listen(driver, 9)
    await fails(listen(driver, 3), BLOCKED, True)


async def scene_garbage():
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 6000, 100):
        chip.uart.send(at, bytes([(at // 100 * 7 + n) & 0xFF for n in range(20)]))
    await fails(listen(driver, 5), SHIFTED, True)  # a second without a frame counts for nothing
    assert driver.covered_ms == 0
    await fails(listen(driver, 5), SHIFTED, False)


async def scene_a_stream_out_of_step_never_counts_as_an_empty_road():
    _clock, chip, driver = radar()
    for _ in range(3):
        await driver.start()
        for at in range(0, 3000, 100):
            chip.uart.send(at, report([])[1:])
        await fails(listen(driver, 1), SHIFTED, True)
        await fails(listen(driver, 1), SHIFTED, False)
        await driver.stop()


async def scene_half_a_frame_at_the_end_of_a_second_is_no_rubbish():
    """Of a unit that is silent while nothing moves."""
    _clock, chip, driver = radar()
    await driver.start()
    await listen(driver, 3)
    frame = report([(50, 1, 50)])
    chip.uart.send(990, frame[:9])
    chip.uart.send(1010, frame[9:])
    await listen(driver, 2)


async def scene_a_lost_byte_costs_one_report():
    _clock, chip, driver = radar()
    await driver.start()
    chip.uart.send(0, report([(50, 1, 50)])[:7] + report([(50, 1, 50)])[8:])
    chip.uart.send(100, report([(49, 1, 50)]))
    await listen(driver, 1)
    assert driver.parser.dropped["footer"] == 1
    assert driver.parser.frames == 5  # four answers at start, one report
    assert driver.lost_ms >= 100
    assert driver.covered_ms + driver.lost_ms >= driver.period_ms


def wrong_count(frame):
    """One target more than there are; a report without any has no number."""
    return frame[:6] + bytes([frame[6] + 1]) + frame[7:] if len(frame) > 10 else frame


def without_tail(frame):
    """Its last bytes are lost, whatever it tells."""
    return frame[:-2]


TWO_BYTES = b"\xf4\xf3\xf2\xf1\x02\x00\x00\x00\xf8\xf7\xf6\xf5"


def two_bytes(frame):
    """Of a unit that tells in two bytes that nothing moves, with a wrong count where something does."""
    return wrong_count(frame) if len(frame) > 10 else TWO_BYTES


def half_of_two_bytes(frame):
    """The same, and an empty one is damaged."""
    return frame if len(frame) > 10 else TWO_BYTES[:-2]


CARS = [(at, at // 4000 % 2, 50) for at in range(0, 40000, 4000)]
COUNTS = ("vehicles", "vehicles_approach", "vehicles_depart")


def told(seen):
    """What the counts of some seconds were told as."""
    return {flag for name in COUNTS for flag in seen.get(name + " flags", [])}


async def blindly(driver, seconds):
    """`listen`, of the seconds in which something could be read; begun anew as a board does."""
    gathered = {}
    for _ in range(seconds):
        try:
            for name, values in (await listen(driver, 1)).items():
                if name != "covered":
                    gathered.setdefault(name, []).extend(values)
        except SensorError as error:
            if error.reason != SHIFTED:
                raise
            if not error.retry:
                await driver.stop()
                await driver.start()
    return gathered


async def scene_vehicles_whose_reports_nobody_can_read_are_no_empty_road():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive(CARS, 50000)
    seen = await listen(driver, 50)
    assert (sum(seen["vehicles"]), told(seen)) == (10, {GOOD})
    chip.drive([(2000, 1, 50)], 12000, damaged=(1, 1), damage=wrong_count)
    seen = await blindly(driver, 14)
    assert sum(seen["vehicles"]) == 0
    for name in COUNTS:
        assert seen[name + " flags"].count(SUSPECT | LOST << 4) >= 1, "one vehicle is enough"
        assert seen[name + " flags"][-1] == GOOD, "nothing was lost any more, and nothing came"
    chip.drive([(at, 1, 50) for at in range(0, 40000, 9000)], 60000, damaged=(1, 1), damage=wrong_count)
    seen = await blindly(driver, 60)
    assert sum(seen["vehicles"]) == 0
    assert seen["vehicles flags"].count(SUSPECT | LOST << 4) >= 5
    chip.drive(CARS, 50000)
    seen = await listen(driver, 50)
    assert (sum(seen["vehicles"]), told(seen)) == (10, {GOOD}), "well again with the first that can be read"


async def scene_most_reports_with_vehicles_are_unreadable():
    """What is then counted is of a part of the vehicles."""
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive(CARS, 50000, damaged=(9, 10), damage=wrong_count)
    seen = await blindly(driver, 50)
    assert sum(seen["vehicles"]) < 10
    assert SUSPECT | LOST << 4 in told(seen)


async def scene_a_third_of_the_reports_with_vehicles_is_unreadable():
    """A vehicle is in forty: none is missed for it."""
    for damage in (wrong_count, without_tail):
        _clock, chip, driver = radar()
        await driver.start()
        chip.drive(CARS, 50000, damaged=(1, 3), damage=damage)
        seen = await listen(driver, 50)
        assert (sum(seen["vehicles"]), told(seen)) == (10, {GOOD})
        assert seen["covered"] < 45000


async def scene_reports_without_vehicles_are_unreadable():
    """Those that can be read tell that nothing came; how many were lost is what coverage tells."""
    for damage in (without_tail, half_of_two_bytes):
        _clock, chip, driver = radar()
        await driver.start()
        chip.drive([], 60000, damaged=(1, 2), damage=damage)
        seen = await listen(driver, 60)
        assert (sum(seen["vehicles"]), told(seen)) == (0, {GOOD})
        assert seen["covered"] < 35000


async def scene_one_fast_vehicle_among_many_empty_reports():
    """Those are no vehicles that could be read, however a unit tells that there is none."""
    for damage in (wrong_count, two_bytes):
        _clock, chip, driver = radar()
        await driver.start()
        chip.drive([(15000, 1, 150)], 30000, damaged=(1, 1), damage=damage)
        seen = await blindly(driver, 30)
        assert sum(seen["vehicles"]) == 0
        assert SUSPECT | LOST << 4 in told(seen)


async def scene_a_disturbance_while_a_vehicle_comes():
    """Half a second of its way; the line's echo of commands tells nothing of vehicles at all."""
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(0, 1, 50)], 500, damaged=(1, 1), damage=wrong_count)
    for at in range(500, 20000, 100):
        chip.uart.send(at, report([]) + HEAD + b"\x04\x00\xff\x00\x01\x00" + TAIL)
    seen = await listen(driver, 20)
    assert driver.parser.dropped["fields"] > 100
    assert (sum(seen["vehicles"]), told(seen)) == (0, {GOOD})
    assert seen["covered"] < 1000


async def scene_an_overflow_is_told():
    """The board stood still for 600 ms and its receiver kept 128 bytes: what did not fit was not covered."""
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 1000, 100):
        chip.uart.send(at, report([(90, 1, 50), (60, 1, 50), (30, 1, 50)]))
    stalled = b"".join([report([(90, 1, 50), (60, 1, 50), (30, 1, 50)]) for _ in range(6)])
    chip.uart.send(1600, stalled[:128])
    for at in range(1700, 3000, 100):
        chip.uart.send(at, report([(80, 1, 50)]))
    covered = (await listen(driver, 1))["covered"]
    assert driver.lost_ms == 0
    covered += (await listen(driver, 1))["covered"]
    assert 100 <= driver.lost_ms <= 600
    covered += (await listen(driver, 1))["covered"]
    assert driver.lost_ms == 0
    assert 2400 <= covered <= 2900


async def scene_a_unit_that_always_reports_and_does_not_for_a_while():
    _clock, chip, driver = radar()
    await driver.start()
    for at in list(range(0, 1200, 100)) + list(range(1900, 3000, 100)):
        chip.uart.send(at, report([]))
    await listen(driver, 1)
    await listen(driver, 1)
    assert 500 <= driver.lost_ms <= 800
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 2000, 100):
        if at not in (500, 600, 1300):  # one or two are left out at times
            chip.uart.send(at, report([]))
    await listen(driver, 1)
    assert driver.lost_ms == 0
    await listen(driver, 1)
    assert driver.lost_ms == 0


async def scene_a_gap_of_more_than_a_period_is_not_covered():
    _clock, chip, driver = radar()
    await driver.start()
    for at in list(range(0, 1000, 100)) + list(range(3400, 9000, 100)):
        chip.uart.send(at, report([]))
    covered = (await listen(driver, 8))["covered"]
    assert 5500 <= covered <= 5900, covered
    assert driver.lost_ms == 0


async def scene_reports_that_waited_keep_their_distance():
    """The board stood still for 400 ms (a flash erase): four reports come at once."""
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 8000, 100):
        way = 50 * at // 3600
        late = 400 - at % 400 if 2000 <= at < 4000 else 0
        if way <= 95:
            chip.uart.send(at + late, report([(100 - way, 1, 50)]))
    seen = await listen(driver, 10)
    assert along(seen["speed_mean_approach"], [5000])
    assert sum(seen["vehicles"]) == 1
    assert seen["covered"] >= 10000


async def scene_tracks_have_a_cap():
    tracker = Tracker(FakeClock())
    for number in range(200):
        tracker.report(number * 20, tuple([((number * 7 + n * 20) % 100 * 100, n & 1, n * 30, 0) for n in range(5)]))
        assert len(tracker.tracks) <= 16


async def scene_answers_that_nobody_asked_for_have_a_cap():
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 20000, 100):
        chip.uart.send(at, HEAD + b"\x04\x00\xff\x01\x00\x00" + TAIL + report([]))
    await listen(driver, 15)
    assert driver.parser.frames > 100
    assert len(driver._acks) <= 4
    assert (await driver.self_test())[0][1], "the answer that was asked for is among them"


async def scene_self_test():
    _clock, chip, driver = radar()
    await driver.start()
    assert [row[1] for row in await driver.self_test()] == [True, True, True]
    chip.dead = True
    assert (await driver.self_test())[0] == ("no answer: radar", False, 0xFF)
