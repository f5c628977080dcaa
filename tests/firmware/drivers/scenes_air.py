"""Particle sensors on a fake line, and the converter on a fake bus, with captured bytes. Each scene runs on both interpreters."""

from firmware.drivers import (
    BAD_CRC,
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    RANGE,
    READY,
    REFUSED,
    SHIFTED,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WRONG_CHIP,
    SensorError,
)
from firmware.drivers.ads1115_no2 import ADS1115NO2
from firmware.drivers.pms5003 import PMS5003
from firmware.drivers.sds011 import SDS011
from firmware.drivers.sps30_uart import SPS30UART
from tests.fakes.bus import FakeClock, FakeI2c, FakeUart, fails
from wire.quality import STATUS


def bytes_of(text):
    return bytes.fromhex(text.replace(" ", ""))


class Script:
    """Answers to commands, by the command's bytes: {hex: answer in hex}. What is not there is not answered."""

    def __init__(self, answers, delay_ms=10):
        self.clock = FakeClock()
        self.uart = FakeUart(self.clock, self.answer)
        self.answers = {bytes_of(command): bytes_of(answer) for command, answer in answers.items()}
        self.delay_ms = delay_ms

    def answer(self, data):
        found = self.answers.get(data)
        return [] if found is None else [(self.delay_ms, found)]


# --- SDS011 ----------------------------------------------------------------------------------------------------------

ZEROS = "00" * 10
REPORT = "AA C0 D4 04 3A 0A A1 60 1D AB"
SDS_ANSWERS = {
    "AA B4 06 01 01" + ZEROS + "FF FF 06 AB": "AA C5 06 01 01 00 A1 60 09 AB",
    "AA B4 07 00 00" + ZEROS + "FF FF 05 AB": "AA C5 07 12 0B 10 A1 60 35 AB",
    "AA B4 02 00 00" + ZEROS + "FF FF 00 AB": "AA C5 02 00 00 00 A1 60 03 AB",
    "AA B4 08 00 00" + ZEROS + "FF FF 06 AB": "AA C5 08 00 00 00 A1 60 09 AB",
    "AA B4 06 01 00" + ZEROS + "FF FF 05 AB": "AA C5 06 01 00 00 A1 60 08 AB",
}


async def scene_sds011_writes_nothing_that_is_so_already():
    chip = Script(SDS_ANSWERS)
    driver = SDS011(chip.uart, chip.clock, warmup_ms=0)
    await driver.start()
    assert driver.identity == "SDS011 A160 firmware 18-11-16"
    assert len(chip.uart.written) == 4
    chip.uart.send(500, bytes_of(REPORT))
    assert [row[2:] for row in await driver.read()] == [(12360, GOOD), (26180, GOOD)]
    assert driver.state == READY and driver.covered_ms == 1000
    await driver.stop()
    assert chip.uart.written[-1] == bytes_of("AA B4 06 01 00" + ZEROS + "FF FF 05 AB")
    await fails(driver.read(), STALE, False)


async def scene_sds011_takes_the_newest_of_what_waits():
    chip = Script(SDS_ANSWERS)
    driver = SDS011(chip.uart, chip.clock, warmup_ms=0)
    await driver.start()
    chip.uart.send(0, bytes_of(REPORT * 2 + "AA C0 06 00 06 00 58 D9 3D AB AA C0 09"))
    assert (await driver.read())[0][2] == 60
    chip.uart.send(900, bytes_of("00 09 00 58 D9 43 AB"))
    assert (await driver.read())[0][2] == 90


async def scene_sds011_says_what_was_wrong():
    chip = Script(SDS_ANSWERS)
    driver = SDS011(chip.uart, chip.clock, warmup_ms=0, stuck_reads=3)
    await driver.start()
    chip.uart.send(100, bytes_of(REPORT[:-5] + "1E AB"))
    await fails(driver.read(), BAD_CRC, True)
    chip.uart.send(100, bytes_of(REPORT[:12] + REPORT[15:]))
    await fails(driver.read(), SHIFTED, True)
    for _ in range(4):
        await fails(driver.read(), NO_ANSWER, True)
    await fails(driver.read(), NO_ANSWER, False)  # the fifth in a row: it is started anew
    chip.uart.send(100, bytes_of("AA C0 07 00 06 00 A1 60 0E AB"))
    await fails(driver.read(), RANGE)
    for _ in range(2):
        chip.uart.send(100, bytes_of(REPORT))
        await driver.read()
    chip.uart.send(100, bytes_of(REPORT))
    await fails(driver.read(), STUCK)


async def scene_sds011_is_woken_by_the_second_command():
    chip = Script(SDS_ANSWERS)
    sent = []

    def asleep_at_first(data):
        sent.append(data)
        return [] if len(sent) == 1 else chip.answer(data)

    chip.uart.answer = asleep_at_first
    driver = SDS011(chip.uart, chip.clock)
    await driver.start()
    assert sent[0] == sent[1]
    chip.uart.send(100, bytes_of(REPORT))
    await fails(driver.read(), WARMING_UP, True)
    assert chip.clock.longest_ms == 0, "it waits for bytes, never just so"


async def scene_sds011_sets_mode_and_period():
    answers = dict(SDS_ANSWERS)
    answers["AA B4 08 01 05" + ZEROS + "FF FF 0C AB"] = "AA C5 08 01 05 00 A1 60 0F AB"
    answers["AA B4 02 00 00" + ZEROS + "FF FF 00 AB"] = "AA C5 02 00 01 00 A1 60 04 AB"
    answers["AA B4 02 01 00" + ZEROS + "FF FF 01 AB"] = "AA C5 02 01 00 00 A1 60 04 AB"
    chip = Script(answers)
    driver = SDS011(chip.uart, chip.clock, mode="query", working_period_min=5)
    await driver.start()
    for _ in range(310):
        await fails(driver.read(), WARMING_UP, True)
    chip.uart.send(100, bytes_of(REPORT[:-5] + "1E AB"))
    await fails(driver.read(), BAD_CRC, True)
    chip.uart.send(100, bytes_of(REPORT))
    await driver.read()
    assert driver.covered_ms == 30000
    for _ in range(330):
        await fails(driver.read(), WARMING_UP, True)
    await fails(driver.read(), NO_ANSWER, True)  # it should have reported by now


# --- PMS5003 ---------------------------------------------------------------------------------------------------------

DATA = "42 4D 00 1C 00 00 00 08 00 08 00 00 00 08 00 08 00 D2 00 46 00 2D 00 1E 00 00 00 00 97 00 02 C5"
WAKE_ACTIVE, WAKE_PASSIVE = "42 4D E4 00 01 01 74 42 4D E1 00 01 01 71", "42 4D E4 00 01 01 74 42 4D E1 00 00 01 70"
READ = "42 4D E2 00 00 01 71"
SLEEP = "42 4D E4 00 00 01 73"


async def scene_pms5003_active():
    chip = Script({WAKE_ACTIVE: "42 4D 00 04 E1 01 01 75" + DATA, SLEEP: "42 4D 00 04 E4 00 01 77"})
    driver = PMS5003(chip.uart, chip.clock, warmup_ms=0)
    await driver.start()
    assert driver.identity == "PMS5003 version 0x97, atmospheric columns"
    chip.uart.send(2300, bytes_of(DATA))
    assert [row[2] for row in await driver.read()] == [0, 800, 800, 140, 165, 180, 210]
    assert driver.covered_ms == 2300
    damaged = bytearray(bytes_of(DATA))
    damaged[28:32] = b"\x97\x04\x02\xc9"
    chip.uart.send(2300, bytes(damaged))
    error = await fails(driver.read(), CHIP_FAULT, False)
    assert error.detail == 4
    await driver.stop()
    assert chip.uart.written[-1] == bytes_of(SLEEP)


async def scene_pms5003_passive_and_standard_columns():
    chip = Script({WAKE_PASSIVE: "42 4D 00 04 E1 00 01 74", READ: DATA})
    driver = PMS5003(chip.uart, chip.clock, mode="passive", columns="cf1", warmup_ms=0)
    driver.configure("sample_ms", 5000)
    await driver.start()
    assert driver.identity == "PMS5003 version 0x97, cf1 columns"
    await driver.read()
    assert driver.period_ms == driver.covered_ms == 5000
    chip.answers.clear()
    await fails(driver.read(), NO_ANSWER, True)
    rows = await driver.self_test()
    assert rows[-1] == ("no answer", False, 0), rows


# --- SPS30 -----------------------------------------------------------------------------------------------------------

VALUES = (
    "7E 00 03 00 28 40 A7 83 20 41 17 77 BB 41 4A 5F 83 41 54 8D DD 41 D2 83 3E 42 7D 33 FC 85 42 26 17 22 42 29 A4 D9 "
    "42 2A 29 BC 3F 55 B7 E7 9E 7E"
)
SPS_ANSWERS = {
    "7E 00 01 00 FE 7E": "7E 00 01 43 00 BB 7E",
    "7E 00 D1 00 2E 7E": "7E 00 D1 00 07 02 02 00 07 00 02 00 1A 7E",
    "7E 00 D0 01 03 2B 7E": "7E 00 D0 00 03 41 42 00 A9 7E",
    "7E 00 80 01 00 7D 5E 7E": "7E 00 80 00 04 00 09 3A 80 B8 7E",
    "7E 00 D2 01 01 2B 7E": "7E 00 D2 00 05 00 00 00 00 00 28 7E",
    "7E 00 D2 01 00 2C 7E": "7E 00 D2 00 05 00 00 00 00 00 28 7E",
    "7E 00 00 02 01 03 F9 7E": "7E 00 00 00 00 FF 7E",
    "7E 00 03 00 FC 7E": VALUES,
}


async def scene_sps30_uart_gives_the_captured_values():
    chip = Script(SPS_ANSWERS)
    driver = SPS30UART(chip.uart, chip.clock, warmup_ms=0, clean_at_start=0)
    await driver.start()
    assert driver.identity == "SPS30 AB firmware 2.2"
    assert [row[2] for row in await driver.read()] == [523, 947, 1265, 1328, 2631, 3700, 4152, 4241, 4254, 8348]
    rows = await driver.self_test()
    assert all([passed for _, passed, _ in rows]) and len(rows) == 4, rows
    chip.answers[bytes_of("7E 00 03 00 FC 7E")] = bytes_of("7E 00 03 43 00 B9 7E")
    error = await fails(driver.read(), REFUSED, False)  # idle: its supply had broken down
    assert error.detail == 0x43
    chip.answers[bytes_of("7E 00 03 00 FC 7E")] = bytes_of("7E 00 03 00 00 FC 7E")
    began = chip.clock.now_ms
    await fails(driver.read(), STALE, True)
    assert 1500 <= chip.clock.now_ms - began < 1700


async def scene_sps30_uart_looks_at_the_status_when_an_answer_says_so():
    chip = Script(SPS_ANSWERS)
    driver = SPS30UART(chip.uart, chip.clock, warmup_ms=0, clean_at_start=0)
    await driver.start()
    await driver.read()
    chip.answers[bytes_of("7E 00 03 00 FC 7E")] = bytes_of("7E 00 03 80" + VALUES[11:-5] + "1E 7E")
    chip.answers[bytes_of("7E 00 D2 01 00 2C 7E")] = bytes_of("7E 00 D2 80 05 00 00 00 10 00 98 7E")
    error = await fails(driver.read(), CHIP_FAULT, False)
    assert error.detail == 16


async def scene_sps30_uart_wakes_it_with_an_edge():
    chip = Script(SPS_ANSWERS)
    waking = []

    def asleep(data):
        waking.append(data)
        awake = b"\xff" in waking and bytes_of("7E 00 7D 31 00 EE 7E") in waking
        if data == bytes_of("7E 00 7D 31 00 EE 7E"):
            return [(10, bytes_of("7E 00 7D 31 00 00 EE 7E"))]
        return chip.answer(data) if awake else []

    chip.uart.answer = asleep
    driver = SPS30UART(chip.uart, chip.clock, warmup_ms=0, clean_at_start=0)
    try:
        await driver.start()
    except SensorError:
        pass  # asserted below
    assert b"\xff" in waking, "no edge"
    assert waking.index(b"\xff") + 1 == waking.index(bytes_of("7E 00 7D 31 00 EE 7E"))
    assert driver.identity != ""


# --- ADS1115 ---------------------------------------------------------------------------------------------------------


class Converter:
    """Registers, and voltages in codes by MUX. Knobs: `codes`, `busy_ms`, `thresholds`."""

    def __init__(self, clock):
        self.clock = clock
        self.codes = {4: 3920, 5: 3856, 0: 64}  # 245 mV, 241 mV, their difference
        self.busy_ms = 135
        self.thresholds = b"\x80\x00\x7f\xff"
        self.config = 0x8583
        self.pointer = 0
        self.until_ms = 0
        self.configs = []

    def write(self, data):
        self.pointer = data[0]
        if len(data) == 3:
            self.config = data[1] << 8 | data[2]
            self.configs.append(self.config)
            self.until_ms = self.clock.now_ms + self.busy_ms

    def read(self, size):
        assert size == 2
        if self.pointer == 0:
            return (self.codes[self.config >> 12 & 7] & 0xFFFF).to_bytes(2, "big")
        if self.pointer == 1:
            busy = self.clock.now_ms < self.until_ms
            return (self.config & 0x7FFF | (0 if busy else 0x8000)).to_bytes(2, "big")
        return self.thresholds[:2] if self.pointer == 2 else self.thresholds[2:]


def cell(**params):
    clock = FakeClock()
    chip = Converter(clock)
    bus = FakeI2c(clock, {0x48: chip})
    values = {"warmup_ms": 0, "settle_ms": 0, "sensitivity_uv_ppb": 309, "temperature": "fixed"}
    values.update(params)
    return clock, chip, bus, ADS1115NO2(bus, clock, **values)


async def scene_no2_worked_example():
    clock, chip, _bus, driver = cell()
    await driver.start()
    assert driver.identity == "ADS1115 at 0x48, cell no2-b43f"
    readings = await driver.read()
    assert [row[2:] for row in readings] == [(3948, GOOD), (24500, GOOD), (24100, GOOD)], readings
    assert chip.configs == [0xC503, 0xC503, 0xD503, 0x8503]
    assert clock.longest_ms <= 125
    driver.configure("sample_ms", 50)
    assert driver.period_ms == 1000
    await driver.stop()
    await fails(driver.read(), STALE, False)


async def scene_no2_temperature_from_another_sensor():
    _clock, _chip, _bus, driver = cell(temperature="sensor")
    await driver.start()
    assert (await driver.read())[0][2:] == (3948, SUSPECT | STATUS << 4)
    driver.hear([(11, 0, 25000, GOOD)])
    assert (await driver.read())[0][2:] == (4369, GOOD)
    driver.hear([(11, 0, -5, GOOD)])
    assert (await driver.read())[0][2:] == (1003, GOOD)


async def scene_no2_faults():
    _clock, chip, bus, driver = cell(stuck_reads=0)
    await driver.start()
    chip.codes = {4: 0x7FFF, 5: 3856, 0: 64}
    assert str(await fails(driver.read(), RANGE, True)) == "out of range: input saturated"
    chip.codes = {4: 9300, 5: 3856, 0: 800}
    assert str(await fails(driver.read(), RANGE, True)) == "out of range: electrode open"
    chip.codes = {4: 9300, 5: 9300, 0: 0}  # both
    assert str(await fails(driver.read(), RANGE, True)) == "out of range: electrode open"
    chip.codes = {4: 5, 5: 4, 0: 1}
    assert str(await fails(driver.read(), RANGE, True)) == "out of range: cell without supply"
    chip.codes = {4: 3920, 5: 3856, 0: 64}
    chip.busy_ms = 200
    error = await fails(driver.read(), STALE, True)
    assert str(error) == "stale: conversion not ready" and error.detail == 0x4503
    chip.busy_ms = 0
    error = await fails(driver.read(), STALE, True)
    assert str(error) == "stale: configuration not taken" and error.detail == 0xC503
    await fails(driver.read(), STALE, False)
    chip.busy_ms = 135
    bus.hangs = True
    await fails(driver.read(), NO_ANSWER)
    assert bus.recovered == 1
    await driver.read()
    rows = await driver.self_test()
    assert all([passed for _, passed, _ in rows]), rows
    assert ("WE uV", True, 245000) in rows and ("AE uV", True, 241000) in rows
    chip.thresholds = bytes(4)
    await fails(driver.start(), WRONG_CHIP, False)
    assert not (await driver.self_test())[0][1]
