"""The gateway in real time under faults: the composition root in its process. Serial ports, threads, SQLite and MQTT
client are those of any gateway."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway import app
from gateway.clock import Clock, SystemClock
from gateway.config import load
from gateway.forward import mqtt
from gateway.forward.mqtt import MqttForwarder
from gateway.forward.mqtt_connection import Connection
from gateway.links.serial import SerialLink
from gateway.store import spool
from tools.faults.seams import Seams

LOOK_S = 0.05


class LabClock(SystemClock):
    """The machine's clock, as wrong as ordered."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams

    def wall_ms(self) -> int:
        return super().wall_ms() + self._seams.clock_error_ms()


class LabConnection(Connection):
    """The product's connection, with the instants around publish and PUBACK."""

    seams: Seams

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        plain = self._client.publish

        def publish(*args: Any, **more: Any) -> Any:
            self.seams.reach("before_publish")
            info = plain(*args, **more)
            self.seams.reach("after_publish")
            return info

        self._client.publish = publish  # type: ignore[method-assign]

    def _on_publish(self, *args: Any) -> None:
        self.seams.reach("before_puback")
        super()._on_publish(*args)

    async def publish_confirmed(self, topic: str, payload: bytes, timeout_s: float) -> None:
        await super().publish_confirmed(topic, payload, timeout_s)
        self.seams.reach("after_puback")


def main(config_file: Path) -> None:
    """Until SIGTERM."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True)
    seams = Seams(config_file.parent)
    setattr(spool, "connect", seams.connect)  # noqa: B010  # seams that have no parameter
    setattr(mqtt, "Connection", LabConnection)  # noqa: B010
    LabConnection.seams = seams
    config = load(config_file)
    clock = LabClock(seams)
    assert config.mqtt is not None
    sink = MqttForwarder(config.mqtt, config.gateway.id, clock)

    def links(plain: Any, clock: Clock) -> Sequence[Any]:
        wrapped = seams.wrap_input(plain)
        return [seams.wrap_sending(SerialLink(p.port, p.baudrate, wrapped, clock)) for p in config.serial]

    def look() -> None:
        seams.renew()
        asyncio.get_running_loop().call_later(LOOK_S, look)

    asyncio.run(app.run(config, clock=clock, links=links, sinks=[sink], started=lambda _: look()))
