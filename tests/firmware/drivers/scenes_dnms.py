"""The DNMS module on a fake bus, through start, good days and faults. Each scene runs on both interpreters."""

import struct

from firmware.aggregate import Window
from firmware.drivers import (
    BAD_CRC,
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    WRONG_CHIP,
)
from firmware.drivers.dnms import DNMS
from tests.fakes.bus import FakeClock, FakeI2c, fails
from tests.firmware.drivers.scenes_i2c import answer
from wire.quality import MISSING, OVERLOAD, UNDERRANGE


class Module:
    """Just enough of it. Knobs: `levels` (LAeq, lowest, highest), `frozen` (never ready), `bad_crc`, `version`, `live`."""

    def __init__(self, clock):
        self.clock = clock
        self.version = b"DNMS Version 5.9.1"
        self.levels = (52.5, 41.25, 68.75)
        self.band_db = 0.0
        self.live = True
        self.frozen = self.bad_crc = False
        self.commands = []
        self.ready_at = None
        self.out = None

    def write(self, data):
        assert len(data) == 2
        command = data[0] << 8 | data[1]
        self.commands.append(command)
        self.out = None
        if command == 0x0001:
            self.ready_at = None
        elif command == 0x0002:
            self.out = answer(self.version)
        elif command == 0x0003:
            self.ready_at = self.clock.now_ms + 22
        elif command == 0x0004:
            ready = self.ready_at is not None and self.clock.now_ms >= self.ready_at and not self.frozen
            self.out = answer(bytes((0, ready)))
        elif 0x0012 <= command <= 0x0015:
            first = 8 * (command - 0x0012)
            levels = [band + self.band_db for band in range(first, min(first + 8, 31))]
            self.out = answer(b"".join([struct.pack(">f", level) for level in levels]))
        elif command == 0x0005:
            wobble = len(self.commands) % 7 / 1024 if self.live else 0.0
            values = [value + wobble for value in self.levels]
            self.out = answer(struct.pack(">3f", *values) if self.ready_at is not None else bytes(12))
            self.ready_at = None

    def read(self, size):
        out, self.out = self.out, None
        out = bytearray(out or bytes((0x5A,)) * size)
        assert size == len(out)
        if self.bad_crc:
            out[-1] ^= 1
        return out


def dnms(**params):
    clock = FakeClock()
    module = Module(clock)
    bus = FakeI2c(clock, {0x55: module})
    return clock, module, bus, DNMS(bus, clock, **params)


async def second(clock, driver):
    """A reading as the sampler takes it: the next one is due a second after this one began."""
    began_ms = clock.now_ms
    try:
        return await driver.read()
    finally:
        await clock.sleep_ms(max(0, began_ms + 1000 - clock.now_ms))


async def warm(clock, driver):
    """Started, and read until it is ready."""
    await driver.start()
    while driver.state == WARMUP:
        await fails(second(clock, driver), WARMING_UP, True)
        assert driver.covered_ms == 0


async def scene_good_day():
    clock, module, _bus, driver = dnms()
    await warm(clock, driver)
    assert driver.identity == "DNMS Version 5.9.1"
    assert module.commands[:2] == [2, 1], "nothing is chosen unasked"
    began = clock.now_ms
    covered = 0
    for _ in range(60):
        readings = await second(clock, driver)
        covered += driver.covered_ms
        assert [(channel, instance) for channel, instance, _, _ in readings] == list(driver.items)
        assert [value for _, _, value, _ in readings] == [5250, 6875, 4125] or module.live
        assert {flag for _, _, _, flag in readings} == {GOOD}
    assert abs(covered - (clock.now_ms - began)) <= 1000
    assert clock.longest_ms <= 1000
    await driver.stop()
    await fails(driver.read(), STALE, False)


async def scene_order_of_the_channels():
    clock, module, _bus, driver = dnms(stuck_reads=0)
    module.live = False
    await warm(clock, driver)
    assert driver.CHANNELS == ("laeq", "laeq_max", "laeq_min")
    assert [reading[2] for reading in await second(clock, driver)] == [5250, 6875, 4125]


async def scene_the_first_intervals_are_thrown_away():
    clock, _module, _bus, driver = dnms(warmup_ms=5000)
    await driver.start()
    began = clock.now_ms
    while driver.state == WARMUP:
        await fails(second(clock, driver), WARMING_UP, True)
    assert 5000 <= clock.now_ms - began <= 7000
    await second(clock, driver)
    assert driver.state == READY


async def scene_the_microphone_is_chosen_at_each_start():
    for name, command in (("ics43434", 0x1B), ("im72d128", 0x1C)):
        clock, module, _bus, driver = dnms(microphone=name)
        await warm(clock, driver)
        assert module.commands.count(command) == 1
        await driver.stop()
        await driver.start()
        assert module.commands.count(command) == 2


async def scene_offsets_add_up():
    clock, module, _bus, driver = dnms(offset_cdb=150, stuck_reads=0)
    module.live = False
    driver.configure("mic_offset_cdb", -30)
    await warm(clock, driver)
    assert [reading[2] for reading in await second(clock, driver)] == [5370, 6995, 4245]


async def scene_third_octaves():
    """31 bands of the module, whose first and last have no channel."""
    clock, module, _bus, driver = dnms(third_octaves=1, offset_cdb=100)
    await warm(clock, driver)
    readings = await second(clock, driver)
    assert [reading[:2] for reading in readings] == list(driver.items)
    assert [reading[2] for reading in readings[3:]] == [100 * band + 100 for band in range(1, 30)]
    assert module.commands[-4:] == [0x12, 0x13, 0x14, 0x15]
    module.bad_crc = True
    await fails(second(clock, driver), BAD_CRC, True)


async def scene_longer_intervals():
    clock, _module, _bus, driver = dnms()
    driver.configure("sample_ms", 10000)
    await driver.start()
    began_ms = clock.now_ms
    await clock.sleep_ms(10000)
    await fails(driver.read(), WARMING_UP)
    await clock.sleep_ms(10000)
    await driver.read()
    assert driver.covered_ms == 10000
    await clock.sleep_ms(10000)
    await driver.read()
    assert 10000 <= driver.covered_ms <= 10200
    assert clock.now_ms - began_ms < 31000
    driver.configure("sample_ms", 100)
    assert driver.period_ms == 1000


async def scene_too_loud_and_too_quiet_are_flagged():
    for levels, microphone, flag in (
        ((100.0, 90.0, 117.0), "ics43434", SUSPECT | OVERLOAD << 4),
        ((100.0, 90.0, 117.0), "im72d128", GOOD),
        ((28.0, 27.0, 30.0), "as set", SUSPECT | UNDERRANGE << 4),
    ):
        clock, module, _bus, driver = dnms(microphone=microphone)
        module.levels = levels
        await warm(clock, driver)
        assert {reading[3] for reading in await second(clock, driver)} == {flag}, levels


async def scene_below_zero_is_told_as_it_is():
    """Bands of a quiet place, levels after a wrong offset: 0 dB would be a value that nobody measured. The window refuses
    them, and says why; the others are values."""
    clock, module, _bus, driver = dnms(third_octaves=1)
    module.band_db = -3.0
    await warm(clock, driver)
    readings = await second(clock, driver)
    assert [reading[2] for reading in readings[3:]] == [100 * band - 300 for band in range(1, 30)]
    assert [flag for _, _, _, flag in readings[3:7]] == [SUSPECT | UNDERRANGE << 4] * 2 + [GOOD] * 2
    window = Window(tuple([item[:2] for item in readings]), 60000)
    for channel, instance, value, flag in readings:
        window.add(channel, instance, value, driver.covered_ms, flag)
    closed = window.close()
    assert list(closed.values[3:7]) == [None, None, 0, 10]
    assert list(closed.flags[3:7]) == [MISSING | UNDERRANGE << 4] * 2 + [GOOD] * 2

    clock, module, _bus, driver = dnms(offset_cdb=-5000, stuck_reads=0)
    module.live = False
    await warm(clock, driver)
    assert [reading[2:] for reading in await second(clock, driver)] == [
        (250, GOOD), (1875, GOOD), (-875, SUSPECT | UNDERRANGE << 4),
    ]  # fmt: skip


async def scene_bad_checksum():
    clock, module, _bus, driver = dnms()
    await warm(clock, driver)
    await second(clock, driver)
    module.bad_crc = True
    await fails(second(clock, driver), BAD_CRC, True)
    assert driver.covered_ms == 0
    module.bad_crc = False
    await second(clock, driver)
    assert driver.covered_ms == 1000  # what was refused in between is not covered


async def scene_never_ready():
    clock, module, _bus, driver = dnms()
    await warm(clock, driver)
    module.frozen = True
    for retry in (True, True, True, True, False):
        began_ms = clock.now_ms
        await fails(driver.read(), STALE, retry)
        assert clock.now_ms - began_ms < 300
        assert module.commands[-1] == 1  # it is told to begin anew


async def scene_handed_out_before():
    clock, module, _bus, driver = dnms()
    await warm(clock, driver)
    module.levels = (0.0, 0.0, 0.0)
    module.live = False
    await fails(second(clock, driver), STALE, True)
    module.levels = (0.0, 41.0, 68.0)
    await fails(second(clock, driver), RANGE, True)
    module.levels = (float("nan"), 41.0, 68.0)
    await fails(second(clock, driver), RANGE, True)


async def scene_stuck():
    clock, module, _bus, driver = dnms(stuck_reads=5)
    await warm(clock, driver)
    module.live = False
    for _ in range(4):
        await second(clock, driver)
    await fails(second(clock, driver), STUCK, False)
    module.live = True
    for _ in range(2):
        await fails(second(clock, driver), STUCK, True)
    await second(clock, driver)


async def scene_a_restart():
    """Not there once: read on. Twice: it has forgotten what it was told."""
    clock, module, bus, driver = dnms(microphone="im72d128")
    await warm(clock, driver)
    bus.absent.add(0x55)
    await fails(second(clock, driver), NO_ANSWER, True)
    bus.absent.clear()
    await second(clock, driver)
    bus.absent.add(0x55)
    await fails(second(clock, driver), NO_ANSWER, True)
    assert (await fails(second(clock, driver), NO_ANSWER, False)).detail == 3
    await fails(driver.start(), NO_ANSWER)
    assert bus.recovered == 0
    bus.absent.clear()
    await warm(clock, driver)
    assert module.commands.count(0x1C) == 2


async def scene_bus_hangs():
    clock, _module, bus, driver = dnms()
    await warm(clock, driver)
    bus.hangs = True
    await fails(second(clock, driver), NO_ANSWER, True)
    assert bus.recovered == 1
    await second(clock, driver)


async def scene_something_else_answers():
    _clock, module, _bus, driver = dnms()
    module.version = b"SPS30" + bytes(13)
    error = await fails(driver.start(), WRONG_CHIP, False)
    assert str(error) == "wrong chip: no DNMS at 0x55" and error.detail == 0x5350
    await fails(driver.read(), STALE, False)


async def scene_self_test():
    clock, module, bus, driver = dnms()
    module.live = False
    await warm(clock, driver)
    assert await driver.self_test() == [
        ("DNMS Version 5.9.1", True, 0),
        ("laeq 0.01 dB", True, 5250),
        ("lowest 0.01 dB", True, 4125),
        ("highest 0.01 dB", True, 6875),
    ]
    module.frozen = True
    assert (await driver.self_test())[-1] == ("stale", False, 0)
    bus.absent.add(0x55)
    assert await driver.self_test() == [("no answer: chip at 0x55", False, 2)]
