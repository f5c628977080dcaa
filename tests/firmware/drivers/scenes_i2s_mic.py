"""The microphone on a fake receiver: levels, settling, gaps, dead and stuck lines. Each scene runs on both interpreters."""

from firmware.drivers import GOOD, NO_ANSWER, READY, SHIFTED, SILENT, STALE, STUCK, SUSPECT
from firmware.drivers.i2s_mic import I2SMic
from tests.fakes.bus import FakeClock, FakeI2s, fails

# One millisecond of a 1 kHz sine: sin(2*pi*n/48) * 10000.
SINE = (
    0, 1305, 2588, 3827, 5000, 6088, 7071, 7934, 8660, 9239, 9659, 9914, 10000, 9914, 9659, 9239, 8660, 7934, 7071, 6088,
    5000, 3827, 2588, 1305, 0, -1305, -2588, -3827, -5000, -6088, -7071, -7934, -8660, -9239, -9659, -9914, -10000, -9914,
    -9659, -9239, -8660, -7934, -7071, -6088, -5000, -3827, -2588, -1305,
)  # fmt: skip
AT_94_DB = 420426


class Tone:
    """A 1 kHz tone, whole milliseconds prepared. Knob: `constant`, a sample that comes instead."""

    def __init__(self, amplitude, dc=0):
        cycle = b""
        for value in SINE:
            sample = value * amplitude // 10000 + dc
            cycle += ((sample << 8) & 0xFFFFFFFF).to_bytes(4, "little")
        self.cycles = cycle * 34  # more than a block and a cycle
        self.constant = None

    def __call__(self, first, count):
        if self.constant is not None:
            return self.constant * count
        out = b""
        while count > 0:
            start = first % 48
            part = min(count, 33 * 48)
            out += self.cycles[4 * start : 4 * (start + part)]
            first += part
            count -= part
        return out


def microphone(amplitude=AT_94_DB, dc=0, **params):
    clock = FakeClock()
    receiver = FakeI2s(clock, Tone(amplitude, dc))
    return clock, receiver, I2SMic(receiver, clock, **params)


async def scene_calibrator_tone():
    clock, _receiver, driver = microphone()
    await driver.start()
    assert driver.state == READY
    covered = 0
    began = clock.now_ms
    for _ in range(6):
        readings = await driver.read()
        assert [reading[:2] for reading in readings] == list(driver.items)
        for _, _, level, flag in readings:
            assert abs(level - 9400) <= 5, level
            assert flag == GOOD
        covered += driver.covered_ms
        assert driver.lost_ms == 0
    assert abs(covered - (clock.now_ms - began)) < 40, (covered, clock.now_ms - began)


async def scene_offsets_add_up():
    _clock, _receiver, driver = microphone(offset_cdb=150)
    driver.configure("mic_offset_cdb", -30)
    await driver.start()
    assert abs((await driver.read())[0][2] - 9520) <= 5


async def scene_a_large_offset_voltage_is_not_heard():
    _clock, _receiver, driver = microphone(dc=40000)
    await driver.start()
    for _, _, level, flag in await driver.read():
        assert abs(level - 9400) <= 5 and flag == GOOD, level


async def scene_the_settling_time_is_thrown_away():
    clock, receiver, driver = microphone(amplitude=0)
    loud = Tone(AT_94_DB)
    quiet = Tone(1000)
    receiver.source = lambda first, count: loud(first, count) if first < 24000 else quiet(first, count)
    await driver.start()
    assert clock.now_ms - receiver.began_ms >= 1000
    laeq = (await driver.read())[0][2]
    assert abs(laeq - 4152) <= 10, laeq  # 94 dB - 20 * log10(420.426)


async def scene_only_zeros():
    _clock, receiver, driver = microphone()
    await driver.start()
    tone = receiver.source
    breaks = receiver.taken + 12000
    receiver.source = lambda first, count: tone(first, count) if first < breaks else bytes(4 * count)
    await fails(driver.read(), STUCK, True)  # a quarter of it was sound
    await fails(driver.read(), SILENT, True)
    receiver.source = tone
    await driver.read()
    assert abs((await driver.read())[0][2] - 9400) <= 5


async def scene_only_ones_and_stuck():
    for pattern in (b"\xff\xff\xff\xff", b"\x00\x12\x34\x56", b"\x00\x00\x00\x80"):
        _clock, receiver, driver = microphone()
        await driver.start()
        receiver.source.constant = pattern
        await fails(driver.read(), STUCK)
        assert (await fails(driver.read(), STUCK)).detail > 0
        assert driver.covered_ms == 0


async def scene_short_dropouts_are_lost_time():
    """15 ms of zeros in every second: the level is that of the rest, the coverage says so."""
    clock, receiver, driver = microphone()
    tone = receiver.source
    receiver.source = lambda first, count: b"".join(
        [bytes(4 * 48) if at % 48000 < 720 else tone(at, 48) for at in range(first, first + count + 48, 48)]
    )[: 4 * count]
    await driver.start()
    for _ in range(3):
        began = clock.now_ms
        readings = await driver.read()
        assert abs(readings[0][2] - 9400) <= 12 and readings[0][3] == SUSPECT, readings
        assert 12 <= driver.lost_ms <= 17, driver.lost_ms
        assert abs(driver.covered_ms + driver.lost_ms - (clock.now_ms - began)) < 40


async def scene_a_stream_that_lost_a_byte():
    _clock, receiver, driver = microphone(amplitude=10000)
    tone = receiver.source
    await driver.start()
    receiver.source = lambda first, count: tone(first, count + 1)[1:-3]
    await fails(driver.read(), SHIFTED)
    receiver.source = tone
    await driver.read()
    assert (await driver.read())[0][3] == GOOD


async def scene_clipping_is_flagged():
    _clock, _receiver, driver = microphone(amplitude=8388607)
    await driver.start()
    for _, _, level, flag in await driver.read():
        assert abs(level - 12000) <= 5 and flag == SUSPECT, level


async def scene_below_the_noise_floor_is_flagged():
    _clock, _receiver, driver = microphone(amplitude=100)  # 21.5 dB
    await driver.start()
    laeq = (await driver.read())[0]
    assert laeq[3] == SUSPECT and abs(laeq[2] - 2152) <= 20, laeq


async def scene_silent_receiver():
    _clock, receiver, driver = microphone()
    receiver.silent = True
    await fails(driver.start(), NO_ANSWER, False)
    await fails(driver.read(), STALE, False)
    receiver.silent = False
    await driver.start()
    await driver.read()
    receiver.silent = True
    await fails(driver.read(), NO_ANSWER, False)


async def scene_a_short_stall_loses_nothing():
    clock, receiver, driver = microphone()
    await driver.start()
    covered = 0
    began = clock.now_ms
    for _ in range(4):
        clock.now_ms += 90  # within the receiver's buffer
        await driver.read()
        assert driver.lost_ms == 0
        covered += driver.covered_ms
    assert receiver.lost == 0
    assert abs(covered - (clock.now_ms - began)) < 40


async def scene_a_gap_is_counted():
    clock, receiver, driver = microphone()
    await driver.start()
    await driver.read()
    clock.now_ms += 400  # a flash erase
    began = clock.now_ms - 400
    readings = await driver.read()
    lost_ms = receiver.lost // 48
    assert lost_ms > 250
    assert abs(driver.lost_ms - lost_ms) <= 12, (driver.lost_ms, lost_ms)
    assert readings[1][3] == SUSPECT
    assert abs(driver.covered_ms + driver.lost_ms - (clock.now_ms - began)) < 40
    readings = await driver.read()
    assert driver.lost_ms == 0 and readings[1][3] == GOOD
    assert abs(driver.gaps_ms - lost_ms) <= 12


async def scene_a_slow_clock_is_no_gap():
    """500 ppm between microphone clock and milliseconds, ten times what crystals do."""
    clock, receiver, driver = microphone()
    real = receiver._waiting

    def waiting():
        began = receiver.began_ms
        receiver.began_ms = began + (clock.now_ms - began) // 2000
        try:
            return real()
        finally:
            receiver.began_ms = began

    receiver._waiting = waiting
    await driver.start()
    for _ in range(8):
        await driver.read()
        assert driver.lost_ms == 0


async def scene_self_test():
    _clock, receiver, driver = microphone()
    assert [row[1] for row in await driver.self_test()] == [True, True, True]
    receiver.source.constant = bytes(4)
    rows = await driver.self_test()
    assert rows[0][:2] == ("only zeros", False) and not rows[1][1]
