"""What flows through the gateway: records with their times, and the batches that sinks receive.

Times are integers, milliseconds since 1970 UTC (`_ms`), unless a name says otherwise. A `Record` is final: it is made when
its profile and its time of observation are known, and nothing of it changes afterwards, so that a batch that is given out
again is equal to the first one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.differences import Difference, decode_differences
from wire.quality import GOOD, MISSING
from wire.totals import events_of

RECORD, GAP, HEALTH, EVENT = 0, 1, 2, 3
KIND_NAMES = ("record", "gap", "health", "event")

# How the time of observation came to be known; its uncertainty is `bound_ms` in any case.
TIME_CLOCK, TIME_ANCHOR, TIME_NEIGHBOURS = 0, 1, 2
TIME_STATES = ("clock", "anchor", "neighbours")

HOUR_MS = 3_600_000


class Channel(msgspec.Struct, frozen=True, gc=False):
    """One column of a profile as sinks and exports name it; `raw / 10**decimals` is the value in `unit` (UCUM)."""

    name: str  # "pm2_5", or "pm2_5_1" for instance 1
    unit: str
    decimals: int
    total: bool = False  # the raw value has a mark besides the events (wire/totals.py)

    def shown(self, raw: int) -> int:
        """The raw value without what only tells one beginning from another."""
        return events_of(raw) if self.total else raw


class ProfileInfo(msgspec.Struct, frozen=True):
    """A profile of one life: the order of its values and the length of its window."""

    row: int  # key in this store
    id: int  # u32, hash of the descriptor; the same on every gateway
    short: int  # what records carry on the wire
    window_s: int
    calibration: int
    version: int
    channels: tuple[Channel, ...]


class LifeInfo(msgspec.Struct, frozen=True):
    """The node and life a record belongs to, and what the key file says about it."""

    row: int  # key in this store
    node: int  # 16-bit address
    life: int  # u32
    board: str
    name: str


class Reception(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How one ear heard the frame that a record came in. Fields are only ever appended, each with a default."""

    ear: str
    freq_hz: int
    sf: int
    rssi_dbm: int
    snr_qdb: int  # quarters of a dB

    @property
    def snr_db(self) -> float:
        return self.snr_qdb / 4


_receptions = msgspec.msgpack.Decoder(tuple[Reception, ...])
encode_receptions = msgspec.msgpack.Encoder().encode
decode_receptions = _receptions.decode


class Record(msgspec.Struct, frozen=True, gc=False):
    """One entry of a node's outbox, decoded and with its time resolved.

    `values` are raw integers in the order of `profile.channels` (None: missing); empty for other kinds than "record".
    `flags` are their qualities (wire.quality) in the same order, or None when all are good. `detail` holds the integers
    of the other kinds (gap: count and cause; health: totals, supply_mv …; event: code and argument).
    """

    pos: int  # place in the spool: rises by one for each record stored, never used twice
    life_info: LifeInfo
    seq: int
    kind_code: int
    profile: ProfileInfo | None
    start_ms: int
    end_ms: int
    bound_ms: int  # the true time of observation differs from start/end by no more than this
    received_ms: int
    coverage: int  # percent of the window that was measured
    values: tuple[int | None, ...]
    flags: tuple[int, ...] | None
    detail: dict[str, int] | None
    time_code: int
    receptions: bytes | None = None  # as they are stored; `heard` reads them
    differences: bytes | None = None  # likewise; `counted` reads them

    @property
    def heard(self) -> tuple[Reception, ...]:
        """Who received it over LoRa, the best one first; nothing for what came over a wire."""
        return () if self.receptions is None else _receptions.decode(self.receptions)

    @property
    def counted(self) -> tuple[Difference, ...]:
        """What became known with this entry of events between two totals."""
        return () if self.differences is None else decode_differences(self.differences)

    @property
    def node(self) -> int:
        return self.life_info.node

    @property
    def life(self) -> int:
        return self.life_info.life

    @property
    def kind(self) -> str:
        return KIND_NAMES[self.kind_code]

    def quality(self, index: int) -> int:
        """Flag | reason << 4 of a value (wire.quality)."""
        if self.flags is not None:
            return self.flags[index]
        return MISSING if self.values[index] is None else GOOD

    @property
    def time_state(self) -> str:
        return TIME_STATES[self.time_code]

    @property
    def id(self) -> str:
        """The identity on every hop and platform: `node-life-seq`."""
        return record_id(self.life_info.node, self.life_info.life, self.seq)


class Batch(msgspec.Struct, frozen=True):
    """Records whose boundaries were synced to disk before this object existed; the same id gives the same records."""

    id: int
    records: tuple[Record, ...]
    redelivery: bool  # given out before: the sink may already hold these


def record_id(node: int, life: int, seq: int) -> str:
    return f"{node}-{life:08x}-{seq}"


# In place of an hour: a window that began after the end of its life's grid. A node without a clock does not know of the end, and
# one that was called lost may be alive; what it measured is delivered, but was not scheduled.
AFTER_END = 0


def hour_of(start_ms: int) -> int:
    """Hours since 1970 UTC of the hour a window starts in: the ledger's unit of time."""
    return start_ms // HOUR_MS


def ids(records: Sequence[Record]) -> list[str]:
    return [record.id for record in records]
