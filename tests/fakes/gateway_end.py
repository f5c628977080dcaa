"""The gateway's end of a serial cable, for tests of the node: opens, stores, acknowledges, asks; with fault knobs.

It keeps what the wire carried in `stored` (life, seq) -> message or wire.records.Record, and what it received twice
in `repeats`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wire import crypto, frame, frame_gateway, messages, stream
from wire.profiles import Profile
from wire.records_gateway import decode_records

ACK_DELAY_S = 0.05


def _later(delay_s: float, call: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(delay_s, call, *arguments)


class _Life:
    def __init__(self, address: int, key: bytes) -> None:
        self.address = address
        self.keys = crypto.subkeys(key)
        self.highest = 0
        self.next_seq = 0
        self.seqs: set[int] = set()
        self.counters: set[int] = set()
        self.profiles: dict[int, Profile] = {}
        self.waiting: list[tuple[bytes, int]] = []
        self.came: list[int] = []  # seqs since the last answer

    def cum(self) -> int:
        cum = 0
        while cum in self.seqs:
            cum += 1
        return cum


class GatewayEnd:
    """`feed` takes the node's bytes; `send` gives bytes to the node. `unix_ms()` is its clock."""

    def __init__(self, lives: list[tuple[int, bytes]], unix_ms: Callable[[], int]) -> None:
        self.link = frame.SERIAL
        self.lives = {crypto.subkeys(key).life: _Life(address, key) for address, key in lives}
        self.send: Callable[[bytes], None] = lambda data: None
        self.unix_ms = unix_ms
        self.stored: dict[tuple[int, int], Any] = {}
        self.gaps: list[tuple[int, Any]] = []
        self._profile_of: dict[tuple[int, int], Profile] = {}
        self.hellos: list[Any] = []
        self.others: list[Any] = []
        self.repeats = 0
        self.faults: list[str] = []  # what a node must never do (an assertion here would die in the node's own task)
        self.frames = 0
        self.texts: list[str] = []
        self.connected = True
        self.lose_up: Callable[[], bool] = lambda: False
        self.lose_down: Callable[[], bool] = lambda: False
        self.incarnation = 1
        self.later: Callable[..., object] = _later  # (seconds, call, *arguments)
        self._counter = 0
        self._parser = stream.Parser()
        self.asks: list[Any] = []  # messages that ride with the next answer

    def restart(self) -> None:
        """As a process that was killed: a new incarnation; what was stored is still there."""
        self.incarnation += 7919
        self._counter = 0
        self._parser = stream.Parser()

    def feed(self, data: bytes) -> None:
        if not self.connected:
            return
        for kind, content in self._parser.feed(data):
            if kind == "text":
                self.texts.append(content.decode())
            elif not self.lose_up():
                self._frame(content)

    def _frame(self, data: bytes) -> None:
        self.frames += 1
        header = frame_gateway.parse_uplink_header(data)
        assert not isinstance(header, str), header
        for number, life in self.lives.items():
            if life.address != header.address:
                continue
            counter = header.counter if header.full else frame_gateway.guess_counter(header.counter, life.highest)
            payload = frame_gateway.open_uplink(life.keys, self.link, data, counter)
            if payload is None:
                continue
            if counter in life.counters:
                self.faults.append(f"counter {counter} came twice")
            life.counters.add(counter)
            life.highest = max(life.highest, counter)
            self._take(number, life, header.type, payload)
            self.later(ACK_DELAY_S, self._answer, number, life, counter, self.unix_ms())
            return

    def _store(self, number: int, life: _Life, seq: int, thing: Any) -> None:
        life.came.append(seq)
        known = self.stored.get((number, seq))
        if known is not None:
            self.repeats += 1
            if known != thing and not isinstance(thing, messages.Gap):
                self.faults.append(f"{known} became {thing}")
            return
        self.stored[(number, seq)] = thing
        life.seqs.add(seq)

    def _take(self, number: int, life: _Life, kind: int, payload: bytes) -> None:
        if kind in (messages.RECORDS, messages.RECORDS_ASK):
            profile = life.profiles.get(payload[0])
            if profile is None:
                life.waiting.append((payload, life.next_seq))
                self.asks.append(messages.DescriptorRequest(payload[0]))
                return
            self._records(number, life, payload, profile)
            return
        message = messages.decode(kind, payload)
        if isinstance(message, messages.Hello):
            self.hellos.append(message)
            life.next_seq = max(life.next_seq, message.next_seq)
        elif isinstance(message, messages.DescriptorMsg):
            life.profiles[message.profile.short] = message.profile
            self.others.append(message)
            waiting, life.waiting = life.waiting, []
            for data, _ in waiting:
                known = life.profiles.get(data[0])
                if known is not None:
                    self._records(number, life, data, known)
        elif isinstance(message, messages.Gap):
            self.gaps.append((number, message))
            for seq in range(message.first_seq, message.first_seq + message.count):
                if (number, seq) not in self.stored:
                    self._store(number, life, seq, message)
        elif isinstance(message, (messages.Health, messages.Event)):
            self._store(number, life, message.seq, message)
        else:
            self.others.append(message)

    def _records(self, number: int, life: _Life, payload: bytes, profile: Profile) -> None:
        for record in decode_records(payload, profile, life.next_seq, self.unix_ms() // 1000):
            self._store(number, life, record.seq, record)
            self._profile_of.setdefault((number, record.seq), profile)
            life.next_seq = max(life.next_seq, record.seq + 1)

    def _answer(self, number: int, life: _Life, counter: int, received_ms: int) -> None:
        cum = life.cum()
        came, life.came = sorted(life.came), []
        now = self.unix_ms()
        for base in self._windows(came, cum):
            bits = sum(1 << at for at in range(messages.ACK_BITS) if base + at in life.seqs) if base else 0
            self.down(life, messages.AckTime(now, now - received_ms, cum, base, bits), counter)
        asks, self.asks = self.asks, []
        for message in asks:
            self.down(life, message, counter)

    @staticmethod
    def _windows(came: list[int], cum: int) -> list[int]:
        """Where the windows of acknowledgements begin that tell of all these seqs; [0]: `cum` says it all."""
        bases: list[int] = []
        for seq in came:
            if seq >= cum and (not bases or seq >= bases[-1] + messages.ACK_BITS):
                bases.append(seq)
        return bases or [0]

    def down(self, life: _Life, message: Any, answered: int) -> bytes:
        """Seal, and send unless the cable is cut or the loss knob says no."""
        kind, payload = messages.encode(message)
        self._counter += 1
        sealed = frame_gateway.seal_downlink(
            life.keys, self.link, life.address, 1, self.incarnation, self._counter, answered, kind, bytes(payload)
        )
        if self.connected and not self.lose_down():
            self.send(bytes(stream.encode(sealed)))
        return sealed

    def things(self, life: int) -> list[Any]:
        """What is stored of a life, by seq."""
        return [self.stored[key] for key in sorted(self.stored) if key[0] == life]

    def with_profiles(self) -> list[tuple[int, Profile, Any]]:
        """(life, the profile that it names, record) of every record."""
        return [
            (life, self._profile_of[(life, seq)], self.stored[(life, seq)]) for life, seq in sorted(self._profile_of)
        ]

    def learned(self, life: int) -> list[Profile]:
        """Distinct profiles that a life's records named, in the order of their first record."""
        return list(dict.fromkeys(profile for number, profile, _ in self.with_profiles() if number == life))
