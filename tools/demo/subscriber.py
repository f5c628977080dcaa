"""A foreign MQTT client beside the gateway: what it receives is what was delivered."""

from __future__ import annotations

import asyncio
import threading
import time

import aiomqtt

from gateway.config import Broker, parse_broker
from tools.demo.account import MessageCounter, Seen
from tools.errors import NoConnection, UsageError

CONNECT_TIMEOUT_S = 15.0
RETRY_S = 1.0
POLL_S = 0.1


def broker_of(url: str) -> Broker:
    """The broker that `--mqtt` names. UsageError never repeats the URL: a secret may stand in it."""
    try:
        broker = parse_broker(url if "://" in url else f"mqtt://{url}")
    except ValueError as error:
        hint = "the demo gives no password" if "inline secret" in str(error) else str(error)
        raise UsageError(
            f"--mqtt: {hint}", next_step="Give mqtt://HOST[:PORT] of a broker that takes anybody"
        ) from None
    if broker.tls:
        raise UsageError("--mqtt: the demo speaks no TLS", next_step="Give mqtt://HOST[:PORT]")
    return broker


class Subscriber:
    """Subscribes in a thread of its own, with a session that the broker keeps while it is away."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._host = broker.host
        self._port = broker.port
        self._topic = topic
        self._counter = MessageCounter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failure: aiomqtt.MqttError | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Returns when subscribed: nothing is published before somebody listens."""
        self._thread.start()
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._ready.wait(POLL_S):
            where = f"{self._host}:{self._port}"
            if isinstance(self._failure, aiomqtt.MqttCodeError):
                raise NoConnection(
                    f"the broker refuses: {self._failure}", where=where,
                    next_step="The demo gives no password: use a broker that takes anybody, such as mosquitto -p 1884",
                )  # fmt: skip
            if self._failure is not None or time.monotonic() > until:
                raise NoConnection("no broker answers", where=where, next_step="Start one: mosquitto -p 1883")

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def seen(self) -> Seen:
        with self._lock:
            return self._counter.seen()

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with aiomqtt.Client(
                    self._host, self._port, identifier=f"steiger-demo-{id(self):x}", clean_session=False
                ) as client:
                    await client.subscribe(self._topic, qos=1)
                    self._ready.set()
                    await self._receive(client)
            except aiomqtt.MqttError as error:
                self._failure = error
                await asyncio.sleep(RETRY_S)

    async def _receive(self, client: aiomqtt.Client) -> None:
        messages = aiter(client.messages)
        waiting = asyncio.ensure_future(anext(messages))
        while not self._stop.is_set():
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if not done:
                continue
            payload = waiting.result().payload
            with self._lock:
                self._counter.add(payload if isinstance(payload, bytes) else str(payload).encode())
            waiting = asyncio.ensure_future(anext(messages))
        waiting.cancel()
