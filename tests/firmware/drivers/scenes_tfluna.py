"""The LiDAR gate on a fake line: set up, vehicles, silence, lost bytes, a covered beam. On both interpreters."""

from firmware.drivers import (
    BAD_CRC,
    BLOCKED,
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    READY,
    REFUSED,
    SHIFTED,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    SensorError,
)
from firmware.drivers.tfluna import TFLuna
from tests.fakes.bus import FakeClock, FakeUart, fails
from wire.quality import STATUS

ROAD_CM = 500


def summed(body):
    return bytes(body) + bytes([sum(body) % 256])


def frame(distance_cm, strength, noise=0):
    raw = (30 + 256) * 8
    words = (distance_cm, strength + noise, raw)
    return summed([0x59, 0x59] + [byte for word in words for byte in (word % 256, word // 256)])


class Beam:
    """Answers commands and measures. Knobs: `dead`, `refuses`, `rate_hz` as it was set, `scene(ms) -> (cm, strength)`,
    `spoil(bytes, number) -> bytes`, what the line makes of a frame."""

    def __init__(self, clock):
        self.clock = clock
        self.dead = self.refuses = False
        self.rate_hz = 100
        self.on = True
        self.commands = []
        self.uart = Line(clock, self.answer)
        self.uart.beam = self
        self.scene = lambda ms: (ROAD_CM, 400)
        self.spoil = lambda data, number: data
        self.sent = 0
        self.measure(0)

    def answer(self, data):
        if self.dead:
            return []
        assert data[0] == 0x5A and data[1] == len(data) and sum(data[:-1]) % 256 == data[-1]
        self.commands.append(data[2])
        value = data[3:-1]
        if data[2] == 1:
            value = bytes([112, 50, 9])
        elif self.refuses:
            value = bytes([0x55]) * len(value)
        return [(5, summed(bytes([0x5A, 4 + len(value), data[2]]) + value))]

    def measure(self, duration_ms, missing=()):
        """Send frames for a time from now on, but for those of the times (from, to) in `missing`."""
        self.began_ms, self.at_ms, self.left_ms, self.missing = self.clock.now_ms, 0, duration_ms, missing

    def fill(self, until_ms):
        """Put the frames up to an instant onto the line."""
        period_ms = 1000 // self.rate_hz
        while self.at_ms + period_ms <= min(self.left_ms, until_ms - self.began_ms):
            self.at_ms += period_ms
            if not any([first <= self.at_ms < last for first, last in self.missing]):
                self.sent += 1
                distance_cm, strength = self.scene(self.at_ms)
                data = frame(distance_cm, strength, self.sent * 7 % 5)
                self.uart.send(self.began_ms + self.at_ms - self.clock.now_ms, self.spoil(data, self.sent))


class Line(FakeUart):
    """Frames are made when somebody listens: all of a minute at once would not fit the heap."""

    async def readinto(self, buffer, timeout_ms):
        self.beam.fill(self.clock.now_ms + timeout_ms)
        return await FakeUart.readinto(self, buffer, timeout_ms)


def gate(learn_s=2, **params):
    clock = FakeClock()
    chip = Beam(clock)
    return clock, chip, TFLuna(chip.uart, clock, learn_s=learn_s, **params)


async def learned(**params):
    """A gate that knows its road."""
    clock, chip, driver = gate(**params)
    await driver.start()
    chip.measure(3000)
    await fails(driver.read(), WARMING_UP, True)
    await driver.read()
    await driver.read()
    assert driver.state == READY
    return clock, chip, driver


async def listen(driver, seconds):
    """All readings of so many periods, by channel name."""
    gathered = {}
    covered = 0
    for _ in range(seconds):
        for channel, instance, value, flag in await driver.read():
            assert instance == driver.instance
            name = driver.CHANNELS[driver.items.index((channel, instance))]
            gathered.setdefault(name, []).append(value)
            gathered.setdefault("flags", []).append(flag)
        covered += driver.covered_ms
    gathered["covered"] = covered
    return gathered


def passes(*vehicles, height_cm=150):
    """A scene with vehicles (from ms, for ms)."""

    def scene(ms):
        for begins, lasts in vehicles:
            if begins <= ms < begins + lasts:
                return ROAD_CM - height_cm, 800
        return ROAD_CM, 400

    return scene


async def scene_start_sets_it_up():
    _clock, chip, driver = gate(rate_hz=250)
    await driver.start()
    assert driver.identity == "TF-Luna firmware 9.50.112"
    assert chip.commands == [1, 5, 3, 7]
    assert chip.uart.written[1:] == [
        bytes.fromhex("5A0505 01 65"),
        bytes.fromhex("5A0603 FA00 5D"),
        bytes.fromhex("5A0507 01 67"),
    ]
    await driver.stop()
    assert chip.uart.written[-1] == bytes.fromhex("5A0507 00 66")
    assert driver.state == WARMUP
    await fails(driver.read(), STALE, False)


async def scene_start_without_answer():
    _clock, chip, driver = gate()
    chip.dead = True
    error = await fails(driver.start(), NO_ANSWER, False)
    assert error.detail == 1
    await fails(driver.read(), STALE, False)


async def scene_start_refused():
    _clock, chip, driver = gate()
    chip.refuses = True
    await fails(driver.start(), REFUSED, False)


async def scene_answers_stand_between_frames():
    _clock, chip, driver = gate()
    chip.measure(1000)
    await driver.start()
    assert driver.identity


async def scene_it_learns_first():
    clock, chip, driver = gate(learn_s=5)
    await driver.start()
    began = clock.now_ms
    chip.measure(10000)
    refused = 0
    while driver.state == WARMUP:
        try:
            await driver.read()
        except SensorError as raised:
            error = raised
            refused += 1
        assert error.reason == WARMING_UP and error.retry
    assert 4 <= refused <= 5, refused
    assert 5000 <= clock.now_ms - began <= 6200


async def scene_a_minute_of_traffic():
    _clock, chip, driver = await learned()
    cars = [(2000, 350), (5000, 300), (5800, 300), (9000, 1500)]
    chip.scene = passes(*cars)
    chip.measure(20000)
    seen = await listen(driver, 20)
    assert sum(seen["vehicles"]) == 4
    assert seen["headway_median_approach"] == [300, 80, 320]
    assert (sum(seen["vehicles_low"]), sum(seen["vehicles_high"])) == (4, 0)
    assert seen["occupancy_approach"] == [lasts for _, lasts in cars]
    assert set(seen["flags"]) == {GOOD}
    assert seen["covered"] >= 19900


async def scene_high_and_low():
    _clock, chip, driver = await learned(high_cm=210)
    below = (150, 205, 215, 400)
    chip.scene = lambda ms: (
        (ROAD_CM - below[ms // 2000 - 1], 800) if 2000 <= ms < 10000 and ms % 2000 < 300 else (ROAD_CM, 400)
    )
    chip.measure(12000)
    seen = await listen(driver, 11)
    assert (sum(seen["vehicles_low"]), sum(seen["vehicles_high"])) == (2, 2)


async def scene_a_long_headway_is_a_minute_to_the_median():
    _clock, chip, driver = await learned(lane="approach")
    chip.scene = passes((1000, 300), (91000, 300))
    chip.measure(95000)
    seen = await listen(driver, 93)
    assert seen["headway_median_approach"] == [6000]


async def scene_a_lane_that_departs():
    _clock, chip, driver = await learned(lane="depart")
    chip.scene = passes((1000, 300), (3000, 300))
    chip.measure(6000)
    seen = await listen(driver, 5)
    assert (seen["occupancy_depart"], seen["headway_median_depart"]) == ([300, 300], [200])
    assert "occupancy_approach" not in seen


async def scene_single_bytes_and_250_frames_a_second():
    clock, chip, driver = gate(rate_hz=250)
    await driver.start()
    chip.rate_hz = 250
    chip.uart.chunk = 7
    chip.scene = passes((4000, 60), (6000, 60))
    chip.measure(10000)
    await fails(driver.read(), WARMING_UP)
    seen = await listen(driver, 8)
    assert sum(seen["vehicles"]) == 2
    assert driver._parser.noise == 0
    assert seen["covered"] >= 7900
    assert clock.longest_ms <= 50


async def scene_no_byte_is_lost_while_the_board_is_busy():
    """The board stands still for 400 ms now and then: the receiver keeps what comes."""
    clock, chip, driver = await learned()
    chip.scene = passes((2100, 200), (4000, 300))
    chip.measure(8000)
    seen = 0
    for _ in range(7):
        clock.now_ms += 400
        seen += sum((await listen(driver, 1))["vehicles"])
        assert driver.lost_ms == 0
    assert seen == 2


async def scene_missing_frames_are_not_covered():
    _clock, chip, driver = await learned()
    chip.measure(4000, missing=((1200, 1600),))
    covered = (await listen(driver, 1))["covered"]
    assert driver.lost_ms == 0
    covered += (await listen(driver, 1))["covered"]
    assert 300 <= driver.lost_ms <= 500
    covered += (await listen(driver, 1))["covered"]
    assert 2400 <= covered <= 2700


async def scene_a_shifted_stream_finds_its_place_again():
    _clock, chip, driver = await learned()
    chip.spoil = lambda data, number: data[1:] if number % 20 == 3 else data
    chip.scene = passes((1000, 300))
    chip.measure(4000)
    seen = await listen(driver, 3)
    assert sum(seen["vehicles"]) == 1
    assert 0 < driver._parser.noise <= 20 * 9
    assert 2600 <= seen["covered"] <= 3000
    assert chip.commands.count(1) == 1  # without a start


async def until(driver, reason, periods=5):
    """Read on until that error comes, or (0) readings do; every error on the way must allow it."""
    for _ in range(periods):
        error = None
        try:
            readings = await driver.read()
        except SensorError as raised:
            error = raised
        if error is None:
            if not reason:
                return readings
            continue
        assert error.retry and driver.covered_ms == 0
        if error.reason == reason:
            return error
    raise AssertionError("it never came")


async def scene_all_out_of_step():
    _clock, chip, driver = await learned()
    chip.spoil = lambda data, number: data[:4] + data[5:]
    chip.measure(2000)
    assert (await until(driver, BAD_CRC)).detail > 0
    chip.spoil = lambda data, number: b"\x00" * 9
    chip.measure(4000)
    await until(driver, SHIFTED)
    chip.spoil = lambda data, number: data
    chip.measure(4000)
    assert (await until(driver, 0))[0][2] == 0
    assert chip.commands.count(1) == 1  # without a start


class Floating:
    """A line that nobody drives: bytes without an end."""

    def __init__(self, clock):
        self.clock = clock

    def write(self, data):
        return len(data)

    async def readinto(self, buffer, timeout_ms):
        self.clock.now_ms += 1
        buffer[:11] = b"\x59\x00\xff\x5a\x7e\x00\x80\x59\x01\x80\xfe"
        return 11


async def scene_a_line_that_is_never_silent():
    clock, _chip, driver = await learned()
    driver._uart = Floating(clock)
    began_ms = clock.now_ms
    assert (await fails(listen(driver, 2), SHIFTED)).detail > 0
    assert clock.now_ms - began_ms < 2500
    await fails(driver.start(), NO_ANSWER, False)


async def scene_bad_checksums():
    _clock, chip, driver = await learned()
    chip.spoil = lambda data, number: data[:8] + bytes([data[8] ^ 1])
    chip.measure(2000)
    await fails(listen(driver, 2), BAD_CRC, True)
    assert driver.covered_ms == 0


async def scene_silence():
    _clock, _chip, driver = await learned()
    await fails(listen(driver, 2), NO_ANSWER, False)


async def scene_a_restart_keeps_the_road():
    _clock, chip, driver = await learned()
    await fails(listen(driver, 2), NO_ANSWER, False)
    await driver.stop()
    await driver.start()
    chip.measure(2000)
    seen = await listen(driver, 1)
    assert seen["vehicles"] == [0]


async def scene_a_chip_that_lost_its_rate_is_set_up_anew():
    _clock, chip, driver = gate(rate_hz=250)
    await driver.start()
    chip.rate_hz = 100
    chip.measure(5000)
    error = await fails(driver.read(), CHIP_FAULT, False)
    assert 90 <= error.detail <= 110


async def scene_stuck():
    _clock, chip, driver = await learned()
    chip.spoil = lambda data, number: frame(ROAD_CM, 400)
    chip.measure(33000)
    await listen(driver, 28)
    await fails(listen(driver, 5), STUCK, True)


async def scene_a_parked_car_is_told():
    _clock, chip, driver = await learned(blocked_s=10)
    chip.scene = passes((1000, 300), (5000, 20000))
    chip.measure(40000)
    seen = await listen(driver, 14)
    assert sum(seen["vehicles"]) == 1
    assert seen["occupancy_approach"] == [300]
    assert seen["covered"] >= 13900, "until it is parked it may be traffic"
    for _ in range(9):
        await fails(driver.read(), BLOCKED, True)
        assert driver.covered_ms == 0
    assert (await driver.self_test())[-1] == ("beam ends at cm", False, 500)
    await until(driver, 0)
    seen = await listen(driver, 4)
    assert sum(seen["vehicles"]) == 0


async def scene_dirt_on_the_window():
    _clock, chip, driver = await learned()
    chip.scene = lambda ms: (5, 3000)
    chip.measure(3000)
    for _ in range(2):
        await fails(driver.read(), BLOCKED, True)
    chip.scene = lambda ms: (ROAD_CM, 400)
    chip.measure(5000)
    assert (await until(driver, 0))[0][2] == 0


async def scene_a_wet_road_is_not_covered_and_flagged():
    _clock, chip, driver = await learned()
    chip.scene = lambda ms: (0, 50) if ms % 1000 < 300 else (ROAD_CM, 150)
    chip.measure(12000)
    seen = await listen(driver, 11)
    assert 7000 <= seen["covered"] <= 8500
    assert seen["flags"][-1] == SUSPECT | STATUS << 4
    assert sum(seen["vehicles"]) == 0


async def scene_rain_is_flagged_and_not_counted():
    _clock, chip, driver = await learned()
    chip.scene = lambda ms: (90, 150) if ms % 290 < 10 else passes((8000, 300))(ms)
    chip.measure(12000)
    seen = await listen(driver, 11)
    assert sum(seen["vehicles"]) == 1
    assert seen["flags"][-1] == SUSPECT | STATUS << 4
    assert seen["occupancy_approach"] == [300]


async def scene_a_car_on_a_road_that_cannot_be_seen():
    """It would fill all of the time that counts."""
    _clock, chip, driver = await learned()
    chip.scene = lambda ms: (ROAD_CM - 150, 500) if 2100 <= ms < 2500 else (0, 50)
    chip.measure(5000)
    for _ in range(4):
        await fails(driver.read(), BLOCKED, True)


async def scene_sun():
    _clock, chip, driver = await learned()
    chip.scene = lambda ms: (ROAD_CM, 65000)
    chip.measure(2000)
    await fails(driver.read(), BLOCKED, True)


async def scene_across_the_lane_nothing_ends_the_beam():
    _clock, chip, driver = gate(mount="side")
    chip.scene = lambda ms: (220, 500) if 5000 <= ms < 5400 else (0, 30)
    await driver.start()
    chip.measure(9000)
    await fails(driver.read(), WARMING_UP)
    seen = await listen(driver, 7)
    assert sum(seen["vehicles"]) == 1
    assert set(seen["flags"]) == {GOOD}
    assert "vehicles_low" not in seen


async def scene_self_test():
    _clock, chip, driver = await learned()
    rows = await driver.self_test()
    assert [good for _, good, _ in rows] == [True, True, True, True], rows
    assert rows[-1] == ("beam ends at cm", True, 502)
    chip.dead = True
    assert (await driver.self_test())[0] == ("no answer: LiDAR", False, 1)
    _clock, chip, driver = gate()
    assert (await driver.self_test())[-1] == ("beam ends at cm", False, -1)
