"""Drivers of particles over UART and of NO2 on their simulated chips: values, warm-up, and every fault, seen and gone."""

from typing import Any

import pytest

from firmware import drivers
from firmware.drivers import (
    BAD_CRC,
    CHIP_FAULT,
    GOOD,
    NO_ANSWER,
    RANGE,
    SHIFTED,
    STALE,
    STUCK,
    SUSPECT,
    WARMING_UP,
    WRONG_CHIP,
)
from tests.firmware.drivers.test_driver_meets_chip import START_S, Stage, mean, play
from wire import channels
from wire.quality import STATUS, WARM_UP

SPS = {"warmup_ms": 5000, "clean_at_start": 0, "stuck_reads": 20}
PARTICLES = {"warmup_ms": 10000, "stuck_reads": 8}
NO2 = {"warmup_ms": 0, "settle_ms": 0, "sensitivity_uv_ppb": 309, "temperature": "fixed", "stuck_reads": 20}


def truth(stage: Stage) -> Any:
    return stage.world.air(START_S + 50)


# --- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["float", "uint16"])
def test_sps30_over_uart_finds_the_particles(mode: str) -> None:
    stage = Stage("sps30_uart", "sps30-uart", params=SPS | {"mode": mode})
    values, refused = play(stage, lambda s: s.run(90))
    assert set(refused) <= {WARMING_UP}
    assert len(values["pm2_5"]) >= 80
    air = truth(stage)
    for name, exact in (
        ("pm1", air.pm1_ugm3),
        ("pm2_5", air.pm2_5_ugm3),
        ("pm10", air.pm10_ugm3),
        ("nc1", air.nc1_cm3),
    ):
        assert mean(values[name][-60:]) / 100 == pytest.approx(exact, rel=0.2, abs=1.5), name
    assert mean(values["typical_size"]) / 10000 == pytest.approx(air.typical_size_um, rel=0.2)
    assert stage.driver.identity == f"SPS30 {stage.chip.serial} firmware 2.2"


@pytest.mark.parametrize("mode", ["active", "query"])
def test_sds011_finds_the_particles(mode: str) -> None:
    stage = Stage("sds011", "sds011", params={"mode": mode}, query=mode == "active")
    values, refused = play(stage, lambda s: s.run(90))
    assert set(refused) == {WARMING_UP}
    assert 27 <= len(refused) <= 31
    assert len(values["pm2_5"]) >= 55
    assert mean(values["pm2_5"]) / 100 == pytest.approx(truth(stage).pm2_5_ugm3, rel=0.1, abs=0.5)
    assert mean(values["pm10"]) / 100 == pytest.approx(truth(stage).pm10_ugm3, rel=0.1, abs=0.5)
    assert stage.driver.identity == "SDS011 A160 firmware 18-11-16"
    assert stage.chip.query == (mode == "query")


def test_sds011_rests_between_its_reports() -> None:
    """Once a minute a value that stands for the half minute of work; in between nothing is wrong."""
    stage = Stage("sds011", "sds011", params={"working_period_min": 1}, query=True)

    async def scene(stage: Stage) -> None:
        covered = 0
        failed = set()
        await stage.driver.start()
        for _ in range(600):
            began_ms = stage.clock.now_ms
            try:
                await stage.driver.read()
                covered += stage.driver.covered_ms
            except drivers.SensorError as error:
                failed.add((error.reason, error.retry))
            await stage.clock.sleep_ms(max(0, began_ms + 1000 - stage.clock.now_ms))
        assert failed == {(WARMING_UP, True)}
        assert covered == pytest.approx(300_000, abs=30_000)
        stage.chip.switch("silence")
        _, refused = await stage.run(120)
        assert NO_ANSWER in refused

    play(stage, scene)


@pytest.mark.parametrize("mode", ["active", "passive"])
def test_pms5003_finds_the_particles(mode: str) -> None:
    stage = Stage("pms5003", "pms5003", params={"mode": mode})
    values, refused = play(stage, lambda s: s.run(90))
    assert set(refused) == {WARMING_UP}
    assert len(values["pm2_5"]) >= (55 if mode == "passive" else 25)
    air = truth(stage)
    exact = {"pm1": air.pm1_ugm3, "pm2_5": air.pm2_5_ugm3, "pm10": air.pm10_ugm3, "nc0_5": air.nc0_5_cm3}
    exact |= {"nc1": air.nc1_cm3, "nc2_5": air.nc2_5_cm3, "nc10": air.nc10_cm3}
    for name, true in exact.items():
        assert mean(values[name]) / 100 == pytest.approx(true, rel=0.1, abs=1), name
    assert stage.driver.identity == "PMS5003 version 0x97, atmospheric columns"


@pytest.mark.parametrize(("driver", "params"), [("pms5003", {"mode": "active"}), ("sds011", {"mode": "active"})])
def test_readings_of_an_active_chip_cover_the_time(driver: str, params: dict[str, Any]) -> None:
    stage = Stage(driver, driver.replace("_", "-"), params=params | {"warmup_ms": 0})

    async def scene(stage: Stage) -> None:
        await stage.driver.start()
        await stage.driver.read()
        began_ms, covered = stage.clock.now_ms, 0
        while stage.clock.now_ms < began_ms + 60000:
            at_ms = stage.clock.now_ms
            await stage.driver.read()
            covered += stage.driver.covered_ms
            await stage.clock.sleep_ms(max(0, at_ms + 1000 - stage.clock.now_ms))
        assert covered == pytest.approx(stage.clock.now_ms - began_ms, abs=2300)

    play(stage, scene)


@pytest.mark.parametrize("cell", ["b43f", "a43f"])
@pytest.mark.parametrize("degc", [-12.0, 4.0, 20.0, 33.0])
def test_no2_is_found_at_every_temperature(cell: str, degc: float) -> None:
    params = NO2 | {"cell": f"no2-{cell}", "temperature_cdeg": int(degc * 100)}
    stage = Stage("ads1115_no2", "ads1115-no2", params=params, cell=cell, degc=degc)
    values, refused = play(stage, lambda s: s.run(30))
    assert refused == []
    assert len(values["no2"]) >= 28
    exact = sum(stage.world.no2_ppb(START_S + second) for second in range(30)) / 30
    assert exact > 5
    assert mean(values["no2"]) / 100 == pytest.approx(exact, abs=0.5)
    we_v, ae_v = stage.chip.electrodes_v(stage.now_us())
    assert values["no2_we"][-1] / 100 == pytest.approx(we_v * 1000, abs=2)
    assert values["no2_ae"][-1] / 100 == pytest.approx(ae_v * 1000, abs=2)


def test_no2_takes_the_temperature_that_another_sensor_tells() -> None:
    stage = Stage("ads1115_no2", "ads1115-no2", params=NO2 | {"temperature": "sensor"}, degc=-5.0)
    told = [(channels.by_name("temperature").id, 0, -5000, GOOD)]

    async def scene(stage: Stage) -> None:
        async def reading() -> tuple[float, int]:
            row = (await stage.driver.read())[0]
            return row[2] / 100 - stage.world.no2_ppb(stage.now_us() / 1e6), row[3]

        await stage.driver.start()
        unknown, flag = await reading()
        assert flag == SUSPECT | STATUS << 4
        stage.driver.hear(
            [(told[0][0], 1, 40000, GOOD), (told[0][0], 0, 40000, SUSPECT)]
        )  # another place, and a doubtful one
        assert (await reading())[1] == SUSPECT | STATUS << 4
        stage.driver.hear(told)
        known, flag = await reading()
        assert flag == GOOD
        assert abs(known) < 5 < abs(unknown)
        stage.clock.now_ms += 590_000
        assert (await reading())[1] == GOOD
        stage.clock.now_ms += 20_000
        assert (await reading())[1] == SUSPECT | STATUS << 4

    play(stage, scene)


def test_no2_settles_once_for_each_power_up() -> None:
    params = NO2 | {"warmup_ms": 5000, "settle_ms": 60_000}
    stage = Stage("ads1115_no2", "ads1115-no2", params=params)

    async def scene(stage: Stage) -> None:
        _, refused = await stage.run(6)
        assert set(refused) == {WARMING_UP}
        assert {row[3] for row in await stage.driver.read()} == {SUSPECT | WARM_UP << 4, GOOD}, (
            "the voltages are what they are"
        )
        await stage.run(60)
        await stage.driver.stop()
        stage.running = False
        _, refused = await stage.run(1)  # starts anew
        assert refused == []
        assert {row[3] for row in await stage.driver.read()} == {GOOD}

    play(stage, scene)


def test_no2_without_a_card_gives_the_voltages_alone() -> None:
    stage = Stage("ads1115_no2", "ads1115-no2", params={"warmup_ms": 0})
    values, _ = play(stage, lambda s: s.run(5))
    assert sorted(values) == ["no2_ae", "no2_we"]


# --- Faults ----------------------------------------------------------------------------------------------------------

FAULTS = [
    ("sps30_uart", SPS, "bad_checksum", BAD_CRC),
    ("sps30_uart", SPS, "byte_shift", SHIFTED),
    ("sps30_uart", SPS, "silence", NO_ANSWER),
    ("sps30_uart", SPS, "late_answer", NO_ANSWER),
    ("sps30_uart", SPS, "no_new_data", STALE),
    ("sps30_uart", SPS, "stuck", STUCK),
    ("sps30_uart", SPS, "dead_fan", CHIP_FAULT),
    ("sps30_uart", SPS, "dead_laser", CHIP_FAULT),
    ("sds011", PARTICLES, "bad_checksum", BAD_CRC),
    ("sds011", PARTICLES, "byte_shift", SHIFTED),
    ("sds011", PARTICLES, "silence", NO_ANSWER),
    ("sds011", PARTICLES, "stuck", STUCK),
    ("sds011", PARTICLES, "dead_fan", STUCK),
    ("sds011", PARTICLES | {"mode": "query"}, "deaf", NO_ANSWER),
    ("sds011", PARTICLES | {"mode": "query"}, "bad_checksum", BAD_CRC),
    ("pms5003", PARTICLES, "bad_checksum", BAD_CRC),
    ("pms5003", PARTICLES, "byte_shift", BAD_CRC),
    ("pms5003", PARTICLES, "silence", NO_ANSWER),
    ("pms5003", PARTICLES, "stuck", STUCK),
    ("pms5003", PARTICLES, "dead_laser", STUCK),
    ("pms5003", PARTICLES, "error_code", CHIP_FAULT),
    ("pms5003", PARTICLES | {"mode": "passive"}, "silence", NO_ANSWER),
    ("pms5003", PARTICLES | {"mode": "passive"}, "bad_checksum", BAD_CRC),
    ("ads1115_no2", NO2, "silence", NO_ANSWER),
    ("ads1115_no2", NO2, "stuck", STUCK),
    ("ads1115_no2", NO2, "dead_converter", RANGE),
    ("ads1115_no2", NO2, "byte_shift", WRONG_CHIP),
    ("ads1115_no2", NO2, "wrong_chip", None),
    ("ads1115_no2", NO2, "late_answer", STALE),
    ("ads1115_no2", NO2, "not_started", STALE),
    ("ads1115_no2", NO2, "config_lost", STALE),
    ("ads1115_no2", NO2, "open_we", RANGE),
    ("ads1115_no2", NO2, "open_ae", RANGE),
    ("ads1115_no2", NO2, "saturated", RANGE),
    ("ads1115_no2", NO2, "unpowered", RANGE),
]


@pytest.mark.parametrize(
    ("driver", "params", "fault", "reason"),
    FAULTS,
    ids=[f"{row[0]}-{row[1].get('mode', '')}-{row[2]}" for row in FAULTS],
)
def test_faults_are_seen_and_go_away(driver: str, params: dict[str, Any], fault: str, reason: int | None) -> None:
    stage = Stage(driver, driver.replace("_", "-"), params=params)
    name = "no2" if driver == "ads1115_no2" else "pm2_5"

    async def scene(stage: Stage) -> None:
        values, _ = await stage.run(16)
        assert values
        stage.chip.switch(fault)
        await stage.run(35)
        values, refused = await stage.run(30)
        if reason is None:  # shows only when the driver starts
            await stage.driver.stop()
            with pytest.raises(drivers.SensorError, match="wrong chip"):
                await stage.driver.start()
        else:
            assert reason in refused
            assert values == {}
        stage.chip.switch(fault, False)
        await stage.run(25)
        values, refused = await stage.run(22)
        assert len(values[name]) >= 5
        assert set(refused) <= {WARMING_UP}

    play(stage, scene)


@pytest.mark.parametrize("driver", ["sps30_uart", "sds011", "pms5003"])
def test_garbage_between_frames_costs_nothing(driver: str) -> None:
    stage = Stage(
        driver, driver.replace("_", "-"), params=SPS if driver == "sps30_uart" else PARTICLES, faults=("garbage",)
    )
    values, refused = play(stage, lambda s: s.run(60))
    assert len(values["pm2_5"]) >= 18
    assert set(refused) <= {WARMING_UP, BAD_CRC}


def test_pms5003_that_never_answers_commands_works_in_active_mode() -> None:
    stage = Stage("pms5003", "pms5003", params=PARTICLES, faults=("no_answers",))
    values, refused = play(stage, lambda s: s.run(60))
    assert set(refused) == {WARMING_UP}
    assert len(values["pm1"]) >= 20


@pytest.mark.parametrize(
    ("driver", "params"),
    [("sps30_uart", SPS), ("sds011", PARTICLES), ("pms5003", PARTICLES | {"mode": "passive"}), ("pms5003", PARTICLES)],
)
def test_supply_breaks_down_and_comes_back(driver: str, params: dict[str, Any]) -> None:
    """Sleep, modes and measuring are what they were without a reset of the board."""
    stage = Stage(driver, driver.replace("_", "-"), params=params)

    async def scene(stage: Stage) -> None:
        await stage.run(20)
        stage.chip.power_off()
        values, refused = await stage.run(20)
        assert values == {}
        assert set(refused) == {NO_ANSWER}
        stage.chip.power_on(stage.now_us())
        await stage.run(60)
        values, refused = await stage.run(20)
        assert values
        assert set(refused) <= {WARMING_UP}
        await stage.driver.stop()
        stage.running = False
        assert stage.chip.state == "asleep" if driver == "sps30_uart" else stage.chip.asleep
        values, refused = await stage.run(20)
        assert values, "woken again"
        assert set(refused) <= {WARMING_UP}

    play(stage, scene)


@pytest.mark.parametrize("driver", ["sps30_uart", "sds011", "pms5003", "ads1115_no2"])
def test_self_test_tells_a_technician(driver: str) -> None:
    params = {"sps30_uart": SPS, "ads1115_no2": NO2}.get(driver, PARTICLES)
    stage = Stage(driver, driver.replace("_", "-"), params=params)

    async def scene(stage: Stage) -> None:
        await stage.run(15)
        rows = await stage.driver.self_test()
        assert len(rows) >= 4
        assert all(passed and isinstance(detail, int) for _, passed, detail in rows), rows
        stage.chip.switch("silence")
        rows = await stage.driver.self_test()
        assert ("no answer", False) in [row[:2] for row in rows] or not rows[-1][1]
        assert stage.clock.longest_ms <= 1000

    play(stage, scene)


def test_none_of_these_drivers_uses_a_float() -> None:
    """So nothing depends on how long a board's floats are."""
    import ast
    from pathlib import Path

    for name in ("line", "sds011", "pms5003", "sps30", "sps30_uart", "sensirion", "ads1115_no2"):
        tree = ast.parse((Path(drivers.__file__).parent / f"{name}.py").read_text())
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Div), name
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), name
            assert not (isinstance(node, ast.Name) and node.id in ("float", "struct")), name
