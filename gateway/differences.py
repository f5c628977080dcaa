"""Differences of totals: what was counted between two neighbouring values, told exactly once.

A node's total only grows (wire/totals.py), so the difference of two values is right whatever became of the windows
between them. It is told when nothing can come between the two any more: every seq between them is stored, or the node
said that it holds it no longer. So what comes late or again never has its events told twice, and all differences of one
channel follow each other without a gap or an overlap. What tells a difference is the entry that made it certain: mostly
the later value itself, else the one that filled the last hole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from wire import channels
from wire.profiles import Profile
from wire.quality import GOOD
from wire.totals import difference

OPEN_MAX = 64  # values of one channel that wait; beyond, the oldest difference is given up (its values are there)

Item = tuple[int, int]  # channel id, instance


class Difference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Events between the ends of two windows. `restarted`: counting began anew between them, and what was counted before
    that is not in it. `quality`: flag | reason << 4 of the later value. Fields are only ever appended, each with a
    default."""

    channel: int
    instance: int
    since_ms: int
    until_ms: int
    events: int
    restarted: bool = False
    quality: int = GOOD

    @property
    def name(self) -> str:
        """As sinks name the channel (gateway/models.py)."""
        return channel_name(self.channel, self.instance)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Difference, ...])


def decode_differences(data: bytes) -> tuple[Difference, ...]:
    """As a row of the store holds them."""
    return _decoder.decode(data)


def channel_name(channel_id: int, instance: int) -> str:
    """`pm2_5`, or `pm2_5_1` for instance 1."""
    name: str = channels.by_id(channel_id).name
    return f"{name}_{instance}" if instance else name


def totals_of(profile: Profile) -> tuple[tuple[int, Item], ...]:
    """(place in the profile, item) of each total."""
    return tuple([
        (place, item)
        for place, item in enumerate(profile.items)
        if channels.by_id(item[0]).kind == channels.TOTAL
    ])  # fmt: skip


class Value(NamedTuple):
    """A total at the end of a window. `told`: so is the difference to the value behind it."""

    seq: int
    end_ms: int
    raw: int
    quality: int = GOOD
    told: bool = False


class Chain:
    """The values of one channel that wait for a neighbour, and the newest one, by seq."""

    def __init__(self, item: Item, begun: bool = False, values: Sequence[Value] = ()) -> None:
        self.item = item
        self.begun = begun  # there were values before the first one here: nothing can come between
        self.values = list(values)

    def add(self, value: Value) -> None:
        values = self.values
        at = bisect_left(values, (value.seq,))
        if at < len(values) and values[at].seq == value.seq:
            return
        if self.begun if at == 0 else values[at - 1].told:
            return  # what tells a difference rules this out; were it ever so, its events have been told already
        values.insert(at, value)
        if len(values) > OPEN_MAX:
            del values[0]
            self.begun = True  # and what comes before has no neighbour any more

    def waits(self) -> bool:
        """Whether the difference of two values here is not told yet."""
        return any(not value.told for value in self.values[:-1])

    def tell(self, settled: Callable[[int, int], bool]) -> list[Difference]:
        """The differences that have become certain. `settled`(start, end): no seq of [start, end) can still come."""
        values = self.values
        found = []
        for at in range(len(values) - 1):
            one, two = values[at], values[at + 1]
            if not one.told and settled(one.seq + 1, two.seq):
                counted, anew = difference(one.raw, two.raw)
                found.append(Difference(*self.item, one.end_ms, two.end_ms, counted, anew, two.quality))
                values[at] = one._replace(told=True)
        # What is told on both sides has no neighbour to come; before the first one something may, until that is settled.
        self.values = [
            value for at, value in enumerate(values) if not (value.told and (values[at - 1].told if at else self.begun))
        ]
        if self.values[0].told and settled(0, self.values[0].seq):
            del self.values[0]
            self.begun = True
        return found


class Chains:
    """All of one life. `waiting`: some difference is not told yet."""

    def __init__(self, stored: Sequence[StoredChain] = ()) -> None:
        self._chains = {}
        for channel, instance, begun, values in stored:
            self._chains[channel, instance] = Chain((channel, instance), begun, [Value(*value) for value in values])
        self.waiting = any(chain.waits() for chain in self._chains.values())

    def stored(self) -> list[StoredChain]:
        """As the life's state holds them."""
        return [(*chain.item, chain.begun, [(*value,) for value in chain.values]) for chain in self._chains.values()]

    def add(self, seq: int, end_ms: int, raws: Sequence[tuple[Item, int | None, int]]) -> None:
        """The totals of a record that is being stored, each with its quality; None: it has no value."""
        for item, raw, quality in raws:
            if raw is not None:
                chain = self._chains.get(item)
                if chain is None:
                    chain = self._chains[item] = Chain(item)
                chain.add(Value(seq, end_ms, raw, quality))
                self.waiting = self.waiting or chain.waits()

    def tell(self, settled: Callable[[int, int], bool]) -> bytes | None:
        """What can be told now, as a row holds it; None: nothing."""
        found = []
        for chain in self._chains.values():
            if chain.waits():
                found += chain.tell(settled)
        self.waiting = any(chain.waits() for chain in self._chains.values())
        return _encoder.encode(found) if found else None


# channel, instance, begun, [(seq, end_ms, raw, quality, told)]
StoredChain = tuple[int, int, bool, list[tuple[int, int, int, int, bool]]]
