"""SPS30 and BME280 on a fake bus, through start, good days and faults. Each scene runs on both interpreters."""

import struct

from firmware.drivers import (
    BAD_CRC,
    CALIBRATION,
    CHIP_FAULT,
    NO_ANSWER,
    RANGE,
    READY,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WARMUP,
    WRONG_CHIP,
    SensorError,
)
from firmware.drivers.bme280 import BME280
from firmware.drivers.sps30 import SPS30
from tests.fakes.bus import FakeClock, FakeI2c, fails
from wire.quality import STATUS


def crc(word):
    """Bit by bit, unlike the driver's."""
    value = 0xFF
    for byte in word:
        value ^= byte
        for _ in range(8):
            value = ((value << 1) ^ 0x31 if value & 0x80 else value << 1) & 0xFF
    return value


def answer(payload):
    out = b""
    for at in range(0, len(payload), 2):
        word = payload[at : at + 2]
        out += word + bytes([crc(word)])
    return out


class Sps30Chip:
    """Just enough of a chip. Knobs: `bad_crc`, `frozen` (never ready), `stuck`, `status`, `values`, `asleep`."""

    def __init__(self, clock, version=b"\x02\x03"):
        self.clock = clock
        self.version = version
        self.bad_crc = self.frozen = self.stuck = self.asleep = False
        self.status = 0
        self.values = [1.0, 2.5, 3.75, 4.5, 5.25, 10.0, 12.5, 12.75, 13.0, 0.5]
        self.interval = 604800
        self.commands = []
        self.measuring_since = None
        self.mode = 3
        self.read_at = -1
        self.out = b""
        self.period_ms = 1000

    def _reading(self):
        return -1 if self.measuring_since is None else (self.clock.now_ms - self.measuring_since) // self.period_ms - 1

    def write(self, data):
        command = data[0] << 8 | data[1]
        if self.asleep:
            if command == 0x1103:
                self.asleep = self.commands.count(0x1103) == 0
            self.commands.append(command)
            if self.asleep or command != 0x1103:
                raise OSError(19)
            return
        self.commands.append(command)
        if command == 0x0010:
            assert data[4] == crc(data[2:4])
            self.mode = data[2]
            self.measuring_since = self.clock.now_ms
            self.read_at = -1
        elif command == 0x0104:
            self.measuring_since = None
        elif command == 0x0202:
            self.out = answer(bytes([0, 1 if self._reading() > self.read_at and not self.frozen else 0]))
        elif command == 0x0300:
            self.read_at = self._reading()
            values = list(self.values)
            if not self.stuck:
                values[9] += self.read_at % 8 / 1024
            if self.mode == 3:
                self.out = answer(b"".join([struct.pack(">f", value) for value in values]))
            else:
                self.out = answer(b"".join([struct.pack(">H", int(value)) for value in values]))
        elif command == 0x8004:
            if len(data) > 2:
                self.interval = data[2] << 24 | data[3] << 16 | data[5] << 8 | data[6]
            self.out = answer(struct.pack(">I", self.interval))
        elif command == 0xD033:
            self.out = answer(b"0123456789ABCDEF" + bytes(16))
        elif command == 0xD100:
            self.out = answer(self.version)
        elif command == 0xD206:
            self.out = answer(struct.pack(">I", self.status))

    def read(self, size):
        assert size <= len(self.out)
        out = bytearray(self.out[:size])
        if self.bad_crc:
            out[-1] ^= 1
        return out


def sps30(warmup_ms=0, clean_at_start=0, **params):
    clock = FakeClock()
    chip = Sps30Chip(clock)
    bus = FakeI2c(clock, {0x69: chip})
    return clock, chip, bus, SPS30(bus, clock, warmup_ms=warmup_ms, clean_at_start=clean_at_start, **params)


async def second(clock, began_ms):
    """Sleep until a second after `began_ms`, as the sampler does."""
    await clock.sleep_ms(max(0, began_ms + 1000 - clock.now_ms))


async def scene_sps30_good_day():
    clock, chip, _bus, driver = sps30()
    await driver.start()
    assert driver.identity == "SPS30 0123456789ABCDEF firmware 2.3"
    covered = 0
    began = clock.now_ms
    for _ in range(60):
        at = clock.now_ms
        readings = await driver.read()
        covered += driver.covered_ms
        await second(clock, at)
    assert driver.state == READY
    assert [value for _, _, value, _ in readings][:9] == [100, 250, 375, 450, 525, 1000, 1250, 1275, 1300]
    assert [(channel, instance) for channel, instance, _, _ in readings] == list(driver.items)
    assert abs(covered - (clock.now_ms - began)) <= 1100, covered
    assert 0x0300 in chip.commands
    await driver.stop()
    assert chip.measuring_since is None


async def scene_sps30_slow_chip_covers_everything():
    clock, chip, _bus, driver = sps30()
    chip.period_ms = 1040
    await driver.start()
    covered = 0
    began = clock.now_ms
    for _ in range(100):
        at = clock.now_ms
        await driver.read()
        covered += driver.covered_ms
        await second(clock, at)
    assert abs(covered - (clock.now_ms - began)) <= 1100, (covered, clock.now_ms - began)


async def scene_sps30_warms_up():
    clock, _chip, _bus, driver = sps30(warmup_ms=30000)
    await driver.start()
    began = clock.now_ms
    refused = []
    while driver.state == WARMUP:
        at = clock.now_ms
        try:
            await driver.read()
        except SensorError as raised:
            refused.append((raised.reason, raised.retry, driver.covered_ms))
        await second(clock, at)
    assert clock.now_ms - began >= 30000
    assert 27 <= len(refused) <= 30 and set(refused) == {(WARMING_UP, True, 0)}, refused


async def scene_sps30_cleans_once_within_the_warm_up():
    clock, chip, _bus, driver = sps30(clean_at_start=1)
    await driver.start()
    assert chip.commands.count(0x5607) == 1
    await fails(driver.read(), WARMING_UP)
    clock.now_ms += 12000
    await driver.read()
    await driver.stop()
    await driver.start()
    assert chip.commands.count(0x5607) == 1


async def scene_sps30_is_not_lost_while_it_cleans():
    """The chip gives nothing new for 10 s: that is no failure, until the warm-up is over."""
    clock, chip, _bus, driver = sps30(clean_at_start=1, warmup_ms=20000)
    await driver.start()
    chip.frozen = True
    began = clock.now_ms
    while clock.now_ms - began < 18000:
        await fails(driver.read(), WARMING_UP, True)
    clock.now_ms = began + 20000
    await fails(driver.read(), STALE, True)
    chip.frozen = False
    await driver.read()


async def scene_sps30_sets_its_cleaning_interval_only_when_it_differs():
    _, chip, _, driver = sps30()
    await driver.start()
    assert chip.commands.count(0x8004) == 1
    _clock, chip, _bus, driver = sps30(clean_interval_s=86400)
    await driver.start()
    assert chip.interval == 86400
    assert chip.commands.count(0x8004) == 2


async def scene_sps30_cleans_on_demand():
    clock, _chip, _bus, driver = sps30()
    await driver.start()
    clock.now_ms += 1000
    await driver.read()
    await driver.clean()
    await fails(driver.read(), WARMING_UP)
    clock.now_ms += 12000
    await driver.read()


async def scene_sps30_cleaning_shortens_no_warm_up():
    clock, _chip, _bus, driver = sps30(warmup_ms=30000)
    await driver.start()
    clock.now_ms += 5000
    await driver.clean()
    clock.now_ms += 29000
    await fails(driver.read(), WARMING_UP)
    clock.now_ms += 1000
    await driver.read()
    await driver.clean()
    clock.now_ms += 12000
    await driver.read()


async def scene_sps30_integers():
    _clock, chip, _bus, driver = sps30(mode="uint16")
    chip.values = [5, 9, 12, 13, 26, 36, 41, 42, 42, 834]
    await driver.start()
    readings = await driver.read()
    assert [reading[2] for reading in readings] == [500, 900, 1200, 1300, 2600, 3600, 4100, 4200, 4200, 8340]


async def scene_sps30_awakes_a_sleeping_chip():
    _clock, chip, _bus, driver = sps30()
    chip.asleep = True
    await driver.start()
    await driver.read()


async def scene_sps30_bad_crc():
    clock, chip, _bus, driver = sps30()
    await driver.start()
    await driver.read()
    chip.bad_crc = True
    clock.now_ms += 1000
    await fails(driver.read(), BAD_CRC, True)
    chip.bad_crc = False
    clock.now_ms += 1000
    await driver.read()
    assert driver.covered_ms == 1000  # what was refused in between is not covered


async def scene_sps30_frozen():
    clock, chip, _bus, driver = sps30()
    await driver.start()
    await driver.read()
    chip.frozen = True
    began = clock.now_ms
    for _ in range(9):
        await fails(driver.read(), STALE, True)
    await fails(driver.read(), STALE, False)
    assert clock.now_ms - began >= 12000  # a cleaning that the chip began takes 10 s


async def scene_sps30_absent():
    _clock, _chip, bus, driver = sps30()
    bus.absent.add(0x69)
    await fails(driver.start(), NO_ANSWER)
    await fails(driver.read(), STALE, False)


async def scene_sps30_bus_hangs():
    clock, _chip, bus, driver = sps30()
    await driver.start()
    await driver.read()
    bus.hangs = True
    await fails(driver.read(), NO_ANSWER, True)
    assert bus.recovered == 1
    clock.now_ms += 1000
    await driver.read()


async def scene_sps30_lost_its_supply():
    _clock, chip, bus, driver = sps30()
    await driver.start()
    await driver.read()
    bus.absent.add(0x69)
    for retry in (True, True, False):
        await fails(driver.read(), NO_ANSWER, retry)
    bus.absent.clear()
    chip.measuring_since = None
    await driver.start()
    await driver.read()


async def scene_sps30_impossible_sizes():
    _clock, chip, _bus, driver = sps30()
    chip.values[1] = 0.5
    await driver.start()
    await fails(driver.read(), RANGE, True)


async def scene_sps30_stuck():
    clock, chip, _bus, driver = sps30(stuck_reads=20)
    chip.stuck = True
    await driver.start()
    for _ in range(19):
        clock.now_ms += 1000
        await driver.read()
    clock.now_ms += 1000
    await fails(driver.read(), STUCK, False)


async def scene_sps30_status_word():
    clock, chip, _bus, driver = sps30()
    chip.status = 1 << 21
    await driver.start()
    readings = await driver.read()
    assert [flag for _, _, _, flag in readings] == [SUSPECT | STATUS << 4] * 10
    chip.status = 1 << 4
    clock.now_ms += 1000
    error = await fails(driver.read(), CHIP_FAULT, False)
    assert error.detail == 1 << 4


async def scene_sps30_old_firmware_has_no_status():
    _clock, chip, _bus, driver = sps30()
    chip.version = b"\x01\x09"
    chip.status = 1 << 4
    await driver.start()
    await driver.read()
    assert 0xD206 not in chip.commands and 0xD210 not in chip.commands


async def scene_sps30_something_else_answers():
    _clock, chip, _bus, driver = sps30()
    chip.version = b"\x02\x03"
    genuine = chip.write

    def write(data):
        genuine(data)
        if data == b"\xd0\x33":
            chip.out = answer(bytes(range(1, 33)))

    chip.write = write
    await fails(driver.start(), WRONG_CHIP, False)


async def scene_sps30_self_test():
    clock, chip, bus, driver = sps30()
    await driver.start()
    clock.now_ms += 1000
    rows = await driver.self_test()
    assert [name for name, ok, _ in rows if not ok] == []
    assert ("pm2_5 0.01 ug/m3", True, 250) in rows
    chip.status = 1 << 5
    clock.now_ms += 1000
    rows = await driver.self_test()
    assert ("status word", False, 32) in rows
    bus.absent.add(0x69)
    rows = await driver.self_test()
    assert rows[-1][:2] == ("no answer: chip at 0x69", False)


CAL_A = bytes.fromhex("706B436718FC7D8E43D6D00B270B8C00F9FF8C3CF8C67017004B")
CAL_A_H = bytes.fromhex("6A0100132B031E")


class Bme280Chip:
    """Registers, and forced mode. Knobs: `chip_id`, `never_measures`, `flag_hidden`, `data`, `still` (no noise)."""

    def __init__(self, clock):
        self.clock = clock
        self.registers = bytearray(256)
        self.registers[0xD0] = 0x60
        self.registers[0x88:0xA2] = CAL_A
        self.registers[0xE1:0xE8] = CAL_A_H
        self.data = bytearray(bytes.fromhex("655AC07EED0082CA"))
        self.never_measures = self.flag_hidden = self.still = False
        self.pointer = 0
        self.done_ms = None
        self.humidity_on = 0
        self.measured = 0

    def write(self, data):
        self.pointer = data[0]
        if len(data) == 1:
            return
        if data[0] == 0xE0:
            assert data[1] == 0xB6
            self.registers[0xF7:0xFF] = bytes.fromhex("8000008000008000")
        elif data[0] == 0xF4:
            self.humidity_on = self.registers[0xF2]
            if data[1] & 3 in (1, 2) and not self.never_measures:
                self.done_ms = self.clock.now_ms + 9
        self.registers[data[0]] = data[1]

    def read(self, size):
        now = self.clock.now_ms
        if self.done_ms is not None and now >= self.done_ms:
            self.done_ms = None
            self.measured += 1
            data = bytearray(self.data)
            if not self.still:
                data[2] = (data[2] & 0x0F) | (self.measured & 0x0F) << 4
            if not self.humidity_on:
                data[6:8] = b"\x80\x00"
            self.registers[0xF7:0xFF] = data
        busy = self.done_ms is not None and not self.flag_hidden
        self.registers[0xF3] = 0x08 if busy else 0
        return self.registers[self.pointer : self.pointer + size]


def bme280(**params):
    clock = FakeClock()
    chip = Bme280Chip(clock)
    bus = FakeI2c(clock, {params.get("address", 0x76): chip})
    return clock, chip, bus, BME280(bus, clock, **params)


async def scene_bme280_good_day():
    clock, _chip, _bus, driver = bme280(instance=1)
    await driver.start()
    began = clock.now_ms
    covered = 0
    for _ in range(30):
        at = clock.now_ms
        readings = await driver.read()
        covered += driver.covered_ms
        await second(clock, at)
    assert abs(covered - (clock.now_ms - began)) <= 1000, covered
    assert [reading[1] for reading in readings] == [1, 1, 1]
    assert readings[0][2] == 25080 and readings[1][2] == 7360 and abs(readings[2][2] - 100653) < 60


async def scene_bme280_other_address():
    _clock, _chip, _bus, driver = bme280(address=0x77)
    await driver.start()
    await driver.read()


async def scene_bme280_is_a_bmp280():
    _clock, chip, _bus, driver = bme280()
    chip.registers[0xD0] = 0x58
    error = await fails(driver.start(), WRONG_CHIP, False)
    assert error.detail == 0x58
    assert str(error) == "wrong chip: BMP280 (0x58), which has no humidity"
    chip.registers[0xD0] = 0x33
    error = await fails(driver.start(), WRONG_CHIP, False)
    assert str(error) == "wrong chip: id 0x33, a BME280 has 0x60"


async def scene_bme280_calibration_is_a_bus_fault():
    for byte in (b"\x00", b"\xff"):
        _clock, chip, _bus, driver = bme280()
        chip.registers[0x88:0xA2] = byte * 26
        chip.registers[0xE1:0xE8] = byte * 7
        await fails(driver.start(), CALIBRATION, False)
        await fails(driver.read(), STALE, False)


async def scene_bme280_does_not_measure():
    clock, chip, _bus, driver = bme280()
    await driver.start()
    await driver.read()
    chip.never_measures = True
    clock.now_ms += 1000
    await fails(driver.read(), STALE, False)
    assert driver.covered_ms == 0


async def scene_bme280_flag_hidden_by_a_busy_board():
    clock, _chip, bus, driver = bme280()
    await driver.start()
    bus.stall_ms = 15  # each transfer comes after the measurement is over
    for _ in range(5):
        await driver.read()
        clock.now_ms += 1000


async def scene_bme280_stuck():
    clock, chip, _bus, driver = bme280(stuck_reads=10)
    chip.still = True
    await driver.start()
    for _ in range(9):
        await driver.read()
        clock.now_ms += 1000
    await fails(driver.read(), STUCK, False)


async def scene_bme280_frees_a_bus_that_hangs():
    clock, _chip, bus, driver = bme280()
    await driver.start()
    clock.now_ms += 1000
    await driver.read()
    bus.hangs = True
    await fails(driver.read(), NO_ANSWER, True)
    assert bus.recovered == 1
    clock.now_ms += 1000
    await driver.read()
    bus.absent.add(0x76)
    await fails(driver.read(), NO_ANSWER, True)
    assert bus.recovered == 1, "a chip that is not there holds no bus"


async def scene_bme280_absent():
    _clock, _chip, bus, driver = bme280()
    bus.absent.add(0x76)
    assert str(await fails(driver.start(), NO_ANSWER)) == "no answer: BME280 at 0x76"
    bus.absent.clear()
    await driver.start()
    await driver.read()
    bus.absent.add(0x76)
    await fails(driver.read(), NO_ANSWER, True)
    await driver.stop()


async def scene_bme280_another_one_is_plugged_in():
    _clock, chip, bus, driver = bme280()
    await driver.start()
    await driver.read()
    bus.absent.add(0x76)
    await fails(driver.read(), NO_ANSWER, True)
    await fails(driver.read(), NO_ANSWER, True)
    await fails(driver.read(), NO_ANSWER, False)
    bus.absent.clear()
    chip.registers[0x88] ^= 0x40  # its own factory's numbers
    before = driver._calibration
    await driver.start()
    assert driver._calibration != before
    await driver.read()
    bus.absent.add(0x76)
    await fails(driver.read(), NO_ANSWER, True)


async def scene_bme280_bus_out_of_step():
    _clock, chip, _bus, driver = bme280()
    await driver.start()
    await driver.read()
    real = chip.read
    chip.read = lambda size: bytes(real(size + 1)[1:])
    await fails(driver.read(), WRONG_CHIP, False)


async def scene_bme280_out_of_range():
    _clock, chip, _bus, driver = bme280()
    await driver.start()
    chip.data[3:6] = b"\xff\xff\xf0"
    await fails(driver.read(), RANGE)


async def scene_bme280_temperature_offset():
    _clock, _chip, _bus, driver = bme280()
    driver.configure("temperature_offset_cdeg", -150)
    driver.configure("min_count", 3)
    await driver.start()
    readings = await driver.read()
    assert readings[0][2] == 25080 - 1500
    assert readings[1][2] == 7360


async def scene_bme280_waits_are_short():
    clock, _chip, _bus, driver = bme280()
    await driver.start()
    await driver.read()
    assert clock.longest_ms <= 2, clock.longest_ms


async def scene_bme280_self_test():
    _clock, chip, _bus, driver = bme280()
    rows = await driver.self_test()
    assert [row[1] for row in rows] == [True] * 5
    chip.registers[0xD0] = 0x58
    assert (await driver.self_test())[-1] == ("wrong chip: BMP280 (0x58), which has no humidity", False, 0x58)
