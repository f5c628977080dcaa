"""What goes to a node: sealed with a nonce that no other gateway or start of this one ever uses, answering its last uplink."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any, Protocol

from gateway.errors import GatewayError
from wire import messages
from wire.crypto import Keys
from wire.frame_gateway import seal_downlink
from wire.settings import by_name

COMMAND_TRIES = 5  # sendings of a command or setting, each in answer to another uplink or after RETRY_S
COMMAND_RETRY_S = 3.0
PASSPORT = by_name("passport").id  # what a calibration is answered with
COMMANDS_WAITING = 16  # a node, a technician's patience


class Outgoing(Protocol):
    """The part of a link that sends."""

    name: str
    kind: int  # wire.frame.SERIAL or LORA

    def send(self, frame: bytes) -> bool: ...


class NoAnswer(GatewayError):
    """The node did not answer in time."""

    exit_code = 3


class Sealer:
    """The gateway's number, its incarnation (32 random bits at each start) and one counter for all downlinks."""

    def __init__(self, number: int, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self.number = number
        self.incarnation = int.from_bytes(entropy(4), "big")
        self.counter = 0

    def seal(self, keys: Keys, link: int, address: int, answered: int, version: int, message: Any) -> bytes:
        message_type, payload = messages.encode(message)
        counter = self.counter
        self.counter = counter + 1
        return seal_downlink(
            keys, link, address, self.number, self.incarnation, counter, answered, message_type, bytes(payload), version
        )


class Request:
    """A setting or command on its way to a node, until its answer comes."""

    def __init__(self, message: Any, future: asyncio.Future[Any]) -> None:
        self.message = message
        self.future = future
        self.tries = 0
        self.sent_s = -COMMAND_RETRY_S

    def answered_by(self, reply: Any) -> bool:
        if isinstance(self.message, messages.Command):
            return isinstance(reply, messages.CommandResult) and reply.command_id == self.message.id
        if isinstance(self.message, messages.Calibrate):
            return isinstance(reply, messages.SettingValue) and reply.id == PASSPORT
        return isinstance(reply, messages.SettingValue) and (reply.id, reply.instance) == (
            self.message.id,
            self.message.instance,
        )
