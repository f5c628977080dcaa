"""The MQTT sink: batches whose boundaries are on disk go out with QoS 1; PUBACK alone moves the cursor.

At most `inflight` batches are under way. When the connection ends, nothing is remembered here: the store gives out the
same unconfirmed batches again, and their bytes are the same (gateway/forward/payload.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
import ssl
from typing import Any

import aiomqtt

from gateway.clock import Clock
from gateway.config import Broker, Mqtt
from gateway.credentials import read_secret
from gateway.errors import GatewayError
from gateway.forward.base import (
    CONNECTED,
    CONNECTING,
    MISCONFIGURED,
    REFUSED,
    STOPPED,
    WAITING,
    Backoff,
    SinkHealth,
    Spool,
    pause,
)
from gateway.forward.mqtt_connection import CLOSED_UNANSWERED, Connection, RefusedByBroker
from gateway.forward.payload import encode
from gateway.models import Batch

NAME = "mqtt"
STOP_TIMEOUT_S = 5.0  # how long an orderly stop waits for confirmations that are on their way
LOOK_S = 30.0  # how long to sleep on an empty spool before looking again
NOTHING = ("", "", "")
HEADROOM = 1024  # of batch_bytes, for what the store's estimate of a record does not see

log = logging.getLogger("steiger.mqtt")


class MqttForwarder:
    """One sink named "mqtt"."""

    name = NAME

    def __init__(self, config: Mqtt, gateway_id: str, clock: Clock, *, seed: int | None = None) -> None:
        self._config = config
        self._gateway = gateway_id
        self._clock = clock
        self._client_id = config.client_id or f"steiger-{gateway_id}"
        self._backoff = Backoff(config.backoff_max_s, seed=seed)
        self.topic = f"{config.topic_prefix}/v1/{gateway_id}/records"
        self.health = SinkHealth(name=NAME, since_ms=clock.wall_ms())
        self._told = NOTHING  # the failure that was logged last
        self._logged_in = False  # on the present connection
        self._unproven = False  # the last failure came after a login: only a confirmed message shows that it is over

    async def run(self, store: Spool, stop: asyncio.Event) -> None:
        """Deliver until `stop`; every failure of the other side becomes a state and another attempt."""
        await store.add_sink(NAME)
        brokers = self._config.brokers
        turn = 0
        while not stop.is_set():
            broker = brokers[turn % len(brokers)]
            turn += 1
            self.health.target = str(broker)
            try:
                await self._attempt(broker, store, stop)
            except RefusedByBroker as error:
                self._failed(REFUSED, str(error), error.next_step)
            except GatewayError as error:  # a file of ours
                where = f" — {error.where}" if error.where else ""
                self._failed(MISCONFIGURED, f"{error.what}{where}", error.next_step)
            except aiomqtt.MqttError as error:
                self._failed(*_explain(str(error), broker))
            except sqlite3.Error as error:  # a full disk: boundaries cannot be written, so nothing may be sent
                self._failed(WAITING, f"the spool cannot be written: {error}", "Free some space on its disk")
            if stop.is_set():
                break
            if turn % len(brokers) == 0:  # all were tried
                await pause(stop, self._backoff.next_s())
        self._enter(STOPPED)

    async def _attempt(self, broker: Broker, store: Spool, stop: asyncio.Event) -> None:
        """One connection, from its first byte to its end; returns only when stopped."""
        self._logged_in = False
        if self.health.state not in (REFUSED, MISCONFIGURED):  # those stay to be seen until an attempt succeeds
            self._enter(CONNECTING)
        password = read_secret(self._config.password_file, self._config.password_credential, "password")
        tls = await asyncio.to_thread(tls_context, self._config) if broker.tls else None
        connection = Connection(broker, self._config, self._client_id, password, tls)
        opening = asyncio.create_task(connection.open())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return
            await opening
            self.health.connects += 1
            self._logged_in = True
            # Logged in says nothing yet where messages are refused: that would be a line an attempt.
            refused = self._unproven and self._told[0] == REFUSED
            log.log(logging.DEBUG if refused else logging.INFO, "mqtt: connected, %s, topic %s", broker, self.topic)
            if not refused:
                self._enter(CONNECTED)
                self._told = NOTHING
            if not self._unproven:
                self.health.detail = self.health.next_step = ""
            began_s = self._clock.monotonic_s()
            try:
                await self._deliver(connection, store, stop, stopping)
            finally:
                if self._clock.monotonic_s() - began_s > self._config.backoff_max_s:  # it was a good one
                    self._backoff.reset()
                await connection.close()
        finally:
            for task in (opening, stopping):
                task.cancel()
            await asyncio.wait({opening, stopping})

    async def _deliver(
        self, connection: Connection, store: Spool, stop: asyncio.Event, stopping: asyncio.Task[bool]
    ) -> None:
        """Keep up to `inflight` batches under way; raises when the connection or the broker gives up on us."""
        config = self._config
        lost = asyncio.create_task(connection.lost())
        under_way: set[asyncio.Task[Batch]] = set()
        confirming: set[asyncio.Task[None]] = set()
        news: asyncio.Task[bool] | None = None
        after = 0
        try:
            while not stop.is_set():
                while len(under_way) < config.inflight and news is None:
                    batch = await self._next_batch(store, after)
                    if batch is None:
                        if not under_way:
                            self._well()  # nothing is left that could be refused
                        news = asyncio.create_task(self._wait_for_news(store))
                        break
                    after = batch.id
                    under_way.add(asyncio.create_task(self._publish(connection, batch)))
                watched: set[asyncio.Task[Any]] = {lost, stopping, *under_way, *confirming}
                if news is not None:
                    watched.add(news)
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                self._confirm_done(store, under_way, confirming)
                for done in [task for task in under_way if task.done()]:
                    await done  # it failed
                for kept in [task for task in confirming if task.done()]:
                    confirming.discard(kept)
                    await kept
                if lost.done():
                    await lost
                if news is not None and news.done():
                    await news
                    news = None
            if under_way:
                await asyncio.wait(under_way, timeout=STOP_TIMEOUT_S)
        finally:
            rest: set[asyncio.Task[Any]] = {lost, *under_way}
            if news is not None:
                rest.add(news)
            for task in rest:
                task.cancel()
            await asyncio.wait(rest)
            # Confirmed is confirmed: the end of the connection must not keep it from the cursor.
            self._confirm_done(store, under_way, confirming)
            if confirming:
                await asyncio.wait(confirming)
            for task in rest | confirming:
                if not task.cancelled():
                    task.exception()  # several may end with the connection; the first one was told

    async def _next_batch(self, store: Spool, after: int) -> Batch | None:
        """In a task: it is asked for behind the confirmations that begin now, and shares their sync. So no more than `inflight`
        batches are ever on their way, or with the broker and not yet confirmed on the disk."""
        config = self._config
        next_batch = store.next_batch(NAME, config.batch_records, config.batch_bytes - HEADROOM, after)
        return await asyncio.create_task(next_batch)

    def _confirm_done(
        self, store: Spool, under_way: set[asyncio.Task[Batch]], confirming: set[asyncio.Task[None]]
    ) -> None:
        """Begin to confirm what the broker has; what failed stays."""
        for task in [task for task in under_way if task.done() and not task.cancelled() and not task.exception()]:
            under_way.discard(task)
            confirming.add(asyncio.create_task(self._confirm(store, task.result())))

    async def _wait_for_news(self, store: Spool) -> bool:
        """Wait until something is stored, and then a little for company: fewer, larger messages."""
        if await store.wait_new(NAME, LOOK_S):
            await asyncio.sleep(self._config.batch_wait_s)
        return True

    async def _publish(self, connection: Connection, batch: Batch) -> Batch:
        """Returns it when the broker has all of it."""
        if batch.redelivery:
            self.health.redelivered += len(batch.records)
        for payload in encode(self._gateway, batch, self._config.batch_bytes):
            await connection.publish_confirmed(self.topic, payload, self._config.confirm_timeout_s)
        return batch

    async def _confirm(self, store: Spool, batch: Batch) -> None:
        await store.confirm(NAME, batch.id, batch.records)
        self._backoff.reset()
        if self._told != NOTHING:
            log.info("mqtt: delivers again, %s", self.health.target)
            self._told = NOTHING
        self.health.confirmed_ms = self._clock.wall_ms()
        self.health.confirmed_batches += 1
        self.health.confirmed_records += len(batch.records)
        self._well()

    def _well(self) -> None:
        """What the last failure said is over."""
        self._unproven = False
        self._enter(CONNECTED)
        self.health.detail = self.health.next_step = ""

    def _enter(self, state: str) -> None:
        if self.health.state != state:
            self.health.state = state
            self.health.since_ms = self._clock.wall_ms()

    def _failed(self, state: str, detail: str, next_step: str) -> None:
        self.health.failures += 1
        self._unproven = self._logged_in
        # The same again is no news: a broker that is away for a week must not fill the log.
        level = logging.DEBUG if self._told == (state, self.health.target, detail) else logging.WARNING
        self._told = (state, self.health.target, detail)
        log.log(level, "mqtt: %s, %s, %s%s", state, self.health.target, detail, f". {next_step}" if next_step else "")
        self._enter(state)
        self.health.detail, self.health.next_step = detail, next_step


def tls_context(config: Mqtt) -> ssl.SSLContext:
    """TLS 1.2 or newer, the server's name checked; files are read anew, because certificates are renewed."""
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise GatewayError(
            f"ca_file cannot be used: {_reason(error)}", where=str(config.ca_file), next_step="It must hold PEM"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.cert_file and config.key_file:
        try:
            context.load_cert_chain(config.cert_file, config.key_file, password=_no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise GatewayError(
                f"cert_file and key_file cannot be used: {_reason(error)}",
                where=f"{config.cert_file}, {config.key_file}",
                next_step="Both must hold PEM and belong together, the key without a passphrase",
            ) from None
    return context


def _no_passphrase() -> str:
    return ""  # instead of asking on the terminal of a service


def _reason(error: OSError | ssl.SSLError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__


def _explain(text: str, broker: Broker) -> tuple[str, str, str]:
    """State, detail and next step for what aiomqtt reports as text alone."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or text
        return REFUSED, f"certificate of the broker refused: {reason}", "Check ca_file and the host in url in [mqtt]"
    if "SSL" in text or "TLS" in text:
        return REFUSED, f"no TLS with the broker: {text}", "Check the port in url, and mqtt:// or mqtts://, in [mqtt]"
    if text == CLOSED_UNANSWERED:  # RabbitMQ does so for MQTT 5, NATS for 3.1
        return WAITING, text, "Check the port in url, mqtt:// or mqtts://, and version, in [mqtt]"
    text = re.sub(r"^\[Errno -?\d+\] ", "", text)
    if "timed out" in text:
        text = "no answer in time"
    return WAITING, text, f"Is a broker listening at {broker.host} port {broker.port}?"


async def probe(config: Mqtt, gateway_id: str) -> list[tuple[str, str, str, str]]:
    """Log in at each broker of the list and leave: (broker, state, detail, next step) each. Nothing is published.

    The client id is another one than the gateway's: with the same one the broker would throw the gateway out.
    """
    results = []
    for broker in config.brokers:
        try:
            password = read_secret(config.password_file, config.password_credential, "password")
            tls = await asyncio.to_thread(tls_context, config) if broker.tls else None
            client_id = f"{config.client_id or f'steiger-{gateway_id}'}-check"
            connection = Connection(broker, config, client_id, password, tls)
            await connection.open()
            await connection.close()
            results.append((str(broker), CONNECTED, "", ""))
        except RefusedByBroker as error:
            results.append((str(broker), REFUSED, str(error), error.next_step))
        except GatewayError as error:
            results.append((str(broker), MISCONFIGURED, f"{error.what} — {error.where}", error.next_step))
        except aiomqtt.MqttError as error:
            results.append((str(broker), *_explain(str(error), broker)))
    return results
