"""SEN5x, SEN66, SCD41 and SHT4x on a fake bus, on both interpreters: what is written, what is made of answers, faults.

The chips here only answer what they are told to; how real ones behave in time is the matter of the simulated chips.
"""

from firmware.drivers import (
    BAD,
    BAD_CRC,
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WRONG_CHIP,
)
from firmware.drivers.scd41 import SCD41
from firmware.drivers.sen5x import SEN5x
from firmware.drivers.sen66 import SEN66
from firmware.drivers.sht4x import SHT4x
from tests.fakes.bus import FakeClock, FakeI2c, fails
from tests.firmware.drivers.scenes_i2c import answer
from wire import channels
from wire.quality import STATUS


def name(text):
    return text.encode() + bytes(32 - len(text))


LOW_BYTE = {"03c4": 11, "0300": 11, "ec05": 3, "fd": 1}  # of the temperature in an answer


class TellingChip:
    """Answers a command with the payload of `says`; `refuses` are not acknowledged. `written`: all transfers."""

    def __init__(self, clock, says):
        self.clock = clock
        self.says = says
        self.refuses = set()
        self.written = []
        self.bad_crc = False
        self.noise = True  # the temperature differs a little each time
        self.last = None

    def write(self, data):
        self.last = data[:2].hex()
        if self.last in self.refuses:
            raise OSError(19)
        self.written.append(data.hex())

    def read(self, size):
        if self.last not in self.says:
            raise OSError(19)
        payload = bytearray(self.says[self.last])
        if self.noise and self.last in LOW_BYTE:
            payload[LOW_BYTE[self.last]] = len(self.written) & 0x3F
        out = bytearray(answer(bytes(payload)))
        assert len(out) >= size, (self.last, size)
        if self.bad_crc:
            out[-1] ^= 1
        return out[:size]


SEN_WORDS = bytes.fromhex("0021 002f 0037 003c 101b 1126 03f2 000a".replace(" ", ""))
SAYS_SEN = {
    "0202": b"\0\1",
    "d014": name("SEN66"),
    "d033": name("0123456789ABCDEF"),
    "d206": bytes(4),
    "d210": bytes(4),
    "6181": b"12345678",
}


def board(driver, address, says, **params):
    clock = FakeClock()
    chip = TellingChip(clock, dict(says))
    bus = FakeI2c(clock, {address: chip})
    return clock, chip, bus, driver(bus, clock, **params)


def sen66(**params):
    params = dict({"warmup_ms": 0, "clean_at_start": 0, "learning_s": 0}, **params)
    says = dict(SAYS_SEN)
    says.update({"d100": b"\4\2", "0300": SEN_WORDS + b"\2\x64"})
    return board(SEN66, 0x6B, says, **params)


def sen5x(**params):
    params = dict({"warmup_ms": 0, "clean_at_start": 0, "learning_s": 0}, **params)
    says = dict(SAYS_SEN)
    says.update({"d014": name("SEN55"), "d100": b"\2\0\0\4\0\1\0\0", "03c4": SEN_WORDS})
    return board(SEN5x, 0x69, says, **params)


def scd41(**params):
    says = {"3682": b"\x12\x34\x56\x78\x9a\xbc", "202f": b"\x14\x40", "e4b8": b"\x80\6", "3639": b"\0\0",
            "ec05": b"\1\xf4\x66\x67\x5e\xb9"}  # fmt: skip
    return board(SCD41, 0x62, says, **dict({"warmup_ms": 0}, **params))


def sht4x(**params):
    return board(SHT4x, 0x44, {"fd": b"\x66\x66\x80\0", "89": b"\xde\xad\xbe\xef", "39": b"\xff\xff\0\0"}, **params)


def flags(readings):
    return {channels.by_id(channel).name: flag for channel, _, _, flag in readings}


async def scene_sen66_good_day():
    _clock, chip, _bus, driver = sen66(altitude_m=104, instance=1)
    await driver.start()
    assert driver.identity == "SEN66 0123456789ABCDEF firmware 4.2", driver.identity
    assert chip.written[-3:-1] == ["6736" + answer(b"\0\x68").hex(), "67110001b0"] and chip.written[-1] == "0021", (
        chip.written
    )
    readings = await driver.read()
    assert driver.state == READY
    assert [reading[:2] for reading in readings] == list(driver.items)
    values = [reading[2] for reading in readings]
    assert values[:5] == [330, 470, 550, 600, 4123] and values[6:] == [10100, 100, 6120], values
    assert abs(values[5] - 21950) < 320, values
    assert set(flags(readings).values()) == {GOOD}
    await driver.stop()
    assert chip.written[-1] == "0104"
    await fails(driver.read(), STALE, False)


async def scene_sen66_warms_up_and_covers():
    clock, _chip, _bus, driver = sen66(warmup_ms=3000)
    await driver.start()
    for _ in range(3):
        await fails(driver.read(), WARMING_UP)
        assert driver.covered_ms == 0
        clock.now_ms += 930
    await driver.read()
    clock.now_ms += 930
    await driver.read()
    assert 900 < driver.covered_ms < 1100, driver.covered_ms


async def scene_sen66_cleans_at_rest():
    clock, chip, _bus, driver = sen66(clean_at_start=1)
    began = clock.now_ms
    await driver.start()
    assert clock.now_ms - began > 11000
    at = chip.written.index("5607")
    assert chip.written[at - 1] == "0104" and chip.written[-1] == "0021", chip.written


async def scene_sen66_status_word():
    clock, chip, _bus, driver = sen66()
    await driver.start()
    chip.says["d210"] = b"\0\0\2\0"
    found = flags(await driver.read())
    assert found.pop("co2") == BAD | STATUS << 4 and set(found.values()) == {GOOD}, found
    chip.says["d210"] = bytes(4)
    assert flags(await driver.read())["co2"] == BAD | STATUS << 4  # it was cleared by reading: it holds for a while
    for _ in range(10):
        clock.now_ms += 1000
        await driver.read()
    assert flags(await driver.read())["co2"] == GOOD
    chip.says["d210"] = b"\0\x20\0\0"
    found = flags(await driver.read())
    assert [found[channel] for channel in ("pm1", "pm10", "co2")] == [
        SUSPECT | STATUS << 4,
        SUSPECT | STATUS << 4,
        GOOD,
    ]
    chip.says["d210"] = b"\0\0\x0a\xc0"
    await fails(driver.read(), CHIP_FAULT, False)


async def scene_sen66_unknown_values_are_left_out():
    _clock, chip, _bus, driver = sen66()
    chip.noise = False
    await driver.start()
    chip.says["0300"] = SEN_WORDS[:14] + b"\x7f\xff\xff\xff"
    assert len(await driver.read()) == 7
    chip.says["0300"] = b"\xff\xff" * 4 + b"\x7f\xff" * 4 + b"\xff\xff"
    await fails(driver.read(), STALE)
    chip.says["0300"] = b"\0\2\0\1" + SEN_WORDS[4:] + b"\2\x64"
    await fails(driver.read(), RANGE)


async def scene_sen66_takes_out_and_gives_back_what_the_index_learned():
    clock, chip, _bus, driver = sen66()
    await driver.start()
    assert chip.written[-2] != "6181"
    await driver.read()
    await driver.stop()
    assert chip.written[-2:] == ["6181", "0104"]
    clock.now_ms += 60000
    await driver.start()
    given = "6181" + answer(b"12345678").hex()
    assert chip.written[-2:] == [given, "0021"], chip.written[-2:]
    await driver.stop()
    clock.now_ms += 700000
    await driver.start()
    assert chip.written[-2] != given


async def scene_sen66_resets_a_chip_that_went_astray():
    clock, chip, _bus, driver = sen66()
    await driver.start()
    chip.says["0202"] = bytes(2)
    for retry in (True, True, True, True, False):
        await fails(driver.read(), STALE, retry)
    assert "d304" not in chip.written
    await driver.stop()
    await driver.start()
    assert chip.written.count("d304") == 1
    chip.says["0202"] = b"\0\1"
    await driver.read()
    await driver.stop()
    await driver.start()
    assert chip.written.count("d304") == 1
    clock.now_ms += 1000


async def scene_sen5x_good_day():
    clock, chip, _bus, driver = sen5x()
    await driver.start()
    assert driver.identity == "SEN55 0123456789ABCDEF firmware 2.0", driver.identity
    assert "8004000081000081" in chip.written  # this driver counts, not the chip
    readings = await driver.read()
    assert len(readings) == 8 and abs(readings[5][2] - 21950) < 320
    await driver.clean()
    assert chip.written[-1] == "5607"
    await fails(driver.read(), WARMING_UP)
    clock.now_ms += 12000
    await driver.read()
    rows = await driver.self_test()
    assert [ok for _, ok, _ in rows] == [True] * 10 and ("humidity 0.01 %", True, 4123) in rows, rows


async def scene_sen5x_meets_an_sps30():
    _clock, chip, _bus, driver = sen5x()
    chip.refuses.add("d014")  # an SPS30 does not know that question
    await fails(driver.start(), NO_ANSWER)
    chip.refuses.clear()
    chip.says["d014"] = name("SEN66")
    assert str(await fails(driver.start(), WRONG_CHIP, False)) == "wrong chip: SEN66"


async def scene_sen5x_self_test_names_what_is_broken():
    _clock, chip, bus, driver = sen5x()
    await driver.start()
    chip.says["d206"] = b"\0\0\0\x10"
    chip.says["03c4"] = b"\xff\xff" * 4 + SEN_WORDS[8:]
    chip.noise = False
    rows = await driver.self_test()
    assert [(row[0], row[2]) for row in rows if not row[1]] == [("status word", 16), ("pm2_5 0.01 ug/m3", 0)], rows
    bus.absent.add(0x69)
    assert (await driver.self_test())[-1][:2] == ("no answer: chip at 0x69", False)


async def scene_scd41_good_day():
    _clock, chip, _bus, driver = scd41(altitude_m=1950, offset_cdeg=540, self_calibration=0)
    await driver.start()
    assert driver.identity == "SCD41 123456789abc", driver.identity
    assert chip.written[-4:] == ["241d07e648", "2427079e09", "2416000081", "21b1"], chip.written
    readings = await driver.read()
    assert readings[0][2] == 5000 and readings[2][2] == 3700, readings
    assert abs(readings[1][2] - 25003) <= 700, readings
    await driver.stop()
    assert chip.written[-2:] == ["3f86", "36e0"]


async def scene_scd41_wakes_a_chip_that_does_not_acknowledge_that():
    clock, chip, _bus, driver = scd41(mode="low_power")
    chip.refuses.update(("36f6", "3f86", "202f"))
    began = clock.now_ms
    await driver.start()
    assert clock.now_ms - began >= 530
    assert driver.identity == "SCD4x 123456789abc"
    assert chip.written[-1] == "21ac" and driver.period_ms == 30000


async def scene_scd41_self_test():
    clock, chip, _bus, driver = scd41()
    await driver.start()
    began = clock.now_ms
    assert await driver.self_test() == [("self test", True, 0)]
    assert clock.now_ms - began > 10000
    await driver.read()
    chip.says["3639"] = b"\0\x12"
    assert await driver.self_test() == [("self test", False, 18)]
    chip.refuses.add("3639")
    assert (await driver.self_test())[0][:2] == ("no answer: chip at 0x62", False)


async def scene_scd41_no_co2():
    _clock, chip, _bus, driver = scd41()
    await driver.start()
    chip.says["ec05"] = b"\0\0\x66\x67\x5e\xb9"
    await fails(driver.read(), RANGE)


async def scene_sht4x_good_day():
    clock, chip, _bus, driver = sht4x()
    await driver.start()
    assert driver.identity == f"SHT4x serial {0xDEADBEEF}"
    assert chip.written == ["94", "89"]
    readings = await driver.read()
    assert abs(readings[0][2] - 25000) < 300 and readings[1][2] == 5650, readings
    await driver.clean()
    assert chip.written[-1] == "39"
    await fails(driver.read(), WARMING_UP)
    clock.now_ms += 30000
    await driver.read()
    chip.says["fd"] = b"\xff\xff\x80\0"
    await fails(driver.read(), RANGE)
    written = len(chip.written)
    await driver.clean()  # 130 degrees: the heater stays off
    assert chip.written[written:] == ["fd"]
    assert [row[1] for row in await driver.self_test()] == [True, False, True]


async def scene_sht4x_slow_and_gone():
    _clock, chip, bus, driver = sht4x()
    await driver.start()
    real = chip.read
    late = [2]

    def read(size):
        if late[0]:
            late[0] -= 1
            raise OSError(19)
        return real(size)

    chip.read = read
    await driver.read()
    late[0] = 3
    await fails(driver.read(), NO_ANSWER, True)
    bus.absent.add(0x44)
    for retry in (True, True, True, False):
        await fails(driver.read(), NO_ANSWER, retry)


async def scene_common_faults():
    """Bad checksum, a bus that hangs, a chip that is stuck, a chip that is not there."""
    for make, limit in ((sen66, 8), (sen5x, 8), (scd41, 8), (sht4x, 8)):
        clock, chip, bus, driver = make(stuck_reads=limit)
        await driver.start()
        await driver.read()
        chip.bad_crc = True
        await fails(driver.read(), BAD_CRC, True)
        chip.bad_crc = False
        bus.hangs = True
        await fails(driver.read(), NO_ANSWER, True)
        assert bus.recovered == 1
        clock.now_ms += 1000
        await driver.read()
        chip.noise = False
        for _ in range(limit - 1):
            await driver.read()
        await fails(driver.read(), STUCK, False)
        bus.absent.update((0x44, 0x62, 0x69, 0x6B))
        await driver.stop()
        await fails(driver.start(), NO_ANSWER)
        await fails(driver.read(), STALE, False)


async def scene_settings():
    for make in (sen66, sen5x, scd41, sht4x):
        _clock, chip, _bus, driver = make()
        chip.noise = False
        await driver.start()
        before = [reading[2] for reading in await driver.read()]
        driver.configure("temperature_offset_cdeg", -150)
        driver.configure("sample_ms", 10000)
        driver.configure("min_count", 3)
        after = [reading[2] for reading in await driver.read()]
        at = driver.CHANNELS.index("temperature")
        before[at] -= 1500
        assert after == before
        assert driver.period_ms == 10000
        driver.configure("sample_ms", 50)
        assert driver.period_ms == (5000 if make is scd41 else 50 if make is sht4x else 1000)
