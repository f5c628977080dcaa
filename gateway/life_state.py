"""What a session must not forget: written in the transaction of the records that it describes."""

from __future__ import annotations

import msgspec

from gateway.differences import Chains, StoredChain
from gateway.replay import ReplayWindow
from gateway.seqset import SeqSet
from gateway.time_resolution import ClockSpans

OVERWRITTEN = 5  # of the totals
HELLOS_KEPT = 8  # a frame that a bad line delivers twice comes at once, or a gateway's restart later

# Each is (seq, how many): seqs that are no window, at or above the last claim.
Others = list[tuple[int, int]]


class LifeState(msgspec.Struct, array_like=True):
    """As it is stored. Fields are only ever appended, each with a default: an old file is read by a new gateway."""

    highest: int = -1
    seen: bytes = b""
    received: bytes = b""
    floor: int = 0
    first_floor: int = -1
    next_seq: int = 0
    boot: int = -1
    spans: list[tuple[int, int]] = []
    # The node's last statement about itself: totals that count exactly the windows below claim_next.
    claim_next: int = -1
    claim_totals: tuple[int, ...] = ()
    claim_ms: int = 0
    claim_synced: bool = False
    others_before: int = 0
    others_after: Others = []
    voids: int = 0
    next_command: int = 1
    alarms: int = 0
    wire_version: int = 1
    last_ms: int = 0
    newest: tuple[int, int] = (-1, 0)
    hellos: list[tuple[int, int, int]] = []
    lost: bool = False
    on_air: bool = False
    taken: int = 0
    taken_ms: int = 0
    chains: list[StoredChain] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LifeState)


class Claim(msgspec.Struct):
    """`totals` as the node stated them, counting exactly the windows with a seq below `next_seq`."""

    next_seq: int = -1
    totals: tuple[int, ...] = ()
    at_ms: int = 0
    synced: bool = False


class Memory:
    """The same, as the session works with it."""

    def __init__(self, stored: bytes | None) -> None:
        state = _decoder.decode(stored) if stored else LifeState()
        self.replay = ReplayWindow(state.highest, int.from_bytes(state.seen, "big"))
        self.received = SeqSet.decode(state.received)
        self.floor = state.floor  # below it the node holds nothing any more
        self.first_floor = state.first_floor  # floor when this store first met the life, -1: not yet
        self.next_seq = state.next_seq  # highest seq known + 1
        self.boot = state.boot
        self.clock = ClockSpans(state.spans)
        self.claim = Claim(state.claim_next, state.claim_totals, state.claim_ms, state.claim_synced)
        self.others_before = state.others_before
        self.others_after = state.others_after
        self.voids = state.voids
        self.next_command = state.next_command
        self.alarms = state.alarms
        self.wire_version = state.wire_version
        self.last_ms = state.last_ms  # last authenticated uplink, 0: never
        self.hellos = state.hellos  # the latest: counter, boot, uptime_ms
        self.lost = state.lost  # the key file says that this node will not be heard again
        self.on_air = state.on_air  # the last uplink came over LoRa
        self.newest = state.newest  # seq and end (unix s) of the newest record of a clocked node
        self.taken = state.taken  # seqs that never came and that the gateway which answers this node acknowledged
        self.taken_ms = state.taken_ms  # when it was last seen to have forgotten what we did not acknowledge, 0: never
        self.chains = Chains(state.chains)  # totals whose differences are not told yet, and the newest ones
        self.told = self.cum  # below, seqs may have been acknowledged by us

    def encode(self) -> bytes:
        seen = self.replay.seen
        return _encoder.encode(
            LifeState(
                self.replay.highest,
                seen.to_bytes((seen.bit_length() + 7) // 8, "big"),
                self.received.encode(),
                self.floor,
                self.first_floor,
                self.next_seq,
                self.boot,
                self.clock.spans,
                self.claim.next_seq,
                self.claim.totals,
                self.claim.at_ms,
                self.claim.synced,
                self.others_before,
                self.others_after,
                self.voids,
                self.next_command,
                self.alarms,
                self.wire_version,
                self.last_ms,
                self.newest,
                self.hellos,
                self.lost,
                self.on_air,
                self.taken,
                self.taken_ms,
                self.chains.stored(),
            )
        )

    def greeted(self, hello: tuple[int, int, int]) -> None:
        """Remember a hello: counter, boot, uptime_ms."""
        self.hellos = [*self.hellos, hello][-HELLOS_KEPT:]

    def other(self, seq: int, count: int) -> None:
        """Remember that these seqs, just received, are no windows."""
        if seq < self.claim.next_seq:
            self.others_before += count
        else:
            self.others_after.append((seq, count))

    def claimed(self, claim: Claim) -> bool:
        """Take a statement of the node if it is newer than the one known."""
        if claim.next_seq <= self.claim.next_seq:
            return False
        self.claim = claim
        still = []
        for seq, count in self.others_after:
            if seq < claim.next_seq:
                self.others_before += count
            else:
                still.append((seq, count))
        self.others_after = still
        return True

    def held_from(self, oldest_seq: int, totals: tuple[int, ...]) -> int:
        """The node states, with its totals, that it holds nothing below `oldest_seq`: how many seqs are gone that never came,
        -1 if nothing is gone but what we acknowledged or the node overwrote. To be called before `claimed`."""
        before, floor = self.claim.totals, self.floor
        known = self.first_floor >= 0 and bool(before) and totals[OVERWRITTEN] == before[OVERWRITTEN]
        gone = -1
        if known and oldest_seq > self.told:
            gone = sum(end - start for start, end in self.received.missing(floor, oldest_seq))
        if self.first_floor < 0:
            self.first_floor = oldest_seq
        self.told = max(self.told, oldest_seq)
        self.floor = max(floor, oldest_seq)
        return gone

    def windows_before_claim(self) -> int:
        """Windows received, as record or as gap, of those that the last claim counts."""
        return self.received.count_below(max(self.claim.next_seq, 0)) - self.others_before

    def unreceived_before_claim(self) -> int:
        """Seqs that the node still held at its last claim and that have not come since."""
        return sum(end - start for start, end in self.received.missing(self.floor, max(self.claim.next_seq, 0)))

    @property
    def cum(self) -> int:
        """All seqs below are stored, or the node said that it holds none of them any more."""
        return self.received.first_missing(self.floor)
