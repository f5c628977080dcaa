"""A bus that a chip holds, on a port that tells it as an address that nobody has: it is freed all the same.

The ESP32 port on ESP-IDF's newer driver asks first whether anybody is there, and takes every error for a no
(machine_i2c.c): a held bus is errno 19 there, as a chip that is unplugged. So a sensor that does not start has its bus
clocked free.
"""

import asyncio
from typing import Any

import pytest

from tests.fakes.bus import FakeClock
from tests.fakes.quality_run import START_S, Place, node_with, window_of
from tests.firmware.drivers.test_driver_meets_chip import I2cBus
from tools.sim.world import World

CHIPS = {
    "sps30": "sps30", "bme280": "bme280", "sen5x": "sen5x", "sen66": "sen66", "scd41": "scd41", "sht4x": "sht4x",
    "dnms": "dnms", "ads1115_no2": "ads1115-no2",
}  # fmt: skip


class AskingFirst(I2cBus):
    """Such a port."""

    def _spend(self, size: int) -> None:
        try:
            super()._spend(size)
        except OSError:
            raise OSError(19) from None


@pytest.mark.parametrize("driver", CHIPS)
def test_a_held_bus_that_looks_empty_is_freed(driver: str) -> None:
    buses: list[Any] = []
    clock = FakeClock()
    place = Place(
        World(7, START_S), clock, driver, CHIPS[driver], lambda place: buses.append(AskingFirst(place)) or buses[0]
    )
    place.sensor.bus = buses[0]
    node = node_with(window_of(("pm2_5",), 60), clock)

    def run(seconds: int) -> None:
        until_ms = clock.now_ms + 1000 * seconds
        while clock.now_ms < until_ms:
            before_ms = clock.now_ms
            asyncio.run(place.turn(node))
            clock.now_ms = max(clock.now_ms, before_ms + 1000)

    run(60)
    assert place.running and not buses[0].recovered
    place.chip.faults.add("bus_held")
    run(90)
    assert buses[0].recovered
    assert place.running
    assert not place.sensor.failures
