"""First faults on the whole path: nothing is lost, nothing comes twice, and what is redelivered was on its way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.fakes.mosquitto import Mosquitto
from tests.fakes.stage import Street, StreetNode, running, short_folder
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(150)]

IN_FLIGHT = 2 * 20  # records on their way to the broker: two batches of twenty (tests/fakes/stage.py)

Open = Callable[..., tuple[Street, Mosquitto]]


@pytest.fixture
def street_with_broker() -> Iterator[Open]:
    with ExitStack() as stack:

        def open_street(*boards: str, **more: Any) -> tuple[Street, Mosquitto]:
            folder = stack.enter_context(short_folder())
            (folder / "broker").mkdir()
            broker = Mosquitto(folder / "broker").start()
            stack.callback(broker.stop)
            street = Street(folder, boards, broker=broker, **more)
            stack.callback(street.close)
            street.start()
            street.wait_delivered(1)
            return street, broker

        yield open_street


def received(street: Street, node: StreetNode) -> int:
    """Bytes that the board has sent."""
    return int(node.control({"do": "stats"})["bytes_out"])


def test_gateway_killed_again_and_again(street_with_broker: Open) -> None:
    street, _ = street_with_broker("air-v1", "noise-v1")
    off_before = street.ledger()["causes"].get("node_off", 0)  # until each board had booted with its key
    kills = 5
    for kill in range(kills):
        street.gateway.kill(0.0)
        street.wait_sealed(street.nodes[kill % 2], 2)
        street.gateway.start()
        if kill % 2:  # else it dies again in the middle of catching up
            street.wait_delivered(2)
        else:
            wait_until(running(street), 20, "the gateway answers")
    # It dies while its disk is busy: what it received is not synced, so it must not have been acknowledged.
    with closing(sqlite3.connect(street.gateway.store, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        air = street.nodes[0]
        wait_until(lambda: received(street, air) > 0, 5, "the board says something")
        before = received(street, air)
        wait_until(lambda: received(street, air) >= before + 60, 10, "records reach the gateway")
        street.gateway.kill(0.0)
        busy.execute("ROLLBACK")
    street.gateway.start()
    began = time.monotonic()
    result = street.assert_nothing_lost(redelivered_at_most=kills * IN_FLIGHT)
    assert result["causes"].get("node_off", 0) == off_before, "a node measures on while nobody listens"
    print(f"{kills} kills of the gateway; {time.monotonic() - began:.1f} s to close and drain")


def test_power_cuts(street_with_broker: Open) -> None:
    street, _ = street_with_broker("air-v1", "noise-v1")
    air, noise = street.nodes
    for _ in range(3):
        air.kill()
        air.look_into_flash()
        air.restart()
        street.wait_delivered(1)
    # Without a gateway a board comes back without a clock, and loses its power again in that state.
    street.gateway.kill(0.0)
    street.wait_sealed(air, 1)
    for node in (air, noise):
        node.kill()
        node.look_into_flash()
    air.restart()
    street.wait_sealed(air, 3)
    air.kill()
    began_off = time.monotonic()
    noise.restart()
    wait_until(lambda: time.monotonic() - began_off > 2 * street.window_s, 10, "whole windows pass while a node is off")
    air.restart()
    street.wait_sealed(air, 4)
    street.gateway.start()
    result = street.assert_nothing_lost(redelivered_at_most=IN_FLIGHT)
    assert result["nodes"]["1"]["causes"]["node_off"] >= 1


def test_a_bad_line(street_with_broker: Open) -> None:
    street, _ = street_with_broker("air-v1", "noise-v1", ack_wait_ms=300, retry_max_ms=1000)
    air, noise = street.nodes
    kinds = ["corrupt", "drop", "duplicate"]
    air.noise(burst=0.12, kinds=kinds)
    noise.noise(independent=0.005, kinds=kinds)
    street.wait_delivered(15, 40)
    for node, least in ((air, 0.05), (noise, 0.003)):
        for way, (hit, seen) in zip(("to the node", "from it"), node.noise_seen(), strict=True):
            print(f"{node.name}, {way}: {hit} of {seen} bytes hit, {hit / seen:.1%}")
        hit, seen = (sum(column) for column in zip(*node.noise_seen(), strict=True))
        assert hit >= least * seen
    for node in street.nodes:
        node.look_into_flash()
        node.noise()
    street.assert_nothing_lost()


def test_broker_away(street_with_broker: Open) -> None:
    street, broker = street_with_broker("air-v1", "noise-v1")
    broker.freeze()
    for node in street.nodes:
        node.look_into_flash()
    wait_until(lambda: street.ledger().get("pending", 0) >= 6, 20, "records wait for the frozen broker")
    broker.thaw()
    street.wait_delivered(1)
    # What lies in the sockets of a frozen broker when it dies was never confirmed.
    broker.freeze()
    wait_until(lambda: street.ledger().get("pending", 0) >= 6, 20, "records wait for the frozen broker")
    broker.kill()
    wait_until(lambda: street.ledger().get("pending", 0) >= 20, 40, "records wait in the spool")
    held = [len(contents.sealed) for node in street.nodes for contents in node.look_into_flash().values()]
    assert held
    broker.start()
    began = time.monotonic()
    wait_until(lambda: street.ledger().get("pending", 1) <= 2, 30, "the spool is drained")
    print(f"spool drained in {time.monotonic() - began:.1f} s after the broker came back")
    street.assert_nothing_lost(redelivered_at_most=3 * IN_FLIGHT)
