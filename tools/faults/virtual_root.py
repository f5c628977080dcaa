"""The gateway in virtual time under faults: the composition root in its process, and the broker before its MQTT sink.

The sink is the product's; in the place of its connection stands one to a broker of the laboratory, whose memory is a file:
what was published and what was confirmed outlives a SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiomqtt

from gateway.app import STORE_NAME, Gateway
from gateway.forward import mqtt
from gateway.forward.mqtt import MqttForwarder
from gateway.forward.mqtt_connection import RefusedByBroker
from gateway.store import spool
from gateway.store.retention import Budget
from tools.faults.orders import MESSAGES, Journal
from tools.faults.seams import Seams, predict_dropped
from tools.sim.gateway_runner import Idle, Runner, StepLink, VirtualClock, write_message
from tools.sim.virtual_loop import VirtualLoop

LATENCY_S = 0.02  # from a message to its confirmation at a broker in good health
NOT_AUTHORIZED = 0x87
BUDGET_LOOKS_S = 1.0


class LabClock(VirtualClock):
    def __init__(self, loop: VirtualLoop, start_s: int, seams: Seams) -> None:
        super().__init__(loop, start_s)
        self._seams = seams

    def wall_ms(self) -> int:
        return super().wall_ms() + self._seams.clock_error_ms()


class LabBroker:
    """All connections of one gateway process. A message has a number that no other process uses."""

    def __init__(self, seams: Seams, first: int) -> None:
        self.seams = seams
        self.log = Journal(seams.folder / MESSAGES)
        self.moved = asyncio.Event()  # the state changed: all who wait look again
        self._number = first
        seams.changed.append(self._move)

    def _move(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()

    @property
    def state(self) -> str:
        return self.seams.orders.broker

    def take(self, payload: bytes) -> int:
        self._number += 1
        self.log.note("publish", number=self._number, payload=json.loads(payload))
        return self._number

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """False at the deadline."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.moved.wait()
        except TimeoutError:
            return False
        return True


class LabConnection:
    """In the place of gateway.forward.mqtt_connection.Connection."""

    broker: LabBroker

    def __init__(self, broker: Any, config: Any, client_id: str, password: str | None, tls: Any) -> None:
        self._timeout_s = float(config.connect_timeout_s)
        self._made = 0
        self._broken = asyncio.Event()

    async def open(self) -> None:
        broker = self.broker
        if broker.state == "frozen":
            broker.seams.seen("broker_frozen", at="connect")
            if not await broker.until(lambda: broker.state != "frozen", self._timeout_s):
                raise aiomqtt.MqttError("Operation timed out")
        if broker.state == "stopped":
            broker.seams.seen("broker_stopped", at="connect")
            raise aiomqtt.MqttError("[Errno 111] Connection refused")
        if broker.state == "refuses":
            broker.seams.seen("broker_refuses")
            raise RefusedByBroker("connection", NOT_AUTHORIZED, "Not authorized")
        self._made = broker.seams.orders.number
        broker.seams.changed.append(self._look)

    def _look(self) -> None:
        """The broker's state changed: some changes end every connection."""
        state = self.broker.state
        if state in ("stopped", "forgets", "refuses") and self.broker.seams.orders.number > self._made:
            if state in ("stopped", "forgets"):
                self.broker.seams.seen(f"broker_{state}", at="connection")
            self._broken.set()

    async def lost(self) -> None:
        await self._broken.wait()
        raise aiomqtt.MqttError("the connection was lost")

    async def publish_confirmed(self, topic: str, payload: bytes, timeout_s: float) -> None:
        broker = self.broker
        reach = broker.seams.reach
        reach("before_publish")
        if self._broken.is_set():
            raise aiomqtt.MqttError("the connection was lost")
        number = broker.take(payload)
        reach("after_publish")
        if broker.state == "frozen":
            broker.seams.seen("broker_frozen", at="publish")
        if broker.state == "slow":
            broker.seams.seen("broker_slow")
            await asyncio.sleep(broker.seams.orders.latency_s)
        else:
            await asyncio.sleep(LATENCY_S)
        if not await broker.until(lambda: broker.state != "frozen" or self._broken.is_set(), timeout_s):
            raise aiomqtt.MqttError(f"the broker did not confirm within {timeout_s:g} s")
        if self._broken.is_set():
            raise aiomqtt.MqttError("the connection was lost")
        broker.log.note("puback", number=number)
        reach("before_puback")
        await asyncio.sleep(0)
        reach("after_puback")

    async def close(self) -> None:
        if self._look in self.broker.seams.changed:
            self.broker.seams.changed.remove(self._look)


class LabRunner(Runner):
    """The product's gateway with the laboratory's seams around it."""

    def __init__(self, config: Path, start_s: int, start_us: int, seed: int) -> None:
        super().__init__(config, start_s, start_us, seed)
        self.seams = Seams(config.parent, self._die)
        self._base: Budget | None = None

    def _die(self, point: str) -> None:
        """SIGKILL, after what has left is on the line."""
        write_message(1, Idle(None, self._sent, self._answers, f"killed {point}"))
        os.kill(os.getpid(), signal.SIGKILL)

    def _make_links(self, sink: Any, clock: Any) -> list[StepLink]:
        links = super()._make_links(self.seams.wrap_input(sink), clock)
        return [self.seams.wrap_sending(link) for link in links]

    def _put(self, port: str, data: bytes) -> None:
        if self.seams.gone(port):
            self.seams.seen("port_gone", port=port)
            return
        super()._put(port, data)

    def _make_gateway(self, entropy: Callable[[int], bytes]) -> Gateway:
        self._clock = LabClock(self._loop, self._start_s, self.seams)
        LabConnection.broker = LabBroker(self.seams, self._seed * 1_000_000)
        assert self._loaded.mqtt is not None
        sink = MqttForwarder(self._loaded.mqtt, self._loaded.gateway.id, self._clock, seed=self._seed)
        gateway = Gateway(self._loaded, self._clock, self._make_links, [sink], entropy)
        self._limit(gateway)
        return gateway

    def _limit(self, gateway: Gateway) -> None:
        """A budget by order; before it is kept, the number that it will cost is written down."""
        store = gateway.store
        base = store.budget
        keep = store.keep_budget

        def follow() -> None:
            ordered = self.seams.orders.budget_bytes
            store.budget = base._replace(max_bytes=ordered) if ordered else base

        async def keep_budget() -> None:
            if self.seams.orders.budget_bytes:
                ids = predict_dropped(self._loaded.gateway.data_dir / STORE_NAME, sink="mqtt")
                self.seams.journal.note("predicted", ids=ids, orders=self.seams.orders.number)
            await keep()

        follow()
        self.seams.changed.append(follow)
        store.keep_budget = keep_budget  # type: ignore[method-assign]

    async def _answer(self, question: dict[str, Any]) -> None:
        if question["do"] == "orders":
            self.seams.renew()
            self._answers.append({"id": question["id"], "ok": True, "result": None})
            return
        await super()._answer(question)

    def run(self) -> None:
        setattr(spool, "connect", self.seams.connect)  # noqa: B010  # seams that have no parameter
        setattr(mqtt, "Connection", LabConnection)  # noqa: B010
        super().run()


def main(args: list[str]) -> None:
    """As tools.sim.gateway_runner."""
    config, start_s, now_us, seed, log_file = args[:5]
    logging.basicConfig(filename=log_file, level=logging.INFO, format="%(levelname)s %(message)s")
    LabRunner(Path(config), int(start_s), int(now_us), int(seed)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
