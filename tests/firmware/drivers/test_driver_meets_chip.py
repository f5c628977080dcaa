"""Each driver on its simulated chip, which was written apart from it: the same datasheet, no shared code or constant.

The world knows the truth; the driver must find it through the chip's bytes, and see each fault that the chip can have.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from boards.model import THIRD_OCTAVES
from firmware import drivers
from firmware.aggregate import Window
from firmware.drivers import SensorError
from firmware.dsp import meter
from tests.fakes import chip_meter
from tests.fakes.bus import FakeClock
from tools.sim import chips
from tools.sim.chips.i2s_mic import a_weighting_db
from tools.sim.world import World
from wire import channels, quality

START_S = 1_772_600_400  # a Wednesday morning in March, 6:00 in Bochum


@pytest.fixture(autouse=True)
def chips_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter's machine code in place of its source, which gives the same bits twenty times slower."""
    monkeypatch.setattr(meter, "run", chip_meter.shared_kernel())


class Stage:
    """A driver, its simulated chip, and a clock that both follow. Transfers take their time on the bus."""

    def __init__(
        self, driver: str, chip: str, start_s: int = START_S, params: dict[str, Any] | None = None, **chip_params: Any
    ) -> None:
        self.clock = FakeClock()
        self._began_ms = self.clock.now_ms
        self.world = World(7, start_s)
        self.chip: Any = chips.create(chip, self.world, 3, **chip_params)
        kind: type[I2cBus] | type[UartLine] | type[I2sReceiver] = I2cBus
        if hasattr(self.chip, "output"):
            kind = UartLine
        elif hasattr(self.chip, "frames"):
            kind = I2sReceiver
        self.running = False
        self.bus: Any = kind(self)
        self.driver = drivers.load(driver)(self.bus, self.clock, **(params or {}))

    def now_us(self) -> int:
        return self.world.start_s * 1_000_000 + (self.clock.now_ms - self._began_ms) * 1000

    async def run(self, seconds: int, window: Window | None = None) -> tuple[dict[str, list[int]], list[int]]:
        """Values by channel and reasons of refused readings, read as the sampler reads, into `window` too."""
        values: dict[str, list[int]] = {}
        refused = []
        driver = self.driver
        until_ms = self.clock.now_ms + 1000 * seconds
        while self.clock.now_ms < until_ms:
            began_ms = self.clock.now_ms
            try:
                if not self.running:
                    await driver.start()
                    self.running = True
                readings = await driver.read()
                for channel, instance, value, flag in readings:
                    values.setdefault(channels.by_id(channel).name, []).append(value)
                    if window is not None:
                        window.add(channel, instance, value, driver.covered_ms, flag)
                if window is not None and driver.lost_ms:
                    window.missed(driver.lost_ms)
            except SensorError as error:
                refused.append(error.reason)
                if window is not None:
                    window.refuse(error.reason, driver.period_ms)
                if not self.running or not error.retry:
                    await driver.stop()
                    self.running = False
            await self.clock.sleep_ms(max(0, began_ms + 1000 - self.clock.now_ms))
        return values, refused


class I2cBus:
    """100 kHz: a byte takes 90 us; the fake clock counts whole milliseconds."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rest_us = 0
        self.recovered = 0

    def _spend(self, size: int) -> None:
        self._rest_us += 90 * (size + 1)
        self._stage.clock.now_ms += self._rest_us // 1000
        self._rest_us %= 1000
        if "bus_held" in self._stage.chip.faults:
            self._stage.clock.now_ms += 50  # the port's timeout
            raise OSError(116)

    def writeto(self, address: int, data: bytes) -> None:
        self._spend(len(data))
        if address != self._stage.chip.address:
            raise OSError(19)
        try:
            self._stage.chip.write(bytes(data), self._stage.now_us())
        except chips.Nack:
            raise OSError(19) from None

    def readfrom_into(self, address: int, buffer: bytearray) -> None:
        self._spend(len(buffer))
        if address != self._stage.chip.address:
            raise OSError(19)
        try:
            buffer[:] = self._stage.chip.read(len(buffer), self._stage.now_us())
        except chips.Nack:
            raise OSError(19) from None

    def recover(self) -> None:
        self.recovered += 1
        self._stage.chip.faults.discard("bus_held")


class UartLine:
    """115200 baud, without the bytes' own time on the line."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._due = b""

    def write(self, data: bytes) -> int:
        self._stage.chip.receive(bytes(data), self._stage.now_us())
        return len(data)

    async def readinto(self, buffer: bytearray, timeout_ms: int) -> int:
        clock, chip = self._stage.clock, self._stage.chip
        until_us = self._stage.now_us() + 1000 * timeout_ms
        while not self._due:
            due_us = chip.next_output_us()
            if due_us is None or due_us > until_us:
                clock.now_ms += (until_us - self._stage.now_us()) // 1000
                return 0
            clock.now_ms += max(0, math.ceil((due_us - self._stage.now_us()) / 1000))
            self._due = chip.output(self._stage.now_us())
        size = min(len(buffer), len(self._due))
        buffer[:size] = self._due[:size]
        self._due = self._due[size:]
        return size


class I2sReceiver:
    """48 frames each millisecond, in pieces of 256."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._taken = 0
        self._slots = 1
        self._opened_us: int | None = None

    def slots(self, count: int) -> None:
        self._slots = count
        self._taken = 0
        self._opened_us = None

    async def readinto(self, buffer: memoryview, timeout_ms: int) -> int:
        stage = self._stage
        if self._opened_us is None:
            self._opened_us = stage.now_us()
            stage.chip.open(self._opened_us, 48000)
        while (waiting := (stage.now_us() - self._opened_us) * 48 // 1000 // 256 * 256 - self._taken) < 256:
            stage.clock.now_ms += 1
        size = 4 * self._slots
        frames = min(waiting, len(buffer) // size)
        words = np.zeros((frames, self._slots), "<u4")
        for at in range(self._slots):
            heard = stage.chip.frames(self._taken, frames, stage.now_us(), slot=("left", "right")[at])
            words[:, at] = np.frombuffer(heard, "<u4")
        buffer[: size * frames] = words.tobytes()
        self._taken += frames
        return size * frames


def play(stage: Stage, scene: Callable[[Stage], Awaitable[Any]]) -> Any:
    return asyncio.run(scene(stage))  # type: ignore[arg-type]


def mean(values: list[int]) -> float:
    return sum(values) / len(values)


# --- Air -------------------------------------------------------------------------------------------------------------

AIR = {"warmup_ms": 2000, "clean_at_start": 0}


@pytest.mark.parametrize("mode", ["float", "uint16"])
def test_sps30_finds_the_particles(mode: str) -> None:
    stage = Stage("sps30", "sps30", params={**AIR, "mode": mode}, humid_growth=False)
    values, refused = play(stage, lambda s: s.run(120))
    assert set(refused) <= {drivers.WARMING_UP}
    assert len(values["pm2_5"]) >= 110
    truth = stage.world.air(START_S + 60)
    for name, exact in (
        ("pm1", truth.pm1_ugm3),
        ("pm2_5", truth.pm2_5_ugm3),
        ("pm10", truth.pm10_ugm3),
        ("nc1", truth.nc1_cm3),
    ):
        assert mean(values[name][-60:]) / 100 == pytest.approx(exact, rel=0.2, abs=1.5), name
    assert mean(values["typical_size"]) / 10000 == pytest.approx(truth.typical_size_um, rel=0.2)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("bad_crc", drivers.BAD_CRC),
        ("byte_shift", drivers.BAD_CRC),
        ("silence", drivers.NO_ANSWER),
        ("no_new_data", drivers.STALE),
        ("stuck", drivers.STUCK),
        ("dead_fan", drivers.CHIP_FAULT),
        ("dead_laser", drivers.CHIP_FAULT),
    ],
)
def test_sps30_faults_are_seen_and_go_away(fault: str, reason: int) -> None:
    stage = Stage("sps30", "sps30", params={**AIR, "stuck_reads": 20})

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(20)
        assert values
        stage.chip.switch(fault)
        await stage.run(60)
        values, refused = await stage.run(60)
        assert reason in refused
        assert values == {}
        stage.chip.switch(fault, False)
        await stage.run(60)
        values, refused = await stage.run(30)
        assert len(values["pm2_5"]) >= 25
        assert set(refused) <= {drivers.WARMING_UP}

    play(stage, scene)


@pytest.mark.parametrize("driver", ["sps30", "sps30_uart"])
def test_an_sps30_that_cleans_itself_is_not_lost(driver: str) -> None:
    """Every interval nothing new comes for 10 s: that is no failure of three readings in a row, which would be told a city."""
    stage = Stage(driver, driver.replace("_", "-"), params={"warmup_ms": 15000, "clean_interval_s": 600})
    values, refused = play(stage, lambda s: s.run(2000))
    assert set(refused) == {drivers.WARMING_UP}
    assert len(refused) > 3 * 6, "at start and every ten minutes"
    assert len(values["pm2_5"]) > 1900

    async def silent(stage: Stage) -> int:
        stage.chip.switch("no_new_data" if driver == "sps30" else "silence")
        return (await stage.run(30))[1][0]

    first = play(stage, silent)
    assert first == (drivers.STALE if driver == "sps30" else drivers.NO_ANSWER), "none is due: a failure at once"


@pytest.mark.parametrize("every_s", [240, 5000], ids=["brown-outs", "none"])
def test_an_sps30_that_loses_its_count_is_cleaned_all_the_same(every_s: int) -> None:
    """Its supply breaks down more often than it cleans itself; one that cleans itself is not told to."""
    stage = Stage("sps30", "sps30", params=AIR | {"clean_interval_s": 600})
    obey = stage.chip.write
    told = []

    def write(data: bytes, now_us: int) -> None:
        obey(data, now_us)
        told.append(data)

    stage.chip.write = write

    async def scene(stage: Stage) -> None:
        for second in range(0, 4000, 20):
            if second % every_s == every_s - 20:
                stage.chip.power_off()
                stage.chip.power_on(stage.now_us())
            await stage.run(20)

    play(stage, scene)
    assert told.count(b"\x56\x07") in ((5, 6) if every_s == 240 else (0,))


@pytest.mark.parametrize("driver", ["sps30", "sps30_uart"])
def test_an_sps30_of_old_firmware_goes_by_its_new_interval(driver: str) -> None:
    """Before 2.2 it takes a reset, and without one tells the old interval to a self test."""
    stage = Stage(driver, driver.replace("_", "-"), params=AIR | {"clean_interval_s": 600}, firmware=(2, 1))

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(30)
        assert len(values["pm2_5"]) >= 20
        assert ("cleaning interval s", True, 600) in await stage.driver.self_test()
        _, refused = await stage.run(620)
        assert refused.count(drivers.WARMING_UP) >= 6, "it cleaned itself"

    play(stage, scene)


def test_sps30_slow_fan_is_flagged() -> None:
    stage = Stage("sps30", "sps30", params=AIR, faults=("slow_fan",))

    async def scene(stage: Stage) -> None:
        await stage.run(10)
        assert {flag for _, _, _, flag in await stage.driver.read()} == {drivers.SUSPECT | quality.STATUS << 4}

    play(stage, scene)


def test_bme280_finds_the_weather() -> None:
    for calibration in (None, "B"):
        stage = Stage(
            "bme280", "bme280", self_heating_degc=0.0, **({"calibration": calibration} if calibration else {})
        )
        values, refused = play(stage, lambda s: s.run(60))
        assert refused == []
        assert len(values["temperature"]) >= 59
        truth = stage.world.air(START_S + 30)
        assert mean(values["temperature"]) / 1000 == pytest.approx(truth.temperature_degc, abs=0.6)
        assert mean(values["humidity"]) / 100 == pytest.approx(truth.humidity_pct, abs=4)
        assert mean(values["pressure"]) / 100 == pytest.approx(truth.pressure_hpa, abs=1.5)


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("silence", {drivers.NO_ANSWER}),
        ("wrong_chip_id", {drivers.WRONG_CHIP}),
        ("all_ff", {drivers.WRONG_CHIP}),
        ("byte_shift", {drivers.WRONG_CHIP}),
        ("not_triggered", {drivers.STALE}),
        ("late_answer", {drivers.STALE}),
        ("stuck", {drivers.STUCK}),
    ],
)
def test_bme280_faults_are_seen_and_go_away(fault: str, reasons: set[int]) -> None:
    stage = Stage("bme280", "bme280", params={"stuck_reads": 20})

    async def scene(stage: Stage) -> None:
        await stage.run(10)
        stage.chip.switch(fault)
        await stage.run(40)
        values, refused = await stage.run(40)
        assert set(refused) == reasons
        assert values == {}
        stage.chip.switch(fault, False)
        await stage.run(5)
        values, refused = await stage.run(10)
        assert refused == []
        assert len(values["pressure"]) >= 9

    play(stage, scene)


def test_bme280_blank_calibration() -> None:
    stage = Stage("bme280", "bme280", faults=("blank_calibration",))
    assert play(stage, lambda s: s.run(10)) == ({}, [drivers.CALIBRATION] * 10)


# --- Sound -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "chip_params"),
    [
        ("ics43434", {}),
        ("inmp441", {"slot": "right"}),
        ("sph0645", {"timing": "late"}),
    ],
)
def test_the_microphone_hears_the_calibrator(model: str, chip_params: dict[str, str]) -> None:
    params = {"model": model, "slot": chip_params.get("slot", "left")}
    stage = Stage("i2s_mic", model, params=params, tone=(1000.0, 94.0), **chip_params)
    values, refused = play(stage, lambda s: s.run(4))
    assert set(refused) == {drivers.WARMING_UP}
    assert values["laeq"][-1] == pytest.approx(9400, abs=30)
    assert values["lafmax"][-1] == pytest.approx(9400, abs=30)


@pytest.mark.slow
def test_the_microphone_hears_the_street() -> None:
    stage = Stage("i2s_mic", "ics43434", start_s=START_S + 7200)
    laeq = channels.by_name("laeq").id
    lafmax = channels.by_name("lafmax").id

    async def scene(stage: Stage) -> None:
        window = Window(((laeq, 0), (lafmax, 0)), 30000)
        await stage.run(2)
        begin_us = stage.now_us()
        while stage.now_us() < begin_us + 30_000_000:
            for channel, instance, value, flag in await stage.driver.read():
                window.add(channel, instance, value, stage.driver.covered_ms, flag)
        closed = window.close()
        truth = stage.world.sound_truth(begin_us, stage.now_us())
        assert closed.coverage_pct == 100
        assert closed.values[0] / 10 == pytest.approx(truth[0], abs=1.0)
        assert closed.values[1] / 10 == pytest.approx(truth[1], abs=2.0)

    play(stage, scene)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("silence", drivers.SILENT),
        ("swapped_channel", drivers.SILENT),
        ("open_line", drivers.STUCK),
        ("all_ones", drivers.STUCK),
        ("stuck", drivers.STUCK),
        ("byte_shift", drivers.SHIFTED),
    ],
)
def test_microphone_faults_are_seen_and_go_away(fault: str, reason: int) -> None:
    stage = Stage("i2s_mic", "ics43434")

    async def scene(stage: Stage) -> None:
        await stage.run(2)
        stage.chip.switch(fault)
        await stage.run(2)
        values, refused = await stage.run(2)
        assert values == {}
        assert set(refused) - {drivers.WARMING_UP} == {reason}
        stage.chip.switch(fault, False)
        await stage.run(2)
        values, refused = await stage.run(2)
        assert len(values["laeq"]) >= 1
        assert set(refused) <= {drivers.WARMING_UP}

    play(stage, scene)


@pytest.mark.parametrize(("fault", "reason"), [("gaps", quality.LOST), ("clipping", quality.OVERLOAD)])
def test_doubtful_sound_is_flagged(fault: str, reason: int) -> None:
    stage = Stage("i2s_mic", "ics43434", level_db=80.0, faults=(fault,))

    async def scene(stage: Stage) -> None:
        await stage.run(2)
        for _ in range(2):
            assert {flag for _, _, _, flag in await stage.driver.read()} == {drivers.SUSPECT | reason << 4}

    play(stage, scene)


def test_a_swapped_channel_is_named() -> None:
    stage = Stage("i2s_mic", "ics43434", slot="right")

    async def scene(stage: Stage) -> None:
        rows = await stage.driver.self_test()
        assert rows[0][:2] == ("no sound: the right slot has it, see the L/R pin", False)

    play(stage, scene)


def test_the_dnms_hears_the_street() -> None:
    stage = Stage("dnms", "dnms", start_s=START_S + 7200, params={"warmup_ms": 0})
    ids = [(channels.by_name(name).id, 0) for name in ("laeq", "laeq_max", "laeq_min")]

    async def scene(stage: Stage) -> None:
        window = Window(tuple(ids), 60000)
        await stage.run(2)
        begin_us = stage.now_us()
        for _ in range(60):
            began_ms = stage.clock.now_ms
            for channel, instance, value, flag in await stage.driver.read():
                window.add(channel, instance, value, stage.driver.covered_ms, flag)
            await stage.clock.sleep_ms(began_ms + 1000 - stage.clock.now_ms)
        closed = window.close()
        truth = stage.world.sound_truth(begin_us, stage.now_us())
        assert closed.coverage_pct == 100 and closed.flags is None
        laeq, highest, lowest = (value / 10 for value in closed.values)
        assert laeq == pytest.approx(truth[0], abs=0.5)
        assert truth[1] - 1 <= highest <= truth[1] + 3, "it knows no time weighting"
        assert lowest < laeq - 3

    play(stage, scene)


def test_the_bands_of_a_dnms_add_up_to_its_level() -> None:
    stage = Stage("dnms", "dnms", params={"third_octaves": 1}, level_db=65.0)
    values, _ = play(stage, lambda s: s.run(6))
    total = 0.0
    for number, name in enumerate(THIRD_OCTAVES):
        hertz = 1000 * 10 ** ((number - 16) / 10)
        total += 10 ** ((values[name][-1] / 100 + a_weighting_db(hertz)) / 10)
    assert 10 * math.log10(total) == pytest.approx(values["laeq"][-1] / 100, abs=0.05)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("bad_crc", drivers.BAD_CRC),
        ("byte_shift", drivers.BAD_CRC),
        ("silence", drivers.NO_ANSWER),
        ("restarts", drivers.NO_ANSWER),
        ("late_answer", drivers.STALE),
        ("never_ready", drivers.STALE),
        ("no_data", drivers.STALE),
        ("nonsense", drivers.RANGE),
        ("stuck", drivers.STUCK),
        ("wrong_chip", drivers.WRONG_CHIP),
    ],
)
def test_dnms_faults_are_seen_and_go_away(fault: str, reason: int) -> None:
    stage = Stage("dnms", "dnms", params={"stuck_reads": 5})

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(10)
        assert values
        stage.chip.switch(fault)
        stage.running = fault != "wrong_chip"  # nobody changes a module while it runs
        await stage.run(20)
        values, refused = await stage.run(20)
        assert reason in refused
        assert values == {} or fault == "restarts"
        stage.chip.switch(fault, False)
        await stage.run(10)
        values, refused = await stage.run(10)
        assert len(values["laeq"]) >= 5
        assert set(refused) <= {drivers.WARMING_UP}

    play(stage, scene)


# --- Traffic ---------------------------------------------------------------------------------------------------------


def traffic(**chip_params: Any) -> tuple[tuple[int, int], tuple[int, int], dict[str, list[int]], Stage]:
    """(counted, true) vehicles (approaching, departing) of ten minutes in the morning's rush."""
    stage = Stage("ld2451", "ld2451", start_s=START_S + 5400, **chip_params)
    values, refused = play(stage, lambda s: s.run(600))
    assert refused == []
    passed = stage.world.vehicles(stage.world.start_s * 1_000_000, stage.now_us())
    counted = (sum(values["vehicles_approach"]), sum(values["vehicles_depart"]))
    true = (sum(v.approaching for v in passed), sum(not v.approaching for v in passed))
    return counted, true, values, stage


@pytest.mark.parametrize(
    "params", [{}, {"drop_percent": 10}, {"idle_frames": False}], ids=["plain", "dropped", "silent idle"]
)
def test_the_radar_counts_the_street(params: dict[str, Any]) -> None:
    counted, true, values, stage = traffic(**params)
    assert sum(true) >= 30, "a street with traffic"
    for found, exact in zip(counted, true, strict=True):
        assert found == pytest.approx(exact, rel=0.05, abs=1)
    speeds = [v.speed_kmh for v in stage.world.vehicles(stage.world.start_s * 1_000_000, stage.now_us())]
    assert mean(values["speed_mean"]) / 100 == pytest.approx(sum(speeds) / len(speeds), abs=4)


def test_rain_is_no_traffic() -> None:
    (approach, depart), true, _, _ = traffic(faults=("ghosts",))
    assert approach + depart <= 1.05 * sum(true) + 1


@pytest.mark.parametrize(("fault", "reason"), [("silence", drivers.NO_ANSWER), ("byte_shift", drivers.SHIFTED)])
def test_radar_faults_are_seen_and_go_away(fault: str, reason: int) -> None:
    stage = Stage("ld2451", "ld2451", start_s=START_S + 5400, params={"dead_ms": 10000})

    async def scene(stage: Stage) -> None:
        await stage.run(10)
        stage.chip.switch(fault)
        await stage.run(20)
        values, refused = await stage.run(20)
        assert reason in refused
        stage.chip.switch(fault, False)
        await stage.run(5)
        values, refused = await stage.run(10)
        assert refused == []
        assert len(values["vehicles"]) >= 9

    play(stage, scene)


@pytest.mark.parametrize("fault", ["garbage", "late_answer"])
def test_the_radar_survives(fault: str) -> None:
    counted, true, _, _ = traffic(faults=(fault,))
    for found, exact in zip(counted, true, strict=True):
        assert found == pytest.approx(exact, rel=0.05, abs=1)


def test_a_radar_whose_vehicles_nobody_can_read_says_so_in_every_window() -> None:
    """Half of an hour's traffic comes in reports that are unreadable, and all the others say that the road is empty."""
    stage = Stage("ld2451", "ld2451", start_s=START_S + 5400)
    window = Window(tuple((channels.id_of(name), 0) for name in ("vehicles_approach", "vehicles_depart")), 300_000)
    lost = quality.SUSPECT | quality.LOST << 4

    async def windows(count: int) -> list[Any]:
        closed = []
        for _ in range(count):
            window.clear()
            await stage.run(300, window)
            closed.append(window.close())
        return closed

    async def scene(stage: Stage) -> None:
        for clean in await windows(2):
            assert min(clean.values) > 0 and clean.flags is None and clean.coverage_pct >= 99
        stage.chip.switch("wrong_count")
        for blind in await windows(6):
            assert blind.flags == (lost, lost)
            assert blind.coverage_pct < 97
        stage.chip.switch("wrong_count", False)
        await windows(1)
        for clean in await windows(2):
            assert min(clean.values) > 0 and clean.flags is None and clean.coverage_pct >= 99

    play(stage, scene)
