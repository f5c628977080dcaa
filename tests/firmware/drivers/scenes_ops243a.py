"""The Doppler radar on a fake line: set up, vehicles, silence, forgotten settings. Each scene runs on both interpreters."""

from firmware.drivers import CHIP_FAULT, NO_ANSWER, READY, REFUSED, SHIFTED, STALE, STUCK, WRONG_CHIP
from firmware.drivers.ops243a import OPS243A
from firmware.drivers.speed_tracks import SpeedTracks
from tests.fakes.bus import FakeClock, FakeUart, fails
from wire import channels

REPORT_MS = 100


class Radar:
    """Answers commands. Knobs: `dead`, `unit` as it was set or is stuck in (`obeys`), `product`, `told` (BZ was given)."""

    def __init__(self, clock):
        self.clock = clock
        self.dead = False
        self.obeys = True
        self.unit = "m-per-sec"
        self.product = "OPS243"
        self.version = "1.3.2"
        self.said = b""
        self.uart = FakeUart(clock, self.answer)

    def answer(self, data):
        if self.dead:
            return []
        self.said += data
        answers = {
            b"?P": '{"Product":"' + self.product + '"}',
            b"?V": '{"Version":"' + self.version + '"}' if self.version else "",
            b"?U": '{"UID":"00C0FFEE"}',
            b"U?": '{"Units":"' + self.unit + '"}',
            b"OJ": '{"OutputFeature":"J"}',
        }
        if data == b"UM" and self.obeys:
            self.unit = "m-per-sec"
        answer = answers.get(data, "")
        return [(5, answer.encode() + b"\r\n")] if answer else []

    def drive(self, vehicles, duration_ms, every_ms=REPORT_MS, blank=True, plain=False, from_ms=0):
        """Queue a line each `every_ms`. A vehicle: (start ms, direction, km/h, km/h gained a second); it is seen from
        60 m to 10 m, or the other way."""
        for at in range(from_ms, from_ms + duration_ms, every_ms):
            targets = []
            for start, direction, kmh, gain in vehicles:
                passed = at - start
                way_m = (kmh + gain * passed / 2000) * passed / 3600
                if passed >= 0 and way_m <= 50 and kmh + gain * passed / 1000 > 0:
                    range_m = 60 - way_m if direction else 10 + way_m
                    speed = (kmh + gain * passed / 1000) / 3.6
                    targets.append((int(800000 / range_m / range_m), speed if direction else -speed))
            targets.sort(reverse=True)
            if targets or blank:
                self.uart.send(at, line(targets or [(0, 0.0)], plain))


def line(targets, plain=False):
    if plain:
        return b"".join([f"{speed:.1f}\r\n".encode() for _, speed in targets[:1]])
    strengths = ",".join([f'"{strength}"' for strength, _ in targets])
    speeds = ",".join([f'"{speed:.2f}"' for _, speed in targets])
    return ('{"magnitude":[' + strengths + '],"speed":[' + speeds + "]}\r\n").encode()


def radar(**params):
    clock = FakeClock()
    chip = Radar(clock)
    return clock, chip, OPS243A(chip.uart, clock, **params)


async def listen(driver, seconds):
    """All readings of so many periods, by channel name."""
    gathered = {}
    covered = 0
    for _ in range(seconds):
        for channel, instance, value, _flag in await driver.read():
            assert instance == driver.instance
            name = channels.by_id(channel).name
            gathered.setdefault(name, []).append(value)
        covered += driver.covered_ms
    gathered["covered"] = covered
    return gathered


def near(found, wanted, off):
    return len(found) == len(wanted) and all([abs(a - b) <= off for a, b in zip(sorted(found), sorted(wanted))])


async def scene_start_tells_it_everything():
    _clock, chip, driver = radar(min_speed_kmh=10, min_strength=50, targets=3, flip=0)
    await driver.start()
    assert driver.state == READY
    assert driver.identity == "OPS243 serial 00C0FFEE firmware 1.3.2"
    assert chip.said == b"\rPA?P?V?UOJOMF2O3SXR|R>2\rM>50\rBZUMU?"
    await driver.stop()
    assert chip.said[-2:] == b"PI"
    await fails(driver.read(), STALE, False)


async def scene_start_without_answer():
    _clock, chip, driver = radar()
    chip.dead = True
    await fails(driver.start(), NO_ANSWER, False)
    await fails(driver.read(), STALE, False)


async def scene_start_with_another_product():
    _clock, chip, driver = radar()
    chip.product = "AWR1843"
    await fails(driver.start(), WRONG_CHIP, False)


async def scene_firmware_that_does_not_tell_its_version():
    _clock, chip, driver = radar()
    chip.version = ""
    await driver.start()
    assert driver.identity == "OPS243 serial 00C0FFEE firmware unknown"


async def scene_a_unit_that_cannot_be_changed_is_read():
    _clock, chip, driver = radar()
    chip.unit, chip.obeys = "km-per-hr", False
    await driver.start()
    for at in range(0, 4000, 100):
        chip.uart.send(at, line([(900, 50.0)]))
    assert near((await listen(driver, 7))["speed_mean"], [5000], 1)
    _clock, chip, driver = radar()
    chip.unit, chip.obeys = "furlongs-per-fortnight", False
    error = await fails(driver.start(), REFUSED, False)
    assert "furlongs" in str(error)


async def scene_no_vehicle_is_a_count_of_zero():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 5000)
    seen = await listen(driver, 4)
    assert seen["vehicles_approach"] == seen["vehicles_depart"] == [0, 0, 0, 0]
    assert "speed_mean_approach" not in seen
    assert 3990 <= seen["covered"] <= 4010


async def scene_each_vehicle_counts_once():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(0, 1, 50, 0), (3000, 0, 36, 0), (9000, 1, 72, 0), (16000, 1, 30, 0), (18500, 0, 49, 0)], 40000)
    seen = await listen(driver, 40)
    assert sum(seen["vehicles_approach"]) == 3
    assert sum(seen["vehicles_depart"]) == 2
    assert sum(seen["vehicles"]) == 5
    assert near(seen["speed_mean_approach"], [3000, 5000, 7200], 3), seen
    assert near(seen["speed_v85_depart"], [3600, 4900], 3), seen
    assert near(seen["headway_median_depart"], [1550], 15)
    # They leave the beam 10 m before the radar: after 3.6 s, 2.5 s and 6 s.
    assert near(seen["headway_median_approach"], [790, 1050], 25)


async def scene_two_of_one_speed_one_behind_the_other():
    """They are never seen at a time but by the strength of the signal, coming and going."""
    for direction in (1, 0):
        _clock, chip, driver = radar(targets=1)
        await driver.start()
        chip.drive([(0, direction, 50, 0), (2200, direction, 50, 0), (4400, direction, 50, 0)], 14000)
        seen = await listen(driver, 14)
        assert sum(seen["vehicles"]) == 3, (direction, seen["vehicles"])
        assert near(seen["speed_mean"], [5000, 5000, 5000], 3)


async def scene_braking_and_five_reports_a_second():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(0, 1, 60, -9), (9000, 0, 15, 9)], 20000, every_ms=200)
    seen = await listen(driver, 20)
    assert (sum(seen["vehicles_approach"]), sum(seen["vehicles_depart"])) == (1, 1)


async def scene_single_bytes():
    _clock, chip, driver = radar()
    await driver.start()
    chip.uart.chunk = 1
    chip.drive([(500, 1, 50, 0), (4000, 0, 40, 0)], 11000)
    seen = await listen(driver, 10)
    assert (sum(seen["vehicles_approach"]), sum(seen["vehicles_depart"])) == (1, 1)


async def scene_silent_when_idle():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(2000, 1, 50, 0)], 20000, blank=False)
    seen = await listen(driver, 20)
    assert sum(seen["vehicles"]) == 1
    assert seen["covered"] >= 19900


async def scene_flip_and_angle():
    _clock, chip, driver = radar(flip=1)
    driver.configure("speed_angle_deg", 30)
    await driver.start()
    chip.drive([(0, 1, 40, 0)], 12000)
    seen = await listen(driver, 12)
    assert sum(seen["vehicles_depart"]) == 1
    assert near(seen["speed_mean"], [4620], 4)  # 40 / cos(30 deg) = 46.19
    driver.configure("direction_flip", 1)
    chip.drive([(0, 1, 40, 0)], 12000)
    assert sum((await listen(driver, 12))["vehicles_approach"]) == 1


async def scene_rain_and_people_do_not_count():
    _clock, chip, driver = radar()
    await driver.start()
    chance = 12345
    for number in range(600):
        chance = (chance * 1103515245 + 12345) & 0x7FFFFFFF
        targets = [(40, 1.4)]  # somebody walks beside the road
        if chance >> 8 & 1:
            speed = 1 + (chance >> 10) % 350 / 100
            targets.append((30, speed if chance >> 20 & 1 else -speed))
        chip.uart.send(number * 100, line(targets))
    seen = await listen(driver, 61)
    assert sum(seen["vehicles"]) <= 1, seen["vehicles"]


async def scene_dead():
    _clock, chip, driver = radar(ask_ms=10000)
    await driver.start()
    await listen(driver, 9)
    await listen(driver, 3)  # asked, and it lives
    assert chip.said.count(b"U?") == 2
    chip.dead = True
    await fails(listen(driver, 12), NO_ANSWER, False)


async def scene_a_talking_radar_is_missed_at_once():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 2000)
    await listen(driver, 2)
    chip.dead = True
    await fails(listen(driver, 1), NO_ANSWER, False)


async def scene_settings_that_were_lost_show_in_the_lines():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([(0, 1, 50, 0)], 3000)
    chip.drive([(3200, 1, 50, 0)], 5000, plain=True, blank=False, from_ms=3200)
    await listen(driver, 3)
    await fails(listen(driver, 2), CHIP_FAULT, False)
    assert (await driver.self_test())[-1] == ("settings kept", False, 36000)


async def scene_settings_that_were_lost_show_in_the_silence():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 3000)
    await listen(driver, 3)
    for _ in range(3):
        await fails(driver.read(), STALE, True)
    await fails(driver.read(), CHIP_FAULT, False)


async def scene_settings_that_were_lost_show_in_the_unit():
    _clock, chip, driver = radar(ask_ms=5000)
    await driver.start()
    chip.drive([], 20000)
    chip.unit = "km-per-hr"
    await fails(listen(driver, 7), CHIP_FAULT, False)


async def scene_stuck():
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 9000, 100):
        chip.uart.send(at, line([(900, 13.89)]))
    await listen(driver, 4)
    await fails(listen(driver, 4), STUCK, True)


async def scene_garbage():
    _clock, chip, driver = radar()
    await driver.start()
    for at in range(0, 6000, 100):
        chip.uart.send(at, bytes([0x80 | (at // 100 * 7 + n) & 0x7F for n in range(20)]) + b"\n")
    await fails(listen(driver, 5), SHIFTED, True)


async def scene_a_broken_line_is_not_covered():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 500)
    chip.uart.send(500, line([(900, 13.89)])[:20] + b"\r\n")
    chip.drive([], 3000, from_ms=600)
    seen = await listen(driver, 1)
    assert 100 <= driver.lost_ms <= 300
    assert seen["covered"] + driver.lost_ms >= 1000
    await listen(driver, 1)
    assert driver.lost_ms == 0


async def scene_a_radar_that_always_tells_and_does_not_for_a_while():
    _clock, chip, driver = radar()
    await driver.start()
    chip.drive([], 1000)
    chip.drive([], 3000, from_ms=2500)
    covered = (await listen(driver, 1))["covered"]
    await fails(driver.read(), STALE, True)
    covered += (await listen(driver, 2))["covered"]
    assert 2300 <= covered <= 2700, covered


async def scene_following_cars_are_two_while_ticks_wrap():
    for began in (1000, (1 << 30) - 1250, (1 << 30) - 1350, (1 << 30) - 1450):
        tracks = SpeedTracks(FakeClock())
        for number in range(30):
            strength = 400 if number < 12 else 60
            tracks.report((began + number * REPORT_MS) & ((1 << 30) - 1), ((strength, 1, 4000 + 10 * (number & 1)),))
        tracks.expire((began + 60 * REPORT_MS) & ((1 << 30) - 1))
        assert len(tracks.ended()) == 2, began


async def scene_tracks_have_a_cap():
    tracks = SpeedTracks(FakeClock())
    for number in range(200):
        tracks.report(number * 20, tuple([(100, n & 1, 1000 * n + number * 31 % 900) for n in range(9)]))
        assert len(tracks.tracks) <= 8


async def scene_self_test():
    _clock, chip, driver = radar()
    await driver.start()
    assert [good for _, good, _ in await driver.self_test()] == [True, True, True]
    chip.dead = True
    assert (await driver.self_test())[0] == ("no answer: radar", False, 0)
