"""The scenes of the drivers, on both interpreters, and what all drivers have in common."""

import asyncio

import pytest

from firmware import drivers
from firmware.dsp import meter, octaves
from tests.fakes import chip_meter, chip_octaves
from tests.firmware.drivers.run_scenes import load, scenes
from tests.firmware.interpreter import run_script
from wire import channels

MODULES = (
    "scenes_i2c", "scenes_sensirion", "scenes_ld2451", "scenes_i2s_mic", "scenes_dnms", "scenes_air", "scenes_ops243a",
    "scenes_tfluna",
)  # fmt: skip
pytest.register_assert_rewrite(*[f"tests.firmware.drivers.{name}" for name in MODULES])  # failures show both sides
ALL = [(module, scene) for module in MODULES for scene in scenes(load(module))]


@pytest.fixture(autouse=True)
def chips_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter's machine code in place of its source, which gives the same bits twenty times slower."""
    monkeypatch.setattr(meter, "run", chip_meter.shared_kernel())
    for name, kernel in zip(chip_octaves.KERNELS, chip_octaves.shared_kernels(), strict=True):
        monkeypatch.setattr(octaves, name, kernel)


@pytest.mark.parametrize(("module", "scene"), ALL, ids=[f"{module[7:]}-{scene[6:]}" for module, scene in ALL])
def test_scene(module: str, scene: str) -> None:
    asyncio.run(getattr(load(module), scene)())


@pytest.mark.parametrize("module", MODULES)
def test_scenes_under_micropython(module: str) -> None:
    passed = run_script("tests/firmware/drivers/run_scenes.py", module)
    assert passed == scenes(load(module))


@pytest.mark.parametrize("name", list(drivers.DRIVERS))
def test_every_driver_gives_what_the_sampler_needs(name: str) -> None:
    driver = drivers.load(name)(None, FakeTicks(), instance=3)
    assert driver.state == drivers.WARMUP
    assert driver.covered_ms == driver.lost_ms == 0
    assert driver.instance == 3
    assert driver.identity == "" or name == "i2s_mic"
    if hasattr(driver, "CHANNELS"):
        assert driver.items == tuple((channels.by_name(channel).id, 3) for channel in driver.CHANNELS)
    else:
        firsts = {channels.id_of(first): count for first, count in driver.GROUPS}
        rows = {(first + number, 3) for first, count in firsts.items() for number in range(count)}
        assert set(driver.items) <= rows
    assert driver.period_ms > 0
    from wire import settings

    for setting in driver.SETTINGS:
        driver.configure(setting, settings.by_name(setting).default)


def test_a_name_nobody_knows() -> None:
    with pytest.raises(KeyError):
        drivers.load("sds011x")


def test_every_reason_has_a_text() -> None:
    numbers = [value for name, value in vars(drivers).items() if name.isupper() and isinstance(value, int)]
    assert max(numbers) == drivers.REASONS.count(";")
    assert str(drivers.SensorError(drivers.BAD_CRC, detail=7)) == "bad checksum"


class FakeTicks:
    """A clock that only exists."""

    def ticks_ms(self) -> int:
        return 0

    def ticks_diff(self, a: int, b: int) -> int:
        return a - b
