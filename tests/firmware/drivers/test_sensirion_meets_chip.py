"""SEN5x, SEN66, SCD41 and SHT4x on their simulated chips, which were written apart from them."""

from typing import Any

import pytest

from firmware import drivers
from firmware.drivers import BAD, GOOD, SUSPECT
from tests.firmware.drivers.test_driver_meets_chip import START_S, Stage, mean, play
from tools.sim import chips
from wire import channels
from wire.quality import STATUS, WARM_UP

QUICK = {"warmup_ms": 2000, "clean_at_start": 0, "learning_s": 0, "stuck_reads": 20}
PARAMS: dict[str, dict[str, Any]] = {
    "sen5x": QUICK, "sen66": QUICK, "scd41": {"stuck_reads": 6}, "sht4x": {"stuck_reads": 20},
}  # fmt: skip
PM = {"pm1", "pm2_5", "pm4", "pm10"}
CLIMATE = {"temperature", "humidity"}
GAS = {"voc_index", "nox_index"}


def stage_of(driver: str, **chip_params: Any) -> Stage:
    return Stage(driver, driver, params=PARAMS[driver], **chip_params)


def flags(readings: list[Any]) -> dict[str, int]:
    return {channels.by_id(channel).name: flag for channel, _, _, flag in readings}


@pytest.mark.parametrize("name", PARAMS)
def test_finds_the_air(name: str) -> None:
    stage = stage_of(name)
    values, refused = play(stage, lambda s: s.run(120))
    assert set(refused) <= {drivers.WARMING_UP}
    assert len(refused) <= 15
    assert set(values) == set(stage.driver.CHANNELS)
    at_s = START_S + 90
    air, gases = stage.world.air(at_s), stage.world.gases(at_s)
    truth = {
        "pm1": (air.pm1_ugm3, 1.5, 100), "pm2_5": (air.pm2_5_ugm3, 1.5, 100), "pm10": (air.pm10_ugm3, 2.0, 100),
        "temperature": (air.temperature_degc, 0.1, 1000), "humidity": (air.humidity_pct, 0.5, 100),
        "co2": (gases.co2_ppm, 12.0, 10),
    }  # fmt: skip
    for channel, (exact, within, scale) in truth.items():
        if channel in values:
            assert mean(values[channel][-60:]) / scale == pytest.approx(exact, abs=within), channel


FAULTS = [
    ("bad_crc", {drivers.BAD_CRC}),
    ("byte_shift", {drivers.BAD_CRC}),
    ("silence", {drivers.NO_ANSWER}),
    ("stuck", {drivers.STUCK}),
]
OWN = [
    ("sen5x", "no_new_data", {drivers.STALE}),
    ("sen66", "no_new_data", {drivers.STALE}),
    ("scd41", "no_new_data", {drivers.STALE}),
    ("sen66", "late_answer", {drivers.NO_ANSWER}),
    ("scd41", "late_answer", {drivers.NO_ANSWER}),
    ("sht4x", "late_answer", {drivers.NO_ANSWER}),
    ("scd41", "broken_cell", {drivers.RANGE}),
]


@pytest.mark.parametrize(
    ("name", "fault", "reasons"), [(name, *fault) for name in PARAMS for fault in FAULTS] + OWN
)  # fmt: skip
def test_faults_are_seen_and_go_away(name: str, fault: str, reasons: set[int]) -> None:
    stage = stage_of(name)

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(30)
        assert values
        stage.chip.switch(fault)
        await stage.run(60)
        values, refused = await stage.run(60)
        assert reasons <= set(refused) <= reasons | {drivers.WARMING_UP}
        assert values == {}
        stage.chip.switch(fault, False)
        await stage.run(60)
        values, refused = await stage.run(60)
        assert len(values["temperature"]) >= (11 if name == "scd41" else 58)
        assert refused == []

    play(stage, scene)


@pytest.mark.parametrize(
    ("name", "fault", "bad", "suspect"),
    [
        ("sen5x", "dead_laser", PM, set()),
        ("sen5x", "dead_fan", PM, CLIMATE | GAS),
        ("sen5x", "dead_gas", GAS, set()),
        ("sen5x", "dead_climate", CLIMATE, GAS),
        ("sen5x", "slow_fan", set(), PM),
        ("sen66", "dead_laser", PM, set()),
        ("sen66", "dead_fan", PM, CLIMATE | GAS | {"co2"}),
        ("sen66", "dead_gas", GAS, set()),
        ("sen66", "dead_climate", CLIMATE, GAS),
        ("sen66", "dead_co2", {"co2"}, set()),
        ("sen66", "slow_fan", set(), PM),
    ],
)
def test_status_word_speaks_of_a_part_of_the_chip(name: str, fault: str, bad: set[str], suspect: set[str]) -> None:
    stage = stage_of(name)

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        assert set(flags(await stage.driver.read()).values()) == {GOOD}
        stage.chip.switch(fault)
        await stage.run(20)
        for _ in range(25):  # the word was cleared and is asked again: no gap between
            found = flags(await stage.driver.read())
            assert {channel for channel, flag in found.items() if flag == BAD | STATUS << 4} == bad
            assert {channel for channel, flag in found.items() if flag == SUSPECT | STATUS << 4} == suspect
            await stage.clock.sleep_ms(900)
        assert not all(ok for _, ok, _ in await stage.driver.self_test())
        stage.chip.switch(fault, False)
        await stage.run(25)
        assert set(flags(await stage.driver.read()).values()) == {GOOD}

    play(stage, scene)


def test_a_chip_that_is_broken_everywhere_has_a_fault() -> None:
    faults = ("dead_laser", "dead_gas", "dead_climate")
    stage = Stage("sen5x", "sen5x", params={**QUICK, "warmup_ms": 10000}, faults=faults)
    values, refused = play(stage, lambda s: s.run(60))
    assert values == {}
    assert drivers.CHIP_FAULT in refused


@pytest.mark.parametrize("name", PARAMS)
def test_a_held_bus_is_freed(name: str) -> None:
    stage = stage_of(name)

    async def scene(stage: Stage) -> None:
        await stage.run(30)
        stage.chip.switch("bus_held")
        values, refused = await stage.run(30)
        assert refused == [drivers.NO_ANSWER]
        assert stage.bus.recovered == 1
        assert len(values["temperature"]) >= (5 if name == "scd41" else 28)

    play(stage, scene)


@pytest.mark.parametrize("name", PARAMS)
def test_a_brown_out_is_survived(name: str) -> None:
    stage = stage_of(name)

    async def scene(stage: Stage) -> None:
        await stage.run(30)
        stage.chip.power_off()
        stage.chip.power_on(stage.now_us())
        _, refused = await stage.run(60)
        assert set(refused) <= {drivers.NO_ANSWER, drivers.STALE, drivers.WARMING_UP}
        values, refused = await stage.run(30)
        assert refused == []
        assert values

    play(stage, scene)


@pytest.mark.parametrize("name", ["sen5x", "sen66"])
def test_the_fan_is_cleaned_at_start_and_by_the_interval(name: str) -> None:
    params = {**QUICK, "clean_at_start": 1, "clean_interval_s": 120}
    stage = Stage(name, name, params=params)

    async def scene(stage: Stage) -> None:
        _, refused = await stage.run(60)
        assert stage.chip.cleanings == 1
        assert set(refused) == {drivers.WARMING_UP}
        _, refused = await stage.run(100)
        assert stage.chip.cleanings == 2
        assert not stage.chip.cleaning
        assert set(refused) == {drivers.WARMING_UP}
        values, _ = await stage.run(30)
        assert len(values["pm2_5"]) >= 29
        await stage.driver.stop()
        await stage.driver.start()
        assert stage.chip.cleanings == 2, "starting anew is no reason to clean"
        await stage.driver.clean()
        assert stage.chip.cleanings == 3

    play(stage, scene)


@pytest.mark.parametrize("name", ["sen5x", "sen66"])
def test_the_fan_is_cleaned_by_the_interval_however_often_the_chip_is_started(name: str) -> None:
    stage = Stage(name, name, params={**QUICK, "clean_interval_s": 120})

    async def scene(stage: Stage) -> None:
        for _ in range(12):
            await stage.run(50)
            await stage.driver.stop()
            stage.running = False
        assert 4 <= stage.chip.cleanings <= 5

    play(stage, scene)


@pytest.mark.parametrize("name", ["sen5x", "sen66"])
def test_a_cleaning_that_was_refused_is_tried_again(name: str) -> None:
    stage = Stage(name, name, params={**QUICK, "clean_interval_s": 120})
    obey = stage.chip.write
    refusals = 0

    def write(data: bytes, now_us: int) -> None:
        nonlocal refusals
        if data == b"\x56\x07" and not refusals:
            refusals += 1
            raise chips.Nack("not now")
        obey(data, now_us)

    stage.chip.write = write

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(130)
        assert (refusals, stage.chip.cleanings) == (1, 0)
        await stage.run(100)
        assert stage.chip.cleanings == 1
        assert len(values["pm2_5"]) >= 110

    play(stage, scene)


@pytest.mark.parametrize("name", ["sen5x", "sen66"])
def test_no_value_is_given_while_the_fan_is_cleaned(name: str) -> None:
    stage = Stage(name, name, params={**QUICK, "warmup_ms": 0})

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        began_ms = stage.clock.now_ms
        await stage.driver.clean()
        values, refused = await stage.run(1)
        while not values:
            assert refused == [drivers.WARMING_UP]
            values, refused = await stage.run(1)
        assert stage.clock.now_ms - began_ms >= 10_000

    play(stage, scene)


@pytest.mark.parametrize("name", ["sen5x", "sen66"])
def test_gas_indices_learn_and_are_given_back_what_they_learned(name: str) -> None:
    stage = Stage(name, name, params={**QUICK, "learning_s": 30})

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        assert {c for c, flag in flags(await stage.driver.read()).items() if flag == SUSPECT | WARM_UP << 4} == GAS
        await stage.run(20)
        assert set(flags(await stage.driver.read()).values()) == {GOOD}
        learned_s = stage.chip._learned(stage.now_us())
        await stage.driver.stop()
        stage.running = False
        await stage.run(20)
        assert stage.chip._learned(stage.now_us()) == pytest.approx(learned_s + 20, abs=3)
        assert {c for c, flag in flags(await stage.driver.read()).items() if flag == SUSPECT | WARM_UP << 4} == {
            "nox_index"
        }
        await stage.driver.stop()
        stage.running = False
        stage.clock.now_ms += 700_000
        await stage.run(20)
        assert stage.chip._learned(stage.now_us()) < 25, "too old to be of use"

    play(stage, scene)


def test_a_brown_out_does_not_cost_what_the_gas_index_learned() -> None:
    stage = stage_of("sen66")

    async def scene(stage: Stage) -> None:
        await stage.run(900)
        stage.chip.power_off()
        stage.chip.power_on(stage.now_us())
        await stage.run(60)
        assert stage.chip._learned(stage.now_us()) > 640

    play(stage, scene)


def test_sen54_has_no_nitrogen_oxides() -> None:
    stage = stage_of("sen5x", product="SEN54")
    values, _ = play(stage, lambda s: s.run(40))
    assert "nox_index" not in values
    assert len(values["voc_index"]) >= 35
    assert stage.driver.identity.startswith("SEN54 ")
    assert all(ok for _, ok, _ in play(stage, lambda s: s.driver.self_test()))


@pytest.mark.parametrize(("name", "other"), [("sen66", "SEN68"), ("sen5x", "SPS30")])
def test_another_chip_is_refused_by_name(name: str, other: str) -> None:
    stage = stage_of(name, product=other)
    with pytest.raises(drivers.SensorError, match=f"wrong chip: {other}"):
        play(stage, lambda s: s.driver.start())


def test_sen66_is_told_its_place() -> None:
    stage = Stage("sen66", "sen66", params={**QUICK, "altitude_m": 104, "self_calibration": 0})
    play(stage, lambda s: s.run(5))
    assert (stage.chip.altitude_m, stage.chip.self_calibration) == (104, 0)


@pytest.mark.parametrize("mode", ["periodic", "low_power"])
def test_scd41_covers_its_time_and_corrects(mode: str) -> None:
    params = {"mode": mode, "altitude_m": 104, "offset_cdeg": 540, "self_calibration": 0}
    stage = Stage("scd41", "scd41", params=params, heating_degc=5.4)

    async def scene(stage: Stage) -> None:
        await stage.run(65)
        covered_ms, began_ms = 0, stage.clock.now_ms
        for _ in range(6):
            readings = await stage.driver.read()
            covered_ms += stage.driver.covered_ms
        assert covered_ms == pytest.approx(stage.clock.now_ms - began_ms, abs=stage.driver.period_ms)
        assert readings[1][2] / 1000 == pytest.approx(stage.world.air(stage.now_us() / 1e6).temperature_degc, abs=0.2)

    play(stage, scene)
    assert (stage.chip.altitude_m, stage.chip.offset_ticks, stage.chip.self_calibration) == (104, 0x07E6, 0)
    assert stage.driver.period_ms == (30000 if mode == "low_power" else 5000)


@pytest.mark.parametrize(
    ("chip_params", "name"),
    [({}, "SCD41"), ({"variant": "SCD40"}, "SCD40"), ({"variant": "SCD43"}, "SCD43"), ({"knows_variant": False}, "SCD4x")],
)  # fmt: skip
def test_scd41_identity(chip_params: dict[str, Any], name: str) -> None:
    stage = stage_of("scd41", serial=0x123456789ABC, **chip_params)
    play(stage, lambda s: s.run(5))
    assert stage.driver.identity == f"{name} 123456789abc"


def test_scd41_sleeps_when_stopped_and_is_woken() -> None:
    stage = stage_of("scd41")

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        await stage.driver.stop()
        stage.running = False
        assert stage.chip.state == "asleep"
        values, _ = await stage.run(30)
        assert len(values["co2"]) >= 3

    play(stage, scene)


def test_scd41_self_test() -> None:
    stage = stage_of("scd41")

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        assert await stage.driver.self_test() == [("self test", True, 0)]
        values, _ = await stage.run(30)
        assert len(values["co2"]) >= 3, "it measures again"
        stage.chip.switch("broken_cell")
        ((_, ok, detail),) = await stage.driver.self_test()
        assert not ok
        assert detail != 0

    play(stage, scene)


def test_sht4x_gives_nothing_while_it_is_hot_from_its_heater() -> None:
    stage = stage_of("sht4x")

    async def scene(stage: Stage) -> None:
        await stage.run(5)
        await stage.driver.clean()
        values, refused = await stage.run(60)
        assert set(refused) == {drivers.WARMING_UP}
        assert 25 <= len(refused) <= 32
        assert max(values["temperature"]) / 1000 < stage.world.air(START_S).temperature_degc + 1
        assert all(ok for _, ok, _ in await stage.driver.self_test())

    play(stage, scene)


def test_sht4x_is_not_heated_again_while_it_is_hot() -> None:
    """Whoever asks again and again: a tenth of the time is what the maker allows."""
    stage = stage_of("sht4x")

    async def scene(stage: Stage) -> None:
        await stage.run(5)
        heated = []
        for _ in range(70):
            await stage.driver.clean()
            heated.append(stage.chip._heated_us)
            await stage.run(1)
        assert len(set(heated)) == 3

    play(stage, scene)


def test_sht4x_in_water_is_at_its_end() -> None:
    stage = stage_of("sht4x", faults=("wet",))
    values, refused = play(stage, lambda s: s.run(10))
    assert refused == []
    assert set(values["humidity"]) == {10000}


@pytest.mark.parametrize(("letter", "address"), [("A", 0x44), ("B", 0x45), ("C", 0x46)])
def test_sht4x_addresses(letter: str, address: int) -> None:
    stage = Stage("sht4x", "sht4x", params={"address": address}, type=letter)
    assert play(stage, lambda s: s.run(5))[1] == []


@pytest.mark.parametrize("name", PARAMS)
def test_offset_moves_the_temperature_alone(name: str) -> None:
    plain, moved = stage_of(name), stage_of(name)
    moved.driver.configure("temperature_offset_cdeg", -150)
    before, _ = play(plain, lambda s: s.run(30))
    after, _ = play(moved, lambda s: s.run(30))
    assert after.pop("temperature") == [value - 1500 for value in before.pop("temperature")]
    assert after == before
