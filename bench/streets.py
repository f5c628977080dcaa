"""The nodes of a load: what each has measured, and the sealed frames that carry it, one record a frame.

Everything follows from the node's number and the start of its life, so that who sends and who compares know the same.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from bench import series
from wire import UTC, messages
from wire.channels import by_name
from wire.crypto import subkeys
from wire.frame import SERIAL, VERSION, seal_uplink
from wire.profiles import Profile
from wire.records import Record, encode_records
from wire.stream import encode

APART = 199  # minutes of the one week between two nodes


@lru_cache(maxsize=1)
def _week() -> list[tuple[int, ...]]:
    return series.make()


class Street:
    """One node that was provisioned at `start_s` (on the grid of minutes) and has had a clock ever since."""

    def __init__(self, address: int, start_s: int) -> None:
        self.address = address
        self.start_s = start_s
        self.key = hashlib.sha256(f"street {address}".encode()).digest()[:16]
        self.keys = subkeys(self.key)
        self.profile = Profile(tuple((by_name(name).id, 0) for name in series.CHANNELS), series.WINDOW_S)

    @property
    def life(self) -> int:
        """The life that the key began."""
        return self.keys.life

    def values(self, seq: int) -> tuple[int, ...]:
        """What the record with this seq holds, raw."""
        week = _week()
        return week[(self.address * APART + seq) % len(week)]

    def end_s(self, seq: int) -> int:
        """When the window of this record ends, unix s."""
        return self.start_s + (seq + 1) * series.WINDOW_S

    def hello(self) -> bytearray:
        """The first bytes of the node's only boot."""
        message = messages.Hello(
            1, 1_000, 1, VERSION, 0x000100, 1, 0, 0, messages.Totals(0, 0, 0, 0, 0, 0), (self.profile.id,)
        )
        message_type, payload = messages.encode(message)
        return encode(seal_uplink(self.keys, SERIAL, self.address, 0, message_type, payload))

    def record(self, seq: int, now_s: int) -> bytearray:
        """The bytes on the line for one record; its frame has the counter seq + 1."""
        record = Record(seq, (UTC, self.end_s(seq)), 100, self.values(seq), None)
        payload = encode_records(self.profile, [record], now_s, 0)
        return encode(seal_uplink(self.keys, SERIAL, self.address, seq + 1, messages.RECORDS, payload))
