"""A technician asks a board's sensors how they are, on the whole way: gateway, real firmware, simulated chips, the board's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.store.rows import unpack_detail
from tests.fakes.street import Street
from tools.sim.interpreter import find
from wire import messages

EVENT_KIND = 3  # of rows in the gateway's store
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not find().is_micropython, reason="needs MicroPython")]


def test_a_good_chip_and_a_dead_one_say_how_they_are(tmp_path: Path) -> None:
    with Street(tmp_path, "air-v1", window_s=60) as street:
        gateway = street.start_gateway()
        street.power_on()
        street.conductor.run(30)
        said = street.node.said

        def tested(sensor: int) -> str:
            """Lines of the board's log about it."""
            begin = len(said)
            answer = gateway.ask("command", node=1, command="self-test", arg=sensor, timeout_s=60)
            assert answer["result"] == "done"
            street.conductor.run(25)
            lines = bytes(said)[begin:].decode("utf-8", "replace").splitlines()
            return "\n".join(line for line in lines if "self test" in line)

        good = tested(0)
        assert "self test firmware, passed" in good and "self test pm2_5 0.01 ug/m3, passed" in good, good
        assert "sensor 1" not in good, "the other one measures on"
        (sps30,) = [entry.chip for entry in street.node.board.chips if entry.name == "sps30"]
        sps30.switch("silence")
        street.conductor.run(150)
        assert "self test no answer: chip at 0x69, FAILED" in tested(0)
        street.conductor.run(60)
        gateway.ask("drain", timeout_s=120)
        assert not street.trouble()
        events = [unpack_detail(row["data"]) for row in street.rows(EVENT_KIND)]
        codes = (messages.SELF_TEST_PASSED, messages.SENSOR_LOST, messages.SELF_TEST_FAILED)
        assert events == [{"code": code, "arg": 0} for code in codes]
