"""The gateway's end of a board in virtual time, whose state can be taken and put back; and what a board has put on air.

`Ear` is `GatewayEnd` on a conductor's clock. `Air` reads every frame that a board sends, whether anybody hears it or not.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, NamedTuple

from tests.fakes.gateway_end import GatewayEnd
from tools.sim.conductor import Conductor, VirtualNode
from wire import crypto, frame, frame_gateway, messages, stream


class LifeState(NamedTuple):
    """What the gateway has of one life."""

    highest: int
    next_seq: int
    seqs: frozenset[int]
    counters: frozenset[int]
    profiles: dict[int, Any]
    waiting: list[tuple[bytes, int]]


class EarState(NamedTuple):
    """What a gateway that is killed would still have."""

    lives: dict[int, LifeState]
    stored: dict[tuple[int, int], Any]
    gaps: list[tuple[int, Any]]
    last: dict[int, Any]
    others: list[Any]


class Ear(GatewayEnd):
    """Listens to `node`. `last` is the newest hello of each life, `results` the answers to commands by their id."""

    def __init__(self, conductor: Conductor, node: VirtualNode, lives: list[tuple[int, bytes]]) -> None:
        super().__init__(lives, lambda: int(conductor.now_s * 1000))
        self.last: dict[int, Any] = {}
        self.chunks: list[bytes] | None = None  # when recording: all that came
        self.heard_us = 0
        self._time = conductor.time
        self.later = lambda delay_s, call, *args: conductor.at(delay_s, functools.partial(call, *args))
        self.send = node.down.send
        node.listener = self.feed

    def feed(self, data: bytes) -> None:
        self.heard_us = self._time.now_us
        super().feed(data)

    def _take(self, number: int, life: Any, kind: int, payload: bytes) -> None:
        super()._take(number, life, kind, payload)
        if kind == messages.HELLO:
            self.last[number] = self.hellos[-1]

    def cum(self, life: int) -> int:
        """All seqs below it are stored."""
        return self.lives[life].cum()

    def results(self) -> dict[int, Any]:
        return {each.command_id: each for each in self.others if isinstance(each, messages.CommandResult)}

    def values(self) -> dict[tuple[int, int], int]:
        """Settings that the board told."""
        return {(each.id, each.instance): each.value for each in self.others if isinstance(each, messages.SettingValue)}

    def take_state(self) -> EarState:
        lives = {
            number: LifeState(
                life.highest, life.next_seq, frozenset(life.seqs), frozenset(life.counters), dict(life.profiles),
                list(life.waiting),
            )
            for number, life in self.lives.items()
        }  # fmt: skip
        return EarState(lives, dict(self.stored), list(self.gaps), dict(self.last), list(self.others))

    def put_state(self, state: EarState) -> None:
        """Go on as a gateway that was started again with this in its spool."""
        for number, kept in state.lives.items():
            life = self.lives[number]
            life.highest, life.next_seq = kept.highest, kept.next_seq
            life.seqs, life.counters = set(kept.seqs), set(kept.counters)
            life.profiles, life.waiting = dict(kept.profiles), list(kept.waiting)
        self.stored = dict(state.stored)
        self.gaps = list(state.gaps)
        self.last = dict(state.last)
        self.others = list(state.others)
        self.restart()


class Sent(NamedTuple):
    """One frame that a board put on air."""

    life: int
    counter: int
    kind: int
    payload: bytes

    def message(self) -> Any:
        return messages.decode(self.kind, self.payload)


class Air:
    """`feed` takes what the board's transmitter was given; `sent` are the frames in it."""

    def __init__(self, lives: list[tuple[int, bytes]]) -> None:
        self.sent: list[Sent] = []
        self._lives = [(address, crypto.subkeys(key)) for address, key in lives]
        self._parser = stream.Parser()
        self._highest: dict[int, int] = {}

    def feed(self, data: bytes) -> None:
        for kind, content in self._parser.feed(data):
            if kind == "frame":
                self._frame(content)

    def start_over(self) -> None:
        """The board was cut: half a frame is nothing."""
        self._parser = stream.Parser()

    def _frame(self, data: bytes) -> None:
        header = frame_gateway.parse_uplink_header(data)
        assert not isinstance(header, str), header
        for address, keys in self._lives:
            if address != header.address:
                continue
            counter = header.counter
            if not header.full:
                counter = frame_gateway.guess_counter(counter, self._highest.get(keys.life, 0))
            payload = frame_gateway.open_uplink(keys, frame.SERIAL, data, counter)
            if payload is not None:
                self._highest[keys.life] = max(counter, self._highest.get(keys.life, 0))
                self.sent.append(Sent(keys.life, counter, header.type, bytes(payload)))
                return
        raise AssertionError("a frame under no known key")

    def copy(self) -> Air:
        """The same past, with a future of its own."""
        other = copy.copy(self)
        other.sent = list(self.sent)
        other._highest = dict(self._highest)
        other._parser = stream.Parser()
        return other


def listen_to_transmitter(node: VirtualNode, air: Air) -> None:
    """Let `air` have every byte that the board gives to its transmitter, though the power goes a moment later."""
    line = node.board.console.out
    send = line.send

    def overheard(data: bytes) -> int:
        air.feed(data)
        return send(data)

    line.send = overheard  # type: ignore[method-assign]
