"""One connection to one broker: what aiomqtt leaves open for at-least-once delivery with a name for each failure.

aiomqtt 2.5 takes every PUBACK for a success, also one with an MQTT 5 reason that says the opposite; it does not wake a
waiting publish when the line drops; and a connection attempt that timed out keeps its socket. This class settles the
three, with paho's public calls behind aiomqtt's `_client`. A new object is made for each attempt, so nothing of an
earlier connection, its queue least of all, survives in memory: the spool alone knows what is to be sent (FAILURES 6).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Broker, Mqtt

CLOSE_TIMEOUT_S = 2.0  # a broker that does not read is left without a goodbye
CLOSED_UNANSWERED = "the broker closed the connection without an answer"
LOOKS = 5  # in a keepalive: a broker, which waits for one and a half of it, hears a ping after 1.2 at the latest
SESSION_EXPIRY_S = 86_400  # MQTT 5 with clean_session = false

# Reason codes of CONNACK and PUBACK after which a person has to do something (MQTT 5, 2.4; 3.1.1's codes are mapped).
NEXT_STEPS = {
    0x84: 'This broker does not speak this version: set version = "5" or "3.1.1" in [mqtt]',
    0x85: "Set another client_id in [mqtt]",
    0x86: "Check username and password_file in [mqtt]; a new password is read at the next attempt",
    0x87: "Check username and password_file in [mqtt], and that the broker lets this user publish to the topic",
    0x8A: "The broker has banned this client: ask its operator",
    0x8C: "This broker wants another way of authentication: ask its operator",
    0x90: "The broker does not allow this topic: set another topic_prefix in [mqtt]",
    0x95: "The broker takes smaller messages only: lower batch_bytes in [mqtt]",
    0x97: "The quota at the broker is used up: ask its operator",
    0x99: "The broker rejects the content of our messages: ask its operator for its schema rule",
}


class RefusedByBroker(Exception):
    """The broker understood and said no; `reason` in its words, `next_step` for a person."""

    def __init__(self, action: str, code: int, reason: str) -> None:
        super().__init__(f"{action} refused: {reason}")
        self.code = code
        self.next_step = NEXT_STEPS.get(code, "")


class Connection(aiomqtt.Client):
    """Connect, publish with confirmation, notice the end, close within a deadline."""

    def __init__(self, broker: Broker, config: Mqtt, client_id: str, password: str | None, tls: ssl.SSLContext | None):
        version5 = config.version == "5"
        properties = None
        if version5 and not config.clean_session:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        super().__init__(
            broker.host,
            broker.port,
            username=config.username,
            password=password,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if version5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if version5 else config.clean_session,
            clean_start=config.clean_session if version5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            timeout=config.connect_timeout_s,
            keepalive=config.keepalive_s,
            max_queued_incoming_messages=1,  # we subscribe to nothing
            max_inflight_messages=config.inflight + 1,
            max_queued_outgoing_messages=config.inflight + 1,
            tls_context=tls,
        )
        self._client.connect_timeout = config.connect_timeout_s
        self._look_s = config.keepalive_s / LOOKS
        self._unconfirmed: dict[int, asyncio.Future[ReasonCode]] = {}
        self._opening = False

    async def open(self) -> None:
        """Connect. RefusedByBroker, or aiomqtt.MqttError for anything else; nothing is left open then."""
        self._opening = True
        try:
            await self.__aenter__()
        except aiomqtt.MqttCodeError as error:
            self._cut()
            if isinstance(error.rc, ReasonCode):
                raise RefusedByBroker("connection", error.rc.value, str(error.rc)) from None
            raise
        except BaseException:
            self._cut()
            raise
        finally:
            self._opening = False

    async def publish_confirmed(self, topic: str, payload: bytes, timeout_s: float) -> None:
        """Publish with QoS 1 and return when PUBACK said yes. RefusedByBroker when it said no."""
        info = self._client.publish(topic, payload, qos=1)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        confirmation: asyncio.Future[ReasonCode] = asyncio.get_running_loop().create_future()
        self._unconfirmed[info.mid] = confirmation
        try:
            async with asyncio.timeout(timeout_s):
                reason = await confirmation
        except TimeoutError:
            raise aiomqtt.MqttError(f"the broker did not confirm within {timeout_s:g} s") from None
        finally:
            self._unconfirmed.pop(info.mid, None)
        if reason.is_failure:
            raise RefusedByBroker("message", reason.value, str(reason))

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> None:
        confirmation = self._unconfirmed.get(mid)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(reason_code)

    def _on_socket_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        super()._on_socket_close(client, userdata, sock)
        if self._opening and not self._connected.done():  # aiomqtt would wait for CONNACK until the deadline
            self._connected.set_exception(aiomqtt.MqttError(CLOSED_UNANSWERED))

    async def _misc_loop(self) -> None:
        """Pings, and the end of a connection whose pings nobody answers; aiomqtt would look every second."""
        while self._client.loop_misc() == paho.MQTT_ERR_SUCCESS:  # noqa: ASYNC110  # nothing tells when to look
            await asyncio.sleep(self._look_s)

    async def lost(self) -> None:
        """Return never; raise aiomqtt.MqttError, or RefusedByBroker, when the connection ends."""
        try:
            async for _ in self.messages:
                pass
        except aiomqtt.MqttError as error:
            reason = getattr(error.__cause__, "rc", None)
            if isinstance(reason, ReasonCode) and reason.value in NEXT_STEPS:  # MQTT 5 brokers say why
                raise RefusedByBroker("connection", reason.value, str(reason)) from None
            raise aiomqtt.MqttError("the connection was lost") from None

    async def close(self) -> None:
        """Say goodbye, but not for longer than CLOSE_TIMEOUT_S."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.__aexit__(None, None, None)
        except (TimeoutError, aiomqtt.MqttError):
            pass
        finally:
            self._cut()

    def _cut(self) -> None:
        """End the socket, if there is one; paho then takes its reader and its timer out of the loop."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
