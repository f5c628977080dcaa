"""The microphones on a fake receiver: levels, settling, slots, bits, gaps, dead and stuck lines. Each scene runs on both
interpreters."""

from firmware.drivers import (
    GOOD,
    NO_ANSWER,
    READY,
    SHIFTED,
    SILENT,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    SensorError,
)
from firmware.drivers.i2s_mic import I2SMic
from tests.fakes.bus import FakeClock, FakeI2s, fails
from wire import channels
from wire.messages import (
    DONE,
    FAILED,
    MIC_IMPURE,
    MIC_NO_SOUND,
    MIC_NOT_1KHZ,
    MIC_NOT_94_DB,
    MIC_NOT_YET,
    MIC_OVERLOADED,
    MIC_SAMPLES_LOST,
    MIC_UNSTEADY,
)
from wire.quality import LOST, OVERLOAD, STATUS, UNDERRANGE

# One millisecond of a 1 kHz sine: sin(2*pi*n/48) * 10000.
SINE = (
    0, 1305, 2588, 3827, 5000, 6088, 7071, 7934, 8660, 9239, 9659, 9914, 10000, 9914, 9659, 9239, 8660, 7934, 7071, 6088,
    5000, 3827, 2588, 1305, 0, -1305, -2588, -3827, -5000, -6088, -7071, -7934, -8660, -9239, -9659, -9914, -10000, -9914,
    -9659, -9239, -8660, -7934, -7071, -6088, -5000, -3827, -2588, -1305,
)  # fmt: skip
AT_94_DB = 420426


class Tone:
    """A 1 kHz tone, whole milliseconds prepared. Knob: `constant`, a sample that comes instead.

    `bits`: below them all is zero; `late`: every word comes a clock too late (1) or too early (-1).
    """

    def __init__(self, amplitude, dc=0, bits=24, late=0):
        cycle = b""
        for value in SINE:
            sample = value * amplitude // 10000 + dc
            word = ((sample << 8) & 0xFFFFFFFF) >> 32 - bits << 32 - bits
            word = word >> 1 if late > 0 else word << 1 & 0xFFFFFFFF if late else word
            cycle += word.to_bytes(4, "little")
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


class Loop:
    """Words again and again; more of them than a block has."""

    def __init__(self, words):
        self.words = words

    def __call__(self, first, count):
        start = 4 * first % len(self.words)
        part = self.words[start : start + 4 * count]
        return part + self.words[: 4 * count - len(part)]


def microphone(amplitude=AT_94_DB, dc=0, **params):
    clock = FakeClock()
    receiver = FakeI2s(clock, Tone(amplitude, dc))
    return clock, receiver, I2SMic(receiver, clock, **params)


def brief(**params):
    """A microphone whose periods are a fifth of a second: what is the same in each second need not be heard for one."""
    clock, receiver, driver = microphone(settle_ms=params.pop("settle_ms", 200), **params)
    driver.period_ms = 200
    return clock, receiver, driver


async def settled(driver):
    """Started, and read until it is ready."""
    await driver.start()
    while driver.state == WARMUP:
        await fails(driver.read(), WARMING_UP, True)
        assert driver.covered_ms == 0


async def scene_calibrator_tone():
    clock, _receiver, driver = microphone()
    await settled(driver)
    assert driver.state == READY
    covered = 0
    began = clock.now_ms
    for _ in range(6):
        readings = await driver.read()
        assert [reading[:2] for reading in readings] == list(driver.items)
        for _, _, level, flag in readings[:3]:
            assert abs(level - 9400) <= 5, level
            assert flag == GOOD
        covered += driver.covered_ms
        assert driver.lost_ms == 0
    assert abs(covered - (clock.now_ms - began)) < 40, (covered, clock.now_ms - began)


async def scene_offsets_add_up():
    _clock, _receiver, driver = microphone(offset_cdb=150)
    driver.configure("mic_offset_cdb", -30)
    await settled(driver)
    assert abs((await driver.read())[0][2] - 9520) <= 5


async def scene_a_large_offset_voltage_is_not_heard():
    _clock, _receiver, driver = microphone(dc=40000)
    await settled(driver)
    for _, _, level, flag in (await driver.read())[:2]:
        assert abs(level - 9400) <= 5 and flag == GOOD, level


async def scene_the_settling_time_is_thrown_away():
    clock, receiver, driver = microphone(amplitude=0)
    loud = Tone(AT_94_DB)
    quiet = Tone(1000)
    receiver.source = lambda first, count: loud(first, count) if first < 24000 else quiet(first, count)
    await settled(driver)
    assert clock.now_ms - receiver.began_ms >= 1000
    laeq = (await driver.read())[0][2]
    assert abs(laeq - 4152) <= 10, laeq  # 94 dB - 20 * log10(420.426)


async def scene_only_zeros():
    _clock, receiver, driver = microphone()
    await settled(driver)
    tone = receiver.source
    breaks = receiver.taken + 12000
    receiver.source = lambda first, count: tone(first, count) if first < breaks else bytes(4 * count)
    await fails(driver.read(), STUCK, True)  # a quarter of it was sound
    assert str(await fails(driver.read(), SILENT, True)) == "no sound: only zeros"
    receiver.source = tone
    await driver.read()
    assert abs((await driver.read())[0][2] - 9400) <= 5


async def scene_without_sound_it_begins_anew_now_and_then():
    _clock, receiver, driver = brief()
    await settled(driver)
    receiver.source.constant = bytes(4)
    for _ in range(9):
        await fails(driver.read(), SILENT, True)
    await fails(driver.read(), SILENT, False)
    await driver.stop()
    await driver.start()
    assert str(await fails(driver.read(), SILENT, False)) == "no sound: only zeros"
    await fails(driver.read(), STALE, False)
    receiver.source.constant = None
    await settled(driver)
    assert abs((await driver.read())[0][2] - 9400) <= 5


async def scene_the_other_slot_has_it():
    """Found at the start, and when it changes later; the receiver is left as it was."""
    for slot, words in (("left", "no sound: the right slot has it, see the L/R pin"),
                        ("right", "no sound: the left slot has it, see the L/R pin")):  # fmt: skip
        _clock, receiver, driver = brief(slot=slot)
        if slot == "right":
            receiver.source, receiver.right = receiver.right, receiver.source
        await settled(driver)
        assert abs((await driver.read())[0][2] - 9400) <= 5
        receiver.source, receiver.right = receiver.right, receiver.source
        reason, retry = STUCK, True
        while retry:
            reason, retry = await outcome(driver)
        assert reason == SILENT
        await driver.stop()
        await driver.start()
        error = await fails(driver.read(), SILENT, False)
        assert str(error) == words, str(error)
        assert receiver.both == (slot == "right")
        rows = await driver.self_test()
        assert rows[0][:2] == (words, False), rows
        receiver.source, receiver.right = receiver.right, receiver.source
        await settled(driver)
        assert abs((await driver.read())[0][2] - 9400) <= 5


async def outcome(driver):
    """(reason, retry) of a reading that fails."""
    try:
        await driver.read()
    except SensorError as error:
        return error.reason, error.retry
    raise AssertionError("no error")


async def scene_the_right_slot_covers_everything():
    clock, receiver, driver = microphone(slot="right")
    receiver.source, receiver.right = receiver.right, receiver.source
    await settled(driver)
    began = clock.now_ms
    covered = 0
    for _ in range(4):
        readings = await driver.read()
        assert abs(readings[0][2] - 9400) <= 5 and readings[0][3] == GOOD
        covered += driver.covered_ms
        assert driver.lost_ms == 0
    assert abs(covered - (clock.now_ms - began)) < 40


async def scene_sph0645_in_step_late_and_early():
    for late in (0, 1, -1):
        _clock, receiver, driver = brief(model="sph0645", settle_ms=500)
        receiver.source = Tone(AT_94_DB, dc=-230400, bits=18, late=late)
        await settled(driver)
        for _, _, level, flag in (await driver.read())[:2]:
            assert abs(level - 9400) <= 5 and flag == GOOD, (late, level, flag)
        rows = await driver.self_test()  # starts anew and knows
        assert [row[1] for row in rows] == [True] * 6, rows
        assert rows[1] == ("bits", True, 18) and rows[2] == ("clocks late", True, late), rows


async def scene_sph0645_in_the_right_slot_in_step_late_and_early():
    for late in (0, 1, -1):
        _clock, receiver, driver = brief(model="sph0645", slot="right", settle_ms=500)
        receiver.source = Tone(AT_94_DB // 2)  # another microphone
        receiver.right = Tone(AT_94_DB, dc=-230400, bits=18, late=late)
        await settled(driver)
        for _, _, level, flag in (await driver.read())[:2]:
            assert abs(level - 9400) <= 5 and flag == GOOD, (late, level, flag)


async def scene_sph0645_with_a_quiet_tone_beside_its_large_offset():
    """One side of zero only, and yet sound."""
    _clock, receiver, driver = brief(model="sph0645", settle_ms=500)
    receiver.source = Tone(AT_94_DB // 4, dc=-230400, bits=18, late=1)
    await settled(driver)
    laeq = (await driver.read())[0]
    assert abs(laeq[2] - (9400 - 1204)) <= 5 and laeq[3] == GOOD, laeq


async def scene_early_words_clip_at_half_of_full_scale():
    _clock, receiver, driver = brief(model="sph0645")
    receiver.source = Tone(4190000, bits=18, late=-1)
    await settled(driver)
    assert (await driver.read())[0][3] == SUSPECT | OVERLOAD << 4


async def scene_another_microphone_than_described():
    for model, bits in (("inmp441", 18), ("sph0645", 24)):
        _clock, receiver, driver = brief(model=model)
        receiver.source = Tone(AT_94_DB, bits=bits)
        await settled(driver)
        assert (await driver.read())[0][3] == SUSPECT | STATUS << 4
        rows = await driver.self_test()
        assert rows[1] == ("bits", False, bits), rows


async def scene_another_microphone_is_told_before_what_it_makes_of_the_sound():
    """Words a clock late jump by half of full scale where the sound crosses zero: no overload, but the wrong chip."""
    for floor_cdb, source in (
        (0, Tone(AT_94_DB, dc=-230400, bits=18, late=1)),
        (9500, Tone(AT_94_DB, bits=18)),
    ):
        _clock, receiver, driver = brief(model="ics43434", floor_cdb=floor_cdb)
        receiver.source = source
        await settled(driver)
        levels = await driver.read()
        assert driver.overload == (not floor_cdb) and driver.underrange == bool(floor_cdb)
        assert {flag for _, _, _, flag in levels} == {SUSPECT | STATUS << 4}


async def scene_an_open_line():
    _clock, receiver, driver = brief()
    tone = receiver.source
    await settled(driver)
    noise = 12345
    words = b""
    for _ in range(1600):
        noise = (noise * 1103515245 + 12345) & 0x7FFFFFFF
        words += (noise >> 7 & 0xFFFF).to_bytes(2, "little") + (noise >> 13 & 0xFFFF).to_bytes(2, "little")
    receiver.source = lambda first, count: words[: 4 * count]
    error = await fails(driver.read(), SILENT, True)
    assert str(error) == "no sound: data line open"
    receiver.source = lambda first, count: b"".join(
        [(b"\xff" if (first + at) // 480 % 2 else b"\0") * 4 for at in range(count)]
    )
    await fails(driver.read(), STUCK, True)
    error = await fails(driver.read(), STUCK, True)
    assert str(error) == "stuck value: data line open or high", str(error)
    receiver.source = lambda first, count: (b"\xff\xff\xff\xff" + bytes(4)) * (count // 2 + 1)
    real, receiver.source = receiver.source, lambda first, count: real(first, count)[: 4 * count]
    assert str(await fails(driver.read(), SILENT)) == "no sound: data line open or high"  # 0 and -1, never constant
    receiver.source = tone
    await driver.read()
    assert (await driver.read())[0][3] == GOOD


async def scene_only_ones_and_stuck():
    for pattern in (b"\xff\xff\xff\xff", b"\x00\x12\x34\x56", b"\x00\x00\x00\x80"):
        _clock, receiver, driver = microphone()
        await settled(driver)
        receiver.source.constant = pattern
        await fails(driver.read(), STUCK)
        assert (await fails(driver.read(), STUCK)).detail > 0
        assert driver.covered_ms == 0


async def scene_a_microphone_that_was_stuck_is_no_other_one():
    """It was started anew while one word came for ever, and examined by that word."""
    _clock, receiver, driver = brief()
    await settled(driver)
    await driver.read()
    receiver.source.constant = b"\x00\x34\x12\x00"
    for _ in range(9):
        await fails(driver.read(), STUCK, True)
    await fails(driver.read(), STUCK, False)
    await driver.stop()
    await settled(driver)
    await fails(driver.read(), STUCK, True)
    receiver.source.constant = None
    await driver.read()  # filters swing
    assert (await driver.read())[0][3] == GOOD


async def scene_short_dropouts_are_lost_time():
    """15 ms of zeros in every second: the level is that of the rest, the coverage says so."""
    clock, receiver, driver = microphone()
    tone = receiver.source
    receiver.source = lambda first, count: b"".join(
        [bytes(4 * 48) if at % 48000 < 720 else tone(at, 48) for at in range(first, first + count + 48, 48)]
    )[: 4 * count]
    await settled(driver)
    for _ in range(3):
        began = clock.now_ms
        readings = await driver.read()
        assert abs(readings[0][2] - 9400) <= 12 and readings[0][3] == SUSPECT | LOST << 4, readings
        assert 12 <= driver.lost_ms <= 17, driver.lost_ms
        assert abs(driver.covered_ms + driver.lost_ms - (clock.now_ms - began)) < 40


async def scene_a_stream_that_lost_a_byte():
    _clock, receiver, driver = microphone(amplitude=10000)
    tone = receiver.source
    await settled(driver)
    receiver.source = lambda first, count: tone(first, count + 1)[1:-3]
    await fails(driver.read(), SHIFTED)
    receiver.source = tone
    await driver.read()
    assert (await driver.read())[0][3] == GOOD


async def scene_clipping_is_flagged():
    _clock, _receiver, driver = microphone(amplitude=8388607)
    await settled(driver)
    for _, _, level, flag in (await driver.read())[:2]:
        assert abs(level - 12000) <= 5 and flag == SUSPECT | OVERLOAD << 4, level


async def scene_below_the_noise_floor_is_flagged():
    _clock, _receiver, driver = microphone(amplitude=100)  # 21.5 dB
    await settled(driver)
    laeq = (await driver.read())[0]
    assert laeq[3] == SUSPECT | UNDERRANGE << 4 and abs(laeq[2] - 2152) <= 20, laeq


async def scene_silent_receiver():
    _clock, receiver, driver = microphone()
    receiver.silent = True
    await fails(driver.start(), NO_ANSWER, False)
    await fails(driver.read(), STALE, False)
    assert driver.state == WARMUP
    receiver.silent = False
    await settled(driver)
    await driver.read()
    receiver.silent = True
    await fails(driver.read(), NO_ANSWER, False)


async def scene_a_short_stall_loses_nothing():
    clock, receiver, driver = microphone()
    await settled(driver)
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
    await settled(driver)
    await driver.read()
    clock.now_ms += 400  # a flash erase
    began = clock.now_ms - 400
    readings = await driver.read()
    lost_ms = receiver.lost // 48
    assert lost_ms > 250
    assert abs(driver.lost_ms - lost_ms) <= 12, (driver.lost_ms, lost_ms)
    assert readings[1][3] == SUSPECT | LOST << 4
    assert abs(driver.covered_ms + driver.lost_ms - (clock.now_ms - began)) < 40
    readings = await driver.read()
    assert driver.lost_ms == 0 and readings[1][3] == GOOD
    assert abs(driver.gaps_ms - lost_ms) <= 12


async def scene_a_buffer_now_and_then_adds_up():
    """Each second a stall that is a little too long: 5 ms, less than one gap that can be seen."""
    clock, receiver, driver = microphone()
    await settled(driver)
    flags = set()
    for _ in range(12):
        clock.now_ms += 131
        flags |= {reading[3] for reading in await driver.read()}
    assert receiver.lost // 48 > 50
    assert abs(driver.gaps_ms - receiver.lost // 48) <= 12, (driver.gaps_ms, receiver.lost // 48)
    assert flags == {GOOD, SUSPECT | LOST << 4}


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
    await settled(driver)
    for _ in range(8):
        await driver.read()
        assert driver.lost_ms == 0


async def scene_self_test():
    _clock, receiver, driver = microphone()
    rows = await driver.self_test()
    assert [row[:2] for row in rows] == [
        ("ICS-43434, left slot", True), ("bits", True), ("laeq 0.01 dB", True), ("peak", True), ("gaps ms", True)
    ], rows  # fmt: skip
    assert driver.state == READY
    receiver.source.constant = bytes(4)
    rows = await driver.self_test()
    assert rows[0] == ("no sound: only zeros", False, 0) and not rows[1][1], rows
    assert driver.identity == "ICS-43434, left slot"


def named(driver, readings):
    """{channel's name: (value, flag)}; what comes more than once would show."""
    found = {}
    for channel, instance, value, flag in readings:
        assert (channel, instance) in driver.items
        name = channels.by_id(channel).name
        assert name not in found
        found[name] = (value, flag)
    return found


async def scene_all_levels_of_a_calibrator_tone():
    _clock, _receiver, driver = microphone()
    await settled(driver)
    await driver.read()
    levels = named(driver, await driver.read())
    assert set(levels) == set(driver.CHANNELS)
    for name in ("laeq", "lafmax", "lafmin", "lceq", "lzeq"):
        assert abs(levels[name][0] - 9400) <= 5, (name, levels[name])
    assert abs(levels["lcpeak"][0] - 9701) <= 6
    assert 9200 < levels["lasmax"][0] <= 9402
    assert {flag for _, flag in levels.values()} == {GOOD}
    bins = levels["laf10"][0].bins
    assert levels["laf95"][0] is levels["laf10"][0]
    assert bins[188] == sum(bins) > 1000, "once a millisecond, all at 94 dB"
    assert not driver.overload and not driver.underrange


async def scene_each_model_is_made_flat():
    """At 1 kHz all of them read the same; the response of another one would not be taken for that of this one."""
    for model in ("ics43434", "inmp441", "sph0645"):
        _clock, receiver, driver = microphone(model=model)
        receiver.source = Tone(AT_94_DB, bits=18 if model == "sph0645" else 24)
        await settled(driver)
        for name in ("laeq", "lzeq"):
            assert abs(named(driver, await driver.read())[name][0] - 9400) <= 5, model
    filters = {
        tuple(I2SMic(receiver, _clock, model=name)._meter.state[36:39]) for name in ("ics43434", "inmp441", "sph0645")
    }
    assert len(filters) == 3


async def scene_overload_and_underrange_are_told():
    _clock, _receiver, driver = microphone(amplitude=8388607)
    await settled(driver)
    levels = named(driver, await driver.read())
    assert driver.overload and not driver.underrange
    assert {flag for _, flag in levels.values()} == {SUSPECT | OVERLOAD << 4}
    _clock, _receiver, driver = microphone(amplitude=100, floor_cdb=2500)
    await settled(driver)
    levels = named(driver, await driver.read())
    assert driver.underrange and not driver.overload
    assert (
        levels["laeq"][1]
        == levels["lafmin"][1]
        == levels["laf95"][1]
        == levels["laf10"][1]
        == SUSPECT | UNDERRANGE << 4
    )
    assert levels["lzeq"][1] == GOOD, "the floor is that of the A level"


async def scene_below_zero_is_told_as_it_is():
    """0 dB would be a level that nobody measured."""
    _clock, _receiver, driver = microphone(third_octaves=True, settle_ms=200)
    driver.configure("mic_offset_cdb", -9600)
    await settled(driver)
    levels = named(driver, await driver.read())
    for name in ("laeq", "lceq", "lzeq", "lzeq_1000"):
        assert abs(levels[name][0] + 200) <= 30, (name, levels[name])
        assert levels[name][1] == SUSPECT | UNDERRANGE << 4, name
    assert levels["lcpeak"] == (levels["lcpeak"][0], GOOD) and abs(levels["lcpeak"][0] - 101) <= 6


async def scene_what_nobody_asks_for_is_not_measured():
    _clock, _receiver, driver = microphone(third_octaves=True, settle_ms=200)
    wanted = [(channels.id_of(name), 0) for name in ("lafmax", "pm2_5", "laeq", "lcpeak")]
    driver.keep(wanted)
    await settled(driver)
    assert set(named(driver, await driver.read())) == {"laeq", "lafmax", "lcpeak"}
    assert driver._bands is None and len(driver._meter.histogram.bins) == 1
    driver = I2SMic(_receiver, _clock, third_octaves=True, settle_ms=200)
    driver.period_ms = 200
    driver.keep([(channels.id_of(name), 0) for name in ("laf90", "lzeq_1000")])
    await settled(driver)
    levels = named(driver, await driver.read())
    assert set(levels) == {"laf90", "lzeq_1000"} and sum(levels["laf90"][0].bins) > 200


async def scene_one_third_octave_bands():
    clock, _receiver, driver = microphone(third_octaves=True, settle_ms=200)
    driver.period_ms = 200
    await settled(driver)
    await driver.read()
    began, turns = clock.now_ms, clock.turns
    levels = named(driver, await driver.read())
    assert len(driver.items) == len(driver.CHANNELS) + 29
    assert abs(levels["lzeq_1000"][0] - 9400) <= 30, levels["lzeq_1000"]
    assert levels["lzeq_800"][0] < 8200 and levels["lzeq_1250"][0] < 8200
    assert clock.turns - turns > 5 * (clock.now_ms - began) // 16, "a block is worked on in pieces"
    driver.configure("mic_offset_cdb", -200)
    assert abs(named(driver, await driver.read())["lzeq_1000"][0] - 9200) <= 30


async def calibrated(amplitude=AT_94_DB, source=None, **params):
    """What `calibrate` says of a calibrator."""
    _clock, receiver, driver = microphone(amplitude, **params)
    await settled(driver)
    if source is not None:
        receiver.source = source
        await driver.read()
    assert driver.calibration == (FAILED, MIC_NOT_YET)
    await driver.calibrate()
    return driver


async def scene_a_calibrator_gives_the_offset():
    driver = await calibrated(300000)  # 2.93 dB too low
    result, offset = driver.calibration
    assert result == DONE and abs(offset - 293) <= 3, driver.calibration
    driver.configure("mic_offset_cdb", offset)
    assert abs(named(driver, await driver.read())["laeq"][0] - 9400) <= 3
    await driver.calibrate()
    assert driver.calibration[0] == DONE and abs(driver.calibration[1] - offset) <= 2, (
        "it is no correction of a correction"
    )
    await driver.start()
    await driver.calibrate()
    assert driver.calibration == (FAILED, MIC_NOT_YET), "it has not settled"


async def scene_what_is_no_calibrator_is_refused():
    loud, quiet = Tone(AT_94_DB), Tone(AT_94_DB // 2)
    steady = Tone(AT_94_DB)

    pitched = Loop(steady.cycles[: 4 * 47] * 40)  # 1021 Hz
    out = b""
    for at in range(1920):  # 50 Hz beside it, nearly as strong
        word = int.from_bytes(steady.cycles[4 * (at % 48) : 4 * (at % 48) + 4], "little")
        wave = 250000 * (480 - at % 960 if at % 960 < 480 else at % 960 - 480) // 480 - 125000
        out += ((word + (wave << 8)) & 0xFFFFFFFF).to_bytes(4, "little")
    hum = Loop(out)

    for reason, source in (
        (MIC_NOT_94_DB, Tone(AT_94_DB // 3)),
        (MIC_UNSTEADY, lambda first, count: (loud if first // 24000 % 2 else quiet)(first, count)),
        (MIC_NOT_1KHZ, pitched),
        (MIC_IMPURE, hum),
        (MIC_OVERLOADED, Tone(8388607)),
    ):
        assert (await calibrated(source=source)).calibration == (FAILED, reason)
    driver = await calibrated()
    driver._i2s.silent = True
    await driver.calibrate()
    assert driver.calibration == (FAILED, MIC_NO_SOUND)


async def scene_lost_samples_spoil_a_calibration():
    clock, receiver, driver = microphone()
    await settled(driver)
    tone = receiver.source
    lost = []

    def source(first, count):
        if not lost and first > 96000:
            lost.append(first)
            clock.now_ms += 400
        return tone(first, count)

    receiver.source = source
    await driver.calibrate()
    assert driver.calibration == (FAILED, MIC_SAMPLES_LOST)
