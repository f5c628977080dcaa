"""A technician's command, a sensor's self test: of the sensor that was named, and also of one that does not start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware import drivers
from tests.fakes.board import Sensor
from tests.fakes.virtual_time import virtual_s
from tests.firmware.test_node import KEY, LIFE, World, play
from wire import messages

TOLD = (messages.SELF_TEST_PASSED, messages.SELF_TEST_FAILED)


def two_sensors(world: World, folder: Path) -> None:
    """The board of the tests, with a second sensor of its kind."""
    board = world.board.description()
    (sensor,) = board["sensors"]
    board["sensors"].append(sensor | {"instance": 1})
    (folder / "board.json").write_text(json.dumps(board))


async def ask(world: World, number: int, code: int, place: int) -> int:
    """The node's answer to a command."""
    world.gateway.asks.append(messages.Command(number, code, place, world.now_s() + 600))
    for _ in range(900):
        for other in world.gateway.others:
            if isinstance(other, messages.CommandResult) and other.command_id == number:
                return other.code
        await virtual_s(0.1)
    raise AssertionError("no answer")


def told(world: World) -> list[tuple[int, int]]:
    """(code, sensor's place) of the events about self tests."""
    events = [thing for thing in world.gateway.things(LIFE) if isinstance(thing, messages.Event)]
    return [(event.code, event.arg) for event in events if event.code in TOLD]


def test_it_is_the_sensor_that_was_named(tmp_path: Path) -> None:
    """Others measure on: a self test may take ten seconds of a chip's time."""

    async def script(world: World) -> None:
        two_sensors(world, tmp_path)
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(10)
        assert await ask(world, 1, messages.SELF_TEST, 1) == messages.DONE
        assert await ask(world, 2, messages.SELF_TEST, 2) == messages.FAILED
        await virtual_s(60)
        await world.drained()
        assert told(world) == [(messages.SELF_TEST_PASSED, 1)]
        await world.board.cut()

    play(script, tmp_path)


def test_a_sensor_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []

    async def start(_: Sensor) -> None:
        raise drivers.SensorError(drivers.NO_ANSWER)

    async def self_test(_: Sensor) -> list[tuple[str, bool, int]]:
        tested.append(1)
        return [("no answer", False, 0xD100)]

    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(300)  # it is tried once a minute now
        assert world.board.console is not None
        assert await ask(world, 1, messages.SELF_TEST, 0) == messages.DONE
        await virtual_s(15)
        await world.drained()
        assert told(world) == [(messages.SELF_TEST_FAILED, 0)]
        assert len(tested) == 1
        await world.board.cut()

    monkeypatch.setattr(Sensor, "start", start)
    monkeypatch.setattr(Sensor, "self_test", self_test)
    play(script, tmp_path)


def test_a_bus_that_fails_in_a_self_test_restarts_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_: Sensor) -> None:
        raise OSError(110)

    monkeypatch.setattr(Sensor, "start", start)
    monkeypatch.setattr(Sensor, "self_test", start)

    async def script(world: World) -> None:
        world.board.provision(KEY)
        world.board.start()
        await virtual_s(100)
        assert await ask(world, 1, messages.SELF_TEST, 0) == messages.DONE
        await virtual_s(15)
        await world.drained()
        assert told(world) == [(messages.SELF_TEST_FAILED, 0)]
        assert world.board.node is not None and world.board.node.supervisor.restarts() == 0
        await world.board.cut()

    play(script, tmp_path)
